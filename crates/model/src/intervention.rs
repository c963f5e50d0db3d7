//! Interventions: changes to activations on their way through the forward pass.

use std::fmt;
use std::sync::Arc;

use crate::hook::HookPoint;

/// Which positions of every sequence are changed. Negative numbers count from the end of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Every position.
    All,
    /// Half-open ranges `[first, last)`; a single position `p` is `p..p + 1`, and `None` is the end.
    Ranges(Vec<(i64, Option<i64>)>),
}

/// Which coordinates of a hook point are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Units {
    /// Every coordinate.
    All,
    /// These coordinates.
    Coordinates(Vec<u32>),
    /// All coordinates of these heads.
    Heads(Vec<u32>),
}

/// A change of the selected values of a row, in place: `[selected units]` at one position.
pub type RowFunction = Arc<dyn Fn(&RowContext, &mut [f32]) + Send + Sync>;

/// Where a row that a closure changes comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowContext {
    /// The sequence in the batch.
    pub sequence: usize,
    /// The position in the sequence; the query position for pairwise hooks.
    pub position: usize,
    /// The head of a pairwise hook (scores, patterns), otherwise 0.
    pub head: usize,
}

/// What is done to the selected values.
#[derive(Clone)]
pub enum Change {
    /// Every selected value becomes this.
    Set(f32),
    /// The selected values become these, one per selected unit.
    SetVector(Vec<f32>),
    /// This is added to every selected value.
    Add(f32),
    /// These are added, one per selected unit.
    AddVector(Vec<f32>),
    /// Every selected value is multiplied by this.
    Scale(f32),
    /// Every selected value becomes 0.
    Zero,
    /// A closure rewrites the selected values of each row.
    Replace(RowFunction),
}

/// A change at a hook point, made before observers see the value and before it flows on.
#[derive(Clone, Debug)]
pub struct Intervention {
    /// Where.
    pub hook: HookPoint,
    /// At which positions of every sequence.
    pub positions: Positions,
    /// Which coordinates.
    pub units: Units,
    /// What.
    pub change: Change,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(value) => write!(f, "Set({value})"),
            Self::SetVector(values) => write!(f, "SetVector({values:?})"),
            Self::Add(value) => write!(f, "Add({value})"),
            Self::AddVector(values) => write!(f, "AddVector({values:?})"),
            Self::Scale(value) => write!(f, "Scale({value})"),
            Self::Zero => f.write_str("Zero"),
            Self::Replace(_) => f.write_str("Replace(closure)"),
        }
    }
}
