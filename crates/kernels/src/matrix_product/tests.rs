//! Every kernel against the definition, on every backend that this machine runs.

use half::bf16;
use proptest::prelude::*;

use super::*;

/// Deterministic values in [−1, 1).
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn rounded(values: &[f32], precision: Precision) -> Vec<f32> {
    match precision {
        Precision::F32 => values.to_vec(),
        Precision::Bf16 => values.iter().map(|&v| bf16::from_f32(v).to_f32()).collect(),
    }
}

/// The definition, in f64: the result and the sum of magnitudes, to which rounding errors are proportional.
fn naive(weight: &[f32], x: &[f32], n_in: usize) -> Vec<(f64, f64)> {
    x.chunks_exact(n_in)
        .flat_map(|x| weight.chunks_exact(n_in).map(move |w| (x, w)))
        .map(|(x, w)| {
            let products = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
            (products.clone().sum(), products.map(f64::abs).sum())
        })
        .collect()
}

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|b| b.is_available())
}

fn assert_close(out: &[f32], expected: &[(f64, f64)], what: &str) {
    assert_eq!(out.len(), expected.len());
    for (i, (value, (sum, magnitude))) in out.iter().zip(expected).enumerate() {
        let error = (f64::from(*value) - sum).abs();
        assert!(error <= 1e-6 * magnitude + 1e-30, "{what}: element {i} is {value}, expected {sum}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn agrees_with_the_definition(
        rows in 0_usize..75, n_in in 1_usize..130, n_out in 1_usize..90, seed in any::<u64>(), bf16_weight: bool,
    ) {
        let precision = if bf16_weight { Precision::Bf16 } else { Precision::F32 };
        let (weight, x) = (values(n_out * n_in, seed), values(rows * n_in, !seed));
        let expected = naive(&rounded(&weight, precision), &rounded(&x, precision), n_in);
        let packed = PackedMatrix::pack(&weight, n_out, n_in, precision);
        for backend in backends() {
            let mut out = vec![f32::NAN; rows * n_out];
            Product::new(&packed).backend(backend).run(x.as_slice(), &mut out);
            assert_close(&out, &expected, &format!("{backend} {precision:?}"));
            let mut parallel = vec![f32::NAN; rows * n_out];
            Product::new(&packed).backend(backend).threads(Threads::All).run(x.as_slice(), &mut parallel);
            prop_assert_eq!(&out, &parallel);
        }
    }

    #[test]
    fn bias_accumulation_and_narrow_results(
        rows in 1_usize..40, n_in in 1_usize..70, n_out in 1_usize..50, seed in any::<u64>(), bf16_weight: bool,
    ) {
        let precision = if bf16_weight { Precision::Bf16 } else { Precision::F32 };
        let (weight, x) = (values(n_out * n_in, seed), values(rows * n_in, !seed));
        let (bias, residual) = (values(n_out, seed ^ 5), values(rows * n_out, seed ^ 6));
        let packed = PackedMatrix::pack(&weight, n_out, n_in, precision);
        for backend in backends() {
            let product = Product::new(&packed).backend(backend);
            let mut plain = vec![0.0; rows * n_out];
            product.run(x.as_slice(), &mut plain);
            let mut added = residual.clone();
            product.bias(Some(&bias)).accumulate().run(x.as_slice(), &mut added);
            let mut narrow = vec![bf16::ZERO; rows * n_out];
            product.bias(Some(&bias)).run_bf16(x.as_slice(), &mut narrow);
            for (i, plain) in plain.iter().enumerate() {
                let biased = plain + bias[i % n_out];
                prop_assert_eq!(added[i], residual[i] + biased);
                prop_assert_eq!(narrow[i], bf16::from_f32(biased));
            }
        }
    }

    #[test]
    fn stacked_parts_and_gates(
        rows in 1_usize..70, n_in in 1_usize..70, d_mlp in 1_usize..60, seed in any::<u64>(), bf16_weight: bool,
    ) {
        let precision = if bf16_weight { Precision::Bf16 } else { Precision::F32 };
        let (gate, up) = (values(d_mlp * n_in, seed), values(d_mlp * n_in, seed ^ 1));
        let (x, bias) = (values(rows * n_in, !seed), values(2 * d_mlp, seed ^ 2));
        let stacked = PackedMatrix::pack_stacked(&[&gate, &up], n_in, precision);
        let whole = PackedMatrix::pack(&[gate, up].concat(), 2 * d_mlp, n_in, precision);
        for backend in backends() {
            let (mut a, mut b) = (vec![0.0; rows * 2 * d_mlp], vec![0.0; rows * 2 * d_mlp]);
            Product::new(&stacked).backend(backend).bias(Some(&bias)).run(x.as_slice(), &mut a);
            Product::new(&whole).backend(backend).bias(Some(&bias)).run(x.as_slice(), &mut b);
            prop_assert_eq!(&a, &b);
            let (mut expected, mut expected_narrow) = (vec![0.0; rows * d_mlp], vec![bf16::ZERO; rows * d_mlp]);
            let (mut fused, mut fused_narrow) = (expected.clone(), expected_narrow.clone());
            let outputs = Outputs::both(&mut expected, &mut expected_narrow);
            Activation::Silu.gated(&a, d_mlp, outputs);
            let product = Product::new(&stacked).backend(backend).bias(Some(&bias));
            product.run_gated(Activation::Silu, x.as_slice(), Outputs::both(&mut fused, &mut fused_narrow));
            prop_assert_eq!(&fused, &expected);
            prop_assert_eq!(&fused_narrow, &expected_narrow);
            Activation::GeluErf.apply(&a.clone(), Outputs::f32(&mut a));
            product.run_activated(Activation::GeluErf, x.as_slice(), Outputs::f32(&mut b));
            prop_assert_eq!(&a, &b);
        }
    }

    /// A row's result has the same bits alone, among others, and on many threads.
    #[test]
    fn results_do_not_depend_on_the_batch(
        rows in 1_usize..100, picked in any::<prop::sample::Index>(), n_in in 1_usize..200, seed in any::<u64>(),
    ) {
        let n_out = 50;
        let (weight, x) = (values(n_out * n_in, seed), values(rows * n_in, !seed));
        let row = picked.index(rows);
        for precision in [Precision::F32, Precision::Bf16] {
            let packed = PackedMatrix::pack(&weight, n_out, n_in, precision);
            for backend in backends() {
                let product = Product::new(&packed).backend(backend);
                let (mut batch, mut alone) = (vec![0.0; rows * n_out], vec![0.0; n_out]);
                product.threads(Threads::All).run(x.as_slice(), &mut batch);
                product.run(&x[row * n_in..][..n_in], &mut alone);
                prop_assert_eq!(&batch[row * n_out..][..n_out], alone.as_slice());
            }
        }
    }

    #[test]
    fn operands_of_either_type_agree(rows in 0_usize..50, n_in in 1_usize..100, seed in any::<u64>()) {
        let weight = values(20 * n_in, seed);
        let narrow: Vec<bf16> = values(rows * n_in, !seed).into_iter().map(bf16::from_f32).collect();
        let wide: Vec<f32> = narrow.iter().map(|v| v.to_f32()).collect();
        for precision in [Precision::F32, Precision::Bf16] {
            let packed = PackedMatrix::pack(&weight, 20, n_in, precision);
            for backend in backends() {
                let (mut a, mut b) = (vec![0.0; rows * 20], vec![0.0; rows * 20]);
                Product::new(&packed).backend(backend).run(narrow.as_slice(), &mut a);
                Product::new(&packed).backend(backend).run(wide.as_slice(), &mut b);
                prop_assert_eq!(a, b);
            }
        }
    }
}

/// One NaN or infinity in x reaches its whole row and nothing else.
#[test]
fn specials_stay_in_their_row() {
    let (rows, n_in, n_out) = (37, 45, 35);
    let weight: Vec<f32> = values(n_out * n_in, 3).into_iter().map(|v| v.abs() + 0.5).collect();
    for (precision, backend) in
        [Precision::F32, Precision::Bf16].into_iter().flat_map(|p| backends().map(move |b| (p, b)))
    {
        let mut x = values(rows * n_in, 4);
        x[5 * n_in + 44] = f32::NAN;
        x[36 * n_in] = f32::INFINITY;
        let mut out = vec![0.0; rows * n_out];
        let packed = PackedMatrix::pack(&weight, n_out, n_in, precision);
        Product::new(&packed).backend(backend).run(x.as_slice(), &mut out);
        for (row, out) in out.chunks_exact(n_out).enumerate() {
            assert!(
                out.iter().all(|v| match row {
                    5 => v.is_nan(),
                    36 => *v == f32::INFINITY,
                    _ => v.is_finite(),
                }),
                "{backend} {precision:?} row {row}"
            );
        }
    }
}

#[test]
fn large_shapes_and_long_chunks() {
    let (rows, n_in, n_out) = (700, 1000, 70);
    let (weight, x) = (values(n_out * n_in, 1), values(rows * n_in, 2));
    for precision in [Precision::F32, Precision::Bf16] {
        let expected = naive(&rounded(&weight, precision), &rounded(&x, precision), n_in);
        let packed = PackedMatrix::pack(&weight, n_out, n_in, precision);
        for backend in backends() {
            let mut out = vec![0.0; rows * n_out];
            Product::new(&packed).backend(backend).threads(Threads::All).run(x.as_slice(), &mut out);
            assert_close(&out, &expected, &format!("{backend} {precision:?}"));
        }
    }
}

/// Some rows of a stacked weight, in any order and more than a block of them, give the bits that they give among all.
#[test]
fn some_rows_are_the_same_as_among_all() {
    let (n_in, rows) = (200, 3);
    let value = |index: usize| ((index * 7919 % 1009) as f32 - 504.0) / 100.0;
    let weight: Vec<f32> = (0..75 * n_in).map(value).collect();
    let x: Vec<f32> = (0..rows * n_in).map(|index| value(index + 31)).collect();
    let wanted = [74, 0, 19, 20, 20, 37, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17];
    for format in [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Int8] {
        let whole = PackedMatrix::pack_stacked(&[&weight[..20 * n_in], &weight[20 * n_in..]], n_in, format);
        let (mut all, mut some) = (vec![0.0; rows * 75], vec![0.0; rows * wanted.len()]);
        Product::new(&whole).run(x.as_slice(), &mut all);
        Product::new(&whole.of_rows(&wanted)).run(x.as_slice(), &mut some);
        for (row, some) in some.chunks_exact(wanted.len()).enumerate() {
            let expected = wanted.map(|column| all[row * 75 + column]);
            assert_eq!(some, expected, "{format:?}");
        }
    }
}
