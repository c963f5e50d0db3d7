//! Explainers that answer in words: what a language model is shown of a unit, and what is made of its answer.
//!
//! | method | shows | after |
//! |---|---|---|
//! | `pairs` | tokens with activations from 0 to 10 | Bills et al. 2023, "Explain" |
//! | `tokens` | the tokens with the largest mean activation | the same, "token space" |
//! | `marked` | excerpts with `<<marks>>` around what the unit responds to | Paulo et al. 2024 (delphi) |
//! | `contrastive` | the same, and near misses | delphi's contrastive explainer |
//! | `logits` | the same, what follows, and the tokens that the unit promotes | Neuronpedia's explainers with logits |
//! | `patterns` | a Neuron2Graph and the token means, as one line each | |
//! | [`senses`] | excerpts in groups of their own, each explained by itself | |
//!
//! An explainer sees excerpts of the train split only, and token means without the unit's scoring excerpts.

pub mod answer;
pub(crate) mod assigning;
mod contrastive;
mod echo;
mod evidence;
mod logits;
mod marked;
mod pairs;
mod patterns;
pub mod senses;
mod tokens;

use std::fmt;
use std::str::FromStr;

use glossator_llm::{Capabilities, Generation, Message, Request, Want};
use serde_json::{Value, json};

pub use echo::Echo;
pub use evidence::Evidence;

use crate::ExplainError;
use crate::prompts::{PromptError, Prompts, Template};

/// What the names of these explainers begin with.
pub const PREFIX: &str = "llm:";

/// Most tokens of an answer, the published number.
const ANSWER_TOKENS: u32 = 60;

/// Explanations drawn beside the likeliest one are sampled at this temperature, the published one.
const TEMPERATURE: f32 = 1.0;

/// What a language model is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Tokens with activations from 0 to 10.
    Pairs,
    /// Tokens with the largest mean activation.
    Tokens,
    /// Excerpts with marks around what the unit responds to.
    MaxActivating,
    /// Marked excerpts, and near misses.
    Contrastive,
    /// Marked excerpts, what follows, and the tokens that the unit promotes.
    Logits,
    /// A Neuron2Graph and the token means.
    Patterns,
    /// Excerpts in groups of their own ([`senses`]).
    Senses,
}

/// One thing to be explained: all of what was seen of a unit, or one of its senses.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What fills the prompt in.
    pub question: Value,
    /// Windows that are shown.
    pub windows: Vec<u32>,
    /// Share of the activation that it accounts for, on the training excerpts; 1 where there are no senses.
    pub share: f64,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::MaxActivating,
        Self::Pairs,
        Self::Contrastive,
        Self::Logits,
        Self::Tokens,
        Self::Patterns,
        Self::Senses,
    ];

    /// The name by which it is chosen, without [`PREFIX`]; that of its prompt but for senses, which are asked as marked
    /// excerpts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::Tokens => "tokens",
            Self::MaxActivating => "max-act",
            Self::Contrastive => "contrastive",
            Self::Logits => "logits",
            Self::Patterns => "n2g",
            Self::Senses => "senses",
        }
    }

    /// The name under which explanations by a model are stored.
    pub fn explainer(self, model: &str) -> String {
        format!("{self}@{model}")
    }

    /// What is asked about a unit; nothing where the evidence does not allow it.
    pub fn drafts(self, evidence: &Evidence<'_>) -> Vec<Draft> {
        let whole = |question: Option<Value>| {
            let windows = match self {
                Self::Tokens | Self::Patterns => Vec::new(),
                _ => evidence.top.iter().map(|excerpt| excerpt.window).collect(),
            };
            question.map(|question| Draft { question, windows, share: 1.0 }).into_iter().collect()
        };
        match self {
            Self::Pairs => whole(pairs::question(evidence)),
            Self::Tokens => whole(tokens::question(evidence)),
            Self::MaxActivating => whole(marked::question(evidence)),
            Self::Contrastive => whole(contrastive::question(evidence)),
            Self::Logits => whole(logits::question(evidence)),
            Self::Patterns => whole(patterns::question(evidence)),
            Self::Senses => senses::drafts(evidence),
        }
    }

    /// The prompt.
    fn template(self, prompts: &Prompts) -> Result<&Template, PromptError> {
        prompts.template(if self == Self::Senses { Self::MaxActivating.name() } else { self.name() })
    }

    /// What every answer is to begin with.
    pub fn begin(self, prompts: &Prompts) -> Result<Option<String>, PromptError> {
        Ok(self.template(prompts)?.begin().map(str::to_owned))
    }

    /// What an answer about `draft` must not repeat.
    pub fn echo(self, prompts: &Prompts, draft: &Draft) -> Result<Echo, PromptError> {
        Ok(Echo::of(self.template(prompts)?, &draft.question))
    }

    /// The request for one sample of an explanation: the likeliest answer for sample 0, drawn answers for others.
    pub fn request(
        self,
        prompts: &Prompts,
        capabilities: Capabilities,
        draft: &Draft,
        sample: u32,
    ) -> Result<Request, PromptError> {
        let template = self.template(prompts)?;
        let examples: Vec<Value> = match self {
            Self::Pairs => {
                prompts.examples().iter().enumerate().map(|(i, e)| pairs::example(i + 1, e)).collect()
            }
            _ => prompts.examples().iter().enumerate().map(|(i, e)| marked::example(i + 1, e)).collect(),
        };
        let shown = if template.has_examples() { examples.len() } else { 0 };
        let mut question = draft.question.clone();
        question["number"] = json!(shown + 1);
        let mut conversation = template.fill(&json!({}), &examples, &question)?;
        if let Some(begin) = conversation.begin.filter(|_| capabilities.continues_turn) {
            conversation.messages.push(Message::assistant(begin));
        }
        let want = Want::Text(Generation {
            max_tokens: ANSWER_TOKENS,
            temperature: if sample == 0 { 0.0 } else { TEMPERATURE },
            stop: vec!["\n".to_owned()],
            ..Generation::default()
        });
        Ok(Request { messages: conversation.messages, want, sample })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.name())
    }
}

impl FromStr for Method {
    type Err = ExplainError;

    /// `llm:max-act` and so on; `llm` alone is `llm:max-act`.
    fn from_str(text: &str) -> Result<Self, ExplainError> {
        if text == "llm" {
            return Ok(Self::MaxActivating);
        }
        let name = text.strip_prefix(PREFIX);
        let found = Self::ALL.into_iter().find(|method| Some(method.name()) == name);
        found.ok_or_else(|| ExplainError::UnknownExplainer { name: text.to_owned() })
    }
}

#[cfg(test)]
mod tests;
