//! Models from the Hugging Face hub, through the cache that its Python library uses.
//!
//! Protocol: `GET {endpoint}/api/models/{repo}/revision/{rev}` lists a revision's commit and files;
//! `{endpoint}/{repo}/resolve/{commit}/{file}` is a file, whose `X-Linked-Etag` (or `ETag`) is its SHA-256 if it is
//! stored as a large file. Environment: `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`.

mod cache;
mod client;
mod download;
mod selection;

use std::path::PathBuf;

use cache::Cache;
use client::Client;

use crate::location::Progress;

/// Why a model could not be fetched; the caller adds the location.
type Result<T> = std::result::Result<T, String>;

/// A repository at a revision, or one file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repository {
    /// `org/name`, or `name` for the few without an organisation.
    name: String,
    revision: String,
    file: Option<String>,
}

impl Repository {
    /// Reads `org/name[/file.gguf][@revision]`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (path, revision) = text.split_once('@').unwrap_or((text, "main"));
        let allowed = |part: &str| {
            let characters = part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            !part.is_empty() && characters && part.chars().any(|c| c != '.')
        };
        let parts: Vec<&str> = path.split('/').collect();
        if !parts.iter().chain(&revision.split('/').collect::<Vec<_>>()).all(|part| allowed(part)) {
            return Err(
                "not a repository: write hf:organisation/name or hf:organisation/name@revision".into()
            );
        }
        let (name, file) = parts.split_at(parts.len().min(2));
        let file = (!file.is_empty()).then(|| file.join("/"));
        Ok(Self { name: name.join("/"), revision: revision.to_owned(), file })
    }
}

/// The hub as the environment describes it.
#[derive(Debug)]
pub(crate) struct Hub {
    cache: Cache,
    client: Client,
    offline: bool,
}

impl Hub {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = match (variable("HF_HOME"), variable("XDG_CACHE_HOME"), std::env::home_dir()) {
            (Some(home), _, _) => PathBuf::from(home),
            (None, Some(cache), _) => PathBuf::from(cache).join("huggingface"),
            (None, None, Some(home)) => home.join(".cache/huggingface"),
            (None, None, None) => return Err("there is no home directory for the cache: set HF_HOME".into()),
        };
        let token_path = variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let token = variable("HF_TOKEN").or_else(|| std::fs::read_to_string(token_path).ok());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let offline = variable("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str()));
        let cache = variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from);
        Ok(Self::new(&endpoint, token.as_deref(), cache, offline))
    }

    /// A hub at an address, with a cache directory of its own.
    pub(crate) fn new(endpoint: &str, token: Option<&str>, cache: PathBuf, offline: bool) -> Self {
        Self { cache: Cache::new(cache), client: Client::new(endpoint, token), offline }
    }

    /// The directory (or the one file) of a model. A model that is wholly in the cache needs no network.
    pub(crate) fn fetch(
        &self,
        repository: &Repository,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<PathBuf> {
        let cached = self.cache.snapshot(&repository.name, &repository.revision);
        if let Some(path) = cached.as_deref().and_then(|snapshot| selection::whole(snapshot, repository)) {
            return Ok(path);
        }
        if self.offline {
            return Err(format!(
                "not in the cache at {}, and HF_HUB_OFFLINE forbids to download it",
                self.cache.root().display()
            ));
        }
        let listing = self.client.list(repository)?;
        let mut wanted = selection::first(&listing.files, repository)?;
        let snapshot = self.cache.snapshot_of_commit(&repository.name, &listing.commit);
        while let Some(file) = wanted.pop() {
            if !snapshot.join(&file).exists() {
                let blob =
                    download::file(&self.client, &self.cache, repository, &listing.commit, &file, progress)?;
                Cache::link(&snapshot, &file, &blob)?;
            }
            if file == selection::INDEX {
                wanted.extend(selection::shards(&snapshot)?);
            }
        }
        self.cache.remember(&repository.name, &repository.revision, &listing.commit)?;
        Ok(match repository.file.as_deref().or_else(|| selection::only_gguf(&listing.files)) {
            Some(file) => snapshot.join(file),
            None => snapshot,
        })
    }
}

#[cfg(test)]
mod tests;
