//! The most likely next token at every position, for comparison with other implementations.
//!
//! `top_tokens MODEL f32|bf16` reads one sequence of token ids per line (separated by spaces) from
//! standard input and prints as many ids per line.
#![allow(clippy::print_stdout, reason = "the output is data")]
#![allow(clippy::unwrap_used, reason = "an example for comparisons by hand")]

use std::io::BufRead;

use glossator_model::{Batch, Model, Run};

fn main() {
    let mut words = std::env::args().skip(1);
    let location = words.next().expect("a model");
    let precision = serde_json::from_value(words.next().expect("f32 or bf16").into()).unwrap();
    let model = Model::load(&location, precision).unwrap();
    let sequences: Vec<Vec<u32>> = std::io::stdin()
        .lock()
        .lines()
        .map(|line| line.unwrap().split_whitespace().map(|id| id.parse().unwrap()).collect())
        .collect();
    for sequences in sequences.chunks(8) {
        let batch = Batch::from_sequences(sequences);
        let logits = model.run(&batch, &Run { logits: true, ..Run::default() }, &()).unwrap().unwrap();
        for pair in batch.starts().windows(2) {
            let top: Vec<String> = (pair[0]..pair[1]).map(|row| top(logits.row(row)).to_string()).collect();
            println!("{}", top.join(" "));
        }
    }
}

/// The first of the largest.
fn top(logits: &[f32]) -> usize {
    (0..logits.len()).fold(0, |best, id| if logits[id] > logits[best] { id } else { best })
}
