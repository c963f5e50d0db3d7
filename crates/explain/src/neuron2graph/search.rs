//! The search for one example's pattern, as a state machine: it says which sequences it wants the unit's activation
//! on ([`Search::next_requests`]) and is given them ([`Search::supply`]), so that one forward pass can serve the
//! searches of many examples and units.
//!
//! The simplified Neuron2Graph of Gao et al. 2024, section 4.3 ("Explanations with N2G"):
//!
//! 1. *Suffix.* The shortest suffix of the text up to the firing token that keeps at least half of the activation, of
//!    at most [`LONGEST`] tokens: 1, 2, 3, 4, 6 and 8 are tried in turn, then the one between the last that failed and
//!    the first that passed. (Gao et al. try every length up to the whole text; Foote et al. every fifth up to 30.)
//!    Where none passes, the longest is the pattern as it stands, without wildcards: what else the unit needs lies
//!    further back, and a longer pattern would hardly be met again in other texts.
//! 2. *Position.* The suffix must keep it behind one more padding token too. If it does not, its success came from its
//!    place in the sequence and a longer suffix is tried; a whole text of at most [`LONGEST`] tokens, if nothing
//!    shorter passes, gives a pattern that is anchored to the beginning. (The original anchors the first suffix that
//!    passes, although that one does not stand at the beginning of the text that it was cut from.)
//! 3. *Wildcards.* Each token of the suffix is replaced by the padding token in turn; where at least half of the
//!    suffix's activation stays, any token will do.
//! 4. *Substitutes.* Each of the last [`PLACES`] other tokens is replaced by tokens like it in turn; where at least half
//!    of the suffix's activation stays, the changed suffix is a pattern too. (Augmentation, Foote et al. 2023, with
//!    substitutes from the subject model's own embeddings.)

use std::collections::BTreeMap;

use super::frame::Frame;
use super::pattern::Pattern;

/// The share of the activation that must remain.
pub const KEPT: f32 = 0.5;

/// The longest suffix that is tried. On 128 neurons of SmolLM2-135M suffixes of up to 64 tokens cost 3.4 times as many
/// positions and predicted no better (docs/log.md, 2026-11-25).
pub const LONGEST: usize = 8;

/// Up to here every length is tried.
const SHORT: usize = 4;

/// Places in which substitutes are tried.
pub const PLACES: usize = 3;

/// A text in which a unit fires on the last token.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The window's tokens up to the one that the unit fires on.
    pub tokens: Vec<u32>,
    /// The recorded activation there, above 0.
    pub activation: f32,
}

/// The search for the pattern of one example.
#[derive(Debug, Clone)]
pub struct Search {
    /// The example's tokens without the begin-of-sequence token.
    body: Vec<u32>,
    activation: f32,
    frame: Frame,
    phase: Phase,
}

#[derive(Debug, Clone)]
enum Phase {
    Suffix(Suffixes),
    Position {
        length: usize,
        kept: f32,
    },
    Wildcards {
        length: usize,
        kept: f32,
        anchored: bool,
    },
    /// Waits for tokens that are similar to the salient ones.
    Similar(Found),
    Substitutes {
        found: Found,
        tried: Vec<Substitute>,
    },
    Done(Vec<Pattern>),
}

/// What is known of the suffixes of a text while the shortest that passes is looked for.
#[derive(Debug, Clone, Copy)]
struct Suffixes {
    /// The longest that is known to fail; shorter ones are taken to fail too.
    failed: usize,
    /// The length that is asked for.
    length: usize,
    /// The shortest that is known to pass, and the activation that it keeps.
    passed: Option<(usize, f32)>,
}

/// A suffix whose wildcards are known.
#[derive(Debug, Clone)]
struct Found {
    length: usize,
    kept: f32,
    anchored: bool,
    /// For each token of the suffix whether it must be itself.
    salient: Vec<bool>,
}

/// A token in the place of another of the suffix.
#[derive(Debug, Clone, Copy)]
struct Substitute {
    place: usize,
    token: u32,
}

impl Search {
    /// Starts the search.
    pub fn new(example: &Example, frame: Frame) -> Self {
        let body = frame.body(&example.tokens).to_vec();
        let mut search = Self { body, activation: example.activation, frame, phase: Phase::Done(Vec::new()) };
        search.try_suffix(0, None);
        search
    }

    /// The sequences on whose last token the search wants to know the activation; none once it is finished.
    pub fn next_requests(&self) -> Vec<Vec<u32>> {
        match &self.phase {
            Phase::Suffix(Suffixes { length, .. }) => vec![self.frame.led(0, self.suffix(*length))],
            Phase::Position { length, .. } => vec![self.frame.led(1, self.suffix(*length))],
            Phase::Wildcards { length, anchored, .. } => {
                let whole = self.framed(*length, *anchored);
                let lead = whole.len() - length;
                let replaceable = (lead..whole.len()).filter(|&index| whole[index] != self.frame.padding);
                let replaced = replaceable.map(|index| {
                    let mut tokens = whole.clone();
                    tokens[index] = self.frame.padding;
                    tokens
                });
                replaced.collect()
            }
            Phase::Substitutes { found, tried } => {
                let whole = self.framed(found.length, found.anchored);
                let lead = whole.len() - found.length;
                let replaced = tried.iter().map(|substitute| {
                    let mut tokens = whole.clone();
                    tokens[lead + substitute.place] = substitute.token;
                    tokens
                });
                replaced.collect()
            }
            Phase::Similar(_) | Phase::Done(_) => Vec::new(),
        }
    }

    /// The tokens of which the search wants to know similar ones; none unless it waits for them.
    pub fn wanted_similar(&self) -> Vec<u32> {
        let Phase::Similar(found) = &self.phase else { return Vec::new() };
        let suffix = self.suffix(found.length);
        places(found).map(|place| suffix[place]).collect()
    }

    /// Takes, for each token of [`Search::wanted_similar`], similar ones.
    pub fn supply_similar(&mut self, similar: &BTreeMap<u32, Vec<u32>>) {
        let Phase::Similar(found) = &self.phase else { return };
        let suffix = self.suffix(found.length);
        let tried = places(found).flat_map(|place| {
            let tokens = similar.get(&suffix[place]).into_iter().flatten();
            tokens.map(move |&token| Substitute { place, token })
        });
        let tried: Vec<Substitute> = tried
            .filter(|tried| ![Some(self.frame.padding), self.frame.bos].contains(&Some(tried.token)))
            .collect();
        let found = found.clone();
        if tried.is_empty() {
            self.finish(&found, &[], &[]);
        } else {
            self.phase = Phase::Substitutes { found, tried };
        }
    }

    /// Takes the activations of the sequences of [`Search::next_requests`], in the same order.
    pub fn supply(&mut self, activations: &[f32]) {
        let first = activations.first().copied().unwrap_or(f32::NAN);
        let passes = first >= KEPT * self.activation;
        match self.phase.clone() {
            Phase::Suffix(Suffixes { failed, length, .. }) if passes => {
                self.try_suffix(failed, Some((length, first)));
            }
            Phase::Suffix(Suffixes { length, passed, .. }) => self.try_suffix(length, passed),
            Phase::Position { length, kept } if passes => self.look_for_wildcards(length, kept, false),
            Phase::Position { length, .. } => self.try_suffix(length, None),
            Phase::Wildcards { length, kept, anchored } => {
                self.look_for_substitutes(activations, length, kept, anchored);
            }
            Phase::Substitutes { found, tried } => self.finish(&found, &tried, activations),
            Phase::Similar(_) | Phase::Done(_) => {}
        }
    }

    /// The patterns, once the search is finished: that of the example first, then those with substitutes.
    pub fn patterns(&self) -> &[Pattern] {
        match &self.phase {
            Phase::Done(patterns) => patterns,
            _ => &[],
        }
    }

    /// The last `length` tokens as the wildcard test begins with them.
    fn framed(&self, length: usize, anchored: bool) -> Vec<u32> {
        let suffix = self.suffix(length);
        if anchored { self.frame.initial(suffix) } else { self.frame.led(0, suffix) }
    }

    fn suffix(&self, length: usize) -> &[u32] {
        &self.body[self.body.len() - length..]
    }

    /// Goes on among the suffixes that are longer than `failed` and shorter than one that is known to pass.
    fn try_suffix(&mut self, failed: usize, passed: Option<(usize, f32)>) {
        let longest = self.body.len().min(LONGEST);
        let length = match passed {
            Some((length, kept)) if length == failed + 1 => {
                self.phase = Phase::Position { length, kept };
                return;
            }
            Some((length, _)) => failed.midpoint(length),
            None if failed < longest => {
                let step = if failed < SHORT { 1 } else { failed / 2 };
                (failed + step).min(longest)
            }
            None => return self.nothing_shorter(),
        };
        if length == self.body.len() && self.frame.bos.is_some() {
            // The lead and the whole text are the recorded window itself.
            self.try_suffix(failed, Some((length, self.activation)));
        } else {
            self.phase = Phase::Suffix(Suffixes { failed, length, passed });
        }
    }

    /// No suffix passes: a short text is a pattern at the beginning of sequences, a long one is taken literally.
    fn nothing_shorter(&mut self) {
        if self.body.len() <= LONGEST {
            self.look_for_wildcards(self.body.len(), self.activation, true);
        } else {
            let salient = [true; LONGEST];
            let pattern = Pattern::of_example(self.suffix(LONGEST), &salient, false, self.activation);
            self.phase = Phase::Done(vec![pattern]);
        }
    }

    fn look_for_wildcards(&mut self, length: usize, kept: f32, anchored: bool) {
        self.phase = Phase::Wildcards { length, kept, anchored };
        if self.next_requests().is_empty() {
            self.look_for_substitutes(&[], length, kept, anchored);
        }
    }

    fn look_for_substitutes(&mut self, activations: &[f32], length: usize, kept: f32, anchored: bool) {
        let mut remaining = activations.iter();
        // A token that is the padding token cannot be told from a wildcard, and is kept as it is.
        let salient = self.suffix(length).iter().map(|&token| {
            token == self.frame.padding
                || remaining.next().is_none_or(|&left| left.is_nan() || left <= KEPT * kept)
        });
        let salient: Vec<bool> = salient.collect();
        let found = Found { length, kept, anchored, salient };
        if places(&found).next().is_none() {
            self.finish(&found, &[], &[]);
        } else {
            self.phase = Phase::Similar(found);
        }
    }

    fn finish(&mut self, found: &Found, tried: &[Substitute], activations: &[f32]) {
        let suffix = self.suffix(found.length).to_vec();
        let mut patterns = vec![Pattern::of_example(&suffix, &found.salient, found.anchored, found.kept)];
        for (substitute, &activation) in tried.iter().zip(activations) {
            if activation > KEPT * found.kept {
                let mut changed = suffix.clone();
                changed[substitute.place] = substitute.token;
                patterns.push(Pattern::of_example(&changed, &found.salient, found.anchored, activation));
            }
        }
        self.phase = Phase::Done(patterns);
    }
}

/// The places of a suffix in which substitutes are tried, last first.
fn places(found: &Found) -> impl Iterator<Item = usize> {
    let salient = found.salient.iter().enumerate().rev().filter(|(_, salient)| **salient);
    salient.map(|(place, _)| place).take(PLACES)
}
