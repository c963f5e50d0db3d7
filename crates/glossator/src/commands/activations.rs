//! `glossator activations`: the values at hook points while a model reads some tokens, as a safetensors file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use glossator_model::{Batch, HookPattern, HookPoint, Intervention, Model, Run};

use crate::arguments::dictionary::Dictionaries;
use crate::arguments::model::{PrecisionArgument, load};
use crate::arguments::sequences::Sequences;
use crate::output;
use crate::tensor_file::{self, NamedTensor};

/// Write the activations of hook points on given tokens to a safetensors file
///
/// Each hook point becomes a tensor under its own name: [position, width], or [head, query, key] for attention
/// scores and patterns. With several sequences (--tokens-file), which must then be equally long, a first axis counts
/// them. `tokens` holds the token ids, and `logits` the logits if --logits is given.
#[derive(Args)]
#[command(after_help = "\
Interventions:
  HOOK[:UNITS][@POSITIONS]=VALUE sets, += adds, *= multiplies, =zero zeroes.
  UNITS are coordinates (99), ranges (200-210) or heads (h3); all if left out.
  POSITIONS are 5, -1 (the last) or half-open ranges (2..5, -3..); all if left out.
  VALUE is a number, or a list [1,0.5,...] with one number for each selected unit.

Examples:
  glossator activations --model model.gguf --text 'Hello world' --hook 'blocks.*.mlp.hook_post' --out a.safetensors
  glossator activations --model model.gguf --tokens 1,2,3 --hook hook_embed --logits \\
      --intervene 'blocks.3.mlp.hook_post:99@-1=0' --out a.safetensors")]
pub(crate) struct Activations {
    /// The model: a Hugging Face directory, a .gguf file, or hf:organisation/name[@revision]
    #[arg(long)]
    model: String,
    #[command(flatten)]
    sequences: Sequences,
    /// A hook point, or a pattern of them such as blocks.*.mlp.hook_post or blocks.3-5.hook_resid_post
    #[arg(long = "hook", value_name = "HOOK")]
    hooks: Vec<HookPattern>,
    /// Change activations on the way, as described below
    #[arg(long = "intervene", value_name = "SPEC")]
    interventions: Vec<Intervention>,
    /// Also write the logits
    #[arg(long)]
    logits: bool,
    #[command(flatten)]
    dictionaries: Dictionaries,
    /// Number format of matrix products
    #[arg(long, value_enum, default_value_t = PrecisionArgument::F32)]
    precision: PrecisionArgument,
    /// The file to write
    #[arg(long)]
    out: PathBuf,
}

impl Activations {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(!self.hooks.is_empty() || self.logits, "nothing is asked for: give --hook or --logits");
        let mut model = load(&self.model, self.precision)?;
        self.dictionaries.splice_into(&mut model)?;
        let sequences = self.sequences.read(|| Ok(model.tokenizer()?))?;
        let length = sequences[0].len();
        ensure!(
            sequences.iter().all(|sequence| sequence.len() == length),
            "the sequences differ in length, so they do not make one tensor: run them one by one"
        );
        let mut hooks = BTreeSet::new();
        for pattern in &self.hooks {
            hooks.extend(pattern.expand(model.architecture())?);
        }
        let hooks: Vec<HookPoint> = hooks.into_iter().collect();
        let tensors = self.compute(&model, &sequences, &hooks)?;
        tensor_file::write(&self.out, &tensors)?;
        output::note(&format!(
            "{}: {} tensors of {} × {length} tokens",
            self.out.display(),
            tensors.len(),
            sequences.len()
        ));
        Ok(ExitCode::SUCCESS)
    }

    fn compute(
        &self,
        model: &Model,
        sequences: &[Vec<u32>],
        hooks: &[HookPoint],
    ) -> anyhow::Result<Vec<NamedTensor>> {
        let batch = Batch::from_sequences(sequences);
        let run = Run { hooks, interventions: &self.interventions, logits: self.logits };
        let (captured, logits) = model.capture_with(&batch, &run)?;
        // One sequence has no axis of its own.
        let axes = if sequences.len() > 1 { vec![sequences.len()] } else { Vec::new() };
        let length = sequences[0].len();
        let mut tensors: Vec<NamedTensor> = captured
            .into_iter()
            .map(|(hook, tensor)| {
                let width = hook.width(model.architecture());
                let shape =
                    if hook.is_pairwise() { vec![width, length, length] } else { vec![length, width] };
                NamedTensor::floats(hook.to_string(), [axes.clone(), shape].concat(), &tensor.data)
            })
            .collect();
        if let Some(logits) = logits {
            let shape = vec![length, model.architecture().vocab_size];
            tensors.push(NamedTensor::floats("logits", [axes.clone(), shape].concat(), &logits.data));
        }
        let ids = batch.tokens().iter().map(|token| i64::from(*token));
        tensors.push(NamedTensor::integers("tokens", [axes, vec![length]].concat(), ids));
        Ok(tensors)
    }
}
