//! Feature absorption (Chanin et al. 2024; SAEBench): latents for a first letter that stay silent on some words, because a
//! latent for the word itself says the letter too.
//!
//! Words are tokens of the vocabulary after a fixed beginning; the activation is that at the word. With p the unit
//! direction in which a linear probe finds a letter, u the normalised activation and f, d, b_d of the dictionary:
//!
//! 1. The main latents of a letter are the k whose mean over its training words exceeds that over the others most; k grows as long as one
//!    more latent raises the F1 of a logistic probe on them by more than 0.03 (feature splitting is not absorption).
//! 2. Of the test words that begin with the letter and of which the probe says so, absorbed are those where all main
//!    latents are zero and one other latent says it instead: its cosine with p is at least 0.025 and its part of the
//!    activation's projection, fᵢ (dᵢ · p) / ((u − b_d) · p), at least 0.4.
//!
//! The rate is the share of those words, averaged over the letters whose probe has an F1 above 0.6 and finds at least five
//! test words. Every fifth word is for the test. The constants are those of SAEBench's code.

mod direction;
mod words;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use glossator_model::{Batch, Model, ModelError};
use serde::Serialize;

use self::direction::Direction;
use self::words::LETTERS;
pub use self::words::{Word, words};
use super::candidate::{Candidate, CandidateKind};
use super::defined::ratio;
use super::geometry::cosine;
use super::place::Place;
use super::probing::{PooledLatents, sparse_f1};
use crate::sparse_latents::SparseLatents;

/// Words that run together.
const BATCH: usize = 256;
/// One word in so many is for the test.
const TEST_SHARE: usize = 5;
/// Latents of a letter at most.
const MOST_LATENTS: usize = 10;
/// One more main latent must raise F1 by more than this.
const F1_JUMP: f64 = 0.03;
/// F1 of a letter's probe below which nothing is known of it.
const LEAST_F1: f64 = 0.6;
/// Test words of a letter below which nothing is known of it.
const FEWEST_WORDS: usize = 5;
/// Cosine with the letter's direction, and part of the projection, that an absorbing latent has at least.
const LEAST: [f64; 2] = [0.025, 0.4];

/// How much of first letters is absorbed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AbsorptionMetrics {
    /// Letters that a linear probe finds well enough.
    pub letters: u64,
    /// Test words of these letters that the probes find.
    pub words: u64,
    /// Mean over the letters of the share of words where the main latents are silent.
    pub silent: Option<f64>,
    /// Mean over the letters of the share of words that are absorbed.
    pub absorbed: Option<f64>,
    /// Mean number of main latents of a letter.
    pub main_latents: Option<f64>,
}

/// The places where words are read, for the candidates of which absorption is measured: those that reconstruct what they
/// read, unless they are coordinates.
pub fn absorption_places(candidates: &[Candidate]) -> BTreeSet<Place> {
    candidates.iter().filter_map(place).collect()
}

fn place(candidate: &Candidate) -> Option<Place> {
    let unfit = candidate.reads != candidate.writes || candidate.kind == CandidateKind::Coordinates;
    (!unfit).then_some(candidate.reads)
}

/// Measures absorption of candidates, in their order; none for those that have no place in [`absorption_places`].
/// `progress` is told how many words were read, place by place.
///
/// # Errors
/// What the model says.
pub fn absorption(
    model: &Model,
    beginning: &[u32],
    words: &[Word],
    candidates: &[Candidate],
    progress: &dyn Fn(usize),
) -> Result<Vec<Option<AbsorptionMetrics>>, ModelError> {
    let mut places: BTreeMap<Place, Letters> = BTreeMap::new();
    let mut measured = Vec::new();
    for candidate in candidates {
        let Some(place) = place(candidate).filter(|_| !words.is_empty()) else {
            measured.push(None);
            continue;
        };
        let letters = match places.entry(place) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => unread.insert(Letters::read(model, beginning, words, place, progress)?),
        };
        measured.push(Some(letters.measure(candidate)));
    }
    Ok(measured)
}

/// The activations of words at a place, and the directions of letters there.
struct Letters {
    width: usize,
    /// The first letter of each word.
    first: Vec<usize>,
    /// `[words, width]`.
    activations: Vec<f32>,
    /// By letter.
    directions: Vec<Direction>,
}

impl Letters {
    fn read(
        model: &Model,
        beginning: &[u32],
        words: &[Word],
        place: Place,
        progress: &dyn Fn(usize),
    ) -> Result<Self, ModelError> {
        let whole = place.hook.width(model.architecture());
        let columns = place.columns(whole);
        let width = columns.len();
        let mut activations = Vec::with_capacity(words.len() * width);
        for words in words.chunks(BATCH) {
            let sequences: Vec<Vec<u32>> =
                words.iter().map(|word| [beginning, &[word.token]].concat()).collect();
            let captured = model.capture(&Batch::from_sequences(&sequences), &[place.hook])?;
            let rows = captured[&place.hook].data.chunks_exact(whole);
            let last = rows.skip(beginning.len()).step_by(beginning.len() + 1);
            last.for_each(|row| activations.extend(&row[columns.clone()]));
            progress(words.len());
        }
        Ok(Self::new(width, words.iter().map(|word| word.letter).collect(), activations))
    }

    /// Fits the probes on the training words.
    fn new(width: usize, first: Vec<usize>, activations: Vec<f32>) -> Self {
        let chosen: Vec<usize> = (0..first.len()).filter(|word| !is_test(*word)).collect();
        let rows: Vec<f32> =
            chosen.iter().flat_map(|word| &activations[word * width..][..width]).copied().collect();
        let own: Vec<usize> = chosen.iter().map(|word| first[*word]).collect();
        let directions = Direction::fit_all(&rows, width, &own);
        Self { width, first, activations, directions }
    }

    fn measure(&self, candidate: &Candidate) -> AbsorptionMetrics {
        let latents = candidate.coder.encode(&self.activations);
        let mut pooled = PooledLatents::new(latents.latents());
        (0..latents.rows()).for_each(|word| pooled.add(&latents, word..word + 1));
        let (mut letters, mut words, mut silent, mut absorbed, mut mains) = (0_u32, 0_u64, 0.0, 0.0, 0);
        for letter in 0..LETTERS {
            let Some(found) = self.found(letter) else { continue };
            let main = self.main_latents(&pooled, letter);
            if main.is_empty() {
                continue;
            }
            let quiet: Vec<usize> = found
                .iter()
                .copied()
                .filter(|word| latents.row(*word).0.iter().all(|latent| !main.contains(&(*latent as usize))))
                .collect();
            let taken = quiet.iter().filter(|word| self.is_absorbed(candidate, &latents, **word, letter));
            absorbed += taken.count() as f64 / found.len() as f64;
            silent += quiet.len() as f64 / found.len() as f64;
            letters += 1;
            words += found.len() as u64;
            mains += main.len();
        }
        let mean = |sum: f64| ratio(sum, f64::from(letters));
        AbsorptionMetrics {
            letters: u64::from(letters),
            words,
            silent: mean(silent),
            absorbed: mean(absorbed),
            main_latents: mean(mains as f64),
        }
    }

    /// The test words of a letter that its probe finds; none if the probe is bad or they are few.
    fn found(&self, letter: usize) -> Option<Vec<usize>> {
        let (mut found, mut missed, mut wrong) = (Vec::new(), 0, 0);
        for word in (0..self.first.len()).filter(|word| is_test(*word)) {
            let says_so = self.directions[letter].says_so(self.activation(word));
            match (self.first[word] == letter, says_so) {
                (true, true) => found.push(word),
                (true, false) => missed += 1,
                (false, true) => wrong += 1,
                (false, false) => {}
            }
        }
        let f1 = ratio(2.0 * found.len() as f64, (2 * found.len() + missed + wrong) as f64)?;
        (f1 > LEAST_F1 && found.len() >= FEWEST_WORDS).then_some(found)
    }

    /// The latents that stand for a letter on the training words.
    fn main_latents(&self, pooled: &PooledLatents, letter: usize) -> Vec<usize> {
        let training: Vec<(u32, bool)> = (0..self.first.len())
            .filter(|word| !is_test(*word))
            .map(|word| (word as u32, self.first[word] == letter))
            .collect();
        let ranked = pooled.by_difference(&training, MOST_LATENTS);
        let mut best = 0.0;
        for count in 1..=ranked.len() {
            let f1 = sparse_f1(pooled, &ranked[..count], &training).unwrap_or(0.0);
            if count > 1 && f1 <= best + F1_JUMP {
                return ranked[..count - 1].to_vec();
            }
            best = f1;
        }
        ranked
    }

    /// Whether one latent says the letter in place of the main ones.
    fn is_absorbed(
        &self,
        candidate: &Candidate,
        latents: &SparseLatents,
        word: usize,
        letter: usize,
    ) -> bool {
        let (dictionary, direction) = (candidate.coder.dictionary(), &self.directions[letter].unit);
        let activation = self.activation(word);
        let mut normalised = vec![0.0; self.width];
        dictionary.input.normalisation.row_map(activation).apply(activation, &mut normalised);
        let along =
            |vector: &[f32]| vector.iter().zip(direction).map(|(x, p)| f64::from(*x) * p).sum::<f64>();
        let whole = along(&normalised) - along(&dictionary.decoder_bias);
        let (indices, values) = latents.row(word);
        let parts = indices.iter().zip(values).map(|(latent, value)| {
            let row = dictionary.decoder_row(*latent as usize);
            (f64::from(*value) * along(row), row)
        });
        let Some((part, row)) = parts.max_by(|a, b| a.0.total_cmp(&b.0)) else { return false };
        let unit: Vec<f32> = direction.iter().map(|p| *p as f32).collect();
        let says_it = cosine(row, &unit).is_some_and(|cosine| cosine >= LEAST[0]);
        says_it && whole > 0.0 && part / whole >= LEAST[1]
    }

    fn activation(&self, word: usize) -> &[f32] {
        &self.activations[word * self.width..(word + 1) * self.width]
    }
}

fn is_test(word: usize) -> bool {
    word % TEST_SHARE == TEST_SHARE - 1
}

#[cfg(test)]
mod tests {
    use glossator_model::HookPoint;

    use super::*;
    use crate::testing::{example, numbers};
    use crate::{Activation, Dictionary};

    const WORDS: usize = 300;
    const ABSORBED: usize = 10;
    const WIDTH: usize = ABSORBED + 1;

    /// Words of two letters along the first axis; ten test words of the first letter have an axis of their own besides.
    fn letters() -> Letters {
        let noise = numbers(4, WORDS);
        let (mut activations, mut special) = (vec![0.0; WORDS * WIDTH], 0);
        for (word, noise) in noise.iter().enumerate() {
            let row = &mut activations[word * WIDTH..(word + 1) * WIDTH];
            row[0] = if word.is_multiple_of(2) { 2.0 } else { -2.0 } + 0.1 * noise;
            if word.is_multiple_of(2) && is_test(word) && special < ABSORBED {
                special += 1;
                row[special] = 3.0;
            }
        }
        Letters::new(WIDTH, (0..WORDS).map(|word| word % 2).collect(), activations)
    }

    /// Latent 0 is the first letter unless the word has a latent of its own, which says the letter too.
    fn dictionary(says_letter: f32) -> Dictionary {
        let mut dictionary = example(WIDTH, WIDTH, WIDTH, Activation::Relu);
        dictionary.decoder_bias.fill(0.0);
        dictionary.encoder_bias.fill(-1.0);
        (dictionary.encoder, dictionary.decoder) = (vec![0.0; WIDTH * WIDTH], vec![0.0; WIDTH * WIDTH]);
        for latent in 0..WIDTH {
            dictionary.encoder[latent * (WIDTH + 1)] = 1.0;
            dictionary.decoder[latent * (WIDTH + 1)] = 1.0;
            if latent > 0 {
                dictionary.encoder[latent] = -1.0;
                dictionary.decoder[latent * WIDTH] = says_letter;
            }
        }
        dictionary
    }

    fn measure(says_letter: f32) -> AbsorptionMetrics {
        let hook = HookPoint::resid_post(0);
        let kind = CandidateKind::Dictionary;
        let candidate = Candidate::new("tiny".into(), kind, [hook, hook], dictionary(says_letter)).unwrap();
        letters().measure(&candidate)
    }

    #[test]
    fn a_latent_that_says_the_letter_instead_absorbs_it() {
        let found = measure(0.8);
        assert_eq!((found.letters, found.words, found.main_latents), (1, 30, Some(1.0)));
        assert_eq!((found.silent, found.absorbed), (Some(1.0 / 3.0), Some(1.0 / 3.0)));
    }

    #[test]
    fn silence_without_a_substitute_is_no_absorption() {
        let found = measure(0.0);
        assert_eq!((found.silent, found.absorbed), (Some(1.0 / 3.0), Some(0.0)));
    }

    #[test]
    fn letters_that_no_probe_finds_are_undefined() {
        let hook = HookPoint::resid_post(0);
        let noise =
            Letters::new(WIDTH, (0..WORDS).map(|word| word % 26).collect(), numbers(5, WORDS * WIDTH));
        let candidate =
            Candidate::new("tiny".into(), CandidateKind::Dictionary, [hook, hook], dictionary(0.8)).unwrap();
        let found = noise.measure(&candidate);
        assert_eq!((found.letters, found.silent, found.absorbed), (0, None, None));
    }
}
