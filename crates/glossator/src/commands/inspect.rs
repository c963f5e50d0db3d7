//! `glossator inspect`: what a model is, and every place in it that can be recorded.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use glossator_model::checkpoint::Checkpoint;
use glossator_model::{Architecture, HookPoint};
use serde_json::json;

use crate::{arguments, output};

/// Print a model's architecture, sizes and hook points
#[derive(Args)]
#[command(after_help = "Examples:\n  glossator inspect SmolLM2-135M-Instruct.Q4_1.gguf\n  \
                        glossator inspect hf:EleutherAI/pythia-70m --json")]
pub(crate) struct Inspect {
    /// The model: a Hugging Face directory, a .gguf file, or hf:organisation/name[@revision]
    model: String,
    /// Print everything as JSON, with each hook point by itself
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let checkpoint = arguments::model::open(&self.model)?;
        if self.json {
            output::print_json(&as_json(&checkpoint))?;
        } else {
            output::print(&as_text(&checkpoint)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json(checkpoint: &Checkpoint) -> serde_json::Value {
    let architecture = checkpoint.architecture();
    let tokenizer = match checkpoint.tokenizer() {
        Ok(tokenizer) => json!({
            "vocab_size": tokenizer.vocab_size(),
            "bos": tokenizer.bos(),
            "eos": tokenizer.eos(),
            "pad": tokenizer.pad(),
            "add_bos": tokenizer.add_bos(),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let hook = |hook: HookPoint| {
        json!({
            "name": hook.to_string(),
            "width": hook.width(architecture),
            "shape": hook.shape(architecture),
        })
    };
    json!({
        "name": checkpoint.name(),
        "files": checkpoint.files(),
        "parameters": checkpoint.parameter_count(),
        "architecture": architecture,
        "tokenizer": tokenizer,
        "hook_points": HookPoint::all(architecture).into_iter().map(hook).collect::<Vec<_>>(),
    })
}

fn as_text(checkpoint: &Checkpoint) -> anyhow::Result<String> {
    let a = checkpoint.architecture();
    let mut text = String::new();
    writeln!(text, "{}\n", checkpoint.name())?;
    for (what, value) in facts(checkpoint, a) {
        writeln!(text, "{what:<20} {value}")?;
    }
    let hooks = grouped(a);
    let width = hooks.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    writeln!(text, "\nHook points")?;
    for (name, shape) in hooks {
        writeln!(text, "  {name:<width$}  {shape}")?;
    }
    Ok(text)
}

fn facts(checkpoint: &Checkpoint, a: &Architecture) -> Vec<(&'static str, String)> {
    let norm = format!(
        "{:?}, epsilon {}{}",
        a.norm.kind,
        a.norm.epsilon,
        if a.norm.unit_offset { ", gain 1 + w" } else { "" }
    );
    let mlp =
        format!("{} neurons, {:?}{}", a.d_mlp, a.mlp.activation, if a.mlp.gated { ", gated" } else { "" });
    let heads = format!("{} of width {}, {} key/value", a.n_heads, a.d_head, a.n_kv_heads);
    let mut facts = vec![
        ("family", format!("{:?}", a.family)),
        ("parameters", checkpoint.parameter_count().to_string()),
        ("layers", a.n_layers.to_string()),
        ("residual stream", a.d_model.to_string()),
        ("heads", heads),
        ("MLP", mlp),
        (
            "vocabulary",
            format!("{}{}", a.vocab_size, if a.tied_embeddings { ", tied unembedding" } else { "" }),
        ),
        ("context", format!("{} tokens", a.context_length)),
        ("norm", norm),
        ("positions", positions(a)),
    ];
    if a.parallel_residual {
        facts.push(("residual", "attention and MLP in parallel".into()));
    }
    let windows: Vec<usize> = a.layers.iter().filter_map(|layer| layer.sliding_window).collect();
    if let Some(window) = windows.first() {
        facts.push((
            "sliding window",
            format!("{window} tokens in {} of {} layers", windows.len(), a.n_layers),
        ));
    }
    if let Some(cap) = a.attention_softcap {
        facts.push(("attention soft-cap", cap.to_string()));
    }
    if let Some(cap) = a.final_softcap {
        facts.push(("logit soft-cap", cap.to_string()));
    }
    facts.push(("tokenizer", tokenizer(checkpoint)));
    facts
}

fn positions(a: &Architecture) -> String {
    if a.learned_positions {
        return "learned".into();
    }
    let rotary: Vec<String> =
        a.rotaries.iter().map(|rotary| format!("{} of {}", rotary.dims, a.d_head)).collect();
    format!("rotary, {} dimensions of a head", rotary.join(" and "))
}

fn tokenizer(checkpoint: &Checkpoint) -> String {
    match checkpoint.tokenizer() {
        Err(error) => format!("cannot be used: {error}"),
        Ok(tokenizer) => {
            let named = |id: Option<u32>| {
                id.map_or("none".to_owned(), |id| format!("{} ({id})", tokenizer.token_text(id)))
            };
            format!(
                "{} tokens, bos {}{}, eos {}",
                tokenizer.vocab_size(),
                named(tokenizer.bos()),
                if tokenizer.add_bos() { ", added" } else { ", not added" },
                named(tokenizer.eos()),
            )
        }
    }
}

/// Hook points with their shapes; those of all layers on one line, written as a pattern that commands understand.
fn grouped(a: &Architecture) -> Vec<(String, String)> {
    let all = HookPoint::all(a);
    let mut lines: Vec<(String, String)> = Vec::new();
    for hook in &all {
        let name = match (hook.layer(), hook.site()) {
            (Some(_), Some(site)) => {
                let layers: Vec<usize> = all
                    .iter()
                    .filter(|other| other.site() == Some(site))
                    .filter_map(|other| other.layer())
                    .collect();
                format!("blocks.{}.{}", ranges(&layers), site.name())
            }
            _ => hook.to_string(),
        };
        if !lines.iter().any(|(known, _)| *known == name) {
            lines.push((name, hook.shape(a)));
        }
    }
    lines
}

/// Ascending numbers as `0-3,5`.
fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => parts.push((number, number)),
        }
    }
    let part = |(first, last): &(usize, usize)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}
