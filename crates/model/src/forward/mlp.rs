//! The feed-forward half of a block: `down(f(gate x) · up x)` or `down(f(up x))` of `x = ln2(stream)`.

use std::ops::ControlFlow;

use super::branch::{Branch, BranchScratch};
use super::pass::Pass;
use super::plan::Touch;
use super::scratch::Scratch;
use super::weights::norm;
use crate::hook::{BlockSite as Site, HookPoint};

impl Pass<'_> {
    /// Reads the stream, computes the neurons and adds what they write.
    pub(super) fn mlp(&self, layer: usize, scratch: &mut Scratch) -> ControlFlow<()> {
        let architecture = &self.decoder.architecture;
        let weights = &self.decoder.layers[layer];
        let length = self.group.rows() * architecture.d_model;
        self.norm(
            &norm(architecture.norm, weights.ln2.as_ref().unwrap_or(&weights.ln1)),
            [Site::Ln2Scale, Site::Ln2Normalized].map(|site| HookPoint::block(layer, site)),
            Some(HookPoint::block(layer, Site::MlpIn)),
            &scratch.resid.as_slice()[..length],
            &mut scratch.normed,
            &mut scratch.norm,
        )?;
        if architecture.parallel_residual {
            // Attention has read and kept its output apart; from here on the stream is no longer the input.
            super::pass::add(scratch.resid.sized(length), &scratch.branch.as_slice()[..length]);
        }
        self.neurons(layer, scratch)?;
        Branch {
            layer,
            output: &weights.down,
            post_norm: weights.ln2_post.as_ref(),
            sites: [Site::Ln2PostScale, Site::Ln2PostNormalized, Site::MlpOut],
        }
        .add_to(
            self,
            scratch.post.operand(),
            scratch.resid.sized(length),
            BranchScratch { branch: &mut scratch.branch, copy: &mut scratch.copy, norm: &mut scratch.norm },
        )
    }

    /// The neurons `[tokens, d_mlp]`; what comes before the activation function only if it is asked for.
    fn neurons(&self, layer: usize, scratch: &mut Scratch) -> ControlFlow<()> {
        let architecture = &self.decoder.architecture;
        let (d_mlp, gated) = (architecture.d_mlp, architecture.mlp.gated);
        let product = self.decoder.layers[layer].mlp_in.product(self.threads);
        let touch = self.touch_block(layer, Site::MlpPost);
        let length = self.group.rows() * d_mlp;
        let before = self.touch_block(layer, Site::MlpPre) != Touch::None
            || gated && self.touch_block(layer, Site::MlpPreLinear) != Touch::None;
        if before {
            let stride = if gated { 2 * d_mlp } else { d_mlp };
            let buffer = scratch.mlp_in.sized(self.group.rows() * stride);
            product.run(scratch.normed.operand(), buffer);
            self.visit_columns(HookPoint::block(layer, Site::MlpPre), buffer, stride, 0, &mut scratch.copy)?;
            if gated {
                let hook = HookPoint::block(layer, Site::MlpPreLinear);
                self.visit_columns(hook, buffer, stride, d_mlp, &mut scratch.copy)?;
            }
            let outputs = scratch.post.outputs(length, self.precision(), touch);
            if gated {
                self.decoder.activation.gated(buffer, d_mlp, outputs);
            } else {
                self.decoder.activation.apply(buffer, outputs);
            }
        } else {
            let outputs = scratch.post.outputs(length, self.precision(), touch);
            if gated {
                product.run_gated(self.decoder.activation, scratch.normed.operand(), outputs);
            } else {
                product.run_activated(self.decoder.activation, scratch.normed.operand(), outputs);
            }
        }
        if touch == Touch::None {
            return ControlFlow::Continue(());
        }
        self.visit_block(layer, Site::MlpPost, scratch.post.wide())
    }
}
