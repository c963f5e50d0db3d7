//! Finalising: from a recorded state to the files of an atlas, in stages that the manifest remembers.
//!
//! Each stage reads what earlier ones wrote, writes its files atomically and then enters itself in the
//! manifest, so a killed run goes on where it stopped and ends with the same bytes.

mod database;
mod intervals;
mod logit_weights;
mod neighbours;
mod neurons;
mod ranked;
mod records;
mod splits;
mod token_means;

pub(crate) use database::write as write_database;
pub use records::RecordSource;
pub(crate) use splits::Splits;

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use glossator_model::Model;

use crate::error::AtlasError;
use crate::manifest::{Manifest, Stage};
use crate::recording::Recorder;
use crate::stages;

/// Called with the number of units that have just been finished.
pub type UnitProgress<'a> = &'a (dyn Fn(u64) + Sync);

/// Writes everything that follows from the recorded state: the vocabulary, the windows, and every unit's
/// statistics, excerpts and token means. The manifest then has the first stage.
pub fn write_records(
    directory: &Path,
    recorder: &Recorder,
    source: &RecordSource<'_>,
    progress: UnitProgress<'_>,
) -> Result<(), AtlasError> {
    let started = Instant::now();
    records::write(directory, recorder, source, progress)?;
    let mut manifest = Manifest::new(recorder.settings());
    complete(&mut manifest, directory, stages::RECORD, started)
}

/// Writes what a stage adds to an atlas.
type Run<'a> = &'a dyn Fn(&Manifest) -> Result<(), AtlasError>;

/// Runs the stages after the first that the manifest does not have yet.
pub fn finish(directory: &Path, model: &Model, progress: UnitProgress<'_>) -> Result<(), AtlasError> {
    let mut manifest = Manifest::read(directory)?;
    let later: [(&'static str, Run<'_>); 3] = [
        (stages::LOGIT_WEIGHTS, &|manifest| logit_weights::write(directory, manifest, model, progress)),
        (stages::NEIGHBOURS, &|manifest| {
            neighbours::write(directory, manifest, model, progress)?;
            neurons::write_aligned(directory, manifest, model)
        }),
        (stages::DATABASE, &|manifest| database::write(directory, manifest)),
    ];
    for (stage, run) in later {
        if !manifest.stages.contains_key(stage) {
            let started = Instant::now();
            run(&manifest)?;
            complete(&mut manifest, directory, stage, started)?;
        }
    }
    Ok(())
}

/// Enters a stage in the manifest.
fn complete(
    manifest: &mut Manifest,
    directory: &Path,
    stage: &'static str,
    started: Instant,
) -> Result<(), AtlasError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let stage_record = Stage { finished: now, seconds: started.elapsed().as_secs_f64() };
    manifest.stages.insert(stage.to_owned(), stage_record);
    manifest.write(directory)
}
