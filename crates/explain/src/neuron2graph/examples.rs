//! Which texts Neuron2Graph learns from.
//!
//! Gao et al. 2024 draw random non-zero activations of a sparse latent. Most neurons are never exactly zero, so here a
//! text is a window of the unit's training excerpts, cut after a position where the unit fires strongly:
//!
//! 1. Windows of the train split, each once: those of the top list, and those of the quantile intervals above the
//!    median. No calibration, valid or test window is among them.
//! 2. First pass, by falling maximum: each window's highest position.
//! 3. Second pass, while there are fewer than the limit, by falling activation: the other positions with at least half
//!    of their window's maximum.
//!
//! Only activations of at least [`WEAKEST`] of the unit's maximum count: below, a unit's value is mostly noise that no
//! pattern explains.

use glossator_atlas::{Excerpt, ExcerptKind, Split};

use super::Example;

/// The smallest share of the unit's maximum that counts as firing.
pub const WEAKEST: f32 = 0.1;

/// Position with at least this share of its window's maximum may serve as further examples.
const STRONG: f32 = 0.5;

/// Up to `limit` examples from the train split of `excerpts`, the excerpts of one unit whose recorded maximum is
/// `maximum`. The first `ignored` positions of every window are not fired on.
pub fn examples(excerpts: &[Excerpt], maximum: f32, ignored: usize, limit: usize) -> Vec<Example> {
    let mut windows: Vec<&Excerpt> = excerpts.iter().filter(|excerpt| is_training(excerpt)).collect();
    windows.sort_by(|a, b| b.max.total_cmp(&a.max).then(a.window.cmp(&b.window)));
    windows.dedup_by_key(|excerpt| excerpt.window);
    let fires = |activation: f32| activation > 0.0 && activation >= WEAKEST * maximum;
    let mut firsts = Vec::new();
    let mut others = Vec::new();
    for excerpt in windows {
        let counted = || excerpt.activations.iter().copied().enumerate().skip(ignored);
        // The first of equal maxima.
        let Some((peak, highest)) = counted().reduce(|best, next| if next.1 > best.1 { next } else { best })
        else {
            continue;
        };
        let keep = |kept: &mut Vec<Example>, position: usize, activation: f32| {
            kept.push(Example { tokens: excerpt.tokens[..=position].to_vec(), activation });
        };
        if fires(highest) {
            keep(&mut firsts, peak, highest);
        }
        for (position, activation) in counted() {
            if position != peak && fires(activation) && activation >= STRONG * highest {
                keep(&mut others, position, activation);
            }
        }
    }
    others.sort_by(|a, b| b.activation.total_cmp(&a.activation));
    firsts.into_iter().chain(others).take(limit).collect()
}

/// Whether explainers may learn from an excerpt.
pub(super) fn is_training(excerpt: &Excerpt) -> bool {
    let wanted = match excerpt.kind {
        ExcerptKind::Top => true,
        ExcerptKind::Quantile { interval } => interval > 0,
        ExcerptKind::Random => false,
    };
    wanted && excerpt.split == Split::Train
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(kind: ExcerptKind, split: Split, window: u32, activations: &[f32]) -> Excerpt {
        Excerpt {
            kind,
            rank: 0,
            split,
            window,
            document: String::new(),
            offset: 0,
            tokens: (0..activations.len() as u32).map(|position| window * 100 + position).collect(),
            activations: activations.to_vec(),
            max: activations.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        }
    }

    #[test]
    fn only_training_windows_strongest_peaks_first() {
        let high = ExcerptKind::Quantile { interval: 4 };
        let excerpts = [
            excerpt(ExcerptKind::Top, Split::Train, 1, &[9.0, 0.0, 3.0, 2.0]),
            excerpt(ExcerptKind::Top, Split::Test, 2, &[0.0, 8.0, 0.0, 0.0]),
            excerpt(high, Split::Train, 3, &[0.0, 0.0, 0.0, 5.0]),
            excerpt(high, Split::Train, 1, &[9.0, 0.0, 3.0, 2.0]),
            excerpt(ExcerptKind::Quantile { interval: 0 }, Split::Train, 4, &[0.0, 4.0, 0.0, 0.0]),
            excerpt(ExcerptKind::Random, Split::Calibration, 5, &[0.0, 4.0, 0.0, 0.0]),
            excerpt(high, Split::Train, 6, &[0.0, 0.4, 0.0, 0.0]),
        ];
        let found = examples(&excerpts, 5.0, 1, 16);
        let summary: Vec<_> = found.iter().map(|e| (e.tokens.clone(), e.activation)).collect();
        let expected =
            [(vec![100, 101, 102], 3.0), (vec![300, 301, 302, 303], 5.0), (vec![100, 101, 102, 103], 2.0)];
        assert_eq!(summary, expected);
        assert_eq!(examples(&excerpts, 5.0, 1, 2).len(), 2);
    }
}
