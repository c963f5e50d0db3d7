//! The excerpts that are scored: up to five top and five random ones of a split, as published.

use glossator_atlas::{Atlas, Excerpt, ExcerptKind, Split};
use glossator_model::UnitId;

use crate::score::{ScoredExcerpt, Stratum};
use crate::{ExplainError, Predictor};

/// Excerpts of each kind in a split (Bills et al. 2023).
pub const EXCERPTS: usize = 5;

/// The excerpts of one split of a unit, five of a kind at most.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Top excerpts, then random ones.
    pub excerpts: Vec<(Stratum, Excerpt)>,
    /// Positions that count in no score.
    pub ignored: usize,
}

impl Sample {
    /// The sample of one split of a unit.
    pub fn of(atlas: &Atlas, unit: UnitId, split: Split) -> Result<Self, ExplainError> {
        Ok(Self::among(atlas, atlas.excerpts_in(unit, &[split])?))
    }

    /// Up to five top and five random ones of a split's excerpts.
    pub(crate) fn among(atlas: &Atlas, split: Vec<Excerpt>) -> Self {
        let mut excerpts: Vec<(Stratum, Excerpt)> = Vec::new();
        for excerpt in split {
            let stratum = match excerpt.kind {
                ExcerptKind::Top => Stratum::Top,
                ExcerptKind::Random => Stratum::Random,
                ExcerptKind::Quantile { .. } => continue,
            };
            // A window on both lists counts as a top one, once.
            let known = excerpts.iter().any(|(_, other)| other.window == excerpt.window);
            if !known && excerpts.iter().filter(|(other, _)| *other == stratum).count() < EXCERPTS {
                excerpts.push((stratum, excerpt));
            }
        }
        Self { excerpts, ignored: atlas.manifest().run.ignored_positions as usize }
    }

    pub(crate) fn predict(&self, predictor: &dyn Predictor) -> Vec<Vec<f32>> {
        self.excerpts.iter().map(|(_, excerpt)| predictor.predict(&excerpt.tokens)).collect()
    }

    /// The excerpts beside what was predicted for each.
    pub fn pair<'b>(&'b self, predictions: &'b [Vec<f32>]) -> Vec<ScoredExcerpt<'b>> {
        let pairs = self.excerpts.iter().zip(predictions);
        let counted = pairs.map(|((stratum, excerpt), prediction)| ScoredExcerpt {
            truth: &excerpt.activations[self.ignored..],
            prediction: &prediction[self.ignored..],
            stratum: *stratum,
        });
        counted.collect()
    }

    /// Counted tokens of the excerpts of some kinds.
    pub fn tokens(&self, wanted: &[Stratum]) -> u64 {
        let chosen = self.excerpts.iter().filter(|(stratum, _)| wanted.contains(stratum));
        chosen.map(|(_, excerpt)| (excerpt.tokens.len() - self.ignored) as u64).sum()
    }

    /// Those excerpts for which there is a prediction, and the predictions.
    pub fn answered<T>(self, predictions: Vec<Option<T>>) -> (Self, Vec<T>) {
        let pairs = self.excerpts.into_iter().zip(predictions);
        let (excerpts, predictions) = pairs.filter_map(|(one, prediction)| Some((one, prediction?))).unzip();
        (Self { excerpts, ignored: self.ignored }, predictions)
    }

    /// Number of excerpts of a kind.
    pub fn count(&self, wanted: Stratum) -> usize {
        self.excerpts.iter().filter(|(stratum, _)| *stratum == wanted).count()
    }
}
