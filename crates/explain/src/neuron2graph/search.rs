//! The search for one example's pattern, as a state machine: it says which sequences it wants the unit's activation
//! on ([`Search::next_requests`]) and is given them ([`Search::supply`]), so that one forward pass can serve the
//! searches of many examples and units.
//!
//! The simplified Neuron2Graph of Gao et al. 2024, section 4.3 ("Explanations with N2G"):
//!
//! 1. *Suffix.* The shortest suffix of the text up to the firing token that keeps at least half of the activation.
//! 2. *Position.* The suffix must keep it behind one more padding token too. If it does not, its success came from its
//!    place in the sequence and a longer suffix is tried; the whole text, if nothing shorter passes, gives a pattern
//!    that is anchored to the beginning. (The original anchors the first suffix that passes, although that one does
//!    not stand at the beginning of the text that it was cut from.)
//! 3. *Wildcards.* Each token of the suffix is replaced by the padding token in turn; where at least half of the
//!    suffix's activation stays, any token will do.

use super::frame::Frame;
use super::pattern::Pattern;

/// The share of the activation that must remain.
pub const KEPT: f32 = 0.5;

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
    Suffix { length: usize },
    Position { length: usize, kept: f32 },
    Wildcards { length: usize, kept: f32, anchored: bool },
    Done(Pattern),
}

impl Search {
    /// Starts the search.
    pub fn new(example: &Example, frame: Frame) -> Self {
        let body = frame.body(&example.tokens).to_vec();
        let mut search =
            Self { body, activation: example.activation, frame, phase: Phase::Suffix { length: 0 } };
        search.try_suffix(1);
        search
    }

    /// The sequences on whose last token the search wants to know the activation; none once it is finished.
    pub fn next_requests(&self) -> Vec<Vec<u32>> {
        match self.phase {
            Phase::Suffix { length } => vec![self.frame.led(0, self.suffix(length))],
            Phase::Position { length, .. } => vec![self.frame.led(1, self.suffix(length))],
            Phase::Wildcards { length, anchored, .. } => {
                let suffix = self.suffix(length);
                let whole = if anchored { self.frame.initial(suffix) } else { self.frame.led(0, suffix) };
                let lead = whole.len() - length;
                let replaceable = (lead..whole.len()).filter(|&index| whole[index] != self.frame.padding);
                let replaced = replaceable.map(|index| {
                    let mut tokens = whole.clone();
                    tokens[index] = self.frame.padding;
                    tokens
                });
                replaced.collect()
            }
            Phase::Done(_) => Vec::new(),
        }
    }

    /// Takes the activations of the sequences of [`Search::next_requests`], in the same order.
    pub fn supply(&mut self, activations: &[f32]) {
        let first = activations.first().copied().unwrap_or(f32::NAN);
        let passes = first >= KEPT * self.activation;
        match self.phase {
            Phase::Suffix { length } if passes => self.phase = Phase::Position { length, kept: first },
            Phase::Position { length, kept } if passes => self.look_for_wildcards(length, kept, false),
            Phase::Suffix { length } | Phase::Position { length, .. } => self.try_suffix(length + 1),
            Phase::Wildcards { length, kept, anchored } => self.finish(activations, length, kept, anchored),
            Phase::Done(_) => {}
        }
    }

    /// The pattern, once the search is finished.
    pub fn pattern(&self) -> Option<&Pattern> {
        match &self.phase {
            Phase::Done(pattern) => Some(pattern),
            _ => None,
        }
    }

    fn suffix(&self, length: usize) -> &[u32] {
        &self.body[self.body.len() - length..]
    }

    fn try_suffix(&mut self, length: usize) {
        let whole = self.body.len();
        if length > whole {
            self.look_for_wildcards(whole, self.activation, true);
        } else if length == whole && self.frame.bos.is_some() {
            // The lead and the whole text are the recorded window itself.
            self.phase = Phase::Position { length, kept: self.activation };
        } else {
            self.phase = Phase::Suffix { length };
        }
    }

    fn look_for_wildcards(&mut self, length: usize, kept: f32, anchored: bool) {
        self.phase = Phase::Wildcards { length, kept, anchored };
        if self.next_requests().is_empty() {
            self.finish(&[], length, kept, anchored);
        }
    }

    fn finish(&mut self, activations: &[f32], length: usize, kept: f32, anchored: bool) {
        let mut remaining = activations.iter();
        let suffix = self.suffix(length);
        // A token that is the padding token cannot be told from a wildcard, and is kept as it is.
        let salient = suffix.iter().map(|&token| {
            token == self.frame.padding
                || remaining.next().is_none_or(|&left| left.is_nan() || left <= KEPT * kept)
        });
        let salient: Vec<bool> = salient.collect();
        self.phase = Phase::Done(Pattern::of_example(suffix, &salient, anchored, kept));
    }
}
