//! How a judge stands: how often, and by how much, true explanations outscore false ones.

use std::collections::BTreeMap;

use serde::Serialize;

use super::trial::TrialOutcome;

/// A judge's record over puzzles. A pair is a true explanation and a false one of the same puzzle.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Standing {
    /// Puzzles that were put.
    pub puzzles: usize,
    /// Pairs of which both have a score.
    pub pairs: usize,
    /// Of them, those in which the true explanation scores higher.
    pub right: usize,
    /// Of them, those in which both score the same.
    pub ties: usize,
    /// Pairs of which one has no score.
    pub undefined: usize,
    /// Puzzles whose true explanation scores higher than every false one, all being defined.
    pub solved: usize,
    /// Mean score of true explanations, where defined.
    pub mean_true: Option<f64>,
    /// Mean score of false explanations, where defined.
    pub mean_false: Option<f64>,
    /// Mean of the differences over the pairs.
    pub margin: Option<f64>,
    /// Requests that were made.
    pub requests: usize,
    /// Texts without a judgement.
    pub failures: usize,
}

/// The records of judges, by name.
pub type Standings = BTreeMap<String, Standing>;

impl Standing {
    /// The record over the outcomes of trials with true and false explanations.
    pub fn of(outcomes: &[TrialOutcome]) -> Self {
        let mut standing = Self { puzzles: outcomes.len(), ..Self::default() };
        let (mut truths, mut lies, mut margins) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in outcomes {
            standing.requests += outcome.requests;
            standing.failures += outcome.failures;
            let truth =
                outcome.scores.iter().find(|(candidate, _)| candidate.is_true).and_then(|(_, score)| *score);
            truths.extend(truth);
            let others =
                || outcome.scores.iter().filter(|(candidate, _)| !candidate.is_true).map(|(_, score)| *score);
            lies.extend(others().flatten());
            for other in others() {
                let Some((truth, other)) = truth.zip(other) else {
                    standing.undefined += 1;
                    continue;
                };
                standing.pairs += 1;
                standing.right += usize::from(truth > other);
                standing.ties += usize::from(truth == other);
                margins.push(truth - other);
            }
            let beats = |other: Option<f64>| truth.zip(other).is_some_and(|(truth, other)| truth > other);
            standing.solved += usize::from(others().next().is_some() && others().all(beats));
        }
        standing.mean_true = mean(&truths);
        standing.mean_false = mean(&lies);
        standing.margin = mean(&margins);
        standing
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::Candidate;
    use super::*;

    fn outcome(truth: Option<f64>, others: &[Option<f64>]) -> TrialOutcome {
        let candidate = |is_true| Candidate { text: String::new(), is_true };
        let others = others.iter().map(|score| (candidate(false), *score));
        let scores = std::iter::once((candidate(true), truth)).chain(others).collect();
        TrialOutcome { scores, requests: 4, failures: 1 }
    }

    #[test]
    fn wins_ties_and_undefined_pairs() {
        let outcomes = [
            outcome(Some(1.0), &[Some(0.5), Some(0.75), Some(0.0)]),
            outcome(Some(0.5), &[Some(0.5), Some(0.75), None]),
            outcome(None, &[Some(0.5), Some(0.5), Some(0.5)]),
        ];
        let standing = Standing::of(&outcomes);
        assert_eq!((standing.puzzles, standing.pairs, standing.right, standing.ties), (3, 5, 3, 1));
        assert_eq!((standing.undefined, standing.solved), (4, 1));
        assert_eq!((standing.requests, standing.failures), (12, 3));
        assert_eq!(standing.mean_true, Some(0.75));
        assert_eq!(standing.margin, Some((0.5 + 0.25 + 1.0 + 0.0 - 0.25) / 5.0));
        assert_eq!(Standing::of(&[]), Standing::default());
    }
}
