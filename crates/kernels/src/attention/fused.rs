//! Attention that never stores the pattern (FlashAttention, Dao et al. 2022, on the tile kernels).
//!
//! For each key-value head, keys and values are packed once and serve all its query heads. 32 rows (a query of one of
//! these heads each) at a time go over the keys in chunks of 128: scores, online softmax, product with the values.
//! Chunks begin at multiples of 128 of the key's position, so that a query's sums do not depend on which other queries
//! are computed with it.

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::online_softmax::{RowStates, absorb};
use super::operands::{ChunkShape, Operand};
use super::rows::{BlockRows, add_rows, copy_rows, divide_rows, gather_queries};
use super::{Attention, HeadView};
use crate::aligned::AlignedBuffer;
use crate::convert::narrow;
use crate::detect::Backend;
use crate::matrix_product::{LANES, RowBlock, TILE_ROWS, Tile};
use crate::outputs::Outputs;
use crate::shared_rows::{Rectangle, SharedRows};
use crate::threads::Threads;

/// Keys treated between two updates of the running maximum.
pub(super) const CHUNK_KEYS: usize = 128;
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
    let width = q.heads * v.d_head;
    let shared = SharedOutputs {
        f32: outputs.f32.map(|values| SharedRows::new(values, width)),
        bf16: outputs.bf16.map(|values| SharedRows::new(values, width)),
        d_head: v.d_head,
    };
    let run = |workspace: &mut Workspace, kv_head: usize, queries: Range<usize>| {
        Task { form, q, k, v, kv_head, queries, first_position, outputs: &shared }.run::<T>(workspace);
    };
    match form.threads {
        Threads::One => with_workspace(|workspace| {
            T::prepared(Backend::best(), || {
                (0..k.heads).for_each(|head| run(workspace, head, 0..queries));
            });
        }),
        Threads::All => {
            let tasks = TASKS_PER_THREAD * rayon::current_num_threads();
            let parts = tasks.div_ceil(k.heads).min(queries.div_ceil(TILE_ROWS)).max(1);
            (0..k.heads * parts).into_par_iter().for_each(|task| {
                let (head, part) = (task / parts, task % parts);
                let queries = part * queries / parts..(part + 1) * queries / parts;
                with_workspace(|workspace| {
                    T::prepared(Backend::best(), || run(workspace, head, queries));
                });
            });
        }
    }
}

/// z `[queries, heads · d_head]`, written by all tasks.
pub(super) struct SharedOutputs<'a> {
    pub(super) f32: Option<SharedRows<'a, f32>>,
    pub(super) bf16: Option<SharedRows<'a, bf16>>,
    pub(super) d_head: usize,
}

impl SharedOutputs<'_> {
    /// Stores rows of z, `width` values apart.
    ///
    /// # Safety
    /// No other task stores the same queries and heads.
    pub(super) unsafe fn store(&self, rows: BlockRows, z: &[f32], rounded: &mut [bf16], width: usize) {
        if let Some(target) = self.f32 {
            // SAFETY: the caller's promise.
            unsafe { self.copy(target, rows, z, width) };
        }
        if let Some(target) = self.bf16 {
            narrow(z, rounded);
            // SAFETY: the caller's promise.
            unsafe { self.copy(target, rows, rounded, width) };
        }
    }

    /// # Safety
    /// As for [`SharedOutputs::store`].
    unsafe fn copy<T: Copy>(&self, target: SharedRows<'_, T>, rows: BlockRows, z: &[T], width: usize) {
        for (row, z) in z.chunks_exact(width).enumerate() {
            let (query, head) = rows.place(row);
            // SAFETY: the caller's promise; each row of a block is another query and head.
            let target = unsafe { target.rectangle(query, 1, head * self.d_head, self.d_head) };
            Rectangle::into_rows(target).for_each(|target| target.copy_from_slice(&z[..self.d_head]));
        }
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

/// Buffers of one block of rows.
#[derive(Default)]
struct BlockWorkspace {
    /// Queries `[32, depth]`, scores `[32, keys of a chunk]` and results `[32, d_head]` in f32, in turn.
    wide: AlignedBuffer,
    /// `[32, depth]`
    queries: AlignedBuffer,
    /// `[32, keys of a chunk]`; at the end results in bf16.
    pattern: AlignedBuffer,
    /// Sums of pattern · v, `[block of 16 coordinates][32][16]`.
    z: Vec<[[f32; LANES]; TILE_ROWS]>,
}

/// Lends the thread's buffers. They are taken out while in use, so that a nested call gets fresh ones.
fn with_workspace(work: impl FnOnce(&mut Workspace)) {
    thread_local! {
        static WORKSPACE: RefCell<Workspace> = RefCell::default();
    }
    let mut workspace = WORKSPACE.take();
    work(&mut workspace);
    WORKSPACE.set(workspace);
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
        let packed = Packed { shape, first_chunk, keys, values };
        let group = self.q.heads / self.k.heads;
        for first in (self.queries.start * group..self.queries.end * group).step_by(TILE_ROWS) {
            let count = TILE_ROWS.min(self.queries.end * group - first);
            let rows = BlockRows { first, count, group, first_head: self.kv_head * group };
            self.block(&packed, rows, &mut workspace.block);
        }
    }

    fn block<T: Operand>(&self, packed: &Packed<'_, T>, rows: BlockRows, work: &mut BlockWorkspace) {
        let (shape, count) = (packed.shape, rows.count);
        let width = shape.value_blocks * LANES;
        let wide = work.wide.scratch::<f32>(TILE_ROWS * shape.keys.max(shape.depth).max(width));
        let queries = work.queries.scratch::<T>(TILE_ROWS * shape.depth);
        gather_queries(self.q, rows, self.form.scale, shape.depth, wide);
        T::store(&wide[..count * shape.depth], &mut queries[..count * shape.depth]);
        let queries = RowBlock { values: &*queries, stride: shape.depth, count };
        work.z.clear();
        work.z.resize(shape.value_blocks, [[0.0; LANES]; TILE_ROWS]);
        let mut states = RowStates::START;
        let position = |row: usize| self.first_position + rows.place(row).0;
        let (first, end) = (self.form.visible(position(0)).start, position(count - 1) + 1);
        for chunk in first / CHUNK_KEYS..end.div_ceil(CHUNK_KEYS) {
            let start = chunk * CHUNK_KEYS;
            let keys = (end - start).next_multiple_of(TILE_ROWS).min(shape.keys);
            packed.scores(chunk, keys, queries, wide);
            let visible: [Range<usize>; TILE_ROWS] = std::array::from_fn(|row| {
                let visible = self.form.visible(position(row.min(count - 1)));
                visible.start.clamp(start, start + keys) - start
                    ..visible.end.clamp(start, start + keys) - start
            });
            absorb(&mut wide[..count * keys], keys, &visible[..count], self.form.softcap, &mut states);
            let pattern = work.pattern.scratch::<T>(TILE_ROWS * keys);
            T::store(&wide[..count * keys], &mut pattern[..count * keys]);
            let pattern = RowBlock { values: &*pattern, stride: keys, count };
            packed.mix(chunk, pattern, &states.rescale, &mut work.z);
        }
        divide_rows(&work.z, &states.sum, count, wide);
        let rounded = &mut work.pattern.scratch::<bf16>(count * width)[..];
        // SAFETY: tasks have disjoint key-value heads or queries, and each visits a query and head once.
        unsafe { self.outputs.store(rows, &wide[..count * width], rounded, width) };
    }
}

/// The packed keys and values that a task's queries see.
struct Packed<'a, T> {
    shape: ChunkShape,
    first_chunk: usize,
    keys: &'a [T],
    values: &'a [T],
}

impl<T: Operand> Packed<'_, T> {
    /// Scores of `queries` with the first `count` keys of a chunk, `[32, count]`.
    fn scores(&self, chunk: usize, count: usize, queries: RowBlock<'_, T>, scores: &mut [f32]) {
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
            add_rows(&tile, rescale, pattern.count, z);
        }
    }
}
