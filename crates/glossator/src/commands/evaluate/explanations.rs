//! Explanations of an atlas put to the test: as predictions of firing, and in place of the encoder.

use anyhow::{Context, ensure};
use glossator_atlas::{Atlas, Split};
use glossator_dictionary::evaluation::{
    Candidate, CandidateKind, CountedPositions, Evaluation, ExplainedMetrics, Prediction, explained,
};
use glossator_explain::scoring::Scorer;
use glossator_model::{Batch, Model, UnitId};

use super::Evaluate;
use crate::checksum::checksum;
use crate::output;

/// Adds to each evaluation of a dictionary what the explanations of its features in `--atlas` are worth. `text` gives the
/// batches of calibration and those on which losses were measured.
pub(super) fn measure(
    command: &Evaluate,
    model: &Model,
    positions: &CountedPositions,
    candidates: &[Candidate],
    text: &dyn Fn() -> [Vec<Batch>; 2],
    evaluations: &mut [Evaluation],
) -> anyhow::Result<()> {
    let Some(path) = &command.atlas else { return Ok(()) };
    let atlas = Atlas::open(path)?;
    let dictionaries = candidates.iter().filter(|candidate| candidate.kind == CandidateKind::Dictionary);
    for ((candidate, location), evaluation) in
        dictionaries.zip(&command.dictionaries).zip(evaluations.iter_mut())
    {
        let hook = candidate.reads.hook.features().context("dictionaries cannot stand there")?;
        let recorded = atlas.manifest().run.dictionaries.iter().find(|recorded| recorded.hook == hook);
        let files = crate::arguments::dictionary::files(location.path())?;
        if recorded.is_none_or(|recorded| checksum(&files).ok().as_ref() != Some(&recorded.checksum)) {
            output::note(&format!("{}: {} does not hold its features", candidate.name, path.display()));
            continue;
        }
        let losses = evaluation.losses.as_ref();
        let losses = losses.context("explanations are measured by the loss: --loss-tokens must not be 0")?;
        for explainer in &command.explainers {
            if atlas.explained(hook, explainer.name())?.is_empty() {
                continue;
            }
            output::note(&format!("{}: explanations by {explainer}", candidate.name));
            let scorer = Scorer::new(&atlas, Split::Test, 0);
            let predictions = |latent: usize| -> anyhow::Result<Option<Prediction>> {
                let predictor = scorer.predictor(*explainer, UnitId::new(hook, latent))?;
                Ok(predictor
                    .map(|predictor| -> Prediction { Box::new(move |tokens| predictor.predict(tokens)) }))
            };
            let name = explainer.name().to_owned();
            let measured: ExplainedMetrics =
                explained(model, positions, candidate, text(), losses, name, predictions)?;
            evaluation.explanations.push(measured);
        }
        ensure!(
            !evaluation.explanations.is_empty(),
            "{} has no explanations of {hook}: run glossator explain",
            path.display()
        );
    }
    Ok(())
}
