//! The page and its data as files that open without a server.
//!
//! ```text
//! DIR/index.html, icon.svg, assets/…          the page, as served
//! DIR/data/atlas.js                           the summary
//! DIR/data/list/{hook}.js                     the list entries of a hook point
//! DIR/data/unit/{hook}/{index}.js             one unit
//! ```
//! A page opened from a disk may load scripts but not fetch, so every document is a script that calls
//! `glossatorReceive(name, document)`. `index.html` is written last: a directory that has one is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use glossator_atlas::{Atlas, ListQuery};
use glossator_model::{HookPoint, UnitId};

use crate::document::{AtlasDocument, Fact, UnitEntry, UnitName};
use crate::error::ServeError;
use crate::library::Library;
use crate::page;

/// The policy of exported pages: `'self'` for those put on a web server, `file:` for those opened from a disk.
const POLICY: &str = "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file:; \
    font-src 'self' file:; base-uri 'none'; form-action 'none'";

/// The explainer that every other is compared with.
const BASELINE: &str = "lookup";

/// Units whose size is measured to estimate that of all.
const MEASURED: usize = 12;

/// Which units an export holds.
#[derive(Clone, Debug)]
pub enum ExportPlan {
    /// The units with an explanation; where some explainer has gone beyond token lookup, only its units, because the
    /// lookup baseline is cheap enough to exist for all.
    Explained,
    /// Every unit of the atlas.
    All,
    /// These.
    Units(Vec<UnitId>),
}

/// How large an export will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportSize {
    /// Units.
    pub units: u64,
    /// Bytes, estimated from a sample of the units.
    pub bytes: u64,
}

/// An export that has been planned and can be written.
pub struct Export<'a> {
    library: &'a Library,
    /// In the order of the atlas.
    entries: Vec<UnitEntry>,
}

impl<'a> Export<'a> {
    /// Chooses the units; at most `limit` of them.
    pub fn plan(library: &'a Library, plan: &ExportPlan, limit: Option<usize>) -> Result<Self, ServeError> {
        if page::file(page::INDEX).is_none() {
            return Err(ServeError::NoPage);
        }
        let chosen: Option<BTreeSet<UnitId>> = match plan {
            ExportPlan::Units(units) => {
                for &unit in units {
                    library.inner().rank_of(unit)?;
                }
                Some(units.iter().copied().collect())
            }
            ExportPlan::Explained => Some(explained_units(library.inner())?),
            ExportPlan::All => None,
        };
        let wanted = |entry: &UnitEntry| {
            let UnitName { hook, index } = entry.unit;
            chosen.as_ref().is_none_or(|chosen| chosen.contains(&UnitId { hook, index }))
        };
        let mut entries = Vec::new();
        let mut offset = 0;
        loop {
            let query = ListQuery { offset, limit: ListQuery::MAX_LIMIT, ..ListQuery::default() };
            let units = library.inner().list(&query)?.units;
            offset += units.len() as u32;
            let done = units.is_empty();
            entries.extend(units.into_iter().map(UnitEntry::from).filter(wanted));
            if done || limit.is_some_and(|limit| entries.len() >= limit) {
                break;
            }
        }
        entries.truncate(limit.unwrap_or(usize::MAX));
        if entries.is_empty() {
            return Err(ServeError::NothingToExport);
        }
        Ok(Self { library, entries })
    }

    /// How large it will be.
    pub fn size(&self) -> Result<ExportSize, ServeError> {
        let step = self.entries.len().div_ceil(MEASURED);
        let sample: Vec<usize> = (0..self.entries.len()).step_by(step).collect();
        let mut measured = 0;
        for &place in &sample {
            measured += self.unit(place)?.len() as u64;
        }
        let units = self.entries.len() as u64;
        let lists = serde_json::to_vec(&self.entries).map_err(ServeError::json("the list"))?.len() as u64;
        let page: u64 =
            page::names().filter_map(|name| page::file(&name)).map(|file| file.data.len() as u64).sum();
        Ok(ExportSize { units, bytes: measured * units / sample.len() as u64 + lists + page })
    }

    /// Writes everything below `directory`, replacing an earlier export there; `progress` is called after each unit.
    pub fn write(&self, directory: &Path, progress: impl Fn()) -> Result<(), ServeError> {
        clear(directory)?;
        let data = directory.join("data");
        let mut by_hook: BTreeMap<HookPoint, Vec<&UnitEntry>> = BTreeMap::new();
        for (place, entry) in self.entries.iter().enumerate() {
            by_hook.entry(entry.unit.hook).or_default().push(entry);
            let UnitName { hook, index } = entry.unit;
            let script = script(&format!("unit/{hook}/{index}"), &self.unit(place)?);
            write(&data.join(format!("unit/{hook}/{index}.js")), script.as_bytes())?;
            progress();
        }
        for (hook, entries) in &by_hook {
            let json = serde_json::to_vec(entries).map_err(ServeError::json("the list"))?;
            let name = format!("list/{hook}");
            write(&data.join(format!("{name}.js")), script(&name, &json).as_bytes())?;
        }
        let summary = serde_json::to_vec(&self.summary(&by_hook)?).map_err(ServeError::json("the atlas"))?;
        write(&data.join("atlas.js"), script("atlas", &summary).as_bytes())?;
        write_page(directory)
    }

    fn unit(&self, place: usize) -> Result<Vec<u8>, ServeError> {
        let at =
            |place: Option<usize>| place.and_then(|place| self.entries.get(place)).map(|entry| entry.unit);
        let UnitName { hook, index } = self.entries[place].unit;
        self.library.unit_json_between(
            UnitId { hook, index },
            at(place.checked_sub(1)),
            at(place.checked_add(1)),
        )
    }

    /// The summary of what the export holds: its own hook points and units.
    fn summary(&self, by_hook: &BTreeMap<HookPoint, Vec<&UnitEntry>>) -> Result<AtlasDocument, ServeError> {
        let mut summary = self.library.atlas()?;
        let recorded: u64 = summary.hooks.iter().map(|hook| hook.units).sum();
        summary.hooks.retain(|hook| by_hook.contains_key(&hook.hook));
        for hook in &mut summary.hooks {
            let entries = by_hook.get(&hook.hook).map_or(&[][..], Vec::as_slice);
            hook.units = entries.len() as u64;
            hook.explained = BTreeMap::new();
            for explanation in entries.iter().flat_map(|entry| &entry.explanations) {
                *hook.explained.entry(explanation.explainer.clone()).or_default() += 1;
            }
        }
        let value = format!("{} of {recorded} units", self.entries.len());
        summary.facts.push(Fact { label: "this export", value });
        Ok(summary)
    }
}

/// The units of [`ExportPlan::Explained`].
pub fn explained_units(atlas: &Atlas) -> Result<BTreeSet<UnitId>, ServeError> {
    let mut names: Vec<String> =
        atlas.progress()?.explainers.into_iter().map(|explainer| explainer.name).collect();
    if names.iter().any(|name| name != BASELINE) {
        names.retain(|name| name != BASELINE);
    }
    let mut units = BTreeSet::new();
    for hook in atlas.hooks().iter().map(|summary| summary.hook) {
        for name in &names {
            units.extend(atlas.explained(hook, name)?.into_iter().map(|index| UnitId { hook, index }));
        }
    }
    Ok(units)
}

/// A document as a script. The escapes keep it inert wherever a browser might read it as something else.
fn script(name: &str, json: &[u8]) -> String {
    // `<` and the two line separators occur in JSON only inside strings, where an escape means the same.
    let json = String::from_utf8_lossy(json)
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    format!("glossatorReceive(\"{name}\",{json});\n")
}

/// Makes the directory, or removes what an earlier export wrote there. Anything else is left alone.
fn clear(directory: &Path) -> Result<(), ServeError> {
    let failed = |source| ServeError::Write { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let exported = directory.join("data/atlas.js").exists() || directory.join("data/unit").exists();
    let empty = fs::read_dir(directory).map_err(failed)?.next().is_none();
    if !empty && !exported {
        return Err(ServeError::Occupied { path: directory.to_owned() });
    }
    let index = directory.join(page::INDEX);
    if index.exists() {
        fs::remove_file(&index).map_err(|source| ServeError::Write { path: index, source })?;
    }
    for folder in ["data", "assets"].map(|name| directory.join(name)) {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|source| ServeError::Write { path: folder, source })?;
        }
    }
    Ok(())
}

fn write_page(directory: &Path) -> Result<(), ServeError> {
    for name in page::names().filter(|name| name != page::INDEX) {
        let file = page::file(&name).ok_or(ServeError::NoPage)?;
        write(&directory.join(&name), &file.data)?;
    }
    let index = page::file(page::INDEX).ok_or(ServeError::NoPage)?;
    let index = exported_index(&String::from_utf8_lossy(&index.data)).ok_or(ServeError::NoPage)?;
    write(&directory.join(page::INDEX), index.as_bytes())
}

/// `index.html` as served, told that its data are files, and with the policy that a server would send.
fn exported_index(index: &str) -> Option<String> {
    let source = "data-source=\"server\"";
    let charset = "<meta charset=\"utf-8\" />";
    if !index.contains(source) || !index.contains(charset) {
        return None;
    }
    let policy =
        format!("{charset}\n    <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\" />");
    Some(index.replacen(source, "data-source=\"files\"", 1).replacen(charset, &policy, 1))
}

/// Writes a file atomically, with the directories above it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ServeError> {
    let failed = |source| ServeError::Write { path: path.to_owned(), source };
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::{exported_index, script};

    #[test]
    fn a_script_holds_no_markup_and_no_line_separator() {
        let text = script("unit/x/1", "{\"t\":\"</script>\u{2028}\u{2029}<!--\"}".as_bytes());
        assert!(!text.contains('<') && !text.contains('\u{2028}') && !text.contains('\u{2029}'));
        let json = text.strip_prefix("glossatorReceive(\"unit/x/1\",").unwrap().strip_suffix(");\n").unwrap();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["t"], "</script>\u{2028}\u{2029}<!--");
    }

    #[test]
    fn an_index_without_its_markers_is_refused() {
        assert_eq!(exported_index("<html><head></head></html>"), None);
    }
}
