//! A model that has learned nothing, but whose weights have the sizes of one that has: the entries of every weight matrix
//! in a random order ("Towards Monosemanticity" 2023, randomized transformer). Biases and the gains of norms stay.
//!
//! Fisher and Yates' shuffle with SplitMix64, seeded by the seed and the place of the matrix in the model.

use super::weights::{LayerWeights, Linear, Matrix};

/// Which matrix of a model it is, for its seed.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Embedding,
    Unembedding,
    Positions,
    /// A layer, and the matrix in it.
    Layer(usize, u64),
}

impl Place {
    fn number(self) -> u64 {
        match self {
            Self::Embedding => 0,
            Self::Unembedding => 1,
            Self::Positions => 2,
            Self::Layer(layer, matrix) => 16 * (layer as u64 + 1) + matrix,
        }
    }
}

/// Shuffles a matrix.
pub(super) fn shuffle(matrix: &mut Matrix, seed: u64, place: Place) {
    let mut state = seed ^ place.number().wrapping_mul(0xd134_2543_de82_ef95);
    let values = &mut matrix.data;
    for last in (1..values.len()).rev() {
        values.swap(last, ((u128::from(bits(&mut state)) * (last as u128 + 1)) >> 64) as usize);
    }
}

/// Shuffles every matrix of a layer.
pub(super) fn shuffle_layer(weights: &mut LayerWeights, seed: u64, layer: usize) {
    let LayerWeights { q, k, v, o, gate, up, down, .. } = weights;
    let all: [Option<&mut Linear>; 7] =
        [Some(q), Some(k), Some(v), Some(o), gate.as_mut(), Some(up), Some(down)];
    for (linear, number) in all.into_iter().zip(0..) {
        if let Some(linear) = linear {
            shuffle(&mut linear.weight, seed, Place::Layer(layer, number));
        }
    }
}

/// 64 random bits.
fn bits(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_and_their_order_does_not() {
        let matrix = || Matrix { rows: 20, cols: 30, data: (0..600).map(|i| i as f32).collect() };
        let shuffled = |seed, place| {
            let mut matrix = matrix();
            shuffle(&mut matrix, seed, place);
            matrix.data
        };
        let once = shuffled(3, Place::Layer(0, 1));
        assert_eq!(once, shuffled(3, Place::Layer(0, 1)));
        assert_ne!(once, shuffled(4, Place::Layer(0, 1)));
        assert_ne!(once, shuffled(3, Place::Layer(1, 1)));
        let fixed = once.iter().zip(matrix().data).filter(|(a, b)| **a == *b).count();
        assert!(fixed < 10, "{fixed} entries did not move");
        let mut sorted = once;
        sorted.sort_by(f32::total_cmp);
        assert_eq!(sorted, matrix().data);
    }
}
