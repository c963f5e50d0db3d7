//! Everything that can go wrong while explaining and scoring, and what to do about it.

use glossator_atlas::AtlasError;
use glossator_llm::LlmError;
use glossator_model::ModelError;

use crate::prompts::PromptError;

/// An error while explaining or scoring units.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The tokenizer has no token that could stand for any other.
    #[error("the tokenizer has neither a token for ` _` or `_` nor a padding or end-of-sequence token")]
    NoPadding,
    /// A unit selector that cannot be read.
    #[error("`{selector}` does not select units: {message}")]
    Selector {
        /// What the user wrote.
        selector: String,
        /// What is wrong and what would be understood.
        message: String,
    },
    /// An explainer that does not exist.
    #[error(
        "`{name}` is not an explainer (lookup, n2g, n2g+lookup, llm:max-act, llm:pairs, llm:contrastive, llm:logits, llm:tokens, llm:n2g, llm:senses)"
    )]
    UnknownExplainer {
        /// What the user wrote.
        name: String,
    },
    /// A simulator that does not exist.
    #[error("`{name}` is not a simulator (grades, one-at-a-time, json)")]
    UnknownSimulator {
        /// What the user wrote.
        name: String,
    },
    /// A scorer that does not exist.
    #[error("`{name}` is not a scorer (ablation, detection, fuzzing, intruder, logits, surprisal)")]
    UnknownScorer {
        /// What the user wrote.
        name: String,
    },
    /// A way to score puzzles that does not exist.
    #[error("`{name}` does not score puzzles (detection, fuzzing, grades, one-at-a-time, json)")]
    UnknownJudge {
        /// What the user wrote.
        name: String,
    },
    /// Something to revise by that does not exist.
    #[error("`{name}` is nothing to revise by (tests, random, nothing)")]
    UnknownFeedback {
        /// What the user wrote.
        name: String,
    },
    /// A language model that cannot simulate in this way.
    #[error("{model} cannot simulate by {simulator}: it does not offer {missing}")]
    Simulator {
        /// How.
        simulator: String,
        /// The language model.
        model: String,
        /// What it does not offer, and what to do.
        missing: String,
    },
    /// The model is not the one that was recorded.
    #[error(
        "on {agreeing} of {checked} recorded texts the model's activations are those of the atlas: this is not the model \
         that was recorded (name it with --model)"
    )]
    OtherModel {
        /// Texts with about the recorded activation.
        agreeing: usize,
        /// Texts tried.
        checked: usize,
    },
    /// A stored explanation that cannot be read back.
    #[error(
        "the stored {explainer} explanation of {unit} cannot be read: {message} (explain it again with --again)"
    )]
    Body {
        /// The unit.
        unit: String,
        /// The explainer.
        explainer: String,
        /// What is wrong.
        message: String,
    },
    /// The atlas failed.
    #[error(transparent)]
    Atlas(#[from] AtlasError),
    /// A prompt that cannot be used.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The language model failed, or the run must stop.
    #[error(transparent)]
    Llm(#[from] LlmError),
    /// The subject model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}
