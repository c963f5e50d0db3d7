//! A weight matrix, packed once for the products that follow.
//!
//! Layout: 16 columns of the result (16 rows of the weight) form a block. In f32 a block is `[n_in][16]`; in bf16
//! it is `[depth / 2][16][2]`, pairs along the summed dimension side by side as dot-product instructions and
//! tiles want them, with depth = `n_in` rounded up to 32. Missing rows and depth are zeros. Each part of a
//! stacked matrix begins a new block. The layout of int8 is described in [`super::int8`].

use half::bf16;
use rayon::prelude::*;

use super::int8;
use super::tile::LANES;
use crate::aligned::AlignedBuffer;
use crate::convert::narrow;

/// The number format that a matrix product multiplies in; sums are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 24-bit significands.
    F32,
    /// 8-bit significands: half the memory, and fast where the processor multiplies bf16 itself.
    Bf16,
}

/// The number format of a packed weight, in which products with it multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightFormat {
    /// As [`Precision::F32`].
    F32,
    /// As [`Precision::Bf16`].
    Bf16,
    /// 8-bit integers with a scale for every 128 terms: half the memory of bf16 and twice its speed, for models whose
    /// activations are not the subject.
    Int8,
}

impl WeightFormat {
    /// The length of a packed row, in elements.
    fn depth(self, n_in: usize) -> usize {
        match self {
            Self::F32 => n_in,
            Self::Bf16 => n_in.next_multiple_of(32),
            Self::Int8 => int8::row_bytes(n_in),
        }
    }

    fn element_bytes(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::Bf16 => size_of::<bf16>(),
            Self::Int8 => size_of::<int8::Byte>(),
        }
    }
}

impl From<Precision> for WeightFormat {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// The columns of the result that one block yields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    pub(super) start: usize,
    pub(super) count: usize,
}

/// A weight `[n_out, n_in]` in the kernels' own layout.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    n_out: usize,
    n_in: usize,
    depth: usize,
    format: WeightFormat,
    part_rows: Vec<usize>,
    columns: Vec<Columns>,
    values: AlignedBuffer,
}

impl PackedMatrix {
    /// Packs the row-major `weight` `[n_out, n_in]`, rounding to nearest even for bf16.
    ///
    /// # Panics
    /// If the length is not `n_out · n_in` or a dimension is 0.
    pub fn pack(weight: &[f32], n_out: usize, n_in: usize, format: impl Into<WeightFormat>) -> Self {
        assert_eq!(weight.len(), n_out * n_in, "pack: weight has the wrong length");
        Self::pack_stacked(&[weight], n_in, format)
    }

    /// Packs several matrices with the same `n_in` on top of each other, as one: q, k and v, or gate and up.
    ///
    /// # Panics
    /// If a part is not whole rows, or nothing is there.
    pub fn pack_stacked(parts: &[&[f32]], n_in: usize, format: impl Into<WeightFormat>) -> Self {
        let format = format.into();
        assert!(n_in > 0, "pack: rows of length 0");
        assert!(parts.iter().all(|part| part.len().is_multiple_of(n_in)), "pack: a part is not whole rows");
        let rows: Vec<&[f32]> = parts.iter().flat_map(|part| part.chunks_exact(n_in)).collect();
        assert!(!rows.is_empty(), "pack: empty matrix");
        let part_rows: Vec<usize> = parts.iter().map(|part| part.len() / n_in).collect();
        let columns = block_columns(&part_rows);
        let depth = format.depth(n_in);
        let block_bytes = LANES * depth * format.element_bytes();
        let mut values = AlignedBuffer::zeroed::<u8>(columns.len() * block_bytes);
        let blocks = values.as_mut_slice::<u8>().par_chunks_exact_mut(block_bytes);
        blocks.zip(&columns).for_each(|(block, block_columns)| {
            let rows = &rows[block_columns.start..][..block_columns.count];
            match format {
                WeightFormat::F32 => pack_f32(rows, bytemuck::cast_slice_mut(block)),
                WeightFormat::Bf16 => pack_bf16(rows, bytemuck::cast_slice_mut(block)),
                WeightFormat::Int8 => int8::pack_int8(rows, block),
            }
        });
        Self { n_out: rows.len(), n_in, depth, format, part_rows, columns, values }
    }

    /// Memory that a matrix of parts with these numbers of rows will hold once it is packed, in bytes.
    pub fn bytes_of(part_rows: &[usize], n_in: usize, format: impl Into<WeightFormat>) -> usize {
        let format = format.into();
        let rows: usize = part_rows.iter().map(|rows| rows.next_multiple_of(LANES)).sum();
        rows * format.depth(n_in) * format.element_bytes()
    }

    /// The matrix of some rows of the weight, in this order: products with it have the same bits as those with the whole.
    ///
    /// # Panics
    /// If no row is named, or one that is not there.
    #[must_use]
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        assert!(!rows.is_empty() && rows.iter().all(|row| *row < self.n_out), "packed rows: not there");
        let columns = block_columns(&[rows.len()]);
        // In every format the 16 rows of a block take turns, 4 bytes each.
        let length = LANES * self.depth * self.format.element_bytes() / size_of::<u32>();
        let source = self.values.as_slice::<u32>();
        let mut values = AlignedBuffer::zeroed::<u32>(columns.len() * length);
        for (place, row) in rows.iter().enumerate() {
            let block = self.columns.partition_point(|columns| columns.start + columns.count <= *row);
            let from = source[block * length..][..length].chunks_exact(LANES);
            let to = values.as_mut_slice::<u32>()[place / LANES * length..][..length].chunks_exact_mut(LANES);
            let lane = row - self.columns[block].start;
            to.zip(from).for_each(|(to, from)| to[place % LANES] = from[lane]);
        }
        Self { n_out: rows.len(), part_rows: vec![rows.len()], columns, values, ..*self }
    }

    /// The number of results per row of x.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// The length of a row of x.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// The number format of the weight.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.values.as_slice::<u8>().len()
    }

    /// The rows of each stacked part.
    pub(super) fn part_rows(&self) -> &[usize] {
        &self.part_rows
    }

    /// The length of a row of x that blocks expect, in elements, zero-padded.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The result columns of each block.
    pub(super) fn columns(&self) -> &[Columns] {
        &self.columns
    }

    /// The values of block `block`; `T` must be the element type of the precision.
    pub(super) fn block<T: bytemuck::Pod>(&self, block: usize) -> &[T] {
        let length = LANES * self.depth;
        &self.values.as_slice()[block * length..][..length]
    }
}

fn block_columns(part_rows: &[usize]) -> Vec<Columns> {
    let mut columns = Vec::new();
    let mut part_start = 0;
    for &rows in part_rows {
        let blocks = (0..rows).step_by(LANES);
        columns.extend(blocks.map(|row| Columns { start: part_start + row, count: LANES.min(rows - row) }));
        part_start += rows;
    }
    columns
}

/// Packs up to 16 rows of a weight into a zeroed f32 block.
pub(crate) fn pack_f32(rows: &[&[f32]], block: &mut [f32]) {
    for (lane, row) in rows.iter().enumerate() {
        for (target, value) in block.iter_mut().skip(lane).step_by(LANES).zip(*row) {
            *target = *value;
        }
    }
}

/// Packs up to 16 rows of a weight into a zeroed bf16 block.
pub(crate) fn pack_bf16(rows: &[&[f32]], block: &mut [bf16]) {
    let block: &mut [u32] = bytemuck::cast_slice_mut(block);
    let mut pairs = vec![0_u32; block.len() / LANES];
    for (lane, row) in rows.iter().enumerate() {
        narrow(row, &mut bytemuck::cast_slice_mut(&mut pairs)[..row.len()]);
        for (line, pair) in block.chunks_exact_mut(LANES).zip(&pairs) {
            line[lane] = *pair;
        }
    }
}
