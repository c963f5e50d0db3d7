//! From paths, directories, globs and `-` to the list of files, sorted by path, each once.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;
use walkdir::WalkDir;

use crate::error::CorpusError;
use crate::format::{self, Compression, Format};
use crate::plan::CorpusPlan;
use crate::spool;

/// A file that is ready to be read, more than once.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// The name for messages; `-` for standard input.
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    /// A temporary copy of what can be read only once, or only from front to back.
    pub(crate) spool: Option<File>,
}

/// The files that the sources of `plan` name.
pub(crate) fn files(plan: &CorpusPlan) -> Result<Vec<SourceFile>, CorpusError> {
    let mut found = BTreeMap::new();
    for source in &plan.sources {
        for file in expand(source, plan.format)? {
            found.entry(file.path.clone()).or_insert(file);
        }
    }
    found.into_values().map(make_seekable).collect()
}

fn expand(source: &Path, default: Format) -> Result<Vec<SourceFile>, CorpusError> {
    if source == Path::new("-") {
        return Ok(vec![standard_input(default)?]);
    }
    match std::fs::metadata(source) {
        Ok(metadata) if metadata.is_dir() => directory(source),
        Ok(metadata) => Ok(vec![named_file(source, default, metadata.is_file())?]),
        Err(_) if is_pattern(source) => pattern(source, default),
        Err(error) => Err(CorpusError::io(source, error)),
    }
}

fn standard_input(format: Format) -> Result<SourceFile, CorpusError> {
    let path = PathBuf::from("-");
    let (copy, compression) = spool::copy(&path, std::io::stdin().lock())?;
    Ok(SourceFile { path, format, compression, spool: Some(copy) })
}

/// A file that the user named; an extension that says nothing means the plan's default format.
fn named_file(path: &Path, default: Format, regular: bool) -> Result<SourceFile, CorpusError> {
    let (compression, format) = format::of_name(path);
    let mut file =
        SourceFile { path: path.to_owned(), format: format.unwrap_or(default), compression, spool: None };
    if !regular {
        // A pipe can be read only once.
        let pipe = File::open(path).map_err(|error| CorpusError::io(path, error))?;
        let (copy, compression) = spool::copy(path, pipe)?;
        file.spool = Some(copy);
        file.compression = compression;
    }
    Ok(file)
}

/// Every visible file below `root` whose extension is one of ours; links are followed.
fn directory(root: &Path) -> Result<Vec<SourceFile>, CorpusError> {
    let mut files = Vec::new();
    for path in walk(root)? {
        let (compression, format) = format::of_name(&path);
        if let Some(format) = format {
            files.push(SourceFile { path, format, compression, spool: None });
        }
    }
    if files.is_empty() {
        let reason = "the directory has no .txt, .md, .jsonl or .parquet file (each also .gz or .zst); \
                      name other files one by one or with a glob";
        return Err(CorpusError::NothingFound {
            location: root.display().to_string(),
            reason: reason.into(),
        });
    }
    Ok(files)
}

fn walk(root: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
    let entries = WalkDir::new(root)
        .follow_links(true)
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !hidden(entry.file_name()));
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(root).to_owned();
            CorpusError::Io { path, source: error.into() }
        })?;
        if entry.file_type().is_file() {
            paths.push(entry.into_path());
        }
    }
    Ok(paths)
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[', '{'])
}

/// The files that match a glob; `*` stays within a directory, `**` does not.
fn pattern(pattern: &Path, default: Format) -> Result<Vec<SourceFile>, CorpusError> {
    let location = pattern.display().to_string();
    let nothing = |reason: String| CorpusError::NothingFound { location: location.clone(), reason };
    let glob = GlobBuilder::new(&location)
        .literal_separator(true)
        .build()
        .map_err(|error| nothing(error.kind().to_string()))?
        .compile_matcher();
    let fixed: PathBuf = pattern
        .components()
        .take_while(|part| {
            matches!(part, Component::RootDir | Component::Prefix(_)) || !is_pattern(part.as_ref())
        })
        .collect();
    let root = if fixed.as_os_str().is_empty() { Path::new(".") } else { &fixed };
    if !root.is_dir() {
        return Err(nothing(format!("there is no directory {}", root.display())));
    }
    let files: Vec<SourceFile> = walk(root)?
        .into_iter()
        .map(|path| path.strip_prefix("./").map(Path::to_owned).unwrap_or(path))
        .filter(|path| glob.is_match(path))
        .map(|path| named_file(&path, default, true))
        .collect::<Result<_, _>>()?;
    if files.is_empty() { Err(nothing("no file matches".into())) } else { Ok(files) }
}

/// Parquet is read from its end; a compressed one is unpacked first.
fn make_seekable(file: SourceFile) -> Result<SourceFile, CorpusError> {
    if file.format == Format::Parquet && file.compression != Compression::None {
        let spool = Some(spool::unpack(&file)?);
        return Ok(SourceFile { spool, compression: Compression::None, ..file });
    }
    Ok(file)
}
