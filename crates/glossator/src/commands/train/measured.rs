//! The finished dictionaries on held-out text: what `glossator evaluate` measures, in small.

use std::collections::BTreeMap;

use anyhow::Context;
use glossator_corpus::{Corpus, CorpusPlan, Split};
use glossator_dictionary::Dictionary;
use glossator_dictionary::evaluation::{
    Calibration, Candidate, CandidateKind, CountedPositions, Evaluation, Evaluator, Wanted,
};
use glossator_model::{Batch, HookPoint, Model};

use super::run_file::RunFile;
use crate::output;

/// Logits of a batch, in values: 256 MiB, of which two sets are held at a time.
const BATCH_LOGITS: usize = 1 << 26;
/// Tokens of a batch at most.
const BATCH_TOKENS: usize = 2048;

/// Measures dictionaries with their hook points, in order; none for those of single heads, and for all if there is no
/// held-out text.
pub(super) fn measure(
    run: &RunFile,
    model: &Model,
    dictionaries: Vec<(usize, Dictionary)>,
) -> anyhow::Result<BTreeMap<usize, Evaluation>> {
    let tokenizer = model.tokenizer()?;
    let context = run.context.max(1);
    let windows = (run.evaluation_tokens as usize).div_ceil(context);
    let candidates = candidates(run, model, dictionaries)?;
    if windows == 0 || candidates.is_empty() {
        return Ok(BTreeMap::new());
    }
    // A quarter more, from which the means of mean ablation are taken.
    let calibration = windows.div_ceil(4);
    let tokens = ((windows + calibration) * context) as u64;
    let plan = CorpusPlan { split: Split::HeldOut, tokens, ..run.plan() };
    let corpus = match Corpus::open(&plan, tokenizer) {
        Ok(corpus) if corpus.len() > 1 => corpus,
        Ok(_) => return skipped("too little of the text is held out"),
        Err(error) => return skipped(&error.to_string()),
    };
    let calibration = calibration.min(corpus.len() / 2);
    let positions =
        CountedPositions::new(run.skip_first, tokenizer.vocab_size(), |token| tokenizer.is_special(token));
    let (places, candidates): (Vec<usize>, Vec<Candidate>) = candidates.into_iter().unzip();
    let mut calibrate = Calibration::new(model, &positions, &candidates, false);
    let vocabulary = model.architecture().vocab_size;
    let at_once = ((BATCH_LOGITS / vocabulary).clamp(1, BATCH_TOKENS) / context).max(1);
    let batches = |from: usize, to: usize| {
        (from..to).step_by(at_once).map(move |first| first..(first + at_once).min(to))
    };
    let batch = |ids: std::ops::Range<usize>| {
        let tokens = ids.filter_map(|id| Some(corpus.window(id as u32)?.tokens));
        Batch::from_sequences(&tokens.collect::<Vec<_>>())
    };
    let bar = output::progress(corpus.len() as u64, "windows");
    bar.set_message("measuring");
    for ids in batches(0, calibration) {
        bar.inc(ids.len() as u64);
        calibrate.read(&batch(ids))?;
    }
    let calibrated = calibrate.finish();
    let means: BTreeMap<HookPoint, Vec<f32>> = calibrated
        .moments
        .iter()
        .map(|(hook, moments)| {
            let mean = moments.mean().context("no held-out position counts")?;
            Ok((*hook, mean.into_iter().map(|value| value as f32).collect()))
        })
        .collect::<anyhow::Result<_>>()?;
    let mut evaluator = Evaluator::new(model, &positions, &candidates, &means);
    for ids in batches(calibration, corpus.len()) {
        bar.inc(ids.len() as u64);
        evaluator.read(&batch(ids), &Wanted { losses: true, ..Wanted::default() })?;
    }
    bar.finish_and_clear();
    Ok(places.into_iter().zip(evaluator.finish()).collect())
}

fn skipped(reason: &str) -> anyhow::Result<BTreeMap<usize, Evaluation>> {
    output::note(&format!("the dictionaries are not measured on held-out text: {reason}"));
    Ok(BTreeMap::new())
}

/// What can be spliced into the model: whole hook points.
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
        let whole = entry.head.is_none() && writes.width(model.architecture()) == dictionary.d_output;
        if whole {
            let kind = CandidateKind::Dictionary;
            candidates.push((place, Candidate::new(entry.name.clone(), kind, [reads, writes], dictionary)?));
        }
    }
    Ok(candidates)
}
