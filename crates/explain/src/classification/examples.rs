//! Which texts a unit's explanation is judged on.
//!
//! Texts on which the unit fires: the top windows of the scored split, and its random windows that reach as high as the
//! lowest of those. Texts on which it does not, each with a maximum below half of that:
//!
//! - random windows of the scored split;
//! - top windows of the units with the most similar output directions, around what those fire on;
//! - near misses: windows with the token on which one of the unit's top windows has its peak, around that token.
//!
//! What lies between is left out, so that no judge has to guess what counts. Neighbours' windows and near misses are run
//! through the subject model to see what the unit does there. A window that the unit has in another split is never
//! among them: explainers, calibration and selection may have seen it.

use std::collections::{BTreeMap, BTreeSet};

use glossator_atlas::{Atlas, Excerpt, ExcerptKind, Split, UnitRecord};
use glossator_model::UnitId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::example::{Example, Source};
use crate::ExplainError;
use crate::activations::SequenceActivations;

/// Texts from each source.
pub const FROM_EACH: usize = 5;

/// Windows that are run through the subject model for every text that is wanted.
const TRIED: usize = 4;

/// Most windows that near misses are looked for in.
const POOL: usize = 8_192;

/// A text does not activate if its maximum is below this share of the lowest top window's.
const SILENT: f32 = 0.5;

/// Windows of an atlas, in which near misses are looked for.
pub struct Pool {
    windows: Vec<(u32, Vec<u32>)>,
    /// Where each token stands: (index of the window, position), each window once.
    places: BTreeMap<u32, Vec<(usize, usize)>>,
    seed: u64,
}

impl Pool {
    /// Draws windows of `atlas` by hash.
    pub fn read(atlas: &Atlas, seed: u64) -> Result<Self, ExplainError> {
        let mut numbers = atlas.window_numbers()?;
        numbers.sort_by_key(|number| xxh3_64_with_seed(&number.to_le_bytes(), seed));
        numbers.truncate(POOL);
        let tokens = atlas.window_tokens(&numbers)?;
        let ignored = atlas.manifest().run.ignored_positions as usize;
        let mut places: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
        for (index, tokens) in tokens.iter().enumerate() {
            for (position, token) in tokens.iter().enumerate().skip(ignored) {
                let of_token = places.entry(*token).or_default();
                if of_token.last().is_none_or(|(last, _)| *last != index) {
                    of_token.push((index, position));
                }
            }
        }
        Ok(Self { windows: numbers.into_iter().zip(tokens).collect(), places, seed })
    }
}

/// A window that may become a text.
struct Candidate {
    window: u32,
    tokens: Vec<u32>,
    place: usize,
    source: Source,
}

/// Chooses the texts for one unit.
pub struct Chooser<'a> {
    atlas: &'a Atlas,
    pool: &'a Pool,
    split: Split,
}

impl<'a> Chooser<'a> {
    /// Texts of `split`, near misses from `pool`.
    pub fn new(atlas: &'a Atlas, pool: &'a Pool, split: Split) -> Self {
        Self { atlas, pool, split }
    }

    /// The texts of `unit`: those on which it fires first. Empty if it fires on none.
    pub fn choose(
        &self,
        unit: UnitId,
        activations: &mut dyn SequenceActivations,
    ) -> Result<Vec<Example>, ExplainError> {
        let record = self.atlas.unit(unit)?;
        let top: Vec<&Excerpt> =
            record.select(true, self.split).filter(|excerpt| excerpt.max > 0.0).collect();
        let Some(lowest) = top.iter().map(|excerpt| excerpt.max).reduce(f32::min) else {
            return Ok(Vec::new());
        };
        let mut used: BTreeSet<u32> = record
            .excerpts
            .iter()
            .filter(|excerpt| excerpt.split != self.split)
            .map(|excerpt| excerpt.window)
            .collect();
        let mut examples = Vec::new();
        let mut silent = Vec::new();
        let listed = top.into_iter().chain(record.select(false, self.split));
        for excerpt in listed {
            let fires = excerpt.max >= lowest;
            if !used.insert(excerpt.window) || (!fires && excerpt.max >= SILENT * lowest) {
                continue;
            }
            let source = if excerpt.kind == ExcerptKind::Top { Source::Top } else { Source::Random };
            let example =
                self.example(excerpt.window, source, fires, self.peak(&excerpt.activations), excerpt);
            if fires { examples.push(example) } else { silent.push(example) }
        }
        examples.truncate(2 * FROM_EACH);
        silent.truncate(FROM_EACH);
        let peaks: Vec<u32> = record
            .select(true, self.split)
            .filter_map(|excerpt| excerpt.tokens.get(self.peak(&excerpt.activations)).copied())
            .collect();
        let threshold = SILENT * lowest;
        let neighbours = self.neighbours(&record, &mut used)?;
        examples.extend(silent);
        examples.extend(self.silent(unit, &neighbours, threshold, activations)?);
        let near = self.near_misses(&peaks, &mut used);
        examples.extend(self.silent(unit, &near, threshold, activations)?);
        Ok(examples)
    }

    /// The position of the first largest counted activation.
    fn peak(&self, activations: &[f32]) -> usize {
        let ignored = self.atlas.manifest().run.ignored_positions as usize;
        let counted = activations.iter().enumerate().skip(ignored);
        counted.reduce(|best, next| if next.1 > best.1 { next } else { best }).map_or(0, |(place, _)| place)
    }

    fn example(&self, window: u32, source: Source, fires: bool, place: usize, excerpt: &Excerpt) -> Example {
        self.cut(window, source, fires, place, &excerpt.tokens, &excerpt.activations)
    }

    fn cut(
        &self,
        window: u32,
        source: Source,
        fires: bool,
        place: usize,
        tokens: &[u32],
        activations: &[f32],
    ) -> Example {
        let ignored = self.atlas.manifest().run.ignored_positions as usize;
        let text = |token| self.atlas.vocabulary().text(token).to_owned();
        let (tokens, activations) = Example::around(place, ignored, tokens, activations, text);
        Example { window, source, fires, tokens, activations }
    }

    /// Top windows of the unit's neighbours, the most similar neighbour's first.
    fn neighbours(
        &self,
        record: &UnitRecord,
        used: &mut BTreeSet<u32>,
    ) -> Result<Vec<Candidate>, ExplainError> {
        let mut candidates = Vec::new();
        for neighbour in &record.neighbours {
            let top = self.atlas.excerpts(neighbour.unit)?;
            let top = top.into_iter().filter(|excerpt| excerpt.kind == ExcerptKind::Top);
            // Two of each, so that they come from several neighbours.
            for excerpt in top.filter(|excerpt| !used.contains(&excerpt.window)).take(2).collect::<Vec<_>>() {
                used.insert(excerpt.window);
                let place = self.peak(&excerpt.activations);
                let (window, tokens) = (excerpt.window, excerpt.tokens);
                candidates.push(Candidate { window, tokens, place, source: Source::Neighbour });
            }
            if candidates.len() >= TRIED * FROM_EACH {
                break;
            }
        }
        Ok(candidates)
    }

    /// Windows with one of `tokens`, the tokens in turn.
    fn near_misses(&self, tokens: &[u32], used: &mut BTreeSet<u32>) -> Vec<Candidate> {
        let distinct: BTreeSet<u32> = tokens.iter().copied().collect();
        let mut places: Vec<Vec<(usize, usize)>> = distinct
            .iter()
            .map(|token| {
                let mut places = self.pool.places.get(token).cloned().unwrap_or_default();
                let key = |(index, _): &(usize, usize)| {
                    xxh3_64_with_seed(
                        &self.pool.windows[*index].0.to_le_bytes(),
                        self.pool.seed ^ u64::from(*token),
                    )
                };
                places.sort_by_key(key);
                places
            })
            .collect();
        let mut candidates = Vec::new();
        while candidates.len() < TRIED * FROM_EACH && places.iter().any(|places| !places.is_empty()) {
            for places in &mut places {
                let Some((index, place)) = places.pop() else { continue };
                let (window, tokens) = &self.pool.windows[index];
                if used.insert(*window) {
                    candidates.push(Candidate {
                        window: *window,
                        tokens: tokens.clone(),
                        place,
                        source: Source::NearMiss,
                    });
                }
            }
        }
        candidates
    }

    /// The first of `candidates` on which the unit stays below `threshold`.
    fn silent(
        &self,
        unit: UnitId,
        candidates: &[Candidate],
        threshold: f32,
        activations: &mut dyn SequenceActivations,
    ) -> Result<Vec<Example>, ExplainError> {
        let sequences: Vec<Vec<u32>> = candidates.iter().map(|candidate| candidate.tokens.clone()).collect();
        let found = activations.everywhere(unit, &sequences)?;
        let quiet = candidates
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.get(self.peak(found)).is_some_and(|maximum| *maximum < threshold));
        let examples = quiet.map(|(candidate, found)| {
            self.cut(candidate.window, candidate.source, false, candidate.place, &candidate.tokens, found)
        });
        Ok(examples.take(FROM_EACH).collect())
    }
}
