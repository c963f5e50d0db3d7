//! Which units a command works on.
//!
//! A selector is one of
//!
//! - `all`
//! - `blocks.15.mlp.hook_post:99`, `blocks.15.mlp.hook_post:0-99`: units of a hook point
//! - `blocks.*.mlp.hook_post`, `blocks.3-5.mlp.hook_post:0-99`: of all hook points that match
//! - `random:200@7`: 200 units drawn with seed 7 (`random:200` uses seed 0), spread over all hook points
//! - `density:0.001-0.1`: units that are above zero on that share of tokens
//! - `@units.txt`: a file with one selector a line

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

use glossator_atlas::{Atlas, HookSummary, ListQuery};
use glossator_model::{HookPattern, UnitId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ExplainError;

/// A set of units, independent of an atlas until [`Selector::union`].
#[derive(Debug, Clone)]
pub struct Selector {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    All,
    Hooks { pattern: HookPattern, indices: Option<(u32, u32)> },
    Random { count: u64, seed: u64 },
    Density { low: f64, high: f64 },
    File(PathBuf),
}

impl FromStr for Selector {
    type Err = ExplainError;

    fn from_str(text: &str) -> Result<Self, ExplainError> {
        let kind = kind(text.trim()).map_err(|message| error(text, message))?;
        Ok(Self { text: text.to_owned(), kind })
    }
}

impl Selector {
    /// The units of an atlas that any of `selectors` selects, by hook point in order of execution and index, each once.
    /// Every selector must select something.
    pub fn union(selectors: &[Self], atlas: &Atlas) -> Result<Vec<UnitId>, ExplainError> {
        let mut units = BTreeSet::new();
        for selector in selectors {
            let found = selector.kind.units(atlas)?;
            if found.is_empty() {
                return Err(error(&selector.text, selector.kind.nothing(atlas)));
            }
            units.extend(found);
        }
        Ok(units.into_iter().collect())
    }
}

fn error(selector: &str, message: String) -> ExplainError {
    ExplainError::Selector { selector: selector.to_owned(), message }
}

fn kind(text: &str) -> Result<Kind, String> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text == "all" {
        return Ok(Kind::All);
    }
    if let Some(path) = text.strip_prefix('@') {
        return Ok(Kind::File(path.into()));
    }
    if let Some(rest) = text.strip_prefix("random:") {
        let (count, seed) = rest.split_once('@').unwrap_or((rest, "0"));
        let (count, seed) = (count.parse().ok(), seed.parse().ok());
        return count
            .zip(seed)
            .map(|(count, seed)| Kind::Random { count, seed })
            .ok_or_else(|| "write `random:200` or `random:200@SEED`".to_owned());
    }
    if let Some(rest) = text.strip_prefix("density:") {
        let bounds = rest.split_once('-').and_then(|(low, high)| number(low).zip(number(high)));
        return bounds
            .filter(|(low, high)| low <= high)
            .map(|(low, high)| Kind::Density { low, high })
            .ok_or_else(|| "write `density:0.001-0.1`".to_owned());
    }
    let (pattern, indices) = match text.rsplit_once(':') {
        Some((pattern, indices)) => (pattern, Some(range(indices).ok_or("write `HOOK:7` or `HOOK:0-99`")?)),
        None => (text, None),
    };
    let pattern = pattern.parse().map_err(|error: glossator_model::ModelError| error.to_string())?;
    Ok(Kind::Hooks { pattern, indices })
}

/// `7` or `0-99`, both ends included.
fn range(text: &str) -> Option<(u32, u32)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some((low, high))
}

impl Kind {
    /// Why nothing in an atlas is selected.
    fn nothing(&self, atlas: &Atlas) -> String {
        let Self::Hooks { pattern, .. } = self else { return "the atlas has no such unit".to_owned() };
        let matching = atlas.hooks().iter().filter(|hook| pattern.matches(hook.hook));
        let Some(most) = matching.clone().map(|hook| hook.units).max() else {
            return format!("the atlas does not record it; it records {}", names(atlas.hooks().iter()));
        };
        format!("{} has units 0 to {}", names(matching), most.saturating_sub(1))
    }

    fn units(&self, atlas: &Atlas) -> Result<Vec<UnitId>, ExplainError> {
        Ok(match self {
            Self::All => (0..atlas.unit_count()).filter_map(|rank| atlas.unit_at(rank)).collect(),
            Self::Hooks { pattern, indices } => {
                let hooks = atlas.hooks().iter().filter(|hook| pattern.matches(hook.hook));
                let units = hooks.flat_map(|hook| {
                    let (low, high) = indices.unwrap_or((0, u32::MAX));
                    (low..hook.units.min(high.saturating_add(1)))
                        .map(|index| UnitId { hook: hook.hook, index })
                });
                units.collect()
            }
            Self::Random { count, seed } => random(atlas, *count, *seed),
            Self::Density { low, high } => with_density(atlas, *low, *high)?,
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|cause| error(&format!("@{}", path.display()), cause.to_string()))?;
                let lines =
                    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                let selectors: Vec<Selector> = lines.map(str::parse).collect::<Result<_, _>>()?;
                if let Some(nested) = selectors.iter().find(|selector| matches!(selector.kind, Self::File(_)))
                {
                    return Err(error(&nested.text, "a list cannot name another list".to_owned()));
                }
                Selector::union(&selectors, atlas)?
            }
        })
    }
}

/// Hook points as patterns, those of neighbouring layers together: `blocks.0-29.mlp.hook_post`.
fn names<'a>(hooks: impl Iterator<Item = &'a HookSummary>) -> String {
    let mut sites: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    let mut names = Vec::new();
    for hook in hooks {
        let name = hook.hook.to_string();
        let Some((layer, site)) = hook.hook.layer().zip(name.splitn(3, '.').nth(2)) else {
            names.push(name);
            continue;
        };
        let ranges = sites.entry(site.to_owned()).or_default();
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == layer => *last = layer,
            _ => ranges.push((layer, layer)),
        }
    }
    for (site, ranges) in sites {
        let range = |(first, last): (usize, usize)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        let layers: Vec<String> = ranges.into_iter().map(range).collect();
        names.push(format!("blocks.{}.{site}", layers.join(",")));
    }
    names.join(", ")
}

/// The units with the smallest hashes: a larger count adds to a smaller one.
fn random(atlas: &Atlas, count: u64, seed: u64) -> Vec<UnitId> {
    let hash = |rank: u64| xxh3_64_with_seed(&rank.to_le_bytes(), seed);
    let mut ranks: Vec<u64> = (0..atlas.unit_count()).collect();
    ranks.sort_by_key(|&rank| (hash(rank), rank));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    ranks.into_iter().take(count).filter_map(|rank| atlas.unit_at(rank)).collect()
}

fn with_density(atlas: &Atlas, low: f64, high: f64) -> Result<Vec<UnitId>, ExplainError> {
    let limit = ListQuery::MAX_LIMIT;
    let bounds = ListQuery { min_density: Some(low), max_density: Some(high), limit, ..ListQuery::default() };
    let mut units = Vec::new();
    loop {
        let offset = units.len() as u32;
        let found = atlas.list(&ListQuery { offset, ..bounds.clone() })?.units;
        units.extend(found.iter().map(|summary| summary.unit));
        if found.len() < limit as usize {
            return Ok(units);
        }
    }
}
