//! What neurons read and write by the model's weights alone (Bills et al. 2023, "Methods"): the strength with which an
//! earlier neuron feeds a later one is what the earlier writes, times the gain of the norm before the later, times what the
//! later reads; with which a token does, the same with the token's embedding. Attention in between, and what norms divide by,
//! are left out.

use std::collections::BTreeMap;

use glossator_kernels::{PackedMatrix, Precision, Product, Threads};
use glossator_model::checkpoint::{Checkpoint, Matrix};
use glossator_model::{HookPoint, UnitId};

use super::objects::{ConnectedNeurons, RelatedNeurons};
use crate::error::ExchangeError;

/// Neurons in each list.
const NEURONS: usize = 10;
/// Tokens in each list.
const TOKENS: usize = 20;
/// Neurons whose strengths are held at once.
const BATCH: usize = 256;

/// What MLP neurons are connected to; other units have no connections of this kind.
#[derive(Default)]
pub struct Connections {
    neurons: BTreeMap<UnitId, Lists>,
}

/// The strongest connections of one neuron.
#[derive(Default)]
struct Lists {
    /// Neurons of earlier layers, by layer and index.
    upstream: Ends<(u32, u32)>,
    /// Neurons of later layers.
    downstream: Ends<(u32, u32)>,
    /// Tokens that it reads.
    tokens: Ends<u32>,
}

/// The largest values, largest first, and the smallest, smallest first; of equals those that came first.
struct Ends<T> {
    positive: Vec<(f32, T)>,
    negative: Vec<(f32, T)>,
}

impl<T> Default for Ends<T> {
    fn default() -> Self {
        Self { positive: Vec::new(), negative: Vec::new() }
    }
}

impl<T: Copy> Ends<T> {
    fn extend(&mut self, values: impl Iterator<Item = (f32, T)>, most: usize) {
        for (value, what) in values {
            insert(&mut self.positive, value, what, most);
            insert(&mut self.negative, -value, what, most);
        }
    }
}

/// Puts a value into a list of at most `most`, largest first, if it belongs there.
fn insert<T: Copy>(list: &mut Vec<(f32, T)>, value: f32, what: T, most: usize) {
    if list.len() == most && list.last().is_some_and(|(last, _)| value <= *last) {
        return;
    }
    let place = list.partition_point(|(other, _)| *other >= value);
    list.insert(place, (value, what));
    list.truncate(most);
}

/// One of the directions of some neurons of a layer.
struct Directions {
    units: Vec<UnitId>,
    /// `[unit, d_model]`
    rows: Vec<f32>,
}

impl Connections {
    /// The connections of those of `units`, which are sorted, that are MLP neurons of the model in `checkpoint`.
    pub fn of(checkpoint: &Checkpoint, units: &[UnitId]) -> Result<Self, ExchangeError> {
        let layers = checkpoint.architecture().n_layers;
        let mut found = Self::default();
        let (mut reading, mut writing) = (BTreeMap::new(), BTreeMap::new());
        for layer in 0..layers {
            let hook = HookPoint::mlp_post(layer);
            let units: Vec<UnitId> = units.iter().filter(|unit| unit.hook == hook).copied().collect();
            if units.is_empty() {
                continue;
            }
            found.neurons.extend(units.iter().map(|unit| (*unit, Lists::default())));
            let (reads, writes) = (reads(checkpoint, layer)?, writes(checkpoint, layer)?);
            reading.insert(layer, Directions::of(&units, &reads));
            writing.insert(layer, Directions::of(&units, &writes));
        }
        for layer in 0..layers {
            let name = |index: usize| (layer as u32, index as u32);
            if reading.range(layer + 1..).next().is_some() {
                let writes = packed(&writes(checkpoint, layer)?);
                for directions in reading.range(layer + 1..).map(|(_, directions)| directions) {
                    found.add(directions, &writes, |lists, strengths| {
                        lists.upstream.extend(strengths.map(|(index, value)| (value, name(index))), NEURONS);
                    });
                }
            }
            if writing.range(..layer).next().is_some() {
                let reads = packed(&reads(checkpoint, layer)?);
                for directions in writing.range(..layer).map(|(_, directions)| directions) {
                    found.add(directions, &reads, |lists, strengths| {
                        lists
                            .downstream
                            .extend(strengths.map(|(index, value)| (value, name(index))), NEURONS);
                    });
                }
            }
        }
        if !reading.is_empty() {
            let mut embedding = checkpoint.embedding()?;
            let scale = checkpoint.architecture().embedding_scale;
            embedding.data.iter_mut().for_each(|value| *value *= scale);
            let embedding = packed(&embedding);
            for directions in reading.values() {
                found.add(directions, &embedding, |lists, strengths| {
                    lists.tokens.extend(strengths.map(|(token, value)| (value, token as u32)), TOKENS);
                });
            }
        }
        Ok(found)
    }

    /// Shows the products of some neurons' directions with all rows of a matrix to their lists.
    fn add(
        &mut self,
        directions: &Directions,
        with: &PackedMatrix,
        add: impl Fn(&mut Lists, &mut dyn Iterator<Item = (usize, f32)>),
    ) {
        if directions.units.is_empty() {
            return;
        }
        let (width, columns) = (directions.rows.len() / directions.units.len(), with.n_out());
        for (units, rows) in directions.units.chunks(BATCH).zip(directions.rows.chunks(BATCH * width)) {
            let mut strengths = vec![0.0; units.len() * columns];
            Product::new(with).threads(Threads::All).run(rows, &mut strengths);
            for (unit, strengths) in units.iter().zip(strengths.chunks_exact(columns)) {
                if let Some(lists) = self.neurons.get_mut(unit) {
                    add(lists, &mut strengths.iter().copied().enumerate());
                }
            }
        }
    }

    /// The neurons that a unit is connected to.
    pub(super) fn related(&self, unit: UnitId) -> RelatedNeurons {
        let lists = self.neurons.get(&unit);
        let side = |ends: &Ends<(u32, u32)>| {
            let list = |list: &[(f32, (u32, u32))], sign: f32| -> (Vec<String>, Vec<f64>) {
                let name = |(value, (layer, index)): &(f32, (u32, u32))| {
                    (format!("{layer}_{index}"), f64::from(sign * value))
                };
                list.iter().map(name).unzip()
            };
            let (top_positive_neurons, top_positive_weights) = list(&ends.positive, 1.0);
            let (top_negative_neurons, top_negative_weights) = list(&ends.negative, -1.0);
            (!ends.positive.is_empty()).then_some(ConnectedNeurons {
                top_positive_neurons,
                top_positive_weights,
                top_negative_neurons,
                top_negative_weights,
            })
        };
        RelatedNeurons {
            c_fc: lists.and_then(|lists| side(&lists.upstream)),
            c_proj: lists.and_then(|lists| side(&lists.downstream)),
        }
    }

    /// The tokens that raise a unit, strongest first, and those that lower it, each with its strength.
    pub(super) fn tokens(&self, unit: UnitId) -> [Vec<(u32, f32)>; 2] {
        let Some(Lists { tokens, .. }) = self.neurons.get(&unit) else { return Default::default() };
        [
            tokens.positive.iter().map(|(value, token)| (*token, *value)).collect(),
            tokens.negative.iter().map(|(value, token)| (*token, -value)).collect(),
        ]
    }
}

impl Directions {
    fn of(units: &[UnitId], matrix: &Matrix) -> Self {
        let known = units.iter().filter(|unit| (unit.index as usize) < matrix.rows).copied();
        let units: Vec<UnitId> = known.collect();
        let row = |unit: &UnitId| &matrix.data[unit.index as usize * matrix.cols..][..matrix.cols];
        Self { rows: units.iter().flat_map(row).copied().collect(), units }
    }
}

fn packed(matrix: &Matrix) -> PackedMatrix {
    PackedMatrix::pack(&matrix.data, matrix.rows, matrix.cols, Precision::F32)
}

/// What the neurons of a layer read from the stream, `[d_mlp, d_model]`, with the gain of the norm before them; in gated
/// families through the gate.
fn reads(checkpoint: &Checkpoint, layer: usize) -> Result<Matrix, ExchangeError> {
    let weights = checkpoint.layer(layer)?;
    let mut matrix = weights.gate.unwrap_or(weights.up).weight;
    let offset = if checkpoint.architecture().norm.unit_offset { 1.0 } else { 0.0 };
    let gain = weights.ln2.unwrap_or(weights.ln1).weight;
    for row in matrix.data.chunks_exact_mut(matrix.cols) {
        row.iter_mut().zip(&gain).for_each(|(value, gain)| *value *= offset + gain);
    }
    Ok(matrix)
}

/// What the neurons of a layer write to the stream, `[d_mlp, d_model]`.
fn writes(checkpoint: &Checkpoint, layer: usize) -> Result<Matrix, ExchangeError> {
    let down = checkpoint.layer(layer)?.down.weight;
    let mut data = vec![0.0; down.data.len()];
    for (row, values) in down.data.chunks_exact(down.cols).enumerate() {
        for (column, value) in values.iter().enumerate() {
            data[column * down.rows + row] = *value;
        }
    }
    Ok(Matrix { rows: down.cols, cols: down.rows, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_both_ends_in_order() {
        let mut ends = Ends::default();
        let values = [0.5, -1.0, 2.0, 0.5, 2.0, -3.0, 0.0];
        ends.extend(values.into_iter().zip(0..), 3);
        assert_eq!(ends.positive, [(2.0, 2), (2.0, 4), (0.5, 0)]);
        assert_eq!(ends.negative, [(3.0, 5), (1.0, 1), (-0.0, 6)]);
    }
}
