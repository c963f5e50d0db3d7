//! Attention that never stores the pattern (FlashAttention, Dao et al. 2022, on the tile kernels).
//!
//! For each key-value head, keys and values are packed once and serve all its query heads. 32 queries at a time go
//! over the keys in chunks of 128: scores, online softmax, product with the values. Chunks begin at multiples of
//! 128 of the key's position, so that a query's sums do not depend on which other queries are computed with it.

use std::ops::Range;

use rayon::prelude::*;

use super::online_softmax::{RowState, absorb};
use super::operands::{ChunkShape, Operand, pack_queries};
use super::{Attention, HeadView};
use crate::aligned::AlignedBuffer;
use crate::convert::narrow;
use crate::detect::Backend;
use crate::matrix_product::{LANES, RowBlock, TILE_ROWS, Tile};
use crate::multiversion::multiversion;
use crate::outputs::Outputs;
use crate::shared_rows::{Rectangle, SharedRows};
use crate::threads::Threads;

/// Keys treated between two updates of the running maximum.
const CHUNK_KEYS: usize = 128;
/// Tasks per thread when work is divided.
const TASKS_PER_THREAD: usize = 4;

/// z of all heads; see [`Attention::attend`].
pub(super) fn attend<T: Operand>(
    form: &Attention,
    [q, k, v]: [HeadView<'_>; 3],
    queries: usize,
    first_position: usize,
    outputs: Outputs<'_>,
) {
    let blocks = queries.div_ceil(TILE_ROWS);
    let width = q.heads * v.d_head;
    let shared = SharedOutputs {
        f32: outputs.f32.map(|values| SharedRows::new(values, width)),
        bf16: outputs.bf16.map(|values| SharedRows::new(values, width)),
        d_head: v.d_head,
    };
    let run = |workspace: &mut Workspace, head: usize, blocks: Range<usize>| {
        let queries = blocks.start * TILE_ROWS..queries.min(blocks.end * TILE_ROWS);
        let task = Task { form, q, k, v, kv_head: head, queries, first_position, outputs: &shared };
        T::prepared(Backend::best(), || task.run::<T>(workspace));
    };
    match form.threads {
        Threads::One => {
            let mut workspace = Workspace::default();
            (0..k.heads).for_each(|head| run(&mut workspace, head, 0..blocks));
        }
        Threads::All => {
            let tasks = TASKS_PER_THREAD * rayon::current_num_threads();
            let parts = tasks.div_ceil(k.heads).min(blocks).max(1);
            (0..k.heads * parts).into_par_iter().for_each_init(Workspace::default, |workspace, task| {
                let (head, part) = (task / parts, task % parts);
                run(workspace, head, part * blocks / parts..(part + 1) * blocks / parts);
            });
        }
    }
}

/// z `[queries, heads · d_head]`, written by all tasks.
struct SharedOutputs<'a> {
    f32: Option<SharedRows<'a, f32>>,
    bf16: Option<SharedRows<'a, half::bf16>>,
    d_head: usize,
}

impl SharedOutputs<'_> {
    /// Stores z of one query and head.
    ///
    /// # Safety
    /// No other task stores the same query and head.
    unsafe fn store(&self, query: usize, head: usize, z: &[f32]) {
        let start = head * self.d_head;
        // SAFETY: the caller's promise.
        let (f32, bf16) = unsafe {
            (
                self.f32.map(|rows| rows.rectangle(query, 1, start, self.d_head)),
                self.bf16.map(|rows| rows.rectangle(query, 1, start, self.d_head)),
            )
        };
        f32.into_iter().flat_map(Rectangle::into_rows).for_each(|out| out.copy_from_slice(z));
        bf16.into_iter().flat_map(Rectangle::into_rows).for_each(|out| narrow(z, out));
    }
}

/// The query heads of one key-value head, over a range of queries.
struct Task<'a> {
    form: &'a Attention,
    q: HeadView<'a>,
    k: HeadView<'a>,
    v: HeadView<'a>,
    kv_head: usize,
    queries: Range<usize>,
    first_position: usize,
    outputs: &'a SharedOutputs<'a>,
}

/// Buffers that tasks of one thread reuse.
#[derive(Default)]
struct Workspace {
    /// Packed keys of every chunk.
    keys: AlignedBuffer,
    /// Packed values of every chunk.
    values: AlignedBuffer,
    block: BlockWorkspace,
}

/// Buffers of one block of queries.
#[derive(Default)]
struct BlockWorkspace {
    /// `[32, depth]`
    queries: AlignedBuffer,
    /// `[32, keys of a chunk]`
    scores: AlignedBuffer,
    /// `[32, keys of a chunk]`
    pattern: AlignedBuffer,
    /// Sums of pattern · v, `[block of 16 coordinates][32][16]`.
    z: Vec<[[f32; LANES]; TILE_ROWS]>,
}

impl Task<'_> {
    fn run<T: Operand>(&self, workspace: &mut Workspace) {
        if self.queries.is_empty() {
            return;
        }
        let end = self.first_position + self.queries.end;
        let first_chunk = self.form.visible(self.first_position + self.queries.start).start / CHUNK_KEYS;
        let chunks = first_chunk..end.div_ceil(CHUNK_KEYS);
        let shape = ChunkShape {
            keys: CHUNK_KEYS.min(end.next_multiple_of(TILE_ROWS)),
            depth: self.q.d_head.next_multiple_of(T::DEPTH_STEP),
            value_blocks: self.v.d_head.div_ceil(LANES).next_multiple_of(2),
        };
        let keys = workspace.keys.scratch::<T>(chunks.len() * shape.keys_length());
        let values = workspace.values.scratch::<T>(chunks.len() * shape.values_length());
        let packed =
            keys.chunks_exact_mut(shape.keys_length()).zip(values.chunks_exact_mut(shape.values_length()));
        for (chunk, (keys, values)) in chunks.clone().zip(packed) {
            let range = chunk * CHUNK_KEYS..end.min((chunk + 1) * CHUNK_KEYS);
            shape.pack_keys(self.k, self.kv_head, range.clone(), keys);
            shape.pack_values(self.v, self.kv_head, range, values);
        }
        let packed = Packed { shape, first_chunk, chunks: chunks.len(), keys, values };
        let heads_per_group = self.q.heads / self.k.heads;
        for head in self.kv_head * heads_per_group..(self.kv_head + 1) * heads_per_group {
            for start in self.queries.clone().step_by(TILE_ROWS) {
                let rows = start..self.queries.end.min(start + TILE_ROWS);
                self.block(&packed, head, rows, &mut workspace.block);
            }
        }
    }

    /// At most 32 queries of one head.
    fn block<T: Operand>(
        &self,
        packed: &Packed<'_, T>,
        head: usize,
        rows: Range<usize>,
        work: &mut BlockWorkspace,
    ) {
        let shape = packed.shape;
        let queries = work.queries.scratch::<T>(TILE_ROWS * shape.depth);
        pack_queries(self.q, head, rows.clone(), self.form.scale, shape.depth, queries);
        let queries = RowBlock { values: &*queries, stride: shape.depth, count: rows.len() };
        let scores = work.scores.scratch::<f32>(TILE_ROWS * shape.keys);
        let pattern = work.pattern.scratch::<T>(TILE_ROWS * shape.keys);
        work.z.clear();
        work.z.resize(shape.value_blocks, [[0.0; LANES]; TILE_ROWS]);
        let mut states = [RowState::START; TILE_ROWS];
        let end = self.first_position + rows.end;
        for chunk in packed.first_chunk..end.div_ceil(CHUNK_KEYS) {
            let start = chunk * CHUNK_KEYS;
            let keys = (end - start).next_multiple_of(TILE_ROWS).min(shape.keys);
            packed.scores(chunk, keys, queries, scores);
            let mut rescale = [1.0; TILE_ROWS];
            for (index, row) in rows.clone().enumerate() {
                let visible = self.form.visible(self.first_position + row);
                let visible =
                    visible.start.clamp(start, start + keys)..visible.end.clamp(start, start + keys);
                let scores = &mut scores[index * keys..][..keys];
                let visible = visible.start - start..visible.end - start;
                rescale[index] = absorb(scores, visible, self.form.softcap, &mut states[index]);
                T::store(scores, &mut pattern[index * keys..][..keys]);
            }
            let pattern = RowBlock { values: &pattern[..TILE_ROWS * keys], stride: keys, count: rows.len() };
            packed.mix(chunk, pattern, &rescale, &mut work.z);
        }
        self.finish(head, rows, &states, &work.z);
    }

    fn finish(&self, head: usize, rows: Range<usize>, states: &[RowState], z: &[[[f32; LANES]; TILE_ROWS]]) {
        let mut line = vec![0.0; z.len() * LANES];
        for (index, row) in rows.enumerate() {
            let factor = 1.0 / states[index].sum;
            for (lanes, block) in line.chunks_exact_mut(LANES).zip(z) {
                lanes.iter_mut().zip(&block[index]).for_each(|(out, z)| *out = factor * z);
            }
            // SAFETY: tasks have disjoint key-value heads or queries, and each visits a query and head once.
            unsafe { self.outputs.store(row, head, &line[..self.v.d_head]) };
        }
    }
}

/// The packed keys and values that a task's queries see.
struct Packed<'a, T> {
    shape: ChunkShape,
    first_chunk: usize,
    chunks: usize,
    keys: &'a [T],
    values: &'a [T],
}

impl<T: Operand> Packed<'_, T> {
    /// Scores of `queries` with the first `count` keys of a chunk, `[32, count]`.
    fn scores(&self, chunk: usize, count: usize, queries: RowBlock<'_, T>, scores: &mut [f32]) {
        debug_assert!(chunk - self.first_chunk < self.chunks);
        let keys = &self.keys[(chunk - self.first_chunk) * self.shape.keys_length()..];
        let block_length = LANES * self.shape.depth;
        let mut tile = Tile::new();
        for first in (0..count).step_by(2 * LANES) {
            let (left, right) = keys[first * self.shape.depth..][..2 * block_length].split_at(block_length);
            T::multiply(Backend::best(), queries, [left, right], &mut tile);
            copy_rows(&tile, queries.count, &mut scores[first..], count);
        }
    }

    /// z := z · rescale + pattern · v for the keys of a chunk that the pattern covers.
    fn mix(
        &self,
        chunk: usize,
        pattern: RowBlock<'_, T>,
        rescale: &[f32; TILE_ROWS],
        z: &mut [[[f32; LANES]; TILE_ROWS]],
    ) {
        let values = &self.values[(chunk - self.first_chunk) * self.shape.values_length()..];
        let (block_length, used) = (LANES * self.shape.keys, LANES * pattern.stride);
        let mut tile = Tile::new();
        for (z, values) in z.chunks_exact_mut(2).zip(values.chunks_exact(2 * block_length)) {
            let (left, right) = values.split_at(block_length);
            T::multiply(Backend::best(), pattern, [&left[..used], &right[..used]], &mut tile);
            add_rows(&tile, rescale, z);
        }
    }
}

multiversion! {
    /// Copies `count` rows of both blocks to rows of `stride`.
    fn copy_rows(tile: &Tile, count: usize, rows: &mut [f32], stride: usize) {
        let [left, right] = &tile.0;
        for (row, (left, right)) in rows.chunks_mut(stride).zip(left.iter().zip(right)).take(count) {
            row[..LANES].copy_from_slice(left);
            row[LANES..2 * LANES].copy_from_slice(right);
        }
    }
}

multiversion! {
    fn add_rows(tile: &Tile, rescale: &[f32; TILE_ROWS], z: &mut [[[f32; LANES]; TILE_ROWS]]) {
        for (z, block) in z.iter_mut().zip(&tile.0) {
            for ((z, lanes), factor) in z.iter_mut().zip(block).zip(rescale) {
                z.iter_mut().zip(lanes).for_each(|(z, value)| *z = z.mul_add(*factor, *value));
            }
        }
    }
}
