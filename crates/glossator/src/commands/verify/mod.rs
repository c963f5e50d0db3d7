//! `glossator verify`: does a dictionary fit a model, as its files say it should be used?

mod alternatives;
mod reading;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Args;
use glossator_dictionary::{Dictionary, Fit};
use glossator_model::HookPoint;
use serde::Serialize;

use crate::arguments::dictionary_file::{FormatArgument, described, open};
use crate::arguments::hook_names;
use crate::arguments::model::{PrecisionArgument, load};
use crate::output;
use alternatives::{Alternative, Convention};
use reading::{BEGINNING, Reading};

/// Check that a dictionary fits a model: hook point, normalisation, BOS and variant
///
/// Reconstructs the model's activations on real text as the dictionary's files say, then with one convention changed at
/// a time, and says which fits better. A dictionary that is used with a wrong convention still gives numbers. The exit
/// code is 1 if it explains less than half of the variance, or if another convention fits clearly better.
#[derive(Args)]
#[command(after_help = "\
Explained variance is 1 - (squared error) / (variance of the activations); the first position of each window
(BOS, if there is one) is left out of both, and so are tokens with activations over ten times as long as the median.
BOS rules are compared in windows of 16 tokens, on the same tokens: a BOS far away changes little.

Examples:
  glossator verify sae_directory --model hf:openai-community/gpt2
  glossator verify params.npz --model gemma-2-2b --hook blocks.20.hook_resid_post")]
pub(crate) struct Verify {
    /// The dictionary: a file or directory of any format that `glossator convert` reads
    dictionary: PathBuf,
    /// The model: a Hugging Face directory, a .gguf file, or hf:organisation/name[@revision]
    #[arg(long)]
    model: String,
    /// The hook point that is read, if the files do not say it
    #[arg(long)]
    hook: Option<HookPoint>,
    /// The hook point that is reconstructed, for transcoders whose files do not say it
    #[arg(long)]
    hook_out: Option<HookPoint>,
    /// Check on this text instead of the built-in English one
    #[arg(long, value_name = "FILE")]
    text_file: Option<PathBuf>,
    /// Use at most this many tokens of the text
    #[arg(long, default_value_t = 1024)]
    max_tokens: usize,
    /// The format of the dictionary, if it is not what its files look like
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Option<FormatArgument>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// A few hundred words of plain English.
const TEXT: &str = include_str!("../doctor/text.txt");
/// Below this the dictionary does not fit, whatever it is.
const LEAST_EXPLAINED: f64 = 0.5;
/// Another convention must explain this much more of what is left unexplained to be named as the better one.
const CLEAR_SHARE: f64 = 0.2;
/// … and at least this much more of the whole.
const CLEAR_GAIN: f64 = 0.02;

/// What was found.
#[derive(Serialize)]
struct Report {
    dictionary: String,
    hook: String,
    hook_out: String,
    begins_with_bos: bool,
    fit: Fit,
    /// At the beginnings of texts: under the declared BOS rule, and under the other; null if the tokenizer has no BOS.
    fits_by_bos: Option<[Fit; 2]>,
    /// Conventions that fit clearly better, best first.
    better: Vec<BetterFit>,
    fits: bool,
    findings: Vec<String>,
}

/// The dictionary with one convention changed.
#[derive(Serialize)]
struct BetterFit {
    change: String,
    fit: Fit,
}

impl Verify {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (dictionary, _) = open(&self.dictionary, self.from)?;
        let model = load(&self.model, PrecisionArgument::F32)?;
        let hook = hook_names::resolve(self.hook, dictionary.metadata.hook.as_deref(), "--hook", &model)?;
        let hook_out = match (self.hook_out, dictionary.metadata.hook_out.as_deref()) {
            (None, None) => hook,
            (given, named) => hook_names::resolve(given, named, "--hook-out", &model)?,
        };
        hook_names::check_width(&dictionary, hook, hook_out, &model)?;
        let text = match &self.text_file {
            Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
            None => TEXT.to_owned(),
        };
        let declared = Convention::declared(&dictionary, hook, hook_out, &model)?;
        let reading = Reading::of(&model, &dictionary, &text, self.max_tokens, &declared)?;
        let report = judge(&dictionary, &declared, &reading)?;
        if self.json {
            output::print_json(&report)?;
        } else {
            output::print(&as_text(&report))?;
        }
        Ok(if report.fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn judge(dictionary: &Dictionary, declared: &Convention, reading: &Reading) -> anyhow::Result<Report> {
    let fit = reading.fit(declared, dictionary).context("the declared hook points were not read")?;
    ensure!(fit.rows > 1, "the text is too short");
    let explained = share(&fit);
    let mut better: Vec<BetterFit> = declared
        .alternatives(dictionary, reading, fit.l0.unwrap_or(0.0))
        .into_iter()
        .filter(|alternative| !alternative.looser || explained < LEAST_EXPLAINED)
        .filter_map(|Alternative { change, convention, .. }| {
            let other = reading.fit(&convention, dictionary)?;
            clearly_better(&other, &fit).then_some(BetterFit { change, fit: other })
        })
        .collect();
    let fits_by_bos = reading.fits_by_bos(declared, dictionary);
    if let Some([as_declared, other]) = fits_by_bos.filter(|[fit, other]| clearly_better(other, fit)) {
        let rule = bos_rule(!declared.bos);
        let change =
            format!("{rule} (windows of {BEGINNING} tokens; {:.3} as declared)", share(&as_declared));
        better.push(BetterFit { change, fit: other });
    }
    better.sort_by(|a, b| share(&b.fit).total_cmp(&share(&a.fit)));
    let fits = explained >= LEAST_EXPLAINED && better.is_empty();
    let mut findings = findings(&fit, &better);
    findings.extend(fits_by_bos.and_then(|fits| bos_finding(declared.bos, &fits)));
    if dictionary.metadata.prepend_bos == Some(true) && !declared.bos {
        findings
            .push("the files say that windows begin with BOS, and the model's tokenizer has none".to_owned());
    }
    Ok(Report {
        dictionary: described(dictionary),
        hook: declared.hook.to_string(),
        hook_out: declared.hook_out.to_string(),
        begins_with_bos: declared.bos,
        findings,
        fit,
        fits_by_bos,
        better,
        fits,
    })
}

/// Explained variance; nothing is less than undefined.
fn share(fit: &Fit) -> f64 {
    fit.explained_variance.unwrap_or(f64::NEG_INFINITY)
}

fn clearly_better(other: &Fit, fit: &Fit) -> bool {
    let needed = (CLEAR_SHARE * (1.0 - share(fit))).max(CLEAR_GAIN);
    share(other) >= LEAST_EXPLAINED && share(other) - share(fit) > needed
}

fn bos_rule(bos: bool) -> &'static str {
    if bos { "with BOS before each window" } else { "without BOS" }
}

/// What the comparison of BOS rules says where it does not say that the declared one is wrong.
fn bos_finding(declared: bool, [fit, other]: &[Fit; 2]) -> Option<String> {
    let [own, opposite] = [declared, !declared].map(bos_rule);
    let numbers =
        format!("{:.3}, {opposite}: {:.3} (windows of {BEGINNING} tokens)", share(fit), share(other));
    if clearly_better(other, fit) || share(fit).max(share(other)) < LEAST_EXPLAINED {
        None
    } else if clearly_better(fit, other) {
        Some(format!("the BOS rule is right: {own} it explains {numbers}"))
    } else {
        Some(format!("it cannot be told from its fit which BOS rule is right: {own} it explains {numbers}"))
    }
}

fn findings(fit: &Fit, better: &[BetterFit]) -> Vec<String> {
    let mut findings = Vec::new();
    match fit.explained_variance {
        None => findings.push("the activations do not vary: nothing can be said".to_owned()),
        Some(explained) if explained < LEAST_EXPLAINED => {
            findings
                .push(format!("as declared, it explains {explained:.3} of the variance: it does not fit"));
        }
        Some(explained) => findings.push(format!("as declared, it explains {explained:.3} of the variance")),
    }
    if let Some(ratio) = fit.norm_ratio.filter(|ratio| !(0.5..2.0).contains(ratio)) {
        findings.push(format!(
            "reconstructions are {ratio:.3} times as long as activations: a normalisation or a scale is missing or \
             applied twice"
        ));
    }
    if fit.l0 == Some(0.0) {
        findings.push("no latent is ever active".to_owned());
    }
    for BetterFit { change, fit } in better {
        findings.push(format!("it fits better {change}: {:.3}", share(fit)));
    }
    if better.is_empty() && fit.explained_variance.is_some_and(|explained| explained < LEAST_EXPLAINED) {
        findings.push(
            "no other normalisation, bias, BOS rule, variant or neighbouring hook point fits: is it a dictionary of this \
             model? One that was trained briefly, or on other text, may explain as little"
                .to_owned(),
        );
    }
    findings
}

fn as_text(report: &Report) -> String {
    let number = |value: Option<f64>| value.map_or("undefined".to_owned(), |value| format!("{value:.3}"));
    let bos = if report.begins_with_bos { "each window begins with BOS" } else { "without BOS" };
    let fit = &report.fit;
    let mut rows = vec![
        ("dictionary", report.dictionary.clone()),
        ("reads", report.hook.clone()),
        ("predicts", report.hook_out.clone()),
        ("text", format!("{} tokens, {bos}", fit.rows)),
        ("explained", number(fit.explained_variance)),
        ("cosine", number(fit.cosine)),
        ("norm ratio", number(fit.norm_ratio)),
        ("L0", number(fit.l0)),
    ];
    rows.extend(report.findings.iter().map(|finding| ("finding", finding.clone())));
    rows.push(("verdict", if report.fits { "fits" } else { "DOES NOT FIT" }.to_owned()));
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect();
    lines.concat()
}
