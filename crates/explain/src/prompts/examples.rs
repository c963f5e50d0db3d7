//! The worked examples of prompts: made-up units with excerpts, in `examples.toml`.

use serde::Deserialize;

use super::template::PromptError;

/// A made-up unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// What it responds to.
    pub explanation: String,
    /// Texts with its activations.
    pub excerpts: Vec<ExampleExcerpt>,
}

/// A text of a made-up unit.
#[derive(Debug, Clone, PartialEq)]
pub struct ExampleExcerpt {
    /// `[token]` texts.
    pub tokens: Vec<String>,
    /// `[token]` activations from 0 to 10.
    pub activations: Vec<u8>,
    /// From which token on simulators are shown the activations.
    pub revealed: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    example: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    explanation: String,
    excerpts: Vec<String>,
    revealed: Vec<usize>,
}

/// Reads the worked examples.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Example>, PromptError> {
    let broken = |message: String| PromptError::Examples { file: file.to_owned(), message };
    let entries: File = toml::from_str(text).map_err(|error| broken(error.to_string()))?;
    let example = |entry: Entry| {
        if entry.revealed.len() != entry.excerpts.len() {
            return Err(broken(format!("`{}` needs one `revealed` for each excerpt", entry.explanation)));
        }
        let excerpts = entry.excerpts.iter().zip(entry.revealed).map(|(excerpt, revealed)| {
            let pairs = excerpt.split('|').filter(|token| !token.is_empty()).map(pair);
            let pairs: Option<Vec<(String, u8)>> = pairs.collect();
            let pairs = pairs.ok_or_else(|| broken(format!("`{excerpt}` has an activation above 10")))?;
            let (tokens, activations) = pairs.into_iter().unzip();
            Ok(ExampleExcerpt { tokens, activations, revealed })
        });
        Ok(Example { explanation: entry.explanation, excerpts: excerpts.collect::<Result<_, _>>()? })
    };
    entries.example.into_iter().map(example).collect()
}

/// `violin=9` as the token and its activation.
fn pair(token: &str) -> Option<(String, u8)> {
    match token.rsplit_once('=').and_then(|(text, number)| Some((text, number.parse::<u8>().ok()?))) {
        Some((_, activation)) if activation > 10 => None,
        Some((text, activation)) => Some((text.to_owned(), activation)),
        None => Some((token.to_owned(), 0)),
    }
}
