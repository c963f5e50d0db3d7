//! Explanations put to the test as if they were an encoder: predicted latents are decoded, and the model runs on the
//! result (Gao et al. 2024, "explanation reconstruction"; their Neuron2Graph precision and recall).
//!
//! With s the predicted and a the true activation of a latent, over the positions that count:
//!
//! ```text
//! c         = E[s a] / E[s²]           on calibration text; 0 where nothing is predicted
//! x̂         = decode(f)                f = c s for explained latents, f = a for the others
//! precision = P(a > 0 | s > 0)         recall = P(s > 0 | a > 0)        on the evaluated text
//! ```
//!
//! Latents without an explanation keep their activations, so that an atlas that explains some can be measured; how many
//! are explained stands beside the result.

use glossator_model::{Batch, Model, ModelError, Run};
use rayon::prelude::*;
use serde::Serialize;

use super::candidate::Candidate;
use super::defined::ratio;
use super::losses::{CleanRun, LossMetrics, LossSums, RunLoss};
use super::positions::CountedPositions;
use super::reconstruction::Reconstruction;
use super::rows::{NewRows, gather, replace};
use crate::sparse_latents::SparseLatents;

/// Latents whose predictions are held at once.
const TOGETHER: usize = 64;

/// How often [`explained`] goes through calibration text: read and predicted.
pub const CALIBRATION_PASSES: usize = 2;
/// … and through the text that it measures on: that, and through the model as it is and with the reconstruction.
pub const EXPLAINED_PASSES: usize = CALIBRATION_PASSES + 2;

/// What explanations of a dictionary's latents are worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExplainedMetrics {
    /// What made the explanations.
    pub explainer: String,
    /// Latents that have one.
    pub explained: usize,
    /// Mean precision of firing over the explained latents that are predicted to fire.
    pub precision: Option<f64>,
    /// Mean recall of firing over the explained latents that fire.
    pub recall: Option<f64>,
    /// Explained variance of the reconstruction from predicted latents.
    pub explained_variance: Option<f64>,
    /// The model with that reconstruction in place.
    pub loss: RunLoss,
    /// Its cross-entropy less that of the clean model, nats.
    pub loss_increase: Option<f64>,
    /// Loss recovered against zero ablation.
    pub loss_recovered_zero: Option<f64>,
    /// Loss recovered against mean ablation.
    pub loss_recovered_mean: Option<f64>,
}

/// An explanation as a function from a window's tokens to activations.
pub type Prediction = Box<dyn Fn(&[u32]) -> Vec<f32>>;

/// Text on which latents were computed.
struct Text {
    batches: Vec<Batch>,
    /// Of each batch: the rows that count.
    rows: Vec<Vec<usize>>,
    /// `[counted row, d_input]` and `[counted row, d_output]`, batch after batch.
    inputs: Vec<f32>,
    targets: Vec<f32>,
    /// `[latent]`: where it is active, by counted row.
    active: Vec<Vec<(u32, f32)>>,
}

impl Text {
    fn read(
        model: &Model,
        positions: &CountedPositions,
        candidate: &Candidate,
        batches: Vec<Batch>,
        progress: &dyn Fn(usize),
    ) -> Result<Self, ModelError> {
        let latents = candidate.coder.dictionary().latents;
        let mut text = Self {
            rows: batches.iter().map(|batch| positions.rows(batch)).collect(),
            batches,
            inputs: Vec::new(),
            targets: Vec::new(),
            active: vec![Vec::new(); latents],
        };
        let mut first = 0;
        for (batch, rows) in text.batches.iter().zip(&text.rows) {
            let captured = model.capture(batch, &[candidate.reads.hook, candidate.writes.hook])?;
            let inputs = gather(&captured[&candidate.reads.hook], candidate.reads, rows);
            let encoded: SparseLatents = candidate.coder.encode(&inputs);
            for (row, (indices, values)) in encoded.iter().enumerate() {
                for (latent, value) in indices.iter().zip(values) {
                    text.active[*latent as usize].push((first + row as u32, *value));
                }
            }
            first += rows.len() as u32;
            text.inputs.extend(inputs);
            text.targets.extend(gather(&captured[&candidate.writes.hook], candidate.writes, rows));
            progress(batch.tokens().len());
        }
        Ok(text)
    }

    /// What is predicted at the positions that count, `[counted row]`.
    fn predict(&self, prediction: &Prediction) -> Vec<f32> {
        let mut predicted = Vec::new();
        for (batch, rows) in self.batches.iter().zip(&self.rows) {
            let whole: Vec<f32> =
                (0..batch.len()).flat_map(|sequence| prediction(batch.sequence(sequence))).collect();
            predicted.extend(rows.iter().map(|row| whole[*row]));
        }
        predicted
    }

    fn tokens(&self) -> usize {
        self.batches.iter().map(|batch| batch.tokens().len()).sum()
    }

    fn counted(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }
}

/// One latent: what takes the place of its activations, and how well its firing is predicted.
#[derive(Default)]
struct Substitute {
    /// `[counted row]`
    values: Vec<f32>,
    explained: bool,
    precision: Option<f64>,
    recall: Option<f64>,
}

/// The text that explanations are put to the test on, in batches.
pub struct ExplainedText<'a> {
    /// Where predictions are scaled.
    pub calibration: Vec<Batch>,
    /// Where they are measured.
    pub evaluated: Vec<Batch>,
    /// The losses of the dictionary on `evaluated`.
    pub losses: &'a LossMetrics,
}

/// Measures the explanations of one explainer; `predictions` gives that of a latent, if it has one. `progress` is told how
/// many tokens were gone through: [`CALIBRATION_PASSES`] times those of the calibration and [`EXPLAINED_PASSES`] times
/// those that are evaluated.
///
/// # Errors
/// What the model or `predictions` says.
pub fn explained<E: From<ModelError> + Send>(
    model: &Model,
    positions: &CountedPositions,
    candidate: &Candidate,
    text: ExplainedText<'_>,
    explainer: String,
    predictions: impl Fn(usize) -> Result<Option<Prediction>, E> + Sync,
    progress: &dyn Fn(usize),
) -> Result<ExplainedMetrics, E> {
    let losses = text.losses;
    let calibration = Text::read(model, positions, candidate, text.calibration, progress)?;
    let text = Text::read(model, positions, candidate, text.evaluated, progress)?;
    let predicted = calibration.tokens() + text.tokens();
    let dictionary = candidate.coder.dictionary();
    let mut decoded: Vec<f32> = dictionary.decoder_bias.repeat(text.counted());
    let (mut precision, mut recall, mut count) = (Vec::new(), Vec::new(), 0);
    for first in (0..dictionary.latents).step_by(TOGETHER) {
        let latents = first..(first + TOGETHER).min(dictionary.latents);
        let share = |end: usize| predicted * end / dictionary.latents;
        let passed = share(latents.end) - share(first);
        let substitutes: Vec<Substitute> = latents
            .into_par_iter()
            .map(|latent| Ok(substitute(&calibration, &text, latent, predictions(latent)?)))
            .collect::<Result<_, E>>()?;
        decoded.par_chunks_exact_mut(dictionary.d_output).enumerate().for_each(|(row, out)| {
            for (latent, substitute) in substitutes.iter().enumerate() {
                let value = substitute.values[row];
                if value != 0.0 {
                    let direction = dictionary.decoder_row(first + latent);
                    out.iter_mut().zip(direction).for_each(|(out, d)| *out += value * d);
                }
            }
        });
        count += substitutes.iter().filter(|substitute| substitute.explained).count();
        precision.extend(substitutes.iter().filter_map(|substitute| substitute.precision));
        recall.extend(substitutes.iter().filter_map(|substitute| substitute.recall));
        progress(passed);
    }
    let reconstruction = candidate.coder.restore(decoded, &text.inputs);
    let mut measured = Reconstruction::new(dictionary.d_output);
    measured.add(&text.targets, &reconstruction);
    let spliced = spliced_losses(model, positions, candidate, &text, &reconstruction, progress)?;
    let mean = |values: &[f64]| ratio(values.iter().sum(), values.len() as f64);
    let compared = losses.with_spliced(&spliced);
    Ok(ExplainedMetrics {
        explainer,
        explained: count,
        precision: mean(&precision),
        recall: mean(&recall),
        explained_variance: measured.metrics().explained_variance,
        loss: compared.spliced,
        loss_increase: compared.loss_increase,
        loss_recovered_zero: compared.loss_recovered_zero,
        loss_recovered_mean: compared.loss_recovered_mean,
    })
}

/// What takes the place of a latent on the evaluated text.
fn substitute(calibration: &Text, text: &Text, latent: usize, prediction: Option<Prediction>) -> Substitute {
    let mut truth = vec![0.0; text.counted()];
    text.active[latent].iter().for_each(|(row, value)| truth[*row as usize] = *value);
    let Some(prediction) = prediction else {
        return Substitute { values: truth, ..Substitute::default() };
    };
    let predicted = calibration.predict(&prediction);
    let product = |(row, value): &(u32, f32)| f64::from(predicted[*row as usize]) * f64::from(*value);
    let products: f64 = calibration.active[latent].iter().map(product).sum();
    let squares: f64 = predicted.iter().map(|s| f64::from(*s).powi(2)).sum();
    let scale = ratio(products, squares).unwrap_or(0.0) as f32;
    let mut values = text.predict(&prediction);
    let [mut hits, mut fires, mut says] = [0.0; 3];
    for (s, a) in values.iter().zip(&truth) {
        fires += f64::from(u8::from(*a > 0.0));
        says += f64::from(u8::from(*s > 0.0));
        hits += f64::from(u8::from(*s > 0.0 && *a > 0.0));
    }
    values.iter_mut().for_each(|value| *value *= scale);
    Substitute { values, explained: true, precision: ratio(hits, says), recall: ratio(hits, fires) }
}

/// The losses of the model with a reconstruction `[counted row, d_output]` in place.
fn spliced_losses(
    model: &Model,
    positions: &CountedPositions,
    candidate: &Candidate,
    text: &Text,
    reconstruction: &[f32],
    progress: &dyn Fn(usize),
) -> Result<LossSums, ModelError> {
    let d = candidate.coder.dictionary().d_output;
    let mut sums = LossSums::default();
    let mut rest = reconstruction;
    for (batch, rows) in text.batches.iter().zip(&text.rows) {
        let own;
        (own, rest) = rest.split_at(rows.len() * d);
        let clean = model.run(batch, &Run { logits: true, ..Run::default() }, &())?;
        let interventions = [replace(batch, candidate.writes, rows, NewRows::Each(own.to_vec()))];
        let run = Run { interventions: &interventions, logits: true, ..Run::default() };
        if let Some((clean, changed)) = clean.zip(model.run(batch, &run, &())?) {
            let vocabulary = model.architecture().vocab_size;
            let clean = CleanRun::new(clean.data, vocabulary, positions.predictions(batch));
            sums.add(&clean.compare(changed.data));
        }
        progress(2 * batch.tokens().len());
    }
    Ok(sums)
}
