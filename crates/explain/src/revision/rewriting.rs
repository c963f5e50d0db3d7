//! Asking for a better explanation: the one that was tested, training excerpts, and the sentences with what the unit did.

use glossator_llm::{Capabilities, Generation, Message, Request, Want};
use serde_json::{Value, json};

use super::{FIRES, Feedback, Round};
use crate::prompts::{PromptError, Prompts, RevisedExample, visible};
use crate::words::{Evidence, Method};

/// Most tokens of a revised explanation.
const ANSWER_TOKENS: u32 = 60;

/// What the explainer is shown after a round.
pub(super) fn question(evidence: &Evidence<'_>, round: &Round) -> Value {
    let excerpts = Method::MaxActivating.drafts(evidence);
    let excerpts = excerpts.first().map_or_else(|| json!([]), |draft| draft.question["excerpts"].clone());
    let shown = round.sentences.iter().map(|sentence| {
        json!({
            "text": visible(&sentence.text),
            "expected": sentence.expected,
            "fires": sentence.fires,
            "activation": (10.0 * sentence.share.clamp(0.0, 1.0)).floor() as u8,
            "token": visible(&sentence.token),
        })
    });
    let shown: Vec<Value> = shown.collect();
    json!({"explanation": visible(&round.tested), "excerpts": excerpts, "sentences": shown})
}

/// The worked examples, as they are filled in: with what goes back by this feedback.
fn examples(prompts: &Prompts, feedback: Feedback) -> Vec<Value> {
    let filled = |example: &RevisedExample| {
        let shown = example.sentences.iter().filter(|_| feedback != Feedback::Nothing);
        let sentences = shown.map(|(text, expected, response, token)| {
            json!({
                "text": visible(text),
                "expected": (feedback == Feedback::Tests).then_some(expected),
                "fires": f32::from(*response) >= 10.0 * FIRES,
                "activation": response,
                "token": visible(token),
            })
        });
        let excerpts = example.excerpts.iter().map(|excerpt| json!({"marked": excerpt}));
        json!({
            "explanation": visible(&example.explanation),
            "excerpts": excerpts.collect::<Vec<Value>>(),
            "sentences": sentences.collect::<Vec<Value>>(),
            "revised": visible(&example.revised),
        })
    };
    prompts.revision_examples().revise.iter().map(filled).collect()
}

/// The request for a revised explanation.
pub(super) fn request(
    prompts: &Prompts,
    capabilities: Capabilities,
    feedback: Feedback,
    question: &Value,
) -> Result<Request, PromptError> {
    let shown = examples(prompts, feedback);
    let conversation = prompts.template("revise")?.fill(&json!({"feedback": feedback}), &shown, question)?;
    let mut messages = conversation.messages;
    if let Some(begin) = conversation.begin.filter(|_| capabilities.continues_turn) {
        messages.push(Message::assistant(begin));
    }
    let want = Want::Text(Generation {
        max_tokens: ANSWER_TOKENS,
        stop: vec!["\n".to_owned()],
        ..Generation::default()
    });
    Ok(Request { messages, want, sample: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_examples_show_what_goes_back() {
        let prompts = Prompts::builtin().unwrap();
        let question = json!({"explanation": "x", "excerpts": [], "sentences": []});
        for (feedback, sentences, against) in [
            (Feedback::Tests, true, true),
            (Feedback::Random, true, false),
            (Feedback::Nothing, false, false),
        ] {
            let messages = request(&prompts, Capabilities::default(), feedback, &question).unwrap().messages;
            let (shown, answer) = (&messages[1].content, &messages[2].content);
            assert_eq!(answer, "This neuron looks for the word 'light' before the name of a colour.");
            assert!(shown.contains("a<< light>> green"), "{shown}");
            assert_eq!(shown.contains("A light blue car went by."), sentences, "{feedback}: {shown}");
            assert_eq!(shown.contains("AGAINST the explanation"), against, "{feedback}: {shown}");
        }
    }
}
