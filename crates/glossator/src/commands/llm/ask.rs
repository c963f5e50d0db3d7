//! `glossator llm ask`: one question.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, ensure};
use clap::Args;
use glossator_llm::{Finish, Generation, Message, Request, Want};
use serde_json::json;

use crate::arguments::llm::LlmArgs;
use crate::output;

/// Ask a language model one question and print its answer
///
/// The answer is kept in the ledger like every other: the same question is not asked again.
#[derive(Args)]
#[command(after_help = "\
Example:
  glossator llm ask 'Why is the sky blue?' --max-tokens 100")]
pub(crate) struct Ask {
    /// The question
    question: String,
    /// Instructions that come before it
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The largest number of new tokens
    #[arg(long, default_value_t = 256, value_name = "N")]
    max_tokens: u32,
    /// Divides the logits before a token is drawn; 0 takes the most likely token
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Which of several samples of the same question
    #[arg(long, default_value_t = 0, value_name = "N")]
    sample: u32,
    #[command(flatten)]
    llm: LlmArgs,
    /// Print answer, tokens and cost as JSON
    #[arg(long)]
    json: bool,
}

impl Ask {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(self.temperature.is_finite() && self.temperature >= 0.0, "--temperature must be 0 or above");
        ensure!(self.max_tokens > 0, "--max-tokens must be above 0");
        let client = self.llm.client(&PathBuf::from("glossator-llm.sqlite"))?;
        let mut messages: Vec<Message> = self.system.iter().map(Message::system).collect();
        messages.push(Message::user(&self.question));
        let generation = Generation {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            ..Generation::default()
        };
        let request = Request { messages, want: Want::Text(generation), sample: self.sample };
        let outcomes = client.ask(&[request])?;
        let outcome = outcomes.into_iter().next().ok_or_else(|| anyhow!("there is no outcome"))?;
        let totals = client.totals();
        if self.json {
            output::print_json(&json!({ "model": client.name(), "outcome": outcome, "totals": totals }))?;
        }
        match outcome {
            Ok(answer) if !self.json => {
                output::print(&format!("{}\n", answer.text))?;
                let cut = if answer.finish == Finish::Length { "; cut off at --max-tokens" } else { "" };
                output::note(&format!("{}: {totals}{cut}", client.name()));
            }
            Ok(_) => {}
            Err(failure) => {
                return Err(anyhow!("{}: {}: {}", client.name(), failure.kind.name(), failure.message));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
