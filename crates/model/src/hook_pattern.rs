//! Patterns over hook points: `blocks.*.mlp.hook_post`, `blocks.3-5.attn.*`, `hook_embed`.
//!
//! A pattern is a hook name in which the layer may be `*`, a range `3-5` or a list `1,4,7-9`, and in
//! which `*` inside the rest stands for any characters.

use std::fmt;
use std::str::FromStr;

use crate::architecture::Architecture;
use crate::error::ModelError;
use crate::hook::HookPoint;

/// A set of hook points by name, independent of a model until [`HookPattern::expand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookPattern {
    text: String,
    layers: Option<Layers>,
    rest: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Layers {
    All,
    Ranges(Vec<(usize, usize)>),
}

impl HookPattern {
    /// The hook points of this architecture that match, in the order of execution.
    ///
    /// # Errors
    /// [`ModelError::UnknownHook`] with the nearest existing names when nothing matches.
    pub fn expand(&self, architecture: &Architecture) -> Result<Vec<HookPoint>, ModelError> {
        let all = HookPoint::all(architecture);
        let found: Vec<HookPoint> = all.iter().copied().filter(|hook| self.matches(*hook)).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        Err(ModelError::UnknownHook { name: self.text.clone(), near: nearest_names(&self.text, &all) })
    }

    /// Whether this hook point is in the set.
    pub fn matches(&self, hook: HookPoint) -> bool {
        match (&self.layers, hook) {
            (Some(layers), hook) => hook.layer().is_some_and(|layer| {
                let name = hook.to_string();
                let in_block = name.splitn(3, '.').nth(2).unwrap_or_default();
                layers.contains(layer) && wildcard_matches(&self.rest, in_block)
            }),
            (None, hook) => wildcard_matches(&self.rest, &hook.to_string()),
        }
    }
}

impl Layers {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let range = |part: &str| match part.split_once('-') {
            Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)),
            None => part.parse().ok().map(|layer| (layer, layer)),
        };
        text.split(',').map(range).collect::<Option<_>>().map(Self::Ranges)
    }

    fn contains(&self, layer: usize) -> bool {
        match self {
            Self::All => true,
            Self::Ranges(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&layer)),
        }
    }
}

impl FromStr for HookPattern {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let unknown = || ModelError::UnknownHook { name: text.to_owned(), near: String::new() };
        let Some(in_block) = text.strip_prefix("blocks.") else {
            return Ok(Self { text: text.to_owned(), layers: None, rest: text.to_owned() });
        };
        let (layers, rest) = in_block.split_once('.').ok_or_else(unknown)?;
        let layers = Layers::parse(layers).ok_or_else(unknown)?;
        Ok(Self { text: text.to_owned(), layers: Some(layers), rest: rest.to_owned() })
    }
}

impl fmt::Display for HookPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `*` stands for any run of characters, everything else for itself.
fn wildcard_matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The three existing names with the smallest edit distance, as a sentence for an error.
pub(crate) fn nearest_names(text: &str, all: &[HookPoint]) -> String {
    let mut ranked: Vec<(usize, String)> = all
        .iter()
        .map(|hook| {
            let name = hook.to_string();
            (edit_distance(text, &name), name)
        })
        .collect();
    ranked.sort();
    let names: Vec<String> = ranked.into_iter().take(3).map(|(_, name)| name).collect();
    format!("; nearest names here: {}", names.join(", "))
}

/// Levenshtein's distance, one row of the table at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_names() {
        assert!(wildcard_matches("attn.*", "attn.hook_q"));
        assert!(wildcard_matches("*scale", "ln1.hook_scale"));
        assert!(wildcard_matches("*.hook_*ed", "ln2.hook_normalized"));
        assert!(wildcard_matches("mlp.hook_post", "mlp.hook_post"));
        assert!(!wildcard_matches("mlp.hook_p", "mlp.hook_post"));
        assert!(!wildcard_matches("a*a", "a"));
    }

    #[test]
    fn edit_distance_counts_changes() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
    }
}
