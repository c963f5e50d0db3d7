//! The pages of a shared key-value cache, each of them 128 positions of every layer.

use glossator_kernels::{Buffer, PAGE_POSITIONS, PageLayout, Precision};

use crate::architecture::Architecture;

/// Pages by number. Memory is taken when a page is first used, and kept.
pub(crate) struct PagePool {
    layout: PageLayout,
    n_layers: usize,
    pages: Vec<Buffer<u8>>,
    free: Vec<u32>,
    limit: usize,
}

impl PagePool {
    /// A pool of at most `bytes`.
    pub(crate) fn new(architecture: &Architecture, precision: Precision, bytes: usize) -> Self {
        let layout = PageLayout { kv_heads: architecture.n_kv_heads, d_head: architecture.d_head, precision };
        let limit = bytes / (layout.bytes() * architecture.n_layers);
        Self { layout, n_layers: architecture.n_layers, pages: Vec::new(), free: Vec::new(), limit }
    }

    /// Memory of a page, in bytes.
    pub(crate) fn page_bytes(&self) -> usize {
        self.layout.bytes() * self.n_layers
    }

    /// Pages that there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Pages that can be taken now.
    pub(crate) fn available(&self) -> usize {
        self.free.len() + self.limit - self.pages.len()
    }

    /// An empty page, if one is left.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let bytes = self.page_bytes();
        if let Some(page) = self.free.pop() {
            // What is masked must still be finite: 0 · NaN would reach the sums.
            self.pages[page as usize].as_mut_slice().fill(0);
            return Some(page);
        }
        (self.pages.len() < self.limit).then(|| {
            let mut page = Buffer::default();
            page.sized(bytes);
            self.pages.push(page);
            (self.pages.len() - 1) as u32
        })
    }

    /// Gives a page back.
    pub(crate) fn give_back(&mut self, page: u32) {
        self.free.push(page);
    }

    /// Copies all positions of a page to another.
    pub(crate) fn copy(&mut self, from: u32, to: u32) {
        let source = std::mem::take(&mut self.pages[from as usize]);
        self.pages[to as usize].as_mut_slice().copy_from_slice(source.as_slice());
        self.pages[from as usize] = source;
    }

    pub(super) fn layout(&self) -> PageLayout {
        self.layout
    }

    /// Writes key and value of a position of a layer.
    pub(super) fn write(&mut self, layer: usize, page: u32, place: usize, key: &[f32], value: &[f32]) {
        let bytes = self.layout.bytes();
        let page = &mut self.pages[page as usize].as_mut_slice()[layer * bytes..][..bytes];
        self.layout.write(page, place, key, value);
    }

    /// The pages of one layer.
    pub(super) fn layer(&self, layer: usize) -> Vec<&[u8]> {
        let bytes = self.layout.bytes();
        self.pages.iter().map(|page| &page.as_slice()[layer * bytes..][..bytes]).collect()
    }
}

/// The page and the place in it of a position of a sequence with these pages.
pub(crate) fn place(pages: &[u32], position: usize) -> (u32, usize) {
    (pages[position / PAGE_POSITIONS], position % PAGE_POSITIONS)
}
