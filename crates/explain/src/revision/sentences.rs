//! Test sentences: the explainer writes texts on which the unit should fire if the explanation is right, and texts that look
//! alike on which it should not.

use glossator_llm::{Capabilities, Failure, FailureKind, Finish, Generation, Outcome, Request, Want};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::prompts::{PromptError, Prompts, SentencesExample, visible};

/// Sentences of either kind that are asked for; ten in all, the published number.
pub(crate) const EACH: usize = 5;

/// Characters of a sentence at most.
const LONGEST: usize = 400;

/// Temperature of further rounds: enough for other sentences, little enough for small models to keep to the form.
const TEMPERATURE: f32 = 0.7;

/// A sentence, and whether the unit should fire on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The sentence.
    pub text: String,
    /// Whether the explanation says so.
    pub fires: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentences {
    fires: Vec<String>,
    silent: Vec<String>,
}

/// The request for sentences that test `explanation`, in round `round`. Where the model cannot be held to a JSON schema, it
/// is only told the form.
pub(super) fn request(
    prompts: &Prompts,
    explanation: &str,
    round: u32,
    capabilities: Capabilities,
) -> Result<Request, PromptError> {
    let question = json!({"explanation": visible(explanation), "count": EACH});
    let messages =
        prompts.template("test-sentences")?.fill(&json!({}), &examples(prompts), &question)?.messages;
    let want = Want::Text(Generation {
        max_tokens: 60 * 2 * EACH as u32,
        // Another round about the same explanation is to bring other sentences.
        temperature: if round == 0 { 0.0 } else { TEMPERATURE },
        json_schema: capabilities.json_schema.then(schema),
        ..Generation::default()
    });
    Ok(Request { messages, want, sample: round })
}

/// The worked examples, as they are filled in.
fn examples(prompts: &Prompts) -> Vec<Value> {
    let filled = |example: &SentencesExample| {
        let answer = json!({"fires": example.fires, "silent": example.silent}).to_string();
        let count = example.fires.len();
        json!({"explanation": visible(&example.explanation), "count": count, "answer": answer})
    };
    prompts.revision_examples().test_sentences.iter().map(filled).collect()
}

fn schema() -> Value {
    let list = json!({"type": "array", "items": {"type": "string"}, "minItems": EACH, "maxItems": EACH});
    json!({
        "type": "object", "properties": {"fires": list, "silent": list},
        "required": ["fires", "silent"], "additionalProperties": false,
    })
}

/// The sentences of an outcome: a JSON object with both lists, alone or in a fenced block. Lists may be shorter or longer
/// than asked for, but neither may be empty; of longer ones the first count.
pub(super) fn read(outcome: &Outcome) -> Result<Vec<Wanted>, Failure> {
    let answer = outcome.as_ref().map_err(Clone::clone)?;
    let failed = |kind, message: String| Failure { kind, message, usage: answer.usage };
    if answer.finish == Finish::Length {
        return Err(failed(FailureKind::Truncated, "the answer is cut off".to_owned()));
    }
    let text = answer.text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    let text = inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text);
    let object = serde_json::from_str::<serde_json::Map<String, Value>>(text.trim());
    let sentences = object.and_then(|object| serde_json::from_value(Value::Object(object)));
    let sentences: Sentences = sentences.map_err(|error: serde_json::Error| {
        failed(FailureKind::Malformed, format!("no object with the lists fires and silent: {error}"))
    })?;
    let usable = |texts: Vec<String>, fires: bool| -> Vec<Wanted> {
        let whole =
            texts.into_iter().filter(|text| !text.trim().is_empty() && text.chars().count() <= LONGEST);
        whole.take(EACH).map(|text| Wanted { text, fires }).collect()
    };
    let (fires, silent) = (usable(sentences.fires, true), usable(sentences.silent, false));
    if fires.is_empty() || silent.is_empty() {
        return Err(failed(FailureKind::Malformed, "one of the lists holds no sentence".to_owned()));
    }
    Ok([fires, silent].concat())
}

#[cfg(test)]
mod tests {
    use glossator_llm::Answer;

    use super::*;

    fn read_text(text: &str) -> Result<Vec<Wanted>, FailureKind> {
        read(&Ok(Answer { text: text.to_owned(), ..Answer::default() })).map_err(|failure| failure.kind)
    }

    #[test]
    fn models_that_cannot_be_held_to_a_schema_are_only_told_the_form() {
        for json_schema in [false, true] {
            let capabilities = Capabilities { json_schema, ..Capabilities::default() };
            let request = request(&Prompts::builtin().unwrap(), "not", 0, capabilities).unwrap();
            let Want::Text(generation) = request.want else { panic!("text is wanted") };
            assert_eq!(generation.json_schema.is_some(), json_schema);
        }
    }

    /// What the worked examples show is what is read.
    #[test]
    fn worked_examples_keep_to_the_form() {
        let prompts = Prompts::builtin().unwrap();
        for example in examples(&prompts) {
            let answer = example["answer"].as_str().unwrap();
            let read = read(&Ok(Answer { text: answer.to_owned(), ..Answer::default() })).unwrap();
            assert_eq!((read.len(), &example["count"]), (2 * EACH, &json!(EACH)));
        }
        let request = request(&prompts, "not", 0, Capabilities::default()).unwrap();
        assert!(request.messages.len() >= 4 && request.messages[2].content.starts_with("{\"fires\":["));
    }

    #[test]
    fn sentences_are_found_in_an_answer() {
        let found =
            read_text("```json\n{\"fires\": [\"Not all came.\", \" \"], \"silent\": [\"All came.\"]}\n```")
                .unwrap();
        let expected = [("Not all came.", true), ("All came.", false)];
        assert_eq!(found.iter().map(|one| (one.text.as_str(), one.fires)).collect::<Vec<_>>(), expected);
        let many = vec!["a"; 9];
        let found = read_text(&json!({"fires": many, "silent": many}).to_string()).unwrap();
        assert_eq!(found.len(), 2 * EACH);
    }

    #[test]
    fn what_cannot_be_read_is_a_failure() {
        for wrong in [
            "",
            "Not all came.",
            "{\"fires\": [\"a\"]}",
            "{\"fires\": [\"a\"], \"silent\": []}",
            "[[\"a\"], [\"b\"]]",
            "{\"fires\": [1], \"silent\": [\"b\"]}",
            "{\"fires\": [\"a\"], \"silent\": [\"b\"], \"more\": 1}",
        ] {
            assert_eq!(read_text(wrong), Err(FailureKind::Malformed), "{wrong}");
        }
        let cut = Answer { text: "{\"fires\": [\"a".to_owned(), finish: Finish::Length, ..Answer::default() };
        assert_eq!(read(&Ok(cut)).unwrap_err().kind, FailureKind::Truncated);
    }
}
