//! Long texts are read as several passages, so that memory stays bounded and no document dominates.

use std::borrow::Cow;

/// The longest document, bytes of text; a longer one is cut.
pub(crate) const LONGEST: usize = 64 << 10;

/// Where to end the first passage of a text of more than [`LONGEST`] bytes: after the last blank line of the second
/// half, else after its last line, else after its last space, else between two characters.
pub(crate) fn cut(text: &[u8]) -> usize {
    let half = LONGEST / 2;
    let tail = &text[half..LONGEST];
    let after = |separator: &[u8]| {
        tail.windows(separator.len()).rposition(|w| w == separator).map(|at| half + at + separator.len())
    };
    after(b"\n\n")
        .or_else(|| after(b"\n\r\n"))
        .or_else(|| after(b"\n"))
        .or_else(|| after(b" "))
        .unwrap_or_else(|| character_boundary(text, LONGEST))
}

/// The last position up to `at` that is not within a UTF-8 sequence (of at most 4 bytes).
fn character_boundary(text: &[u8], at: usize) -> usize {
    let is_continuation = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    (at - 3..=at).rev().find(|&i| text.get(i).is_none_or(|&byte| !is_continuation(byte))).unwrap_or(at)
}

/// The passages of a text that is in memory.
pub(crate) fn passages(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = if text.len() > LONGEST { cut(text.as_bytes()) } else { text.len() };
        let (passage, rest) = text.split_at(end);
        text = rest;
        Some(passage)
    })
}

/// Replaces what is not UTF-8 by U+FFFD, and says at which offsets.
pub(crate) fn decode(bytes: &[u8], mut invalid: impl FnMut(usize)) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    let mut offset = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        offset += chunk.valid().len();
        if !chunk.invalid().is_empty() {
            invalid(offset);
            text.push(char::REPLACEMENT_CHARACTER);
            offset += chunk.invalid().len();
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_text_is_cut_where_it_hurts_least() {
        let line = "abc\n".repeat(LONGEST / 4);
        let mut text = line.clone();
        text.insert_str(LONGEST - 8, "\n\n");
        assert_eq!(cut(text.as_bytes()), LONGEST - 6, "after the blank line");
        assert_eq!(cut(line.as_bytes()), LONGEST, "after the line");
        assert_eq!(cut("ab ".repeat(LONGEST).as_bytes()), LONGEST - 1, "after the space");
        assert_eq!(cut("€".repeat(LONGEST).as_bytes()) % 3, 0, "between characters");
    }

    #[test]
    fn invalid_sequences_are_located() {
        let mut places = Vec::new();
        let text = decode(b"ab\xffcd\xe2\x82", |at| places.push(at));
        assert_eq!(text, "ab\u{fffd}cd\u{fffd}");
        assert_eq!(places, [2, 5]);
    }

    proptest! {
        #[test]
        fn passages_are_the_text(unit in "[a-zé€\n ]{1,40}", repeats in 1_usize..8_000) {
            let text = unit.repeat(repeats);
            let parts: Vec<&str> = passages(&text).collect();
            prop_assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= LONGEST));
            prop_assert_eq!(parts.concat(), text);
        }

        #[test]
        fn decoding_agrees_with_the_standard_library(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&bytes, |_| ()), String::from_utf8_lossy(&bytes));
        }
    }
}
