//! `glossator report` on a made-up atlas with hostile texts: the numbers are those of the scores, and no text becomes markup.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::path::Path;
use std::process::{Command, Output};

use assert_cmd::cargo::cargo_bin;
use glossator_atlas::testing::{explain_synthetic, explain_synthetic_in_words, write_synthetic};
use glossator_atlas::{Atlas, HEADLINE, Split};

fn report(arguments: &[&str], atlas: &Path) -> Output {
    Command::new(cargo_bin("glossator")).arg("report").arg(atlas).args(arguments).output().unwrap()
}

#[test]
fn means_are_over_the_defined_scores() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made.atlas");
    write_synthetic(&path, 3, 40).unwrap();
    explain_synthetic(&path, 12).unwrap();
    let output = report(&["--json"], &path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let atlas = Atlas::open(&path).unwrap();
    for (explainer, units, undefined) in [("lookup", 36, 0), ("n2g", 33, 3)] {
        let mut values = Vec::new();
        for hook in atlas.hooks() {
            for index in 0..12 {
                let unit = glossator_model::UnitId { hook: hook.hook, index };
                values.extend(atlas.scores(unit).unwrap().into_iter().filter_map(|score| {
                    let headline = (score.metric.as_str(), score.sample.as_str()) == HEADLINE;
                    (score.explainer == explainer && headline && score.split == Split::Test)
                        .then_some(score.value)?
                }));
            }
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let comparisons = found["comparisons"].as_array().unwrap();
        let line = comparisons
            .iter()
            .find(|line| {
                line["explainer"] == explainer && line["sample"] == HEADLINE.1 && line["metric"] == HEADLINE.0
            })
            .unwrap();
        assert_eq!((line["units"].as_u64(), line["undefined"].as_u64()), (Some(units), Some(undefined)));
        assert!((line["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
        assert!(line["interval"]["low"].as_f64().unwrap() < mean);
        let hooks = line["hooks"].as_array().unwrap();
        let layers: Vec<u64> = hooks.iter().map(|of| of["layer"].as_u64().unwrap()).collect();
        assert_eq!(layers, [0, 1, 2]);
        let over = |name: &str| hooks.iter().map(|of| of[name].as_f64().unwrap()).sum::<f64>() / 3.0;
        assert!((over("mean") - mean).abs() < 1e-9, "as many units are scored in each layer");
        let half = values.iter().filter(|value| **value > 0.5).count() as f64 / values.len() as f64;
        assert!((line["above"][0].as_f64().unwrap() - half).abs() < 1e-12);
        let densities = found["densities"].as_array().unwrap();
        let densities = densities.iter().find(|densities| densities["explainer"] == explainer).unwrap();
        let groups = densities["groups"].as_array().unwrap();
        let grouped: u64 = groups.iter().map(|group| group["units"].as_u64().unwrap()).sum();
        assert_eq!(grouped, values.len() as u64);
    }
    let ends = &found["extremes"][0];
    assert_eq!((ends["best"].as_array().unwrap().len(), ends["worst"].as_array().unwrap().len()), (10, 10));
    assert!(ends["best"][0]["value"].as_f64() > ends["worst"][0]["value"].as_f64());
    assert!(ends["best"][0]["text"].as_str().unwrap().starts_with("high on “"));
}

/// Side by side on the units that all have, and what revision brought; in the JSON and in all tables.
#[test]
fn explanations_stand_side_by_side_on_the_same_units() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made.atlas");
    write_synthetic(&path, 3, 40).unwrap();
    explain_synthetic(&path, 12).unwrap();
    explain_synthetic_in_words(&path).unwrap();
    let [page, tables] = ["report.html", "report.md"].map(|name| directory.path().join(name));
    let files = ["--html", page.to_str().unwrap(), "--markdown", tables.to_str().unwrap()];
    let output = report(&[&files[..], &["--json"]].concat(), &path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let groups = found["side_by_side"].as_array().unwrap();
    let group = |scorer: &str| groups.iter().find(|group| group["scorer"] == scorer).unwrap();
    let members = |scorer: &str| -> Vec<(String, String)> {
        let members = group(scorer)["members"].as_array().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        members.iter().map(|one| (text(&one["explainer"]), text(&one["scorer"]))).collect()
    };
    // Of 12 units at 3 hook points, unit 3 has no n2g explanation and that of unit 5 no score.
    assert_eq!(group("prediction")["units"], 30);
    let own = |place: usize| group("prediction")["members"][place]["own_units"].as_u64();
    assert_eq!((own(0), own(1)), (Some(36), Some(30)), "lookup and n2g");
    // Unit 0 of each hook point is explained in words.
    assert_eq!(group("simulation:json@made-up")["units"], 3);
    let of_pair = |(explainer, scorer): (&str, &str)| (explainer.to_owned(), scorer.to_owned());
    let expected = [
        ("llm:max-act@made-up", "other-unit:simulation:json@made-up"),
        ("llm:max-act@made-up", "simulation:json@made-up"),
        ("lookup", "prediction"),
        ("n2g", "prediction"),
    ];
    assert_eq!(members("simulation:json@made-up"), expected.map(of_pair));
    for member in group("simulation:json@made-up")["members"].as_array().unwrap() {
        assert!(member["mean"].is_f64() && member["interval"]["low"].as_f64() <= member["mean"].as_f64());
    }

    let revisions = found["revisions"].as_array().unwrap();
    let gain = |name: &str| revisions.iter().find(|gain| gain["explainer"] == name).unwrap();
    for (name, expected) in
        [("llm:max-act+revised@made-up", 0.4), ("llm:max-act+revised-random@made-up", 0.1)]
    {
        let gain = gain(name);
        assert!((gain["gain"].as_f64().unwrap() - expected).abs() < 1e-12, "{gain}");
        assert_eq!((&gain["units"], &gain["better"], &gain["worse"]), (&3.into(), &3.into(), &0.into()));
    }
    let [page, tables] = [page, tables].map(|path| std::fs::read_to_string(path).unwrap());
    for title in
        ["Side by side on 30 common units: correlation (top_and_random), prediction", "What revision brought"]
    {
        let escaped = title.replace('_', "\\_");
        assert!(page.contains(title) && tables.contains(&format!("\n## {escaped}")), "{title}");
    }
}

#[test]
fn markdown_has_tables_and_charts_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made.atlas");
    write_synthetic(&path, 2, 24).unwrap();
    explain_synthetic(&path, 24).unwrap();
    let file = directory.path().join("made up.md");
    let output = report(&["--markdown", file.to_str().unwrap()], &path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# Explanations of synthetic \\<b\\>model\\</b\\>\n"), "{text}");
    let titles =
        ["Mean score by layer", "Share of units above 0.5, 0.7 and 0.8 by layer", "Mean score by density"];
    for title in titles {
        assert!(text.contains(&format!("\n## {title}\n\n| ")), "{text}");
    }
    assert!(text.contains("\n| blocks.1.mlp.hook\\_post | "), "{text}");
    assert!(text.contains(r"\<script\>") && !text.replace(r"\<", "").contains('<'), "{text}");
    assert!(!text.contains('\u{202e}') && !text.contains('\u{1b}'));
    for chart in ["by-layer", "by-density"] {
        assert!(text.contains(&format!("](made%20up-{chart}.svg)")), "{text}");
        let svg = std::fs::read_to_string(directory.path().join(format!("made up-{chart}.svg"))).unwrap();
        assert!(svg.starts_with("<svg xmlns=") && svg.contains("<path d=\"M"), "{svg}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 4, "nothing is left over");
}

#[test]
fn no_text_becomes_markup_or_controls_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made.atlas");
    write_synthetic(&path, 1, 24).unwrap();
    explain_synthetic(&path, 24).unwrap();
    let page = directory.path().join("report.html");
    let output = report(&["--html", page.to_str().unwrap()], &path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Scores by explainer and scorer") && text.contains("Worst units, n2g by "),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains('\u{0}'));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<svg") && html.contains("&lt;script&gt;"));
    assert!(!html.contains("<script") && !html.contains("<img"));
    assert!(!directory.path().join("report.partial").exists());
}

#[test]
fn an_atlas_without_scores_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    write_synthetic(directory.path(), 1, 4).unwrap();
    let output = report(&[], directory.path());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("run `glossator score` first"), "{errors}");
}
