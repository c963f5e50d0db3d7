//! Int8 products against their definition, written without groups of rows, lanes or instructions.

use proptest::prelude::*;

use super::*;

const GROUP: usize = 128;

/// A group as scale and integers.
fn quantised(values: &[f32]) -> (f32, Vec<i32>) {
    let largest = values.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    if largest <= 1e-30 {
        return (0.0, vec![0; values.len()]);
    }
    let integer = |value: &f32| (value * (127.0 / largest)).round_ties_even() as i32;
    (largest / 127.0, values.iter().map(integer).collect())
}

/// H of a group, padded with zeros: butterflies of values that are 64, 32, … 1 apart.
fn rotated(values: &[f32]) -> Vec<f32> {
    let mut values = [values, &vec![0.0; GROUP - values.len()]].concat();
    for power in (0..7).rev() {
        let distance = 1 << power;
        for first in (0..GROUP).filter(|index| index & distance == 0) {
            let (a, b) = (values[first], values[first + distance]);
            (values[first], values[first + distance]) = (a + b, a - b);
        }
    }
    values
}

/// Σ over groups, in order, of the integer sum · (scale of x · scale of w / 128).
fn definition(weight: &[f32], x: &[f32], n_in: usize) -> Vec<f32> {
    let element = |x: &[f32], w: &[f32]| {
        x.chunks(GROUP).zip(w.chunks(GROUP)).fold(0.0_f32, |sum, (x, w)| {
            let ((x_scale, x), (w_scale, w)) = (quantised(&rotated(x)), quantised(&rotated(w)));
            let products: i32 = x.iter().zip(&w).map(|(x, w)| x * w).sum();
            sum + products as f32 * (x_scale * (w_scale / 128.0))
        })
    };
    x.chunks_exact(n_in).flat_map(|x| weight.chunks_exact(n_in).map(move |w| element(x, w))).collect()
}

fn values(count: usize) -> impl Strategy<Value = Vec<f32>> {
    // Magnitudes over several powers of two, so that groups differ in scale; zeros too.
    let value = (-1.0_f32..1.0, -6_i32..4).prop_map(|(value, power)| value * 2.0_f32.powi(power));
    prop::collection::vec(prop_oneof![9 => value, 1 => Just(0.0)], count)
}

fn backends() -> impl Iterator<Item = Backend> {
    Backend::ALL.into_iter().filter(|backend| backend.is_available())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The same bits as the definition, on every backend, with any number of threads.
    #[test]
    fn int8_products_are_what_they_are_defined_as(
        (n_in, weight, x) in (1_usize..420, 1_usize..70, 0_usize..75)
            .prop_flat_map(|(n_in, n_out, rows)| (Just(n_in), values(n_in * n_out), values(n_in * rows))),
    ) {
        let n_out = weight.len() / n_in;
        let packed = PackedMatrix::pack(&weight, n_out, n_in, WeightFormat::Int8);
        let expected = definition(&weight, &x, n_in);
        for backend in backends() {
            for threads in [Threads::One, Threads::All] {
                let mut out = vec![f32::NAN; expected.len()];
                Product::new(&packed).backend(backend).threads(threads).run(x.as_slice(), &mut out);
                prop_assert_eq!(&out, &expected, "{} {:?}", backend, threads);
            }
        }
    }

    /// Rounding costs at most half a step of x and of the weight in each rotated term.
    #[test]
    fn int8_products_are_near_the_exact_ones(
        (n_in, weight, x) in (1_usize..300)
            .prop_flat_map(|n_in| (Just(n_in), values(n_in * 3), values(n_in * 2))),
    ) {
        let packed = PackedMatrix::pack(&weight, 3, n_in, WeightFormat::Int8);
        let mut out = vec![0.0; 6];
        Product::new(&packed).run(x.as_slice(), &mut out);
        for (index, out) in out.iter().enumerate() {
            let (x, w) = (&x[index / 3 * n_in..][..n_in], &weight[index % 3 * n_in..][..n_in]);
            let (mut exact, mut bound) = (0.0_f64, 1e-12_f64);
            for (x, w) in x.chunks(GROUP).zip(w.chunks(GROUP)) {
                let half = |values: &[f32]| f64::from(quantised(values).0) * 0.5001;
                let magnitude = |values: &[f32]| values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
                exact += x.iter().zip(w).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                // H itself is off by 7 roundings of values up to the sum of all.
                bound += 1e-6 * magnitude(x) * magnitude(w);
                let (x, w) = (rotated(x), rotated(w));
                bound += (magnitude(&x) * half(&w) + magnitude(&w) * half(&x)) / 128.0 + half(&x) * half(&w);
            }
            prop_assert!((f64::from(*out) - exact).abs() <= bound, "{} instead of {}, bound {}", out, exact, bound);
        }
    }
}

/// A value that is not finite makes its row NaN and nothing else; bias, gate and accumulation come after the product.
#[test]
fn int8_specials_stay_in_their_row_and_epilogues_follow() {
    let (rows, n_in, n_out) = (11, 200, 40);
    let weight: Vec<f32> = (0..n_out * n_in).map(|i| (i % 17) as f32 - 8.0).collect();
    let mut x: Vec<f32> = (0..rows * n_in).map(|i| (i % 23) as f32 - 11.0).collect();
    x[3 * n_in + 5] = f32::INFINITY;
    x[7 * n_in + 199] = f32::NAN;
    let bias: Vec<f32> = (0..n_out).map(|i| i as f32).collect();
    let packed =
        PackedMatrix::pack_stacked(&[&weight[..20 * n_in], &weight[20 * n_in..]], n_in, WeightFormat::Int8);
    for backend in backends() {
        let product = Product::new(&packed).backend(backend);
        let (mut plain, mut added) = (vec![0.0; rows * n_out], vec![2.0; rows * n_out]);
        product.run(x.as_slice(), &mut plain);
        product.bias(Some(&bias)).accumulate().run(x.as_slice(), &mut added);
        for (row, (plain, added)) in plain.chunks_exact(n_out).zip(added.chunks_exact(n_out)).enumerate() {
            let special = row == 3 || row == 7;
            assert!(plain.iter().all(|value| value.is_nan() == special), "{backend} row {row}");
            let expected = plain.iter().zip(&bias).map(|(plain, bias)| 2.0 + (plain + bias));
            assert!(special || added.iter().copied().eq(expected), "{backend} row {row}");
        }
        let (mut gated, mut expected) = (vec![0.0; rows * 20], vec![0.0; rows * 20]);
        product.run_gated(Activation::Silu, x.as_slice(), Outputs::f32(&mut gated));
        Activation::Silu.gated(&plain, 20, Outputs::f32(&mut expected));
        assert!(
            gated.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        );
    }
}

/// A coordinate a thousand times larger than the others of its group does not cost them their precision.
#[test]
fn int8_outliers_leave_the_other_coordinates_their_precision() {
    let (n_in, n_out) = (128, 256);
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut x: Vec<f32> = (0..n_in).map(|_| next()).collect();
    x[17] = 1000.0;
    let weight: Vec<f32> = (0..n_out * n_in).map(|_| next()).collect();
    let mut out = vec![0.0; n_out];
    Product::new(&PackedMatrix::pack(&weight, n_out, n_in, WeightFormat::Int8)).run(x.as_slice(), &mut out);
    let square = |(out, w): (&f32, &[f32])| {
        let exact: f64 = x.iter().zip(w).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        (f64::from(*out) - exact).powi(2)
    };
    let error = (out.iter().zip(weight.chunks_exact(n_in)).map(square).sum::<f64>() / n_out as f64).sqrt();
    // Of the weights' steps 3.6 and of the others' steps 1.3; without rotation the latter would be 15.
    assert!(error < 6.0, "{error}");
}
