//! Token texts inside a readable line.

use std::fmt::Write as _;

/// `text` between double quotes, with quotes, bars, backslashes and everything invisible escaped.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// `text` with quotes, bars and backslashes escaped, and control characters, unusual spaces, and characters that
/// change the direction of text written as `\n` or `\u{…}`. Bytes that are no text, which a tokenizer shows as `\xNN`,
/// stay as they are.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (place, character) in text.char_indices() {
        match character {
            '\\' if is_byte(&text[place + 1..]) => escaped.push(character),
            '"' | '|' | '\\' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            _ if is_invisible(character) => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Whether `text` goes on with `xNN`, two hexadecimal digits.
pub(crate) fn is_byte(text: &str) -> bool {
    let digits = text.as_bytes().get(1..3);
    text.starts_with('x') && digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Control characters, spaces other than the plain one, zero-width characters and directional marks.
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_becomes_visible() {
        assert_eq!(
            quoted(" a\"|\\\n\u{202e}\u{200b}\u{1b}\u{a0}é"),
            r#"" a\"\|\\\n\u{202e}\u{200b}\u{1b}\u{a0}é""#
        );
    }
}
