//! Prompts: what language models are asked, as template files that users can edit.
//!
//! The defaults are part of the program; `glossator prompts DIR` writes them, and a directory with some of them replaces
//! those ([`Prompts::with`]). What is filled into a template comes from the subject model's text through [`visible()`],
//! so that it cannot be taken for anything else.

mod examples;
mod judged_examples;
mod revision_examples;
mod template;
mod visible;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use judged_examples::JudgedExamples;

pub use examples::{Example, ExampleExcerpt};
pub use judged_examples::JudgedExample;
pub use revision_examples::{RevisedExample, RevisionExamples, SentencesExample};
pub use template::{Conversation, PromptError, Template};
pub use visible::{described, marked, visible};

/// The file with the worked examples of explainers and simulators.
const EXAMPLES: &str = "examples.toml";

/// The file with the worked examples of scorers by classification.
const JUDGED_EXAMPLES: &str = "judge-examples.toml";

/// The file with the worked examples of revision.
const REVISION_EXAMPLES: &str = "revision-examples.toml";

/// The largest prompt file that is read.
const MAX_BYTES: u64 = 1 << 20;

macro_rules! defaults {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("templates/", $name)))),*]
    };
}

/// The prompts that are part of the program, by file name.
const DEFAULTS: &[(&str, &str)] = defaults![
    "pairs.txt",
    "max-act.txt",
    "contrastive.txt",
    "tokens.txt",
    "logits.txt",
    "n2g.txt",
    "simulate-grades.txt",
    "simulate-one-at-a-time.txt",
    "simulate-json.txt",
    "judge-detection.txt",
    "judge-fuzzing.txt",
    "judge-intruder.txt",
    "judge-logits.txt",
    "test-sentences.txt",
    "revise.txt"
];

/// The worked examples that are part of the program.
const DEFAULT_EXAMPLES: [(&str, &str); 3] = [
    (EXAMPLES, include_str!("templates/examples.toml")),
    (JUDGED_EXAMPLES, include_str!("templates/judge-examples.toml")),
    (REVISION_EXAMPLES, include_str!("templates/revision-examples.toml")),
];

/// All prompts.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompts {
    templates: BTreeMap<String, Template>,
    examples: Vec<Example>,
    judged: JudgedExamples,
    revision: RevisionExamples,
}

impl Prompts {
    /// The prompts that are part of the program.
    pub fn builtin() -> Result<Self, PromptError> {
        let read = |&(name, text): &(&str, &str)| Ok((name.to_owned(), Template::parse(name, text)?));
        let templates = DEFAULTS.iter().map(read).collect::<Result<_, PromptError>>()?;
        let [(_, examples), (_, judged), (_, revision)] = DEFAULT_EXAMPLES;
        Ok(Self {
            templates,
            examples: examples::parse(EXAMPLES, examples)?,
            judged: judged_examples::parse(JUDGED_EXAMPLES, judged)?,
            revision: revision_examples::parse(REVISION_EXAMPLES, revision)?,
        })
    }

    /// The same with those files of `directory` that have the name of a prompt in their place. A `.txt` or `.toml` file
    /// with another name is an error: it would be taken for an edited prompt and have no effect.
    pub fn with(mut self, directory: &Path) -> Result<Self, PromptError> {
        for entry in std::fs::read_dir(directory).map_err(PromptError::file(directory))? {
            let path = entry.map_err(PromptError::file(directory))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name == EXAMPLES {
                self.examples = examples::parse(&path.display().to_string(), &read(&path)?)?;
            } else if name == JUDGED_EXAMPLES {
                self.judged = judged_examples::parse(&path.display().to_string(), &read(&path)?)?;
            } else if name == REVISION_EXAMPLES {
                self.revision = revision_examples::parse(&path.display().to_string(), &read(&path)?)?;
            } else if let Some(template) = self.templates.get_mut(name) {
                *template = Template::parse(&path.display().to_string(), &read(&path)?)?;
            } else if path.extension().is_some_and(|ending| ending == "txt" || ending == "toml") {
                let known: Vec<&str> = self.templates.keys().map(String::as_str).collect();
                let examples = DEFAULT_EXAMPLES.map(|(name, _)| name).join(", ");
                let message = format!("is none of {}, {examples}", known.join(", "));
                return Err(PromptError::Sections { file: path.display().to_string(), message });
            }
        }
        Ok(self)
    }

    /// Writes the prompts that are part of the program into `directory`, for editing. Files that are there already stay.
    /// Returns the names of those that were written.
    pub fn write_defaults(directory: &Path) -> Result<Vec<PathBuf>, PromptError> {
        std::fs::create_dir_all(directory).map_err(PromptError::file(directory))?;
        let mut written = Vec::new();
        for (name, text) in DEFAULTS.iter().copied().chain(DEFAULT_EXAMPLES) {
            let path = directory.join(name);
            if path.exists() {
                continue;
            }
            let partial = directory.join(format!("{name}.partial"));
            std::fs::write(&partial, text).map_err(PromptError::file(&partial))?;
            std::fs::rename(&partial, &path).map_err(PromptError::file(&path))?;
            written.push(path);
        }
        Ok(written)
    }

    /// A prompt by its name without `.txt`.
    pub fn template(&self, name: &str) -> Result<&Template, PromptError> {
        let file = format!("{name}.txt");
        self.templates
            .get(&file)
            .ok_or_else(|| PromptError::Sections { file, message: "does not exist".to_owned() })
    }

    /// The worked examples of explainers and simulators.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The worked examples of a scorer by classification; none where it shows none.
    pub fn judged_examples(&self, scorer: &str) -> &[JudgedExample] {
        self.judged.get(scorer).map_or(&[], Vec::as_slice)
    }

    /// The worked examples of revision.
    pub fn revision_examples(&self) -> &RevisionExamples {
        &self.revision
    }
}

fn read(path: &Path) -> Result<String, PromptError> {
    let size = std::fs::metadata(path).map_err(PromptError::file(path))?.len();
    if size > MAX_BYTES {
        let message = format!("has {size} bytes; prompts of more than {MAX_BYTES} are not read");
        return Err(PromptError::Sections { file: path.display().to_string(), message });
    }
    std::fs::read_to_string(path).map_err(PromptError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_written_once_and_replace_the_builtin_ones() {
        let directory = tempfile::tempdir().unwrap();
        let written = Prompts::write_defaults(directory.path()).unwrap();
        assert_eq!(written.len(), DEFAULTS.len() + DEFAULT_EXAMPLES.len());
        let builtin = Prompts::builtin().unwrap();
        let edited = "@@ system\nother\n@@ user\n{{ number }}\n";
        std::fs::write(directory.path().join("pairs.txt"), edited).unwrap();
        assert!(Prompts::write_defaults(directory.path()).unwrap().is_empty(), "edited files stay");
        let with = builtin.clone().with(directory.path()).unwrap();
        assert_ne!(with.template("pairs").unwrap(), builtin.template("pairs").unwrap());
        assert_eq!(with.examples(), builtin.examples());
        std::fs::write(directory.path().join("pears.txt"), edited).unwrap();
        let error = builtin.with(directory.path()).unwrap_err().to_string();
        assert!(error.contains("pears.txt") && error.contains("pairs.txt"), "{error}");
    }

    #[test]
    fn worked_examples_have_an_activation_for_every_token() {
        let prompts = Prompts::builtin().unwrap();
        assert!(prompts.examples().len() >= 3);
        for excerpt in prompts.examples().iter().flat_map(|example| &example.excerpts) {
            assert_eq!(excerpt.tokens.len(), excerpt.activations.len());
            assert!(excerpt.activations.iter().any(|activation| *activation > 0));
            assert!(excerpt.revealed < excerpt.tokens.len());
        }
    }
}
