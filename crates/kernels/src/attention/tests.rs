//! The fused kernel against explicit scores and pattern, and both against the definition.

use half::bf16;
use proptest::prelude::*;

use super::*;

fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// A case: shapes, form and the projection `[rows, q | k | v]` of a whole sequence.
#[derive(Debug)]
struct Case {
    form: Attention,
    heads: usize,
    kv_heads: usize,
    d_head: usize,
    rows: usize,
    qkv: Vec<f32>,
}

impl Case {
    fn views(&self) -> [HeadView<'_>; 3] {
        let (q, kv) = (self.heads * self.d_head, self.kv_heads * self.d_head);
        let stride = q + 2 * kv;
        [(0, self.heads), (q, self.kv_heads), (q + kv, self.kv_heads)]
            .map(|(start, heads)| HeadView::new(&self.qkv[start..], stride, heads, self.d_head))
    }

    /// z of queries `first..`, computed with the whole cache.
    fn fused(&self, first: usize) -> Vec<f32> {
        let [q, k, v] = self.views();
        let q = HeadView::new(&q.values[first * q.stride..], q.stride, q.heads, q.d_head);
        let mut z = vec![f32::NAN; (self.rows - first) * self.heads * self.d_head];
        self.form.attend(q, k, v, self.rows - first, first, Outputs::f32(&mut z));
        z
    }

    fn explicit(&self) -> Vec<f32> {
        let [q, k, v] = self.views();
        let mut pattern = vec![f32::NAN; self.heads * self.rows * self.rows];
        self.form.scores(q, k, self.rows, 0, &mut pattern);
        Attention::pattern(&mut pattern, self.rows);
        let mut z = vec![f32::NAN; self.rows * self.heads * self.d_head];
        Attention::mix(&pattern, v, self.heads, self.rows, 0, Outputs::f32(&mut z));
        z
    }

    /// The definition in f64.
    fn naive(&self) -> Vec<f64> {
        let [q, k, v] = self.views();
        let mut z = vec![0.0; self.rows * self.heads * self.d_head];
        for (index, z) in z.chunks_exact_mut(self.d_head).enumerate() {
            let (row, head) = (index / self.heads, index % self.heads);
            let kv_head = head / (self.heads / self.kv_heads);
            let mut total = 0.0;
            for key in 0..=row {
                if self.form.window.is_some_and(|window| row - key >= window) {
                    continue;
                }
                let products = q.head(row, head).iter().zip(k.head(key, kv_head));
                let dot: f64 = products.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                let score = f64::from(self.form.scale) * dot;
                let score =
                    self.form.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh());
                total += score.exp();
                for (z, v) in z.iter_mut().zip(v.head(key, kv_head)) {
                    *z += score.exp() * f64::from(*v);
                }
            }
            for z in z {
                *z /= total;
            }
        }
        z
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1_usize..4, 1_usize..3, 1_usize..70, 1_usize..300);
    let form = (prop::option::of(1_usize..200), prop::option::of(1.0_f32..20.0), any::<bool>(), any::<u32>());
    (shape, form).prop_map(|((group, kv_heads, d_head, rows), (window, softcap, all, seed))| {
        let threads = if all { Threads::All } else { Threads::One };
        let form = Attention { scale: 0.7, softcap, window, precision: Precision::F32, threads };
        let heads = group * kv_heads;
        let qkv = values(rows * (heads + 2 * kv_heads) * d_head, seed);
        Case { form, heads, kv_heads, d_head, rows, qkv }
    })
}

fn largest_difference(a: &[f32], b: &[f64]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - b).abs())
        .fold(0.0, |m, d| if d > m || d.is_nan() { d } else { m })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn fused_and_explicit_agree_with_the_definition(mut case in cases()) {
        let naive = case.naive();
        prop_assert!(largest_difference(&case.explicit(), &naive) < 3e-6);
        prop_assert!(largest_difference(&case.fused(0), &naive) < 3e-6);
        case.form.precision = Precision::Bf16;
        prop_assert!(largest_difference(&case.fused(0), &naive) < 3e-2);
    }

    /// The last queries alone over the cache have the same bits as in the whole sequence.
    #[test]
    fn queries_do_not_depend_on_their_company(mut case in cases(), split in any::<prop::sample::Index>(), narrow: bool) {
        case.form.precision = if narrow { Precision::Bf16 } else { Precision::F32 };
        let first = split.index(case.rows);
        let whole = case.fused(0);
        let last = case.fused(first);
        prop_assert_eq!(&whole[first * case.heads * case.d_head..], last.as_slice());
    }
}

#[test]
fn a_nan_reaches_later_queries_only() {
    for precision in [Precision::F32, Precision::Bf16] {
        let form = Attention { scale: 0.125, softcap: None, window: None, precision, threads: Threads::One };
        let mut case = Case { form, heads: 1, kv_heads: 1, d_head: 64, rows: 70, qkv: values(70 * 192, 9) };
        case.qkv[40 * 192 + 64] = f32::NAN;
        let z = case.fused(0);
        assert!(z[..40 * 64].iter().all(|v| v.is_finite()));
        assert!(z[40 * 64..].iter().all(|v| v.is_nan()));
    }
}

#[test]
fn no_queries_give_no_output() {
    let form = Attention {
        scale: 1.0,
        softcap: None,
        window: None,
        precision: Precision::F32,
        threads: Threads::One,
    };
    let view = HeadView::new(&[], 4, 1, 4);
    form.attend(view, view, view, 0, 0, Outputs::both(&mut [], &mut [] as &mut [bf16]));
}
