//! Where the tokens of a server's answer stand in the text that was sent.
//!
//! Servers give tokens as texts. A character that is split over several tokens comes as replacement characters (U+FFFD)
//! in each of them, so such a token says only that some part of some characters that are no ASCII is there.

/// Where a token begins that does so inside a character, or whose beginning cannot be told.
pub(super) const UNKNOWN: usize = usize::MAX;

/// The byte offset in `text` of each of `tokens`, which are to spell it from its beginning on. Tokens behind the end of
/// the text are left out. `None` if they spell something else.
pub(super) fn align(tokens: &[&str], text: &str) -> Option<Vec<usize>> {
    let mut offsets = Vec::with_capacity(tokens.len());
    let mut rest = text;
    // Whether characters may be missing between what was read and `rest`: parts of them were in the tokens before.
    let mut torn = false;
    for token in tokens {
        if rest.is_empty() {
            break;
        }
        offsets.push(if torn { UNKNOWN } else { text.len() - rest.len() });
        for wanted in token.chars() {
            // Within a torn run characters that are no ASCII cannot be told apart, so the next ASCII one ends it.
            let tears = wanted == char::REPLACEMENT_CHARACTER && !rest.starts_with(wanted);
            if tears || (torn && !wanted.is_ascii()) {
                if !torn && rest.chars().next()?.is_ascii() {
                    return None;
                }
                torn = true;
                continue;
            }
            if torn {
                rest = rest.trim_start_matches(|c: char| !c.is_ascii());
                let place = offsets.last_mut()?;
                if *place == UNKNOWN && token.starts_with(wanted) {
                    *place = text.len() - rest.len();
                }
                torn = false;
            }
            rest = rest.strip_prefix(wanted)?;
            if rest.is_empty() {
                break;
            }
        }
    }
    (rest.is_empty() || (torn && !rest.chars().any(|c| c.is_ascii()))).then_some(offsets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_and_torn_tokens_are_found() {
        assert_eq!(align(&["a", "b c", "d", "more"], "ab cd"), Some(vec![0, 1, 4]));
        assert_eq!(
            align(&["x\t", "\u{fffd}", "\u{fffd}\u{fffd}", "\t5"], "x\t🦀\t5"),
            Some(vec![0, 2, UNKNOWN, 6])
        );
        assert_eq!(align(&["a", "c"], "ab"), None);
        assert_eq!(align(&["a"], "ab"), None);
        assert_eq!(align(&["\u{fffd}", "b"], "ab"), None, "an ASCII character cannot be torn");
        assert_eq!(
            align(&["\u{fffd}", "!"], "\u{fffd}!"),
            Some(vec![0, 3]),
            "a replacement character in the text"
        );
    }

    proptest! {
        /// However a text is cut into bytes, tokens that begin at ASCII characters are found where they are.
        #[test]
        fn tokens_cut_anywhere_are_found(text in "[ab\t é語🦀]{1,40}", cuts in proptest::collection::vec(0..120_usize, 0..20)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            cuts.dedup();
            let tokens: Vec<String> =
                cuts.windows(2).map(|cut| String::from_utf8_lossy(&bytes[cut[0]..cut[1]]).into_owned()).collect();
            let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
            let offsets = align(&tokens, &text).unwrap();
            prop_assert_eq!(offsets.len(), tokens.len());
            for (offset, start) in offsets.iter().zip(&cuts) {
                if bytes[*start].is_ascii() {
                    prop_assert_eq!(offset, start);
                } else {
                    prop_assert!(*offset == UNKNOWN || offset == start || !text.is_char_boundary(*start));
                }
            }
        }
    }
}
