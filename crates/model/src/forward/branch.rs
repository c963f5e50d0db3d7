//! The end of attention and MLP: the output product, the post-norm, and the sum with the stream.

use std::ops::ControlFlow;

use glossator_kernels::{Buffer, Operand};

use super::norm::NormBuffers;
use super::pass::{Pass, add};
use super::plan::Touch;
use super::weights::{PackedLinear, norm};
use crate::checkpoint::NormWeights;
use crate::hook::{BlockSite, HookPoint};

/// One of the two branches of a block, as it ends.
pub(super) struct Branch<'a> {
    pub(super) layer: usize,
    pub(super) output: &'a PackedLinear,
    pub(super) post_norm: Option<&'a NormWeights>,
    /// Scale and normalized of the post-norm, and what is added to the stream.
    pub(super) sites: [BlockSite; 3],
}

/// The buffers that the end of a branch works in.
pub(super) struct BranchScratch<'a> {
    pub(super) branch: &'a mut Buffer<f32>,
    pub(super) copy: &'a mut Buffer<f32>,
    pub(super) norm: &'a mut NormBuffers,
}

impl Branch<'_> {
    /// Adds the branch's output to the residual stream.
    pub(super) fn add_to(
        &self,
        pass: &Pass<'_>,
        input: Operand<'_>,
        resid: &mut [f32],
        scratch: BranchScratch<'_>,
    ) -> ControlFlow<()> {
        let untouched = pass.touch_block(self.layer, self.sites[2]) == Touch::None;
        if untouched && self.post_norm.is_none() {
            self.output.product(pass.threads).accumulate().run(input, resid);
            return ControlFlow::Continue(());
        }
        add(resid, self.compute(pass, input, resid.len(), scratch)?);
        ControlFlow::Continue(())
    }

    /// The branch's output by itself, `[tokens, d_model]`.
    pub(super) fn compute<'s>(
        &self,
        pass: &Pass<'_>,
        input: Operand<'_>,
        length: usize,
        scratch: BranchScratch<'s>,
    ) -> ControlFlow<(), &'s mut [f32]> {
        let BranchScratch { branch, copy, norm: buffers } = scratch;
        let branch = branch.sized(length);
        self.output.product(pass.threads).run(input, branch);
        if let Some(weights) = self.post_norm {
            let norm = norm(pass.decoder.architecture.norm, weights);
            let hooks = [self.sites[0], self.sites[1]].map(|site| HookPoint::block(self.layer, site));
            let copy = copy.sized(length);
            copy.copy_from_slice(branch);
            pass.norm_wide(&norm, hooks, copy, branch, buffers)?;
        }
        pass.visit_block(self.layer, self.sites[2], branch)?;
        ControlFlow::Continue(branch)
    }
}
