//! Directions in the residual stream: what a unit reads, what it writes, and what a direction does to
//! the logits.

use std::sync::{Arc, Mutex, PoisonError};

use glossator_kernels::{self as kernels, PackedMatrix, Product, Threads};

use crate::checkpoint::Matrix;
use crate::dictionary::FeatureDictionary;
use crate::error::ModelError;
use crate::hook::{BlockSite, HookPoint};
use crate::model::Model;
use crate::unit::UnitId;

/// The directions of the hook point that was asked for last.
#[derive(Default)]
pub(crate) struct DirectionCache(Mutex<Option<CachedDirections>>);

struct CachedDirections {
    hook: HookPoint,
    way: Way,
    matrix: Arc<Matrix>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Input,
    Output,
}

impl Model {
    /// What each unit of a hook point writes to the residual stream per unit of activation,
    /// `[width, d_model]`: the columns of `W_down` for `mlp.hook_post`, the columns of `W_O` for
    /// `attn.hook_z`, and the basis vectors for what lives in the stream itself (`hook_resid_*`,
    /// `hook_attn_out`, `hook_mlp_out`, embeddings). For features, their decoder rows brought into the stream. Post-norms (Gemma) are not linear and not included.
    ///
    /// # Errors
    /// [`ModelError::NoDirection`] for other hook points.
    pub fn output_directions(&self, hook: HookPoint) -> Result<Arc<Matrix>, ModelError> {
        self.directions(hook, Way::Output)
    }

    /// What each unit of a hook point reads from the normalised stream, `[width, d_model]`: the rows of
    /// the gate (or only) input matrix for `mlp.hook_pre` and `mlp.hook_post`, of the linear branch for
    /// `mlp.hook_pre_linear`, of `W_Q`, `W_K`, `W_V` for queries, keys and values.
    ///
    /// # Errors
    /// [`ModelError::NoDirection`] for other hook points.
    pub fn input_directions(&self, hook: HookPoint) -> Result<Arc<Matrix>, ModelError> {
        self.directions(hook, Way::Input)
    }

    /// One row of [`Model::output_directions`], `[d_model]`.
    pub fn output_direction(&self, unit: UnitId) -> Result<Vec<f32>, ModelError> {
        row(&*self.output_directions(unit.hook)?, unit)
    }

    /// One row of [`Model::input_directions`], `[d_model]`.
    pub fn input_direction(&self, unit: UnitId) -> Result<Vec<f32>, ModelError> {
        row(&*self.input_directions(unit.hook)?, unit)
    }

    /// What a direction `[d_model]` of the final residual stream adds to each logit `[vocab_size]`, up to
    /// the common factor `1 / ln_final.hook_scale`: the direction times `ln_final`'s gain, through the
    /// unembedding. Nothing is centred, and neither biases nor the final soft-cap are applied.
    pub fn logit_weights(&self, direction: &[f32]) -> Result<Vec<f32>, ModelError> {
        let d_model = self.architecture().d_model;
        if direction.len() != d_model {
            let what = "the direction".to_owned();
            return Err(ModelError::Width { what, found: direction.len(), expected: d_model });
        }
        self.logit_weights_of_rows(direction)
    }

    /// [`Model::logit_weights`] of several directions `[n, d_model]` at once, `[n, vocab_size]`, on all
    /// threads and in the model's precision.
    pub fn logit_weights_of_rows(&self, directions: &[f32]) -> Result<Vec<f32>, ModelError> {
        let d_model = self.architecture().d_model;
        if !directions.len().is_multiple_of(d_model) {
            let what = "the last direction".to_owned();
            return Err(ModelError::Width { what, found: directions.len() % d_model, expected: d_model });
        }
        let unembedding = self.pack_unembedding()?;
        let offset = if self.architecture().norm.unit_offset { 1.0 } else { 0.0 };
        let gain = &self.decoder.final_norm().weight;
        let gained: Vec<f32> = directions
            .chunks_exact(d_model)
            .flat_map(|row| row.iter().zip(gain).map(|(value, gain)| value * (offset + gain)))
            .collect();
        let mut weights = vec![0.0; directions.len() / d_model * self.architecture().vocab_size];
        unembedding.product(Threads::All).bias(None).run(gained.as_slice(), &mut weights);
        Ok(weights)
    }

    /// Logits `[n, vocab_size]` of residual streams `[n, d_model]`: final norm, unembedding, soft-cap.
    pub fn unembed(&self, resid: &[f32]) -> Result<Vec<f32>, ModelError> {
        let d_model = self.architecture().d_model;
        if !resid.len().is_multiple_of(d_model) {
            let what = "the last residual stream".to_owned();
            return Err(ModelError::Width { what, found: resid.len() % d_model, expected: d_model });
        }
        self.pack_unembedding()?;
        Ok(self.decoder.unembed(resid))
    }

    fn directions(&self, hook: HookPoint, way: Way) -> Result<Arc<Matrix>, ModelError> {
        let cache = &self.directions.0;
        if let Some(cached) = &*cache.lock().unwrap_or_else(PoisonError::into_inner)
            && (cached.hook, cached.way) == (hook, way)
        {
            return Ok(Arc::clone(&cached.matrix));
        }
        let matrix = Arc::new(self.read_directions(hook, way)?);
        let cached = CachedDirections { hook, way, matrix: Arc::clone(&matrix) };
        *cache.lock().unwrap_or_else(PoisonError::into_inner) = Some(cached);
        Ok(matrix)
    }

    fn read_directions(&self, hook: HookPoint, way: Way) -> Result<Matrix, ModelError> {
        use BlockSite as S;
        let what = if way == Way::Input { "input" } else { "output" };
        let none = || ModelError::NoDirection { unit: hook.to_string(), what };
        if let Some(dictionary) = self.dictionary(hook) {
            return self.feature_directions(dictionary.as_ref(), hook, way).ok_or_else(none);
        }
        if !hook.exists_in(self.architecture()) {
            return Err(none());
        }
        let Some((layer, site)) = hook.layer().zip(hook.site()) else {
            let in_stream = matches!(hook, HookPoint::Embed | HookPoint::PosEmbed) && way == Way::Output;
            return if in_stream { Ok(identity(self.architecture().d_model)) } else { Err(none()) };
        };
        let layer = || self.checkpoint.layer(layer);
        match (way, site) {
            (Way::Output, S::MlpPost) => Ok(transposed(&layer()?.down.weight)),
            (Way::Output, S::Z) => Ok(transposed(&layer()?.o.weight)),
            (Way::Output, S::ResidPre | S::ResidMid | S::ResidPost | S::AttnOut | S::MlpOut) => {
                Ok(identity(self.architecture().d_model))
            }
            (Way::Input, S::MlpPre | S::MlpPost) => {
                let layer = layer()?;
                Ok(layer.gate.unwrap_or(layer.up).weight)
            }
            (Way::Input, S::MlpPreLinear) => Ok(layer()?.up.weight),
            (Way::Input, S::Q) => Ok(layer()?.q.weight),
            (Way::Input, S::K) => Ok(layer()?.k.weight),
            (Way::Input, S::V) => Ok(layer()?.v.weight),
            _ => Err(none()),
        }
    }
}

impl Model {
    /// What features read from or write to the residual stream, `[features, d_model]`: their encoder or decoder rows,
    /// if the dictionary lives in the stream, else those rows times the directions of the place that it writes to.
    fn feature_directions(
        &self,
        dictionary: &dyn FeatureDictionary,
        hook: HookPoint,
        way: Way,
    ) -> Option<Matrix> {
        let in_stream = |place: HookPoint| {
            use BlockSite as S;
            matches!(place.site(), Some(S::ResidPre | S::ResidMid | S::ResidPost | S::AttnOut | S::MlpOut))
        };
        match way {
            Way::Input => in_stream(hook.base()).then(|| dictionary.encoder()),
            Way::Output if in_stream(dictionary.writes_to()) => Some(dictionary.decoder()),
            Way::Output => {
                let rows = dictionary.decoder();
                let directions = transposed(&self.read_directions(dictionary.writes_to(), way).ok()?);
                let packed = PackedMatrix::pack(
                    &directions.data,
                    directions.rows,
                    directions.cols,
                    kernels::Precision::F32,
                );
                let mut data = vec![0.0; rows.rows * directions.rows];
                Product::new(&packed).threads(Threads::All).run(rows.data.as_slice(), &mut data);
                Some(Matrix { rows: rows.rows, cols: directions.rows, data })
            }
        }
    }
}

fn row(matrix: &Matrix, unit: UnitId) -> Result<Vec<f32>, ModelError> {
    let index = unit.index as usize;
    if index >= matrix.rows {
        return Err(ModelError::UnitOutOfRange { unit: unit.to_string(), width: matrix.rows });
    }
    Ok(matrix.data[index * matrix.cols..(index + 1) * matrix.cols].to_vec())
}

fn transposed(matrix: &Matrix) -> Matrix {
    let data = (0..matrix.cols)
        .flat_map(|column| matrix.data.iter().skip(column).step_by(matrix.cols).copied())
        .collect();
    Matrix { rows: matrix.cols, cols: matrix.rows, data }
}

fn identity(size: usize) -> Matrix {
    let mut data = vec![0.0; size * size];
    data.iter_mut().step_by(size + 1).for_each(|value| *value = 1.0);
    Matrix { rows: size, cols: size, data }
}
