//! How good a dictionary is: sparsity, reconstruction, what it costs the model, and baselines to hold it against.
//!
//! ```text
//! Calibration ─ moments, L0 ─► baselines ─┐
//!               dictionaries ─────────────┴► Evaluator ─ batch by batch ─► Evaluation
//! ```
//!
//! Everything is a sum over the positions that count ([`CountedPositions`]), kept in f64 and added in the order of the
//! text, so that a result depends neither on threads nor on the size of batches beyond rounding. What is undefined is
//! none. Each metric's equation stands at the top of its file.

mod ablation;
mod absorption;
mod baselines;
mod calibration;
mod candidate;
mod defined;
mod evaluator;
mod explained;
mod geometry;
mod losses;
mod moments;
mod place;
mod positions;
mod principal_components;
mod probing;
mod reconstruction;
mod rows;
mod sparsity;

pub use ablation::{ABLATION_SPAN, AblationMetrics};
pub use absorption::{AbsorptionMetrics, Word, absorption, absorption_places, words};
pub use baselines::baseline;
pub use calibration::{Calibrated, Calibration};
pub use candidate::{Candidate, CandidateKind};
pub use evaluator::{Evaluation, Evaluator, Wanted};
pub use explained::{
    CALIBRATION_PASSES, EXPLAINED_PASSES, ExplainedMetrics, ExplainedText, Prediction, explained,
};
pub use geometry::GeometryMetrics;
pub use losses::{CleanRun, LossMetrics, LossSums, RunLoss};
pub use moments::Moments;
pub use place::Place;
pub use positions::CountedPositions;
pub use principal_components::leading_components;
pub use probing::{LabelledWindow, PROBE_SIZES, ProbeMetrics, TaskProbe};
pub use reconstruction::{Reconstruction, ReconstructionMetrics};
pub use sparsity::{DENSE, DensityHistogram, RARE_DENSITY, Sparsity, SparsityMetrics, ULTRA_LOW_DENSITY};
