//! Which files of a repository a model needs.

use std::path::{Path, PathBuf};

use super::{Repository, Result};

/// The list of shards of a model in several files.
pub(super) const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
/// Small files, taken if they are there.
const SMALL: [&str; 4] = [CONFIG, TOKENIZER, "tokenizer_config.json", "special_tokens_map.json"];

/// The files to download, from a listing; shards follow once the index is there.
pub(super) fn first(files: &[String], repository: &Repository) -> Result<Vec<String>> {
    let has = |name: &str| files.iter().any(|file| file == name);
    if let Some(file) = &repository.file {
        return if has(file) {
            Ok(vec![file.clone()])
        } else {
            Err(format!("the repository has no file {file}; its .gguf files: {}", join(&ggufs(files))))
        };
    }
    let mut wanted: Vec<String> =
        SMALL.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect();
    let safetensors: Vec<&String> =
        files.iter().filter(|file| ends_in(file, "safetensors") && !file.contains('/')).collect();
    if has(INDEX) {
        wanted.push(INDEX.to_owned());
    } else if has(SINGLE) {
        wanted.push(SINGLE.to_owned());
    } else if !safetensors.is_empty() {
        wanted.extend(safetensors.into_iter().cloned());
    } else if let Some(file) = only_gguf(files) {
        return Ok(vec![file.to_owned()]);
    } else {
        return Err(no_weights(files, &repository.name));
    }
    if has(CONFIG) { Ok(wanted) } else { Err(format!("the repository has no {CONFIG}: it is not a model")) }
}

fn no_weights(files: &[String], name: &str) -> String {
    let ggufs = ggufs(files);
    if let Some(file) = ggufs.first() {
        return format!(
            "the repository has several .gguf files, so name one, as in hf:{name}/{file}: {}",
            join(&ggufs)
        );
    }
    if files.iter().any(|file| ["bin", "pt", "pth"].iter().any(|ending| ends_in(file, ending))) {
        return "the weights are pickles, which can run code and are never opened here: find or make a \
                safetensors conversion"
            .into();
    }
    "the repository holds no weights (no .safetensors, no .gguf)".into()
}

/// Whether a file name has an extension.
fn ends_in(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|own| own.eq_ignore_ascii_case(extension))
}

fn ggufs(files: &[String]) -> Vec<&str> {
    files.iter().filter(|file| ends_in(file, "gguf")).map(String::as_str).collect()
}

/// The .gguf file of a repository that has exactly one and nothing better.
pub(super) fn only_gguf(files: &[String]) -> Option<&str> {
    let ggufs = ggufs(files);
    let safetensors = files.iter().any(|file| ends_in(file, "safetensors") && !file.contains('/'));
    if ggufs.len() == 1 && !safetensors { Some(ggufs[0]) } else { None }
}

fn join(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// The shards that an index names.
pub(super) fn shards(snapshot: &Path) -> Result<Vec<String>> {
    let path = snapshot.join(INDEX);
    let damaged = || format!("{} does not list shards", path.display());
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let index: serde_json::Value = serde_json::from_slice(&text).map_err(|_| damaged())?;
    let map = index.get("weight_map").and_then(serde_json::Value::as_object).ok_or_else(damaged)?;
    let mut names = Vec::with_capacity(map.len());
    for name in map.values() {
        let name = name.as_str().filter(|name| Path::new(name).file_name() == Some(name.as_ref()));
        names.push(name.ok_or_else(damaged)?.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// What a cached snapshot gives for a repository, if everything that is needed is there.
pub(super) fn whole(snapshot: &Path, repository: &Repository) -> Option<PathBuf> {
    if let Some(file) = &repository.file {
        return Some(snapshot.join(file)).filter(|path| path.is_file());
    }
    let has = |name: &str| snapshot.join(name).is_file();
    let weights = if has(INDEX) {
        shards(snapshot).is_ok_and(|shards| shards.iter().all(|shard| has(shard)))
    } else {
        has(SINGLE)
    };
    if weights && has(CONFIG) && has(TOKENIZER) {
        return Some(snapshot.to_owned());
    }
    let entries = std::fs::read_dir(snapshot).ok()?;
    let names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    only_gguf(&names).map(|file| snapshot.join(file)).filter(|path| path.is_file())
}
