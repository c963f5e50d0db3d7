//! Where a dictionary comes from and what it was trained on, as far as its file says.

use serde::{Deserialize, Serialize};

/// What a file says about a dictionary besides its arithmetic. Nothing here is guessed: what the file does not say is
/// `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The subject model, in the file's own spelling.
    pub model: Option<String>,
    /// The hook point that is read, in the file's own spelling.
    pub hook: Option<String>,
    /// The hook point that is predicted, if it is another one (transcoders).
    pub hook_out: Option<String>,
    /// The attention head whose slice of the hook point is read.
    pub head: Option<usize>,
    /// Tokens per training sequence.
    pub context_size: Option<usize>,
    /// Whether training sequences began with the BOS token.
    pub prepend_bos: Option<bool>,
    /// The training text.
    pub dataset: Option<String>,
    /// Prefixes of the latents that reconstruct by themselves (Matryoshka dictionaries), as sizes of consecutive
    /// groups; empty for all others.
    pub nested_groups: Vec<usize>,
    /// How often each latent fired in training `[latents]`, as a share of the tokens.
    pub firing_frequency: Option<Vec<f32>>,
    /// What the reader of the file had to assume or leave out, in sentences for the user.
    pub notes: Vec<String>,
    /// The configuration as it stood in the file.
    pub original_config: Option<serde_json::Value>,
}
