//! The last stage: the database, from the tables of the others.

use std::path::Path;

use glossator_model::UnitId;

use crate::database::{UnitEntry, create};
use crate::error::AtlasError;
use crate::files;
use crate::manifest::Manifest;
use crate::tables;
use crate::vocabulary::Vocabulary;

/// Strongest tokens of a unit that lists show and search finds.
const TOKENS: usize = 10;

/// Writes `atlas.sqlite`.
pub(crate) fn write(directory: &Path, manifest: &Manifest) -> Result<(), AtlasError> {
    let path = directory.join(files::TOKENS);
    let vocabulary = Vocabulary::new(tables::tokens::read(&path)?)
        .map_err(|message| AtlasError::invalid(&path, message))?;
    let table = tables::units::open(&directory.join(files::UNITS))?;
    let mut entries = Vec::new();
    let mut before = Vec::new();
    for hook in &manifest.hooks {
        for index in 0..hook.units {
            let row = tables::units::read(&table, UnitId { hook: hook.hook, index }, &before)?;
            let strongest = row.top_tokens.iter().take(TOKENS).filter(|token| token.mean > 0.0);
            entries.push(UnitEntry {
                statistics: row.statistics,
                tokens: strongest.map(|token| vocabulary.text(token.token).to_owned()).collect(),
            });
        }
        before.push(hook.units);
    }
    let windows = tables::windows::read(&directory.join(files::WINDOWS), manifest.run.context as usize)?;
    create(&directory.join(files::DATABASE), &manifest.hooks, entries, windows)
}
