//! Interventions: changes to activations on their way through the forward pass.
//!
//! An intervention selects rows by position and values by unit, and changes them in place, before
//! observers see them and before they flow on. Pairwise hooks (scores, patterns) have one row per head
//! and query position, of the keys up to that position.

use std::fmt;
use std::sync::Arc;

use crate::architecture::Architecture;
use crate::error::ModelError;
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

/// Where the rows of a group of sequences are.
pub(crate) struct Rows<'a> {
    /// Index of the first sequence in the batch.
    pub(crate) first_sequence: usize,
    /// The first row of each sequence, and the end.
    pub(crate) starts: &'a [usize],
    /// Position of the first row of every sequence (0 without a cache).
    pub(crate) first_position: usize,
}

impl Intervention {
    /// Checks that units and values fit the hook point.
    pub(crate) fn check(&self, architecture: &Architecture) -> Result<(), ModelError> {
        let error = |message| Err(ModelError::Intervention { spec: self.to_string(), message });
        let (width, heads) = (self.hook.width(architecture), self.hook.heads(architecture));
        if architecture.dictionary(self.hook).is_some_and(|dictionary| !dictionary.writes_back) {
            return error(
                "this dictionary writes elsewhere than it reads, so its features cannot be changed".into(),
            );
        }
        match &self.units {
            Units::All => {}
            Units::Coordinates(_) if self.hook.is_pairwise() => {
                return error("scores and patterns are selected by head (`h3`) and query position".into());
            }
            Units::Coordinates(units) => {
                if let Some(unit) = units.iter().find(|unit| **unit as usize >= width) {
                    return error(format!("there is no unit {unit}: the hook point has {width}"));
                }
            }
            Units::Heads(_) if heads == 1 && !self.hook.has_heads() => {
                return error("this hook point has no heads".into());
            }
            Units::Heads(selected) => {
                if let Some(head) = selected.iter().find(|head| **head as usize >= heads) {
                    return error(format!("there is no head {head}: the hook point has {heads}"));
                }
            }
        }
        let (Change::SetVector(values) | Change::AddVector(values)) = &self.change else { return Ok(()) };
        if self.hook.is_pairwise() {
            return error("rows of scores and patterns differ in length, so they take one value only".into());
        }
        let selected = self.units.count(width, heads);
        if values.len() == selected {
            return Ok(());
        }
        error(format!("{} values are given for {selected} selected units", values.len()))
    }

    /// Changes the values of a group: `[row, width]`, or `[head, query, key]` per sequence.
    pub(crate) fn apply(&self, architecture: &Architecture, rows: &Rows<'_>, values: &mut [f32]) {
        let heads = self.hook.heads(architecture);
        let width = self.hook.width(architecture);
        let coordinates = self.units.coordinates(width, heads);
        let mut first_pair = 0;
        for (index, pair) in rows.starts.windows(2).enumerate() {
            let length = rows.first_position + pair[1] - pair[0];
            for position in rows.first_position..length {
                if !self.positions.contains(position, length) {
                    continue;
                }
                let row = pair[0] + position - rows.first_position;
                let mut context = RowContext { sequence: rows.first_sequence + index, position, head: 0 };
                if !self.hook.is_pairwise() {
                    self.change_row(&context, &mut values[row * width..][..width], coordinates.as_deref());
                    continue;
                }
                for head in (0..heads).filter(|head| self.units.has_head(*head)) {
                    context.head = head;
                    let query = head * (pair[1] - pair[0]) + row - pair[0];
                    let keys = &mut values[first_pair + query * length..][..=position];
                    self.change_row(&context, keys, None);
                }
            }
            first_pair += heads * (pair[1] - pair[0]) * length;
        }
    }

    /// Changes the selected coordinates of a row, or all.
    fn change_row(&self, context: &RowContext, row: &mut [f32], coordinates: Option<&[u32]>) {
        let Some(coordinates) = coordinates else {
            self.change.apply(context, row);
            return;
        };
        let mut selected: Vec<f32> = coordinates.iter().map(|unit| row[*unit as usize]).collect();
        self.change.apply(context, &mut selected);
        for (unit, value) in coordinates.iter().zip(selected) {
            row[*unit as usize] = value;
        }
    }
}

impl Change {
    fn apply(&self, context: &RowContext, values: &mut [f32]) {
        match self {
            Self::Set(value) => values.fill(*value),
            Self::SetVector(new) => values.copy_from_slice(new),
            Self::Add(value) => values.iter_mut().for_each(|v| *v += value),
            Self::AddVector(added) => values.iter_mut().zip(added).for_each(|(v, a)| *v += a),
            Self::Scale(factor) => values.iter_mut().for_each(|v| *v *= factor),
            Self::Zero => values.fill(0.0),
            Self::Replace(function) => function(context, values),
        }
    }
}

impl Positions {
    /// Whether a position of a sequence of this length is selected.
    fn contains(&self, position: usize, length: usize) -> bool {
        let absolute = |position: i64| if position < 0 { position + length as i64 } else { position };
        match self {
            Self::All => true,
            Self::Ranges(ranges) => ranges.iter().any(|(first, last)| {
                let last = last.map_or(length as i64, absolute);
                (absolute(*first)..last).contains(&(position as i64))
            }),
        }
    }
}

impl Units {
    /// The selected coordinates of a row; `None` for all.
    fn coordinates(&self, width: usize, heads: usize) -> Option<Vec<u32>> {
        let d_head = (width / heads) as u32;
        match self {
            Self::All => None,
            Self::Coordinates(units) => Some(units.clone()),
            Self::Heads(heads) => {
                Some(heads.iter().flat_map(|head| head * d_head..(head + 1) * d_head).collect())
            }
        }
    }

    fn count(&self, width: usize, heads: usize) -> usize {
        self.coordinates(width, heads).map_or(width, |coordinates| coordinates.len())
    }

    fn has_head(&self, head: usize) -> bool {
        match self {
            Self::Heads(heads) => heads.contains(&(head as u32)),
            _ => true,
        }
    }
}
