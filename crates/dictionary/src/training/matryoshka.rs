//! Matryoshka BatchTopK (Bussmann et al. 2025): every prefix of the latents reconstructs by itself.
//!
//! With prefixes m and their errors e_m, a latent of the g-th group takes part in the reconstructions of all prefixes
//! from g on, so that its gradients are those of one latent with the error ē_g = Σ_{m ≥ g} e_m:
//!
//! ```text
//! ∂L/∂f_i = 2 s d_i · ē_g        ∂L/∂d_i = 2 s Σ f_i ē_g        ∂L/∂b_d = 2 s Σ ē_1
//! ```

use glossator_kernels::sparse_coding::{dots, weighted_sum};
use rayon::prelude::*;

use super::encode::{Code, Coding, ROWS_AT_ONCE};

/// Where the groups of latents end, the last at the number of latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    ends: [usize; Self::MOST],
    count: usize,
}

impl Prefixes {
    /// The most groups there can be.
    pub const MOST: usize = 16;

    /// The prefixes of groups of these sizes; none if there are no groups, too many, or an empty one.
    pub fn new(groups: &[usize]) -> Option<Self> {
        if groups.is_empty() || groups.len() > Self::MOST || groups.contains(&0) {
            return None;
        }
        let mut prefixes = Self { ends: [0; Self::MOST], count: groups.len() };
        let mut end = 0_usize;
        for (place, group) in prefixes.ends.iter_mut().zip(groups) {
            end = end.checked_add(*group)?;
            *place = end;
        }
        Some(prefixes)
    }

    /// Groups of these shares of `latents`, rounded; the last takes what is left. None if one would be empty, or if the
    /// shares are not 1 together.
    pub fn of_shares(latents: usize, shares: &[f64]) -> Option<Self> {
        const TOLERANCE: f64 = 1e-3;
        let near_one = (shares.iter().sum::<f64>() - 1.0).abs() < TOLERANCE;
        if !near_one || shares.iter().any(|share| *share < 0.0) {
            return None;
        }
        let (_, first) = shares.split_last()?;
        let mut groups: Vec<usize> =
            first.iter().map(|share| (share * latents as f64).round() as usize).collect();
        groups.push(latents.checked_sub(groups.iter().sum())?);
        Self::new(&groups)
    }

    /// The sizes of the prefixes, rising.
    pub fn ends(&self) -> &[usize] {
        &self.ends[..self.count]
    }
}

/// From the active latents in `code.rows`: the errors of the whole dictionary in `code`, and a code for each group, with
/// the errors ē. Returns Σ‖e_m‖² over all prefixes but the last.
pub(super) fn reconstruct(
    coding: Coding<'_>,
    prefixes: &Prefixes,
    code: &mut Code,
    groups: &mut Vec<Code>,
    start: impl Fn(usize, &mut [f32]) + Sync,
) -> f64 {
    let d_output = coding.parameters.d_output;
    let ends = prefixes.ends();
    groups.resize_with(ends.len(), Code::default);
    let rows = code.rows.rows();
    let mut shorter = 0.0;
    for (index, end) in ends.iter().enumerate() {
        let (before, group) = groups.split_at_mut(index);
        let group = &mut group[0];
        let first = before.last().map_or(0, |_| ends[index - 1]);
        take_part(code, first as u32..*end as u32, group);
        group.errors.resize(rows * d_output, 0.0);
        group.squared_errors.resize(rows, 0.0);
        let results = group.errors.par_chunks_exact_mut(d_output).zip(&mut group.squared_errors);
        results.enumerate().with_min_len(ROWS_AT_ONCE).for_each(|(row, (error, squared_error))| {
            match before.last() {
                Some(before) => error.copy_from_slice(&before.errors[row * d_output..][..d_output]),
                None => start(row, error),
            }
            let entries = group.rows.row(row);
            weighted_sum(&coding.parameters.decoder.weights, entries.indices, entries.values, error);
            dots(error, &[0], error, std::slice::from_mut(squared_error));
        });
        if index + 1 < ends.len() {
            shorter += group.squared_error();
        } else {
            code.errors.clone_from(&group.errors);
            code.squared_errors.clone_from(&group.squared_errors);
        }
    }
    for index in (0..ends.len()).rev() {
        let (group, after) = groups[index..].split_at_mut(1);
        sum_errors_from_here(coding, &mut group[0], after.first());
    }
    shorter
}

/// The entries of some latents.
fn take_part(code: &Code, latents: std::ops::Range<u32>, group: &mut Code) {
    let rows = &code.rows;
    group.rows.reset_to((0..rows.rows()).map(|row| rows.room(row)));
    group.rows.par_rows_mut().enumerate().for_each(|(row, out)| {
        let all = rows.row(row);
        let entries = all.indices.iter().zip(all.values).filter(|(latent, _)| latents.contains(latent));
        for (place, (latent, value)) in entries.enumerate() {
            (out.indices[place], out.values[place]) = (*latent, *value);
            *out.count = place as u32 + 1;
        }
    });
}

/// Turns a group's errors e into ē, and computes dᵢ · ē.
fn sum_errors_from_here(coding: Coding<'_>, group: &mut Code, after: Option<&Code>) {
    let d_output = coding.parameters.d_output;
    let Code { rows, along, errors, .. } = group;
    along.resize(rows.places(), 0.0);
    let results = rows.split_mut(along).into_par_iter().zip(errors.par_chunks_exact_mut(d_output));
    results.enumerate().with_min_len(ROWS_AT_ONCE).for_each(|(row, (along, error))| {
        if let Some(after) = after {
            let rest = &after.errors[row * d_output..][..d_output];
            error.iter_mut().zip(rest).for_each(|(error, rest)| *error += rest);
        }
        let entries = rows.row(row);
        dots(&coding.parameters.decoder.weights, entries.indices, error, &mut along[..entries.indices.len()]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_the_last_latent() {
        let shares = [1.0 / 32.0, 1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 17.0 / 32.0];
        assert_eq!(Prefixes::of_shares(4096, &shares).unwrap().ends(), [128, 384, 896, 1920, 4096]);
        assert_eq!(Prefixes::new(&[2, 2, 4]).unwrap().ends(), [2, 4, 8]);
        assert_eq!(Prefixes::of_shares(8, &shares), None, "a group would be empty");
        assert_eq!(Prefixes::of_shares(8, &[0.75, 0.75]), None, "more than all");
        assert_eq!(Prefixes::new(&[]), None);
        assert_eq!(Prefixes::new(&[1; 17]), None);
    }
}
