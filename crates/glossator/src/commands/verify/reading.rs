//! A model's activations on a text at every hook point that is tried, and with and without BOS.

use std::collections::BTreeMap;

use glossator_dictionary::{Dictionary, Fit};
use glossator_model::{Batch, BlockSite, HookPoint, Model, Run};

use super::alternatives::Convention;

/// Tokens read in one piece.
const WINDOW: usize = 128;

/// Tokens read in one piece where BOS rules are compared: with every token that follows, less attention is left for BOS.
pub(super) const BEGINNING: usize = 16;

/// Tokens whose activations are longer than the median by more than this are left out: attention sinks can be a hundred
/// times as long, and would decide the explained variance of a short text alone.
const OUTLIER: f64 = 10.0;

/// Activations by hook point, `[token, width]`.
type Activations = BTreeMap<HookPoint, Vec<f32>>;

/// What was read. The first position of each window is left out, be it BOS or not: models park attention there, and its
/// norm drowns everything else.
pub(super) struct Reading {
    /// Under the declared BOS rule.
    activations: Activations,
    /// At the beginnings of texts, of the same tokens, under the declared BOS rule and under the other; none if the
    /// tokenizer has no BOS.
    beginnings: Option<[Activations; 2]>,
}

impl Reading {
    /// Reads the text as declared, and with what differs by one convention.
    ///
    /// # Errors
    /// What the tokenizer or the model says.
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
        let read = |length: usize, bos: bool, hooks: &[HookPoint], left_out: usize| {
            let token = tokenizer.bos().filter(|_| bos);
            let windows = tokens.chunks(length).map(|window| token.into_iter().chain(window.iter().copied()));
            let windows: Vec<Vec<u32>> = windows.map(Iterator::collect).collect();
            let mut activations = read(model, &windows, hooks, left_out)?;
            for (hook, values) in &mut activations {
                *values = head(std::mem::take(values), *hook, model, dictionary);
            }
            anyhow::Ok(activations)
        };
        let activations = read(length, declared.bos, &hooks, 1)?;
        let beginning = |bos: bool| {
            // The first token of the text is left out with BOS too: without, it is the first position.
            read(length.min(BEGINNING), bos, &[declared.hook, declared.hook_out], 1 + usize::from(bos))
        };
        let beginnings = match tokenizer.bos() {
            Some(_) => Some([beginning(declared.bos)?, beginning(!declared.bos)?]),
            None => None,
        };
        Ok(Self { activations, beginnings })
    }

    /// The hook points that were read.
    pub(super) fn hooks(&self) -> impl Iterator<Item = HookPoint> {
        self.activations.keys().copied()
    }

    /// The mean norm of a hook point's activations.
    pub(super) fn mean_norm(&self, hook: HookPoint, width: usize) -> Option<f64> {
        let values = self.activations.get(&hook)?;
        let rows = values.len() / width;
        (rows > 0).then(|| values.chunks_exact(width).map(norm).sum::<f64>() / rows as f64)
    }

    /// How well the dictionary fits under a convention; none if its hook points were not read.
    pub(super) fn fit(&self, convention: &Convention, dictionary: &Dictionary) -> Option<Fit> {
        fit(&self.activations, convention, dictionary)
    }

    /// How well it fits at the beginnings of texts, under the declared BOS rule and under the other; none without BOS.
    pub(super) fn fits_by_bos(&self, declared: &Convention, dictionary: &Dictionary) -> Option<[Fit; 2]> {
        let [as_declared, other] = self.beginnings.as_ref()?;
        Some([fit(as_declared, declared, dictionary)?, fit(other, declared, dictionary)?])
    }
}

fn fit(activations: &Activations, convention: &Convention, dictionary: &Dictionary) -> Option<Fit> {
    let (inputs, targets) = (activations.get(&convention.hook)?, activations.get(&convention.hook_out)?);
    let (inputs, targets) = without_outliers(inputs, targets, dictionary);
    Some(Fit::measure(&convention.apply(dictionary), &inputs, &targets))
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

/// The hook points' values over all windows but their first positions, `left_out` of them.
fn read(
    model: &Model,
    windows: &[Vec<u32>],
    hooks: &[HookPoint],
    left_out: usize,
) -> anyhow::Result<Activations> {
    let mut all = Activations::new();
    for window in windows {
        let run = Run { hooks, ..Run::default() };
        let (tensors, _) = model.capture_with(&Batch::from_sequences(&[window]), &run)?;
        for (hook, tensor) in tensors {
            let first = (left_out * hook.width(model.architecture())).min(tensor.data.len());
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
