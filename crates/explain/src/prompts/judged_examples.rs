//! The worked examples of the scorers that ask yes or no, in `judge-examples.toml`: things with their right answers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::template::PromptError;

/// An explanation with things that fit it and things that do not.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedExample {
    /// The explanation.
    pub explanation: String,
    /// Texts or tokens, and whether they fit.
    pub things: Vec<(String, bool)>,
}

/// Worked examples by the scorer that shows them.
pub(super) type JudgedExamples = BTreeMap<String, Vec<JudgedExample>>;

/// The scorers that show worked examples.
const SCORERS: [&str; 3] = ["detection", "fuzzing", "logits"];

/// Reads the worked examples.
pub(super) fn parse(file: &str, text: &str) -> Result<JudgedExamples, PromptError> {
    let broken = |message: String| PromptError::Examples { file: file.to_owned(), message };
    let examples: JudgedExamples = toml::from_str(text).map_err(|error| broken(error.to_string()))?;
    if let Some(unknown) = examples.keys().find(|scorer| !SCORERS.contains(&scorer.as_str())) {
        return Err(broken(format!("`{unknown}` is none of {}", SCORERS.join(", "))));
    }
    if let Some(empty) = examples.values().flatten().find(|example| example.things.is_empty()) {
        return Err(broken(format!("`{}` has no things", empty.explanation)));
    }
    Ok(examples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_that_would_have_no_effect_are_refused() {
        let found = parse("x", "[[detection]]\nexplanation = 'a'\nthings = [['b', true]]\n").unwrap();
        assert_eq!(found["detection"][0].things, [("b".to_owned(), true)]);
        for (wrong, says) in [
            ("[[detecting]]\nexplanation = 'a'\nthings = [['b', true]]\n", "detecting"),
            ("[[fuzzing]]\nexplanation = 'a'\nthings = []\n", "no things"),
            ("[[logits]]\nexplanation = 'a'\nthing = [['b', true]]\n", "thing"),
        ] {
            let error = parse("x.toml", wrong).unwrap_err().to_string();
            assert!(error.contains("x.toml") && error.contains(says), "{error}");
        }
    }
}
