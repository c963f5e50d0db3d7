//! The checks and where they draw the line.

use glossator_model::{Architecture, Tokenizer};

use super::{Finding, Reading, Verdict};

/// The text survives the tokenizer, and every token has a row in the embedding.
pub(super) fn tokenizer(tokenizer: &Tokenizer, a: &Architecture, text: &str) -> anyhow::Result<Finding> {
    let tokens = tokenizer.encode(text)?;
    let beyond = tokens.iter().filter(|token| **token as usize >= a.vocab_size).count();
    let characters = text.chars().count() as f64 / tokens.len().max(1) as f64;
    let same = tokenizer.decode(&tokens).trim_start() == text.trim_start();
    let (verdict, message) = if beyond > 0 {
        (
            Verdict::Fail,
            format!("{beyond} tokens of the text have no row in the embedding of {}", a.vocab_size),
        )
    } else if !same {
        (
            Verdict::Warning,
            "the text changes when it is encoded and decoded (the tokenizer normalises it)".into(),
        )
    } else {
        (
            Verdict::Ok,
            format!("{} tokens, {characters:.2} characters each; decoding gives the text back", tokens.len()),
        )
    };
    Ok(Finding { check: "tokenizer", verdict, message })
}

/// The model predicts the text far better than chance.
pub(super) fn perplexity(truth: &Reading, vocab_size: usize, own_text: bool) -> Finding {
    let perplexity = truth.perplexity();
    let tokens = truth.log_probabilities.len();
    let measured = format!("{perplexity:.2} over {tokens} tokens");
    let (verdict, message) = if !perplexity.is_finite() || truth.logits.iter().any(|logit| !logit.is_finite())
    {
        (Verdict::Fail, "the logits are not finite numbers: the weights are damaged".to_owned())
    } else if perplexity > vocab_size as f64 / 10.0 {
        (
            Verdict::Fail,
            format!("{measured}, hardly better than guessing among {vocab_size}: damaged or untrained"),
        )
    } else if perplexity > 100.0 && !own_text {
        (Verdict::Warning, format!("{measured} of plain English: is it a model of English?"))
    } else {
        (Verdict::Ok, measured)
    };
    Finding { check: "perplexity", verdict, message }
}

/// The tokenizer's own BOS convention is the one under which the model predicts better.
pub(super) fn bos(own: &Reading, other: &Reading, adds: bool) -> Finding {
    let (with, without) = if adds { (own, other) } else { (other, own) };
    let convention = if adds { "adds BOS" } else { "does not add BOS" };
    let measured = format!(
        "the tokenizer {convention}; perplexity {:.2} with, {:.2} without",
        with.perplexity(),
        without.perplexity()
    );
    // A few percent either way is the noise of a short text.
    let suspicious = own.perplexity() > 1.05 * other.perplexity();
    let (verdict, message) = if suspicious {
        (Verdict::Warning, format!("{measured}: the other convention fits the model better"))
    } else {
        (Verdict::Ok, measured)
    };
    Finding { check: "BOS", verdict, message }
}

/// Rounding products to bf16 changes little.
pub(super) fn precision(truth: &Reading, rounded: &Reading) -> Finding {
    let rows = || truth.rows().zip(rounded.rows());
    let total = rows().count();
    let same = rows().filter(|(truth, rounded)| largest(truth) == largest(rounded)).count();
    let agreement = same as f64 / total.max(1) as f64;
    let error = relative_error(&truth.logits, &rounded.logits);
    let message = format!(
        "same top token at {:.2} % of {total} positions, logits differ by {:.2} %, perplexity {:.2}",
        100.0 * agreement,
        100.0 * error,
        rounded.perplexity()
    );
    let verdict = match agreement {
        share if share >= 0.98 => Verdict::Ok,
        share if share >= 0.9 => Verdict::Warning,
        _ => Verdict::Fail,
    };
    Finding { check: "bf16", verdict, message }
}

fn largest(logits: &[f32]) -> Option<usize> {
    logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index)
}

/// `‖a − b‖ / ‖a‖`
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(a - b))).sum();
    let norm: f64 = a.iter().map(|a| square(f64::from(*a))).sum();
    (difference / norm.max(f64::MIN_POSITIVE)).sqrt()
}
