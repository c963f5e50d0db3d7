//! Senses of a polysemantic unit: its training excerpts are clustered, and each cluster is explained by itself.
//!
//! An excerpt is described by the words around its peak: the peak's token (weight 1) and the token's first four letters (0.5),
//! the three tokens before it and the two after it (0.5 and 0.25, divided by their distance), and all longer words of the
//! window (0.1 each); words are compared in lower case. Similarity is the cosine of these. Clusters are joined by average
//! linkage while the most similar two are at least [`ALIKE`] alike, or more than [`SENSES`] are left. A cluster's share is
//! its part of the summed positive activation of all clustered excerpts; clusters with less than [`SMALL`] are left out.
//!
//! This is blind to meaning: two words for one thing are two senses unless their texts are alike.

use std::collections::BTreeMap;

use glossator_atlas::Excerpt;
use serde_json::json;

use super::{Draft, Evidence, marked};

/// Least similarity of clusters that are joined.
pub const ALIKE: f64 = 0.25;

/// Most senses of a unit.
pub const SENSES: usize = 4;

/// Least share of the activation of a sense that is kept.
pub const SMALL: f64 = 0.1;

/// Excerpts from below the top list are clustered with it if they reach this share of the largest activation.
const STRONG: f32 = 0.5;

/// Excerpts of a sense that are shown.
const SHOWN: usize = 5;

/// Words of an excerpt with their weights.
pub type Features = BTreeMap<String, f64>;

pub(super) fn drafts(evidence: &Evidence<'_>) -> Vec<Draft> {
    let strong = evidence.lower.iter().rev().filter(|excerpt| excerpt.max >= STRONG * evidence.maximum);
    let excerpts: Vec<&Excerpt> = evidence.top.iter().chain(strong).collect();
    let features: Vec<Features> = excerpts.iter().map(|excerpt| of_excerpt(evidence, excerpt)).collect();
    let mass: Vec<f64> = excerpts
        .iter()
        .map(|excerpt| evidence.positions(excerpt).map(|(_, value)| f64::from(value.max(0.0))).sum())
        .collect();
    let total: f64 = mass.iter().sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let share = |cluster: &[usize]| cluster.iter().map(|&one| mass[one]).sum::<f64>() / total;
    let mut senses: Vec<(f64, Vec<usize>)> =
        clusters(&features).into_iter().map(|cluster| (share(&cluster), cluster)).collect();
    senses.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    senses.retain(|(share, _)| *share >= SMALL);
    let draft = |(share, cluster): (f64, Vec<usize>)| {
        let shown: Vec<&Excerpt> = cluster.iter().take(SHOWN).map(|&one| excerpts[one]).collect();
        let marked: Vec<_> = shown.iter().map(|excerpt| marked::shown(evidence, excerpt)).collect();
        let windows = shown.iter().map(|excerpt| excerpt.window).collect();
        Draft { question: json!({"excerpts": marked}), windows, share }
    };
    senses.into_iter().map(draft).collect()
}

/// The description of an excerpt of the evidence.
fn of_excerpt(evidence: &Evidence<'_>, excerpt: &Excerpt) -> Features {
    let (tokens, activations): (Vec<&str>, Vec<f32>) = evidence.positions(excerpt).unzip();
    let peak = (0..activations.len()).max_by(|&a, &b| activations[a].total_cmp(&activations[b]));
    peak.map(|peak| features(&tokens, peak)).unwrap_or_default()
}

/// The description of a text by the words around its `peak`.
pub fn features(tokens: &[&str], peak: usize) -> Features {
    let word = |place: usize| tokens[place].trim().to_lowercase();
    let mut features = Features::new();
    let mut add = |name: String, weight: f64| *features.entry(name).or_default() += weight;
    let start: String = word(peak).chars().take(4).collect();
    add(format!("={}", word(peak)), 1.0);
    add(format!("^{start}"), 0.5);
    for distance in 1..=3_usize.min(peak) {
        add(format!("-{}", word(peak - distance)), 0.5 / distance as f64);
    }
    for distance in 1..=2_usize.min(tokens.len() - 1 - peak) {
        add(format!("+{}", word(peak + distance)), 0.25 / distance as f64);
    }
    let mut longer: Vec<String> =
        (0..tokens.len()).map(word).filter(|word| word.chars().count() > 3).collect();
    longer.sort();
    longer.dedup();
    longer.into_iter().for_each(|word| add(format!("~{word}"), 0.1));
    features
}

/// The cosine of two descriptions.
pub fn similarity(a: &Features, b: &Features) -> f64 {
    let dot: f64 = a.iter().filter_map(|(word, weight)| Some(weight * b.get(word)?)).sum();
    let norm = |one: &Features| one.values().map(|weight| weight * weight).sum::<f64>().sqrt();
    let norms = norm(a) * norm(b);
    if norms > 0.0 { dot / norms } else { 0.0 }
}

/// Clusters as lists of places, each in ascending order.
pub fn clusters(features: &[Features]) -> Vec<Vec<usize>> {
    let alike: Vec<Vec<f64>> =
        features.iter().map(|a| features.iter().map(|b| similarity(a, b)).collect()).collect();
    let linkage = |a: &[usize], b: &[usize]| {
        let sum: f64 = a.iter().flat_map(|&x| b.iter().map(move |&y| (x, y))).map(|(x, y)| alike[x][y]).sum();
        sum / (a.len() * b.len()) as f64
    };
    let mut clusters: Vec<Vec<usize>> = (0..features.len()).map(|one| vec![one]).collect();
    loop {
        let pairs = (0..clusters.len()).flat_map(|a| (a + 1..clusters.len()).map(move |b| (a, b)));
        let linked = pairs.map(|(a, b)| (linkage(&clusters[a], &clusters[b]), a, b));
        // Of equally similar pairs the first is joined.
        let best = linked.reduce(|best, next| if next.0 > best.0 { next } else { best });
        let Some((similarity, a, b)) = best else { return clusters };
        if similarity < ALIKE && clusters.len() <= SENSES {
            return clusters;
        }
        let joined = clusters.remove(b);
        clusters[a].extend(joined);
        clusters[a].sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_senses_come_apart() {
        let texts: [(&[&str], usize); 5] = [
            (&["the", " river", " bank", " was", " wet"], 2),
            (&["by", " the", " river", " bank", " grass"], 3),
            (&["she", " plays", " bass", " guitar"], 2),
            (&["a", " bass", " guitar", " player"], 1),
            (&["the", " bank", " of", " the", " river"], 1),
        ];
        let features: Vec<Features> = texts.iter().map(|(tokens, peak)| features(tokens, *peak)).collect();
        let mut found = clusters(&features);
        found.sort();
        assert_eq!(found, [vec![0, 1, 4], vec![2, 3]]);
    }

    proptest! {
        /// Every excerpt is in one cluster, there are at most four, and the order of equal inputs does not matter.
        #[test]
        fn clusters_are_a_partition(words in prop::collection::vec(prop::collection::vec("[a-d]{1,5}", 1..6), 0..12)) {
            let features: Vec<Features> = words.iter().map(|words| {
                let tokens: Vec<&str> = words.iter().map(String::as_str).collect();
                features(&tokens, tokens.len() / 2)
            }).collect();
            let found = clusters(&features);
            prop_assert!(found.len() <= SENSES);
            let mut all: Vec<usize> = found.into_iter().flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..words.len()).collect::<Vec<_>>());
        }
    }
}
