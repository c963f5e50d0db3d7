//! Rates of the runtime for language models that explain: reading prompts, and writing at several batch sizes.
//!
//! Usage: `runtime_speed MODEL [int8|bf16|f32]`. Writing reads every weight once a step, so that the bound at small batches
//! is the memory's: bytes of weights over seconds of a step are printed too.
#![allow(clippy::print_stdout, reason = "a benchmark's output is its data")]

use std::time::Instant;

use glossator_model::runtime::{Completion, Job, JobWant, Listener, NewToken, Runtime, RuntimeLimits};
use glossator_model::{Model, ModelError, Precision, Sampling};

/// Hears nothing but errors.
struct Silent;

impl Listener for Silent {
    fn token(&mut self, _: usize, _: &NewToken) -> bool {
        true
    }

    fn done(&mut self, job: usize, result: Result<Completion, ModelError>) -> bool {
        if let Err(error) = &result {
            println!("job {job}: {error}");
        }
        result.is_ok()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let precision = match arguments.get(1).map(String::as_str) {
        None | Some("int8") => Precision::Int8,
        Some("bf16") => Precision::Bf16,
        Some("f32") => Precision::F32,
        Some(other) => return Err(format!("{other} is no precision").into()),
    };
    let location = arguments.first().ok_or("usage: runtime_speed MODEL [int8|bf16|f32]")?;
    let model = Model::load(location, precision)?;
    let vocab_size = model.architecture().vocab_size as u32;
    let embedding = model.architecture().vocab_size * model.architecture().d_model * size_of::<f32>();
    let limits = RuntimeLimits { share_prefixes: false, ..RuntimeLimits::default() };
    let runtime = Runtime::new(model, limits)?;
    let bytes = runtime.model().weight_bytes() - embedding;
    println!("{precision:?}, {:.2} GB of packed weights", bytes as f64 * 1e-9);
    let timed = |jobs: &[Job]| {
        let start = Instant::now();
        runtime.run(jobs, &mut Silent);
        start.elapsed().as_secs_f64()
    };
    timed(&jobs(1, 16, 1, vocab_size));
    let seconds = timed(&jobs(4, 512, 1, vocab_size));
    println!("reading 4 prompts of 512: {:.0} tokens/s", 4.0 * 512.0 / seconds);
    for batch in [1, 4, 16, 32] {
        let steps = 16;
        // The prompt is one token, so that steps are all alike.
        let seconds = timed(&jobs(batch, 1, steps, vocab_size));
        let step = seconds / steps as f64;
        println!(
            "writing {batch:2} at once: {:.0} tokens/s, {:.1} ms a step, {:.1} GB/s",
            batch as f64 / step,
            step * 1e3,
            bytes as f64 / step * 1e-9
        );
    }
    Ok(())
}

/// Jobs with different prompts.
fn jobs(count: usize, prompt: usize, max_tokens: usize, vocab_size: u32) -> Vec<Job> {
    let token = |job: usize, position: usize| ((job * 7919 + position * 104_729 + 17) as u32) % vocab_size;
    (0..count)
        .map(|job| Job {
            tokens: (0..prompt).map(|position| token(job, position)).collect(),
            want: JobWant::Continuation {
                max_tokens,
                sampling: Sampling::default(),
                stop_tokens: Vec::new(),
                alternatives: 0,
            },
        })
        .collect()
}
