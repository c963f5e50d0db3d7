//! What an import keeps of related tokens and neurons: the published files themselves, checked, below `published/` in the atlas and
//! laid out there as at their publisher. An atlas has no place for weights of neurons that were never recorded; an export of it
//! writes the same files again.

use std::path::{Path, PathBuf};

use super::read::{read_related_neurons, read_token_means, read_token_weights};
use super::{NEURONS, TOKEN_MEANS, TOKEN_WEIGHTS};
use crate::error::ExchangeError;
use crate::files;

/// Where an atlas keeps them.
const KEPT: &str = "published";

fn place(directory: &Path, folder: &str, layer: u32, neuron: u32) -> PathBuf {
    directory.join(format!("{folder}/{layer}/{neuron}.json"))
}

/// Checks and keeps what there is of a neuron below `source`. Whether there is anything.
pub(super) fn keep(source: &Path, atlas: &Path, layer: u32, neuron: u32) -> Result<bool, ExchangeError> {
    type Check = fn(&Path) -> Result<(), ExchangeError>;
    let checks: [(&str, Check); 3] = [
        (TOKEN_MEANS, |path| read_token_means(path).map(drop)),
        (TOKEN_WEIGHTS, |path| read_token_weights(path).map(drop)),
        (NEURONS, |path| read_related_neurons(path).map(drop)),
    ];
    let mut any = false;
    for (folder, check) in checks {
        let path = place(source, folder, layer, neuron);
        if path.is_file() {
            check(&path)?;
            files::write(&place(&atlas.join(KEPT), folder, layer, neuron), &files::read(&path)?)?;
            any = true;
        }
    }
    Ok(any)
}

/// What an atlas keeps of a neuron in one of the folders.
pub(super) fn kept(
    atlas: &Path,
    folder: &str,
    layer: u32,
    neuron: u32,
) -> Result<Option<Vec<u8>>, ExchangeError> {
    let path = place(&atlas.join(KEPT), folder, layer, neuron);
    if path.is_file() { files::read(&path).map(Some) } else { Ok(None) }
}
