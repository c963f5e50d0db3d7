//! Explanations of an atlas put to the test: as predictions of firing, and in place of the encoder.

use anyhow::{Context, ensure};
use glossator_atlas::{Atlas, Split};
use glossator_dictionary::evaluation::{
    Candidate, CountedPositions, Evaluation, ExplainedText, Prediction, explained,
};
use glossator_explain::explaining::Explainer;
use glossator_explain::scoring::Scorer;
use glossator_model::{Batch, HookPoint, Model, UnitId};

use super::Evaluate;
use crate::checksum::checksum;
use crate::output;

/// What `--atlas` offers.
pub(super) struct Explanations {
    atlas: Atlas,
    tests: Vec<Test>,
}

/// The explanations that one explainer gave of a dictionary's features.
struct Test {
    /// The dictionary's place among those that were given.
    place: usize,
    /// Where its features stand.
    hook: HookPoint,
    explainer: Explainer,
}

impl Explanations {
    /// Looks for explanations of the dictionaries' features, before anything is measured.
    pub(super) fn find(command: &Evaluate, dictionaries: &[Candidate]) -> anyhow::Result<Option<Self>> {
        let Some(path) = &command.atlas else { return Ok(None) };
        ensure!(
            command.loss_tokens > 0,
            "explanations are measured by the loss: --loss-tokens must not be 0"
        );
        let atlas = Atlas::open(path)?;
        let mut tests = Vec::new();
        for (place, (dictionary, location)) in dictionaries.iter().zip(&command.dictionaries).enumerate() {
            let hook = dictionary.reads.hook.features().context("dictionaries cannot stand there")?;
            let recorded = atlas.manifest().run.dictionaries.iter().find(|recorded| recorded.hook == hook);
            let files = crate::arguments::dictionary::files(location.path())?;
            if recorded.is_none_or(|recorded| checksum(&files).ok().as_ref() != Some(&recorded.checksum)) {
                output::note(&format!("{}: {} does not hold its features", dictionary.name, path.display()));
                continue;
            }
            let before = tests.len();
            for &explainer in &command.explainers {
                if !atlas.explained(hook, explainer.name())?.is_empty() {
                    tests.push(Test { place, hook, explainer });
                }
            }
            ensure!(
                tests.len() > before,
                "{} has no explanations of {hook}: run glossator explain",
                path.display()
            );
        }
        Ok(Some(Self { atlas, tests }))
    }

    /// How many explainers are measured, each for every dictionary that it explained.
    pub(super) fn tests(&self) -> usize {
        self.tests.len()
    }

    /// Adds to the evaluations of dictionaries what their explanations are worth. `text` gives the batches of calibration
    /// and those on which losses were measured; `progress` is told which explainer's turn it is, and the tokens gone
    /// through.
    pub(super) fn measure(
        &self,
        model: &Model,
        positions: &CountedPositions,
        dictionaries: &[Candidate],
        text: &dyn Fn() -> [Vec<Batch>; 2],
        evaluations: &mut [Evaluation],
        progress: &dyn Fn(Explainer, usize),
    ) -> anyhow::Result<()> {
        let scorer = Scorer::new(&self.atlas, Split::Test, 0);
        for &Test { place, hook, explainer } in &self.tests {
            let [calibration, evaluated] = text();
            let evaluation = &mut evaluations[place];
            let losses = evaluation.losses.as_ref().context("no loss was measured")?;
            let predictions = |latent: usize| -> anyhow::Result<Option<Prediction>> {
                let predictor = scorer.predictor(explainer, UnitId::new(hook, latent))?;
                Ok(predictor
                    .map(|predictor| -> Prediction { Box::new(move |tokens| predictor.predict(tokens)) }))
            };
            let measured = explained(
                model,
                positions,
                &dictionaries[place],
                ExplainedText { calibration, evaluated, losses },
                explainer.name().to_owned(),
                predictions,
                &|tokens| progress(explainer, tokens),
            )?;
            evaluation.explanations.push(measured);
        }
        Ok(())
    }
}
