//! The passes over the text: calibration, then evaluation.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, ensure};
use glossator_corpus::Corpus;
use glossator_dictionary::evaluation::{
    AbsorptionMetrics, CALIBRATION_PASSES, Calibrated, Calibration, Candidate, CountedPositions,
    EXPLAINED_PASSES, Evaluation, Evaluator, LabelledWindow, Moments, Place, Wanted, Word, absorption,
    absorption_places, words,
};
use glossator_explain::explaining::Explainer;
use glossator_model::{Batch, Model};
use indicatif::ProgressBar;

use super::explanations::Explanations;
use super::report::Report;
use super::{Baseline, Evaluate, candidates};
use crate::arguments::model::{load, load_shuffled};
use crate::output;

/// Logits of a batch, in values: 256 MiB, of which two sets are held at a time.
const BATCH_LOGITS: usize = 1 << 26;
/// Tokens of a batch at most.
const BATCH_TOKENS: usize = 2048;

/// Everything that is known before the first token is read.
pub(super) struct Prepared {
    model: Model,
    corpus: Corpus,
    positions: CountedPositions,
    /// The dictionaries, followed by the baselines when the calibration is done.
    candidates: Vec<Candidate>,
    /// Windows for calibration; those that follow are evaluated.
    calibration: usize,
    /// Of the evaluated windows: the first ones with losses.
    with_losses: usize,
    /// The first ones with ablations of single latents.
    with_ablations: usize,
    /// The first ones that are probed for labels.
    with_labels: usize,
    /// Of the dictionaries' features; none without an atlas.
    explanations: Option<Explanations>,
    batch: usize,
}

impl Prepared {
    pub(super) fn new(command: &Evaluate) -> anyhow::Result<Self> {
        let model = load(&command.model, command.precision)?;
        let candidates = candidates::dictionaries(&command.dictionaries, model.architecture())?;
        let explanations = Explanations::find(command, &candidates)?;
        let tokenizer = model.tokenizer()?;
        let mut plan = command.corpus.plan(command.sources.clone());
        let context = plan.context.max(1) as u64;
        let calibration = command.calibration_tokens.div_ceil(context);
        plan.label_field.clone_from(&command.label_field);
        plan.tokens = plan.tokens.div_ceil(context).saturating_add(calibration).saturating_mul(context);
        let corpus = Corpus::open(&plan, tokenizer)?;
        let calibration = calibration as usize;
        ensure!(
            corpus.len() > calibration,
            "the corpus has {} windows, and {calibration} are for calibration: lower --calibration-tokens",
            corpus.len()
        );
        let positions = CountedPositions::new(command.skip_first, tokenizer.vocab_size(), |token| {
            tokenizer.is_special(token)
        });
        let vocabulary = model.architecture().vocab_size;
        let tokens = (BATCH_LOGITS / vocabulary).clamp(1, BATCH_TOKENS);
        let batch = (tokens / corpus.context()).max(1);
        let evaluated = corpus.len() - calibration;
        let probed = if command.label_field.is_some() { command.probe_windows } else { 0 };
        Ok(Self {
            with_losses: (command.loss_tokens.div_ceil(context) as usize).min(evaluated),
            with_ablations: command.ablation_windows.min(evaluated),
            with_labels: probed.min(evaluated),
            model,
            corpus,
            positions,
            candidates,
            calibration,
            explanations,
            batch,
        })
    }

    pub(super) fn run(mut self, command: &Evaluate) -> anyhow::Result<Report> {
        let calibrated = self.calibrate(command)?;
        let baselines = candidates::baselines(&command.baselines, &self.candidates, &calibrated)?;
        self.candidates.extend(baselines);
        let context = self.corpus.context();
        let evaluations = self.evaluate(command, &means(&calibrated)?)?;
        let mut report = Report {
            model: self.model.name().to_owned(),
            precision: format!("{:?}", self.model.precision()).to_lowercase(),
            corpus: self.corpus.report().fingerprint.clone(),
            context,
            calibration_tokens: self.calibration * context,
            evaluated_tokens: (self.corpus.len() - self.calibration) * context,
            loss_tokens: self.with_losses * context,
            positions: self.positions.rule(),
            definitions: super::report::definitions(),
            label_field: command.label_field.clone(),
            evaluations,
        };
        note_without_tasks(command, &report.evaluations);
        if command.baselines.contains(&Baseline::Shuffled) || !command.shuffled_dictionaries.is_empty() {
            output::note("the same on the model with shuffled weights");
            let shuffled = self.with_shuffled_weights(command)?;
            let calibrated = shuffled.calibrate(command)?;
            report.evaluations.extend(shuffled.evaluate(command, &means(&calibrated)?)?);
        }
        Ok(report)
    }

    /// Dictionaries alone, on the same text, with a model that has learned nothing.
    fn with_shuffled_weights(self, command: &Evaluate) -> anyhow::Result<Self> {
        let model = load_shuffled(&command.model, command.precision)?;
        let candidates = candidates::on_shuffled_model(command, model.architecture())?;
        Ok(Self { model, candidates, explanations: None, ..self })
    }

    /// The pass over the windows after those of the calibration, and all that follows from it.
    fn evaluate(
        &self,
        command: &Evaluate,
        means: &BTreeMap<Place, Vec<f32>>,
    ) -> anyhow::Result<Vec<Evaluation>> {
        let mut evaluator = Evaluator::new(&self.model, &self.positions, &self.candidates, means);
        let (evaluated, candidates) = (self.corpus.len() - self.calibration, self.candidates.len());
        let passes = [(self.with_losses, candidates + 2 * means.len()), (self.with_ablations, candidates)];
        let more: usize = passes.iter().map(|(windows, passes)| windows * passes).sum();
        let letters = FirstLetters::new(self, command.absorption_words)?;
        let bar = bar(
            (evaluated + more + self.explanation_passes()) * self.corpus.context() + letters.work,
            "evaluating",
        );
        // What is wanted changes between batches only.
        let mut edges = [0, self.with_losses, self.with_ablations, self.with_labels, evaluated];
        edges.sort_unstable();
        for pair in edges.windows(2) {
            let wants = |windows: usize| pair[0] < windows;
            for ids in self.batches(pair[0] + self.calibration..pair[1] + self.calibration) {
                let batch = self.batch(ids.clone());
                let labels = if wants(self.with_labels) { self.labels(ids) } else { Vec::new() };
                let [losses, ablations] = passes.map(|(windows, _)| wants(windows));
                evaluator.read(&batch, &Wanted { losses, ablations, labels: &labels })?;
                let more = passes.iter().filter(|(windows, _)| wants(*windows)).map(|(_, passes)| passes);
                bar.inc(((1 + more.sum::<usize>()) * batch.tokens().len()) as u64);
            }
        }
        bar.set_message("probing");
        let mut evaluations = evaluator.finish();
        bar.set_message("letters");
        for (evaluation, absorption) in evaluations.iter_mut().zip(letters.absorption(self, &bar)?) {
            evaluation.absorption = absorption;
        }
        self.explain(&mut evaluations, &bar)?;
        bar.finish_and_clear();
        Ok(evaluations)
    }

    /// What explanations are worth, if there is an atlas.
    fn explain(&self, evaluations: &mut [Evaluation], bar: &ProgressBar) -> anyhow::Result<()> {
        let Some(explanations) = &self.explanations else { return Ok(()) };
        let progress = |explainer: Explainer, tokens: usize| {
            bar.set_message(explainer.name());
            bar.inc(tokens as u64);
        };
        let text = || self.explained_text();
        explanations.measure(&self.model, &self.positions, &self.candidates, &text, evaluations, &progress)
    }

    /// Windows that explanations are held against, each as often as it is gone through.
    fn explanation_passes(&self) -> usize {
        let calibrating = self.calibration.min(self.with_losses);
        let each = CALIBRATION_PASSES * calibrating + EXPLAINED_PASSES * self.with_losses;
        self.explanations.as_ref().map_or(0, |explanations| explanations.tests() * each)
    }

    /// For explanations: as much text of the calibration as losses are measured on, and that text.
    fn explained_text(&self) -> [Vec<Batch>; 2] {
        let calibrating = 0..self.calibration.min(self.with_losses);
        let evaluated = self.calibration..self.calibration + self.with_losses;
        [calibrating, evaluated].map(|ids| self.batches(ids).map(|ids| self.batch(ids)).collect())
    }

    fn calibrate(&self, command: &Evaluate) -> anyhow::Result<Calibrated> {
        let covariance = command.baselines.contains(&Baseline::Components);
        let mut calibration = Calibration::new(&self.model, &self.positions, &self.candidates, covariance);
        let bar = bar(self.calibration * self.corpus.context(), "calibrating");
        for ids in self.batches(0..self.calibration) {
            let batch = self.batch(ids);
            calibration.read(&batch)?;
            bar.inc(batch.tokens().len() as u64);
        }
        bar.finish_and_clear();
        Ok(calibration.finish())
    }

    /// Window ids in runs of one batch.
    fn batches(&self, ids: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, batch) = (ids.end, self.batch);
        ids.step_by(batch).map(move |first| first..(first + batch).min(end))
    }

    fn batch(&self, ids: Range<usize>) -> Batch {
        let tokens = ids.filter_map(|id| Some(self.corpus.window(id as u32)?.tokens));
        Batch::from_sequences(&tokens.collect::<Vec<_>>())
    }

    /// The labels of windows, where their documents have one.
    fn labels(&self, ids: Range<usize>) -> Vec<Option<LabelledWindow>> {
        let label = |id: usize| {
            let document = self.corpus.window(id as u32)?.document;
            let label = self.corpus.label(document)?.to_owned();
            Some(LabelledWindow { document: document.0, label })
        };
        ids.map(label).collect()
    }
}

/// Words after a fixed beginning, on which feature absorption is measured.
struct FirstLetters {
    beginning: Vec<u32>,
    words: Vec<Word>,
    /// Token passes.
    work: usize,
}

impl FirstLetters {
    fn new(prepared: &Prepared, count: usize) -> anyhow::Result<Self> {
        let tokenizer = prepared.model.tokenizer()?;
        let words = words(tokenizer.vocab_size(), |token| tokenizer.decode(&[token]), count);
        let mut beginning: Vec<u32> = prepared.corpus.bos().into_iter().collect();
        beginning.extend(tokenizer.encode("The first letter of the word")?);
        let places = absorption_places(&prepared.candidates).len();
        let work = places * words.len() * (beginning.len() + 1);
        Ok(Self { beginning, words, work })
    }

    fn absorption(
        &self,
        prepared: &Prepared,
        bar: &ProgressBar,
    ) -> anyhow::Result<Vec<Option<AbsorptionMetrics>>> {
        let progress = |words: usize| bar.inc((words * (self.beginning.len() + 1)) as u64);
        let (model, candidates) = (&prepared.model, &prepared.candidates);
        Ok(absorption(model, &self.beginning, &self.words, candidates, &progress)?)
    }
}

/// A bar over tokens, each counted once for every time that the model reads it.
fn bar(work: usize, message: &'static str) -> ProgressBar {
    let bar = output::progress(work as u64, "token passes");
    bar.set_message(message);
    bar
}

/// Says why there are no probes where labels were asked for.
fn note_without_tasks(command: &Evaluate, evaluations: &[Evaluation]) {
    let probed =
        |evaluation: &Evaluation| evaluation.probes.as_ref().is_some_and(|probes| !probes.tasks.is_empty());
    if let Some(field) = command.label_field.as_ref().filter(|_| !evaluations.iter().any(probed)) {
        output::note(&format!(
            "no value of `{field}` has windows enough, and others beside it, to be probed for: raise --tokens and \
             --probe-windows"
        ));
    }
}

/// The mean activations of mean ablation.
fn means(calibrated: &Calibrated) -> anyhow::Result<BTreeMap<Place, Vec<f32>>> {
    let mean = |(place, moments): (&Place, &Moments)| {
        let mean =
            moments.mean().context("no position of the calibration text counts: lower --skip-first")?;
        Ok((*place, mean.into_iter().map(|value| value as f32).collect()))
    };
    calibrated.moments.iter().map(mean).collect()
}
