//! OpenAI's files: what is written says what the atlas says, and an atlas made of it has the same evidence.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;

use glossator_atlas::testing::{explain_synthetic, write_synthetic};
use glossator_atlas::{Atlas, Split};
use glossator_exchange::{ExchangeError, openai};
use glossator_model::{HookPoint, UnitId};

fn units(atlas: &Atlas) -> Vec<UnitId> {
    (0..atlas.unit_count()).map(|rank| atlas.unit_at(rank).unwrap()).collect()
}

fn explained(directory: &Path) -> Atlas {
    write_synthetic(directory, 2, 5).unwrap();
    explain_synthetic(directory, 4).unwrap();
    Atlas::open(directory).unwrap()
}

fn import(source: &Path, atlas: &Path) -> Result<openai::Imported, ExchangeError> {
    let hook = |layer| Some(HookPoint::mlp_post(layer as usize));
    let plan = openai::ImportPlan { source, atlas, model: "imported", hook: &hook };
    openai::import(&plan, &|_| {})
}

#[test]
fn an_atlas_comes_back_with_its_evidence_explanations_and_scores() {
    let directory = tempfile::tempdir().unwrap();
    let first = explained(&directory.path().join("first"));
    let published = directory.path().join("published");
    openai::write(&first, &units(&first), &published, &|| {}).unwrap();
    let imported = import(&published, &directory.path().join("second")).unwrap();
    assert_eq!((imported.neurons, imported.missing, imported.unmatched), (10, 0, 0));
    let second = Atlas::open(directory.path().join("second")).unwrap();
    for unit in units(&first) {
        let (before, after) = (first.unit(unit).unwrap(), second.unit(unit).unwrap());
        let evidence = |atlas: &Atlas, record: &glossator_atlas::UnitRecord| -> Vec<_> {
            let excerpts = record.excerpts.iter();
            // The highest interval is not published: it is the top list.
            let excerpts = excerpts
                .filter(|one| !matches!(one.kind, glossator_atlas::ExcerptKind::Quantile { interval: 4 }));
            let texts = |tokens: &[u32]| {
                tokens.iter().map(|t| atlas.vocabulary().text(*t).to_owned()).collect::<Vec<_>>()
            };
            excerpts
                .map(|one| (one.kind, one.rank, one.split, texts(&one.tokens), one.activations.clone()))
                .collect()
        };
        assert_eq!(evidence(&first, &before), evidence(&second, &after), "{unit}");
        // The JSON reader is right to one unit in the last place of an f64.
        let close = |a: f64, b: f64| (a - b).abs() <= f64::EPSILON * a.abs();
        assert!(close(before.statistics.mean, after.statistics.mean), "{unit}");
        assert!(close(before.statistics.skewness.unwrap(), after.statistics.skewness.unwrap()), "{unit}");
        assert!(after.statistics.density.is_nan(), "density is not published");
        let texts = |atlas: &Atlas| -> BTreeSet<String> {
            atlas.explanations(unit).unwrap().into_iter().map(|one| one.text).collect()
        };
        assert_eq!(texts(&first), texts(&second), "{unit}");
    }
}

#[test]
fn scores_and_simulations_are_those_of_the_best_explanation() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = explained(&directory.path().join("atlas"));
    let published = directory.path().join("published");
    openai::write(&atlas, &units(&atlas), &published, &|| {}).unwrap();
    let mut seen = 0;
    for neuron in openai::Published::find(&published).unwrap() {
        let unit = UnitId::new(HookPoint::mlp_post(neuron.layer as usize), neuron.neuron as usize);
        let Some(path) = neuron.explanations else { continue };
        let results = openai::read_explanations(&path).unwrap();
        let headline = results.scored_explanations[0].scored_simulation.ev_correlation_score;
        let scores = atlas.scores(unit).unwrap();
        let ours = scores.iter().filter(|one| {
            one.metric == "correlation" && one.sample == "top_and_random" && one.split == Split::Test
        });
        let best =
            ours.filter_map(|one| one.value).fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b))));
        if best.is_some() {
            assert_eq!(headline, best, "{unit}");
        }
        for explanation in &results.scored_explanations {
            for scored in &explanation.scored_simulation.scored_sequence_simulations {
                assert_eq!(scored.true_activations.len(), scored.simulation.tokens.len());
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_neuron_without_a_record_is_empty_and_the_page_can_list_it() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = explained(&directory.path().join("atlas"));
    let published = directory.path().join("published");
    let third = UnitId::new(HookPoint::mlp_post(1), 3);
    openai::write(&atlas, &[third], &published, &|| {}).unwrap();
    let imported = import(&published, &directory.path().join("second")).unwrap();
    assert_eq!((imported.neurons, imported.missing), (1, 3));
    let second = Atlas::open(directory.path().join("second")).unwrap();
    let empty = second.unit(UnitId { index: 0, ..third }).unwrap();
    assert!(empty.excerpts.is_empty() && empty.statistics.tokens == 0 && empty.statistics.mean.is_nan());
    let list = second.list(&glossator_atlas::ListQuery::default()).unwrap();
    assert_eq!(list.total, 4);
    assert!(list.units[0].density.is_nan());
}

type Change = fn(&mut serde_json::Value);

/// A record with one field replaced.
fn broken(directory: &Path, change: impl Fn(&mut serde_json::Value)) -> String {
    let atlas = explained(&directory.join("atlas"));
    let published = directory.join("published");
    openai::write(&atlas, &units(&atlas)[..1], &published, &|| {}).unwrap();
    let path = published.join("collated-activations/0/0.json");
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut record);
    std::fs::write(&path, record.to_string()).unwrap();
    let error = import(&published, &directory.join("second")).unwrap_err();
    error.to_string().replace(&directory.display().to_string(), "DIR")
}

#[test]
fn what_is_wrong_with_a_record_is_said() {
    let cases: [(&str, Change); 4] = [
        ("a sequence has 16 tokens and 1 activations", |record| {
            record["random_sample"][0]["activations"] = serde_json::json!([1.0]);
        }),
        ("the activation at position 0 of a sequence is not a number", |record| {
            record["random_sample"][0]["activations"][0] = serde_json::Value::Null;
        }),
        ("not a NeuronRecord", |record| record["neuron_id"] = "x".into()),
        ("sequences have 1 and 16 tokens", |record| {
            record["most_positive_activation_records"] =
                serde_json::json!([{ "tokens": ["a"], "activations": [1.0] }]);
        }),
    ];
    for (expected, change) in cases {
        let directory = tempfile::tempdir().unwrap();
        let message = broken(directory.path(), change);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn nothing_is_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = explained(&directory.path().join("atlas"));
    let error = openai::write(&atlas, &units(&atlas), &directory.path().join("atlas"), &|| {}).unwrap_err();
    assert!(matches!(error, ExchangeError::Occupied { .. }));
    let error = import(&directory.path().join("atlas"), &directory.path().join("second")).unwrap_err();
    assert!(matches!(error, ExchangeError::Nothing { .. }));
}
