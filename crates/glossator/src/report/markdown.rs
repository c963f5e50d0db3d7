//! Text as it may stand in Markdown, GitHub's extensions included.

/// Characters that may begin markup within a line, in a table or not; `$` begins mathematics.
const MARKUP: &str = "\\`*_[]<>&|~$#!";

/// Text that is nothing but text, on one line.
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if MARKUP.contains(character) {
            escaped.push('\\');
        }
        escaped.push(if character.is_control() { ' ' } else { character });
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        assert_eq!(markdown("<b>|`x`*_[a](b)\n\\$1$ é"), r"\<b\>\|\`x\`\*\_\[a\](b) \\\$1\$ é");
    }
}
