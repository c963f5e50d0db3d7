//! Asking for a better explanation: the one that was tested, training excerpts, and the sentences with what the unit did.

use glossator_llm::{Capabilities, Generation, Message, Request, Want};
use serde_json::{Value, json};

use super::{Feedback, Round};
use crate::prompts::{PromptError, Template, visible};
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

/// The request for a revised explanation.
pub(super) fn request(
    template: &Template,
    capabilities: Capabilities,
    feedback: Feedback,
    question: &Value,
) -> Result<Request, PromptError> {
    let conversation = template.fill(&json!({"feedback": feedback}), &[], question)?;
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
