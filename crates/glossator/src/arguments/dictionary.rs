//! `--dictionary`: sparse dictionaries that are spliced into the subject model.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use glossator_atlas::DictionarySummary;
use glossator_dictionary::{Dictionary, HeadSlice, SplicedDictionary, formats};
use glossator_model::{HookPoint, Model};

use super::hook_names;
use crate::checksum::checksum;

/// The dictionaries of a command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Dictionaries {
    /// A sparse dictionary (a directory or file of any known format), whose features become the units of the hook point
    /// HOOK.hook_sae_acts_post; HOOK= says what it reads where its file does not. May be given several times
    #[arg(long = "dictionary", value_name = "[HOOK=]PATH")]
    dictionaries: Vec<Location>,
}

/// Where a dictionary is, and what it reads if that is said.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    hook: Option<HookPoint>,
    path: PathBuf,
}

/// A dictionary that has been read, with the hook points it stands between.
pub(crate) struct Loaded {
    pub(crate) dictionary: Dictionary,
    pub(crate) reads: HookPoint,
    pub(crate) writes_to: HookPoint,
}

impl Location {
    /// The file or directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the dictionary, and finds out where it belongs.
    pub(crate) fn load(&self) -> anyhow::Result<Loaded> {
        load(self.hook, &self.path)
    }

    /// The hook point of the dictionary's features in an atlas that was `recorded` with it, perhaps from another place.
    ///
    /// # Errors
    /// Where it is none of them.
    pub(crate) fn hook_among(&self, recorded: &[DictionarySummary]) -> anyhow::Result<HookPoint> {
        let path = &self.path;
        let found = checksum(&files(path)?)?;
        let known = recorded
            .iter()
            .find(|known| known.checksum == found && self.hook.is_none_or(|hook| hook == known.hook.base()));
        known.map(|known| known.hook).with_context(|| {
            format!(
                "the atlas holds no records of {0}: `glossator record --dictionary {0}` makes an atlas that does",
                path.display()
            )
        })
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((hook, path)) if !Path::new(text).exists() => {
                let hook = hook_names::find(hook, "HOOK=").map_err(|error| error.to_string())?;
                Ok(Self { hook: Some(hook), path: path.into() })
            }
            _ => Ok(Self { hook: None, path: text.into() }),
        }
    }
}

impl Dictionaries {
    /// Splices all of them into a model; what comes back is what an atlas remembers, in order of execution.
    pub(crate) fn splice_into(&self, model: &mut Model) -> anyhow::Result<Vec<DictionarySummary>> {
        let mut spliced = Vec::new();
        for Location { hook, path } in &self.dictionaries {
            spliced
                .push(splice(model, *hook, path).with_context(|| format!("cannot use {}", path.display()))?);
        }
        spliced.sort_by_key(|dictionary| dictionary.hook);
        Ok(spliced)
    }

    /// Splices in the dictionaries that an atlas was recorded with, from where they were unless a flag names another
    /// place for the same hook point.
    pub(crate) fn splice_recorded(
        &self,
        model: &mut Model,
        recorded: &[DictionarySummary],
    ) -> anyhow::Result<()> {
        let given = self.splice_into(model)?;
        for dictionary in recorded {
            let hook = dictionary.hook;
            let found =
                match given.iter().find(|given| given.hook == hook) {
                    Some(given) => given.clone(),
                    None => splice(model, Some(hook.base()), Path::new(&dictionary.location)).with_context(
                        || format!("cannot use {} (name it with --dictionary)", dictionary.location),
                    )?,
                };
            ensure!(
                found.checksum == dictionary.checksum,
                "{} is not the dictionary that the atlas was recorded with: name that one with --dictionary",
                found.location
            );
        }
        Ok(())
    }
}

/// Reads a dictionary and splices it in at `hook`, or at the place its file names.
fn splice(model: &mut Model, hook: Option<HookPoint>, path: &Path) -> anyhow::Result<DictionarySummary> {
    let Loaded { dictionary, reads, writes_to } = load(hook, path)?;
    let head = dictionary.metadata.head;
    let heads = reads.heads(model.architecture());
    let whole = reads.width(model.architecture());
    let of_head = head.filter(|_| dictionary.d_input != whole);
    let mut spliced = SplicedDictionary::new(dictionary, writes_to)?;
    if let Some(head) = of_head {
        spliced = spliced.of_head(HeadSlice { head, heads })?;
    }
    let hook = model.splice(reads, Arc::new(spliced))?;
    let location = path.display().to_string();
    Ok(DictionarySummary { hook, location, checksum: checksum(&files(path)?)? })
}

/// Reads a dictionary that reads `hook`, or the place its file names.
fn load(hook: Option<HookPoint>, path: &Path) -> anyhow::Result<Loaded> {
    let (dictionary, _) = formats::read(path)?;
    let metadata = &dictionary.metadata;
    let reads = match hook {
        Some(hook) => hook,
        None => named(metadata.hook.as_deref())?.ok_or_else(|| {
            anyhow!("its file does not say what it reads: write --dictionary HOOK={}", path.display())
        })?,
    };
    let writes_to = named(metadata.hook_out.as_deref())?.unwrap_or(reads);
    Ok(Loaded { dictionary, reads, writes_to })
}

/// The hook point of a name in a dictionary's file.
fn named(name: Option<&str>) -> anyhow::Result<Option<HookPoint>> {
    name.map(|name| hook_names::find(name, "--dictionary HOOK=PATH")).transpose()
}

/// The files of a dictionary, by name.
pub(crate) fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", path.display()))?.path();
        if entry.is_file() {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}
