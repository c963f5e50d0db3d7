//! The bytes that each token stands for.
//!
//! Byte-level tokenizers (GPT-2's `bytes_to_unicode`) write every byte as one printable character: the bytes `!`–`~`,
//! `¡`–`¬` and `®`–`ÿ` as themselves, the other 68 as U+0100 upwards in order. SentencePiece tokenizers write a space as
//! `▁` (U+2581) and a byte without a piece of its own as `<0xNN>`.

use std::fmt::Write as _;

use tokenizers::{DecoderWrapper, PreTokenizerWrapper};

/// The bytes of all tokens, by id.
#[derive(Debug, Clone)]
pub(super) struct TokenBytes {
    bytes: Vec<u8>,
    /// Where each token's bytes begin, and the end of the last.
    starts: Vec<u32>,
}

/// How a vocabulary writes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    ByteLevel,
    SentencePiece,
    Plain,
}

impl TokenBytes {
    /// Undoes the spelling of every token of a tokenizer.
    pub(super) fn of(tokenizer: &tokenizers::Tokenizer) -> Self {
        let spelling = spelling(tokenizer);
        let added = tokenizer.get_added_tokens_decoder();
        let vocabulary = tokenizer.get_vocab(true);
        // An id far beyond the number of tokens would only waste memory for the gap.
        let limit = 2 * vocabulary.len() as u64 + 65_536;
        let believable = |id: &u32| u64::from(*id) < limit;
        let size = vocabulary.values().copied().filter(believable).max().map_or(0, |id| id as usize + 1);
        let mut tokens = vec![""; size];
        for (token, &id) in &vocabulary {
            if let Some(slot) = tokens.get_mut(id as usize) {
                *slot = token;
            }
        }
        let mut table = Self { bytes: Vec::new(), starts: Vec::with_capacity(size + 1) };
        table.starts.push(0);
        for (id, token) in tokens.iter().enumerate() {
            // Added tokens are matched in the text as they are written, except SentencePiece's normalised ones.
            match added.get(&(id as u32)) {
                Some(added) if spelling != Spelling::SentencePiece || !added.normalized => {
                    table.bytes.extend_from_slice(token.as_bytes());
                }
                _ => spelling.undo(token, &mut table.bytes),
            }
            table.starts.push(table.bytes.len() as u32);
        }
        table
    }

    /// Number of token ids.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The bytes of a token; none for an id outside the vocabulary.
    pub(super) fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        match self.starts.get(id..id.saturating_add(2)) {
            Some(&[start, end]) => &self.bytes[start as usize..end as usize],
            _ => &[],
        }
    }
}

impl Spelling {
    fn undo(self, token: &str, out: &mut Vec<u8>) {
        match self {
            Self::ByteLevel => {
                for character in token.chars() {
                    match byte_of(character) {
                        Some(byte) => out.push(byte),
                        None => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
            }
            Self::SentencePiece => match byte_piece(token) {
                Some(byte) => out.push(byte),
                None => out.extend_from_slice(token.replace('▁', " ").as_bytes()),
            },
            Self::Plain => out.extend_from_slice(token.as_bytes()),
        }
    }
}

/// Looks at what the tokenizer does to bytes before and after its vocabulary.
fn spelling(tokenizer: &tokenizers::Tokenizer) -> Spelling {
    fn of_decoder(decoder: &DecoderWrapper) -> Spelling {
        match decoder {
            DecoderWrapper::ByteLevel(_) => Spelling::ByteLevel,
            DecoderWrapper::Metaspace(_) | DecoderWrapper::ByteFallback(_) | DecoderWrapper::Replace(_) => {
                Spelling::SentencePiece
            }
            DecoderWrapper::Sequence(sequence) => sequence
                .get_decoders()
                .iter()
                .map(of_decoder)
                .find(|spelling| *spelling != Spelling::Plain)
                .unwrap_or(Spelling::Plain),
            _ => Spelling::Plain,
        }
    }
    fn byte_level(pre_tokenizer: &PreTokenizerWrapper) -> bool {
        match pre_tokenizer {
            PreTokenizerWrapper::ByteLevel(_) => true,
            PreTokenizerWrapper::Sequence(sequence) => sequence.as_ref().iter().any(byte_level),
            _ => false,
        }
    }
    if tokenizer.get_pre_tokenizer().is_some_and(byte_level) {
        return Spelling::ByteLevel;
    }
    tokenizer.get_decoder().map_or(Spelling::Plain, of_decoder)
}

/// The byte that GPT-2 writes as `character`.
fn byte_of(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        // The 68 others, in order: 0–32, 127–160, 173.
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// The byte of a SentencePiece byte piece, `<0x0A>`.
fn byte_piece(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// Bytes as text, with what is not UTF-8 as `\xNN`.
pub(super) fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_exactly_one_character() {
        let mut seen: Vec<u8> = (0..=0x143u32).filter_map(char::from_u32).filter_map(byte_of).collect();
        assert_eq!(seen.len(), 256);
        seen.sort_unstable();
        assert_eq!(seen, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
    }

    #[test]
    fn broken_characters_are_shown_as_bytes() {
        assert_eq!(readable("é".as_bytes()), "é");
        assert_eq!(readable(b"a\xf0\x9f b"), "a\\xf0\\x9f b");
        assert_eq!(readable(b""), "");
    }

    #[test]
    fn byte_pieces_are_recognised_strictly() {
        assert_eq!(byte_piece("<0x0A>"), Some(10));
        assert_eq!(byte_piece("<0x0A"), None);
        assert_eq!(byte_piece("<0x123>"), None);
    }
}
