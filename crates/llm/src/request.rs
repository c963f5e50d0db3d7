//! What is asked of a language model.
//!
//! A request is identified by the hash of its content ([`Request::fingerprint`]): two equal requests are one, are
//! asked once and paid once. What differs only by chance is told apart by [`Request::sample`].

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// Instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: Role::System, content: content.into() }
    }

    /// A turn of whoever asks.
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: Role::User, content: content.into() }
    }

    /// A turn of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: content.into() }
    }
}

/// One question to a language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The conversation so far. If the last turn is the assistant's, the answer continues that turn.
    pub messages: Vec<Message>,
    /// What is wanted.
    pub want: Want,
    /// Which of several samples of the same question this is; the seed of sampling follows from it.
    pub sample: u32,
}

/// What is wanted of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// A continuation in the model's words.
    Text(Generation),
    /// Probabilities of given answers at marked places of a given text. Nothing is generated.
    Grades(Grading),
}

/// How a continuation is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// At most so many new tokens.
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time.
    pub temperature: f32,
    /// Share of probability that is sampled from.
    pub top_p: f32,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// A JSON schema that the answer is to follow, for models that can be held to one.
    pub json_schema: Option<serde_json::Value>,
    /// How many alternatives are wanted at each new token, with their log-probabilities; 0 for none.
    pub top_logprobs: u8,
}

impl Default for Generation {
    fn default() -> Self {
        Self {
            max_tokens: 64,
            temperature: 0.0,
            top_p: 1.0,
            stop: Vec::new(),
            json_schema: None,
            top_logprobs: 0,
        }
    }
}

/// A text that the model reads as its own turn, with places at which its answer is weighed (the all-at-once
/// simulation of Bills et al. 2023: every place is filled with a word that gives nothing away).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grading {
    /// The possible answers, each of which must begin with another token of the model.
    pub choices: Vec<String>,
    /// The text, as the continuation of the last message.
    pub text: Vec<Piece>,
}

/// A piece of a graded text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Text as it stands.
    Text(String),
    /// A place where the model would answer; this text stands there instead.
    Asked(String),
}

impl Piece {
    /// The text, asked about or not.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Asked(text) => text,
        }
    }
}

impl Grading {
    /// Number of places that are asked about.
    pub fn places(&self) -> usize {
        self.text.iter().filter(|piece| matches!(piece, Piece::Asked(_))).count()
    }
}

/// The identity of a request to a model: SHA-256 of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Fingerprint {
    /// Reads what `Display` writes: 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl Request {
    /// The identity of this request to the model called `model`.
    pub fn fingerprint(&self, model: &str) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update((model.len() as u64).to_le_bytes());
        hash.update(model.as_bytes());
        // Field order is fixed by the types and floats are printed in full, so equal requests give equal bytes.
        hash.update(serde_json::to_vec(self).unwrap_or_default());
        Fingerprint(hash.finalize().into())
    }

    /// The seed that sampling starts from.
    pub fn seed(&self) -> u64 {
        let Fingerprint(bytes) = self.fingerprint("");
        bytes[..8].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }
}
