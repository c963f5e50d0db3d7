//! `glossator report` on a made-up atlas with hostile texts: the numbers are those of the scores, and no text becomes markup.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::path::Path;
use std::process::{Command, Output};

use assert_cmd::cargo::cargo_bin;
use glossator_atlas::testing::{explain_synthetic, write_synthetic};
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
        assert_eq!(line["layers"].as_array().unwrap().len(), 3);
    }
    let ends = &found["extremes"][0];
    assert_eq!((ends["best"].as_array().unwrap().len(), ends["worst"].as_array().unwrap().len()), (10, 10));
    assert!(ends["best"][0]["value"].as_f64() > ends["worst"][0]["value"].as_f64());
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
