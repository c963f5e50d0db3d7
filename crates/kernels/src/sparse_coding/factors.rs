//! The number formats in which a selection multiplies, and how rows are brought into them.

use half::bf16;

use super::selection::EncoderRows;
use crate::convert::narrow;
use crate::detect::Backend;
use crate::matrix_product::{Element, Precision, multiplies_bytes, pack_bf16, pack_f32};
use crate::reduce;

/// The format of the products that select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectionPrecision {
    /// Exact but for the order of sums.
    F32,
    /// Rows and weights rounded to 8-bit significands.
    Bf16,
    /// Rows and weights rounded to 8-bit integers, with one scale a row: six times the noise of bf16.
    Int8,
}

impl From<Precision> for SelectionPrecision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

impl SelectionPrecision {
    /// The fastest format on this machine for work that may be done in `precision`: where bf16 may, and bytes are
    /// multiplied by vectors but bf16 not by tiles, int8.
    pub fn fastest(precision: Precision) -> Self {
        match precision {
            Precision::Bf16 if Backend::best() < Backend::Amx && multiplies_bytes(Backend::best()) => {
                Self::Int8
            }
            _ => precision.into(),
        }
    }
}

/// The relative error of a product of two numbers rounded to bf16, root mean square: each is off by up to 2⁻⁹, by
/// 0.65 · 2⁻⁹ on average together.
const BF16_ERROR: f64 = 0.65 / 512.0;

/// What converting rows needs to know of all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Scaling {
    /// The length of a row.
    pub(super) d: usize,
    /// Int8: what the columns of x are multiplied by.
    pub(super) row_factors: Vec<f32>,
    /// Int8: what the columns of W are multiplied by.
    pub(super) weight_factors: Vec<f32>,
    /// The mean of ‖w‖² over latents, of scaled weights where they are scaled.
    pub(super) weight_square: f64,
    /// Int8: the mean of the squared step between neighbouring integers over latents.
    pub(super) weight_step_square: f64,
}

/// A number type that rows are multiplied in.
pub(super) trait Factor: Element {
    /// The padded length of a row.
    fn depth(d: usize) -> usize;
    /// What `convert` and `pack` need to know.
    fn scaling(x: &[f32], encoder: EncoderRows<'_>) -> Scaling;
    /// Fills a padded row. Returns the standard deviation of its products' errors.
    fn convert(row: &[f32], scaling: &Scaling, out: &mut [Self]) -> f32;
    /// Packs up to 16 rows of W into a block, of which rows that are not given are zeros.
    fn pack(rows: &[&[f32]], scaling: &Scaling, block: &mut [Self]);
}

impl Factor for f32 {
    fn depth(d: usize) -> usize {
        d
    }

    fn scaling(_: &[f32], encoder: EncoderRows<'_>) -> Scaling {
        Scaling { d: encoder.d(), ..Scaling::default() }
    }

    fn convert(row: &[f32], _: &Scaling, out: &mut [Self]) -> f32 {
        out.copy_from_slice(row);
        0.0
    }

    fn pack(rows: &[&[f32]], _: &Scaling, block: &mut [Self]) {
        pack_f32(rows, block);
    }
}

impl Factor for bf16 {
    fn depth(d: usize) -> usize {
        d.next_multiple_of(32)
    }

    fn scaling(_: &[f32], encoder: EncoderRows<'_>) -> Scaling {
        let squares = sample(encoder).map(|row| f64::from(reduce::dot(row, row))).sum::<f64>();
        let weight_square = squares / sample(encoder).count().max(1) as f64;
        Scaling { d: encoder.d(), weight_square, ..Scaling::default() }
    }

    fn convert(row: &[f32], scaling: &Scaling, out: &mut [Self]) -> f32 {
        let (values, padding) = out.split_at_mut(row.len());
        narrow(row, values);
        padding.fill(Self::ZERO);
        let square = f64::from(reduce::dot(row, row)) * scaling.weight_square / row.len() as f64;
        (BF16_ERROR * square.sqrt()) as f32
    }

    fn pack(rows: &[&[f32]], _: &Scaling, block: &mut [Self]) {
        pack_bf16(rows, block);
    }
}

/// Latents that stand for all.
const SAMPLED: usize = 512;

/// Rows of W at equal distances.
pub(super) fn sample(encoder: EncoderRows<'_>) -> impl Iterator<Item = &[f32]> {
    (0..encoder.len()).step_by(encoder.len().div_ceil(SAMPLED).max(1)).map(move |row| encoder.weights(row))
}
