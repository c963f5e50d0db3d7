//! A language model in this process: a GGUF file or a Hugging Face directory, run by our own runtime.
//!
//! Requests are brought into tokens by the model's own chat template (`template`, `prompt`) and advanced together
//! ([`glossator_model::runtime`]): weights are read once for all of them, what prompts begin with in common is computed
//! once, and answers do not depend on what else is asked.

mod answers;
mod prompt;
mod template;
#[cfg(test)]
mod tests;

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use glossator_model::checkpoint::Checkpoint;
use glossator_model::runtime::{Runtime, RuntimeLimits};
use glossator_model::{Model, ModelError, Precision, Tokenizer, location};
use sha2::{Digest, Sha256};
use thiserror::Error;

use self::answers::Answers;
use self::prompt::Prepared;
use self::template::ChatTemplate;
use crate::answer::{Failure, Outcome};
use crate::language_model::{Capabilities, LanguageModel};
use crate::request::{Fingerprint, Request};

/// Bytes from the beginning and from the end of a file that tell it from others of the same size: the header of a GGUF
/// file lies at the beginning, and some of the last tensor at the end.
const HEAD: u64 = 1 << 20;
const TAIL: u64 = 1 << 16;

/// Why a model cannot be used.
#[derive(Debug, Error)]
pub enum LocalError {
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file of the model cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The model has no chat template.
    #[error(
        "{model} has no chat template: it was not made to be talked to; take an \"instruct\" or \"chat\" model"
    )]
    NoTemplate {
        /// The model.
        model: String,
    },
    /// The chat template does not do what is needed.
    #[error("the chat template of {model}: {message}")]
    Template {
        /// The model.
        model: String,
        /// What is wrong.
        message: String,
    },
}

/// How a model is run.
#[derive(Clone, Copy, Debug)]
pub struct LocalOptions {
    /// The number format of the products.
    pub precision: Precision,
    /// Memory and batch sizes.
    pub limits: RuntimeLimits,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self { precision: Precision::fastest(), limits: RuntimeLimits::default() }
    }
}

/// Memory that a model will hold, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalMemory {
    /// The weights.
    pub weights: usize,
    /// Keys and values, at most: it is taken when it is needed, and then kept.
    pub cache: usize,
}

/// What a model's name says of its products. It changes when they do: answers that a ledger keeps of other arithmetic are
/// not this model's.
fn arithmetic(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
        Precision::Auto => "auto",
        Precision::Int8 => "int8-rotated",
    }
}

/// A model in this process.
pub struct LocalModel {
    runtime: Runtime,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    name: String,
    ends: Vec<u32>,
    capabilities: Capabilities,
}

impl LocalModel {
    /// Loads a `.gguf` file, a Hugging Face directory or `hf:org/name[@revision]`.
    ///
    /// # Errors
    /// If the model cannot be loaded, or has no tokenizer or no chat template that can be used.
    pub fn load(location: &str, options: LocalOptions) -> Result<Self, LocalError> {
        Self::load_announced(location, options, |_| {})
    }

    /// As [`LocalModel::load`]; `announce` is told of the memory before it is taken.
    ///
    /// # Errors
    /// As for [`LocalModel::load`].
    pub fn load_announced(
        location: &str,
        options: LocalOptions,
        announce: impl FnOnce(LocalMemory),
    ) -> Result<Self, LocalError> {
        let checkpoint = Checkpoint::open(&location::resolve(location)?)?;
        announce(LocalMemory {
            weights: checkpoint.architecture().matrix_bytes(options.precision),
            cache: options.limits.cache_bytes,
        });
        let model = Model::from_checkpoint(checkpoint, options.precision)?;
        let tokenizer = model.tokenizer()?.clone();
        let checkpoint = model.checkpoint();
        let source = checkpoint
            .chat_template()?
            .ok_or_else(|| LocalError::NoTemplate { model: checkpoint.name().to_owned() })?;
        let text = |id: Option<u32>| id.map(|id| tokenizer.decode(&[id])).unwrap_or_default();
        let template = ChatTemplate::new(&source, text(tokenizer.bos()), text(tokenizer.eos()))
            .map_err(|message| LocalError::Template { model: checkpoint.name().to_owned(), message })?;
        // One word, so that it needs no quotes on a command line.
        let name = format!(
            "{}-{}-{}",
            checkpoint.name().replace(char::is_whitespace, "-"),
            arithmetic(model.precision()),
            &digest(&checkpoint.files())?[..8]
        );
        let ends = checkpoint.answer_ends(&tokenizer)?;
        let capabilities = Capabilities {
            grades: true,
            logprobs: true,
            json_schema: false,
            seed: true,
            continues_turn: true,
            number_ten: prompt::numbers_differ(&tokenizer)?,
        };
        let runtime = Runtime::new(model, options.limits)?;
        Ok(Self { runtime, tokenizer, template, name, ends, capabilities })
    }

    /// The request in tokens.
    fn prepare(&self, request: &Request) -> Result<Prepared, Failure> {
        let context_length = self.runtime.model().architecture().context_length;
        prompt::prepare(request, &self.template, &self.tokenizer, &self.ends, context_length)
    }
}

impl LanguageModel for LocalModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn answer(&self, requests: &[Request], answered: &(dyn Fn(usize, Outcome) -> bool + Sync)) {
        let mut jobs = Vec::with_capacity(requests.len());
        let mut asked = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            match self.prepare(request) {
                Ok(prepared) => {
                    jobs.push(prepared.job);
                    asked.push((index, prepared.stop));
                }
                Err(failure) => {
                    if !answered(index, Err(failure)) {
                        return;
                    }
                }
            }
        }
        let mut answers = Answers::new(&self.tokenizer, &jobs, &asked, answered);
        self.runtime.run(&jobs, &mut answers);
    }

    /// Exactly as many as it reads.
    fn estimate_prompt_tokens(&self, request: &Request) -> u64 {
        self.prepare(request).map_or(0, |prepared| prepared.job.tokens.len() as u64)
    }
}

/// A hash that tells the model's files from others: of their sizes, beginnings and ends.
fn digest(files: &[PathBuf]) -> Result<String, LocalError> {
    let mut hash = Sha256::new();
    for path in files {
        let (size, ends) = ends_of(path).map_err(|source| LocalError::Io { path: path.clone(), source })?;
        hash.update(size.to_le_bytes());
        hash.update(ends);
    }
    Ok(Fingerprint(hash.finalize().into()).to_string())
}

/// The size of a file, and what it begins and ends with.
fn ends_of(path: &Path) -> std::io::Result<(u64, Vec<u8>)> {
    let mut file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
    file.read_to_end(&mut bytes)?;
    Ok((size, bytes))
}
