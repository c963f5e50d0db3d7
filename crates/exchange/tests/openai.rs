//! OpenAI's files: what is written says what the atlas says, and an atlas made of it has the same evidence.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;

use glossator_atlas::testing::{explain_synthetic, explain_synthetic_in_words, write_synthetic};
use glossator_atlas::{Atlas, Split};
use glossator_exchange::{ExchangeError, openai};
use glossator_model::checkpoint::Checkpoint;
use glossator_model::{HookPoint, UnitId};

fn units(atlas: &Atlas) -> Vec<UnitId> {
    (0..atlas.unit_count()).map(|rank| atlas.unit_at(rank).unwrap()).collect()
}

fn unconnected() -> openai::Connections {
    openai::Connections::default()
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
    openai::write(&first, &units(&first), &unconnected(), &published, &|| {}).unwrap();
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
    openai::write(&atlas, &units(&atlas), &unconnected(), &published, &|| {}).unwrap();
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

/// All simulations below a directory, by neuron and place.
fn published_simulations(directory: &Path) -> Vec<openai::SequenceSimulation> {
    let mut simulations = Vec::new();
    for neuron in openai::Published::find(directory).unwrap() {
        let Some(path) = neuron.explanations else { continue };
        for explanation in openai::read_explanations(&path).unwrap().scored_explanations {
            let scored = explanation.scored_simulation.scored_sequence_simulations;
            simulations.extend(scored.into_iter().map(|scored| scored.simulation));
        }
    }
    simulations
}

/// The published rules: per token the values that the simulator named and their probabilities, which sum to 1 and whose mean is the
/// activation; on the scale from 0 to 10 inside. Nothing of this where the simulator gave one number a token.
#[test]
fn simulations_have_the_distributions_of_those_who_gave_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("first");
    drop(explained(&path));
    explain_synthetic_in_words(&path).unwrap();
    let first = Atlas::open(&path).unwrap();
    let published = directory.path().join("published");
    openai::write(&first, &units(&first), &unconnected(), &published, &|| {}).unwrap();
    let simulations = published_simulations(&published);
    let (with, without): (Vec<_>, Vec<_>) =
        simulations.iter().partition(|one| one.uncalibrated_simulation.is_some());
    assert!(!with.is_empty() && !without.is_empty());
    for one in without {
        assert!(one.distribution_values.is_empty() && one.distribution_probabilities.is_empty());
    }
    for simulation in with {
        let inside = simulation.uncalibrated_simulation.as_deref().unwrap();
        assert_eq!(inside.tokens, simulation.tokens);
        assert_eq!(inside.activation_scale, openai::ActivationScale::SimulatedNormalizedActivations);
        assert_eq!(inside.distribution_probabilities, simulation.distribution_probabilities);
        assert!(inside.uncalibrated_simulation.is_none());
        assert!(inside.distribution_values.iter().flatten().all(|value| *value == 0.0 || *value == 10.0));
        for one in [simulation, inside] {
            assert_eq!(one.distribution_values.len(), one.tokens.len());
            assert_eq!(one.distribution_values[0], [0.0; 0], "nothing is known of the first position");
            let places = one.distribution_values.iter().zip(&one.distribution_probabilities).skip(1);
            for ((values, probabilities), expected) in places.zip(&one.expected_activations[1..]) {
                assert!(values.is_sorted() && values.len() == probabilities.len() && !values.is_empty());
                assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                let mean: f64 = values.iter().zip(probabilities).map(|(value, p)| value * p).sum();
                assert!((mean - expected).abs() < 1e-3, "{mean} {expected}");
            }
        }
    }

    let imported = import(&published, &directory.path().join("second")).unwrap();
    assert_eq!((imported.unmatched, imported.without_distributions), (0, 0));
    let second = Atlas::open(directory.path().join("second")).unwrap();
    let again = directory.path().join("again");
    openai::write(&second, &units(&second), &unconnected(), &again, &|| {}).unwrap();
    let given = |simulations: Vec<openai::SequenceSimulation>| {
        let mut given: Vec<String> = simulations.iter().map(|one| format!("{one:?}")).collect();
        given.sort();
        given
    };
    assert_eq!(given(simulations), given(published_simulations(&again)));
}

#[test]
fn what_is_wrong_with_distributions_is_said() {
    let cases: [(&str, Change); 4] = [
        ("has no valid distribution at position 3", |simulation| {
            simulation["distribution_values"][3] = serde_json::json!([0.0]);
        }),
        ("has no valid distribution at position 3", |simulation| {
            simulation["distribution_probabilities"][3] = serde_json::json!([1.5, -0.5]);
        }),
        ("a simulation of 8 tokens has 1 lists of values and 8 of probabilities", |simulation| {
            simulation["distribution_values"] = serde_json::json!([[0.0, 10.0]]);
        }),
        ("a simulation has 8 tokens and 1 activations", |simulation| {
            let inside = simulation.clone();
            simulation["uncalibrated_simulation"] = inside;
            simulation["uncalibrated_simulation"]["expected_activations"] = serde_json::json!([1.0]);
        }),
    ];
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../reference/simulation/published/explanations/1/0.jsonl");
    for (expected, change) in cases {
        let mut results: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&source).unwrap()).unwrap();
        let scored = &mut results["scored_explanations"][0]["scored_simulation"];
        change(&mut scored["scored_sequence_simulations"][0]["simulation"]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.jsonl");
        std::fs::write(&path, results.to_string()).unwrap();
        let message = openai::read_explanations(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_neuron_without_a_record_is_empty_and_the_page_can_list_it() {
    let directory = tempfile::tempdir().unwrap();
    let atlas = explained(&directory.path().join("atlas"));
    let published = directory.path().join("published");
    let third = UnitId::new(HookPoint::mlp_post(1), 3);
    openai::write(&atlas, &[third], &unconnected(), &published, &|| {}).unwrap();
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
    openai::write(&atlas, &units(&atlas)[..1], &unconnected(), &published, &|| {}).unwrap();
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
    let error =
        openai::write(&atlas, &units(&atlas), &unconnected(), &directory.path().join("atlas"), &|| {})
            .unwrap_err();
    assert!(matches!(error, ExchangeError::Occupied { .. }));
    let error = import(&directory.path().join("atlas"), &directory.path().join("second")).unwrap_err();
    assert!(matches!(error, ExchangeError::Nothing { .. }));
}

/// The strengths by their definition, in f64, with layer norm and without a gate (GPT-2), and with both otherwise (Llama).
#[test]
fn connections_are_products_of_weights() {
    for (golden, gated) in [("gpt2", false), ("llama", true)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens").join(golden);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let layers: Vec<_> =
            (0..checkpoint.architecture().n_layers).map(|l| checkpoint.layer(l).unwrap()).collect();
        let reads = |layer: usize, neuron: usize| -> Vec<f64> {
            let weights = &layers[layer];
            assert_eq!(weights.gate.is_some(), gated);
            let matrix = &weights.gate.as_ref().unwrap_or(&weights.up).weight;
            let gain = &weights.ln2.as_ref().unwrap().weight;
            let row = matrix.data[neuron * matrix.cols..].iter().zip(gain);
            row.map(|(value, gain)| f64::from(*value) * f64::from(*gain)).collect()
        };
        let writes = |layer: usize, neuron: usize| -> Vec<f64> {
            let down = &layers[layer].down.weight;
            (0..down.rows).map(|row| f64::from(down.data[row * down.cols + neuron])).collect()
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let d_mlp = checkpoint.architecture().d_mlp;
        let last = layers.len() - 1;
        assert!(last > 0);
        let directory = tempfile::tempdir().unwrap();
        write_synthetic(&directory.path().join("atlas"), layers.len(), 5).unwrap();
        let atlas = Atlas::open(directory.path().join("atlas")).unwrap();
        let units = units(&atlas);
        let connections = openai::Connections::of(&checkpoint, &units).unwrap();
        let published = directory.path().join("published");
        openai::write(&atlas, &units, &connections, &published, &|| {}).unwrap();
        let related = |layer: usize, neuron: usize| -> openai::RelatedNeurons {
            let path = published.join(format!("related-neurons/weight-based/{layer}/{neuron}.json"));
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        };
        assert!(related(0, 2).c_fc.is_none() && related(last, 2).c_proj.is_none());
        let check = |found: openai::ConnectedNeurons, mut expected: Vec<(f64, String)>| {
            expected.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
            assert_eq!(found.top_positive_neurons.len(), expected.len().min(10));
            for (found, (value, _)) in found.top_positive_weights.iter().zip(&expected) {
                assert!(close(*found, *value), "{golden}: {found} against {value}");
            }
            for (found, (value, _)) in found.top_negative_weights.iter().zip(expected.iter().rev()) {
                assert!(close(*found, *value), "{golden}: {found} against {value}");
            }
            let names = found.top_positive_neurons.iter().zip(&found.top_positive_weights);
            for (name, weight) in
                names.chain(found.top_negative_neurons.iter().zip(&found.top_negative_weights))
            {
                let (value, _) = expected.iter().find(|(_, other)| other == name).unwrap();
                assert!(close(*weight, *value), "{golden}: {name}");
            }
        };
        let upstream = (0..last).flat_map(|layer| (0..d_mlp).map(move |neuron| (layer, neuron)));
        let strength = |(layer, neuron): (usize, usize)| {
            (dot(&writes(layer, neuron), &reads(last, 3)), format!("{layer}_{neuron}"))
        };
        check(related(last, 3).c_fc.unwrap(), upstream.map(strength).collect());
        let downstream = (1..=last).flat_map(|layer| (0..d_mlp).map(move |neuron| (layer, neuron)));
        let strength = |(layer, neuron): (usize, usize)| {
            (dot(&writes(0, 4), &reads(layer, neuron)), format!("{layer}_{neuron}"))
        };
        check(related(0, 4).c_proj.unwrap(), downstream.map(strength).collect());
        let path = published.join("related-tokens/weight-based/0/1.json");
        let tokens: openai::WeightBasedSummaryOfNeuron =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let embedding = checkpoint.embedding().unwrap();
        let rows = embedding.data.chunks_exact(embedding.cols);
        let rows = rows.map(|row| row.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>());
        let mut expected: Vec<f64> = rows.map(|row| dot(&row, &reads(0, 1))).collect();
        expected.sort_by(f64::total_cmp);
        let strongest = expected.iter().rev().zip(&tokens.input_positive.strengths);
        for (expected, found) in strongest.chain(expected.iter().zip(&tokens.input_negative.strengths)) {
            assert!((expected - found).abs() <= 1e-5 * (1.0 + expected.abs()), "{golden}: {found}");
        }
        assert_eq!((tokens.input_positive.tokens.len(), tokens.input_negative.tokens.len()), (20, 20));
    }
}

/// Related tokens and neurons of published data are in no place of an atlas, but they come back from it byte for byte.
#[test]
fn related_tokens_and_neurons_come_back() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/gpt2");
    let checkpoint = Checkpoint::open(&golden).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let first = explained(&directory.path().join("first"));
    let connections = openai::Connections::of(&checkpoint, &units(&first)).unwrap();
    let published = directory.path().join("published");
    openai::write(&first, &units(&first), &connections, &published, &|| {}).unwrap();
    // A neuron of which nothing is published.
    let related =
        ["related-tokens/activation-based", "related-tokens/weight-based", "related-neurons/weight-based"];
    for folder in related {
        std::fs::remove_file(published.join(folder).join("0/2.json")).unwrap();
    }
    let second = directory.path().join("second");
    let imported = import(&published, &second).unwrap();
    assert_eq!((imported.neurons, imported.related), (10, 9));
    let second = Atlas::open(&second).unwrap();
    let again = directory.path().join("again");
    openai::write(&second, &units(&second), &unconnected(), &again, &|| {}).unwrap();
    let mut compared = 0;
    for folder in related {
        for layer in 0..2 {
            for neuron in (0..5).filter(|neuron| (layer, *neuron) != (0, 2)) {
                let [before, after] = [&published, &again]
                    .map(|root| std::fs::read(root.join(format!("{folder}/{layer}/{neuron}.json"))).unwrap());
                assert_eq!(before, after, "{folder} {layer} {neuron}");
                compared += 1;
            }
        }
        let path = again.join(folder).join("0/2.json");
        assert!(path.is_file(), "an export is whole all the same");
    }
    assert_eq!(compared, 27);
    let weights = openai::read_token_weights(&again.join("related-tokens/weight-based/0/1.json")).unwrap();
    assert_eq!(weights.input_positive.tokens.len(), 20);
    assert!(
        openai::read_related_neurons(&again.join("related-neurons/weight-based/0/1.json"))
            .unwrap()
            .c_proj
            .is_some()
    );
    assert!(
        !openai::read_token_means(&again.join("related-tokens/activation-based/0/1.json"))
            .unwrap()
            .tokens
            .is_empty()
    );
}

#[test]
fn what_is_wrong_with_related_tokens_and_neurons_is_said() {
    let cases: [(&str, &str, Change); 4] = [
        ("activation-based", "a list has 1 tokens and 0 average activations", |related| {
            related["tokens"] = serde_json::json!(["a"]);
            related["average_activations"] = serde_json::json!([]);
        }),
        ("weight-based", "a list has 1 tokens and 2 strengths", |related| {
            related["output_negative"] = serde_json::json!({ "tokens": ["a"], "strengths": [1.0, 2.0] });
        }),
        ("neurons", "`4` is no neuron: LAYER_NEURON is expected", |related| {
            related["c_fc"] = serde_json::json!({
                "top_positive_neurons": ["4"], "top_positive_weights": [1.0],
                "top_negative_neurons": [], "top_negative_weights": [],
            });
        }),
        ("neurons", "not a pair of c_fc and c_proj", |related| related["c_proj"] = "x".into()),
    ];
    for (place, expected, change) in cases {
        let directory = tempfile::tempdir().unwrap();
        let atlas = explained(&directory.path().join("atlas"));
        let published = directory.path().join("published");
        openai::write(&atlas, &units(&atlas)[..1], &unconnected(), &published, &|| {}).unwrap();
        let folder = if place == "neurons" {
            "related-neurons/weight-based".into()
        } else {
            format!("related-tokens/{place}")
        };
        let path = published.join(folder).join("0/0.json");
        let mut related: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut related);
        std::fs::write(&path, related.to_string()).unwrap();
        let message = import(&published, &directory.path().join("second")).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// What the `automated-interpretability` package serialised itself (`reference/simulation/make_published.py`).
#[test]
fn what_the_published_package_writes_is_read() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/simulation/published");
    let directory = tempfile::tempdir().unwrap();
    let imported = import(&source, &directory.path().join("atlas")).unwrap();
    assert_eq!((imported.neurons, imported.missing, imported.unmatched), (2, 0, 0));
    let atlas = Atlas::open(directory.path().join("atlas")).unwrap();
    let [whole, bare] = [0, 1].map(|index| UnitId::new(HookPoint::mlp_post(1), index));
    let (record, other) = (atlas.unit(whole).unwrap(), atlas.unit(bare).unwrap());
    assert!((record.statistics.mean - 0.4).abs() < 1e-12);
    assert_eq!(record.statistics.kurtosis, Some(9.0));
    assert!(other.statistics.mean.is_nan() && other.statistics.kurtosis.is_none());
    let count = |record: &glossator_atlas::UnitRecord, kind: glossator_atlas::ExcerptKind| {
        record.excerpts.iter().filter(|one| one.kind == kind).count()
    };
    for record in [&record, &other] {
        assert_eq!(count(record, glossator_atlas::ExcerptKind::Top), 8);
        assert_eq!(count(record, glossator_atlas::ExcerptKind::Random), 6);
    }
    let explanation = &atlas.explanations(whole).unwrap()[0];
    assert_eq!(explanation.text, " the word cat");
    assert!(atlas.explanations(bare).unwrap().is_empty());
    let published = openai::Published::find(&source).unwrap();
    let results = openai::read_explanations(published[0].explanations.as_ref().unwrap()).unwrap();
    let scored = &results.scored_explanations[0].scored_simulation;
    let score = atlas.scores(whole).unwrap().into_iter().find(|one| one.metric == "correlation").unwrap();
    assert_eq!(score.value, scored.ev_correlation_score);
    let simulations = atlas.simulations(whole, &explanation.explainer).unwrap();
    assert_eq!((simulations.len(), imported.without_distributions), (4, 0));
    for simulation in simulations {
        let distributions = simulation.distributions.unwrap();
        assert_eq!(
            (distributions.len(), distributions.activation(10)),
            (8, f64::from(record.statistics.max))
        );
        for (position, activation) in simulation.activations.iter().enumerate() {
            let known: Vec<(u8, f64)> = distributions.at(position).collect();
            let high = f64::from(*activation) / f64::from(record.statistics.max);
            assert_eq!((known[0].0, known[1].0), (0, 10));
            assert!((known[1].1 - high).abs() < 1e-4, "{known:?} {high}");
        }
    }
    let simulation = &scored.scored_sequence_simulations[0].simulation;
    assert_eq!(simulation.distribution_values[0], [0.0, 10.0]);
    assert_eq!(simulation.distribution_probabilities.len(), simulation.tokens.len());
}
