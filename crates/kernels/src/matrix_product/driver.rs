//! The loops around the tile kernels.
//!
//! A panel is two blocks of weight columns. 32 rows of x at a time go past the panels of a chunk: the rows stay in the
//! first-level cache, and the chunk, which the next rows read again, in the second-level cache. (The other way round,
//! with the panel in the first-level cache, the rows come as 32 streams from the second, which is slower.) Neither the
//! order of tiles nor their division among threads enters the sums.

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::epilogue::Epilogue;
use super::int8;
use super::packed::{Columns, PackedMatrix};
use super::tile::{Element, LANES, RowBlock, TILE_ROWS, Tile};
use super::{Operand, epilogue::Step};
use crate::aligned::AlignedBuffer;
use crate::detect::Backend;
use crate::threads::Threads;

/// Rows of a tile must begin on cache lines: the matrix unit halves its speed when each row takes two.
const TILE_LINE: usize = 64;
/// Bytes of weight that all rows of x go past before the next: a quarter of a typical second-level cache, in which x
/// and the results want room too.
const CHUNK_BYTES: usize = 1 << 19;
/// Tasks per thread when work is divided.
const TASKS_PER_THREAD: usize = 4;

/// The rows of x as the kernels read them: padded to the packed depth, and the last block to whole
/// [`Element::ROW_STEP`] rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a, T> {
    main: &'a [T],
    /// The last block when it had to be padded apart from the others.
    tail: Option<&'a [T]>,
    count: usize,
    stride: usize,
}

impl<'a, T: Element> Rows<'a, T> {
    /// Takes rows that need no conversion, padding only a last incomplete block.
    fn in_place(rows: &'a [T], stride: usize, scratch: &'a mut AlignedBuffer) -> Self {
        let count = rows.len() / stride;
        let tail_start = count / TILE_ROWS * TILE_ROWS;
        let tail_rows = (count - tail_start).next_multiple_of(T::ROW_STEP);
        let tail = (tail_start + tail_rows > count).then(|| {
            let tail = scratch.scratch::<T>(tail_rows * stride);
            let (values, padding) = tail.split_at_mut((count - tail_start) * stride);
            values.copy_from_slice(&rows[tail_start * stride..]);
            padding.fill(T::zeroed());
            &*tail
        });
        Self { main: rows, tail, count, stride }
    }

    /// Converts `count` rows of `width` to rows of `stride`, zero-padded.
    fn converted<S>(
        rows: &[S],
        width: usize,
        stride: usize,
        scratch: &'a mut AlignedBuffer,
        convert: impl Fn(&[S], &mut [T]),
    ) -> Self {
        let count = rows.len() / width;
        let padded = scratch.scratch::<T>(count.next_multiple_of(T::ROW_STEP) * stride);
        for (target, source) in padded.chunks_exact_mut(stride).zip(rows.chunks_exact(width)) {
            convert(source, &mut target[..width]);
            target[width..].fill(T::zeroed());
        }
        padded[count * stride..].fill(T::zeroed());
        Self { main: padded, tail: None, count, stride }
    }

    fn blocks(&self) -> usize {
        self.count.div_ceil(TILE_ROWS)
    }

    fn block(&self, block: usize) -> RowBlock<'a, T> {
        let first = block * TILE_ROWS;
        let count = TILE_ROWS.min(self.count - first);
        let values = match self.tail {
            Some(tail) if count < TILE_ROWS => tail,
            _ => &self.main[first * self.stride..],
        };
        RowBlock { values, stride: self.stride, count }
    }
}

/// Brings `x` into the form of an f32 product.
pub(super) fn rows_f32<'a>(
    x: Operand<'a>,
    weight: &PackedMatrix,
    scratch: &'a mut AlignedBuffer,
) -> Rows<'a, f32> {
    match x {
        Operand::F32(x) => Rows::in_place(x, weight.n_in(), scratch),
        Operand::Bf16(x) => Rows::converted(x, weight.n_in(), weight.depth(), scratch, crate::convert::widen),
    }
}

/// Brings `x` into the form of a bf16 product.
pub(super) fn rows_bf16<'a>(
    x: Operand<'a>,
    weight: &PackedMatrix,
    scratch: &'a mut AlignedBuffer,
) -> Rows<'a, bf16> {
    let (width, stride) = (weight.n_in(), weight.depth());
    match x {
        Operand::Bf16(x) if width == stride && x.as_ptr().addr().is_multiple_of(TILE_LINE) => {
            Rows::in_place(x, stride, scratch)
        }
        Operand::Bf16(x) => Rows::converted(x, width, stride, scratch, |s, t| t.copy_from_slice(s)),
        Operand::F32(x) => Rows::converted(x, width, stride, scratch, crate::convert::narrow),
    }
}

/// Quantises `x` for an int8 product.
pub(super) fn rows_int8<'a>(
    x: Operand<'a>,
    weight: &PackedMatrix,
    threads: Threads,
    scratch: &'a mut AlignedBuffer,
) -> Rows<'a, int8::Byte> {
    let (width, stride) = (weight.n_in(), weight.depth());
    let widened;
    let x = match x {
        Operand::F32(x) => x,
        Operand::Bf16(x) => {
            let mut wide = vec![0.0; x.len()];
            crate::convert::widen(x, &mut wide);
            widened = wide;
            widened.as_slice()
        }
    };
    let count = x.len() / width;
    let bytes = scratch.scratch::<int8::Byte>(count * stride);
    int8::quantise_rows(x, width, threads, bytes);
    Rows { main: bytes, tail: None, count, stride }
}

/// A product about to run.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'a, T> {
    pub(super) backend: Backend,
    pub(super) weight: &'a PackedMatrix,
    pub(super) rows: Rows<'a, T>,
    pub(super) epilogue: Epilogue<'a>,
}

impl<T: Element> Sweep<'_, T> {
    /// Computes the whole result.
    pub(super) fn run(&self, threads: Threads) {
        let (row_blocks, panels) = (self.rows.blocks(), self.panels());
        let tasks = match threads {
            Threads::One => 1,
            Threads::All => rayon::current_num_threads() * TASKS_PER_THREAD,
        };
        if tasks == 1 {
            self.rectangle(0..row_blocks, 0..panels);
        } else if row_blocks >= 2 * tasks {
            divide(row_blocks, tasks).for_each(|blocks| self.rectangle(blocks, 0..panels));
        } else {
            divide(panels, tasks).for_each(|panels| self.rectangle(0..row_blocks, panels));
        }
    }

    /// The number of block pairs that make up the result.
    fn panels(&self) -> usize {
        let blocks = self.weight.columns().len();
        if matches!(self.epilogue.step, Step::Gate(_)) { blocks / 2 } else { blocks.div_ceil(2) }
    }

    /// The two blocks of a panel and their columns. A last single block is doubled, the copy without columns.
    fn panel(&self, panel: usize) -> ([&[T]; 2], [Columns; 2]) {
        let columns = self.weight.columns();
        let [left, right] = match self.epilogue.step {
            Step::Gate(_) => [panel, panel + columns.len() / 2],
            _ => [2 * panel, 2 * panel + 1],
        };
        let right_columns = columns.get(right).copied().unwrap_or(Columns { start: 0, count: 0 });
        let right = right.min(columns.len() - 1);
        ([self.weight.block(left), self.weight.block(right)], [columns[left], right_columns])
    }

    fn rectangle(&self, row_blocks: Range<usize>, panels: Range<usize>) {
        let panel_bytes = 2 * LANES * self.weight.depth() * size_of::<T>();
        let chunk = (CHUNK_BYTES / panel_bytes).max(1);
        T::prepared(self.backend, || {
            let mut pipeline = Pipeline::new();
            for start in panels.clone().step_by(chunk) {
                let chunk = start..panels.end.min(start + chunk);
                row_blocks.clone().for_each(|block| self.pass(block, chunk.clone(), &mut pipeline));
            }
            // SAFETY: rectangles are disjoint, and within one each pair of row block and panel occurs once.
            unsafe { pipeline.finish(&self.epilogue) };
        });
    }

    fn pass(&self, block: usize, panels: Range<usize>, pipeline: &mut Pipeline) {
        let rows = self.rows.block(block);
        for panel in panels {
            let (blocks, columns) = self.panel(panel);
            T::multiply(self.backend, rows, blocks, pipeline.free_tile());
            let pending = Pending { first_row: block * TILE_ROWS, count: rows.count, columns };
            // SAFETY: as in `rectangle`.
            unsafe { pipeline.push(pending, &self.epilogue) };
        }
    }
}

/// Two tiles in turn: while one is multiplied, the epilogue of the other runs in the shadow of the matrix unit.
struct Pipeline {
    tiles: [Tile; 2],
    free: usize,
    pending: Option<Pending>,
}

/// A multiplied tile that waits for its epilogue.
struct Pending {
    first_row: usize,
    count: usize,
    columns: [Columns; 2],
}

impl Pipeline {
    fn new() -> Self {
        Self { tiles: [Tile::new(), Tile::new()], free: 0, pending: None }
    }

    /// The tile to multiply into.
    fn free_tile(&mut self) -> &mut Tile {
        &mut self.tiles[self.free]
    }

    /// Finishes the tile before the one just multiplied.
    ///
    /// # Safety
    /// No other task finishes the same rows and columns.
    unsafe fn push(&mut self, multiplied: Pending, epilogue: &Epilogue<'_>) {
        let multiplied_tile = self.free;
        // SAFETY: the caller's promise.
        unsafe { self.finish(epilogue) };
        self.free = 1 - multiplied_tile;
        self.pending = Some(multiplied);
    }

    /// Finishes the tile that waits, if any.
    ///
    /// # Safety
    /// No other task finishes the same rows and columns.
    unsafe fn finish(&mut self, epilogue: &Epilogue<'_>) {
        if let Some(Pending { first_row, count, columns }) = self.pending.take() {
            // SAFETY: the caller's promise.
            unsafe { epilogue.finish(&mut self.tiles[1 - self.free], first_row, count, columns) };
        }
    }
}

/// Divides `0..count` into `parts` ranges of nearly equal length, in parallel.
fn divide(count: usize, parts: usize) -> impl ParallelIterator<Item = Range<usize>> {
    (0..parts).into_par_iter().map(move |part| part * count / parts..(part + 1) * count / parts)
}
