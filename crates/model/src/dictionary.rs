//! Dictionaries spliced into a subject model: their features become a hook point like any other.
//!
//! Where a dictionary reads the activations x and has the features f = encode(x), changing the features to f′ changes
//! the activations to x + decode(f′) − decode(f): what the dictionary does not reconstruct stays as it is
//! ("Scaling Monosemanticity", 2024, feature steering). A run that changes no feature computes what the model computes
//! without the dictionary.

use std::sync::Arc;

use glossator_kernels::Threads;

use crate::architecture::DictionarySpec;
use crate::batch::SparseRows;
use crate::checkpoint::Matrix;
use crate::error::ModelError;
use crate::hook::HookPoint;
use crate::model::Model;

/// A sparse autoencoder or transcoder as the forward pass sees it. All rows are in the space of the original
/// activations; whatever normalisation the dictionary wants is its own affair.
pub trait FeatureDictionary: Send + Sync {
    /// Number of features.
    fn features(&self) -> usize;

    /// Width of the activations it reads.
    fn width(&self) -> usize;

    /// Writes the features `[rows, features]` of activations `[rows, width]`.
    fn encode(&self, activations: &[f32], features: &mut [f32], threads: Threads);

    /// The features of activations `[rows, width]` that are not 0; the values are those of
    /// [`FeatureDictionary::encode`].
    fn encode_sparse(&self, activations: &[f32], threads: Threads) -> SparseRows {
        let mut features = vec![0.0; activations.len() / self.width() * self.features()];
        self.encode(activations, &mut features, threads);
        SparseRows::from_dense(&features, self.features())
    }

    /// Adds decode(`after`) − decode(`before`), both `[rows, features]`, to the activations `[rows, width]` that
    /// `before` was read from. Called only if [`FeatureDictionary::writes_to`] is the place that it reads.
    fn change(&self, before: &[f32], after: &[f32], activations: &mut [f32]);

    /// The hook point that it reconstructs.
    fn writes_to(&self) -> HookPoint;

    /// What each feature adds to that hook point per unit of activation, `[features, width there]`; up to a positive
    /// factor for each row if rows are normalised.
    fn decoder(&self) -> Matrix;

    /// What each feature reads, `[features, width]`; up to a positive factor for each row if rows are normalised.
    fn encoder(&self) -> Matrix;
}

impl Model {
    /// Splices a dictionary in at the place that it reads. Its features are the hook point that comes back.
    ///
    /// # Errors
    /// [`ModelError::Splice`] if the place is not there, holds no rows of activations, has another width, or has a
    /// dictionary already.
    pub fn splice(
        &mut self,
        place: HookPoint,
        dictionary: Arc<dyn FeatureDictionary>,
    ) -> Result<HookPoint, ModelError> {
        let architecture = self.architecture();
        let refuse = |message: String| Err(ModelError::Splice { hook: place.to_string(), message });
        let Some(hook) = place.features().filter(|_| place.exists_in(architecture)) else {
            return refuse("the model has no such place, or dictionaries cannot read it".into());
        };
        let (found, expected) = (dictionary.width(), place.width(architecture));
        if found != expected {
            return refuse(format!("it reads activations of {found} values, and there are {expected} here"));
        }
        if architecture.dictionary(hook).is_some() {
            return refuse("another dictionary reads it already".into());
        }
        let writes_to = dictionary.writes_to();
        if !writes_to.exists_in(architecture) {
            return refuse(format!("it writes to {writes_to}, which the model does not have"));
        }
        let spec = DictionarySpec { hook, features: dictionary.features(), writes_back: writes_to == place };
        self.decoder.splice(spec, dictionary);
        Ok(hook)
    }

    /// The dictionary whose features are this hook point.
    pub fn dictionary(&self, hook: HookPoint) -> Option<&Arc<dyn FeatureDictionary>> {
        self.decoder.dictionary(hook)
    }
}
