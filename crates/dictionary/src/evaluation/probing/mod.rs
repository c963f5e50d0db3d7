//! Whether single latents stand for what people have names for: probes on labelled text.
//!
//! Every window of text has the label of its document, and every latent its mean over the window's positions that count.
//! For each label with windows enough: is a window of this label or of another (as many of either, so that chance is ½)?
//! Documents are split into training and test.
//!
//! | metric | definition |
//! |---|---|
//! | probe loss | cross-entropy in nats on the test windows of the one latent whose logistic probe has the least on the training windows; chance is ln 2 (after Gao et al. 2024, "1d probe loss") |
//! | k-sparse accuracy | share of the test windows that a logistic probe gets right on the k latents whose class means differ most on the training windows (Gurnee et al. 2023; SAEBench) |
//!
//! Gao et al. probe pre-activations at the last position; here latents are probed as they are used, averaged over the
//! window, as in SAEBench. Features are divided by their standard deviation, so that their units do not matter, and
//! probes are regularised as scikit-learn does by default. The coordinates of a hook point are probed without dropping
//! the small ones.

mod logistic;
mod pooled;
mod tasks;

use rayon::prelude::*;
use serde::Serialize;

use self::logistic::{Logistic, Points};
pub(super) use self::pooled::PooledLatents;
pub use self::tasks::LabelledWindow;
use self::tasks::{Task, tasks};
use super::defined::ratio;

/// Numbers of latents of k-sparse probes.
pub const PROBE_SIZES: [usize; 3] = [1, 2, 5];

/// The probes of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbeMetrics {
    /// Mean probe loss over the tasks; none without tasks.
    pub loss: Option<f64>,
    /// Mean accuracy over the tasks for each of [`PROBE_SIZES`].
    pub accuracy: [Option<f64>; PROBE_SIZES.len()],
    /// Each task by itself.
    pub tasks: Vec<TaskProbe>,
}

/// The probes of one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskProbe {
    /// The label.
    pub label: String,
    /// Windows the probes are fitted on, half of them with the label.
    pub training_windows: usize,
    /// Windows the probes are judged on, half of them with the label.
    pub test_windows: usize,
    /// Cross-entropy on the test windows of the best single latent, nats.
    pub loss: f64,
    /// That latent.
    pub best_latent: usize,
    /// Share of the test windows that k-sparse probes get right, for each of [`PROBE_SIZES`].
    pub accuracy: [f64; PROBE_SIZES.len()],
}

impl ProbeMetrics {
    /// Probes of latents on windows with these labels, in the same order.
    ///
    /// # Panics
    /// If there are more or fewer windows than labels.
    pub(super) fn new(latents: &PooledLatents, windows: &[LabelledWindow]) -> Self {
        assert_eq!(latents.windows(), windows.len(), "probes: a label for each window");
        let tasks: Vec<TaskProbe> =
            tasks(windows).iter().filter_map(|task| TaskProbe::new(latents, task)).collect();
        let mean = |value: &dyn Fn(&TaskProbe) -> f64| {
            ratio(tasks.iter().map(value).sum::<f64>(), tasks.len() as f64)
        };
        Self {
            loss: mean(&|task| task.loss),
            accuracy: std::array::from_fn(|size| mean(&|task| task.accuracy[size])),
            tasks,
        }
    }
}

/// One latent on the training windows of a task.
struct Probe {
    latent: usize,
    /// Of the logistic probe on the training windows.
    loss: f64,
    /// |mean over the class − mean over the others|.
    difference: f64,
}

impl TaskProbe {
    /// None if no latent varies over the training windows.
    fn new(latents: &PooledLatents, task: &Task) -> Option<Self> {
        let all = 0..latents.latents();
        let mut probes: Vec<Probe> =
            all.into_par_iter().filter_map(|latent| Probe::new(latents, latent, task)).collect();
        let best = probes.iter().min_by(|a, b| a.loss.total_cmp(&b.loss))?.latent;
        probes.sort_by(|a, b| b.difference.total_cmp(&a.difference));
        let accuracy = PROBE_SIZES.map(|size| {
            let chosen: Vec<usize> = probes.iter().take(size).map(|probe| probe.latent).collect();
            fit_and_test(latents, &chosen, task).1
        });
        Some(Self {
            label: task.label.clone(),
            training_windows: task.training.len(),
            test_windows: task.test.len(),
            loss: fit_and_test(latents, &[best], task).0,
            best_latent: best,
            accuracy,
        })
    }
}

impl Probe {
    fn new(latents: &PooledLatents, latent: usize, task: &Task) -> Option<Self> {
        let entries = latents.latent(latent);
        if entries.is_empty() {
            return None;
        }
        let values = values(entries, &task.training);
        let of_class = |class: bool| {
            let side = values.iter().zip(&task.training).filter(move |(_, (_, own))| *own == class);
            side.map(|(value, _)| value).sum::<f64>() / (task.training.len() / 2) as f64
        };
        let difference = (of_class(true) - of_class(false)).abs();
        let scale = deviation(&values)?;
        let points = points(&[values], &[scale], &task.training);
        let loss = Logistic::fit(&points, 1).loss(&points);
        Some(Self { latent, loss, difference })
    }
}

/// The mean cross-entropy on the test windows, and the share of them that is right, of a probe on some latents.
fn fit_and_test(latents: &PooledLatents, chosen: &[usize], task: &Task) -> (f64, f64) {
    let columns = |windows: &[(u32, bool)]| -> Vec<Vec<f64>> {
        chosen.iter().map(|latent| values(latents.latent(*latent), windows)).collect()
    };
    let training = columns(&task.training);
    let scales: Vec<f64> = training.iter().map(|values| deviation(values).unwrap_or(1.0)).collect();
    let fit = Logistic::fit(&points(&training, &scales, &task.training), chosen.len());
    let test = points(&columns(&task.test), &scales, &task.test);
    let right: f64 = test
        .iter()
        .map(|points| if fit.score(&points.features) > 0.0 { points.positive } else { points.negative })
        .sum();
    let count = task.test.len() as f64;
    (fit.loss(&test) / count, right / count)
}

/// F1 on some windows of a logistic probe that is fitted on them, on the given latents; none if it is undefined.
pub(super) fn sparse_f1(latents: &PooledLatents, chosen: &[usize], windows: &[(u32, bool)]) -> Option<f64> {
    let columns: Vec<Vec<f64>> =
        chosen.iter().map(|latent| values(latents.latent(*latent), windows)).collect();
    let scales: Vec<f64> = columns.iter().map(|values| deviation(values).unwrap_or(1.0)).collect();
    let points = points(&columns, &scales, windows);
    let fit = Logistic::fit(&points, chosen.len());
    let (mut right, mut wrong, mut missed) = (0.0, 0.0, 0.0);
    for points in &points {
        if fit.score(&points.features) > 0.0 {
            right += points.positive;
            wrong += points.negative;
        } else {
            missed += points.positive;
        }
    }
    ratio(2.0 * right, 2.0 * right + wrong + missed)
}

/// A latent's values on some windows, both rising.
fn values(latent: &[(u32, f32)], windows: &[(u32, bool)]) -> Vec<f64> {
    let mut rest = latent.iter().peekable();
    let value = |(window, _): &(u32, bool)| {
        while rest.next_if(|(other, _)| other < window).is_some() {}
        rest.peek().filter(|(other, _)| other == window).map_or(0.0, |(_, value)| f64::from(*value))
    };
    windows.iter().map(value).collect()
}

/// The standard deviation; none if all values are equal.
fn deviation(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (variance > 0.0 && variance.is_finite()).then(|| variance.sqrt())
}

/// Windows as points of columns divided by scales; windows where all are zero are one.
fn points(columns: &[Vec<f64>], scales: &[f64], windows: &[(u32, bool)]) -> Vec<Points> {
    let mut points = vec![Points { features: vec![0.0; columns.len()], positive: 0.0, negative: 0.0 }];
    for (row, (_, class)) in windows.iter().enumerate() {
        let features: Vec<f64> =
            columns.iter().zip(scales).map(|(column, scale)| column[row] / scale).collect();
        let [positive, negative] = if *class { [1.0, 0.0] } else { [0.0, 1.0] };
        if features.iter().all(|feature| *feature == 0.0) {
            points[0].positive += positive;
            points[0].negative += negative;
        } else {
            points.push(Points { features, positive, negative });
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SparseLatents;
    use crate::testing::numbers;

    /// Windows of two labels: latent 2 knows the label, latent 0 half of it, latent 1 nothing, latent 3 is dead.
    fn example() -> (PooledLatents, Vec<LabelledWindow>) {
        let noise = numbers(3, 400);
        let (mut pooled, mut windows) = (PooledLatents::new(4), Vec::new());
        for (i, noise) in noise.iter().enumerate() {
            let class = i.is_multiple_of(3);
            let known = if class { 5.0 + noise } else { 0.0 };
            let half = if class && i.is_multiple_of(2) { 1.0 } else { 0.0 };
            pooled.add(&SparseLatents::from_dense(&[half, noise + 2.0, known, 0.0], 4), 0..1);
            let label = if class { "yes" } else { "no" };
            windows.push(LabelledWindow { document: i as u32, label: label.to_owned() });
        }
        (pooled, windows)
    }

    #[test]
    fn a_latent_that_knows_the_label_is_found() {
        let (pooled, windows) = example();
        let metrics = ProbeMetrics::new(&pooled, &windows);
        assert_eq!(metrics.tasks.len(), 2);
        for task in &metrics.tasks {
            assert_eq!((task.best_latent, task.accuracy), (2, [1.0; 3]), "{}", task.label);
            assert!(task.loss < 0.1, "{}", task.loss);
        }
        assert_eq!(metrics.accuracy, [Some(1.0); 3]);
    }

    #[test]
    fn latents_that_know_nothing_are_at_chance() {
        let (_, windows) = example();
        let mut pooled = PooledLatents::new(1);
        for value in numbers(8, 400) {
            pooled.add(&SparseLatents::from_dense(&[value], 1), 0..1);
        }
        let metrics = ProbeMetrics::new(&pooled, &windows);
        assert!((metrics.loss.unwrap() - 2_f64.ln()).abs() < 0.06, "{:?}", metrics.loss);
        assert!((metrics.accuracy[0].unwrap() - 0.5).abs() < 0.15, "{:?}", metrics.accuracy);
    }

    #[test]
    fn a_known_share_of_hits_gives_its_loss() {
        // Latent 0 fires on half of the class and on nothing else.
        let (_, windows) = example();
        let mut pooled = PooledLatents::new(1);
        for i in 0..400_u32 {
            let value = f32::from(u8::from(i.is_multiple_of(6)));
            pooled.add(&SparseLatents::from_dense(&[value], 1), 0..1);
        }
        let metrics = ProbeMetrics::new(&pooled, &windows);
        let task = &metrics.tasks[1];
        assert_eq!(task.label, "yes");
        // Three quarters right; regularisation keeps the loss above the least, ¾ H(⅓).
        let least = 0.75 * ((1.0_f64 / 3.0).ln() / -3.0 - 2.0 / 3.0 * (2.0_f64 / 3.0).ln());
        assert!((task.accuracy[0] - 0.75).abs() < 0.05, "{}", task.accuracy[0]);
        assert!(task.loss > least - 0.03 && task.loss < least + 0.05, "{} {least}", task.loss);
    }

    #[test]
    fn latents_are_ranked_by_difference_and_judged_by_f1() {
        let (pooled, windows) = example();
        let classes: Vec<(u32, bool)> =
            windows.iter().enumerate().map(|(i, window)| (i as u32, window.label == "yes")).collect();
        assert_eq!(pooled.by_difference(&classes, 2), [2, 0]);
        assert_eq!(sparse_f1(&pooled, &[2], &classes), Some(1.0));
        // Latent 0 finds half of the class, and nothing else: 2 · ½ / (2 · ½ + ½).
        assert!((sparse_f1(&pooled, &[0], &classes).unwrap() - 2.0 / 3.0).abs() < 0.02);
        assert_eq!(sparse_f1(&pooled, &[3], &classes), Some(0.0));
    }

    #[test]
    fn without_tasks_nothing_is_defined() {
        let mut pooled = PooledLatents::new(1);
        pooled.add(&SparseLatents::from_dense(&[1.0], 1), 0..1);
        let window = LabelledWindow { document: 0, label: "x".into() };
        let metrics = ProbeMetrics::new(&pooled, &[window]);
        assert_eq!((metrics.loss, metrics.accuracy, metrics.tasks.len()), (None, [None; 3], 0));
    }
}
