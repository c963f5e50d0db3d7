//! `--model`, `--dictionary` and `--precision`: the subject model of an atlas.

use anyhow::Context as _;
use clap::Args;
use glossator_atlas::Atlas;
use glossator_model::Model;

use crate::arguments::dictionary::Dictionaries;
use crate::arguments::model::PrecisionArgument;

/// The model that was recorded.
#[derive(Args)]
pub(crate) struct SubjectArgs {
    /// The subject model, where it is needed [default: where the atlas was recorded from]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    dictionaries: Dictionaries,
    /// Arithmetic of the subject model
    #[arg(long, value_enum, default_value_t = PrecisionArgument::Auto, value_name = "FORMAT")]
    precision: PrecisionArgument,
}

impl SubjectArgs {
    /// Loads it, with the dictionaries that were recorded.
    pub(crate) fn load(&self, atlas: &Atlas) -> anyhow::Result<Model> {
        let run = &atlas.manifest().run;
        let recorded = if run.model_location.is_empty() { &run.model } else { &run.model_location };
        let location = self.model.as_deref().unwrap_or(recorded);
        let mut model = Model::load(location, self.precision.into())
            .with_context(|| format!("cannot load the subject model {location} (name it with --model)"))?;
        self.dictionaries.splice_recorded(&mut model, &run.dictionaries)?;
        Ok(model)
    }
}
