//! The worked examples of revision, in `revision-examples.toml`: sentences that test an explanation, and what is made of such a
//! test.

use serde::Deserialize;

use super::template::PromptError;

/// All of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RevisionExamples {
    /// Sentences that put explanations to the test.
    #[serde(default)]
    pub test_sentences: Vec<SentencesExample>,
    /// What is made of a test.
    #[serde(default)]
    pub revise: Vec<RevisedExample>,
}

/// An explanation with sentences that test it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentencesExample {
    /// The explanation.
    pub explanation: String,
    /// Sentences in which the unit responds if it is right.
    pub fires: Vec<String>,
    /// Sentences in which it does not.
    pub silent: Vec<String>,
}

/// A test with the explanation that is made of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevisedExample {
    /// The explanation that was tested.
    pub explanation: String,
    /// Marked excerpts on which the unit responds.
    pub excerpts: Vec<String>,
    /// Sentences: the text, whether the explanation says that the unit responds, its response from 0 to 10, and the token with
    /// the largest one.
    pub sentences: Vec<(String, bool, u8, String)>,
    /// The better explanation.
    pub revised: String,
}

/// Reads the worked examples.
pub(super) fn parse(file: &str, text: &str) -> Result<RevisionExamples, PromptError> {
    let broken = |message: String| PromptError::Examples { file: file.to_owned(), message };
    let examples: RevisionExamples = toml::from_str(text).map_err(|error| broken(error.to_string()))?;
    for example in &examples.revise {
        if let Some((text, .., response, _)) = example.sentences.iter().find(|sentence| sentence.2 > 10) {
            return Err(broken(format!("the response {response} to `{text}` is more than 10")));
        }
    }
    Ok(examples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said() {
        let revise = |sentence: &str| {
            format!("[[revise]]\nexplanation = 'a'\nexcerpts = []\nsentences = [{sentence}]\nrevised = 'b'\n")
        };
        let found = parse("x", &revise("['a cat', true, 10, ' cat']")).unwrap();
        assert_eq!(found.revise[0].sentences[0], ("a cat".to_owned(), true, 10, " cat".to_owned()));
        for (wrong, says) in [
            (revise("['a cat', true, 11, ' cat']"), "11"),
            (revise("['a cat', true]"), "sentences"),
            ("[[revised]]\n".to_owned(), "revised"),
        ] {
            let error = parse("x.toml", &wrong).unwrap_err().to_string();
            assert!(error.contains("x.toml") && error.contains(says), "{error}");
        }
    }
}
