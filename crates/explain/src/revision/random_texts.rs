//! Texts drawn at random, as feedback to compare test sentences with: as many, and about as long.

use std::collections::BTreeSet;

use glossator_atlas::{Atlas, Split};
use glossator_model::UnitId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{FIRES, Tested, sentences};
use crate::ExplainError;
use crate::activations::SequenceActivations;
use crate::classification::Example;

/// Pieces of windows, drawn by hash of unit and round, with what the unit does on them. None is from a window that the unit
/// has in another split than that of training: those score the explanation.
pub(super) fn tested(
    atlas: &Atlas,
    unit: UnitId,
    round: u32,
    activations: &mut dyn SequenceActivations,
) -> Result<Vec<Tested>, ExplainError> {
    let held_out: BTreeSet<u32> = atlas
        .excerpts(unit)?
        .into_iter()
        .filter(|excerpt| excerpt.split != Split::Train)
        .map(|excerpt| excerpt.window)
        .collect();
    let seed = (u64::from(unit.index) << 32) | u64::from(round);
    let hash = |number: u32| xxh3_64_with_seed(&number.to_le_bytes(), seed);
    let mut numbers = atlas.window_numbers()?;
    numbers.retain(|number| !held_out.contains(number));
    numbers.sort_by_key(|number| hash(*number));
    numbers.truncate(2 * sentences::EACH);
    let windows = atlas.window_tokens(&numbers)?;
    let found = activations.everywhere(unit, &windows)?;
    let ignored = atlas.manifest().run.ignored_positions as usize;
    let maximum = atlas.profile(unit)?.0.max;
    let texts = numbers.iter().zip(windows).zip(found).map(|((number, tokens), activations)| {
        let place = (hash(!*number) % tokens.len().max(1) as u64) as usize;
        let text = |token| atlas.vocabulary().text(token).to_owned();
        let (tokens, activations) = Example::around(place, ignored, &tokens, &activations, text);
        let peaks = tokens.iter().zip(activations);
        let (token, highest) = peaks
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map_or((String::new(), 0.0), |(token, highest)| (token.clone(), highest));
        let share = if maximum > 0.0 { highest / maximum } else { 0.0 };
        Tested { text: tokens.concat(), expected: None, share, token, fires: share >= FIRES }
    });
    Ok(texts.collect())
}
