//! The run file of `glossator train`.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use glossator_corpus::{BosPolicy, CorpusPlan, Format, Split};
use glossator_model::Precision;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::entry::DictionaryEntry;

/// Keys of a dictionary whose value is a list by itself: a list of lists makes a dictionary of each.
const LISTS: [&str; 2] = ["groups", "resample_at"];

/// Everything about a run but its dictionaries, with their tables expanded to one each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunFile {
    /// A Hugging Face directory, a .gguf file, or hf:organisation/name.
    pub(super) model: String,
    /// Whether the entries of its weight matrices are put in a random order first, as in the evaluation's baseline.
    #[serde(default)]
    pub(super) shuffled_weights: bool,
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
    /// Held-out tokens that the finished dictionaries are measured on; 0 for none.
    #[serde(default = "default_evaluation_tokens")]
    pub(super) evaluation_tokens: u64,
    /// Windows that a document gives before every other document has given as many.
    #[serde(default = "default_windows_per_document")]
    pub(super) windows_per_document: usize,
    /// The dictionaries.
    pub(super) dictionary: Vec<DictionaryEntry>,
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
            entry.check()?;
            let taken = self.dictionary[..index].iter().any(|other| other.name == entry.name);
            ensure!(!taken, "two are named `{}`", entry.name);
        }
        Ok(())
    }

    /// What the activations are of.
    pub(super) fn subject(&self) -> String {
        format!("{}{}", self.model, if self.shuffled_weights { " with shuffled weights" } else { "" })
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
    let choices = |key: &str, value: &Value| {
        let values = value.as_array()?;
        let one_value = LISTS.contains(&key) && !values.iter().any(Value::is_array);
        (!one_value).then(|| (key.to_owned(), values.clone()))
    };
    let Some((key, values)) = table.iter().find_map(|(key, value)| choices(key, value)) else {
        return vec![Value::Table(table)];
    };
    let one = |value: &Value| {
        let mut table = table.clone();
        let text = match value {
            Value::Array(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join("-"),
            value => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        };
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

fn default_evaluation_tokens() -> u64 {
    8192
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_files_of_this_repository_are_understood() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let mut read = 0;
        for path in std::fs::read_dir(configs).unwrap().map(|entry| entry.unwrap().path()) {
            if std::fs::read_to_string(&path).unwrap().contains("[[dictionary]]") {
                RunFile::read(&path).unwrap();
                read += 1;
            }
        }
        assert!(read >= 8, "{read}");
    }

    #[test]
    fn listed_values_make_a_grid_but_lists_that_are_values_stay() {
        let names = |entry: &str| -> Vec<String> {
            let entry: Table = toml::from_str(entry).unwrap();
            let name = |entry: &Value| entry.get("name").and_then(Value::as_str).unwrap().to_owned();
            expand(Value::Table(entry)).iter().map(name).collect()
        };
        assert_eq!(
            names("name = \"a\"\nk = [1, 2]\nseed = [0, 1]"),
            ["a-k-1-seed-0", "a-k-1-seed-1", "a-k-2-seed-0", "a-k-2-seed-1"]
        );
        assert_eq!(names("name = \"a\"\nresample_at = [10, 20]"), ["a"]);
        assert_eq!(names("name = \"a\"\ngroups = [[0.5, 0.5], [1]]"), ["a-groups-0.5-0.5", "a-groups-1"]);
    }
}
