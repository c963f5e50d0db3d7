//! Explaining and scoring a whole (made-up) atlas: what is stored, what is left out, and that a run goes on where an
//! earlier one stopped.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use glossator_atlas::testing::write_synthetic;
use glossator_atlas::{Atlas, Excerpt, Explanation, HEADLINE, ListQuery, PREDICTION, Score, Split};
use glossator_explain::Selector;
use glossator_explain::baselines::{BaselineUnits, EMPTY};
use glossator_explain::explaining::{self, Explainer};
use glossator_explain::neuron2graph::{self, EXAMPLES, Padding, Trie};
use glossator_explain::others::OTHER_UNIT;
use glossator_explain::sample::EXCERPTS;
use glossator_explain::scoring::Scorer;
use glossator_model::UnitId;

const UNITS: u32 = 40;

fn atlas() -> (tempfile::TempDir, Atlas) {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 2, UNITS).unwrap();
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    (directory, atlas)
}

fn select(atlas: &Atlas, selectors: &[&str]) -> Vec<String> {
    let selectors: Vec<Selector> = selectors.iter().map(|text| text.parse().unwrap()).collect();
    Selector::union(&selectors, atlas).unwrap().iter().map(ToString::to_string).collect()
}

fn all(atlas: &Atlas) -> Vec<UnitId> {
    Selector::union(&["all".parse().unwrap()], atlas).unwrap()
}

#[test]
fn selectors() {
    let (directory, atlas) = atlas();
    assert_eq!(select(&atlas, &["all"]).len(), 2 * UNITS as usize);
    assert_eq!(select(&atlas, &["blocks.1.mlp.hook_post:7"]), ["blocks.1.mlp.hook_post:7"]);
    let range = ["blocks.0.mlp.hook_post:38-99", "blocks.*.mlp.hook_post:39"];
    let expected = ["blocks.0.mlp.hook_post:38", "blocks.0.mlp.hook_post:39", "blocks.1.mlp.hook_post:39"];
    assert_eq!(select(&atlas, &range), expected);
    let random = select(&atlas, &["random:10@7"]);
    assert_eq!(random.len(), 10);
    assert_eq!(random, select(&atlas, &["random:10@7"]));
    assert_ne!(random, select(&atlas, &["random:10@8"]));
    let more: BTreeSet<String> = select(&atlas, &["random:20@7"]).into_iter().collect();
    assert!(random.iter().all(|unit| more.contains(unit)), "a larger draw adds to a smaller one");
    assert_eq!(select(&atlas, &["density:0-1"]).len(), 2 * UNITS as usize);
    let list = directory.path().join("units.txt");
    std::fs::write(&list, "# two units\nblocks.0.mlp.hook_post:1\n\nblocks.1.mlp.hook_post:2\n").unwrap();
    let list = format!("@{}", list.display());
    assert_eq!(select(&atlas, &[&list]), ["blocks.0.mlp.hook_post:1", "blocks.1.mlp.hook_post:2"]);
}

#[test]
fn wrong_selectors_say_why() {
    for wrong in
        ["", "random:x", "density:3", "density:0.5-0.1", "blocks.0.mlp.hook_post:9-3", "blocks.x.mlp:1"]
    {
        let error = wrong.parse::<Selector>().map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("does not select units"), "{wrong}: {error}");
    }
    let (_directory, atlas) = atlas();
    for nothing in ["blocks.7.mlp.hook_post", "blocks.0.mlp.hook_post:500", "density:2-3", "@/nowhere"] {
        assert!(Selector::union(&[nothing.parse().unwrap()], &atlas).is_err(), "{nothing}");
    }
    let said = |text: &str| Selector::union(&[text.parse().unwrap()], &atlas).unwrap_err().to_string();
    let message = said("blocks.7.mlp.hook_post:3");
    assert!(message.contains("does not record it; it records blocks.0-1.mlp.hook_post"), "{message}");
    let message = said("blocks.*.mlp.hook_post:500");
    assert!(message.contains("blocks.0-1.mlp.hook_post has units 0 to 39"), "{message}");
}

fn strip_time(explanations: Vec<Explanation>) -> Vec<Explanation> {
    explanations.into_iter().map(|explanation| Explanation { seconds: None, ..explanation }).collect()
}

fn find<'a>(scores: &'a [Score], explainer: &str, metric: &str, sample: &str) -> &'a Score {
    let wanted =
        |score: &&Score| score.explainer == explainer && score.metric == metric && score.sample == sample;
    scores.iter().find(wanted).unwrap()
}

#[test]
fn lookup_explains_and_scores_every_unit() {
    let (_directory, atlas) = atlas();
    let units = all(&atlas);
    let done = explaining::done(&atlas, Explainer::Lookup.name(), &units).unwrap();
    explaining::by_lookup(&atlas, &units, &done, &|_| {}).unwrap();
    Scorer::new(&atlas, Split::Test, 0).run(&[Explainer::Lookup], &units, false, &|_| {}).unwrap();
    for &unit in &units {
        let scores = atlas.scores(unit).unwrap();
        assert_eq!(scores.len(), 18, "six metrics on three samples");
        let score = find(&scores, "lookup", "correlation", "top_and_random");
        assert!(score.value.unwrap() > 0.9, "the unit responds to one token: {score:?}");
        assert!(score.low.unwrap() <= score.value.unwrap() && score.value.unwrap() <= score.high.unwrap());
        assert!(scores.iter().all(|score| score.value.is_some() != score.remark.is_some()));
        let simulations = atlas.simulations(unit, "lookup").unwrap();
        // A window that is on both lists counts once.
        assert!((EXCERPTS..=2 * EXCERPTS).contains(&simulations.len()));
        assert_eq!(score.tokens, simulations.len() as u64 * 16);
        let test: BTreeSet<u32> =
            atlas.excerpts_in(unit, &[Split::Test]).unwrap().iter().map(|e| e.window).collect();
        assert!(simulations.iter().all(|simulation| test.contains(&simulation.window)));
    }
    let text = &atlas.explanations(units[3]).unwrap()[0].text;
    assert!(text.starts_with("\"ing\" 5.00, \"<script>"), "{text}");
    assert!(explaining::done(&atlas, Explainer::Lookup.name(), &units).unwrap().iter().all(|done| *done));
}

#[test]
fn a_run_in_two_halves_stores_the_same() {
    let ((_one, whole), (_two, halves)) = (atlas(), atlas());
    let units = all(&whole);
    let run = |atlas: &Atlas, units: &[UnitId]| {
        let done = explaining::done(atlas, Explainer::Lookup.name(), units).unwrap();
        explaining::by_lookup(atlas, units, &done, &|_| {}).unwrap();
        Scorer::new(atlas, Split::Test, 5).run(&[Explainer::Lookup], units, false, &|_| {}).unwrap();
    };
    run(&whole, &units);
    run(&halves, &units[..31]);
    run(&halves, &units);
    for &unit in &units {
        assert_eq!(
            strip_time(whole.explanations(unit).unwrap()),
            strip_time(halves.explanations(unit).unwrap())
        );
        assert_eq!(whole.scores(unit).unwrap(), halves.scores(unit).unwrap());
        assert_eq!(whole.simulations(unit, "lookup").unwrap(), halves.simulations(unit, "lookup").unwrap());
    }
}

#[test]
fn scores_on_another_split_are_added() {
    let (_directory, atlas) = atlas();
    let units = all(&atlas)[..3].to_vec();
    explaining::by_lookup(&atlas, &units, &[false; 3], &|_| {}).unwrap();
    for split in [Split::Test, Split::Valid] {
        Scorer::new(&atlas, split, 0).run(&[Explainer::Lookup], &units, false, &|_| {}).unwrap();
    }
    assert_eq!(atlas.scores(units[0]).unwrap().len(), 36);
}

/// An explanation that predicts nothing is undefined where it must be, and says so.
#[test]
fn the_empty_explanation_has_no_score() {
    let (_directory, atlas) = atlas();
    let unit = all(&atlas)[0];
    let padding = Padding { token: 0, rule: "test".to_owned() };
    let body = neuron2graph::to_json(&Trie::default(), &padding, 0, |token| atlas.vocabulary().text(token));
    let explanation = Explanation {
        unit,
        explainer: "n2g".to_owned(),
        text: neuron2graph::readable(&Trie::default(), |token| atlas.vocabulary().text(token)),
        body,
        seconds: None,
    };
    atlas.put_explanations(&[explanation]).unwrap();
    Scorer::new(&atlas, Split::Test, 0).run(&[Explainer::Neuron2Graph], &[unit], false, &|_| {}).unwrap();
    let scores = atlas.scores(unit).unwrap();
    for sample in ["top_and_random", "top_only"] {
        let score = find(&scores, "n2g", "correlation", sample);
        assert_eq!((score.value, score.low, score.high), (None, None, None));
        assert_eq!(score.remark.as_deref(), Some("the prediction is constant"));
        let precision = find(&scores, "n2g", "precision", sample);
        assert_eq!(
            (precision.value, precision.remark.as_deref()),
            (None, Some("nothing is predicted to fire"))
        );
        assert_eq!(find(&scores, "n2g", "recall", sample).value, Some(0.0));
    }
}

#[test]
fn without_patterns_backoff_is_lookup() {
    let (_directory, atlas) = atlas();
    let units = all(&atlas)[..2].to_vec();
    explaining::by_lookup(&atlas, &units, &[false; 2], &|_| {}).unwrap();
    let padding = Padding { token: 0, rule: "test".to_owned() };
    let body = neuron2graph::to_json(&Trie::default(), &padding, 0, |token| atlas.vocabulary().text(token));
    let nothing = Explanation {
        unit: units[0],
        explainer: "n2g".to_owned(),
        text: "nothing found".to_owned(),
        body,
        seconds: None,
    };
    atlas.put_explanations(&[nothing]).unwrap();
    assert_eq!(explaining::by_backoff(&atlas, &units, &[false; 2], &|_| {}).unwrap(), 1, "one has no n2g");
    let explainers = [Explainer::Lookup, Explainer::Backoff];
    Scorer::new(&atlas, Split::Test, 0).run(&explainers, &units, false, &|_| {}).unwrap();
    let predicted = |explainer: &str| -> Vec<Vec<f32>> {
        let simulations = atlas.simulations(units[0], explainer).unwrap();
        simulations.into_iter().map(|simulation| simulation.activations).collect()
    };
    assert!(!predicted("lookup").is_empty());
    assert_eq!(predicted("n2g+lookup"), predicted("lookup"));
    let explanations = atlas.explanations(units[0]).unwrap();
    let text = explanations.iter().find(|one| one.explainer == "n2g+lookup").map(|one| one.text.as_str());
    assert!(text.unwrap().starts_with("nothing found; elsewhere \""), "{text:?}");
    assert!(atlas.explanations(units[1]).unwrap().iter().all(|one| one.explainer != "n2g+lookup"));
}

/// Neither Neuron2Graph's examples nor the token means touch a window that is scored or calibrated on.
#[test]
fn explainers_see_no_scoring_excerpt() {
    let (_directory, atlas) = atlas();
    for unit in all(&atlas) {
        let excerpts = atlas.excerpts(unit).unwrap();
        let maximum = atlas.profile(unit).unwrap().0.max;
        let examples = neuron2graph::examples(&excerpts, maximum, 0, EXAMPLES);
        assert!(!examples.is_empty() && examples.len() <= EXAMPLES);
        for window in neuron2graph::evidence(&excerpts, 0, Arc::new(|_| None)).windows {
            let same = |excerpt: &&Excerpt| {
                excerpt.tokens == window.tokens && excerpt.activations == window.activations
            };
            assert!(excerpts.iter().filter(same).all(|excerpt| excerpt.split == Split::Train), "{unit}");
        }
        for example in examples {
            let last = example.tokens.len() - 1;
            let holds = |excerpt: &&Excerpt| {
                excerpt.tokens.starts_with(&example.tokens) && excerpt.activations[last] == example.activation
            };
            let sources: Vec<Split> = excerpts.iter().filter(holds).map(|excerpt| excerpt.split).collect();
            assert!(!sources.is_empty() && sources.iter().all(|split| *split == Split::Train), "{unit}");
        }
    }
}

#[test]
fn the_explanation_of_another_unit_scores_low_and_is_named() {
    let (_directory, atlas) = atlas();
    let units = all(&atlas);
    explaining::by_lookup(&atlas, &units, &vec![false; units.len()], &|_| {}).unwrap();
    let scorer = Scorer::new(&atlas, Split::Test, 0).with_baselines(BaselineUnits::All);
    // A run over some units first, as if another had been killed: the choice is among those that are selected.
    scorer.run(&[Explainer::Lookup], &units[..10], false, &|_| {}).unwrap();
    let stored = |unit: UnitId| -> Score {
        let mut scores = atlas.scores(unit).unwrap();
        scores.retain(|score| {
            let headline = (score.metric.as_str(), score.sample.as_str()) == HEADLINE;
            headline && score.scorer == format!("{OTHER_UNIT}{PREDICTION}")
        });
        assert_eq!(scores.len(), 1, "{unit}");
        scores.remove(0)
    };
    let first = stored(units[4]);
    let other = first.remark.as_deref().unwrap().strip_prefix("the explanation of ").unwrap();
    let other: UnitId = other.split(';').next().unwrap().parse().unwrap();
    assert!(other != units[4] && units[..10].contains(&other));
    scorer.run(&[Explainer::Lookup], &units, false, &|_| {}).unwrap();
    assert_eq!(stored(units[4]), first, "what is scored stays");
    // No explanation is the mean everywhere: a constant, whose correlation is undefined and not zero.
    for unit in &units {
        let scores = atlas.scores(*unit).unwrap();
        let empty: Vec<&Score> =
            scores.iter().filter(|score| score.scorer == format!("{EMPTY}{PREDICTION}")).collect();
        let [correlation, random, f1] = empty.as_slice() else { panic!("{unit}: {empty:?}") };
        assert_eq!([&correlation.metric, &random.metric, &f1.metric], ["correlation", "correlation", "f1"]);
        assert_eq!((correlation.value, random.value), (None, None), "{unit}");
        assert!(correlation.remark.is_some() && f1.value.is_none_or(|value| value < 1.0), "{f1:?}");
    }
    let others: Vec<f64> = units.iter().filter_map(|unit| stored(*unit).value).collect();
    assert!(others.len() > 60);
    assert!(others.iter().sum::<f64>() / (others.len() as f64) < 0.3, "{others:?}");
    let headline = atlas.list(&ListQuery { limit: 1000, ..ListQuery::default() }).unwrap();
    let headlines = headline.units.iter().flat_map(|unit| &unit.explanations);
    assert!(headlines.filter_map(|one| one.score.as_ref()).all(|score| score.scorer == PREDICTION));
}
