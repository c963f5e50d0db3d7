//! What happens to a tile of results while it is in the first-level cache: bias, activation, gate, and the store.

use half::bf16;

use super::packed::Columns;
use super::tile::{LANES, TILE_ROWS, Tile};
use crate::activation::Activation;
use crate::convert::round_bits;
use crate::multiversion::multiversion;
use crate::shared_rows::{Rectangle, SharedRows};

type Block = [[f32; LANES]; TILE_ROWS];

/// The step between bias and store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Overwrite the output.
    Store,
    /// Add to the f32 output.
    Add,
    /// Apply an activation function.
    Activate(Activation),
    /// Multiply the activation of the tile's first block by its second.
    Gate(Activation),
}

/// The outputs of a product and how results reach them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epilogue<'a> {
    pub(super) bias: Option<&'a [f32]>,
    pub(super) step: Step,
    pub(super) f32: Option<SharedRows<'a, f32>>,
    pub(super) bf16: Option<SharedRows<'a, bf16>>,
}

impl Epilogue<'_> {
    /// Finishes `count` rows, the first of which is output row `first_row`. Each block belongs to `columns` of the
    /// result; a block of no columns is ignored.
    ///
    /// # Safety
    /// No other task finishes the same rows and columns.
    pub(super) unsafe fn finish(
        &self,
        tile: &mut Tile,
        first_row: usize,
        count: usize,
        columns: [Columns; 2],
    ) {
        if let Some(bias) = self.bias {
            for (block, columns) in tile.0.iter_mut().zip(columns) {
                let mut lanes = [0.0; LANES];
                lanes[..columns.count].copy_from_slice(&bias[columns.start..][..columns.count]);
                add_to_rows(block, &lanes);
            }
        }
        let [left, right] = &mut tile.0;
        match self.step {
            Step::Gate(activation) => {
                activation.gate_in_place(&mut left.as_flattened_mut()[..count * LANES], right.as_flattened());
            }
            Step::Activate(activation) => {
                activation.apply_in_place(&mut left.as_flattened_mut()[..count * LANES]);
                activation.apply_in_place(&mut right.as_flattened_mut()[..count * LANES]);
            }
            Step::Store | Step::Add => {}
        }
        let stored = if matches!(self.step, Step::Gate(_)) { 1 } else { 2 };
        for (block, columns) in tile.0.iter().zip(columns).take(stored) {
            let (start, width) = (columns.start, columns.count);
            if let Some(target) = self.f32 {
                // SAFETY: the caller has these rows and columns to itself.
                let target = unsafe { target.rectangle(first_row, count, start, width) };
                if self.step == Step::Add { add_f32(block, target) } else { store_f32(block, target) }
            }
            if let Some(target) = self.bf16 {
                // SAFETY: as above.
                store_bf16(block, unsafe { target.rectangle(first_row, count, start, width) });
            }
        }
    }
}

multiversion! {
    fn add_to_rows(block: &mut Block, addend: &[f32; LANES]) {
        for row in block {
            for (value, addend) in row.iter_mut().zip(addend) {
                *value += addend;
            }
        }
    }
}

multiversion! {
    fn store_f32(block: &Block, target: Rectangle<'_, f32>) {
        match target.into_arrays::<LANES>() {
            Ok(rows) => rows.zip(block).for_each(|(out, lanes)| *out = *lanes),
            Err(target) => {
                for (out, lanes) in target.into_rows().zip(block) {
                    out.copy_from_slice(&lanes[..out.len()]);
                }
            }
        }
    }
}

multiversion! {
    fn add_f32(block: &Block, target: Rectangle<'_, f32>) {
        match target.into_arrays::<LANES>() {
            Ok(rows) => rows.zip(block).for_each(|(out, lanes)| add_lanes(out, lanes)),
            Err(target) => target.into_rows().zip(block).for_each(|(out, lanes)| add_lanes(out, lanes)),
        }
    }
}

#[inline(always)]
fn add_lanes(out: &mut [f32], lanes: &[f32; LANES]) {
    for (out, value) in out.iter_mut().zip(lanes) {
        *out += value;
    }
}

multiversion! {
    fn store_bf16(block: &Block, target: Rectangle<'_, bf16>) {
        match target.into_arrays::<LANES>() {
            Ok(rows) => rows.zip(block).for_each(|(out, lanes)| *out = round_lanes(lanes)),
            Err(target) => {
                for (out, lanes) in target.into_rows().zip(block) {
                    out.copy_from_slice(&round_lanes(lanes)[..out.len()]);
                }
            }
        }
    }
}

#[inline(always)]
fn round_lanes(lanes: &[f32; LANES]) -> [bf16; LANES] {
    let mut rounded = [bf16::ZERO; LANES];
    for (rounded, value) in rounded.iter_mut().zip(lanes) {
        *rounded = bf16::from_bits(round_bits(*value));
    }
    rounded
}
