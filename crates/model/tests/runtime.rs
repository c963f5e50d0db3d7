//! Many jobs at once against one at a time, against the goldens of transformers, and against the plain forward.
#![allow(clippy::unwrap_used, reason = "a test should stop where it fails")]

mod common;

use std::collections::BTreeMap;

use common::{FAMILIES, Golden};
use glossator_model::runtime::{Completion, Job, JobWant, Listener, NewToken, Runtime, RuntimeLimits};
use glossator_model::{Batch, Model, ModelError, Precision, Run, Sampling};

/// Keeps what comes of each job; stops a job after some tokens if told to.
#[derive(Default)]
struct Results {
    done: BTreeMap<usize, Result<Completion, ModelError>>,
    stop_after: Option<usize>,
    heard: BTreeMap<usize, usize>,
}

impl Listener for Results {
    fn token(&mut self, job: usize, _: &NewToken) -> bool {
        let heard = self.heard.entry(job).or_default();
        *heard += 1;
        self.stop_after != Some(*heard)
    }

    fn done(&mut self, job: usize, result: Result<Completion, ModelError>) -> bool {
        assert!(self.done.insert(job, result).is_none(), "job {job} was done twice");
        true
    }
}

fn run(runtime: &Runtime, jobs: &[Job]) -> Vec<Completion> {
    let mut results = Results::default();
    runtime.run(jobs, &mut results);
    assert_eq!(results.done.len(), jobs.len());
    results.done.into_values().map(Result::unwrap).collect()
}

/// The completion without what depends on the cache.
fn content(completion: &Completion) -> Completion {
    Completion { cached_tokens: 0, ..completion.clone() }
}

fn continuation(tokens: Vec<u32>, max_tokens: usize) -> Job {
    let sampling = Sampling::default();
    Job { tokens, want: JobWant::Continuation { max_tokens, sampling, stop_tokens: vec![], alternatives: 3 } }
}

fn model(name: &str, precision: Precision) -> Model {
    Golden::open_as(name, precision).model
}

fn tokens(count: usize, seed: u32, vocab_size: u32) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state % vocab_size
        })
        .collect()
}

/// Continuations and gradings, several of which begin alike: within a page, at its end, and past it.
fn jobs(vocab_size: u32) -> Vec<Job> {
    let common = tokens(150, 1, vocab_size);
    let mut jobs = Vec::new();
    for (index, shared) in [0, 3, 64, 127, 128, 129, 150, 150].into_iter().enumerate() {
        let own = tokens(5 + 40 * (index % 3), 7 + index as u32, vocab_size);
        let prompt = [&common[..shared], &own].concat();
        let mut job = continuation(prompt.clone(), 6);
        if let JobWant::Continuation { sampling, .. } = &mut job.want {
            *sampling = Sampling { temperature: (index % 2) as f32, top_p: 0.9, seed: index as u64 };
        }
        jobs.push(job);
        let places = (shared.max(1)..prompt.len()).step_by(3).collect();
        jobs.push(Job { tokens: prompt, want: JobWant::Choices { places, choices: vec![0, 5, 2] } });
    }
    jobs
}

#[test]
fn greedy_continuations_are_those_of_transformers_in_every_family() {
    for name in FAMILIES {
        let golden = Golden::open(name);
        let length = golden.greedy.len();
        let runtime = Runtime::new(golden.model, RuntimeLimits::default()).unwrap();
        let jobs =
            [continuation(golden.prompt.clone(), length), continuation(golden.prompt[..1].to_vec(), 3)];
        let completions = run(&runtime, &jobs);
        let written: Vec<u32> = completions[0].tokens.iter().map(|token| token.token).collect();
        assert_eq!(written, golden.greedy, "{name}");
    }
}

#[test]
fn results_do_not_depend_on_the_company_or_the_cache() {
    for (name, precision) in [
        ("llama", Precision::F32),
        ("qwen2", Precision::Int8),
        ("gemma3", Precision::Bf16),
        ("neox_parallel", Precision::Int8),
        ("mistral", Precision::F32),
    ] {
        let vocab_size = model(name, precision).architecture().vocab_size as u32;
        let jobs = jobs(vocab_size);
        let limits = |rows, sequences, share_prefixes| RuntimeLimits {
            rows,
            sequences,
            share_prefixes,
            cache_bytes: 64 << 20,
        };
        let expected: Vec<Completion> = {
            let alone = Runtime::new(model(name, precision), limits(1000, 1, false)).unwrap();
            jobs.iter().map(|job| run(&alone, std::slice::from_ref(job)).remove(0)).collect()
        };
        for limits in [limits(1000, 16, true), limits(7, 5, true), limits(40, 3, false), limits(64, 16, true)]
        {
            let runtime = Runtime::new(model(name, precision), limits).unwrap();
            // The second time most of it is in the cache.
            for _ in 0..2 {
                let found: Vec<Completion> = run(&runtime, &jobs).iter().map(content).collect();
                assert_eq!(found, expected, "{name} {precision:?} {limits:?}");
            }
        }
    }
}

#[test]
fn what_prompts_share_is_computed_once_even_in_the_same_step() {
    let runtime = Runtime::new(model("llama", Precision::F32), RuntimeLimits::default()).unwrap();
    let common = tokens(100, 1, 50);
    let jobs: Vec<Job> = (0..4).map(|last| continuation([&common[..], &[last, last]].concat(), 1)).collect();
    let cached: Vec<usize> = run(&runtime, &jobs).iter().map(|done| done.cached_tokens).collect();
    assert_eq!(cached, [0, 100, 100, 100]);
    let again: Vec<usize> = run(&runtime, &jobs).iter().map(|done| done.cached_tokens).collect();
    assert_eq!(again, [101; 4]);
}

/// Probabilities at places, among the choices, and log-probabilities of new tokens are those of the plain forward.
#[test]
fn choices_are_the_softmax_of_the_forward() {
    let model_again = model("qwen3", Precision::F32);
    let runtime = Runtime::new(model("qwen3", Precision::F32), RuntimeLimits::default()).unwrap();
    let vocab_size = model_again.architecture().vocab_size;
    let prompt = tokens(30, 3, vocab_size as u32);
    let places: Vec<usize> = vec![1, 4, 29, 30];
    let choices: Vec<u32> = vec![1, 3];
    let jobs = [
        Job {
            tokens: prompt.clone(),
            want: JobWant::Choices { places: places.clone(), choices: choices.clone() },
        },
        continuation(prompt.clone(), 1),
    ];
    let found = run(&runtime, &jobs);
    let run = Run { logits: true, ..Run::default() };
    let logits = model_again.run(&Batch::from_sequences(&[&prompt]), &run, &()).unwrap().unwrap().data;
    let softmax = |row: usize| {
        let row = &logits[row * vocab_size..][..vocab_size];
        let total: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
        row.iter().map(|logit| f64::from(*logit).exp() / total).collect::<Vec<f64>>()
    };
    for (place, found) in places.iter().zip(&found[0].choices) {
        let expected = softmax(place - 1);
        let among: f64 = choices.iter().map(|choice| expected[*choice as usize]).sum();
        for (choice, found) in choices.iter().zip(found) {
            assert!((f64::from(*found) - expected[*choice as usize] / among).abs() < 1e-5);
        }
    }
    let (expected, new) = (softmax(29), &found[1].tokens[0]);
    assert_eq!(new.alternatives.len(), 3);
    assert_eq!(new.alternatives[0], (new.token, new.logprob));
    for (token, logprob) in &new.alternatives {
        assert!((f64::from(*logprob) - expected[*token as usize].ln()).abs() < 1e-4);
    }
}

/// With room for few pages jobs wait for each other, old pages go, and the results are the same.
#[test]
fn a_small_cache_evicts_and_refuses_what_can_never_fit() {
    let vocab_size = model("llama", Precision::F32).architecture().vocab_size as u32;
    let architecture = model("llama", Precision::F32).architecture().clone();
    let page = 128 * 2 * architecture.kv_width() * architecture.n_layers * 4;
    let roomy = Runtime::new(model("llama", Precision::F32), RuntimeLimits::default()).unwrap();
    let jobs = jobs(vocab_size);
    let expected: Vec<Completion> = run(&roomy, &jobs).iter().map(content).collect();
    let limits = RuntimeLimits { cache_bytes: 5 * 2 * page, ..RuntimeLimits::default() };
    let tight = Runtime::new(model("llama", Precision::F32), limits).unwrap();
    for _ in 0..2 {
        let found: Vec<Completion> = run(&tight, &jobs).iter().map(content).collect();
        assert_eq!(found, expected);
    }
    let mut results = Results::default();
    let huge = [continuation(vec![1, 2, 3], 100_000), continuation(vec![1, 2, 3], 2)];
    tight.run(&huge, &mut results);
    assert!(matches!(results.done[&0], Err(ModelError::CacheTooSmall { .. })));
    assert!(results.done[&1].is_ok());
}

#[test]
fn bad_jobs_are_errors_and_a_listener_stops_one_or_all() {
    let runtime = Runtime::new(model("llama", Precision::F32), RuntimeLimits::default()).unwrap();
    let mut results = Results { stop_after: Some(2), ..Results::default() };
    let grading = |places: Vec<usize>| Job {
        tokens: vec![1, 2, 3],
        want: JobWant::Choices { places, choices: vec![1] },
    };
    let jobs = [
        continuation(vec![], 3),
        continuation(vec![1_000_000], 3),
        grading(vec![0]),
        grading(vec![4]),
        grading(vec![2, 1]),
        Job { tokens: vec![1, 2], want: JobWant::Choices { places: vec![1], choices: vec![] } },
        grading(vec![]),
        continuation(vec![1, 2], 9),
        continuation(vec![1, 2], 0),
    ];
    runtime.run(&jobs, &mut results);
    for (job, fails) in [true, true, true, true, true, true, false, false, false].into_iter().enumerate() {
        assert_eq!(results.done[&job].is_err(), fails, "job {job}: {:?}", results.done[&job]);
    }
    assert_eq!(results.done[&7].as_ref().unwrap().tokens.len(), 2);
    assert_eq!(results.done[&8].as_ref().unwrap().tokens.len(), 0);

    /// Stops the run at the first result.
    struct Once(usize);
    impl Listener for Once {
        fn token(&mut self, _: usize, _: &NewToken) -> bool {
            true
        }
        fn done(&mut self, _: usize, _: Result<Completion, ModelError>) -> bool {
            self.0 += 1;
            false
        }
    }
    let mut once = Once(0);
    let many: Vec<Job> = (0..100).map(|token| continuation(vec![token % 40, 1], 4)).collect();
    runtime.run(&many, &mut once);
    assert!(once.0 < 100);
    assert_eq!(run(&runtime, &many).len(), 100);
}
