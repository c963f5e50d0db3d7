//! How byte-level vocabularies cut text into words before merging, by the name that GGUF files give.
//!
//! llama.cpp stores a name (`tokenizer.ggml.pre`) where `tokenizer.json` stores the rule itself. The rules here are
//! those of the original tokenizers.

use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::error::ModelError;

/// What a name stands for.
pub(super) struct Rule {
    cut: Cut,
    /// Unicode composition before everything else.
    nfc: bool,
    /// A word that is a token is that token, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// Whether sequences begin with `bos` where the file does not say.
    pub(super) add_bos: bool,
}

enum Cut {
    /// GPT-2's own expression.
    Gpt2,
    /// Every digit alone, then GPT-2's expression.
    DigitsThenGpt2,
    /// Another expression.
    Expression(&'static str),
}

/// Words with at most three digits (Llama 3).
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with single digits (Qwen 2 and 3).
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The names that [`rule`] knows, for error messages.
pub(super) const KNOWN: &str =
    "gpt-2, smollm, starcoder, refact, command-r, olmo, llama-bpe, llama3, llama-v3, qwen2, deepseek-r1-qwen";

/// The rule of a name.
pub(super) fn rule(name: &str) -> Option<Rule> {
    let plain = |cut| Rule { cut, nfc: false, ignore_merges: false, add_bos: false };
    Some(match name {
        "gpt-2" => plain(Cut::Gpt2),
        "smollm" | "starcoder" | "refact" | "command-r" => plain(Cut::DigitsThenGpt2),
        // The GPT-NeoX tokenizer, which Pythia and OLMo use.
        "olmo" => Rule { nfc: true, ..plain(Cut::Gpt2) },
        "llama-bpe" | "llama3" | "llama-v3" => {
            Rule { ignore_merges: true, add_bos: true, ..plain(Cut::Expression(LLAMA3)) }
        }
        "qwen2" | "deepseek-r1-qwen" => Rule { nfc: true, ..plain(Cut::Expression(QWEN2)) },
        _ => return None,
    })
}

impl Rule {
    /// What happens to the text before it is cut.
    pub(super) fn normalizer(&self) -> Option<NormalizerWrapper> {
        self.nfc.then_some(NormalizerWrapper::NFC(NFC))
    }

    /// The cut, and the spelling of bytes as characters.
    pub(super) fn pre_tokenizer(&self) -> Result<PreTokenizerWrapper, ModelError> {
        let byte_level =
            |with_expression| PreTokenizerWrapper::from(ByteLevel::new(false, true, with_expression));
        let steps = match self.cut {
            Cut::Gpt2 => vec![byte_level(true)],
            Cut::DigitsThenGpt2 => vec![PreTokenizerWrapper::from(Digits::new(true)), byte_level(true)],
            Cut::Expression(expression) => {
                let pattern = SplitPattern::Regex(expression.to_owned());
                let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                    .map_err(|error| ModelError::Tokenizer(error.to_string()))?;
                vec![PreTokenizerWrapper::from(split), byte_level(false)]
            }
        };
        Ok(PreTokenizerWrapper::Sequence(Sequence::new(steps)))
    }
}
