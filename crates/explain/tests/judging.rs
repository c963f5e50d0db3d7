//! Classification scores over a made-up atlas with a scripted judge: what is asked, what is stored, what is a failure, and
//! that no text comes from another split.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use glossator_atlas::testing::write_synthetic;
use glossator_atlas::{Atlas, Calls, Score, Split};
use glossator_explain::activations::SequenceActivations;
use glossator_explain::baselines::BaselineUnits;
use glossator_explain::classification::Source;
use glossator_explain::classification::examples::{Chooser, FROM_EACH, Pool};
use glossator_explain::explaining;
use glossator_explain::judging::{Judging, Task};
use glossator_explain::prompts::Prompts;
use glossator_explain::{ExplainError, Selector};
use glossator_llm::{
    Answer, Capabilities, Client, Distribution, Failure, FailureKind, LanguageModel, Outcome, Request, Usage,
    Want,
};
use glossator_model::{Model, Precision, UnitId};

const UNITS: u32 = 20;

fn atlas() -> (tempfile::TempDir, Atlas) {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 1, UNITS).unwrap();
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    (directory, atlas)
}

fn units(atlas: &Atlas) -> Vec<UnitId> {
    Selector::union(&["all".parse().unwrap()], atlas).unwrap()
}

fn model() -> Model {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama");
    Model::load(path.to_str().unwrap(), Precision::F32).unwrap()
}

/// A unit that fires on its token, but only at odd places.
struct OddPlaces;

impl SequenceActivations for OddPlaces {
    fn everywhere(&mut self, unit: UnitId, sequences: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, ExplainError> {
        let fires = |(place, token): (usize, &u32)| f32::from(*token == unit.index && place % 2 == 1) * 5.0;
        Ok(sequences.iter().map(|tokens| tokens.iter().enumerate().map(fires).collect()).collect())
    }
}

#[test]
fn texts_come_from_one_split_and_kinds_are_apart() {
    let (_directory, atlas) = atlas();
    let pool = Pool::read(&atlas, 3).unwrap();
    let mut near_misses = 0;
    for unit in units(&atlas) {
        let examples = Chooser::new(&atlas, &pool, Split::Test).choose(unit, &mut OddPlaces).unwrap();
        let seen: BTreeSet<u32> = atlas
            .excerpts(unit)
            .unwrap()
            .into_iter()
            .filter(|excerpt| excerpt.split != Split::Test)
            .map(|excerpt| excerpt.window)
            .collect();
        assert!(examples.iter().all(|example| !seen.contains(&example.window)), "{unit}");
        let windows: BTreeSet<u32> = examples.iter().map(|example| example.window).collect();
        assert_eq!(windows.len(), examples.len(), "each window once");
        let maximum = |example: &glossator_explain::classification::Example| {
            example.activations.iter().copied().fold(f32::NEG_INFINITY, f32::max)
        };
        let lowest =
            examples.iter().filter(|example| example.fires).map(maximum).fold(f32::INFINITY, f32::min);
        assert!(lowest > 4.0 && examples.iter().any(|example| example.source == Source::Top));
        for example in examples.iter().filter(|example| !example.fires) {
            assert!(maximum(example) < lowest / 2.0, "{unit} {example:?}");
        }
        for source in [Source::Random, Source::Neighbour, Source::NearMiss] {
            let count = examples.iter().filter(|example| !example.fires && example.source == source).count();
            assert!(count <= FROM_EACH);
        }
        let token = atlas.vocabulary().text(unit.index);
        for miss in examples.iter().filter(|example| example.source == Source::NearMiss) {
            assert!(miss.tokens.iter().any(|other| other == token), "{unit} {miss:?}");
            near_misses += 1;
        }
        let again = Chooser::new(&atlas, &pool, Split::Test).choose(unit, &mut OddPlaces).unwrap();
        assert_eq!(examples, again);
    }
    assert!(near_misses > 0);
}

/// A judge that says yes where the text holds the token that the explanation names first, and refuses to read about "cat".
struct Scripted {
    grades: bool,
    asked: AtomicUsize,
}

impl Scripted {
    fn client(grades: bool) -> Client {
        Client::new(Box::new(Self { grades, asked: AtomicUsize::new(0) }))
    }

    fn fits(explanation: &str, text: &str) -> bool {
        let named = explanation.strip_prefix('"').and_then(|rest| rest.split('"').next());
        named.is_some_and(|named| text.contains(named))
    }

    fn answer_one(&self, request: &Request) -> Outcome {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let question = &request.messages.last().unwrap().content;
        let usage = Usage { prompt_tokens: 10, ..Usage::default() };
        let explanation = question.strip_prefix("Explanation: ").unwrap().lines().next().unwrap();
        if explanation.starts_with("\" cat\"") {
            return Err(Failure { kind: FailureKind::Refused, message: String::new(), usage });
        }
        match &request.want {
            Want::Grades(_) => {
                let text = question.lines().nth(1).unwrap();
                let yes = if Self::fits(explanation, text) { 0.8 } else { 0.1 };
                Ok(Answer { grades: vec![Distribution(vec![yes, 0.9 - yes])], usage, ..Answer::default() })
            }
            Want::Text(_) => {
                let texts = question.lines().filter(|line| {
                    line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok())
                });
                let answers: Vec<u8> = texts.map(|text| u8::from(Self::fits(explanation, text))).collect();
                Ok(Answer { text: serde_json::json!(answers).to_string(), usage, ..Answer::default() })
            }
        }
    }
}

impl LanguageModel for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { grades: self.grades, ..Capabilities::default() }
    }

    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
        for (index, request) in requests.iter().enumerate() {
            answered(index, self.answer_one(request));
        }
    }

    fn estimate_prompt_tokens(&self, _: &Request) -> u64 {
        10
    }
}

fn explained() -> (tempfile::TempDir, Atlas) {
    let (directory, atlas) = atlas();
    let units = units(&atlas);
    explaining::by_lookup(&atlas, &units, &vec![false; units.len()], &|_| {}).unwrap();
    (directory, atlas)
}

static PROMPTS: LazyLock<Prompts> = LazyLock::new(|| Prompts::builtin().unwrap());

fn judging<'a>(
    atlas: &'a Atlas,
    model: &'a Model,
    client: &'a Client,
    pool: &'a Pool,
    task: Task,
) -> Judging<'a> {
    Judging {
        atlas,
        model,
        client: Some(client),
        prompts: &PROMPTS,
        pool,
        task,
        split: Split::Test,
        seed: 0,
        baselines: BaselineUnits::All,
        watch: &|_| {},
    }
}

/// What was asked, without the time it took.
fn calls(atlas: &Atlas, unit: UnitId) -> Vec<Calls> {
    let calls = atlas.calls(unit).unwrap().into_iter();
    calls.map(|calls| Calls { seconds: None, ..calls }).collect()
}

fn find<'a>(scores: &'a [Score], scorer: &str, metric: &str) -> &'a Score {
    let wanted = |score: &&Score| score.scorer == scorer && score.metric == metric && score.sample == "all";
    scores.iter().find(wanted).unwrap_or_else(|| panic!("no {metric} by {scorer}"))
}

/// Those of `units` whose token tables have still to be judged.
fn pending(judging: &Judging<'_>, units: &[UnitId]) -> Vec<UnitId> {
    judging.pending("lookup", units, false).unwrap()
}

#[test]
fn detection_is_stored_beside_its_baselines() {
    let model = model();
    for grades in [true, false] {
        let (_directory, atlas) = explained();
        let client = Scripted::client(grades);
        let pool = Pool::read(&atlas, 0).unwrap();
        let judging = judging(&atlas, &model, &client, &pool, Task::Detection);
        let all = units(&atlas);
        let pending = || pending(&judging, &all);
        assert_eq!(pending(), all);
        let run = judging.run("lookup", &all, &all, &|_| {}).unwrap();
        assert_eq!((run.units, run.without_texts), (all.len(), 0));
        assert!(run.failures["refused"] > 0, "{:?}", run.failures);
        assert!(pending().is_empty(), "what is scored is done");
        for &unit in &all {
            let scores = atlas.scores(unit).unwrap();
            let own = find(&scores, "detection@scripted", "balanced_accuracy");
            let failed = find(&scores, "detection@scripted", "failure_share");
            if atlas.vocabulary().text(unit.index) == " cat" {
                assert_eq!((own.value, failed.value), (None, Some(1.0)), "a refusal is no verdict");
                continue;
            }
            assert_eq!(failed.value, Some(0.0));
            assert!(own.value.is_some() && own.tokens > 0, "{own:?}");
            let auroc = find(&scores, "detection@scripted", "auroc");
            assert_eq!(auroc.value.is_some(), grades);
            for baseline in ["always-yes", "always-no"] {
                let constant = find(&scores, &format!("{baseline}:detection@scripted"), "balanced_accuracy");
                assert_eq!(constant.value, Some(0.5));
            }
            let empty = find(&scores, "empty:detection@scripted", "balanced_accuracy");
            assert_eq!(empty.value, Some(0.5), "who knows nothing always says no");
        }
        // A plain word that no escaping changes: the judge finds it wherever it stands.
        let unit = all[3];
        assert_eq!(atlas.vocabulary().text(unit.index), "ing");
        let scores = atlas.scores(unit).unwrap();
        assert_eq!(find(&scores, "detection@scripted", "recall").value, Some(1.0));
        let calls = atlas.calls(unit).unwrap();
        let asked = calls.iter().find(|calls| calls.scorer.is_some()).unwrap();
        assert_eq!((asked.prompt_tokens, asked.cost), (10 * asked.requests, None));
        assert!(asked.seconds.unwrap() > 0.0);
    }
}

/// A run that is stopped and started again stores what one run stores.
#[test]
fn a_run_in_two_halves_stores_the_same() {
    let model = model();
    let ((_one, whole), (_two, halves)) = (explained(), explained());
    let all = units(&whole);
    for (atlas, parts) in [(&whole, vec![&all[..]]), (&halves, vec![&all[..9], &all[..]])] {
        for part in parts {
            for task in [Task::Fuzzing, Task::Logits] {
                let (client, pool) = (Scripted::client(true), Pool::read(atlas, 0).unwrap());
                let judging = judging(atlas, &model, &client, &pool, task);
                judging.run("lookup", &all, &pending(&judging, part), &|_| {}).unwrap();
            }
        }
    }
    for &unit in &all {
        assert_eq!(whole.scores(unit).unwrap(), halves.scores(unit).unwrap());
        assert_eq!(calls(&whole, unit), calls(&halves, unit));
        assert!(whole.scores(unit).unwrap().iter().any(|score| score.scorer == "logits@scripted"));
    }
}

#[test]
fn surprisal_asks_nobody() {
    let model = model();
    let (_directory, atlas) = explained();
    let pool = Pool::read(&atlas, 0).unwrap();
    let client = Scripted::client(true);
    let judging = Judging { client: None, ..judging(&atlas, &model, &client, &pool, Task::Surprisal) };
    let unit = units(&atlas)[5];
    judging.run("lookup", &[unit], &[unit], &|_| {}).unwrap();
    let scorer = format!("surprisal@{}", model.name());
    let scores = atlas.scores(unit).unwrap();
    assert!(find(&scores, &scorer, "auroc").value.is_some());
    // The loss without an explanation against itself: no text gains anything.
    assert_eq!(find(&scores, &format!("empty:{scorer}"), "auroc").value, Some(0.5));
    let [calls] = atlas.calls(unit).unwrap().try_into().unwrap();
    assert_eq!((calls.requests, calls.cost), (0, Some(0)));
    assert!(calls.seconds.unwrap() > 0.0, "what asks nobody takes time all the same");
}
