//! Answers requests with the local runtime and says how long it took, as one JSON object.
//!
//! Usage: `local_speed MODEL REQUESTS.jsonl [int8|bf16|f32] [WARM.jsonl]`, each line a request as this crate writes it. The
//! requests of WARM are answered before, and not timed. Answers go to standard error, a line each.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's output is its data")]

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use glossator_llm::local::{LocalModel, LocalOptions};
use glossator_llm::{LanguageModel, Outcome, Request, Usage};
use glossator_model::Precision;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, requests, options @ ..] = arguments.as_slice() else {
        return Err("usage: local_speed MODEL REQUESTS.jsonl [int8|bf16|f32] [WARM.jsonl]".into());
    };
    let precision = match options.first().map(String::as_str) {
        None | Some("int8") => Precision::Int8,
        Some("bf16") => Precision::Bf16,
        Some("f32") => Precision::F32,
        Some(other) => return Err(format!("{other} is no precision").into()),
    };
    let start = Instant::now();
    let model = LocalModel::load(model, LocalOptions { precision, ..LocalOptions::default() })?;
    let load_seconds = start.elapsed().as_secs_f64();
    if let Some(warm) = options.get(1) {
        answer(&model, &read(Path::new(warm))?);
    }
    let requests = read(Path::new(requests))?;
    let start = Instant::now();
    let outcomes = answer(&model, &requests);
    let seconds = start.elapsed().as_secs_f64();
    let mut usage = Usage::default();
    let mut failures = 0;
    for outcome in &outcomes {
        match outcome {
            Ok(answer) => {
                usage.prompt_tokens += answer.usage.prompt_tokens;
                usage.cached_tokens += answer.usage.cached_tokens;
                usage.completion_tokens += answer.usage.completion_tokens;
                let grades: Vec<Option<f32>> = answer.grades.iter().map(expected).collect();
                eprintln!("{:?} {grades:.1?}", answer.text);
            }
            Err(failure) => {
                failures += 1;
                eprintln!("{failure:?}");
            }
        }
    }
    let report = serde_json::json!({
        "model": model.name(),
        "load_seconds": load_seconds,
        "requests": requests.len(),
        "failures": failures,
        "seconds": seconds,
        "usage": usage,
    });
    println!("{report}");
    Ok(())
}

/// The expected value of choices 0, 1, 2 …
fn expected(distribution: &glossator_llm::Distribution) -> Option<f32> {
    let values: Vec<f32> = (0..distribution.0.len()).map(|value| value as f32).collect();
    distribution.expectation(&values)
}

fn read(path: &Path) -> Result<Vec<Request>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn answer(model: &LocalModel, requests: &[Request]) -> Vec<Outcome> {
    let outcomes: Mutex<Vec<(usize, Outcome)>> = Mutex::default();
    model.answer(requests, &|index, outcome| {
        outcomes.lock().is_ok_and(|mut outcomes| {
            outcomes.push((index, outcome));
            true
        })
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_default();
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}
