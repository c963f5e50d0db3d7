//! What is evaluated: a dictionary between two hook points, or a baseline in the form of one.

use glossator_kernels::Precision;
use serde::Serialize;

use super::place::Place;
use crate::coder::Coder;
use crate::dictionary::Dictionary;
use crate::error::DictionaryError;

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateKind {
    /// A dictionary that someone trained.
    Dictionary,
    /// The coordinates of the hook point (neurons, where it is the MLP's), the largest k kept.
    Coordinates,
    /// The leading k principal components.
    PrincipalComponents,
    /// A dictionary of random directions.
    RandomDictionary,
    /// A dictionary on the activations of the same model with shuffled weights.
    ShuffledModel,
}

/// A dictionary with the places that it reads and reconstructs, packed for use.
pub struct Candidate {
    /// What people call it.
    pub name: String,
    /// Where it comes from.
    pub kind: CandidateKind,
    /// What it encodes.
    pub reads: Place,
    /// What it reconstructs.
    pub writes: Place,
    /// The dictionary, in f32.
    pub coder: Coder<Dictionary>,
}

impl Candidate {
    /// Checks and packs a dictionary.
    ///
    /// # Errors
    /// What [`Dictionary::check`] finds.
    pub fn new(
        name: String,
        kind: CandidateKind,
        places: [impl Into<Place>; 2],
        dictionary: Dictionary,
    ) -> Result<Self, DictionaryError> {
        dictionary.check()?;
        let [reads, writes] = places.map(Into::into);
        Ok(Self { name, kind, reads, writes, coder: Coder::new(dictionary, Precision::F32) })
    }
}
