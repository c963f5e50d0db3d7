//! The run file of `glossator train`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use glossator_corpus::{BosPolicy, CorpusPlan, Format, Split};
use glossator_model::Precision;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Everything about a run but its dictionaries, with their tables expanded to one each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunFile {
    /// A Hugging Face directory, a .gguf file, or hf:organisation/name.
    pub(super) model: String,
    /// Files, directories or globs.
    pub(super) corpus: Vec<PathBuf>,
    /// Where dictionaries, metrics and checkpoints go.
    pub(super) out: PathBuf,
    /// Tokens to read, those that are left out included.
    pub(super) tokens: u64,
    /// Tokens of a window.
    #[serde(default = "default_context")]
    pub(super) context: usize,
    /// Decides the order of documents, and of rows in the buffer.
    #[serde(default)]
    pub(super) seed: u64,
    /// Of the model's and the trainer's products.
    #[serde(default)]
    pub(super) precision: Precision,
    /// Rows of a step.
    #[serde(default = "default_batch")]
    pub(super) batch: usize,
    /// Rows that the shuffle buffer holds; half of them are drawn before it is filled again.
    #[serde(default = "default_buffer")]
    pub(super) buffer: usize,
    /// Positions left out at the start of every window, BOS or not: the first token attracts attention, and its
    /// activations are outliers in many models.
    #[serde(default = "default_skip_first")]
    pub(super) skip_first: usize,
    /// Whether special tokens are left out wherever they stand.
    #[serde(default = "yes")]
    pub(super) skip_special: bool,
    /// Share of the documents that is held out.
    #[serde(default = "default_held_out")]
    pub(super) held_out: f64,
    /// The field of JSONL lines or the column of Parquet files.
    #[serde(default = "default_text_field")]
    pub(super) text_field: String,
    /// Windows that a document gives before every other document has given as many.
    #[serde(default = "default_windows_per_document")]
    pub(super) windows_per_document: usize,
    /// The dictionaries.
    pub(super) dictionary: Vec<DictionaryEntry>,
}

/// One dictionary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DictionaryEntry {
    /// The directory below `out`.
    pub(super) name: String,
    /// What is read.
    pub(super) hook: String,
    /// What is reconstructed, if it is another hook point (a transcoder).
    pub(super) target_hook: Option<String>,
    /// The head whose slice of the hook point is read and reconstructed.
    pub(super) head: Option<usize>,
    /// Latents per dimension that is read.
    pub(super) expansion: Option<usize>,
    /// Latents.
    pub(super) latents: Option<usize>,
    #[serde(default)]
    pub(super) variant: Variant,
    /// Of TopK.
    pub(super) k: Option<usize>,
    /// λ of the L1 variants.
    pub(super) l1: Option<f32>,
    /// Dead latents that take part in the auxiliary loss of a row; 0 for none [half of d, as a power of two].
    pub(super) auxiliary_k: Option<usize>,
    #[serde(default = "default_auxiliary_coefficient")]
    pub(super) auxiliary_coefficient: f32,
    /// A latent is dead after so many rows without firing.
    #[serde(default = "default_dead_after")]
    pub(super) dead_after: u64,
    #[serde(default)]
    pub(super) normalisation: NormalisationEntry,
    /// [10⁻⁴ · √(32768 / latents)], as in OpenAI's code.
    pub(super) learning_rate: Option<f64>,
    /// Steps over which the rate rises.
    #[serde(default)]
    pub(super) warm_up: u64,
    /// Steps over which the rate falls at the end [a fifth].
    pub(super) decay: Option<u64>,
    pub(super) gradient_clip: Option<f32>,
    /// Of the first weights.
    #[serde(default)]
    pub(super) seed: u64,
}

/// The published recipes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Variant {
    /// Gao et al. 2024.
    #[default]
    TopK,
    /// Bricken et al. 2023, without resampling.
    L1,
    /// Anthropic's update of April 2024: the penalty counts decoder norms, which are free.
    L1ByNorm,
}

/// How rows are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NormalisationEntry {
    /// As they are.
    None,
    /// By one number, so that the mean squared norm is d.
    #[default]
    Scale,
    /// Each row centred and divided by its standard deviation.
    LayerNorm,
}

impl RunFile {
    /// Reads a run file and makes a dictionary of every combination of listed values.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut table: Table =
            toml::from_str(&text).with_context(|| format!("{} is not TOML", path.display()))?;
        if let Some(Value::Array(entries)) = table.get_mut("dictionary") {
            *entries = entries.drain(..).flat_map(expand).collect();
        }
        let run: Self = table.try_into().with_context(|| path.display().to_string())?;
        run.check().with_context(|| path.display().to_string())?;
        Ok(run)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.dictionary.is_empty(), "there is no [[dictionary]]");
        ensure!(self.batch > 0, "batch must be at least 1");
        ensure!(self.buffer >= 2 * self.batch, "buffer must hold at least two batches");
        for (index, entry) in self.dictionary.iter().enumerate() {
            let name = &entry.name;
            ensure!(
                !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']),
                "`{name}` cannot name a directory"
            );
            ensure!(
                self.dictionary[..index].iter().all(|other| other.name != *name),
                "two are named `{name}`"
            );
            ensure!(
                entry.latents.is_some() != entry.expansion.is_some(),
                "{name}: give either latents or expansion"
            );
            if entry.variant == Variant::TopK {
                ensure!(entry.k.is_some() && entry.l1.is_none(), "{name}: TopK needs k, and no l1");
            } else {
                ensure!(entry.l1.is_some() && entry.k.is_none(), "{name}: this variant needs l1, and no k");
            }
            if entry.target_hook.is_some() && entry.normalisation == NormalisationEntry::LayerNorm {
                bail!("{name}: a transcoder's target cannot be normalised row by row");
            }
        }
        Ok(())
    }

    /// The plan of the corpus.
    pub(super) fn plan(&self) -> CorpusPlan {
        CorpusPlan {
            sources: self.corpus.clone(),
            format: Format::Text,
            text_field: self.text_field.clone(),
            label_field: None,
            context: self.context,
            tokens: self.tokens,
            seed: self.seed,
            bos: BosPolicy::Auto,
            held_out: self.held_out,
            split: Split::Train,
            windows_per_document: self.windows_per_document,
            skip_bad_lines: false,
        }
    }
}

/// One table for each combination of the values of listed keys, named after them.
fn expand(entry: Value) -> Vec<Value> {
    let Value::Table(table) = entry else { return vec![entry] };
    let Some((key, values)) =
        table.iter().find_map(|(key, value)| Some((key.clone(), value.as_array()?.clone())))
    else {
        return vec![Value::Table(table)];
    };
    let one = |value: &Value| {
        let mut table = table.clone();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = table.get("name").and_then(Value::as_str).unwrap_or_default();
        let name = format!("{name}-{key}-{text}");
        table.insert("name".into(), Value::String(name));
        table.insert(key.clone(), value.clone());
        expand(Value::Table(table))
    };
    values.iter().flat_map(one).collect()
}

fn default_context() -> usize {
    128
}

fn default_batch() -> usize {
    4096
}

fn default_buffer() -> usize {
    131_072
}

fn default_skip_first() -> usize {
    1
}

fn default_held_out() -> f64 {
    0.1
}

fn default_text_field() -> String {
    "text".into()
}

fn default_windows_per_document() -> usize {
    4
}

fn default_auxiliary_coefficient() -> f32 {
    1.0 / 32.0
}

fn default_dead_after() -> u64 {
    10_000_000
}

fn yes() -> bool {
    true
}
