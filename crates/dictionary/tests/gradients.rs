//! Losses and gradients of every variant against PyTorch's autograd, and against finite differences.

#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

mod common;

use common::reference;
use glossator_dictionary::variants::auxiliary::{self, Auxiliary};
use glossator_dictionary::variants::jump_relu::{self, Penalty};
use glossator_dictionary::variants::{
    Batch, Loss, Parameters, batch_top_k, decoder_norm_l1, gated, matryoshka, p_annealing, relu_l1, top_k,
};
use serde_json::Value;

const GROUPS: [usize; 3] = [2, 2, 4];

struct Golden {
    parameters: Parameters,
    inputs: Vec<f64>,
    targets: Vec<f64>,
    variants: Value,
}

impl Golden {
    fn read() -> Self {
        let text = std::fs::read_to_string(reference("gradients.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let size = |name: &str| json[name].as_u64().unwrap() as usize;
        let mut parameters = Parameters {
            d_input: size("d_input"),
            d_output: size("d_output"),
            latents: size("latents"),
            subtract_decoder_bias: true,
            ..Parameters::default()
        };
        for (name, tensor) in parameters.tensors_mut() {
            *tensor = floats(&json["parameters"][name]);
        }
        Self {
            parameters,
            inputs: floats(&json["inputs"]),
            targets: floats(&json["targets"]),
            variants: json["variants"].clone(),
        }
    }

    fn batch(&self) -> Batch<'_> {
        Batch { inputs: &self.inputs, targets: &self.targets }
    }
}

fn floats(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

fn aux(dead: &[usize], k: usize) -> Auxiliary {
    Auxiliary { coefficient: 1.0 / 32.0, k, dead: dead.to_vec() }
}

fn top_k_settings(k: usize, multi: bool, auxiliary: Option<Auxiliary>) -> top_k::Settings {
    top_k::Settings { k, multi, auxiliary }
}

fn jump_settings(penalty: Penalty) -> jump_relu::Settings {
    jump_relu::Settings { penalty, coefficient: 0.1, bandwidth: 0.5, pre_activation: 0.01 }
}

type Variant = fn(&Parameters, &Batch<'_>) -> (Loss, Parameters);

/// Every variant with the settings of `make_gradients.py`.
const VARIANTS: [(&str, Variant); 11] = [
    ("relu_l1", |p, batch| relu_l1::loss(p, batch, 0.1)),
    ("decoder_norm_l1", |p, batch| decoder_norm_l1::loss(p, batch, 0.1)),
    ("top_k", |p, batch| top_k::loss(p, batch, &top_k_settings(2, false, Some(aux(&[0, 3, 5], 2))))),
    ("multi_top_k", |p, batch| top_k::loss(p, batch, &top_k_settings(1, true, None))),
    ("batch_top_k", |p, batch| batch_top_k::loss(p, batch, 2, Some(&aux(&[1, 2], 1)))),
    ("matryoshka", |p, batch| matryoshka::loss(p, batch, 2, &GROUPS, Some(&aux(&[1, 2], 1)))),
    ("jump_relu_count", |p, batch| jump_relu::loss(p, batch, &jump_settings(Penalty::Count))),
    ("jump_relu_tanh", |p, batch| {
        jump_relu::loss(p, batch, &jump_settings(Penalty::Tanh { steepness: 4.0 }))
    }),
    ("jump_relu_target", |p, batch| jump_relu::loss(p, batch, &jump_settings(Penalty::Target { l0: 2.0 }))),
    ("gated", |p, batch| gated::loss(p, batch, 0.1)),
    ("p_annealing", |p, batch| p_annealing::loss(p, batch, 0.7, 0.1)),
];

#[test]
fn losses_and_gradients_are_those_of_autograd() {
    let golden = Golden::read();
    for (name, variant) in VARIANTS {
        let (loss, mut gradient) = variant(&golden.parameters, &golden.batch());
        let want = &golden.variants[name];
        let want_loss = want["loss"].as_f64().unwrap();
        assert!((loss.total() - want_loss).abs() < 1e-9, "{name}: {} instead of {want_loss}", loss.total());
        for (tensor, got) in gradient.tensors_mut() {
            // What takes no part in a loss has no gradient there, and zeros here.
            let want = match &want["gradient"][tensor] {
                Value::Null => vec![0.0; got.len()],
                values => floats(values),
            };
            for (at, (got, want)) in got.iter().zip(&want).enumerate() {
                assert!((got - want).abs() < 1e-9, "{name}: {tensor}[{at}] is {got} instead of {want}");
            }
        }
    }
}

/// (L(p + h) − L(p − h)) / 2h for every value of a tensor.
fn finite_differences(parameters: &Parameters, name: &str, loss: impl Fn(&Parameters) -> f64) -> Vec<f64> {
    const H: f64 = 1e-6;
    let count = tensor(&mut parameters.clone(), name).len();
    let moved = |at: usize, by: f64| {
        let mut moved = parameters.clone();
        tensor(&mut moved, name)[at] += by;
        loss(&moved)
    };
    (0..count).map(|at| (moved(at, H) - moved(at, -H)) / (2.0 * H)).collect()
}

fn tensor<'p>(parameters: &'p mut Parameters, name: &str) -> &'p mut Vec<f64> {
    parameters.tensors_mut().into_iter().find(|(tensor, _)| *tensor == name).unwrap().1
}

#[track_caller]
fn assert_differences(
    parameters: &Parameters,
    gradient: &Parameters,
    name: &str,
    loss: impl Fn(&Parameters) -> f64,
) {
    let want = finite_differences(parameters, name, loss);
    let mut gradient = gradient.clone();
    for (at, (got, want)) in tensor(&mut gradient, name).iter().zip(&want).enumerate() {
        assert!((got - want).abs() < 1e-7, "{name}[{at}] is {got}, by differences {want}");
    }
}

/// Where a loss is a differentiable function, its gradient is that of finite differences. Left out is what is defined
/// otherwise: thresholds (straight-through), and what AuxK and the gate's own loss take as given.
#[test]
fn gradients_are_finite_differences() {
    const ALL: &[&str] = &["encoder", "encoder_bias", "decoder", "decoder_bias", "skip"];
    const GATED: &[&str] = &["encoder", "encoder_bias", "log_magnitude_scale", "magnitude_bias", "skip"];
    let golden = Golden::read();
    let cases: [(Variant, &[&str]); 10] = [
        (VARIANTS[0].1, ALL),
        (VARIANTS[1].1, ALL),
        (|p, batch| top_k::loss(p, batch, &top_k_settings(2, false, None)), ALL),
        (VARIANTS[3].1, ALL),
        (|p, batch| batch_top_k::loss(p, batch, 2, None), ALL),
        (|p, batch| matryoshka::loss(p, batch, 2, &GROUPS, None), ALL),
        (VARIANTS[6].1, ALL),
        (VARIANTS[7].1, ALL),
        (VARIANTS[9].1, GATED),
        (VARIANTS[10].1, ALL),
    ];
    for subtract_decoder_bias in [false, true] {
        let parameters = Parameters { subtract_decoder_bias, ..golden.parameters.clone() };
        for (variant, tensors) in cases {
            let (_, gradient) = variant(&parameters, &golden.batch());
            for name in tensors {
                assert_differences(&parameters, &gradient, name, |p| variant(p, &golden.batch()).0.total());
            }
        }
        let residual: Vec<f64> = golden.targets.iter().map(|y| 0.3 * y).collect();
        let auxiliary = |p: &Parameters, gradient: &mut Parameters| {
            auxiliary::loss(p, &golden.batch(), &aux(&[0, 3, 5], 2), &residual, gradient)
        };
        let mut gradient = parameters.zeros();
        assert!(auxiliary(&parameters, &mut gradient) > 0.0);
        for name in ALL {
            assert_differences(&parameters, &gradient, name, |p| auxiliary(p, &mut p.zeros()));
        }
    }
}

#[test]
fn projected_gradients_leave_norms_alone() {
    let golden = Golden::read();
    let mut parameters = golden.parameters.clone();
    let norms = parameters.decoder_norms();
    for (row, norm) in parameters.decoder.chunks_exact_mut(4).zip(norms) {
        row.iter_mut().for_each(|value| *value /= norm);
    }
    let (_, mut gradient) = relu_l1::loss(&parameters, &golden.batch(), 0.1);
    relu_l1::project_decoder_gradient(&parameters, &mut gradient);
    for (row, gradient) in parameters.decoder.chunks_exact(4).zip(gradient.decoder.chunks_exact(4)) {
        assert!(row.iter().zip(gradient).map(|(d, g)| d * g).sum::<f64>().abs() < 1e-12);
    }
}

#[test]
fn batch_top_k_keeps_a_number_per_batch() {
    let golden = Golden::read();
    let latents = batch_top_k::select(&golden.parameters, &golden.batch(), 2);
    let active = latents.iter().filter(|f| **f > 0.0).count();
    assert!(active <= 12 && active > 6, "{active}");
    let smallest = batch_top_k::smallest_kept(&latents).unwrap();
    assert!(latents.iter().all(|f| *f == 0.0 || *f >= smallest));
    assert_eq!(batch_top_k::smallest_kept(&[0.0; 3]), None);
}

#[test]
fn annealing_goes_from_one_to_the_end_and_keeps_the_penalty() {
    let exponents: Vec<f64> = (0..=10).map(|step| p_annealing::exponent(step, 10, 5, 0.2)).collect();
    assert_eq!(exponents[0], 1.0);
    assert!((exponents[10] - 0.2).abs() < 1e-12 && (exponents[3] - 0.84).abs() < 1e-12);
    assert!(exponents.windows(2).all(|pair| pair[1] <= pair[0]));
    let recent = [0.0, 0.3, 2.0, 1.1];
    let after = p_annealing::rescaled_coefficient(0.1, &recent, 1.0, 0.84);
    let penalty = |p: f64| recent.iter().filter(|f| **f > 0.0).map(|f| f.powf(p)).sum::<f64>();
    assert!((after * penalty(0.84) - 0.1 * penalty(1.0)).abs() < 1e-12);
    assert_eq!(p_annealing::rescaled_coefficient(0.1, &[0.0], 1.0, 0.5), 0.1);
}
