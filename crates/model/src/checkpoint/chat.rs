//! How a checkpoint wants to be talked to: the chat template and the tokens that end an answer.
//!
//! GGUF files keep both in `tokenizer.*`; Hugging Face directories keep the template in `chat_template.jinja` or
//! `tokenizer_config.json`, and the tokens that end an answer in `generation_config.json`.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Checkpoint, Fields, Format, Value};
use crate::error::ModelError;
use crate::tokenizer::Tokenizer;

/// Tokens that end a turn in the families that are known, for files that do not say.
const TURN_ENDS: [&str; 6] =
    ["<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "<|endoftext|>", "<|end|>"];

impl Checkpoint {
    /// The chat template, in Jinja; none if the model was not made for chat.
    pub fn chat_template(&self) -> Result<Option<String>, ModelError> {
        match &self.format {
            Format::Gguf(file) => Ok(match file.metadata().get("tokenizer.chat_template") {
                Some(Value::Text(template)) => Some(template.clone()),
                _ => None,
            }),
            Format::HuggingFace { directory, .. } => {
                let path = directory.join("chat_template.jinja");
                if path.is_file() {
                    return match std::fs::read_to_string(&path) {
                        Ok(template) => Ok(Some(template)),
                        Err(source) => Err(ModelError::Io { path, source }),
                    };
                }
                in_tokenizer_config(&directory.join("tokenizer_config.json"))
            }
        }
    }

    /// The tokens that end an answer.
    pub fn answer_ends(&self, tokenizer: &Tokenizer) -> Result<Vec<u32>, ModelError> {
        let known = TURN_ENDS.iter().filter_map(|name| tokenizer.token_id(name));
        let mut ends: BTreeSet<u32> = known.filter(|id| tokenizer.is_special(*id)).collect();
        ends.extend(tokenizer.eos());
        match &self.format {
            Format::Gguf(file) => {
                if let Some(Value::Integer(id)) = file.metadata().get("tokenizer.ggml.eot_token_id") {
                    ends.extend(u32::try_from(*id).ok().filter(|id| (*id as usize) < tokenizer.vocab_size()));
                }
            }
            Format::HuggingFace { directory, .. } => {
                let path = directory.join("generation_config.json");
                if path.is_file() {
                    let fields = Fields::open(&path)?;
                    let value = fields.get("eos_token_id");
                    let listed = value.and_then(serde_json::Value::as_array).map_or(&[][..], Vec::as_slice);
                    let ids = value.into_iter().chain(listed).filter_map(serde_json::Value::as_u64);
                    ends.extend(ids.filter_map(|id| u32::try_from(id).ok()));
                }
            }
        }
        Ok(ends.into_iter().collect())
    }
}

/// A text, or a list of named templates of which `default` is the one.
fn in_tokenizer_config(path: &Path) -> Result<Option<String>, ModelError> {
    if !path.is_file() {
        return Ok(None);
    }
    let fields = Fields::open(path)?;
    let Some(value) = fields.get("chat_template") else { return Ok(None) };
    let named = |entry: &&serde_json::Value| entry.get("name").is_some_and(|name| name == "default");
    let template = match value {
        serde_json::Value::Array(entries) => {
            entries.iter().find(named).and_then(|entry| entry.get("template"))
        }
        other => Some(other),
    };
    match template.and_then(serde_json::Value::as_str) {
        Some(template) => Ok(Some(template.to_owned())),
        None => Err(fields.error("chat_template", "is neither a text nor a list with a template `default`")),
    }
}
