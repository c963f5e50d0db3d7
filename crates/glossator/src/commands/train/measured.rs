//! The finished dictionaries on held-out text: what `glossator evaluate` measures, in small.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Context;
use glossator_corpus::{Corpus, CorpusPlan, Split};
use glossator_dictionary::Dictionary;
use glossator_dictionary::evaluation::{
    Calibration, Candidate, CandidateKind, CountedPositions, Evaluation, Evaluator, Place, Wanted,
};
use glossator_model::{Batch, HookPoint, Model};

use super::run_file::RunFile;
use crate::output;

/// Logits of a batch, in values: 256 MiB, of which two sets are held at a time.
const BATCH_LOGITS: usize = 1 << 26;
/// Tokens of a batch at most.
const BATCH_TOKENS: usize = 2048;

/// Held-out text, cut into batches.
struct HeldOutText {
    corpus: Corpus,
    /// Windows from which the means of mean ablation are taken; the others are measured on.
    calibration: usize,
    /// Windows of a batch.
    at_once: usize,
}

/// Measures dictionaries, each with its place in the run file; none at all if there is no held-out text.
pub(super) fn measure(
    run: &RunFile,
    model: &Model,
    dictionaries: Vec<(usize, Dictionary)>,
) -> anyhow::Result<BTreeMap<usize, Evaluation>> {
    let candidates = candidates(run, model, dictionaries)?;
    if run.evaluation_tokens == 0 || candidates.is_empty() {
        return Ok(BTreeMap::new());
    }
    let Some(text) = HeldOutText::open(run, model)? else { return Ok(BTreeMap::new()) };
    let tokenizer = model.tokenizer()?;
    let positions =
        CountedPositions::new(run.skip_first, tokenizer.vocab_size(), |token| tokenizer.is_special(token));
    let (places, candidates): (Vec<usize>, Vec<Candidate>) = candidates.into_iter().unzip();
    let bar = output::progress(text.corpus.len() as u64, "windows");
    bar.set_message("measuring");
    let mut calibration = Calibration::new(model, &positions, &candidates, false);
    for batch in text.batches(0..text.calibration) {
        calibration.read(&batch)?;
        bar.inc(batch.len() as u64);
    }
    let mut means: BTreeMap<Place, Vec<f32>> = BTreeMap::new();
    for (place, moments) in calibration.finish().moments {
        let mean = moments.mean().context("no held-out position counts: lower skip_first")?;
        means.insert(place, mean.into_iter().map(|value| value as f32).collect());
    }
    let mut evaluator = Evaluator::new(model, &positions, &candidates, &means);
    for batch in text.batches(text.calibration..text.corpus.len()) {
        evaluator.read(&batch, &Wanted { losses: true, ..Wanted::default() })?;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(places.into_iter().zip(evaluator.finish()).collect())
}

impl HeldOutText {
    /// The text, with a note where there is none.
    fn open(run: &RunFile, model: &Model) -> anyhow::Result<Option<Self>> {
        let context = run.context.max(1);
        let windows = (run.evaluation_tokens as usize).div_ceil(context);
        let calibration = windows.div_ceil(4);
        let tokens = ((windows + calibration) * context) as u64;
        let corpus = Corpus::open(&held_out(run, tokens), model.tokenizer()?);
        let reason = match corpus {
            Ok(corpus) if corpus.len() > 1 => {
                let calibration = calibration.min(corpus.len() / 2);
                let tokens = (BATCH_LOGITS / model.architecture().vocab_size).clamp(1, BATCH_TOKENS);
                return Ok(Some(Self { corpus, calibration, at_once: (tokens / context).max(1) }));
            }
            Ok(_) => "too little of the text is held out".to_owned(),
            Err(error) => error.to_string(),
        };
        output::note(&format!("the dictionaries are not measured on held-out text: {reason}"));
        Ok(None)
    }

    /// Some windows in batches.
    fn batches(&self, ids: Range<usize>) -> impl Iterator<Item = Batch> {
        let end = ids.end;
        ids.step_by(self.at_once).map(move |first| {
            let ids = first..(first + self.at_once).min(end);
            let tokens = ids.filter_map(|id| Some(self.corpus.window(id as u32)?.tokens));
            Batch::from_sequences(&tokens.collect::<Vec<_>>())
        })
    }
}

/// So many tokens of the held-out text. Every document gives one window before any gives another: with as many as a long run trains
/// on, a single document would stand for all the others.
fn held_out(run: &RunFile, tokens: u64) -> CorpusPlan {
    CorpusPlan { split: Split::HeldOut, tokens, windows_per_document: 1, ..run.plan() }
}

/// The dictionaries where they stand in the model.
fn candidates(
    run: &RunFile,
    model: &Model,
    dictionaries: Vec<(usize, Dictionary)>,
) -> anyhow::Result<Vec<(usize, Candidate)>> {
    let mut candidates = Vec::new();
    for (place, dictionary) in dictionaries {
        let entry = &run.dictionary[place];
        let reads: HookPoint = entry.hook.parse()?;
        let writes: HookPoint = entry.target_hook.as_ref().unwrap_or(&entry.hook).parse()?;
        let places = [reads, writes].map(|hook| Place::new(hook, entry.head, model.architecture()));
        if let [Some(reads), Some(writes)] = places {
            let kind = CandidateKind::Dictionary;
            candidates.push((place, Candidate::new(entry.name.clone(), kind, [reads, writes], dictionary)?));
        }
    }
    Ok(candidates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_windows_come_from_as_many_documents_as_there_are() {
        let text = "model = 'm'\ncorpus = ['c']\nout = 'o'\ntokens = 1000\nwindows_per_document = 64\n[[dictionary]]\nname = 'a'\n\
                    hook = 'blocks.0.hook_resid_post'\nlatents = 8\n";
        let run: RunFile = toml::from_str(text).unwrap();
        assert_eq!(run.plan().windows_per_document, 64);
        let plan = held_out(&run, 500);
        assert_eq!((plan.windows_per_document, plan.tokens), (1, 500));
        assert!(matches!(plan.split, Split::HeldOut));
    }
}
