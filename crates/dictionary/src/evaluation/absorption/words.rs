//! Words of a vocabulary and the letters they begin with.

/// A token that is a whole word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The token.
    pub token: u32,
    /// Its first letter, from 0 for `a`.
    pub letter: usize,
}

/// Letters of the alphabet.
pub(super) const LETTERS: usize = 26;
/// Fewest letters of a word.
const SHORTEST: usize = 3;

/// The tokens that are a space and a word of at least three English letters, at most `count` of them, at equal
/// distances in the vocabulary.
pub fn words(vocabulary: usize, text: impl Fn(u32) -> String, count: usize) -> Vec<Word> {
    let word = |token: u32| {
        let text = text(token);
        let word = text.strip_prefix(' ')?;
        let is_word = word.len() >= SHORTEST && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        let first = word.bytes().next().filter(|_| is_word)?;
        Some(Word { token, letter: usize::from(first.to_ascii_lowercase() - b'a') })
    };
    let all: Vec<Word> = (0..vocabulary as u32).filter_map(word).collect();
    let count = count.min(all.len());
    (0..count).map(|i| all[i * all.len() / count]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_only() {
        let vocabulary = [" the", "the", " a", " Zebra", " it's", " été", "  two", " words", ""];
        let text = |token: u32| vocabulary[token as usize].to_owned();
        let found: Vec<(u32, usize)> =
            words(vocabulary.len(), text, 10).iter().map(|word| (word.token, word.letter)).collect();
        assert_eq!(found, [(0, 19), (3, 25), (7, 22)]);
        assert_eq!(words(vocabulary.len(), text, 1).len(), 1);
        assert!(words(0, text, 5).is_empty());
    }
}
