//! `glossator explain`: explains units of an atlas by token lookup, Neuron2Graph, and in words by a language model.

mod revise;
mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context as _;
use clap::Args;
use glossator_atlas::Atlas;
use glossator_explain::explaining::{self, Explainer};
use glossator_explain::simulate::Simulator;
use glossator_explain::words::{Method, PREFIX};
use glossator_explain::{ExplainError, Selector, neuron2graph};
use glossator_model::{Model, Precision, UnitId};

use crate::arguments::dictionary::Dictionaries;
use crate::arguments::llm::LlmArgs;
use crate::output;

/// Explain units: by token lookup, by Neuron2Graph, and in words by a language model
///
/// An explanation predicts a unit's activation on every token of a text. `lookup` knows the unit's mean activation on
/// each token. `n2g` (Neuron2Graph) asks the subject model which token patterns make the unit fire. `n2g+lookup` is the
/// pattern where one matches and the token's mean elsewhere, for units that n2g has explained. These need no
/// language model.
///
/// With `llm:…` a language model says in words what a unit responds to: `llm:max-act` from marked excerpts, `llm:pairs` from
/// tokens with activations, `llm:contrastive` with near misses, `llm:logits` with the tokens that the unit promotes,
/// `llm:tokens` from tokens alone, `llm:n2g` from the patterns that n2g found, `llm:senses` sense by sense. What it will ask is
/// said before, what failed after; answers are kept in a ledger and never asked twice.
///
/// Units that are explained already are left out, so that an interrupted run goes on where it was.
///
/// Example: glossator explain --atlas run.atlas --units random:30 --explainer llm:max-act --llm local
#[derive(Args)]
pub(crate) struct Explain {
    /// The atlas
    #[arg(long, value_name = "DIR")]
    atlas: PathBuf,
    /// What makes the explanations: lookup, n2g, n2g+lookup, llm:max-act, llm:pairs, llm:contrastive, llm:logits,
    /// llm:tokens, llm:n2g, llm:senses; llm is llm:max-act
    #[arg(long, value_delimiter = ',', default_value = "lookup,n2g,n2g+lookup", value_name = "NAMES")]
    explainer: Vec<Kind>,
    /// Units: all, HOOK, HOOK:7, HOOK:0-99 (HOOK may be a pattern such as blocks.*.mlp.hook_post), random:200@SEED,
    /// density:0.001-0.1, or @FILE with one of these a line; may be given several times
    #[arg(long, default_value = "all", value_name = "SPEC")]
    units: Vec<Selector>,
    /// At most so many of the units
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// The subject model, for n2g [default: where the atlas was recorded from]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    dictionaries: Dictionaries,
    /// Arithmetic of the subject model: f32, bf16 or auto
    #[arg(long, default_value = "auto", value_parser = precision, value_name = "FORMAT")]
    precision: Precision,
    /// Explanations in words that are made of each unit; the best on the calibration split is kept
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "N")]
    samples: u32,
    /// Who simulates to find the best: grades, one-at-a-time, json [default: grades where the model offers them, else json]
    #[arg(long, value_name = "SIMULATOR")]
    choose_by: Option<Simulator>,
    /// Rounds in which each explanation in words is tested with sentences of the explainer's own, run through the subject
    /// model, and corrected; stored as llm:METHOD+revised@MODEL with the log of all rounds
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20), value_name = "N")]
    revise: u32,
    /// Prompts to use in place of the built-in ones (`glossator prompts DIR` writes those)
    #[arg(long, value_name = "DIR")]
    prompts: Option<PathBuf>,
    /// Only say what a language model would be asked, and what that costs
    #[arg(long)]
    estimate: bool,
    #[command(flatten)]
    llm: LlmArgs,
    /// Explain units again that are explained already
    #[arg(long)]
    again: bool,
    /// Also write each unit's patterns as Graphviz (`HOOK:INDEX.dot`) into this directory
    #[arg(long, value_name = "DIR")]
    graphviz: Option<PathBuf>,
    /// Print the explanations as JSON, one line each
    #[arg(long)]
    json: bool,
}

/// An explainer by name.
#[derive(Clone, Copy)]
enum Kind {
    Predictor(Explainer),
    Words(Method),
}

impl FromStr for Kind {
    type Err = ExplainError;

    fn from_str(text: &str) -> Result<Self, ExplainError> {
        if text == "llm" || text.starts_with(PREFIX) {
            text.parse().map(Self::Words)
        } else {
            text.parse().map(Self::Predictor)
        }
    }
}

fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        "auto" => Ok(Precision::Auto),
        _ => Err("write f32, bf16 or auto".to_owned()),
    }
}

impl Explain {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let atlas = Atlas::open_writable(&self.atlas)?;
        let mut units = Selector::union(&self.units, &atlas)?;
        units.truncate(self.limit.unwrap_or(usize::MAX));
        let mut methods = Vec::new();
        for &kind in &self.explainer {
            match kind {
                Kind::Predictor(explainer) if !self.estimate => self.explain(&atlas, explainer, &units)?,
                Kind::Predictor(_) => {}
                Kind::Words(method) => methods.push(method),
            }
        }
        self.explain_in_words(&atlas, &methods, &units)?;
        self.revise(&atlas, &methods, &units)?;
        if let Some(directory) = &self.graphviz {
            draw(&atlas, &units, directory)?;
        }
        if self.json {
            for &unit in &units {
                for explanation in atlas.explanations(unit)? {
                    output::print(&format!("{}\n", serde_json::to_string(&explanation)?))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn explain(&self, atlas: &Atlas, explainer: Explainer, units: &[UnitId]) -> anyhow::Result<()> {
        let done =
            if self.again { vec![false; units.len()] } else { explaining::done(atlas, explainer, units)? };
        let pending = done.iter().filter(|done| !**done).count();
        if pending == 0 {
            output::note(&format!("{explainer}: all {} units are explained", units.len()));
            return Ok(());
        }
        let bar = output::progress(units.len() as u64, "units");
        bar.set_message(explainer.name());
        match explainer {
            Explainer::Backoff => {
                let missing = explaining::by_backoff(atlas, units, &done, &|units| bar.inc(units as u64))?;
                bar.finish();
                if missing > 0 {
                    output::note(&format!(
                        "n2g+lookup: {missing} units have no n2g explanation to begin with"
                    ));
                }
            }
            Explainer::Lookup => {
                explaining::by_lookup(atlas, units, &done, &|units| bar.inc(units as u64))?;
                bar.finish();
            }
            Explainer::Neuron2Graph => {
                let model = self.model(atlas)?;
                let cost =
                    explaining::by_neuron2graph(atlas, &model, units, &done, &|units| bar.inc(units as u64))?;
                bar.finish();
                let per_unit = cost.positions as f64 / cost.units.max(1) as f64;
                output::note(&format!(
                    "n2g: {} units from {} examples, {per_unit:.0} token positions a unit",
                    cost.units, cost.examples
                ));
            }
        }
        Ok(())
    }

    fn model(&self, atlas: &Atlas) -> anyhow::Result<Model> {
        let run = &atlas.manifest().run;
        let recorded = if run.model_location.is_empty() { &run.model } else { &run.model_location };
        let location = self.model.as_deref().unwrap_or(recorded);
        let mut model = Model::load(location, self.precision)
            .with_context(|| format!("cannot load the subject model {location} (name it with --model)"))?;
        self.dictionaries.splice_recorded(&mut model, &run.dictionaries)?;
        Ok(model)
    }
}

/// Writes the Neuron2Graph explanations of `units` as Graphviz.
fn draw(atlas: &Atlas, units: &[UnitId], directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for &unit in units {
        let explanations = atlas.explanations(unit)?;
        let name = Explainer::Neuron2Graph.name();
        let Some(explanation) = explanations.iter().find(|explanation| explanation.explainer == name) else {
            continue;
        };
        let trie = neuron2graph::from_json(&explanation.body).map_err(anyhow::Error::msg)?;
        let drawing =
            neuron2graph::graphviz(&trie, &unit.to_string(), |token| atlas.vocabulary().text(token));
        let path = directory.join(format!("{unit}.dot"));
        let partial = path.with_extension("partial");
        std::fs::write(&partial, drawing)
            .and_then(|()| std::fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
