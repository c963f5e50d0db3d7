//! How an endpoint wants to be asked, and what it was found to offer.

use serde::{Deserialize, Serialize};

use crate::language_model::Capabilities;

/// How an endpoint wants to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// How text is asked for.
    pub text: TextMethod,
    /// How an assistant's turn is continued.
    pub turns: Option<TurnMethod>,
    /// How a given text is graded.
    pub grades: Option<GradeMethod>,
    /// How an answer is held to a JSON schema.
    #[serde(default = "SchemaMethod::openai")]
    pub schema: Option<SchemaMethod>,
    /// The limit of new tokens is called `max_completion_tokens`.
    pub max_completion_tokens: bool,
    /// The temperature may be chosen.
    pub temperature: bool,
}

impl Dialect {
    /// Before anything is known.
    pub fn unknown() -> Self {
        Self {
            text: TextMethod::Chat,
            turns: None,
            grades: None,
            schema: None,
            max_completion_tokens: false,
            temperature: true,
        }
    }
}

/// How text is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextMethod {
    /// `/chat/completions`.
    Chat,
    /// `/completions`, with the messages one after the other: models that only continue text.
    Completions,
}

/// How an assistant's turn is continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnMethod {
    /// The turn is simply the last message.
    LastMessage,
    /// vLLM: `continue_final_message` and no `add_generation_prompt`.
    ContinueFinalMessage,
}

/// How a given text is graded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GradeMethod {
    /// `/completions` with `echo` and `logprobs`.
    Echo,
    /// vLLM: `/chat/completions` with `prompt_logprobs`, so that the model's own chat template is used.
    PromptLogprobs,
}

/// How an answer is held to a JSON schema. Endpoints that know neither way are not sent the schema: some answer nothing else
/// than an error then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaMethod {
    /// OpenAI: `response_format` of the type `json_schema`.
    JsonSchema,
    /// llama-cpp-python: `response_format` of the type `json_object`, with the schema beside it.
    JsonObject,
}

impl SchemaMethod {
    /// What was sent before endpoints were asked for the way.
    #[allow(clippy::unnecessary_wraps, reason = "the default of an optional field")]
    fn openai() -> Option<Self> {
        Some(Self::JsonSchema)
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The version of the questions that found it; 0 where it was not kept yet.
    #[serde(default)]
    pub version: u32,
    /// How to ask.
    pub dialect: Dialect,
    /// What is offered.
    pub capabilities: Capabilities,
    /// What was found out, and how.
    pub findings: Vec<Finding>,
}

impl Probe {
    /// The version of the questions that are asked now. It goes up when one of them finds something else than before, so that what
    /// was found with the old ones is not believed for ever: 1 asks for grades at a place where digits are likely.
    pub const VERSION: u32 = 1;

    /// Whether the questions that found it are those that are asked now.
    pub fn is_current(&self) -> bool {
        self.version == Self::VERSION
    }
}

/// One thing that was found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked for.
    pub what: String,
    /// Whether it is offered.
    pub offered: bool,
    /// What shows that.
    pub why: String,
}
