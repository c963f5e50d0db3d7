//! A model's activations on a text, with and without BOS, at every hook point that is tried.

use std::collections::BTreeMap;

use glossator_dictionary::{Dictionary, Fit};
use glossator_model::{Batch, BlockSite, HookPoint, Model, Run};

use super::alternatives::Convention;

/// Tokens read in one piece.
const WINDOW: usize = 128;

/// Tokens whose activations are longer than the median by more than this are left out: attention sinks can be a hundred
/// times as long, and would decide the explained variance of a short text alone.
const OUTLIER: f64 = 10.0;

/// Activations by BOS rule and hook point, `[token, width]`. The first position of each window is left out, be it BOS or
/// not: models park attention there, and its norm drowns everything else.
pub(super) struct Reading {
    activations: BTreeMap<(bool, HookPoint), Vec<f32>>,
}

impl Reading {
    /// Reads the text as declared, and with what differs by one convention.
    pub(super) fn of(
        model: &Model,
        dictionary: &Dictionary,
        text: &str,
        max_tokens: usize,
        declared: &Convention,
    ) -> anyhow::Result<Self> {
        let tokenizer = model.tokenizer()?;
        let mut tokens = tokenizer.encode(text)?;
        tokens.truncate(max_tokens);
        let length = dictionary.metadata.context_size.unwrap_or(WINDOW).min(WINDOW);
        let length = length.min(model.architecture().context_length).saturating_sub(1).max(2);
        let mut hooks = vec![declared.hook, declared.hook_out];
        hooks.extend(nearby(declared.hook, model));
        hooks.sort_unstable();
        hooks.dedup();
        let mut activations = BTreeMap::new();
        for bos in [false, true] {
            let token = tokenizer.bos().filter(|_| bos);
            if bos && token.is_none() {
                continue;
            }
            let windows = tokens.chunks(length).map(|window| token.into_iter().chain(window.iter().copied()));
            let windows: Vec<Vec<u32>> = windows.map(Iterator::collect).collect();
            // Only what is declared is needed in both ways.
            let hooks = if bos == declared.bos { &hooks[..] } else { &[declared.hook, declared.hook_out] };
            for (hook, values) in read(model, &windows, hooks)? {
                activations.insert((bos, hook), head(values, hook, model, dictionary));
            }
        }
        Ok(Self { activations })
    }

    /// The hook points that were read under a BOS rule.
    pub(super) fn hooks(&self, bos: bool) -> impl Iterator<Item = HookPoint> {
        self.activations.keys().filter(move |(with, _)| *with == bos).map(|(_, hook)| *hook)
    }

    /// The mean norm of a hook point's activations.
    pub(super) fn mean_norm(&self, bos: bool, hook: HookPoint, width: usize) -> Option<f64> {
        let values = self.activations.get(&(bos, hook))?;
        let rows = values.len() / width;
        (rows > 0).then(|| values.chunks_exact(width).map(norm).sum::<f64>() / rows as f64)
    }

    /// How well the dictionary fits under a convention; none if its hook points were not read.
    pub(super) fn fit(&self, convention: &Convention, dictionary: &Dictionary) -> Option<Fit> {
        let inputs = self.activations.get(&(convention.bos, convention.hook))?;
        let targets = self.activations.get(&(convention.bos, convention.hook_out))?;
        let (inputs, targets) = without_outliers(inputs, targets, dictionary);
        Some(Fit::measure(&convention.apply(dictionary), &inputs, &targets))
    }
}

fn norm(row: &[f32]) -> f64 {
    row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// The inputs and targets of tokens whose target is no outlier.
fn without_outliers(inputs: &[f32], targets: &[f32], dictionary: &Dictionary) -> (Vec<f32>, Vec<f32>) {
    let norms: Vec<f64> = targets.chunks_exact(dictionary.d_output).map(norm).collect();
    let mut sorted = norms.clone();
    sorted.sort_by(f64::total_cmp);
    let limit = OUTLIER * sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let kept = |values: &[f32], width: usize| -> Vec<f32> {
        let rows = values.chunks_exact(width).zip(&norms).filter(|(_, norm)| **norm <= limit);
        rows.flat_map(|(row, _)| row.iter().copied()).collect()
    };
    (kept(inputs, dictionary.d_input), kept(targets, dictionary.d_output))
}

/// The hook points' values over all windows but their first positions.
fn read(
    model: &Model,
    windows: &[Vec<u32>],
    hooks: &[HookPoint],
) -> anyhow::Result<BTreeMap<HookPoint, Vec<f32>>> {
    let mut all: BTreeMap<HookPoint, Vec<f32>> = BTreeMap::new();
    for window in windows {
        let run = Run { hooks, ..Run::default() };
        let (tensors, _) = model.capture_with(&Batch::from_sequences(&[window]), &run)?;
        for (hook, tensor) in tensors {
            let first = hook.width(model.architecture());
            all.entry(hook).or_default().extend_from_slice(&tensor.data[first..]);
        }
    }
    Ok(all)
}

/// Hook points of the same width nearby: the same place one layer away, and the other places of the layer.
fn nearby(hook: HookPoint, model: &Model) -> Vec<HookPoint> {
    use BlockSite as S;
    let architecture = model.architecture();
    let (Some(layer), Some(site)) = (hook.layer(), hook.site()) else { return Vec::new() };
    let sites = [
        S::ResidPre,
        S::ResidMid,
        S::ResidPost,
        S::AttnOut,
        S::MlpOut,
        S::Ln1Normalized,
        S::Ln2Normalized,
        S::MlpIn,
    ];
    let here = sites.into_iter().map(|site| HookPoint::block(layer, site));
    let beside = [layer.checked_sub(1), Some(layer + 1)].into_iter().flatten();
    let beside = beside.map(|layer| HookPoint::block(layer, site));
    here.chain(beside)
        .filter(|other| *other != hook && other.exists_in(architecture))
        .filter(|other| other.width(architecture) == hook.width(architecture))
        .collect()
}

/// The slice of one attention head, where the dictionary is about one.
fn head(values: Vec<f32>, hook: HookPoint, model: &Model, dictionary: &Dictionary) -> Vec<f32> {
    let whole = hook.width(model.architecture());
    let Some(head) = dictionary.metadata.head.filter(|_| whole != dictionary.d_input) else { return values };
    let width = whole / hook.heads(model.architecture());
    values.chunks_exact(whole).flat_map(|row| row[head * width..][..width].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use glossator_dictionary::{Activation, InputConvention, Metadata};

    use super::*;

    #[test]
    fn tokens_far_longer_than_the_median_are_left_out() {
        let dictionary = Dictionary {
            d_input: 1,
            d_output: 2,
            latents: 1,
            encoder: vec![1.0],
            encoder_bias: vec![0.0],
            decoder: vec![1.0, 1.0],
            decoder_bias: vec![0.0; 2],
            skip: None,
            activation: Activation::Relu,
            input: InputConvention::default(),
            metadata: Metadata::default(),
        };
        let (inputs, targets) = ([1.0, 2.0, 3.0], [3.0, 4.0, 300.0, 400.0, 0.0, 6.0]);
        let (inputs, targets) = without_outliers(&inputs, &targets, &dictionary);
        assert_eq!((inputs, targets), (vec![1.0, 3.0], vec![3.0, 4.0, 0.0, 6.0]));
    }
}
