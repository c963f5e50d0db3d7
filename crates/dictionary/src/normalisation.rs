//! What happens to a row of activations before a dictionary reads it, and to the reconstruction afterwards.
//!
//! Each normalisation maps a row x `[d]` to (x − shift) · scale, with a shift and a scale that may depend on the row,
//! and its inverse maps the reconstruction ŷ back to ŷ · back + shift.
//!
//! | | shift | scale | back |
//! |---|---|---|---|
//! | none | 0 | 1 | 1 |
//! | layer norm | μ(x) | 1 / (σ(x) + ε) | σ(x) |
//! | constant norm | 0 | √d / ‖x‖ | ‖x‖ / √d |
//! | scale s | 0 | s | 1 / s |
//!
//! σ is the sample standard deviation (divisor d − 1). That ε stands in the scale but not in its inverse is how
//! OpenAI's sparse_autoencoder and SAELens compute, so it belongs to what such dictionaries mean.

use serde::{Deserialize, Serialize};

/// How rows are normalised before a dictionary reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Rows are read as they are.
    #[default]
    None,
    /// Each row is centred and divided by its standard deviation (OpenAI's TopK dictionaries, SAELens `layer_norm`).
    LayerNorm {
        /// Added to the standard deviation.
        epsilon: f32,
    },
    /// Each row is scaled to norm √d (SAELens `constant_norm_rescale`).
    ConstantNorm,
    /// Every row is multiplied by one positive number, usually √d / E‖x‖ over the training data.
    Scale(f32),
}

/// The map of one row: (x − shift) · scale, and back: ŷ · back + shift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowMap {
    /// Subtracted from every coordinate.
    pub shift: f32,
    /// Multiplies every coordinate after the shift.
    pub scale: f32,
    /// Multiplies every coordinate of a reconstruction, before the shift is added.
    pub back: f32,
}

impl Normalisation {
    /// The map of one row `[d]`. A row that cannot be scaled (all zeros, or constant) gives values that are not finite
    /// only where the format's own definition does: with constant norm, never with layer norm.
    pub fn row_map(self, row: &[f32]) -> RowMap {
        let d = row.len() as f64;
        match self {
            Self::None => RowMap { shift: 0.0, scale: 1.0, back: 1.0 },
            Self::LayerNorm { epsilon } => {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / d;
                let squares: f64 = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
                let deviation = (squares / (d - 1.0)).sqrt() as f32;
                RowMap { shift: mean as f32, scale: 1.0 / (deviation + epsilon), back: deviation }
            }
            Self::ConstantNorm => {
                let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                RowMap { shift: 0.0, scale: (d.sqrt() / norm) as f32, back: (norm / d.sqrt()) as f32 }
            }
            Self::Scale(scale) => RowMap { shift: 0.0, scale, back: 1.0 / scale },
        }
    }
}

impl RowMap {
    /// Writes the normalised row to `out`, which has its length.
    pub fn apply(self, row: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(row) {
            *out = (x - self.shift) * self.scale;
        }
    }

    /// Takes a reconstruction back to the space of the row that this map was made for.
    pub fn invert(self, reconstruction: &mut [f32]) {
        for y in reconstruction {
            *y = *y * self.back + self.shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: [f32; 4] = [3.0, -1.0, 2.0, 0.5];

    fn there_and_back(normalisation: Normalisation) -> (Vec<f32>, Vec<f32>) {
        let map = normalisation.row_map(&ROW);
        let mut normalised = vec![0.0; 4];
        map.apply(&ROW, &mut normalised);
        let mut back = normalised.clone();
        map.invert(&mut back);
        (normalised, back)
    }

    #[test]
    fn every_normalisation_is_undone() {
        for normalisation in [
            Normalisation::None,
            Normalisation::LayerNorm { epsilon: 0.0 },
            Normalisation::ConstantNorm,
            Normalisation::Scale(0.37),
        ] {
            let (_, back) = there_and_back(normalisation);
            assert!(back.iter().zip(ROW).all(|(a, b)| (a - b).abs() < 1e-6), "{normalisation:?}: {back:?}");
        }
    }

    #[test]
    fn norms_are_what_they_say() {
        let squares = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>();
        let (constant, _) = there_and_back(Normalisation::ConstantNorm);
        assert!((squares(&constant) - 4.0).abs() < 1e-5);
        let (layer, _) = there_and_back(Normalisation::LayerNorm { epsilon: 0.0 });
        assert!((squares(&layer) - 3.0).abs() < 1e-5 && layer.iter().sum::<f32>().abs() < 1e-6);
    }

    #[test]
    fn a_constant_row_survives_layer_norm() {
        let map = Normalisation::LayerNorm { epsilon: 1e-5 }.row_map(&[2.0; 3]);
        assert_eq!((map.shift, map.back), (2.0, 0.0));
        assert!(map.scale.is_finite());
    }
}
