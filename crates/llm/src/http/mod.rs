//! Any endpoint that speaks OpenAI's HTTP interface: OpenAI, llama-server, llama-cpp-python, Ollama, vLLM, OpenRouter.
//!
//! What an endpoint offers is found out by asking ([`probe()`]) and kept in the ledger. Chat is preferred; completions are
//! used where there is no chat, and to grade a given text (`echo` with `logprobs`), as Bills et al. did in 2023.

mod alignment;
mod body;
mod chat;
mod completions;
mod dialect;
mod endpoint;
mod failure;
mod grades;
mod model;
mod probe;

pub(crate) use body::{build, parse};
pub use dialect::{Dialect, Finding, GradeMethod, Probe, SchemaMethod, TextMethod, TurnMethod};
pub use endpoint::{Endpoint, Timeouts};
pub(crate) use failure::{AttemptError, What, of_status};
pub use model::HttpModel;
pub(crate) use model::Unwatched;
pub use probe::probe;
