//! An evaluation as tables.

use std::fmt::Write as _;

use glossator_dictionary::evaluation::{Evaluation, LossMetrics};

use super::report::Report;
use crate::report::{Table, number};

/// The tables of a report, each with its title.
pub(super) fn tables(report: &Report) -> Vec<(&'static str, Table)> {
    let evaluations = &report.evaluations;
    let mut tables = vec![("Reconstruction", reconstruction(evaluations)), ("Latents", latents(evaluations))];
    if evaluations.iter().any(|evaluation| evaluation.losses.is_some()) {
        tables.push(("Next-token loss with the reconstruction in place (nats)", losses(evaluations)));
    }
    if evaluations.iter().any(|evaluation| evaluation.ablation.is_some()) {
        tables.push(("Share of the logits that one latent moves", ablations(evaluations)));
    }
    if evaluations.iter().any(|evaluation| evaluation.absorption.is_some()) {
        tables.push(("Absorption of first letters", absorption(evaluations)));
    }
    if evaluations.iter().any(|evaluation| evaluation.probes.is_some()) {
        tables.push(("Probes of single latents for the kind of text", probes(evaluations)));
    }
    if evaluations.iter().any(|evaluation| !evaluation.explanations.is_empty()) {
        tables.push(("Latents predicted by their explanations", explanations(evaluations)));
    }
    tables
}

/// What is printed on the terminal.
pub(super) fn text(report: &Report) -> String {
    let mut text = format!("{}\n", context(report));
    for (title, table) in tables(report) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{title}\n{}", table.to_text());
    }
    let _ = writeln!(text, "\nExplained variance is {}.", report.definitions["explained_variance"]);
    let _ = writeln!(text, "Loss recovered is {}.", report.definitions["loss_recovered_zero"]);
    text
}

/// On what the numbers were measured.
pub(super) fn context(report: &Report) -> String {
    format!(
        "{} ({}), {} tokens in windows of {}, losses on {} of them; means, components and sparsity of baselines from \
         {} others.\nRule: {}.",
        report.model,
        report.precision,
        report.evaluated_tokens,
        report.context,
        report.loss_tokens,
        report.calibration_tokens,
        report.positions
    )
}

fn reconstruction(evaluations: &[Evaluation]) -> Table {
    let head = ["", "L0", "L1", "MSE", "explained variance", "cosine", "bias", "shrinkage", "not finite"];
    let row = |evaluation: &Evaluation| {
        let (r, s) = (&evaluation.reconstruction, &evaluation.sparsity);
        let numbers = [
            s.l0,
            s.l1,
            r.mean_squared_error,
            r.explained_variance,
            r.cosine,
            r.relative_reconstruction_bias,
            r.shrinkage,
            Some(r.rows_not_finite as f64),
        ];
        named(evaluation, numbers.map(number))
    };
    Table::new(&head, evaluations.iter().map(row).collect())
}

fn latents(evaluations: &[Evaluation]) -> Table {
    let head = ["", "latents", "dead", "< 1e-6", "< 1e-4", "> 1e-2", "cos(enc, dec)", "median"];
    let row = |evaluation: &Evaluation| {
        let (s, g) = (&evaluation.sparsity, &evaluation.geometry);
        let count = |count: Option<u64>| count.map_or_else(|| number(None), |count| count.to_string());
        let cells = [
            evaluation.latents.to_string(),
            count(s.dead),
            count(s.ultra_low_density),
            count(s.rare),
            count(s.dense),
            number(g.encoder_decoder_cosine),
            number(g.encoder_decoder_cosine_median),
        ];
        named(evaluation, cells)
    };
    Table::new(&head, evaluations.iter().map(row).collect())
}

fn losses(evaluations: &[Evaluation]) -> Table {
    let head = [
        "",
        "clean",
        "spliced",
        "zero",
        "mean",
        "increase",
        "recovered, zero",
        "recovered, mean",
        "KL",
        "KL zero",
        "KL mean",
    ];
    let row = |(evaluation, l): (&Evaluation, &LossMetrics)| {
        let numbers = [
            l.clean.cross_entropy,
            l.spliced.cross_entropy,
            l.zero_ablated.cross_entropy,
            l.mean_ablated.cross_entropy,
            l.loss_increase,
            l.loss_recovered_zero,
            l.loss_recovered_mean,
            l.spliced.divergence,
            l.zero_ablated.divergence,
            l.mean_ablated.divergence,
        ];
        named(evaluation, numbers.map(number))
    };
    let measured =
        evaluations.iter().filter_map(|evaluation| Some((evaluation, evaluation.losses.as_ref()?)));
    Table::new(&head, measured.map(row).collect())
}

fn ablations(evaluations: &[Evaluation]) -> Table {
    let row = |evaluation: &Evaluation| {
        let ablation = evaluation.ablation.as_ref()?;
        let cells = [
            number(ablation.effective_share),
            number(ablation.effective_share_median),
            ablation.samples.to_string(),
            ablation.without_effect.to_string(),
        ];
        Some(named(evaluation, cells))
    };
    let head = ["", "mean", "median", "ablations", "without effect"];
    Table::new(&head, evaluations.iter().filter_map(row).collect())
}

fn absorption(evaluations: &[Evaluation]) -> Table {
    let row = |evaluation: &Evaluation| {
        let a = evaluation.absorption.as_ref()?;
        let shares = [a.absorbed, a.silent, a.main_latents].map(number);
        let [absorbed, silent, main] = shares;
        Some(named(evaluation, [a.letters.to_string(), a.words.to_string(), absorbed, silent, main]))
    };
    let head = ["", "letters", "words", "absorbed", "silent", "main latents"];
    Table::new(&head, evaluations.iter().filter_map(row).collect())
}

fn probes(evaluations: &[Evaluation]) -> Table {
    let row = |evaluation: &Evaluation| {
        let probes = evaluation.probes.as_ref()?;
        let [one, two, five] = probes.accuracy.map(number);
        let cells = [probes.tasks.len().to_string(), number(probes.loss), one, two, five];
        Some(named(evaluation, cells))
    };
    let head = ["", "labels", "probe loss", "accuracy, k = 1", "k = 2", "k = 5"];
    Table::new(&head, evaluations.iter().filter_map(row).collect())
}

fn explanations(evaluations: &[Evaluation]) -> Table {
    let head = [
        "",
        "explainer",
        "explained",
        "precision",
        "recall",
        "explained variance",
        "spliced",
        "increase",
        "recovered, zero",
        "recovered, mean",
    ];
    let rows = evaluations.iter().flat_map(|evaluation| {
        evaluation.explanations.iter().map(move |e| {
            let numbers = [
                e.precision,
                e.recall,
                e.explained_variance,
                e.loss.cross_entropy,
                e.loss_increase,
                e.loss_recovered_zero,
                e.loss_recovered_mean,
            ];
            let cells = [e.explainer.clone(), e.explained.to_string()].into_iter().chain(numbers.map(number));
            let name = format!("{} at {}", evaluation.name, evaluation.place());
            std::iter::once(name).chain(cells).collect()
        })
    });
    Table::new(&head, rows.collect())
}

/// A row that begins with the candidate's name and place.
fn named<const N: usize>(evaluation: &Evaluation, cells: [String; N]) -> Vec<String> {
    let name = format!("{} at {}", evaluation.name, evaluation.place());
    std::iter::once(name).chain(cells).collect()
}
