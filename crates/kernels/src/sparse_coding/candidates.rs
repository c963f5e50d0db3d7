//! The best entries of each row so far, collected while tiles of products stream by.
//!
//! Every row has a threshold that at least `keep` of the products seen exceed. Products above it are appended to the
//! row's list; when the list is full, a bisection over the values finds a higher threshold and the list is thinned.
//! A row of n products in random order appends about `keep` · ln(n / `keep`) of them, so almost every comparison
//! fails and the work hides behind the matrix unit. What is left at the end contains the `keep` largest, whatever
//! the order of tiles.

use super::thinning::keep_largest;
use crate::detect::Backend;
use crate::matrix_product::{LANES, Tile};

/// Products that one tile may add to a row.
const TILE_COLUMNS: usize = 2 * LANES;

/// What a selection keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// The so many largest of those above 0.
    Largest(usize),
    /// All above the floor, unless a row has more than so many: then the row overflows.
    Above {
        /// Entries must be greater.
        floor: f32,
        /// The room of a row.
        most: usize,
    },
}

impl Keep {
    /// The places a row needs.
    pub(super) fn capacity(self) -> usize {
        let wanted = match self {
            Self::Largest(keep) => 4 * keep,
            Self::Above { most, .. } => most,
        };
        (wanted + TILE_COLUMNS).next_multiple_of(LANES)
    }

    /// The threshold to begin with.
    pub(super) fn floor(self) -> f32 {
        match self {
            Self::Largest(_) => 0.0,
            Self::Above { floor, .. } => floor,
        }
    }
}

/// One block of 16 columns of a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// The latent of the first lane.
    pub(super) first: u32,
    /// The lanes that are latents, one bit each.
    pub(super) lanes: u16,
    /// Added to every product.
    pub(super) bias: [f32; LANES],
}

/// The lists of some consecutive rows, which one task fills.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    pub(super) keep: Keep,
    /// Places per row.
    pub(super) capacity: usize,
    /// `[rows]`
    pub(super) thresholds: &'a mut [f32],
    /// `[rows]`
    pub(super) counts: &'a mut [u32],
    /// `[rows, capacity]`
    pub(super) values: &'a mut [f32],
    /// `[rows, capacity]`
    pub(super) indices: &'a mut [u32],
}

impl Candidates<'_> {
    /// Offers the first `count` rows of a tile of products to the lists of rows `first_row..`.
    pub(super) fn offer(
        &mut self,
        backend: Backend,
        first_row: usize,
        count: usize,
        tile: &Tile,
        columns: &[Columns; 2],
    ) {
        match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 | Backend::Avx512Bf16 | Backend::Amx => {
                assert!(backend.is_available(), "this processor does not run {backend}");
                // SAFETY: AVX-512 F, BW, DQ and VL were detected.
                unsafe { self.offer_avx512(first_row, count, tile, columns) }
            }
            _ => self.offer_portable(first_row, count, tile, columns),
        }
    }

    fn offer_portable(&mut self, first_row: usize, count: usize, tile: &Tile, columns: &[Columns; 2]) {
        for row in 0..count {
            let threshold = self.thresholds[first_row + row];
            for (block, columns) in tile.0.iter().zip(columns) {
                for (lane, product) in block[row].iter().enumerate() {
                    let value = product + columns.bias[lane];
                    if value > threshold && columns.lanes >> lane & 1 == 1 {
                        let place = (first_row + row) * self.capacity + self.counts[first_row + row] as usize;
                        self.values[place] = value;
                        self.indices[place] = columns.first + lane as u32;
                        self.counts[first_row + row] += 1;
                    }
                }
            }
            self.make_room(first_row + row);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    fn offer_avx512(&mut self, first_row: usize, count: usize, tile: &Tile, columns: &[Columns; 2]) {
        use std::arch::x86_64::{
            _CMP_GT_OQ, _mm512_add_epi32, _mm512_add_ps, _mm512_loadu_ps, _mm512_mask_cmp_ps_mask,
            _mm512_maskz_compress_epi32, _mm512_maskz_compress_ps, _mm512_set1_epi32, _mm512_set1_ps,
            _mm512_setr_epi32, _mm512_storeu_ps, _mm512_storeu_si512,
        };
        let lane_numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        // SAFETY: an array of 16 f32.
        let biases = columns.map(|columns| unsafe { _mm512_loadu_ps(columns.bias.as_ptr()) });
        for row in 0..count {
            let list = first_row + row;
            let threshold = _mm512_set1_ps(self.thresholds[list]);
            let [left, right] = [0, 1].map(|block| {
                // SAFETY: an array of 16 f32.
                let products = unsafe { _mm512_loadu_ps(tile.0[block][row].as_ptr()) };
                _mm512_add_ps(products, biases[block])
            });
            let above_left = _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(columns[0].lanes, left, threshold);
            let above_right = _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(columns[1].lanes, right, threshold);
            if above_left | above_right == 0 {
                continue;
            }
            for (values, above, columns) in
                [(left, above_left, &columns[0]), (right, above_right, &columns[1])]
            {
                let place = list * self.capacity + self.counts[list] as usize;
                let indices = _mm512_add_epi32(lane_numbers, _mm512_set1_epi32(columns.first as i32));
                let (values_left, indices_left) =
                    (&mut self.values[place..][..LANES], &mut self.indices[place..][..LANES]);
                // Compressing straight into memory takes some processors a hundred cycles; into a register, two.
                // SAFETY: both slices hold the 16 elements that are stored.
                unsafe {
                    _mm512_storeu_ps(values_left.as_mut_ptr(), _mm512_maskz_compress_ps(above, values));
                    let indices = _mm512_maskz_compress_epi32(above, indices);
                    _mm512_storeu_si512(indices_left.as_mut_ptr().cast(), indices);
                }
                self.counts[list] += above.count_ones();
            }
            self.make_room(list);
        }
    }

    /// Makes sure that another tile's products fit into the list of `row`.
    #[inline(always)]
    fn make_room(&mut self, row: usize) {
        if self.counts[row] as usize > self.capacity - TILE_COLUMNS {
            self.thin(row);
        }
    }

    /// Thins the list of `row` to little more than what is kept. A row that overflows takes no more entries and
    /// stays over its limit.
    #[cold]
    pub(super) fn thin(&mut self, row: usize) {
        let Keep::Largest(keep) = self.keep else {
            self.thresholds[row] = f32::INFINITY;
            return;
        };
        let places = row * self.capacity..row * self.capacity + self.counts[row] as usize;
        let (values, indices) = (&mut self.values[places.clone()], &mut self.indices[places]);
        if keep < values.len() {
            let (count, threshold) = keep_largest(values, indices, keep..=keep + keep / 4);
            self.counts[row] = count as u32;
            self.thresholds[row] = threshold;
        }
    }
}
