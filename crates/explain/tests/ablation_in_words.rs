//! Scores by ablation of explanations in words, with a scripted language model and a tiny subject model: what takes the unit's
//! place is the calibrated simulation, and nobody is asked twice for it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use glossator_atlas::testing::write_synthetic;
use glossator_atlas::{Atlas, Explanation, Score, Split};
use glossator_explain::ablation::{Simulated, divergences};
use glossator_explain::baselines::BaselineUnits;
use glossator_explain::prompts::Prompts;
use glossator_explain::rows::NO_CALIBRATION;
use glossator_explain::sample::{EXCERPTS, Sample};
use glossator_explain::score::{
    Calibration, Estimate, RESAMPLES, Resampling, ScoredExcerpt, Stratum, ablation_score,
};
use glossator_explain::simulate::Simulator;
use glossator_explain::simulating::{Simulating, SimulationRun};
use glossator_llm::{
    Answer, Capabilities, Client, Distribution, Failure, FailureKind, LanguageModel, Ledger, Outcome, Piece,
    Request, Role, Usage, Want,
};
use glossator_model::{HookPoint, Model, Precision, UnitId};

const EXPLAINER: &str = "llm:max-act@scripted";
const SCORER: &str = "ablation:grades@scripted";
const SEED: u64 = 5;

/// What the units respond to.
const WORDS: [&str; 2] = [" cat", "ing"];

/// Gives a token whose text the explanation quotes the number 8, others 1; no answer to what holds `silent`.
struct Scripted {
    asked: Arc<AtomicU64>,
    silent: Arc<Mutex<Option<String>>>,
}

impl LanguageModel for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { grades: true, number_ten: true, ..Capabilities::default() }
    }

    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
        for (index, request) in requests.iter().enumerate() {
            self.asked.fetch_add(1, Ordering::Relaxed);
            answered(index, self.answer_one(request));
        }
    }

    fn estimate_prompt_tokens(&self, _: &Request) -> u64 {
        1
    }
}

impl Scripted {
    fn answer_one(&self, request: &Request) -> Outcome {
        let question = &request.messages.iter().rfind(|message| message.role == Role::User).unwrap().content;
        let Want::Grades(grading) = &request.want else { panic!("only simulations are asked for") };
        if self.silent.lock().unwrap().as_ref().is_some_and(|silent| question.contains(silent.as_str())) {
            return Err(Failure { usage: Usage::default(), ..Failure::new(FailureKind::Refused, "no") });
        }
        let texts = grading.text.iter().filter_map(|piece| match piece {
            Piece::Text(text) => text.rsplit('\n').next()?.strip_suffix('\t'),
            Piece::Asked(_) => None,
        });
        let grade = |text: &str| {
            let expected = if question.contains(&format!("\"{text}\"")) { 8 } else { 1 };
            Distribution((0..=10).map(|number| f32::from(u8::from(number == expected))).collect())
        };
        Ok(Answer { grades: texts.map(grade).collect(), ..Answer::default() })
    }
}

struct Stage {
    _directory: tempfile::TempDir,
    atlas: Atlas,
    model: Model,
    client: Client,
    prompts: Prompts,
    asked: Arc<AtomicU64>,
    silent: Arc<Mutex<Option<String>>>,
    units: Vec<UnitId>,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("atlas");
        write_synthetic(&path, 1, 8).unwrap();
        let atlas = Atlas::open_writable(&path).unwrap();
        let units: Vec<UnitId> = [1, 3].map(|index| UnitId::new(HookPoint::mlp_post(0), index)).to_vec();
        let explanation = |(unit, word): (&UnitId, &str)| Explanation {
            unit: *unit,
            explainer: EXPLAINER.to_owned(),
            text: format!("the token \"{word}\""),
            body: serde_json::json!({}),
            seconds: None,
        };
        let explanations: Vec<Explanation> = units.iter().zip(WORDS).map(explanation).collect();
        atlas.put_explanations(&explanations).unwrap();
        let tiny = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama");
        let (asked, silent) = (Arc::default(), Arc::default());
        let scripted = Scripted { asked: Arc::clone(&asked), silent: Arc::clone(&silent) };
        let ledger = Ledger::open(&directory.path().join("ledger.sqlite")).unwrap();
        Self {
            atlas,
            model: Model::load(tiny.to_str().unwrap(), Precision::F32).unwrap(),
            client: Client::new(Box::new(scripted)).with_ledger(Arc::new(ledger)).unwrap(),
            prompts: Prompts::builtin().unwrap(),
            asked,
            silent,
            units,
            _directory: directory,
        }
    }

    fn run(&self, ablating: bool, baselines: bool) -> SimulationRun {
        let simulating = Simulating {
            atlas: &self.atlas,
            client: &self.client,
            prompts: &self.prompts,
            simulator: Simulator::Grades,
            split: Split::Test,
            seed: SEED,
            calibrated: true,
            ablating: ablating.then_some(&self.model),
            baselines: if baselines { BaselineUnits::All } else { BaselineUnits::None },
            watch: &|_| {},
        };
        let pending = simulating.pending(EXPLAINER, &self.units, false).unwrap();
        simulating.run(EXPLAINER, &self.units, &pending, &|_| {}).unwrap()
    }

    fn score(&self, unit: UnitId, scorer: &str, metric: &str, sample: &str) -> Score {
        let scores = self.atlas.scores(unit).unwrap();
        let wanted =
            |score: &Score| score.scorer == scorer && score.metric == metric && score.sample == sample;
        scores.into_iter().find(wanted).unwrap_or_else(|| panic!("{scorer} {metric} {sample}"))
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// What the scripted model predicts for the tokens of a sample from a text that quotes `word`, in the unit's scale.
fn predicted(stage: &Stage, sample: &Sample, word: &str, maximum: f32) -> Vec<Vec<f32>> {
    let share = |token: &u32| if stage.atlas.vocabulary().text(*token) == word { 0.8 } else { 0.1 };
    let of =
        |(place, token): (usize, &u32)| if place < sample.ignored { 0.0 } else { share(token) * maximum };
    sample.excerpts.iter().map(|(_, excerpt)| excerpt.tokens.iter().enumerate().map(of).collect()).collect()
}

/// The score of a text that quotes `word`, by the definition: its predictions calibrated on one split, in the unit's place on another.
fn expected(
    stage: &Stage,
    unit: UnitId,
    word: &str,
    fit: impl Fn(&[ScoredExcerpt<'_>]) -> Option<Calibration>,
) -> Estimate {
    let statistics = stage.atlas.profile(unit).unwrap().0;
    let [sample, calibrating] =
        [Split::Test, Split::Calibration].map(|split| Sample::of(&stage.atlas, unit, split).unwrap());
    let fitted = predicted(stage, &calibrating, word, statistics.max);
    let calibration = fit(&calibrating.pair(&fitted)).unwrap();
    let test = predicted(stage, &sample, word, statistics.max);
    let excerpts: Vec<Simulated> = sample
        .excerpts
        .iter()
        .zip(&test)
        .map(|((stratum, excerpt), predicted)| Simulated {
            stratum: *stratum,
            tokens: excerpt.tokens.clone(),
            activations: vec![
                predicted.iter().map(|one| calibration.apply(f64::from(*one)) as f32).collect(),
            ],
        })
        .collect();
    let found = divergences(&stage.model, unit, statistics.mean as f32, sample.ignored, &excerpts).unwrap();
    let resampling = Resampling::new(RESAMPLES, EXCERPTS, SEED);
    ablation_score(&found[0], &[Stratum::Top, Stratum::Random], &resampling)
}

fn assert_is(found: &Score, expected: Estimate) {
    let (value, interval) = (expected.value.unwrap(), expected.interval.unwrap());
    let close =
        |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-4 * (1.0 + expected.abs());
    assert!(close(found.value, value), "{found:?}, not {value}");
    assert!(
        close(found.low, interval.low) && close(found.high, interval.high),
        "{found:?}, not {interval:?}"
    );
}

#[test]
fn the_calibrated_simulation_takes_the_units_place() {
    let stage = Stage::new();
    stage.run(false, false);
    let asked = stage.asked();
    assert!(asked > 0);
    assert_eq!(stage.run(true, false).units, 2);
    assert_eq!(stage.asked(), asked, "what was simulated is in the ledger");
    assert_eq!(stage.run(true, false).units, 0, "and what was scored is done");
    for (unit, word) in stage.units.iter().zip(WORDS) {
        let of = |metric: &str| stage.score(*unit, SCORER, metric, "top_and_random");
        let (linear, percentile) = (of("ablation"), of("ablation_percentile"));
        assert_is(&linear, expected(&stage, *unit, word, Calibration::linear));
        assert_is(&percentile, expected(&stage, *unit, word, Calibration::percentile));
        let simulations = stage.atlas.simulations(*unit, EXPLAINER).unwrap();
        assert!(simulations.iter().all(|one| one.scorer == "simulation:grades@scripted"), "stored once");
    }
}

#[test]
fn what_was_never_simulated_is_simulated_first_and_baselines_are_beside_it() {
    let stage = Stage::new();
    stage.run(true, true);
    for (place, unit) in stage.units.iter().enumerate() {
        // Of two units each is the other one's; nothing is quoted where there is no explanation.
        let texts = [("", WORDS[place]), ("other-unit:", WORDS[1 - place]), ("empty:", "nothing")];
        for (which, word) in texts {
            let found = stage.score(*unit, &format!("{which}{SCORER}"), "ablation", "top_and_random");
            assert_is(&found, expected(&stage, *unit, word, Calibration::linear));
            assert_eq!(found.remark.is_some(), which == "other-unit:", "{found:?}");
        }
    }
}

#[test]
fn what_is_not_answered_has_no_score() {
    let stage = Stage::new();
    *stage.silent.lock().unwrap() = Some("the token \" cat\"".to_owned());
    let run = stage.run(true, false);
    // A window on both lists counts once.
    let count = |split| Sample::of(&stage.atlas, stage.units[0], split).unwrap().excerpts.len();
    let (scored, calibrating) = (count(Split::Test), count(Split::Calibration));
    let refused = run.failures["refused"];
    assert_eq!((run.units, refused), (2, (scored + calibrating) as u64));
    let score = stage.score(stage.units[0], SCORER, "ablation", "top_and_random");
    assert_eq!((score.value, score.tokens), (None, 0));
    let remark = score.remark.unwrap();
    assert!(
        remark.starts_with(&format!("no answer that can be used for {scored} of {scored} "))
            && remark.ends_with(NO_CALIBRATION),
        "{remark}"
    );
    assert!(stage.score(stage.units[1], SCORER, "ablation", "top_and_random").value.is_some());
}
