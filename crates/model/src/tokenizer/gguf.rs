//! A tokenizer from GGUF metadata (`tokenizer.ggml.*`).
//!
//! `model` = `gpt2`: byte-level pair merging with a list of merges and a named rule for cutting words.
//! `model` = `llama`: SentencePiece pair merging; the merges follow from the scores, best score first.

use std::path::Path;

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, Tokenizer};

use super::{Control, pretokenizer};
use crate::checkpoint::{Metadata, Value};
use crate::error::ModelError;

/// The `tokenizer.ggml.*` keys of one file.
struct Keys<'a> {
    path: &'a Path,
    metadata: &'a Metadata,
}

pub(super) fn read(path: &Path, metadata: &Metadata) -> Result<(Tokenizer, Control), ModelError> {
    let keys = Keys { path, metadata };
    let model = match keys.get("model") {
        Some(Value::Text(model)) => model.as_str(),
        _ => return Err(keys.error("model", "is missing: the file holds no tokenizer")),
    };
    let tokens = keys.texts("tokens")?;
    let (mut tokenizer, add_bos) = match model {
        "gpt2" => byte_level(&keys, tokens)?,
        "llama" => (sentence_piece(&keys, tokens)?, true),
        other => {
            return Err(ModelError::Unsupported {
                path: path.to_owned(),
                what: "tokenizer",
                name: other.to_owned(),
                supported: "gpt2 (byte-level), llama (SentencePiece)".into(),
            });
        }
    };
    add_tokens(&keys, tokens, model == "llama", &mut tokenizer)?;
    let control = Control {
        bos: keys.token("bos_token_id", tokens.len())?,
        eos: keys.token("eos_token_id", tokens.len())?,
        pad: keys.token("padding_token_id", tokens.len())?,
        add_bos: keys.flag("add_bos_token")?.unwrap_or(add_bos),
    };
    Ok((tokenizer, control))
}

/// Byte-level pair merging, and whether sequences begin with `bos` by default.
fn byte_level(keys: &Keys<'_>, tokens: &[String]) -> Result<(Tokenizer, bool), ModelError> {
    let name = match keys.get("pre") {
        Some(Value::Text(name)) => name.as_str(),
        _ => match keys.metadata.get("general.architecture") {
            Some(Value::Text(architecture)) if architecture == "gpt2" => "gpt-2",
            Some(Value::Text(architecture)) if architecture == "gptneox" => "olmo",
            _ => "(none)",
        },
    };
    let rule = pretokenizer::rule(name).ok_or_else(|| ModelError::Unsupported {
        path: keys.path.to_owned(),
        what: "pre-tokenizer (`tokenizer.ggml.pre`)",
        name: name.to_owned(),
        supported: pretokenizer::KNOWN.into(),
    })?;
    let merges = keys
        .texts("merges")?
        .iter()
        .map(|merge| match merge.split_once(' ') {
            Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
            None => Err(keys.error("merges", &format!("`{merge}` is not a pair"))),
        })
        .collect::<Result<Vec<_>, ModelError>>()?;
    let model = BPE::builder()
        .vocab_and_merges(vocabulary(tokens), merges)
        .ignore_merges(rule.ignore_merges)
        .build()
        .map_err(|error| keys.error("merges", &format!("do not fit the tokens: {error}")))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(rule.normalizer())
        .with_pre_tokenizer(Some(rule.pre_tokenizer()?))
        .with_decoder(Some(ByteLevel::default()));
    Ok((tokenizer, rule.add_bos))
}

/// SentencePiece pair merging with byte fallback.
fn sentence_piece(keys: &Keys<'_>, tokens: &[String]) -> Result<Tokenizer, ModelError> {
    let scores = match keys.get("scores") {
        Some(Value::Floats(scores)) if scores.len() == tokens.len() => scores,
        _ => return Err(keys.error("scores", &format!("is not a list of {} numbers", tokens.len()))),
    };
    let unknown = keys.token("unknown_token_id", tokens.len())?.unwrap_or(0) as usize;
    let model = BPE::builder()
        .vocab_and_merges(vocabulary(tokens), merges_by_score(tokens, scores))
        .unk_token(tokens[unknown].clone())
        .fuse_unk(true)
        .byte_fallback(true)
        .build()
        .map_err(|error| keys.error("tokens", &format!("cannot be merged: {error}")))?;
    let tokenizer_error = |error: tokenizers::Error| ModelError::Tokenizer(error.to_string());
    let spaces = NormalizerWrapper::Replace(Replace::new(" ", "▁").map_err(tokenizer_error)?);
    let normalizer = if keys.flag("add_space_prefix")?.unwrap_or(true) {
        Sequence::new(vec![NormalizerWrapper::Prepend(Prepend::new("▁".to_owned())), spaces])
    } else {
        Sequence::new(vec![spaces])
    };
    let undo_spaces = tokenizers::normalizers::Replace::new("▁", " ").map_err(tokenizer_error)?;
    let decoders = vec![
        DecoderWrapper::Replace(undo_spaces),
        DecoderWrapper::ByteFallback(ByteFallback::default()),
        DecoderWrapper::Fuse(Fuse::new()),
    ];
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(NormalizerWrapper::Sequence(normalizer))).with_decoder(Some(
        DecoderWrapper::Sequence(tokenizers::decoders::sequence::Sequence::new(decoders)),
    ));
    Ok(tokenizer)
}

type Vocabulary = ahash::AHashMap<String, u32>;

fn vocabulary(tokens: &[String]) -> Vocabulary {
    tokens.iter().enumerate().map(|(id, token)| (token.clone(), id as u32)).collect()
}

/// Every way to make a token of two others, tokens with better scores first; within a token, pairs in the order of
/// their parts' ids.
fn merges_by_score(tokens: &[String], scores: &[f32]) -> Vec<(String, String)> {
    let ids = vocabulary(tokens);
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut merges = Vec::new();
    for id in order {
        let token = &tokens[id];
        let cuts = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let mut pairs: Vec<_> =
            cuts.filter_map(|(left, right)| Some((*ids.get(left)?, *ids.get(right)?, left, right))).collect();
        pairs.sort_unstable();
        merges.extend(pairs.into_iter().map(|(_, _, left, right)| (left.to_owned(), right.to_owned())));
    }
    merges
}

/// Token kinds of the format.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Makes control and user-defined tokens match as a whole.
fn add_tokens(
    keys: &Keys<'_>,
    tokens: &[String],
    sentence_piece: bool,
    tokenizer: &mut Tokenizer,
) -> Result<(), ModelError> {
    let kinds = match keys.get("token_type") {
        None => return Ok(()),
        Some(Value::Integers(kinds)) if kinds.len() == tokens.len() => kinds,
        Some(_) => {
            return Err(keys.error("token_type", &format!("is not a list of {} numbers", tokens.len())));
        }
    };
    let of_kind = |wanted: i64| {
        let matching =
            tokens.iter().zip(kinds).filter(move |(token, kind)| **kind == wanted && !token.is_empty());
        matching.map(|(token, _)| token.clone())
    };
    let control: Vec<_> = of_kind(CONTROL).map(|token| AddedToken::from(token, true)).collect();
    // A SentencePiece piece is matched after spaces have become `▁`.
    let user: Vec<_> = of_kind(USER_DEFINED)
        .map(|token| AddedToken::from(token, false).normalized(sentence_piece))
        .collect();
    tokenizer.add_special_tokens(&control);
    tokenizer.add_tokens(&user);
    Ok(())
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&format!("tokenizer.ggml.{key}"))
    }

    fn texts(&self, key: &str) -> Result<&[String], ModelError> {
        match self.get(key) {
            Some(Value::Texts(texts)) if !texts.is_empty() => Ok(texts),
            _ => Err(self.error(key, "is missing or not a list of texts")),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.error(key, "is neither true nor false")),
        }
    }

    /// A token id, which must be inside the vocabulary.
    fn token(&self, key: &str, vocab_size: usize) -> Result<Option<u32>, ModelError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Integer(id)) if (0..vocab_size as i64).contains(id) => Ok(Some(*id as u32)),
            // Written by some converters for "there is none".
            Some(Value::Integer(id)) if *id == -1 || *id == i64::from(u32::MAX) => Ok(None),
            Some(_) => Err(self.error(key, &format!("is not one of the {vocab_size} tokens"))),
        }
    }

    fn error(&self, key: &str, message: &str) -> ModelError {
        ModelError::Config {
            path: self.path.to_owned(),
            field: format!("tokenizer.ggml.{key}"),
            message: message.to_owned(),
        }
    }
}
