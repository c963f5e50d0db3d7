//! The made-up atlas reads back as it was written, and what is added to it is found again.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use glossator_atlas::testing::write_synthetic;
use glossator_atlas::{
    Atlas, AtlasError, Calls, Distributions, ExcerptKind, Explanation, ListQuery, PREDICTION, Score,
    Simulation, Sort, Split,
};
use glossator_model::{HookPoint, UnitId};

fn unit(layer: usize, index: u32) -> UnitId {
    UnitId { hook: HookPoint::mlp_post(layer), index }
}

fn explanation(unit: UnitId, explainer: &str, text: &str) -> Explanation {
    let body = serde_json::json!({ "explainer": explainer });
    Explanation { unit, explainer: explainer.to_owned(), text: text.to_owned(), body, seconds: Some(0.5) }
}

fn score(unit: UnitId, explainer: &str, value: Option<f64>) -> Score {
    Score {
        unit,
        explainer: explainer.to_owned(),
        scorer: PREDICTION.to_owned(),
        metric: "correlation".to_owned(),
        sample: "top_and_random".to_owned(),
        split: Split::Test,
        value,
        low: value.map(|value| value - 0.1),
        high: value.map(|value| value + 0.1),
        tokens: 640,
        remark: value.is_none().then(|| "constant".to_owned()),
    }
}

#[test]
fn records_read_back() {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 2, 300).unwrap();
    let atlas = Atlas::open(directory.path()).unwrap();
    assert_eq!(atlas.unit_count(), 600);
    for id in [unit(0, 0), unit(0, 299), unit(1, 0), unit(1, 255), unit(1, 256)] {
        let record = atlas.unit(id).unwrap();
        assert_eq!(record.unit, id);
        assert_eq!(record.statistics.tokens, 960);
        assert_eq!(record.excerpts.iter().filter(|e| e.kind == ExcerptKind::Top).count(), 20);
        assert_eq!(record.excerpts.iter().filter(|e| e.kind == ExcerptKind::Random).count(), 20);
        assert_eq!(record.top_logits.len(), 10);
        assert_eq!(record.neighbours.len(), 10);
        let first = &record.excerpts[0];
        assert_eq!(first.window, record.statistics.max_window);
        assert_eq!(first.activations[record.statistics.max_position as usize], record.statistics.max);
        let share: f64 = record.intervals.iter().map(|interval| interval.share).sum();
        assert!((share - 1.0).abs() < 1e-12);
        assert_eq!(atlas.unit_at(atlas.rank_of(id).unwrap()), Some(id));
        // A window has one split, whatever lists it is on.
        for a in &record.excerpts {
            assert!(record.excerpts.iter().all(|b| a.window != b.window || a.split == b.split));
        }
    }
    let means = atlas.token_means(unit(1, 4)).unwrap();
    assert!(means.get(4).unwrap() > 4.0, "{:?}", means.get(4));
    assert_eq!(means.get(1_000_000), None);
    assert_eq!(atlas.vocabulary().text(4), "<script>alert(1)</script>");
}

#[test]
fn unknown_units_are_named() {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 1, 8).unwrap();
    let atlas = Atlas::open(directory.path()).unwrap();
    for id in [unit(0, 8), unit(3, 0)] {
        let error = atlas.unit(id).unwrap_err();
        assert!(matches!(&error, AtlasError::UnknownUnit { .. }), "{error}");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
}

#[test]
fn lists_sort_search_and_page() {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 2, 30).unwrap();
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    let all = atlas.list(&ListQuery { limit: 7, offset: 28, ..ListQuery::default() }).unwrap();
    assert_eq!((all.total, all.units.len()), (60, 7));
    assert_eq!(all.units[0].unit, unit(0, 28));
    assert_eq!(all.units[2].unit, unit(1, 0));
    let sorted = ListQuery { sort: Sort::Max, descending: true, ..ListQuery::default() };
    let sorted = atlas.list(&sorted).unwrap().units;
    assert!(sorted.windows(2).all(|pair| pair[0].max >= pair[1].max));

    atlas.put_explanations(&[explanation(unit(1, 3), "n2g", "fires on *zebra* stripes")]).unwrap();
    let search = |text: &str| {
        let query = ListQuery { search: Some(text.to_owned()), ..ListQuery::default() };
        atlas.list(&query).unwrap().units.into_iter().map(|summary| summary.unit).collect::<Vec<_>>()
    };
    assert_eq!(search("zebra"), [unit(1, 3)]);
    assert_eq!(search("zeb stripes"), [unit(1, 3)]);
    assert_eq!(search("blocks.1.mlp.hook_post:7"), [unit(1, 7)]);
    assert!(search("alert").contains(&unit(0, 4)));
    // Text that would be syntax to SQL or FTS5 is only text.
    for hostile in ["\"", "zebra\" OR \"cat", "NEAR(a b)", "' OR 1=1 --", "*", "name:x", "\u{0}", "-", "^"] {
        search(hostile);
    }
}

#[test]
fn explanations_and_scores_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 1, 5).unwrap();
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    let id = unit(0, 2);
    let explanations = [explanation(id, "lookup", "cat"), explanation(id, "n2g", "<b>sat</b>")];
    atlas.put_explanations(&explanations).unwrap();
    let scores = [score(id, "lookup", Some(0.5)), score(id, "n2g", None)];
    let simulation = Simulation {
        unit: id,
        explainer: "n2g".to_owned(),
        scorer: PREDICTION.to_owned(),
        window: 3,
        activations: vec![0.0, -1.5, f32::MAX],
        distributions: None,
    };
    let mut expected = Distributions::new(10, [0.0, 4.0]);
    for weights in [&[][..], &[0.5, 0.25, 0.25], &[0.0; 11]] {
        expected.push(weights);
    }
    let by_a_model = "simulation:grades@model".to_owned();
    let simulations = [
        simulation.clone(),
        Simulation { scorer: by_a_model, distributions: Some(expected.clone()), ..simulation.clone() },
    ];
    atlas.put_scores(&scores, &simulations).unwrap();

    let atlas = Atlas::open(directory.path()).unwrap();
    assert_eq!(atlas.explanations(id).unwrap(), explanations);
    assert_eq!(atlas.scores(id).unwrap(), scores);
    assert_eq!(atlas.simulations(id, "n2g").unwrap(), simulations);
    assert_eq!(
        atlas.scored(id.hook, "n2g", PREDICTION, Split::Test).unwrap().into_iter().collect::<Vec<_>>(),
        [2]
    );
    let by_score = ListQuery { sort: Sort::Score, descending: true, ..ListQuery::default() };
    let first = atlas.list(&by_score).unwrap().units.remove(0);
    assert_eq!(first.unit, id);
    let shown: Vec<_> =
        first.explanations.iter().map(|shown| (shown.explainer.as_str(), shown.score.as_ref())).collect();
    assert_eq!(shown, [("lookup", Some(&scores[0])), ("n2g", Some(&scores[1]))]);

    // A new explanation takes the old one's scores with it.
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    expected.push(&[1.0]);
    let longer = Simulation { distributions: Some(expected), ..simulation };
    atlas.put_scores(&[], &[longer]).unwrap();
    let error = atlas.simulations(id, "n2g").unwrap_err().to_string();
    assert!(
        error.contains("the distributions of a simulation of blocks.0.mlp.hook_post:2 in window 3"),
        "{error}"
    );
    atlas.put_explanations(&[explanation(id, "lookup", "dog")]).unwrap();
    assert!(atlas.scores(id).unwrap().iter().all(|score| score.explainer == "n2g"));
    assert!(atlas.put_scores(&[score(id, "unheard of", Some(1.0))], &[]).is_err());
    assert!(atlas.put_explanations(&[explanation(unit(0, 5), "n2g", "x")]).is_err());
}

#[test]
fn lists_sort_by_the_score_of_one_explainer() {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 1, 5).unwrap();
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    let values = [(0, "n2g", Some(0.1)), (1, "n2g", Some(0.7)), (2, "n2g", None), (2, "lookup", Some(0.9))];
    for (index, explainer, value) in values {
        atlas.put_explanations(&[explanation(unit(0, index), explainer, "x")]).unwrap();
        atlas.put_scores(&[score(unit(0, index), explainer, value)], &[]).unwrap();
    }
    let order = |score_of: Option<&str>, explained| {
        let query = ListQuery {
            sort: Sort::Score,
            descending: true,
            score_of: score_of.map(str::to_owned),
            explained,
            ..ListQuery::default()
        };
        atlas.list(&query).unwrap().units.into_iter().map(|summary| summary.unit.index).collect::<Vec<_>>()
    };
    assert_eq!(order(None, false), [2, 1, 0, 3, 4]);
    assert_eq!(order(Some("n2g"), false), [1, 0, 2, 3, 4]);
    assert_eq!(order(Some("n2g"), true), [1, 0, 2]);

    let progress = atlas.progress().unwrap();
    let explained: Vec<_> =
        progress.explained[&unit(0, 0).hook].iter().map(|(name, units)| (name.as_str(), *units)).collect();
    assert_eq!(explained, [("lookup", 1), ("n2g", 3)]);
    let [lookup, n2g] = progress.explainers.try_into().unwrap();
    assert_eq!(
        (lookup.name.as_str(), lookup.units, lookup.scored, lookup.mean_score),
        ("lookup", 1, 1, Some(0.9))
    );
    assert_eq!((n2g.name.as_str(), n2g.units, n2g.scored), ("n2g", 3, 2));
    assert!((n2g.mean_score.unwrap() - 0.4).abs() < 1e-12);
    assert_eq!(atlas.best_texts(&[unit(0, 3), unit(0, 1)]).unwrap(), [None, Some("x".to_owned())]);
}

/// Atlases from before money, time and distributions were kept are read and written; none is known of what was asked then.
#[test]
fn an_atlas_without_the_added_columns_is_completed() {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 1, 5).unwrap();
    let id = unit(0, 2);
    let calls = |cost, seconds| Calls {
        unit: id,
        explainer: "llm:pairs".to_owned(),
        scorer: None,
        requests: 3,
        prompt_tokens: 1_000,
        completion_tokens: 20,
        failures: [("refused".to_owned(), 2)].into(),
        cost,
        seconds,
    };
    let mut expected = Distributions::new(9, [0.0, 1.0]);
    expected.push(&[0.0, 1.0]);
    let simulation = |distributions| Simulation {
        unit: id,
        explainer: "llm:pairs".to_owned(),
        scorer: "simulation:grades@model".to_owned(),
        window: 3,
        activations: vec![1.0 / 9.0],
        distributions,
    };
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    atlas.put_explanations(&[explanation(id, "llm:pairs", "dogs")]).unwrap();
    atlas.put_calls(&[calls(Some(7), Some(0.5))]).unwrap();
    atlas.put_scores(&[], &[simulation(Some(expected.clone()))]).unwrap();
    drop(atlas);
    let path = directory.path().join("atlas.sqlite");
    let old = |columns: &[&str]| {
        let drop = |column: &&str| {
            let (table, column) = column.split_once('.').unwrap();
            rusqlite::Connection::open(&path)
                .unwrap()
                .execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}"))
                .unwrap();
        };
        columns.iter().for_each(drop);
    };
    // As they were at first, and as they were when there were money and time.
    for columns in
        [&["calls.cost", "calls.seconds", "simulations.distributions"][..], &["simulations.distributions"]]
    {
        old(columns);
        let atlas = Atlas::open(directory.path()).unwrap();
        let known = columns.len() == 1;
        assert_eq!(atlas.calls(id).unwrap(), [calls(known.then_some(7), known.then_some(0.5))]);
        assert_eq!(atlas.call_totals(Split::Test).unwrap()[0].cost, known.then_some(7));
        assert_eq!(atlas.simulations(id, "llm:pairs").unwrap(), [simulation(None)]);
        let atlas = Atlas::open_writable(directory.path()).unwrap();
        atlas.put_calls(&[calls(Some(7), Some(0.5))]).unwrap();
        atlas.put_scores(&[], &[simulation(Some(expected.clone()))]).unwrap();
        let totals = atlas.call_totals(Split::Test).unwrap();
        assert_eq!((totals[0].cost, totals[0].seconds_per_unit), (Some(7), Some(0.5)));
        assert_eq!(atlas.simulations(id, "llm:pairs").unwrap(), [simulation(Some(expected.clone()))]);
    }
}

/// An explanation may be scored by several; only those that predict activations make its headline.
#[test]
fn scorers_are_kept_apart() {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 1, 5).unwrap();
    let atlas = Atlas::open_writable(directory.path()).unwrap();
    let id = unit(0, 2);
    let calls = |scorer: Option<(String, Split)>, requests| Calls {
        unit: id,
        explainer: "llm:pairs".to_owned(),
        scorer,
        requests,
        prompt_tokens: 1_000,
        completion_tokens: 20,
        failures: [("refused".to_owned(), 2)].into(),
        cost: Some(1_500),
        seconds: Some(0.25),
    };
    let detection = "detection@model".to_owned();
    let simulation = "simulation:grades@model".to_owned();
    let asked = [calls(None, 3), calls(Some((simulation.clone(), Split::Test)), 10)];
    atlas.put_calls(&asked).unwrap();
    atlas.put_explanations(&[explanation(id, "llm:pairs", "dogs")]).unwrap();
    assert_eq!(atlas.calls(id).unwrap(), asked[..1], "a new explanation has not been scored");
    atlas.put_calls(&asked).unwrap();
    assert_eq!(atlas.calls(id).unwrap(), asked);
    let by = |scorer: &str, value| Score { scorer: scorer.to_owned(), ..score(id, "llm:pairs", Some(value)) };
    let scores = [by(&detection, 0.9), by("other-unit:simulation:grades@model", 0.8), by(&simulation, 0.3)];
    let predicted = |scorer: &str, value| Simulation {
        unit: id,
        explainer: "llm:pairs".to_owned(),
        scorer: scorer.to_owned(),
        window: 3,
        activations: vec![value],
        distributions: None,
    };
    let simulations = [predicted("simulation:grades@model", 1.0), predicted("simulation:json@model", 2.0)];
    atlas.put_scores(&scores, &simulations).unwrap();
    assert_eq!(atlas.scores(id).unwrap(), scores);
    assert_eq!(atlas.simulations(id, "llm:pairs").unwrap(), simulations);
    assert_eq!(atlas.scored(id.hook, "llm:pairs", &detection, Split::Test).unwrap().len(), 1);
    assert!(atlas.scored(id.hook, "llm:pairs", PREDICTION, Split::Test).unwrap().is_empty());
    let values =
        atlas.score_values(id.hook, "llm:pairs", &detection, "correlation", "top_and_random", Split::Test);
    assert_eq!(values.unwrap(), [(2, Some(0.9))].into());
    let by_score = ListQuery { sort: Sort::Score, descending: true, ..ListQuery::default() };
    let headline = atlas.list(&by_score).unwrap().units.remove(0).explanations.remove(0).score;
    assert_eq!(headline.as_ref(), Some(&scores[2]));
    assert_eq!(atlas.progress().unwrap().explainers[0].mean_score, Some(0.3));
}
