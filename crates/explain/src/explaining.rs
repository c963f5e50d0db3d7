//! Explains units of an atlas and stores what was found, resumably.
//!
//! Units are worked on in blocks that depend only on the selection, and a block is stored as a whole. A run that was
//! killed and started again leaves out the units that are done and explains the others in the blocks they would have
//! been in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use glossator_atlas::{Atlas, Excerpt, Explanation, Split};
use glossator_model::{HookPoint, Model, UnitId};
use rayon::prelude::*;

use crate::ExplainError;
use crate::activations::{ModelActivations, Request, UnitActivations};
use crate::lookup;
use crate::neuron2graph::{self, EXAMPLES, Frame, Padding, Subject};

/// Units that are looked up, and stored, together.
const LOOKUP_BLOCK: usize = 512;

/// Units whose Neuron2Graph searches share forward passes.
const SEARCH_BLOCK: usize = 512;

/// Tokens in a forward pass of searches.
const BATCH_TOKENS: usize = 8_192;

/// Texts on which the model must do what the atlas recorded.
const CHECKED: usize = 8;

/// What makes explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Explainer {
    /// [`crate::lookup`]
    Lookup,
    /// [`crate::neuron2graph`]
    Neuron2Graph,
    /// [`crate::backoff`]
    Backoff,
}

impl Explainer {
    /// The name under which explanations are stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Neuron2Graph => "n2g",
            Self::Backoff => "n2g+lookup",
        }
    }
}

impl fmt::Display for Explainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Explainer {
    type Err = ExplainError;

    fn from_str(text: &str) -> Result<Self, ExplainError> {
        match text {
            "lookup" => Ok(Self::Lookup),
            "n2g" => Ok(Self::Neuron2Graph),
            "n2g+lookup" => Ok(Self::Backoff),
            _ => Err(ExplainError::UnknownExplainer { name: text.to_owned() }),
        }
    }
}

/// The units of `units` that the explainer of this name has explained already.
pub fn done(atlas: &Atlas, explainer: &str, units: &[UnitId]) -> Result<Vec<bool>, ExplainError> {
    let mut done = Vec::with_capacity(units.len());
    for units in units.chunk_by(|a, b| a.hook == b.hook) {
        let explained = atlas.explained(units[0].hook, explainer)?;
        done.extend(units.iter().map(|unit| explained.contains(&unit.index)));
    }
    Ok(done)
}

/// Explains by token lookup those of `units` that are not `done`. `progress` is told the number of units, block by
/// block.
pub fn by_lookup(
    atlas: &Atlas,
    units: &[UnitId],
    done: &[bool],
    progress: &(dyn Fn(usize) + Sync),
) -> Result<(), ExplainError> {
    for (units, done) in units.chunks(LOOKUP_BLOCK).zip(done.chunks(LOOKUP_BLOCK)) {
        let pending: Vec<UnitId> =
            units.iter().zip(done).filter(|(_, done)| !**done).map(|(unit, _)| *unit).collect();
        let explanations: Vec<Explanation> = pending
            .par_iter()
            .map(|&unit| {
                let (_, top) = atlas.profile(unit)?;
                let mean = atlas.mean_without_scoring(unit)?;
                Ok(Explanation {
                    unit,
                    explainer: Explainer::Lookup.name().to_owned(),
                    text: lookup::readable(&top, |token| atlas.vocabulary().text(token)),
                    body: lookup::to_json(mean, &top),
                    seconds: None,
                })
            })
            .collect::<Result<_, ExplainError>>()?;
        atlas.put_explanations(&explanations)?;
        progress(units.len());
    }
    Ok(())
}

/// What Neuron2Graph cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SearchCost {
    /// Units explained.
    pub units: usize,
    /// Examples searched.
    pub examples: usize,
    /// Token positions run through the model.
    pub positions: u64,
    /// Forward passes.
    pub forwards: u64,
}

/// Explains by Neuron2Graph those of `units` that are not `done`, asking `model` for activations. `progress` is told
/// the number of units, block by block.
pub fn by_neuron2graph(
    atlas: &Atlas,
    model: &Model,
    units: &[UnitId],
    done: &[bool],
    progress: &dyn Fn(usize),
) -> Result<SearchCost, ExplainError> {
    let padding = Padding::of(model.tokenizer()?)?;
    let mut activations = ModelActivations::new(model, BATCH_TOKENS);
    let mut cost = SearchCost::default();
    let mut checked: Option<HookPoint> = None;
    let blocks = units.chunk_by(|a, b| a.hook == b.hook).flat_map(|units| units.chunks(SEARCH_BLOCK));
    let mut rest = done;
    for units in blocks {
        let (done, after) = rest.split_at(units.len());
        rest = after;
        let pending: Vec<UnitId> =
            units.iter().zip(done).filter(|(_, done)| !**done).map(|(unit, _)| *unit).collect();
        let start = Instant::now();
        let (subjects, frame) = subjects(atlas, &pending, padding.token)?;
        if checked != units.first().map(|unit| unit.hook) {
            check_model(&subjects, frame, &mut activations)?;
            checked = units.first().map(|unit| unit.hook);
        }
        let tries = neuron2graph::explain(&subjects, frame, &mut activations)?;
        let seconds = start.elapsed().as_secs_f64() / pending.len().max(1) as f64;
        let text = |token| atlas.vocabulary().text(token);
        let explanations: Vec<Explanation> = subjects
            .iter()
            .zip(&tries)
            .map(|(subject, trie)| Explanation {
                unit: subject.unit,
                explainer: Explainer::Neuron2Graph.name().to_owned(),
                text: neuron2graph::readable(trie, text),
                body: neuron2graph::to_json(trie, &padding, subject.examples.len(), text),
                seconds: Some(seconds),
            })
            .collect();
        atlas.put_explanations(&explanations)?;
        cost.units += subjects.len();
        cost.examples += subjects.iter().map(|subject| subject.examples.len()).sum::<usize>();
        progress(units.len());
    }
    Ok(SearchCost { positions: activations.positions, forwards: activations.forwards, ..cost })
}

/// Explains by Neuron2Graph and token lookup together those of `units` that are not `done` and that Neuron2Graph has
/// explained. `progress` is told the number of units, block by block. Returns how many were left out for want of a
/// Neuron2Graph explanation.
pub fn by_backoff(
    atlas: &Atlas,
    units: &[UnitId],
    done: &[bool],
    progress: &(dyn Fn(usize) + Sync),
) -> Result<usize, ExplainError> {
    let mut missing = 0;
    for (units, done) in units.chunks(LOOKUP_BLOCK).zip(done.chunks(LOOKUP_BLOCK)) {
        let pending = units.iter().zip(done).filter(|(_, done)| !**done).map(|(unit, _)| *unit);
        let mut explanations = Vec::new();
        for unit in pending {
            let Some(patterns) = atlas.explanation(unit, Explainer::Neuron2Graph.name())? else {
                missing += 1;
                continue;
            };
            let top = atlas.profile(unit)?.1;
            let means = lookup::readable(&top, |token| atlas.vocabulary().text(token));
            explanations.push(Explanation {
                explainer: Explainer::Backoff.name().to_owned(),
                text: format!("{}; elsewhere {means}", patterns.text),
                ..patterns
            });
        }
        atlas.put_explanations(&explanations)?;
        progress(units.len());
    }
    Ok(missing)
}

/// The examples of each unit, and how sequences are framed in this atlas.
fn subjects(atlas: &Atlas, units: &[UnitId], padding: u32) -> Result<(Vec<Subject>, Frame), ExplainError> {
    let ignored = atlas.manifest().run.ignored_positions as usize;
    let subjects: Vec<Subject> = units
        .par_iter()
        .map(|&unit| {
            let maximum = atlas.profile(unit)?.0.max;
            let excerpts: Vec<Excerpt> = atlas.excerpts_in(unit, &[Split::Train])?;
            let examples = neuron2graph::examples(&excerpts, maximum, ignored, EXAMPLES);
            let means = atlas.token_means(unit)?;
            let mean = Arc::new(move |token| means.get(token));
            let evidence = neuron2graph::evidence(&excerpts, ignored, mean);
            Ok(Subject { unit, examples, evidence })
        })
        .collect::<Result<_, ExplainError>>()?;
    Ok((subjects, Frame { bos: atlas.manifest().run.bos, padding }))
}

/// Refuses a model that does not do on recorded texts what the atlas says the recorded one did.
fn check_model(
    subjects: &[Subject],
    frame: Frame,
    activations: &mut dyn UnitActivations,
) -> Result<(), ExplainError> {
    let examples =
        subjects.iter().filter_map(|subject| subject.examples.first().map(|example| (subject.unit, example)));
    let examples: Vec<_> = examples.take(CHECKED).collect();
    let recorded = |&(unit, example): &(UnitId, &neuron2graph::Example)| {
        let body = frame.body(&example.tokens);
        Request { unit, tokens: frame.bos.into_iter().chain(body.iter().copied()).collect() }
    };
    let requests: Vec<Request> = examples.iter().map(recorded).collect();
    let now = activations.last(&requests)?;
    // Rounding to bf16 moves an activation by some per cent; another model, another BOS, by anything.
    let agrees = |((_, example), now): &(&(UnitId, &neuron2graph::Example), f32)| {
        (now - example.activation).abs() <= 0.2 * example.activation.abs()
    };
    let agreeing = examples.iter().zip(now).filter(agrees).count();
    if 2 * agreeing < examples.len() {
        return Err(ExplainError::OtherModel { agreeing, checked: examples.len() });
    }
    Ok(())
}
