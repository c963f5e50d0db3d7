//! A norm of the forward pass with its two hook points.
//!
//! `hook_scale` is what the rows are divided by, `hook_normalized` the divided rows before gain and
//! bias. A changed scale divides the (centred) rows anew. The result may have a hook point of its own.

use std::ops::ControlFlow;

use glossator_kernels::{Buffer, Norm, NormOutputs};

use super::pass::Pass;
use super::plan::Touch;
use super::rows::Rows;
use crate::hook::HookPoint;

/// Buffers for a norm that is looked at.
#[derive(Default)]
pub(super) struct NormBuffers {
    /// Divisors `[rows]`.
    scale: Buffer<f32>,
    /// Divided rows `[rows, width]`.
    standardized: Buffer<f32>,
}

impl Pass<'_> {
    /// Normalises the rows of `x` into `out`; `hooks` are scale and normalized, `gained` that of the result, if it has one.
    pub(super) fn norm(
        &self,
        norm: &Norm<'_>,
        hooks: [HookPoint; 2],
        gained: Option<HookPoint>,
        x: &[f32],
        out: &mut Rows,
        buffers: &mut NormBuffers,
    ) -> ControlFlow<()> {
        let touch = self.touch(hooks[0]).max(self.touch(hooks[1]));
        // The result is made in f32 if it is looked at, or made anew from changed rows.
        let changed = if touch == Touch::Changed { Touch::Changed } else { Touch::None };
        let own = gained.map_or(Touch::None, |hook| self.touch(hook));
        let outputs = out.outputs(x.len(), self.precision(), changed.max(own));
        let visit = |out: &mut Rows| match gained {
            Some(hook) if own != Touch::None => self.visit(hook, out.wide()),
            _ => ControlFlow::Continue(()),
        };
        if touch == Touch::None {
            norm.apply(x, NormOutputs { f32: outputs.f32, bf16: outputs.bf16, ..NormOutputs::default() });
            return visit(out);
        }
        let rows = x.len() / norm.weight.len();
        let scale = buffers.scale.sized(rows);
        let standardized = buffers.standardized.sized(x.len());
        norm.apply(
            x,
            NormOutputs {
                f32: outputs.f32,
                bf16: outputs.bf16,
                scale: Some(scale),
                standardized: Some(standardized),
            },
        );
        self.touch_norm(hooks, scale, standardized)?;
        if touch == Touch::Changed {
            apply_gain(norm, standardized, out.wide());
        }
        visit(out)
    }

    /// As [`Pass::norm`], with the result in f32 whatever the precision: for norms before a sum.
    pub(super) fn norm_wide(
        &self,
        norm: &Norm<'_>,
        hooks: [HookPoint; 2],
        x: &[f32],
        out: &mut [f32],
        buffers: &mut NormBuffers,
    ) -> ControlFlow<()> {
        let touch = self.touch(hooks[0]).max(self.touch(hooks[1]));
        if touch == Touch::None {
            norm.apply(x, NormOutputs { f32: Some(out), ..NormOutputs::default() });
            return ControlFlow::Continue(());
        }
        let scale = buffers.scale.sized(x.len() / norm.weight.len());
        let standardized = buffers.standardized.sized(x.len());
        norm.apply(
            x,
            NormOutputs { scale: Some(scale), standardized: Some(standardized), ..NormOutputs::default() },
        );
        self.touch_norm(hooks, scale, standardized)?;
        apply_gain(norm, standardized, out);
        ControlFlow::Continue(())
    }

    /// Shows scale and standardised rows to interventions and observers.
    fn touch_norm(
        &self,
        [scale_hook, normalized_hook]: [HookPoint; 2],
        scale: &mut [f32],
        standardized: &mut [f32],
    ) -> ControlFlow<()> {
        if self.touch(scale_hook) == Touch::Changed {
            let before = scale.to_vec();
            self.visit(scale_hook, scale)?;
            let width = standardized.len() / scale.len();
            for ((row, old), new) in standardized.chunks_exact_mut(width).zip(before).zip(&*scale) {
                for value in row {
                    *value *= old / new;
                }
            }
        } else {
            self.visit(scale_hook, scale)?;
        }
        self.visit(normalized_hook, standardized)
    }
}

/// `standardized · gain + bias`, row by row.
fn apply_gain(norm: &Norm<'_>, standardized: &[f32], out: &mut [f32]) {
    let width = norm.weight.len();
    let offset = if norm.unit_offset { 1.0 } else { 0.0 };
    for (row, out) in standardized.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        for (i, (value, out)) in row.iter().zip(out).enumerate() {
            *out = value * (offset + norm.weight[i]) + norm.bias.map_or(0.0, |bias| bias[i]);
        }
    }
}
