//! Neuron2Graph: finds, by asking the subject model, which token patterns make a unit fire.
//!
//! The simplified form of Gao et al. 2024 ("Scaling and evaluating sparse autoencoders", sections 4.3 and 4.4) after
//! Foote et al. 2023. For each of up to 16 texts in which the unit fires, [`search`] finds the shortest suffix that
//! keeps at least half of the activation, checks that it does not depend on its absolute position, marks the tokens
//! that may be anything, and tries similar tokens in the place of the others. [`pattern`] merges what the texts gave,
//! [`trie`] predicts.
//!
//! Where it departs from the published form, on purpose:
//!
//! - sequences begin with a lead token (see `frame`), because the first position of many models is unlike the others;
//! - a suffix that only works at the beginning of a sequence is lengthened, and anchored only if it is the whole text;
//! - suffixes of more than 8 tokens are not tried;
//! - prediction follows exact and wildcard branches and takes the longest match (the original takes the exact branch
//!   where there is one, never turns back, and stops at the shortest match);
//! - tokens that the subject model embeds alike are tried in the place of those that matter (Foote et al. ask a masked
//!   language model for substitutes; Gao et al. try none);
//! - equal patterns merge (the original keeps the last), and a pattern is worth the mean recorded activation where it
//!   predicts, not what the bare suffix gave; a token that patterns end on predicts its mean where none of them
//!   matches (see `evidence`);
//! - patterns that differ in the length of one wildcard run become one with a gap of varying length.

pub mod evidence;
pub mod examples;
mod frame;
mod graphviz;
mod json;
pub mod pattern;
mod readable;
pub mod search;
pub mod trie;

pub use evidence::{Evidence, evidence};
pub use examples::examples;
pub use frame::{Frame, Padding};
pub use graphviz::graphviz;
pub use json::{from_json, to_json};
pub use readable::readable;
pub use search::{Example, Search};
pub use trie::Trie;

use std::collections::{BTreeMap, BTreeSet};

use glossator_model::UnitId;
use rayon::prelude::*;

use crate::ExplainError;
use crate::activations::{Request, UnitActivations};

/// Examples per unit.
pub const EXAMPLES: usize = 16;

/// Tokens that are tried in the place of one.
const SUBSTITUTES: usize = 5;

/// A unit and the texts to learn from.
#[derive(Clone)]
pub struct Subject {
    /// The unit.
    pub unit: UnitId,
    /// Texts in which it fires.
    pub examples: Vec<Example>,
    /// What is recorded of it, by which its patterns are valued.
    pub evidence: Evidence,
}

/// Finds the patterns of several units together: in every round the sequences that all unfinished searches want are
/// answered at once. Returns one trie per subject, in order; a unit without examples gets the empty trie.
pub fn explain(
    subjects: &[Subject],
    frame: Frame,
    activations: &mut dyn UnitActivations,
) -> Result<Vec<Trie>, ExplainError> {
    let mut searches: Vec<Vec<Search>> = Vec::with_capacity(subjects.len());
    for subject in subjects {
        searches.push(subject.examples.iter().map(|example| Search::new(example, frame)).collect());
    }
    loop {
        supply_similar(&mut searches, activations)?;
        let mut requests = Vec::new();
        let mut served = Vec::new();
        for (subject, searches) in subjects.iter().zip(&mut searches) {
            for search in searches {
                let first = requests.len();
                let wanted = search.next_requests().into_iter();
                requests.extend(wanted.map(|tokens| Request { unit: subject.unit, tokens }));
                if requests.len() > first {
                    served.push((search, first..requests.len()));
                }
            }
        }
        if requests.is_empty() {
            break;
        }
        let answers = activations.last(&requests)?;
        for (search, range) in served {
            search.supply(&answers[range]);
        }
    }
    let tries = subjects.par_iter().zip(&searches).map(|(subject, searches)| {
        let found: Vec<_> = searches.iter().flat_map(Search::patterns).cloned().collect();
        evidence::valued(&pattern::merge(&found), frame.bos, &subject.evidence)
    });
    Ok(tries.collect())
}

/// Tells the searches that wait for it which tokens are similar to theirs.
fn supply_similar(
    searches: &mut [Vec<Search>],
    activations: &mut dyn UnitActivations,
) -> Result<(), ExplainError> {
    let mut waiting: Vec<&mut Search> =
        searches.iter_mut().flatten().filter(|search| !search.wanted_similar().is_empty()).collect();
    let wanted: BTreeSet<u32> = waiting.iter().flat_map(|search| search.wanted_similar()).collect();
    let wanted: Vec<u32> = wanted.into_iter().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let similar = activations.similar(&wanted, SUBSTITUTES)?;
    let similar: BTreeMap<u32, Vec<u32>> = wanted.into_iter().zip(similar).collect();
    waiting.iter_mut().for_each(|search| search.supply_similar(&similar));
    Ok(())
}

#[cfg(test)]
mod tests;
