//! How far int8 and bf16 are from f32 on real text: share of positions with the same likeliest token, and the mean
//! Kullback–Leibler divergence KL(f32 ‖ other) in nats.
//!
//! Usage: `precision_agreement MODEL TEXT [TOKENS]`; the text is cut into windows of 128 tokens (2,048 tokens by default).
//! The f32 model must fit into memory; models are loaded one after the other.
#![allow(clippy::print_stdout, reason = "a benchmark's output is its data")]

use glossator_model::{Batch, Model, Precision, Run};

const WINDOW: usize = 128;
/// Log-probabilities of this many windows are held at once.
const PORTION: usize = 1;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [location, text, rest @ ..] = arguments.as_slice() else {
        return Err("usage: precision_agreement MODEL TEXT [TOKENS]".into());
    };
    let count: usize = rest.first().map_or(Ok(2048), |count| count.parse())?;
    let exact = Model::load(location, Precision::F32)?;
    let mut tokens = exact.tokenizer()?.encode(&std::fs::read_to_string(text)?)?;
    tokens.truncate(count / WINDOW * WINDOW);
    let windows: Vec<&[u32]> = tokens.chunks_exact(WINDOW).collect();
    for precision in [Precision::Bf16, Precision::Int8] {
        let other = Model::load(location, precision)?;
        let (mut same, mut divergence) = (0, 0.0);
        for portion in windows.chunks(PORTION) {
            let (p, q) = (logits(&exact, portion)?, logits(&other, portion)?);
            let vocab_size = exact.architecture().vocab_size;
            for (p, q) in p.chunks_exact(vocab_size).zip(q.chunks_exact(vocab_size)) {
                same += usize::from(largest(p) == largest(q));
                divergence += kl(p, q);
            }
        }
        let positions = tokens.len() as f64;
        println!(
            "{precision:?}: same likeliest token {:.2} % of {positions} positions, mean KL {:.5} nats",
            100.0 * same as f64 / positions,
            divergence / positions
        );
    }
    Ok(())
}

fn logits(model: &Model, windows: &[&[u32]]) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
    let run = Run { logits: true, ..Run::default() };
    Ok(model.run(&Batch::from_sequences(windows), &run, &())?.ok_or("no logits")?.data)
}

fn largest(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a)))
}

/// KL divergence of softmax(q) from softmax(p), in f64.
fn kl(p: &[f32], q: &[f32]) -> f64 {
    let log_total = |logits: &[f32]| {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        max + logits.iter().map(|logit| (f64::from(*logit) - max).exp()).sum::<f64>().ln()
    };
    let (p_total, q_total) = (log_total(p), log_total(q));
    p.iter()
        .zip(q)
        .map(|(p, q)| {
            let (p, q) = (f64::from(*p) - p_total, f64::from(*q) - q_total);
            p.exp() * (p - q)
        })
        .sum()
}
