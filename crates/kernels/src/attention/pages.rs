//! Pages of a key-value cache: 128 consecutive positions, packed as the tile kernels read them.
//!
//! A page of one layer is, for each key-value head, `[keys | values]` in the layouts of [`super::operands`]. A position is
//! packed once, when it is computed, and read by every query after it; sequences that begin alike name the same pages.

use std::ops::Range;

use half::bf16;

use super::fused::CHUNK_KEYS;
use super::operands::{ChunkShape, Operand};
use crate::matrix_product::{LANES, Precision};

/// Positions of a page.
pub const PAGE_POSITIONS: usize = CHUNK_KEYS;

/// The shape of a page of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLayout {
    /// Heads that keys and values have.
    pub kv_heads: usize,
    /// The width of a head.
    pub d_head: usize,
    /// What keys and values are rounded to, and multiplied in.
    pub precision: Precision,
}

impl PageLayout {
    /// Memory of a page of one layer, in bytes.
    pub fn bytes(self) -> usize {
        match self.precision {
            Precision::F32 => self.kv_heads * self.head_length::<f32>() * size_of::<f32>(),
            Precision::Bf16 => self.kv_heads * self.head_length::<bf16>() * size_of::<bf16>(),
        }
    }

    /// Writes key and value `[kv_heads · d_head]` of a position to `place` of a page.
    ///
    /// # Panics
    /// If the page, the place or a row does not fit the layout.
    pub fn write(self, page: &mut [u8], place: usize, key: &[f32], value: &[f32]) {
        assert!(place < PAGE_POSITIONS && page.len() == self.bytes(), "page: no such place");
        assert!(key.len() == self.kv_heads * self.d_head && key.len() == value.len(), "page: unfit row");
        match self.precision {
            Precision::F32 => self.write_as::<f32>(bytemuck::cast_slice_mut(page), place, key, value),
            Precision::Bf16 => self.write_as::<bf16>(bytemuck::cast_slice_mut(page), place, key, value),
        }
    }

    fn write_as<T: Operand>(self, page: &mut [T], place: usize, key: &[f32], value: &[f32]) {
        let shape = self.shape::<T>();
        let heads = key.chunks_exact(self.d_head).zip(value.chunks_exact(self.d_head));
        for (packed, (key, value)) in page.chunks_exact_mut(self.head_length::<T>()).zip(heads) {
            let (keys, values) = packed.split_at_mut(shape.keys_length());
            let block = &mut keys[place / LANES * LANES * shape.depth..][..LANES * shape.depth];
            T::write_key(key, place % LANES, block);
            let blocks = values.chunks_exact_mut(LANES * shape.keys);
            blocks.zip(value.chunks(LANES)).for_each(|(block, value)| T::write_value(value, place, block));
        }
    }

    /// The packed keys and values of one head of a page.
    pub(super) fn head<T: Operand>(self, page: &[u8], head: usize) -> (&[T], &[T]) {
        let length = self.head_length::<T>();
        let page: &[T] = bytemuck::cast_slice(page);
        page[head * length..][..length].split_at(self.shape::<T>().keys_length())
    }

    pub(super) fn shape<T: Operand>(self) -> ChunkShape {
        ChunkShape {
            keys: PAGE_POSITIONS,
            depth: self.d_head.next_multiple_of(T::DEPTH_STEP),
            value_blocks: self.d_head.div_ceil(LANES).next_multiple_of(2),
        }
    }

    fn head_length<T: Operand>(self) -> usize {
        let shape = self.shape::<T>();
        shape.keys_length() + shape.values_length()
    }
}

/// A query of a paged sequence.
#[derive(Clone, Copy, Debug)]
pub struct PagedQuery<'a> {
    /// The pages of the sequence in order, as indices.
    pub pages: &'a [u32],
    /// The query's own position; it sees the keys up to there.
    pub position: usize,
}

impl PagedQuery<'_> {
    /// The page that holds positions `number · 128..`, if the query sees any of them.
    pub(super) fn page(&self, number: usize) -> Option<u32> {
        (number * PAGE_POSITIONS <= self.position).then(|| self.pages[number])
    }
}

/// The part of `visible` that lies in `keys` keys from `start` on, counted from there.
pub(super) fn visible_in(visible: &Range<usize>, start: usize, keys: usize) -> Range<usize> {
    visible.start.clamp(start, start + keys) - start..visible.end.clamp(start, start + keys) - start
}
