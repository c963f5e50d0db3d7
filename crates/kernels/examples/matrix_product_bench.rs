//! Times matrix products at the shapes of a small language model, on one thread and on all.
//!
//! Prints GFLOP/s (best of many runs) and the share of one core's measured peak. Arguments: the numbers of rows to
//! try (default 1 128 512).
#![allow(clippy::print_stdout, reason = "a benchmark's output is its data")]

use std::time::Instant;

use glossator_kernels::{
    Activation, Backend, Buffer, Outputs, PackedMatrix, Product, Threads, WeightFormat, bf16,
    cpu_description, measured_peak,
};

/// `(n_in, n_out)` of the layers and the vocabulary of SmolLM2-135M, of a larger model's MLP, and of that of Qwen2.5-1.5B.
const SHAPES: [(usize, usize); 8] = [
    (576, 960),
    (576, 576),
    (576, 3072),
    (1536, 576),
    (576, 49_152),
    (2048, 8192),
    (1536, 17_920),
    (8960, 1536),
];

fn main() {
    println!("{}", cpu_description());
    let requested: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let row_counts = if requested.is_empty() { vec![1, 128, 512] } else { requested };
    for format in [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8] {
        println!("{format:?}: peak of one core {:.0} GFLOP/s", measured_peak(format) * 1e-9);
        for (n_in, n_out) in SHAPES {
            let half = vec![0.01; n_in * n_out / 2];
            let weight = PackedMatrix::pack_stacked(&[&half, &half], n_in, format);
            row_counts.iter().for_each(|&rows| report(&weight, rows));
        }
    }
}

/// The buffers of one shape.
struct Operands {
    wide: Buffer<f32>,
    narrow: Buffer<bf16>,
    out: Buffer<f32>,
    gated: Buffer<bf16>,
}

fn report(weight: &PackedMatrix, rows: usize) {
    let (n_in, n_out) = (weight.n_in(), weight.n_out());
    let mut operands = Operands {
        wide: Buffer::default(),
        narrow: Buffer::default(),
        out: Buffer::default(),
        gated: Buffer::default(),
    };
    operands.wide.sized(rows * n_in).fill(0.5);
    operands.narrow.sized(rows * n_in).fill(bf16::ONE);
    let operations = 2.0 * (rows * n_in * n_out) as f64;
    let mut rate =
        |run: &mut dyn FnMut(&mut Operands)| operations / best_seconds(|| run(&mut operands)) * 1e-9;
    let plain = |product: Product<'_>, operands: &mut Operands| {
        let out = operands.out.sized(rows * n_out);
        match weight.format() {
            WeightFormat::F32 | WeightFormat::Int8 => {
                product.run(&operands.wide.as_slice()[..rows * n_in], out);
            }
            WeightFormat::Bf16 => product.run(&operands.narrow.as_slice()[..rows * n_in], out),
        }
    };
    let product = Product::new(weight);
    let vectors = product.backend(Backend::best().min(Backend::Avx512Bf16));
    let one = rate(&mut |operands| plain(product, operands));
    let adding = rate(&mut |operands| plain(product.accumulate(), operands));
    let gated = rate(&mut |operands| {
        let x = &operands.narrow.as_slice()[..rows * n_in];
        product.run_gated(Activation::Silu, x, Outputs::bf16(operands.gated.sized(rows * n_out / 2)));
    });
    let all = rate(&mut |operands| plain(product.threads(Threads::All), operands));
    let vectors = rate(&mut |operands| plain(vectors, operands));
    println!(
        "{rows:5} x {n_in:5} -> {n_out:5}: {one:5.0} ({adding:5.0} adding, {gated:5.0} gated SiLU), {all:5.0} all threads, \
         {vectors:5.0} vectors only"
    );
}

/// The shortest of the runs that fit a fifth of a second, at least 5.
fn best_seconds(mut run: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    let mut runs = 0;
    while runs < 5 || begin.elapsed().as_millis() < 200 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}
