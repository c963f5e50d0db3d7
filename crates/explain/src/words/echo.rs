//! Answers that say nothing of their own: small models repeat the prompt, or what it shows, in place of an explanation.
//!
//! An answer is an echo if it holds a phrase of five words or more that the prompt itself says; a token with its number as
//! lists of activations are written, with a tab between them; or if all of it is a piece, of eight words or more, of one of the texts
//! that were shown. Marks and blanks are not compared. Short quotes, and quotes among words of the model's own, are none.

use serde_json::Value;

use crate::prompts::Template;

/// Words of the prompt that nobody says by chance.
const PHRASE: usize = 5;

/// Words of a shown text that are no name of what is looked for, but the text.
const PIECE: usize = 8;

/// What an answer might repeat.
#[derive(Debug, Clone, Default)]
pub struct Echo {
    phrases: Vec<String>,
    texts: Vec<String>,
}

impl Echo {
    /// Of a prompt, and of what is filled into its question.
    pub fn of(template: &Template, question: &Value) -> Self {
        let long = |phrase: &&str| words(phrase) >= PHRASE;
        let phrases = template.phrases().into_iter().filter(long).map(str::to_owned).collect();
        let mut texts = Vec::new();
        collect(question, &mut texts);
        Self { phrases, texts }
    }

    /// What a sentence repeats, if it is an echo.
    pub fn repeated(&self, sentence: &str) -> Option<&'static str> {
        if self.phrases.iter().any(|phrase| sentence.contains(phrase.as_str())) {
            return Some("the answer repeats the prompt");
        }
        let numbered = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
        if sentence.split('\t').skip(1).any(numbered) {
            return Some("the answer repeats a list of activations");
        }
        let sentence = unmarked(sentence);
        let is_piece = words(&sentence) >= PIECE && self.texts.iter().any(|text| text.contains(&sentence));
        is_piece.then_some("the answer repeats a text that was shown")
    }
}

/// The texts of excerpts and sentences in what is filled into a question; an explanation in it may well be repeated.
fn collect(question: &Value, texts: &mut Vec<String>) {
    match question {
        Value::String(text) => texts.push(unmarked(text)),
        Value::Array(items) => {
            // A text as a list of tokens.
            let tokens = items.iter().filter_map(|item| item.get("token")?.as_str());
            texts.push(unmarked(&tokens.collect::<String>()));
            items.iter().for_each(|item| collect(item, texts));
        }
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(name, _)| name.as_str() != "explanation");
            shown.for_each(|(_, value)| collect(value, texts));
        }
        _ => {}
    }
}

/// A text without marks, with single blanks.
fn unmarked(text: &str) -> String {
    text.replace("<<", "").replace(">>", "").split_whitespace().collect::<Vec<&str>>().join(" ")
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::prompts::Prompts;

    fn repeated(prompt: &str, question: &Value, sentence: &str) -> Option<&'static str> {
        Echo::of(Prompts::builtin().unwrap().template(prompt).unwrap(), question).repeated(sentence)
    }

    fn evidence() -> Value {
        json!({
            "explanation": "words for rain, snow and all other kinds of weather that fall",
            "excerpts": [{"marked": "The man sent an<< email>> to her and to his old friend.", "strongest": []}],
            "sentences": [{"text": "Need to read more about email and connection networks.", "expected": true}],
        })
    }

    /// What a model of 1.5 billion parameters wrote when it was asked to revise an explanation, and other ways to say nothing.
    #[test]
    fn echoes_are_refused() {
        let prompt = Some("the answer repeats the prompt");
        let text = Some("the answer repeats a text that was shown");
        for (expected, sentence) in [
            (
                prompt,
                "words related to email, such as \"email\" and \"Internet Affiliate Network\". The explanation says that it \
                 responds. Response: 4, so it stays silent, AGAINST the explanation",
            ),
            (prompt, "Excerpts on which it responds: 1"),
            (prompt, "what is new. We study the neurons of a neural network that reads text"),
            (text, "The man sent an<< email>> to her and to his old friend"),
            (text, "man sent an email to her and to his"),
            (text, "Need to read more about email and connection networks"),
        ] {
            assert_eq!(repeated("revise", &evidence(), sentence), expected, "{sentence}");
        }
        let tokens = ["We", " all", " like", " the", " rain", " in", " May", " and", " June"];
        let excerpt: Vec<Value> =
            tokens.iter().map(|token| json!({"token": token, "activation": 3})).collect();
        let pairs = json!({"excerpts": [excerpt]});
        let list = Some("the answer repeats a list of activations");
        assert_eq!(repeated("pairs", &pairs, "rain\t7"), list);
        assert_eq!(repeated("pairs", &pairs, "We all like the rain in May and"), text);
        assert_eq!(repeated("pairs", &pairs, "Only the tokens with a response: rain"), prompt);
    }

    #[test]
    fn honest_sentences_are_none() {
        for sentence in [
            "words for rain, snow and all other kinds of weather that fall",
            "email",
            "to his old friend",
            "the words \"The man sent an email to her and to his old friend\"",
            "phrases like an email to her and to his old friend, or a letter to a friend",
            "responses to an explanation that says what it stays silent about",
            "the sign << before a token, and >> after it",
            "a tab (\\t) before the number 7",
        ] {
            assert_eq!(repeated("revise", &evidence(), sentence), None, "{sentence}");
        }
    }

    /// No true or false explanation of the puzzles, and no worked example, is an echo of any prompt.
    #[test]
    fn explanations_of_puzzles_are_none() {
        let prompts = Prompts::builtin().unwrap();
        let puzzles = crate::puzzles::all().unwrap();
        let candidates = puzzles
            .iter()
            .flat_map(|puzzle| std::iter::once(&puzzle.truth).chain(&puzzle.wrong))
            .map(String::as_str);
        let examples = prompts.examples().iter().map(|example| example.explanation.as_str());
        for sentence in candidates.chain(examples) {
            for prompt in ["max-act", "pairs", "contrastive", "logits", "tokens", "n2g", "revise"] {
                assert_eq!(repeated(prompt, &json!({}), sentence), None, "{sentence}");
            }
        }
    }
}
