//! A large zeroed array of numbers that is read and written here and there: in large memory pages where the system
//! has them, so that finding a page costs little.

use std::alloc::{Layout, handle_alloc_error};

use memmap2::MmapMut;

/// `length` numbers.
#[derive(Debug)]
pub(super) struct LargeArray {
    memory: MmapMut,
}

impl LargeArray {
    /// Zeros. As for a vector, the program ends where there is no memory.
    pub(super) fn zeroed(length: usize) -> Self {
        let layout = Layout::array::<i32>(length).unwrap_or(Layout::new::<i32>());
        let Ok(memory) = MmapMut::map_anon(layout.size()) else { handle_alloc_error(layout) };
        // Only advice: without large pages it is slower, not wrong.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Self { memory }
    }

    /// The numbers.
    pub(super) fn as_slice(&self) -> &[i32] {
        bytemuck::cast_slice(&self.memory)
    }

    /// The numbers, for writing.
    pub(super) fn as_mut_slice(&mut self) -> &mut [i32] {
        bytemuck::cast_slice_mut(&mut self.memory)
    }
}
