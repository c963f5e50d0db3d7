//! Softmax and log-softmax of one row: softmax(x)ᵢ = exp(xᵢ − max x) / Σⱼ exp(xⱼ − max x).

/// Replaces `row` by its softmax. An entry of −∞ gets exactly 0; NaN anywhere gives NaN everywhere.
pub fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in row.iter_mut() {
        *value = (*value - max).exp();
        sum += *value;
    }
    for value in row {
        *value /= sum;
    }
}

/// Replaces `row` by its log-softmax, xᵢ − max x − ln Σⱼ exp(xⱼ − max x). The sum is taken in f64: a vocabulary
/// has 10⁵ entries.
pub fn log_softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&value| f64::from((value - max).exp())).sum();
    let log_sum = sum.ln() as f32;
    for value in row {
        *value = *value - max - log_sum;
    }
}
