//! The demo model on real text: the most likely next token is that of transformers in f32.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its goldens should stop")]

mod common;

use std::path::Path;

use glossator_model::{Batch, Model, Precision, Run};
use serde::Deserialize;

/// A window of text and what transformers finds most likely after each of its tokens.
#[derive(Deserialize)]
struct Window {
    tokens: Vec<u32>,
    top: Vec<u32>,
}

/// The share of positions with the same most likely token.
fn agreement(precision: Precision) -> f64 {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/smollm2_top_tokens.json");
    let windows: Vec<Window> = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    let model = Model::load(common::demo_model().to_str().unwrap(), precision).unwrap();
    let (mut same, mut positions) = (0, 0);
    for windows in windows.chunks(8) {
        let sequences: Vec<&[u32]> = windows.iter().map(|window| window.tokens.as_slice()).collect();
        let run = Run { logits: true, ..Run::default() };
        let logits = model.run(&Batch::from_sequences(&sequences), &run, &()).unwrap().unwrap();
        for (row, top) in windows.iter().flat_map(|window| &window.top).enumerate() {
            let row = logits.row(row);
            let best = (0..row.len()).fold(0, |best, id| if row[id] > row[best] { id } else { best });
            same += usize::from(best as u32 == *top);
            positions += 1;
        }
    }
    assert_eq!(positions, 8192);
    same as f64 / positions as f64
}

#[test]
fn f32_agrees_at_999_of_1000_positions() {
    let share = agreement(Precision::F32);
    assert!(share >= 0.999, "{share}");
}

#[test]
fn bf16_agrees_at_99_of_100_positions() {
    let share = agreement(Precision::Bf16);
    assert!(share >= 0.99, "{share}");
}
