//! A tokenizer from a Hugging Face directory.
//!
//! `tokenizer.json` holds everything that turns text into ids. Which token plays which role stands in
//! `tokenizer_config.json`, else in `special_tokens_map.json`, else as an id in `config.json`.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use super::Control;
use crate::checkpoint::Fields;
use crate::error::ModelError;

pub(super) fn read(directory: &Path) -> Result<(Tokenizer, Control), ModelError> {
    let path = directory.join("tokenizer.json");
    if !path.is_file() {
        return Err(ModelError::Format {
            path: directory.to_owned(),
            message: "there is no tokenizer.json; transformers writes one: \
                      AutoTokenizer.from_pretrained(directory).save_pretrained(directory)"
                .into(),
        });
    }
    let bytes = std::fs::read(&path).map_err(|source| ModelError::Io { path: path.clone(), source })?;
    let tokenizer = Tokenizer::from_bytes(bytes)
        .map_err(|error| ModelError::Format { path, message: format!("not a tokenizer: {error}") })?;
    let control = control(directory, &tokenizer)?;
    Ok((tokenizer, control))
}

fn control(directory: &Path, tokenizer: &Tokenizer) -> Result<Control, ModelError> {
    let open = |name: &str| {
        let path = directory.join(name);
        path.is_file().then(|| Fields::open(&path)).transpose()
    };
    let named = [open("tokenizer_config.json")?, open("special_tokens_map.json")?];
    let config = open("config.json")?;
    let role = |name: &str| {
        let spelled = |fields: &Fields| {
            let value = fields.get(&format!("{name}_token"))?;
            // Either the text itself or an object that holds it.
            let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
            tokenizer.token_to_id(text)
        };
        let numbered = |fields: &Fields| {
            let value = fields.get(&format!("{name}_token_id"))?;
            let first = value.as_array().and_then(|ids| ids.first()).unwrap_or(value);
            u32::try_from(first.as_u64()?).ok()
        };
        named.iter().flatten().find_map(spelled).or_else(|| config.as_ref().and_then(numbered))
    };
    let bos = role("bos");
    let declared = named[0].as_ref().and_then(|fields| fields.get("add_bos_token")).and_then(Value::as_bool);
    let add_bos = match declared {
        Some(declared) => declared,
        None => adds_bos(tokenizer, bos)?,
    };
    Ok(Control { bos, eos: role("eos"), pad: role("pad"), add_bos })
}

/// Whether the tokenizer itself puts `bos` before a text.
fn adds_bos(tokenizer: &Tokenizer, bos: Option<u32>) -> Result<bool, ModelError> {
    let encoding = tokenizer.encode("a", true).map_err(|error| ModelError::Tokenizer(error.to_string()))?;
    Ok(bos.is_some() && encoding.get_ids().first().copied() == bos)
}
