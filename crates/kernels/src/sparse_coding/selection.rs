//! The large entries of x · Wᵀ + b for very many rows of W, found without holding the products.
//!
//! W is packed some megabytes at a time. Each task takes a group of rows of x, which stays in the second-level cache
//! with its lists, past all panels (32 rows of W); each tile of products goes to [`Candidates`]. While the matrix
//! unit makes one tile, the tile before it is compared.
//!
//! In bf16 and int8 both x and W are rounded, and so are the values found: select somewhat more than needed and compute
//! the exact products of those ([`super::dots`]). [`Selection::noise`] says how far values are off.

use half::bf16;
use rayon::prelude::*;

use super::candidates::{Candidates, Columns};
use super::factors::{Factor, Scaling, SelectionPrecision};
use super::int8::Byte;
use super::sparse_rows::SparseRows;
use crate::aligned::AlignedBuffer;
use crate::detect::Backend;
use crate::matrix_product::{LANES, RowBlock, TILE_ROWS, Tile};

pub use super::candidates::Keep;

/// Standard deviations of the noise by which the floor of [`Keep::Above`] is lowered, so that what truly lies above it
/// is found.
const SURE: f32 = 4.0;

/// Bytes of W that are packed at a time.
const PACKED_BYTES: usize = 64 << 20;
/// Rows of x in a group at most: with their lists they fill much of a second-level cache.
const GROUP_ROWS: usize = 512;
/// Groups per thread at least, if there are rows enough.
const GROUPS_PER_THREAD: usize = 2;

/// The matrix W `[n_latents, d]` and b `[n_latents]`, or some of their rows.
#[derive(Clone, Copy, Debug)]
pub struct EncoderRows<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
    chosen: Option<&'a [u32]>,
    d: usize,
}

impl<'a> EncoderRows<'a> {
    /// All rows.
    ///
    /// # Panics
    /// If the lengths contradict each other.
    pub fn all(weight: &'a [f32], bias: &'a [f32], d: usize) -> Self {
        assert!(d > 0 && weight.len() == bias.len() * d, "encoder: weight and bias differ in rows");
        Self { weight, bias, chosen: None, d }
    }

    /// The rows `chosen` only, ascending.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn only(self, chosen: &'a [u32]) -> Self {
        assert!(chosen.iter().all(|&row| (row as usize) < self.bias.len()), "encoder: no such row");
        Self { chosen: Some(chosen), ..self }
    }

    /// The number of latents.
    pub(super) fn len(&self) -> usize {
        self.chosen.map_or(self.bias.len(), <[u32]>::len)
    }

    /// The latent that is row `row` of those chosen.
    fn latent(&self, row: usize) -> usize {
        self.chosen.map_or(row, |chosen| chosen[row] as usize)
    }

    /// The length of a row.
    pub(super) fn d(&self) -> usize {
        self.d
    }

    /// The weights of the latent that is row `row` of those chosen.
    pub(super) fn weights(&self, row: usize) -> &'a [f32] {
        &self.weight[self.latent(row) * self.d..][..self.d]
    }

    /// The columns of block `block` of 16.
    fn columns(&self, block: usize) -> Columns {
        let first = block * LANES;
        let count = LANES.min(self.len().saturating_sub(first));
        let mut bias = [0.0; LANES];
        for (lane, bias) in bias.iter_mut().enumerate().take(count) {
            *bias = self.bias[self.latent(first + lane)];
        }
        Columns { first: first as u32, lanes: ((1_u32 << count) - 1) as u16, bias }
    }
}

/// Finds large products; keeps its memory from one call to the next.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    rows: AlignedBuffer,
    panels: AlignedBuffer,
    noise: Vec<f32>,
    /// The entries of a row beyond which it overflows.
    most: usize,
    thresholds: Vec<f32>,
    counts: Vec<u32>,
    values: Vec<f32>,
    indices: Vec<u32>,
}

impl Selection {
    /// Fills `out` with the entries of x · Wᵀ + b that `keep` asks for, in order of latent, for x `[rows, d]`.
    ///
    /// Of equal values those with smaller indices are kept. Returns the number of rows that overflowed
    /// ([`Keep::Above`]); these rows are incomplete. NaN is never selected. Rounded products above a floor include
    /// some below it, by four standard deviations of their noise. Runs on all threads of the rayon pool, whose number
    /// does not enter the result.
    ///
    /// # Panics
    /// If x is not whole rows.
    pub fn run(
        &mut self,
        x: &[f32],
        encoder: EncoderRows<'_>,
        keep: Keep,
        precision: impl Into<SelectionPrecision>,
        out: &mut SparseRows,
    ) -> usize {
        self.run_on(Backend::best(), x, encoder, keep, precision.into(), out)
    }

    /// The rows of the last run that overflowed, ascending.
    pub fn overflowed(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.counts.len() as u32).filter(|row| self.counts[*row as usize] as usize > self.most)
    }

    /// `[rows]`: the standard deviation by which rounding moves the last products of each row, estimated for weights
    /// and activations that are independent; 0 in f32.
    pub fn noise(&self) -> &[f32] {
        &self.noise
    }

    fn run_on(
        &mut self,
        backend: Backend,
        x: &[f32],
        encoder: EncoderRows<'_>,
        keep: Keep,
        precision: SelectionPrecision,
        out: &mut SparseRows,
    ) -> usize {
        let count = x.len() / encoder.d;
        assert_eq!(x.len(), count * encoder.d, "selection: x is not whole rows");
        let capacity = keep.capacity();
        self.thresholds.clear();
        self.thresholds.resize(count, keep.floor());
        self.counts.clear();
        self.counts.resize(count, 0);
        self.values.resize(count * capacity, 0.0);
        self.indices.resize(count * capacity, 0);
        match precision {
            SelectionPrecision::F32 => self.sweep::<f32>(backend, x, encoder, keep),
            SelectionPrecision::Bf16 => self.sweep::<bf16>(backend, x, encoder, keep),
            SelectionPrecision::Int8 => self.sweep::<Byte>(backend, x, encoder, keep),
        }
        self.finish(encoder, keep, out)
    }

    fn sweep<T: Factor>(&mut self, backend: Backend, x: &[f32], encoder: EncoderRows<'_>, keep: Keep) {
        let depth = T::depth(encoder.d);
        let count = x.len() / encoder.d;
        let padded = count.next_multiple_of(T::ROW_STEP);
        let rows = self.rows.scratch::<T>(padded * depth);
        let scaling = T::scaling(x, encoder);
        self.noise.resize(count, 0.0);
        convert_rows(x, &scaling, depth, rows, &mut self.noise);
        if matches!(keep, Keep::Above { .. }) {
            self.thresholds.iter_mut().zip(&self.noise).for_each(|(floor, noise)| *floor -= SURE * noise);
        }
        let rows: &[T] = rows;
        let groups = rayon::current_num_threads() * GROUPS_PER_THREAD;
        let group_rows = count.div_ceil(groups).next_multiple_of(TILE_ROWS).clamp(TILE_ROWS, GROUP_ROWS);
        let panel_values = 2 * LANES * depth;
        let panels = encoder.len().div_ceil(2 * LANES);
        let panels_at_once = (PACKED_BYTES / (panel_values * size_of::<T>())).max(1);
        let capacity = keep.capacity();
        for first_panel in (0..panels).step_by(panels_at_once) {
            let packed_panels = panels_at_once.min(panels - first_panel);
            let packed = self.panels.scratch::<T>(packed_panels * panel_values);
            pack_panels(encoder, &scaling, first_panel, panel_values, packed);
            let pass = Pass { backend, packed, depth, first_panel, encoder };
            let lists = self.values.par_chunks_mut(group_rows * capacity);
            let lists = lists.zip(self.indices.par_chunks_mut(group_rows * capacity));
            let states =
                self.thresholds.par_chunks_mut(group_rows).zip(self.counts.par_chunks_mut(group_rows));
            lists.zip(states).enumerate().for_each(|(group, ((values, indices), (thresholds, counts)))| {
                let rows = &rows[group * group_rows * depth..];
                let lists = Candidates { keep, capacity, thresholds, counts, values, indices };
                T::prepared(backend, || pass.run(rows, lists));
            });
        }
    }

    /// Brings the lists into `out`: of `Keep::Largest` exactly the largest.
    fn finish(&mut self, encoder: EncoderRows<'_>, keep: Keep, out: &mut SparseRows) -> usize {
        let (width, largest) = match keep {
            Keep::Largest(keep) => (keep, Some(keep)),
            Keep::Above { most, .. } => (most, None),
        };
        self.most = if largest.is_none() { width } else { usize::MAX };
        out.reset(self.counts.len(), width.max(1));
        let capacity = keep.capacity();
        let lists = self.values.par_chunks_mut(capacity).zip(self.indices.par_chunks_mut(capacity));
        let rows = lists.zip(&self.counts).zip(out.par_rows_mut());
        rows.map(|(((values, indices), count), row)| {
            let overflows = largest.is_none() && *count as usize > width;
            let kept = if overflows { width } else { *count as usize };
            let mut list = super::SparseRowMut { count: &mut (kept as u32), indices, values };
            if let Some(largest) = largest {
                list.keep_largest(largest);
            }
            let kept = *list.count as usize;
            *row.count = kept as u32;
            row.values[..kept].copy_from_slice(&values[..kept]);
            for (target, index) in row.indices[..kept].iter_mut().zip(&indices[..kept]) {
                *target = encoder.latent(*index as usize) as u32;
            }
            usize::from(overflows)
        })
        .sum()
    }
}

/// Rows of x past some packed panels.
struct Pass<'a, T> {
    backend: Backend,
    packed: &'a [T],
    depth: usize,
    first_panel: usize,
    encoder: EncoderRows<'a>,
}

impl<T: Factor> Pass<'_, T> {
    /// Offers all products of the group that begins at `rows` to its lists.
    fn run(&self, rows: &[T], mut lists: Candidates<'_>) {
        let count = lists.counts.len();
        let mut tiles = [Tile::new(), Tile::new()];
        let mut waiting: Option<(usize, [Columns; 2])> = None;
        let mut free = 0;
        for (panel, packed) in self.packed.chunks_exact(2 * LANES * self.depth).enumerate() {
            let panel = self.first_panel + panel;
            let columns = [2 * panel, 2 * panel + 1].map(|block| self.encoder.columns(block));
            let (left, right) = packed.split_at(LANES * self.depth);
            for first in (0..count).step_by(TILE_ROWS) {
                let values = &rows[first * self.depth..];
                let block = RowBlock { values, stride: self.depth, count: TILE_ROWS.min(count - first) };
                T::multiply(self.backend, block, [left, right], &mut tiles[free]);
                if let Some((first, columns)) = waiting.replace((first, columns)) {
                    let block = TILE_ROWS.min(count - first);
                    lists.offer(self.backend, first, block, &tiles[1 - free], &columns);
                }
                free = 1 - free;
            }
        }
        if let Some((first, columns)) = waiting {
            lists.offer(self.backend, first, TILE_ROWS.min(count - first), &tiles[1 - free], &columns);
        }
    }
}

/// Converts rows of x to rows of `depth`, and says how noisy their products are; rows beyond those of x become 0.
fn convert_rows<T: Factor>(x: &[f32], scaling: &Scaling, depth: usize, out: &mut [T], noise: &mut [f32]) {
    let (rows, padding) = out.split_at_mut(noise.len() * depth);
    let results = rows.par_chunks_exact_mut(depth).zip(noise);
    results.zip(x.par_chunks_exact(scaling.d)).with_min_len(TILE_ROWS).for_each(|((out, noise), row)| {
        *noise = T::convert(row, scaling, out);
    });
    padding.fill(T::zeroed());
}

/// Packs the panels from `first_panel` on.
fn pack_panels<T: Factor>(
    encoder: EncoderRows<'_>,
    scaling: &Scaling,
    first_panel: usize,
    panel_values: usize,
    packed: &mut [T],
) {
    let blocks = packed.par_chunks_exact_mut(panel_values / 2).enumerate();
    blocks.for_each(|(block, values)| {
        let first = (2 * first_panel + block) * LANES;
        let mut rows: [&[f32]; LANES] = [&[]; LANES];
        let count = LANES.min(encoder.len().saturating_sub(first));
        for (lane, row) in rows.iter_mut().enumerate().take(count) {
            *row = encoder.weights(first + lane);
        }
        if count < LANES {
            values.fill(T::zeroed());
        }
        T::pack(&rows[..count], scaling, values);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Deterministic values in [−1, 1), coarse enough that sums are exact in every order and precision.
    fn values(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 60) as f32 / 8.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn products(x: &[f32], weight: &[f32], bias: &[f32], d: usize) -> Vec<Vec<f32>> {
        let rows = x.chunks_exact(d);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        rows.map(|x| weight.chunks_exact(d).zip(bias).map(|(w, b)| dot(x, w) + b).collect()).collect()
    }

    fn backends() -> impl Iterator<Item = Backend> {
        Backend::ALL.into_iter().filter(|b| b.is_available())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn finds_exactly_the_largest(
            rows in 0_usize..80, n in 1_usize..700, d in 1_usize..70, keep in 1_usize..60, seed in any::<u64>(),
            every in 1_usize..4,
        ) {
            let (x, weight, bias) = (values(rows * d, seed), values(n * d, !seed), values(n, seed ^ 9));
            let chosen: Vec<u32> = (0..n as u32).step_by(every).collect();
            let encoder = EncoderRows::all(&weight, &bias, d);
            let encoder = if every == 1 { encoder } else { encoder.only(&chosen) };
            let expected: Vec<Vec<u32>> = products(&x, &weight, &bias, d)
                .iter()
                .map(|row| {
                    let chosen_values: Vec<f32> = chosen.iter().map(|&i| row[i as usize]).collect();
                    let best = crate::top_k(&chosen_values, keep);
                    let positive = best.iter().filter(|r| r.value > 0.0);
                    let mut indices: Vec<u32> = positive.map(|r| chosen[r.index as usize]).collect();
                    indices.sort_unstable();
                    indices
                })
                .collect();
            let (mut selection, mut out) = (Selection::default(), SparseRows::default());
            for precision in [SelectionPrecision::F32, SelectionPrecision::Bf16] {
                for backend in backends() {
                    let keep = Keep::Largest(keep);
                    selection.run_on(backend, &x, encoder, keep, precision, &mut out);
                    for (row, expected) in expected.iter().enumerate() {
                        prop_assert_eq!(out.row(row).indices, expected.as_slice(), "{} {:?}", backend, precision);
                    }
                }
            }
        }

        #[test]
        fn finds_all_above_a_floor(
            rows in 1_usize..50, n in 1_usize..200, d in 1_usize..40, most in 1_usize..150, seed in any::<u64>(),
        ) {
            let (x, weight, bias) = (values(rows * d, seed), values(n * d, !seed), values(n, seed ^ 9));
            let encoder = EncoderRows::all(&weight, &bias, d);
            let (mut selection, mut out) = (Selection::default(), SparseRows::default());
            let expected = products(&x, &weight, &bias, d);
            for backend in backends() {
                let keep = Keep::Above { floor: 0.5, most };
                let overflowed = selection.run_on(backend, &x, encoder, keep, SelectionPrecision::F32, &mut out);
                let mut expected_overflow = 0;
                let overflowing: Vec<u32> = selection.overflowed().collect();
                prop_assert_eq!(overflowing.len(), overflowed);
                for (row, expected) in expected.iter().enumerate() {
                    let indices: Vec<u32> = (0..n as u32).filter(|&i| expected[i as usize] > 0.5).collect();
                    if indices.len() > most {
                        expected_overflow += 1;
                        prop_assert!(overflowing.contains(&(row as u32)));
                        continue;
                    }
                    prop_assert_eq!(out.row(row).indices, indices.as_slice());
                    for (index, value) in indices.iter().zip(out.row(row).values) {
                        prop_assert_eq!(*value, expected[*index as usize]);
                    }
                }
                prop_assert_eq!(overflowed, expected_overflow);
            }
        }
    }

    proptest! {
        /// What int8 leaves out is not larger than what it takes, but for the noise that it states.
        #[test]
        fn int8_is_off_by_its_noise(rows in 1_usize..50, n in 30_usize..300, seed in any::<u64>()) {
            let d = 36;
            let (x, weight, bias) = (values(rows * d, seed), values(n * d, !seed), values(n, seed ^ 9));
            let encoder = EncoderRows::all(&weight, &bias, d);
            let (mut selection, mut out) = (Selection::default(), SparseRows::default());
            let mut above = SparseRows::default();
            let expected = products(&x, &weight, &bias, d);
            for backend in backends() {
                let precision = SelectionPrecision::Int8;
                selection.run_on(backend, &x, encoder, Keep::Largest(9), precision, &mut out);
                let keep = Keep::Above { floor: 0.5, most: n };
                prop_assert_eq!(selection.run_on(backend, &x, encoder, keep, precision, &mut above), 0);
                for (row, expected) in expected.iter().enumerate() {
                    let noise = 8.0 * selection.noise()[row];
                    prop_assert!(noise < 1.0);
                    let found = out.row(row);
                    let smallest = found.values.iter().fold(f32::INFINITY, |a, b| a.min(*b));
                    for (index, value) in found.indices.iter().zip(found.values) {
                        prop_assert!((value - expected[*index as usize]).abs() <= noise);
                    }
                    for (latent, value) in expected.iter().enumerate() {
                        let is_found = found.indices.contains(&(latent as u32));
                        let limit = if found.indices.len() < 9 { 0.0 } else { smallest };
                        prop_assert!(is_found || *value <= limit + noise);
                        let is_above = above.row(row).indices.contains(&(latent as u32));
                        prop_assert!(is_above || *value <= 0.5 + noise);
                        prop_assert!(!is_above || *value > 0.5 - 2.0 * noise);
                    }
                }
            }
        }
    }

    /// Equal products everywhere force the thinning by sorting.
    #[test]
    fn equal_products_go_to_the_first() {
        let (n, d) = (5000, 4);
        let (weight, bias) = (vec![1.0; n * d], vec![0.0; n]);
        let (mut selection, mut out) = (Selection::default(), SparseRows::default());
        let encoder = EncoderRows::all(&weight, &bias, d);
        for backend in backends() {
            selection.run_on(
                backend,
                &[1.0; 8],
                encoder,
                Keep::Largest(10),
                SelectionPrecision::Bf16,
                &mut out,
            );
            assert_eq!(out.row(1).indices, (0..10).collect::<Vec<u32>>());
            assert_eq!(out.row(0).values, [4.0; 10]);
        }
    }

    /// More of W than is packed at once, and more rows than one group holds.
    #[test]
    fn large_shapes_agree_with_each_other() {
        let (rows, n, d) = (1100, 40_000, 900);
        let (x, weight, bias) = (values(rows * d, 1), values(n * d, 2), values(n, 3));
        let encoder = EncoderRows::all(&weight, &bias, d);
        let (mut selection, mut out, mut few) =
            (Selection::default(), SparseRows::default(), SparseRows::default());
        selection.run(&x, encoder, Keep::Largest(8), SelectionPrecision::Bf16, &mut out);
        for row in [0, 513, 1099] {
            let x = &x[row * d..][..d];
            selection.run(x, encoder, Keep::Largest(8), SelectionPrecision::F32, &mut few);
            assert_eq!(few.row(0).indices, out.row(row).indices);
            assert_eq!(few.row(0).values, out.row(row).values);
        }
    }
}
