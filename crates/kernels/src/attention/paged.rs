//! Attention over a paged cache: the fused kernel for many sequences at once, whose queries share the pages that their
//! sequences share.
//!
//! 32 rows (a query of one head each) go over their pages together. Neighbouring rows with the same page are multiplied
//! with it in one product, so a common beginning is read once for all of them; where sequences part, so do the products.
//! What happens to a row does not depend on its neighbours: it meets the same pages in the same order, alone or not.

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::fused::SharedOutputs;
use super::online_softmax::{RowStates, absorb};
use super::operands::Operand;
use super::pages::{PAGE_POSITIONS, PageLayout, PagedQuery, visible_in};
use super::rows::{BlockRows, add_rows, copy_rows, divide_rows, gather_queries};
use super::{Attention, HeadView};
use crate::aligned::AlignedBuffer;
use crate::detect::Backend;
use crate::matrix_product::{LANES, Precision, RowBlock, TILE_ROWS, Tile};
use crate::outputs::Outputs;
use crate::shared_rows::SharedRows;
use crate::threads::Threads;

impl Attention {
    /// z of queries of many sequences, `[queries, heads · d_head]`. `pages` are the cached pages of this layer, which the
    /// queries name by index; they hold the queries' own positions already.
    ///
    /// # Panics
    /// If the views, pages or outputs contradict the layout, or a query names a page that is not there.
    pub fn attend_paged(
        &self,
        layout: PageLayout,
        pages: &[&[u8]],
        q: HeadView<'_>,
        queries: &[PagedQuery<'_>],
        outputs: Outputs<'_>,
    ) {
        assert_eq!(q.heads % layout.kv_heads, 0, "attention: heads is no multiple of kv_heads");
        assert_eq!(q.d_head, layout.d_head, "attention: queries and pages differ in shape");
        outputs.check(queries.len() * q.heads * q.d_head);
        let width = q.heads * q.d_head;
        let shared = SharedOutputs {
            f32: outputs.f32.map(|values| SharedRows::new(values, width)),
            bf16: outputs.bf16.map(|values| SharedRows::new(values, width)),
            d_head: q.d_head,
        };
        let work = Work { form: self, layout, pages, q, queries, outputs: &shared };
        match layout.precision {
            Precision::F32 => work.run::<f32>(self.threads),
            Precision::Bf16 => work.run::<bf16>(self.threads),
        }
    }
}

/// What all blocks of rows have in common.
struct Work<'a> {
    form: &'a Attention,
    layout: PageLayout,
    pages: &'a [&'a [u8]],
    q: HeadView<'a>,
    queries: &'a [PagedQuery<'a>],
    outputs: &'a SharedOutputs<'a>,
}

/// Buffers that the blocks of one thread reuse.
#[derive(Default)]
struct Workspace {
    /// Queries, scores and results in f32, in turn.
    wide: AlignedBuffer,
    queries: AlignedBuffer,
    pattern: AlignedBuffer,
    /// Sums of pattern · v, `[block of 16 coordinates][32][16]`, of the block and of a run of its rows.
    z: Vec<[[f32; LANES]; TILE_ROWS]>,
    run: Vec<[[f32; LANES]; TILE_ROWS]>,
}

fn with_workspace(work: impl FnOnce(&mut Workspace)) {
    thread_local! {
        static WORKSPACE: RefCell<Workspace> = RefCell::default();
    }
    let mut workspace = WORKSPACE.take();
    work(&mut workspace);
    WORKSPACE.set(workspace);
}

impl Work<'_> {
    fn run<T: Operand>(&self, threads: Threads) {
        let rows = self.queries.len() * self.q.heads / self.layout.kv_heads;
        let blocks = rows.div_ceil(TILE_ROWS);
        let block = |task: usize| {
            let (head, first) = (task / blocks, task % blocks * TILE_ROWS);
            let group = self.q.heads / self.layout.kv_heads;
            let count = TILE_ROWS.min(rows - first);
            let rows = BlockRows { first, count, group, first_head: head * group };
            with_workspace(|workspace| {
                T::prepared(Backend::best(), || self.block::<T>(head, rows, workspace));
            });
        };
        let tasks = blocks * self.layout.kv_heads;
        match threads {
            Threads::One => (0..tasks).for_each(block),
            Threads::All => (0..tasks).into_par_iter().for_each(block),
        }
    }

    fn block<T: Operand>(&self, kv_head: usize, rows: BlockRows, work: &mut Workspace) {
        let (shape, count) = (self.layout.shape::<T>(), rows.count);
        let width = shape.value_blocks * LANES;
        let wide = work.wide.scratch::<f32>(TILE_ROWS * PAGE_POSITIONS.max(shape.depth).max(width));
        // A run may begin at any row; kernels read whole blocks of rows from there.
        let queries = work.queries.scratch::<T>(2 * TILE_ROWS * shape.depth);
        gather_queries(self.q, rows, self.form.scale, shape.depth, wide);
        T::store(&wide[..count * shape.depth], &mut queries[..count * shape.depth]);
        work.z.clear();
        work.z.resize(shape.value_blocks, [[0.0; LANES]; TILE_ROWS]);
        let mut states = RowStates::START;
        let query = |row: usize| &self.queries[rows.place(row).0];
        let last = (0..count).map(|row| query(row).position).max().unwrap_or(0) / PAGE_POSITIONS;
        for number in 0..=last {
            let mut start = 0;
            while start < count {
                let page = query(start).page(number);
                let end = (start..count).find(|&row| query(row).page(number) != page).unwrap_or(count);
                if let Some(page) = page {
                    let positions = (start..end).map(|row| query(row).position);
                    let visible: Vec<Range<usize>> =
                        positions.map(|position| self.form.visible(position)).collect();
                    let page = Page {
                        head: self.layout.head::<T>(self.pages[page as usize], kv_head),
                        start: number * PAGE_POSITIONS,
                        depth: shape.depth,
                    };
                    let queries = &queries[start * shape.depth..];
                    let run = Run { start, visible: &visible, softcap: self.form.softcap };
                    let mut buffers = RunBuffers {
                        scores: &mut work.wide,
                        pattern: &mut work.pattern,
                        z: &mut work.z,
                        own: &mut work.run,
                    };
                    page.absorb(&run, queries, &mut states, &mut buffers);
                }
                start = end;
            }
        }
        let wide = work.wide.scratch::<f32>(TILE_ROWS * width);
        divide_rows(&work.z, &states.sum, count, wide);
        let rounded = &mut work.pattern.scratch::<bf16>(count * width)[..];
        // SAFETY: blocks have different heads or rows, and each row is another query and head.
        unsafe { self.outputs.store(rows, &wide[..count * width], rounded, width) };
    }
}

/// Neighbouring rows of a block that see the same page.
struct Run<'a> {
    start: usize,
    /// The keys that each row sees, as positions.
    visible: &'a [Range<usize>],
    softcap: Option<f32>,
}

struct RunBuffers<'a> {
    scores: &'a mut AlignedBuffer,
    pattern: &'a mut AlignedBuffer,
    z: &'a mut [[[f32; LANES]; TILE_ROWS]],
    own: &'a mut Vec<[[f32; LANES]; TILE_ROWS]>,
}

/// Keys and values of one head of a page.
struct Page<'a, T> {
    head: (&'a [T], &'a [T]),
    /// The position of its first key.
    start: usize,
    depth: usize,
}

impl<T: Operand> Page<'_, T> {
    /// Takes the page into the states and sums of the rows of a run.
    fn absorb(&self, run: &Run<'_>, queries: &[T], states: &mut RowStates, buffers: &mut RunBuffers<'_>) {
        let count = run.visible.len();
        let end = run.visible.iter().map(|visible| visible.end).max().unwrap_or(0);
        if run.visible.iter().all(|visible| visible.start >= self.start + PAGE_POSITIONS) {
            return;
        }
        let keys = (end - self.start).next_multiple_of(TILE_ROWS).min(PAGE_POSITIONS);
        let scores = buffers.scores.scratch::<f32>(TILE_ROWS * keys);
        self.scores(RowBlock { values: queries, stride: self.depth, count }, keys, scores);
        let mut visible: [Range<usize>; TILE_ROWS] = std::array::from_fn(|_| 0..0);
        for (local, global) in visible.iter_mut().zip(run.visible) {
            *local = visible_in(global, self.start, keys);
        }
        let mut own = states.part(run.start, count);
        absorb(&mut scores[..count * keys], keys, &visible[..count], run.softcap, &mut own);
        states.replace(run.start, count, &own);
        let pattern = buffers.pattern.scratch::<T>(TILE_ROWS * keys);
        T::store(&scores[..count * keys], &mut pattern[..count * keys]);
        let pattern = RowBlock { values: &*pattern, stride: keys, count };
        let rows = run.start..run.start + count;
        buffers.own.clear();
        buffers.own.extend(buffers.z.iter().map(|block| {
            let mut part = [[0.0; LANES]; TILE_ROWS];
            part[..count].copy_from_slice(&block[rows.clone()]);
            part
        }));
        self.mix(pattern, &own.rescale, buffers.own);
        for (block, own) in buffers.z.iter_mut().zip(&*buffers.own) {
            block[rows.clone()].copy_from_slice(&own[..count]);
        }
    }

    /// Scores of `queries` with the first `keys` keys, `[32, keys]`.
    fn scores(&self, queries: RowBlock<'_, T>, keys: usize, scores: &mut [f32]) {
        let length = LANES * self.depth;
        let mut tile = Tile::new();
        for first in (0..keys).step_by(2 * LANES) {
            let (left, right) = self.head.0[first * self.depth..][..2 * length].split_at(length);
            T::multiply(Backend::best(), queries, [left, right], &mut tile);
            copy_rows(&tile, queries.count, &mut scores[first..], keys);
        }
    }

    /// z := z · rescale + pattern · v.
    fn mix(&self, pattern: RowBlock<'_, T>, rescale: &[f32; TILE_ROWS], z: &mut [[[f32; LANES]; TILE_ROWS]]) {
        let (length, used) = (LANES * PAGE_POSITIONS, LANES * pattern.stride);
        let mut tile = Tile::new();
        for (z, values) in z.chunks_exact_mut(2).zip(self.head.1.chunks_exact(2 * length)) {
            let (left, right) = values.split_at(length);
            T::multiply(Backend::best(), pattern, [&left[..used], &right[..used]], &mut tile);
            add_rows(&tile, rescale, pattern.count, z);
        }
    }
}
