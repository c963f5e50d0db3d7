//! Whole training steps of every variant, several in a row with Adam, clipping and constraints, against PyTorch; and the
//! gradients of one step against the losses in `variants`.

#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

mod common;

use common::reference;
use glossator_dictionary::training::{
    Annealing, Auxiliary, Batch, JumpRelu, Objective, Parameters, Penalty, Prefixes, Recipe, Tensor, Trainer,
};
use glossator_dictionary::variants::{self, jump_relu};
use glossator_kernels::Precision;
use glossator_kernels::sparse_coding::Adam;
use serde_json::Value;

const LATENTS: usize = 12;
const ROWS: usize = 10;
const RATE: f64 = 0.01;
const GROUPS: [usize; 3] = [2, 4, 6];
const AUXILIARY: Option<Auxiliary> = Some(Auxiliary { k: 3, coefficient: 0.5, dead_after: 25 });

/// A run of `make_training.py`.
#[derive(Clone, Copy)]
struct Run {
    name: &'static str,
    objective: Objective,
    subtract: bool,
    unit: bool,
    clip: Option<f32>,
    beta1: f64,
}

fn run(name: &'static str, objective: Objective) -> Run {
    Run { name, objective, subtract: true, unit: true, clip: None, beta1: 0.9 }
}

fn free(run: Run) -> Run {
    Run { subtract: false, unit: false, ..run }
}

fn transcoder(run: Run) -> Run {
    Run { subtract: false, ..run }
}

fn clipped(limit: f32, run: Run) -> Run {
    Run { clip: Some(limit), ..run }
}

fn without_momentum(run: Run) -> Run {
    Run { beta1: 0.0, ..run }
}

fn jump(penalty: Penalty, pre_activation: f32) -> Objective {
    Objective::JumpRelu(JumpRelu { penalty, coefficient: 0.1, bandwidth: 0.5, pre_activation })
}

fn l1(by_decoder_norm: bool) -> Objective {
    Objective::L1 { coefficient: 0.1, by_decoder_norm }
}

fn matryoshka() -> Objective {
    Objective::Matryoshka { k: 3, prefixes: Prefixes::new(&GROUPS).unwrap(), auxiliary: AUXILIARY }
}

fn runs() -> Vec<Run> {
    let top_k = Objective::TopK { k: 3, auxiliary: AUXILIARY };
    let multi = Objective::MultiTopK { k: 2, auxiliary: AUXILIARY };
    let gated = Objective::Gated { coefficient: 0.1 };
    let annealing = Annealing { coefficient: 0.1, end: 0.4, moves: 2, start: 1, steps: 4 };
    vec![
        run("top_k", top_k),
        clipped(0.05, run("multi_top_k", multi)),
        run("batch_top_k", Objective::BatchTopK { k: 3, auxiliary: AUXILIARY }),
        clipped(0.1, run("matryoshka", matryoshka())),
        run("l1", l1(false)),
        clipped(0.05, free(run("l1_by_norm", l1(true)))),
        run("p_annealing", Objective::PAnnealing(annealing)),
        without_momentum(run("jump_relu_count", jump(Penalty::Count, 0.0))),
        clipped(0.05, free(run("jump_relu_tanh", jump(Penalty::Tanh { steepness: 4.0 }, 0.01)))),
        without_momentum(run("jump_relu_target", jump(Penalty::Target { l0: 2.0 }, 0.0))),
        without_momentum(run("gated", gated)),
        clipped(0.05, run("gated_clipped", gated)),
        transcoder(run("transcoder_top_k", top_k)),
        transcoder(run("transcoder_l1", l1(false))),
        clipped(0.05, transcoder(run("skip_multi_top_k", multi))),
        transcoder(run("skip_matryoshka", matryoshka())),
        clipped(0.05, transcoder(run("skip_l1", l1(false)))),
        without_momentum(transcoder(run("skip_jump_relu", jump(Penalty::Count, 0.0)))),
        without_momentum(transcoder(run("skip_gated", gated))),
    ]
}

impl Run {
    fn recipe(&self) -> Recipe {
        Recipe {
            objective: self.objective,
            subtract_decoder_bias: self.subtract,
            unit_decoder: self.unit,
            adam: Adam { beta1: self.beta1, beta2: 0.999, epsilon: 1e-5 },
            gradient_clip: self.clip,
            target_variance: 0.7,
            precision: Precision::F32,
        }
    }

    /// Where the golden run begins.
    fn start(&self, shape: &Value) -> Parameters {
        let tensor = |name: &str| floats(&shape["start"][name]);
        let mut parameters = Parameters::new(
            tensor("encoder"),
            tensor("encoder_bias"),
            tensor("decoder"),
            tensor("decoder_bias"),
        );
        if self.name.starts_with("skip") {
            parameters.skip = tensor("skip").into();
        }
        match self.objective {
            Objective::JumpRelu(_) => parameters.log_threshold = tensor("log_threshold").into(),
            Objective::Gated { .. } => {
                parameters.log_magnitude_scale = tensor("log_magnitude_scale").into();
                parameters.magnitude_bias = tensor("magnitude_bias").into();
            }
            _ => {}
        }
        parameters
    }
}

/// Inputs and targets of every step.
fn batches(shape: &Value) -> Vec<[Vec<f32>; 2]> {
    let batches = shape["batches"].as_array().unwrap().iter();
    batches.map(|batch| ["inputs", "targets"].map(|name| floats(&batch[name]))).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(reference("training.json")).unwrap()).unwrap()
}

fn tensors(parameters: &Parameters) -> [(&'static str, &Tensor); 8] {
    let names = [
        "encoder",
        "encoder_bias",
        "decoder",
        "decoder_bias",
        "skip",
        "log_threshold",
        "log_magnitude_scale",
        "magnitude_bias",
    ];
    let mut tensors = parameters.tensors().into_iter();
    names.map(|name| (name, tensors.next().unwrap()))
}

#[test]
fn steps_are_those_of_pytorch() {
    let golden = golden();
    let runs = runs();
    assert_eq!(runs.len(), golden["runs"].as_object().unwrap().len());
    for run in runs {
        let expected = &golden["runs"][run.name];
        let shape = &golden["shapes"][expected["shape"].as_str().unwrap()];
        let mut parameters = run.start(shape);
        let before = parameters.clone();
        let mut trainer = Trainer::new(run.recipe());
        for (step, [inputs, targets]) in batches(shape).iter().enumerate() {
            let targets = if parameters.d_input == parameters.d_output { inputs } else { targets };
            let report = trainer.step(&mut parameters, Batch { inputs, targets }, RATE);
            let loss = expected["losses"][step].as_f64().unwrap();
            assert!((report.loss - loss).abs() < 1e-5, "{} step {step}: {} or {loss}", run.name, report.loss);
        }
        for ((name, tensor), (_, before)) in tensors(&parameters).into_iter().zip(tensors(&before)) {
            let Some(end) = expected["end"].get(name).filter(|_| !tensor.weights.is_empty()) else {
                continue;
            };
            let end = floats(end);
            assert_eq!(tensor.weights.len(), end.len());
            assert_ne!(tensor.weights, before.weights, "{}: {name} did not move", run.name);
            for (at, (got, want)) in tensor.weights.iter().zip(&end).enumerate() {
                assert!((got - want).abs() < 2e-5, "{}: {name}[{at}] is {got} instead of {want}", run.name);
            }
        }
        if let Some(threshold) = expected["threshold"].as_f64() {
            let found = f64::from(parameters.progress.threshold.unwrap());
            assert!((found - threshold).abs() < 1e-5, "{}: threshold {found} or {threshold}", run.name);
        }
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// The loss and gradient of `variants` for a run's first batch, its reconstruction term as there.
fn definition(run: &Run, parameters: &Parameters, [u, y]: [&[f64]; 2]) -> (f64, variants::Parameters) {
    let p = variants::Parameters {
        d_input: parameters.d_input,
        d_output: parameters.d_output,
        latents: LATENTS,
        subtract_decoder_bias: run.subtract,
        encoder: wide(&parameters.encoder.weights),
        encoder_bias: wide(&parameters.encoder_bias.weights),
        decoder: wide(&parameters.decoder.weights),
        decoder_bias: wide(&parameters.decoder_bias.weights),
        skip: wide(&parameters.skip.weights),
        log_threshold: wide(&parameters.log_threshold.weights),
        log_magnitude_scale: wide(&parameters.log_magnitude_scale.weights),
        magnitude_bias: wide(&parameters.magnitude_bias.weights),
    };
    let batch = variants::Batch { inputs: u, targets: y };
    let (loss, gradient) = match run.objective {
        Objective::TopK { k, .. } => {
            let settings = variants::top_k::Settings { k, multi: false, auxiliary: None };
            variants::top_k::loss(&p, &batch, &settings)
        }
        Objective::MultiTopK { k, .. } => {
            let settings = variants::top_k::Settings { k, multi: true, auxiliary: None };
            variants::top_k::loss(&p, &batch, &settings)
        }
        Objective::BatchTopK { k, .. } => variants::batch_top_k::loss(&p, &batch, k, None),
        Objective::Matryoshka { k, .. } => variants::matryoshka::loss(&p, &batch, k, &GROUPS, None),
        Objective::L1 { by_decoder_norm: true, .. } => variants::decoder_norm_l1::loss(&p, &batch, 0.1),
        Objective::L1 { .. } => variants::relu_l1::loss(&p, &batch, 0.1),
        Objective::PAnnealing(_) => variants::p_annealing::loss(&p, &batch, 1.0, 0.1),
        Objective::Gated { .. } => variants::gated::loss(&p, &batch, 0.1),
        Objective::JumpRelu(JumpRelu { penalty, pre_activation, .. }) => {
            let penalty = match penalty {
                Penalty::Count => jump_relu::Penalty::Count,
                Penalty::Tanh { .. } => jump_relu::Penalty::Tanh { steepness: 4.0 },
                Penalty::Target { .. } => jump_relu::Penalty::Target { l0: 2.0 },
            };
            let pre_activation = f64::from(pre_activation);
            let settings = jump_relu::Settings { penalty, coefficient: 0.1, bandwidth: 0.5, pre_activation };
            variants::jump_relu::loss(&p, &batch, &settings)
        }
    };
    (loss.total(), gradient)
}

/// σ² with which the trainer's reconstruction loss is that of `variants`.
fn target_variance(run: &Run, targets: &[f64], d: usize) -> f32 {
    match run.objective {
        Objective::L1 { by_decoder_norm: false, .. } => 1.0,
        Objective::L1 { .. }
        | Objective::PAnnealing(_)
        | Objective::JumpRelu(_)
        | Objective::Gated { .. } => 1.0 / d as f32,
        _ => {
            let rows = targets.len() / d;
            let mean = |i: usize| targets.iter().skip(i).step_by(d).sum::<f64>() / rows as f64;
            let means: Vec<f64> = (0..d).map(mean).collect();
            let squares =
                targets.chunks(d).flat_map(|row| row.iter().zip(&means)).map(|(y, m)| (y - m).powi(2));
            (squares.sum::<f64>() / targets.len() as f64) as f32
        }
    }
}

/// With β₁ = 0, Adam's mean gradient after one step is the gradient.
#[test]
fn gradients_of_a_step_are_those_of_the_definition() {
    let golden = golden();
    for run in runs() {
        let shape = &golden["shapes"][golden["runs"][run.name]["shape"].as_str().unwrap()];
        let mut parameters = run.start(shape);
        let [inputs, targets] = batches(shape).swap_remove(0);
        let targets = if parameters.d_input == parameters.d_output { inputs.clone() } else { targets };
        assert_eq!(inputs.len(), ROWS * parameters.d_input);
        let (u, y) = (wide(&inputs), wide(&targets));
        let (loss, mut gradient) = definition(&run, &parameters, [&u, &y]);
        let recipe = Recipe {
            unit_decoder: false,
            gradient_clip: None,
            adam: Adam { beta1: 0.0, beta2: 0.999, epsilon: 1e-5 },
            target_variance: target_variance(&run, &y, parameters.d_output),
            ..run.recipe()
        };
        let report =
            Trainer::new(recipe).step(&mut parameters, Batch { inputs: &inputs, targets: &targets }, RATE);
        assert!((report.loss - loss).abs() < 1e-5 * loss, "{}: {} or {loss}", run.name, report.loss);
        for ((name, tensor), (_, want)) in tensors(&parameters).into_iter().zip(gradient.tensors_mut()) {
            assert_eq!(tensor.mean.len(), want.len(), "{}: {name}", run.name);
            let largest = want.iter().fold(1e-3_f64, |max, g| max.max(g.abs()));
            for (at, (got, want)) in tensor.mean.iter().zip(want.iter()).enumerate() {
                let off = (f64::from(*got) - want).abs();
                assert!(off < 1e-5 * largest, "{}: {name}[{at}] is {got} instead of {want}", run.name);
            }
        }
    }
}
