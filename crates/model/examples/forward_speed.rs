//! Times the forward pass to the last layer's residual stream, without logits, and the matrix products
//! of the same layers alone: the bound that the forward pass can reach.
//!
//! `forward_speed MODEL [--precision f32|bf16|auto] [--sequences 16] [--length 128] [--rounds 5] [--json]`
#![allow(clippy::print_stdout, reason = "a benchmark's output is its data")]
#![allow(clippy::unwrap_used, reason = "a benchmark stops where it cannot measure")]

use std::time::Instant;

use glossator_kernels::{self as kernels, Activation, Outputs, PackedMatrix, Product, bf16};
use glossator_model::{Architecture, Batch, HookPoint, Model, Precision, Run};
use rayon::prelude::*;

/// Tokens that a thread takes through the layers at once, as in the forward pass.
const GROUP_TOKENS: usize = 256;

struct Arguments {
    model: String,
    precision: Precision,
    sequences: usize,
    length: usize,
    rounds: usize,
    json: bool,
}

fn main() {
    let arguments = arguments();
    let model = Model::load(&arguments.model, arguments.precision).unwrap();
    let architecture = model.architecture();
    let tokens = arguments.sequences * arguments.length;
    let sequences: Vec<Vec<u32>> = (0..arguments.sequences)
        .map(|s| (0..arguments.length).map(|t| token(s * arguments.length + t, architecture)).collect())
        .collect();
    let batch = Batch::from_sequences(&sequences);
    let last = [HookPoint::resid_post(architecture.n_layers - 1)];
    let forward = || {
        model.run(&batch, &Run { hooks: &last, ..Run::default() }, &()).unwrap();
    };
    let products = Products::new(architecture, model.precision());
    let product_run = || products.run(tokens);
    let (mut rates, mut bounds) = (Vec::new(), Vec::new());
    for round in 0..=arguments.rounds {
        let (rate, bound) = (tokens as f64 / seconds(forward), tokens as f64 / seconds(product_run));
        // The first round fills buffers and caches.
        if round > 0 {
            rates.push(rate);
            bounds.push(bound);
        }
    }
    let (rate, bound) = (median(&mut rates), median(&mut bounds));
    let precision = if model.precision() == Precision::Bf16 { "bf16" } else { "f32" };
    if arguments.json {
        println!(
            "{{\"precision\":\"{precision}\",\"tokens_per_second\":{rate:.1},\
             \"bound_tokens_per_second\":{bound:.1},\"operations_per_token\":{}}}",
            products.operations_per_token()
        );
        return;
    }
    let operations = products.operations_per_token() as f64 * 1e-9;
    println!("{}", kernels::cpu_description());
    println!("{} in {precision}, {} x {} tokens", model.name(), arguments.sequences, arguments.length);
    println!("forward:        {rate:7.0} tokens/s {:7.0} GFLOP/s", rate * operations);
    println!("its products:   {bound:7.0} tokens/s {:7.0} GFLOP/s", bound * operations);
    println!("share of bound: {:6.0} %", 100.0 * rate / bound);
    // Sorted by the median: the last is the best.
    let (rate, bound) = (rates[rates.len() - 1], bounds[bounds.len() - 1]);
    println!("best round:     {rate:7.0} tokens/s, its products {bound:7.0} tokens/s");
}

/// A token that differs from its neighbours.
fn token(index: usize, architecture: &Architecture) -> u32 {
    (index * 7919 % architecture.vocab_size) as u32
}

fn seconds(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The matrices of one block, with values that do not matter.
struct Products {
    layers: Vec<[PackedMatrix; 4]>,
    precision: kernels::Precision,
    gated: bool,
}

impl Products {
    fn new(architecture: &Architecture, precision: Precision) -> Self {
        let Architecture { d_model, d_mlp, .. } = *architecture;
        let precision =
            if precision == Precision::Bf16 { kernels::Precision::Bf16 } else { kernels::Precision::F32 };
        let q = architecture.q_width();
        let gated = architecture.mlp.gated;
        let shapes = [
            (q + 2 * architecture.kv_width(), d_model),
            (d_model, q),
            (if gated { 2 * d_mlp } else { d_mlp }, d_model),
            (d_model, d_mlp),
        ];
        let pack = |(n_out, n_in): (usize, usize)| {
            let half = vec![0.01; n_out * n_in / 2];
            PackedMatrix::pack_stacked(&[&half, &half], n_in, precision)
        };
        let layers = (0..architecture.n_layers).map(|_| shapes.map(pack)).collect();
        Self { layers, precision, gated }
    }

    fn operations_per_token(&self) -> usize {
        self.layers.iter().flatten().map(|matrix| 2 * matrix.n_in() * matrix.n_out()).sum()
    }

    /// All products of a number of tokens, in groups on all threads.
    fn run(&self, tokens: usize) {
        let groups: Vec<usize> =
            (0..tokens).step_by(GROUP_TOKENS).map(|first| GROUP_TOKENS.min(tokens - first)).collect();
        groups.into_par_iter().with_max_len(1).for_each(|rows| match self.precision {
            kernels::Precision::F32 => self.run_group(rows, &vec![0.5f32; rows * self.widest()]),
            kernels::Precision::Bf16 => self.run_group(rows, &vec![bf16::ONE; rows * self.widest()]),
        });
    }

    fn widest(&self) -> usize {
        self.layers[0].iter().map(|matrix| matrix.n_in().max(matrix.n_out())).max().unwrap_or(0)
    }

    fn run_group<'x, T>(&self, rows: usize, x: &'x [T])
    where
        &'x [T]: Into<kernels::Operand<'x>>,
    {
        let mut out = vec![0.0f32; rows * self.widest()];
        for (index, matrix) in self.layers.iter().flatten().enumerate() {
            let x = &x[..rows * matrix.n_in()];
            if self.gated && index % 4 == 2 {
                // As in the forward pass, the two halves of this product are multiplied as it ends.
                let out = &mut out[..rows * matrix.n_out() / 2];
                Product::new(matrix).run_gated(Activation::Relu, x, Outputs::f32(out));
            } else {
                Product::new(matrix).run(x, &mut out[..rows * matrix.n_out()]);
            }
        }
    }
}

fn arguments() -> Arguments {
    let mut arguments = Arguments {
        model: String::new(),
        precision: Precision::Auto,
        sequences: 16,
        length: 128,
        rounds: 5,
        json: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|value| value.parse().ok()).expect("a number");
        match word.as_str() {
            "--sequences" => arguments.sequences = number(),
            "--length" => arguments.length = number(),
            "--rounds" => arguments.rounds = number(),
            "--json" => arguments.json = true,
            "--precision" => {
                let name = words.next().unwrap_or_default();
                arguments.precision = serde_json::from_value(name.into()).expect("f32, bf16 or auto");
            }
            _ => arguments.model = word,
        }
    }
    arguments
}
