//! What happens to a tile of results while it is in the first-level cache: bias, activation, gate, and the store.

use half::bf16;

use super::packed::Columns;
use super::tile::{LANES, TILE_ROWS, Tile};
use crate::activation::Activation;
use crate::convert::round_bits;
use crate::multiversion::multiversion;
use crate::shared_rows::SharedRows;

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
            if let Some(target) = self.f32 {
                store_f32(&block[..count], target, first_row, columns, self.step == Step::Add);
            }
            if let Some(target) = self.bf16 {
                store_bf16(&block[..count], target, first_row, columns);
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
    fn store_f32(block: &[[f32; LANES]], target: SharedRows<'_, f32>, first_row: usize, columns: Columns, add: bool) {
        for (row, lanes) in block.iter().enumerate() {
            // SAFETY: `Epilogue::finish` has these rows and columns to itself.
            let out = unsafe { target.part(first_row + row, columns.start, columns.count) };
            match (<&mut [f32; LANES]>::try_from(&mut *out), add) {
                (Ok(out), false) => *out = *lanes,
                (Ok(out), true) => out.iter_mut().zip(lanes).for_each(|(out, value)| *out += value),
                (Err(_), false) => out.copy_from_slice(&lanes[..columns.count]),
                (Err(_), true) => out.iter_mut().zip(lanes).for_each(|(out, value)| *out += value),
            }
        }
    }
}

multiversion! {
    fn store_bf16(block: &[[f32; LANES]], target: SharedRows<'_, bf16>, first_row: usize, columns: Columns) {
        for (row, lanes) in block.iter().enumerate() {
            // SAFETY: `Epilogue::finish` has these rows and columns to itself.
            let out = unsafe { target.part(first_row + row, columns.start, columns.count) };
            let rounded = lanes.map(|value| bf16::from_bits(round_bits(value)));
            match <&mut [bf16; LANES]>::try_from(&mut *out) {
                Ok(out) => *out = rounded,
                Err(_) => out.copy_from_slice(&rounded[..columns.count]),
            }
        }
    }
}
