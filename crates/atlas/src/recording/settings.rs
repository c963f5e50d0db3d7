//! What a recording depends on. Two recordings with equal settings can be merged.

use glossator_model::HookPoint;
use serde::{Deserialize, Serialize};

use crate::error::AtlasError;
use crate::manifest::{HookSummary, RunSummary};

/// Everything that decides what a recording keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordSettings {
    /// The whole selection, not only this shard of it.
    pub run: RunSummary,
    /// What is recorded, in order of execution.
    pub hooks: Vec<HookSummary>,
    /// `[token]`: occurrences in the whole selection at counted positions.
    pub token_counts: Vec<u64>,
    /// Tokens with a mean activation per unit, ascending.
    pub kept_tokens: Vec<u32>,
}

/// Which tokens get a mean activation per unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSelection {
    /// Fewest occurrences in the selection.
    pub min_count: u64,
    /// Most memory for the table, in bytes; the most frequent tokens are kept.
    pub memory: u64,
}

impl TokenSelection {
    /// The tokens to keep for `units` units, ascending.
    pub fn choose(self, token_counts: &[u64], units: u64) -> Vec<u32> {
        let mut tokens: Vec<u32> = (0..token_counts.len() as u32)
            .filter(|token| token_counts[*token as usize] >= self.min_count.max(1))
            .collect();
        tokens.sort_by_key(|token| (std::cmp::Reverse(token_counts[*token as usize]), *token));
        tokens.truncate((self.memory / (8 * units.max(1))) as usize);
        tokens.sort_unstable();
        tokens
    }
}

impl RecordSettings {
    /// Checks that the settings fit together.
    pub fn check(&self) -> Result<(), AtlasError> {
        let fail = |message: String| Err(AtlasError::Settings { message });
        let run = &self.run;
        if let Some(hook) = self.hooks.iter().find(|hook| hook.hook.is_pairwise()) {
            return fail(format!(
                "{} holds pairs of tokens, not units: record another hook point",
                hook.hook
            ));
        }
        if self.hooks.is_empty() || self.hooks.windows(2).any(|pair| pair[0].hook >= pair[1].hook) {
            return fail(
                "the hook points must be at least one, distinct and in order of execution".to_owned(),
            );
        }
        if self.hooks.iter().any(|hook| hook.units == 0 || hook.units > 1 << 28) {
            return fail("a hook point has no units, or impossibly many".to_owned());
        }
        let width =
            |hook: HookPoint| self.hooks.iter().find(|other| other.hook == hook).map(|other| other.units);
        for hook in self.hooks.iter().filter(|hook| hook.neurons.is_some()) {
            let comes_before =
                hook.neurons.is_some_and(|neurons| neurons < hook.hook && width(neurons).is_some());
            if !comes_before || !hook.hook.is_features() {
                return fail(format!("the neurons of {} are not recorded before it", hook.hook));
            }
        }
        if run.context == 0 || run.context > 1 << 20 || run.ignored_positions >= run.context {
            return fail(format!("windows of {} tokens cannot be recorded", run.context));
        }
        // Histogram counts are u32, and exact sums hold 2^25 windows.
        let tokens = run.windows.saturating_mul(run.context.into());
        if run.windows == 0 || run.windows >= 1 << 25 || tokens > u64::from(u32::MAX) {
            return fail(format!(
                "{} windows in one atlas: the limit is 2^25 windows and 2^32 tokens",
                run.windows
            ));
        }
        let ascending = self.kept_tokens.windows(2).all(|pair| pair[0] < pair[1]);
        let known = self.kept_tokens.last().is_none_or(|token| (*token as usize) < self.token_counts.len());
        if !ascending || !known || self.token_counts.len() > 1 << 22 {
            return fail("the kept tokens are not in the vocabulary, or out of order".to_owned());
        }
        Ok(())
    }

    /// Units over all hook points.
    pub fn units(&self) -> u64 {
        self.hooks.iter().map(|hook| u64::from(hook.units)).sum()
    }

    /// Neurons whose products with the features of a hook point are summed; 0 for none.
    pub(crate) fn neurons(&self, hook: &HookSummary) -> usize {
        let found = self.hooks.iter().find(|other| Some(other.hook) == hook.neurons);
        found.map_or(0, |neurons| neurons.units as usize)
    }

    /// The hook points.
    pub fn hook_points(&self) -> Vec<HookPoint> {
        self.hooks.iter().map(|hook| hook.hook).collect()
    }

    /// The first setting that differs from `other`: its name, and the two values, for people.
    pub(crate) fn difference(&self, other: &Self) -> Option<(String, String, String)> {
        let [mine, theirs] = [self, other].map(|settings| serde_json::to_value(settings).unwrap_or_default());
        difference("", &mine, &theirs)
    }
}

fn difference(
    name: &str,
    mine: &serde_json::Value,
    theirs: &serde_json::Value,
) -> Option<(String, String, String)> {
    // Where the model lies may differ between the machines that record shards.
    if mine == theirs || name == "run.model_location" {
        return None;
    }
    if let (Some(mine), Some(theirs)) = (mine.as_object(), theirs.as_object()) {
        return mine.iter().find_map(|(key, value)| {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            difference(&name, value, theirs.get(key).unwrap_or(&serde_json::Value::Null))
        });
    }
    let short = |value: &serde_json::Value| value.to_string().chars().take(80).collect::<String>();
    Some((name.to_owned(), short(mine), short(theirs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_tokens_that_fit_are_kept() {
        let counts = [5, 0, 9, 2, 5, 7];
        let select = |min_count, memory| TokenSelection { min_count, memory }.choose(&counts, 10);
        assert_eq!(select(3, u64::MAX), [0, 2, 4, 5]);
        assert_eq!(select(3, 3 * 80), [0, 2, 5]);
        assert_eq!(select(0, u64::MAX), [0, 2, 3, 4, 5]);
        assert_eq!(select(3, 79), [0_u32; 0]);
    }
}
