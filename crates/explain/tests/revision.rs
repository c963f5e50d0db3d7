//! Revision over a made-up atlas with a scripted explainer: what the explainer is shown, which round is kept, what the log says,
//! and that a round without an answer is no explanation.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use glossator_atlas::testing::write_synthetic;
use glossator_atlas::{Atlas, Explanation, Split};
use glossator_explain::prompts::Prompts;
use glossator_explain::revision::{Feedback, Log, Revising};
use glossator_explain::simulate::Simulator;
use glossator_llm::{
    Answer, Capabilities, Client, Distribution, LanguageModel, Outcome, Piece, Request, Role, Usage, Want,
};
use glossator_model::{HookPoint, Model, Precision, UnitId};

const EXPLAINER: &str = "llm:max-act@scripted";

/// Writes fixed sentences, answers `revised`, and simulates a token with the largest number if the explanation holds its text
/// between quotation marks.
struct Scripted {
    sentences: &'static str,
    revised: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
}

impl LanguageModel for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { grades: true, number_ten: true, json_schema: true, ..Capabilities::default() }
    }

    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
        for (index, request) in requests.iter().enumerate() {
            answered(index, Ok(self.answer_one(request)));
        }
    }

    fn estimate_prompt_tokens(&self, _: &Request) -> u64 {
        1
    }
}

impl Scripted {
    fn answer_one(&self, request: &Request) -> Answer {
        let question = &request.messages.iter().rfind(|message| message.role == Role::User).unwrap().content;
        let usage = Usage { prompt_tokens: 1, ..Usage::default() };
        match &request.want {
            Want::Text(generation) => {
                self.asked.lock().unwrap().push(question.clone());
                let text = if generation.json_schema.is_some() { self.sentences } else { self.revised };
                Answer { text: text.to_owned(), usage, ..Answer::default() }
            }
            Want::Grades(grading) => {
                let texts = grading.text.iter().filter_map(|piece| match piece {
                    Piece::Text(text) => text.rsplit('\n').next()?.strip_suffix('\t'),
                    Piece::Asked(_) => None,
                });
                let grade = |text: &str| {
                    let fires = question.contains(&format!("\"{text}\""));
                    let share = |number: u8| f32::from(number == if fires { 10 } else { 0 });
                    Distribution((0..=10).map(share).collect())
                };
                Answer { grades: texts.map(grade).collect(), usage, ..Answer::default() }
            }
        }
    }
}

const SENTENCES: &str = r#"{"fires": ["The king is walking.", "Singing"], "silent": ["The cat sat."]}"#;

/// Revises the explanation of the unit that responds to "ing", which begins too broad.
fn revise(sentences: &'static str, revised: &'static str) -> (Log, Atlas, Vec<String>, tempfile::TempDir) {
    revise_by(Feedback::Tests, sentences, revised)
}

fn revise_by(
    feedback: Feedback,
    sentences: &'static str,
    revised: &'static str,
) -> (Log, Atlas, Vec<String>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 1, 20).unwrap();
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama");
    let model = Model::load(path.to_str().unwrap(), Precision::F32).unwrap();
    let unit = UnitId::new(HookPoint::mlp_post(0), 3);
    let broad = Explanation {
        unit,
        explainer: EXPLAINER.to_owned(),
        text: "the token \"ing\" or \" the\"".to_owned(),
        body: serde_json::json!({}),
        seconds: None,
    };
    atlas.put_explanations(&[broad]).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let client = Client::new(Box::new(Scripted { sentences, revised, asked: Arc::clone(&asked) }));
    let prompts = Prompts::builtin().unwrap();
    let revising = Revising {
        atlas: &atlas,
        client: &client,
        prompts: &prompts,
        simulator: Simulator::Grades,
        rounds: 2,
        feedback,
        watch: &|_| {},
    };
    // The next unit has no explanation, so that there is nothing to revise.
    let units = [unit, UnitId { index: 4, ..unit }];
    let (estimated, of) = revising.first_requests(EXPLAINER, &units[..1]).unwrap();
    let mut logs = revising.run(&model, EXPLAINER, &units, &[false; 2], &|_| {}).unwrap();
    assert_eq!((logs.len(), of), (1, 1));
    assert!(client.totals().answered <= estimated.len() as u64, "no more is asked than was estimated");
    assert_eq!(revising.done(EXPLAINER, &units).unwrap(), [true, false]);
    let questions = asked.lock().unwrap().clone();
    (logs.remove(0), atlas, questions, directory)
}

#[test]
fn a_better_explanation_is_kept_and_its_gain_is_on_the_test_split() {
    let (log, atlas, asked, _directory) = revise(SENTENCES, "the token \"ing\".");
    assert_eq!(log.rounds.len(), 2);
    let round = &log.rounds[0];
    assert_eq!((round.sentences.len(), round.failure.as_deref()), (3, None));
    assert_eq!(round.revised.as_deref(), Some("the token \"ing\""));
    assert!(round.valid > log.initial_valid, "{log:?}");
    assert_eq!(log.kept, Some(0), "the second round is no better and the first is kept");
    assert!(log.gain().unwrap() > 0.1, "{:?}", log.gain());
    let unit = UnitId::new(HookPoint::mlp_post(0), 3);
    let stored = atlas.explanations(unit).unwrap();
    let revised = stored.iter().find(|one| one.explainer == "llm:max-act+revised@scripted").unwrap();
    assert_eq!(revised.text, "the token \"ing\"");
    let logged: Log = serde_json::from_value(revised.body["revision"].clone()).unwrap();
    assert_eq!((logged.rounds.len(), &logged.rounds[0].revised), (2, &log.rounds[0].revised));
    assert_eq!((logged.kept, logged.rounds[0].sentences.len()), (Some(0), 3));
    assert!((logged.kept_test.unwrap() - log.kept_test.unwrap()).abs() < 1e-12);
    assert!(stored.iter().any(|one| one.explainer == EXPLAINER), "the first one stays");
    // The explainer sees the first explanation, then sentences with what the unit did, and training excerpts.
    assert!(asked[0].contains("looks for the token \"ing\" or \" the\""), "{}", asked[0]);
    let revision = &asked[1];
    assert!(revision.contains("The king is walking.") && revision.contains("<<ing>>"), "{revision}");
    let silent = revision.split("The cat sat.").nth(1).unwrap();
    assert!(silent.contains("says that it stays silent"), "{silent}");
    let calls = atlas.calls(unit).unwrap();
    let own = calls.iter().find(|calls| calls.explainer == revised.explainer).unwrap();
    assert!(own.failures.is_empty() && own.requests > 4);
}

#[test]
fn a_worse_explanation_is_logged_and_not_kept() {
    let (log, atlas, ..) = revise(SENTENCES, "the token \" cat\".");
    assert_eq!((log.kept, log.gain()), (None, Some(0.0)));
    assert_eq!(log.rounds[0].revised.as_deref(), Some("the token \" cat\""));
    let stored = atlas.explanations(UnitId::new(HookPoint::mlp_post(0), 3)).unwrap();
    let revised = stored.iter().find(|one| one.explainer == "llm:max-act+revised@scripted").unwrap();
    assert_eq!(revised.text, log.initial);
}

#[test]
fn answers_that_cannot_be_read_leave_rounds_without_a_result() {
    let (log, atlas, ..) = revise("Sure! Here are sentences.", "the token \"ing\".");
    assert!(log.rounds.iter().all(|round| round.revised.is_none() && round.sentences.is_empty()));
    assert!(log.rounds[0].failure.as_deref().unwrap().starts_with("no test sentences"), "{log:?}");
    let calls = atlas.calls(UnitId::new(HookPoint::mlp_post(0), 3)).unwrap();
    assert_eq!(calls.iter().find_map(|calls| calls.failures.get("malformed")), Some(&2));
    let (log, ..) = revise(SENTENCES, "I'm sorry, I cannot.");
    assert!(log.rounds[0].failure.as_deref().unwrap().starts_with("no revised explanation"), "{log:?}");
}

/// Small models write the lines of the prompt, or the evidence, in place of an explanation.
#[test]
fn an_answer_that_only_repeats_what_was_asked_is_no_explanation() {
    for revised in [
        "the token \"ing\". The explanation says that it responds. Response: 4, so it stays silent, AGAINST the explanation.",
        "ing\t9",
    ] {
        let (log, atlas, ..) = revise(SENTENCES, revised);
        let failure = log.rounds[0].failure.as_deref().unwrap();
        assert!(failure.starts_with("no revised explanation: the answer repeats"), "{failure}");
        assert_eq!((log.kept, &log.rounds[0].revised), (None, &None));
        let calls = atlas.calls(UnitId::new(HookPoint::mlp_post(0), 3)).unwrap();
        assert_eq!(calls.iter().find_map(|calls| calls.failures.get("malformed")), Some(&2));
    }
}

/// The published baselines: as many random texts, none of which scores the explanation, or nothing new.
#[test]
fn baselines_show_random_texts_or_nothing() {
    let unit = UnitId::new(HookPoint::mlp_post(0), 3);
    let (log, atlas, asked, _directory) = revise_by(Feedback::Random, "", "the token \"ing\".");
    assert_eq!(asked.len(), 2, "nobody is asked for sentences");
    let [first, second] = [0, 1].map(|round: usize| &log.rounds[round].sentences);
    assert!(first.len() == 10 && first.iter().all(|text| text.expected.is_none()));
    assert_ne!(first, second, "every round draws anew");
    let held_out: Vec<String> = atlas
        .excerpts(unit)
        .unwrap()
        .into_iter()
        .filter(|excerpt| excerpt.split != Split::Train)
        .map(|excerpt| excerpt.tokens.iter().map(|token| atlas.vocabulary().text(*token)).collect())
        .collect();
    assert!(
        first.iter().chain(second).all(|text| !held_out.iter().any(|window| window.contains(&text.text)))
    );
    assert!(
        asked[0].contains("Sentences:") && !asked[0].contains("The explanation says that it"),
        "{}",
        asked[0]
    );
    let stored = atlas.explanations(unit).unwrap();
    assert!(stored.iter().any(|one| one.explainer == "llm:max-act+revised-random@scripted"));

    let (log, atlas, asked, _directory) = revise_by(Feedback::Nothing, "", "the token \"ing\".");
    assert!(log.rounds.iter().all(|round| round.sentences.is_empty() && round.revised.is_some()));
    assert!(asked[0].contains("Excerpts on which") && !asked[0].contains("Sentences:"), "{}", asked[0]);
    let stored = atlas.explanations(unit).unwrap();
    assert!(stored.iter().any(|one| one.explainer == "llm:max-act+revised-nothing@scripted"));
}
