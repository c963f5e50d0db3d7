//! `glossator generate`: continue a text.

use std::io::Write;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use glossator_model::{GenerationOptions, Intervention, Model, Sampling, StopReason};
use serde_json::json;

use crate::arguments::dictionary::Dictionaries;
use crate::arguments::model::{PrecisionArgument, load};
use crate::arguments::sequences::Sequences;
use crate::output;

/// Continue a text, optionally with changed activations
///
/// Prints the new text as it is made. Without --temperature the most likely token is taken each time.
#[derive(Args)]
#[command(after_help = "\
Interventions are written as for `glossator activations`; position -1 is the newest token in every step.

Examples:
  glossator generate --model model.gguf --text 'Once upon a time' --max-tokens 50
  glossator generate --model model.gguf --text 'I feel' --temperature 0.8 --top-p 0.95 --seed 7 \\
      --intervene 'blocks.10.hook_resid_post:99+=20'")]
pub(crate) struct Generate {
    /// The model: a Hugging Face directory, a .gguf file, or hf:organisation/name[@revision]
    #[arg(long)]
    model: String,
    #[command(flatten)]
    sequences: Sequences,
    /// The largest number of new tokens
    #[arg(long, default_value_t = 64)]
    max_tokens: usize,
    /// Divides the logits before a token is drawn; 0 takes the most likely token
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Draw from the fewest tokens that have at least this probability together
    #[arg(long, default_value_t = 1.0)]
    top_p: f32,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Change activations on the way
    #[arg(long = "intervene", value_name = "SPEC")]
    interventions: Vec<Intervention>,
    /// Do not stop at the end-of-text token
    #[arg(long)]
    ignore_eos: bool,
    #[command(flatten)]
    dictionaries: Dictionaries,
    /// Number format of matrix products
    #[arg(long, value_enum, default_value_t = PrecisionArgument::F32)]
    precision: PrecisionArgument,
    /// Print prompt, new tokens, text and the reason to stop as JSON at the end
    #[arg(long)]
    json: bool,
}

impl Generate {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(self.temperature.is_finite() && self.temperature >= 0.0, "--temperature must be 0 or above");
        ensure!(self.top_p > 0.0 && self.top_p <= 1.0, "--top-p must be above 0 and at most 1");
        let mut model = load(&self.model, self.precision)?;
        self.dictionaries.splice_into(&mut model)?;
        let prompts = self.sequences.read(|| Ok(model.tokenizer()?))?;
        ensure!(prompts.len() == 1, "one text at a time can be continued, but {} are given", prompts.len());
        self.continue_text(&model, &prompts[0])?;
        Ok(ExitCode::SUCCESS)
    }

    fn continue_text(&self, model: &Model, prompt: &[u32]) -> anyhow::Result<()> {
        let tokenizer = model.tokenizer()?;
        let stop_tokens: Vec<u32> =
            if self.ignore_eos { Vec::new() } else { tokenizer.eos().into_iter().collect() };
        let options = GenerationOptions {
            max_tokens: self.max_tokens,
            sampling: Sampling { temperature: self.temperature, top_p: self.top_p, seed: self.seed },
            stop_tokens: &stop_tokens,
            interventions: &self.interventions,
        };
        let mut written = Ok(());
        let generation = model.generate(prompt, &options, |token| {
            if !self.json {
                written = show(tokenizer.token_bytes(token));
            }
            written.is_ok()
        })?;
        written?;
        if self.json {
            return output::print_json(&json!({
                "prompt": prompt,
                "tokens": generation.tokens,
                "text": tokenizer.decode(&generation.tokens),
                "stop": stop(generation.stop),
            }));
        }
        output::print("\n")
    }
}

fn stop(reason: StopReason) -> &'static str {
    match reason {
        StopReason::StopToken(_) => "stop token",
        StopReason::MaxTokens => "max tokens",
        StopReason::ContextFull => "context full",
        StopReason::Callback => "interrupted",
    }
}

/// Writes a token's bytes at once; a character may need several tokens.
fn show(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(())
}
