//! Explaining and simulating with a scripted language model over a made-up atlas: what is stored, what is a failure and
//! stays one, that a run goes on where it stopped, and that no request shows what it must not.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::sync::Mutex;

use glossator_atlas::testing::write_synthetic;
use glossator_atlas::{Atlas, Calls, Explanation, Score, Split};
use glossator_explain::Selector;
use glossator_explain::baselines::BaselineUnits;
use glossator_explain::explaining_in_words::InWords;
use glossator_explain::prompts::Prompts;
use glossator_explain::simulate::Simulator;
use glossator_explain::simulating::Simulating;
use glossator_explain::words::Method;
use glossator_llm::{
    Answer, Capabilities, Client, Distribution, Failure, FailureKind, Finish, LanguageModel, Outcome, Piece,
    Request, Role, Usage, Want,
};
use glossator_model::UnitId;

const MODEL: &str = "scripted";

/// A model that knows what made-up units respond to: it names the token of the shortest mark, and gives the largest number to a
/// token whose text the explanation holds between quotation marks.
struct Scripted {
    capabilities: Capabilities,
    /// Every question that was asked, without the worked examples.
    asked: Mutex<Vec<String>>,
    /// Answers that are given instead, by a word in the question.
    instead: BTreeMap<&'static str, Outcome>,
}

impl Scripted {
    fn new() -> Self {
        let capabilities = Capabilities {
            grades: true,
            logprobs: false,
            json_schema: false,
            seed: true,
            continues_turn: true,
            number_ten: true,
        };
        Self { capabilities, asked: Mutex::new(Vec::new()), instead: BTreeMap::new() }
    }

    fn answer_one(&self, request: &Request) -> Outcome {
        let question = request.messages.iter().rfind(|message| message.role == Role::User).unwrap();
        let question = question.content.as_str();
        self.asked.lock().unwrap().push(question.to_owned());
        if let Some((_, outcome)) = self.instead.iter().find(|(word, _)| question.contains(**word)) {
            return outcome.clone();
        }
        let usage = Usage { prompt_tokens: 100, cached_tokens: 50, completion_tokens: 10 };
        match &request.want {
            Want::Text(generation) if generation.json_schema.is_some() => {
                Ok(Answer { text: json(question), usage, ..Answer::default() })
            }
            Want::Text(_) => {
                let marks = question.split("<<").skip(1).filter_map(|rest| rest.split(">>").next());
                let marked = marks.min_by_key(|mark| mark.len());
                let text = match request.sample {
                    1 => "nothing in particular.".to_owned(),
                    _ => format!(" the token \"{}\".", marked.unwrap_or("?")),
                };
                Ok(Answer { text, usage, ..Answer::default() })
            }
            Want::Grades(grading) => {
                let texts = grading.text.iter().filter_map(|piece| match piece {
                    Piece::Text(text) => text.rsplit('\n').next()?.strip_suffix('\t'),
                    Piece::Asked(_) => None,
                });
                let grade = |text: &str| {
                    let fires = question.contains(&format!("\"{text}\""));
                    let expected = if fires { 10 } else { 0 };
                    Distribution((0..=10).map(|number| f32::from(u8::from(number == expected))).collect())
                };
                Ok(Answer { grades: texts.map(grade).collect(), usage, ..Answer::default() })
            }
        }
    }
}

/// The answer by index: 10 for tokens that the description quotes, else 0.
fn json(question: &str) -> String {
    let asked: serde_json::Value = serde_json::from_str(question).unwrap();
    let description = asked["looks_for"].as_str().unwrap();
    let tokens = asked["tokens"].as_object().unwrap();
    let number = |text: &serde_json::Value| {
        if description.contains(&format!("\"{}\"", text.as_str().unwrap())) { 10 } else { 0 }
    };
    let numbers: BTreeMap<&String, i32> = tokens.iter().map(|(token, text)| (token, number(text))).collect();
    serde_json::to_string(&numbers).unwrap()
}

impl LanguageModel for Scripted {
    fn name(&self) -> &str {
        MODEL
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
        for (index, request) in requests.iter().enumerate() {
            if !answered(index, self.answer_one(request)) {
                return;
            }
        }
    }

    fn estimate_prompt_tokens(&self, _request: &Request) -> u64 {
        100
    }
}

fn atlas() -> (tempfile::TempDir, Atlas) {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 2, 12).unwrap();
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    (directory, atlas)
}

fn all(atlas: &Atlas) -> Vec<UnitId> {
    Selector::union(&["all".parse().unwrap()], atlas).unwrap()
}

struct Run {
    client: Client,
    prompts: Prompts,
}

impl Run {
    fn new(model: Scripted) -> Self {
        Self { client: Client::new(Box::new(model)), prompts: Prompts::builtin().unwrap() }
    }

    fn explain(
        &self,
        atlas: &Atlas,
        method: Method,
        samples: u32,
        units: &[UnitId],
    ) -> (usize, usize, usize) {
        let words = InWords {
            atlas,
            client: &self.client,
            prompts: &self.prompts,
            samples,
            simulator: Simulator::Grades,
            watch: &|_| {},
        };
        let done = words.done(method, units).unwrap();
        let explained = words.run(method, units, &done, &|_| {}).unwrap();
        (explained.units, explained.failed, explained.without_evidence)
    }

    fn score(&self, atlas: &Atlas, simulator: Simulator, explainer: &str, units: &[UnitId]) {
        self.score_first(units.len(), atlas, simulator, explainer, units);
    }

    /// Scores the first few of the selected `units`, as a run does that is killed then.
    fn score_first(
        &self,
        count: usize,
        atlas: &Atlas,
        simulator: Simulator,
        explainer: &str,
        units: &[UnitId],
    ) {
        let simulating = Simulating {
            atlas,
            client: &self.client,
            prompts: &self.prompts,
            simulator,
            split: Split::Test,
            seed: 3,
            calibrated: true,
            ablating: None,
            baselines: BaselineUnits::All,
            watch: &|_| {},
        };
        let mut pending = simulating.pending(explainer, units, false).unwrap();
        pending.retain(|unit| units[..count].contains(unit));
        simulating.run(explainer, units, &pending, &|_| {}).unwrap();
    }
}

fn find<'a>(scores: &'a [Score], scorer: &str, metric: &str, sample: &str) -> &'a Score {
    let wanted = |score: &&Score| score.scorer == scorer && score.metric == metric && score.sample == sample;
    scores.iter().find(wanted).unwrap_or_else(|| panic!("{scorer} {metric} {sample}"))
}

#[test]
fn a_unit_is_explained_and_simulated() {
    let (_directory, atlas) = atlas();
    let units = all(&atlas);
    let run = Run::new(Scripted::new());
    assert_eq!(run.explain(&atlas, Method::MaxActivating, 1, &units), (24, 0, 0));
    let explainer = "llm:max-act@scripted";
    let explanation = &atlas.explanations(units[1]).unwrap()[0];
    assert_eq!(
        (explanation.explainer.as_str(), explanation.text.as_str()),
        (explainer, "the token \" cat\"")
    );
    assert_eq!(explanation.body["method"], "max-act");
    for simulator in [Simulator::Grades, Simulator::Json] {
        run.score(&atlas, simulator, explainer, &units[..4]);
        let scorer = simulator.scorer(MODEL);
        let scores = atlas.scores(units[1]).unwrap();
        let score = find(&scores, &scorer, "correlation", "top_and_random");
        assert!(score.value.unwrap() > 0.95, "the explanation is the truth: {score:?}");
        assert!(find(&scores, &scorer, "r_squared", "top_and_random").value.unwrap() > 0.9);
        assert!(find(&scores, &scorer, "r_squared_percentile", "random_only").value.is_some());
        assert!(
            find(&scores, &scorer, "absolute_deviation_explained_uncalibrated", "top_only").value.is_some()
        );
        let empty = find(&scores, &format!("empty:{scorer}"), "correlation", "top_and_random");
        assert_eq!((empty.value, empty.remark.as_deref()), (None, Some("the prediction is constant")));
        let other = find(&scores, &format!("other-unit:{scorer}"), "correlation", "top_and_random");
        assert!(other.value.is_none_or(|value| value < 0.5), "{other:?}");
    }
    // What is stored can be laid beside the truth: the unit's scale, one value a token, test windows only.
    let test: Vec<u32> =
        atlas.excerpts_in(units[1], &[Split::Test]).unwrap().iter().map(|e| e.window).collect();
    let simulations = atlas.simulations(units[1], explainer).unwrap();
    assert!(!simulations.is_empty() && simulations.len() % 2 == 0);
    let maximum = atlas.profile(units[1]).unwrap().0.max;
    for simulation in &simulations {
        assert!(test.contains(&simulation.window) && simulation.activations.len() == 16);
        assert!(simulation.activations.iter().all(|value| *value == 0.0 || *value == maximum));
        let Some(distributions) = &simulation.distributions else {
            assert_eq!(simulation.scorer, Simulator::Json.scorer(MODEL), "a number has no distribution");
            continue;
        };
        assert_eq!((&simulation.scorer, distributions.len()), (&Simulator::Grades.scorer(MODEL), 16));
        for (position, activation) in simulation.activations.iter().enumerate() {
            let expected = if *activation > 0.0 { 10 } else { 0 };
            assert_eq!(distributions.at(position).collect::<Vec<_>>(), [(expected, 1.0)]);
        }
        assert_eq!(distributions.activation(10), f64::from(maximum));
    }
    assert_eq!(atlas.simulations(units[5], explainer).unwrap(), []);
}

/// All that is stored, but for the time it took.
fn stored(atlas: &Atlas, units: &[UnitId]) -> Vec<(Vec<Explanation>, Vec<Score>, Vec<Calls>)> {
    let each = |&unit: &UnitId| {
        let explanations = atlas.explanations(unit).unwrap().into_iter();
        let explanations =
            explanations.map(|explanation| Explanation { seconds: None, ..explanation }).collect();
        let calls = atlas.calls(unit).unwrap().into_iter();
        let calls = calls.map(|calls| Calls { seconds: None, ..calls }).collect();
        (explanations, atlas.scores(unit).unwrap(), calls)
    };
    units.iter().map(each).collect()
}

#[test]
fn a_run_in_parts_stores_the_same() {
    let ((_one, whole), (_two, parts)) = (atlas(), atlas());
    let units = all(&whole);
    let run = Run::new(Scripted::new());
    for method in [Method::MaxActivating, Method::Senses] {
        let score = |atlas: &Atlas, count| {
            run.score_first(count, atlas, Simulator::Grades, &method.explainer(MODEL), &units);
        };
        run.explain(&whole, method, 3, &units);
        score(&whole, units.len());
        // Another unit's explanation is chosen among those that there are: all are made before any is scored.
        for end in [3, 17, 24] {
            run.explain(&parts, method, 3, &units[..end]);
        }
        [5, 9, 24].iter().for_each(|&end| score(&parts, end));
    }
    assert_eq!(stored(&whole, &units), stored(&parts, &units));
}

#[test]
fn the_best_sample_on_the_calibration_split_is_kept() {
    let (_directory, atlas) = atlas();
    let units = all(&atlas)[..2].to_vec();
    // The likeliest answer is wrong, the second says nothing, the third is right.
    let mut model = Scripted::new();
    model.capabilities.continues_turn = false;
    struct Wrong(Scripted);
    impl LanguageModel for Wrong {
        fn name(&self) -> &str {
            MODEL
        }
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities
        }
        fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
            for (index, request) in requests.iter().enumerate() {
                let wrong = matches!(request.want, Want::Text(_)) && request.sample == 0;
                let text = "the token \" sat\"".to_owned();
                let outcome =
                    if wrong { Ok(Answer { text, ..Answer::default() }) } else { self.0.answer_one(request) };
                answered(index, outcome);
            }
        }
        fn estimate_prompt_tokens(&self, _request: &Request) -> u64 {
            1
        }
    }
    let run = Run { client: Client::new(Box::new(Wrong(model))), prompts: Prompts::builtin().unwrap() };
    run.explain(&atlas, Method::MaxActivating, 3, &units);
    let explanation = &atlas.explanations(units[1]).unwrap()[0];
    assert_eq!(explanation.text, "the token \" cat\"");
    assert_eq!(
        (&explanation.body["chosen"], &explanation.body["chosen_by"]),
        (&2.into(), &"simulation:grades@scripted".into())
    );
    let samples = explanation.body["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 3);
    let correlation = |sample: usize| samples[sample]["calibration_correlation"].as_f64();
    assert!(correlation(2) > Some(0.9) && correlation(0) < Some(0.5), "{samples:?}");
    assert_eq!(correlation(1), None, "a constant prediction has no correlation");
}

fn failing(kind: FailureKind) -> Outcome {
    let usage = Usage { prompt_tokens: 7, ..Usage::default() };
    Err(Failure { kind, message: "no".to_owned(), usage })
}

#[test]
fn failures_are_recorded_and_never_scored() {
    let (_directory, atlas) = atlas();
    let units = all(&atlas)[..8].to_vec();
    let mut model = Scripted::new();
    // Unit 2 responds to " sat", unit 4 to a script tag.
    model.instead.insert("<< sat>>", failing(FailureKind::Refused));
    let cut = Answer { text: "a word that".to_owned(), finish: Finish::Length, ..Answer::default() };
    model.instead.insert("<<\\<script", Ok(cut));
    let run = Run::new(model);
    assert_eq!(run.explain(&atlas, Method::MaxActivating, 1, &units), (6, 2, 0));
    assert!(
        atlas.explanations(units[2]).unwrap().is_empty() && atlas.explanations(units[4]).unwrap().is_empty()
    );
    assert_eq!(atlas.calls(units[2]).unwrap()[0].failures, [("refused".to_owned(), 1)].into());
    assert_eq!(atlas.calls(units[4]).unwrap()[0].failures, [("truncated".to_owned(), 1)].into());
    assert_eq!(atlas.calls(units[3]).unwrap()[0].failures, BTreeMap::new());

    // A simulator that gives no number for anything of unit 1.
    let mut model = Scripted::new();
    model.instead.insert(
        "the token \" cat\"",
        Ok(Answer { grades: vec![Distribution(vec![0.0; 11]); 16], ..Answer::default() }),
    );
    model.instead.insert("the token \" the\"", failing(FailureKind::Unreachable));
    let run = Run::new(model);
    run.score(&atlas, Simulator::Grades, "llm:max-act@scripted", &units[..2]);
    for unit in &units[..2] {
        let scores = atlas.scores(*unit).unwrap();
        let score = find(&scores, "simulation:grades@scripted", "correlation", "top_and_random");
        assert_eq!((score.value, score.low, score.tokens), (None, None, 0));
        assert!(score.remark.as_deref().unwrap().starts_with("no answer that can be used for"), "{score:?}");
        assert!(atlas.simulations(*unit, "llm:max-act@scripted").unwrap().is_empty());
    }
    let calls = atlas.calls(units[1]).unwrap();
    let scoring = calls.iter().find(|calls| calls.scorer.is_some()).unwrap();
    assert!(scoring.failures["malformed"] >= 10, "{scoring:?}");
}

#[test]
fn a_simulator_that_a_model_cannot_do_is_refused() {
    let (_directory, atlas) = atlas();
    let units = all(&atlas)[..1].to_vec();
    let mut model = Scripted::new();
    model.capabilities.grades = false;
    let run = Run::new(model);
    run.explain(&atlas, Method::MaxActivating, 1, &units);
    let simulating = Simulating {
        atlas: &atlas,
        client: &run.client,
        prompts: &run.prompts,
        simulator: Simulator::Grades,
        split: Split::Test,
        seed: 0,
        calibrated: false,
        ablating: None,
        baselines: BaselineUnits::None,
        watch: &|_| {},
    };
    let error = simulating.run("llm:max-act@scripted", &units, &units, &|_| {}).unwrap_err().to_string();
    assert!(
        error.contains("scripted cannot simulate by grades") && error.contains("--simulator json"),
        "{error}"
    );
}

/// The first requests of a run, for an estimate, are those that the run then asks.
#[test]
fn an_estimate_asks_for_what_the_run_asks() {
    let (_directory, atlas) = atlas();
    let units = all(&atlas)[..4].to_vec();
    let run = Run::new(Scripted::new());
    let words = InWords {
        atlas: &atlas,
        client: &run.client,
        prompts: &run.prompts,
        samples: 1,
        simulator: Simulator::Grades,
        watch: &|_| {},
    };
    let (requests, of) = words.first_requests(Method::Contrastive, &units).unwrap();
    assert_eq!(of, 4);
    run.explain(&atlas, Method::Contrastive, 1, &units);
    let asked: u64 =
        units.iter().flat_map(|unit| atlas.calls(*unit).unwrap()).map(|calls| calls.requests).sum();
    assert_eq!(requests.len() as u64, asked);
}

/// Each of several senses is scored on the top excerpts that show it and on all random ones.
#[test]
fn senses_are_scored_by_themselves() {
    let (_directory, atlas) = atlas();
    let unit = all(&atlas)[1];
    let training = atlas.excerpts_in(unit, &[Split::Train]).unwrap();
    let windows =
        |from: usize| -> Vec<u32> { training.iter().skip(from).step_by(2).map(|e| e.window).collect() };
    let explanation = Explanation {
        unit,
        explainer: "llm:senses@scripted".to_owned(),
        text: "the token \" cat\" (60 %); the token \" sat\" (40 %)".to_owned(),
        body: serde_json::json!({"senses": [
            {"text": "the token \" cat\"", "share": 0.6, "windows": windows(0)},
            {"text": "the token \" sat\"", "share": 0.4, "windows": windows(1)},
        ]}),
        seconds: None,
    };
    atlas.put_explanations(&[explanation]).unwrap();
    let run = Run::new(Scripted::new());
    run.score(&atlas, Simulator::Grades, "llm:senses@scripted", &[unit]);
    let scores = atlas.scores(unit).unwrap();
    let of = |sample: &str| find(&scores, "simulation:grades@scripted", "correlation", sample);
    let (random, all) = (of("random_only").tokens, of("top_and_random").tokens);
    let (first, second) = (of("sense_1"), of("sense_2"));
    assert_eq!(
        first.tokens + second.tokens,
        all + random,
        "each top excerpt has one sense, random ones have both"
    );
    for sense in [first, second] {
        let silent = sense.tokens == random;
        assert_eq!(silent, sense.remark.as_deref() == Some("no top excerpt of this split shows the sense"));
        assert!(!silent || sense.value.is_none());
    }
    if first.tokens > random {
        assert!(first.value.unwrap() > 0.9, "the unit responds to \" cat\": {first:?}");
    }
    assert!(
        scores.iter().filter(|score| score.sample.starts_with("sense_")).count() == 2,
        "the headline metric alone"
    );
}
