//! Which positions an evaluation counts.
//!
//! Attention sinks and special tokens have activations unlike all others, often a hundred times as long, on which a
//! dictionary is neither trained nor used. The rule:
//!
//! * a position counts unless its token is special (BOS, EOS, padding …) or it is among the first `skip` of its window;
//! * only positions that count are reconstructed, ablated and averaged over; the others stay as they are;
//! * a prediction counts if the position that makes it counts and the token that is predicted is not special.

use glossator_model::Batch;

/// The rule, for one tokenizer.
#[derive(Clone, Debug)]
pub struct CountedPositions {
    /// By token.
    special: Vec<bool>,
    skip: usize,
}

impl CountedPositions {
    /// Leaves out the first `skip` positions of every sequence and all tokens that `special` says so of, of a vocabulary
    /// of `tokens`.
    pub fn new(skip: usize, tokens: usize, special: impl Fn(u32) -> bool) -> Self {
        Self { special: (0..tokens as u32).map(special).collect(), skip }
    }

    /// The rule in words.
    pub fn rule(&self) -> String {
        let special = self.special.iter().filter(|special| **special).count();
        format!(
            "positions count unless their token is one of the tokenizer's {special} special tokens or they are among the \
             first {} of their window; predictions count if the predicting position does and the predicted token is not \
             special",
            self.skip
        )
    }

    /// Whether a token is special; tokens outside the tokenizer's vocabulary are not.
    fn is_special(&self, token: u32) -> bool {
        self.special.get(token as usize).copied().unwrap_or(false)
    }

    /// Which rows of a batch count, rising.
    pub fn rows(&self, batch: &Batch) -> Vec<usize> {
        let of_sequence = |sequence: usize| {
            let (first, tokens) = (batch.starts()[sequence], batch.sequence(sequence));
            (self.skip..tokens.len())
                .filter(move |&position| !self.is_special(tokens[position]))
                .map(move |position| first + position)
        };
        (0..batch.len()).flat_map(of_sequence).collect()
    }

    /// The predictions of a batch that count, rising: the row that predicts, and the token that follows.
    pub fn predictions(&self, batch: &Batch) -> Vec<(usize, u32)> {
        let of_sequence = |sequence: usize| {
            let (first, tokens) = (batch.starts()[sequence], batch.sequence(sequence));
            (self.skip..tokens.len().saturating_sub(1))
                .map(move |position| (first + position, tokens[position], tokens[position + 1]))
                .filter(|(_, own, next)| !self.is_special(*own) && !self.is_special(*next))
                .map(|(row, _, next)| (row, next))
        };
        (0..batch.len()).flat_map(of_sequence).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_and_first_positions_do_not_count() {
        let batch = Batch::from_sequences(&[vec![0, 5, 6, 1, 7], vec![8, 9], vec![4]]);
        let rule = |skip| CountedPositions::new(skip, 7, |token| token < 2);
        assert_eq!(rule(0).rows(&batch), [1, 2, 4, 5, 6, 7]);
        assert_eq!(rule(1).rows(&batch), [1, 2, 4, 6]);
        assert_eq!(rule(2).rows(&batch), [2, 4]);
        assert_eq!(rule(0).predictions(&batch), [(1, 6), (5, 9)]);
        assert_eq!(rule(1).predictions(&batch), [(1, 6)]);
        assert!(rule(3).rule().contains("2 special tokens") && rule(3).rule().contains("first 3"));
    }
}
