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
use glossator_explain::prompts::Prompts;
use glossator_explain::revision::Feedback;
use glossator_explain::simulate::Simulator;
use glossator_explain::words::{Method, PREFIX};
use glossator_explain::{ExplainError, neuron2graph};
use glossator_llm::Client;
use glossator_model::UnitId;

use crate::arguments::asking::AskingArgs;
use crate::arguments::selection::SelectionArgs;
use crate::arguments::subject::SubjectArgs;
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
    #[command(flatten)]
    selection: SelectionArgs,
    /// What makes the explanations: lookup, n2g, n2g+lookup, llm:max-act, llm:pairs, llm:contrastive, llm:logits,
    /// llm:tokens, llm:n2g, llm:senses; llm is llm:max-act
    #[arg(long, value_delimiter = ',', default_value = "lookup,n2g,n2g+lookup", value_name = "NAMES")]
    explainer: Vec<Kind>,
    #[command(flatten)]
    subject: SubjectArgs,
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
    /// What goes back to the explainer in these rounds: tests (such sentences), or to compare with them random (as many texts
    /// drawn at random) and nothing (it is asked again); stored as llm:METHOD+revised-random@MODEL and so on
    #[arg(long, value_delimiter = ',', default_value = "tests", value_name = "FEEDBACK")]
    revise_by: Vec<Feedback>,
    #[command(flatten)]
    asking: AskingArgs,
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

/// A language model that is asked about an atlas.
#[derive(Clone, Copy)]
struct Asker<'a> {
    atlas: &'a Atlas,
    client: &'a Client,
    prompts: &'a Prompts,
    /// Who simulates to choose among explanations.
    simulator: Simulator,
}

impl Explain {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (atlas, units) = self.selection.open()?;
        let mut methods = Vec::new();
        for &kind in &self.explainer {
            match kind {
                Kind::Predictor(explainer) if !self.asking.estimate => {
                    self.explain(&atlas, explainer, &units)?;
                }
                Kind::Predictor(_) => {}
                Kind::Words(method) => methods.push(method),
            }
        }
        if !methods.is_empty() {
            self.ask(&atlas, &methods, &units)?;
        }
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

    /// What a language model does. It is loaded, or reached, only if there is any of it.
    fn ask(&self, atlas: &Atlas, methods: &[Method], units: &[UnitId]) -> anyhow::Result<()> {
        let client = self.asking.client(&self.selection.atlas)?;
        let prompts = self.asking.prompts()?;
        let simulator = self.choose_by.unwrap_or_else(|| Simulator::best(client.capabilities()));
        let asker = Asker { atlas, client: &client, prompts: &prompts, simulator };
        self.explain_in_words(&asker, methods, units)?;
        if self.revise > 0 {
            self.revise(&asker, methods, units)?;
        }
        output::note(&format!("{}: {}", client.name(), client.totals()));
        Ok(())
    }

    fn explain(&self, atlas: &Atlas, explainer: Explainer, units: &[UnitId]) -> anyhow::Result<()> {
        let done = if self.selection.again {
            vec![false; units.len()]
        } else {
            explaining::done(atlas, explainer.name(), units)?
        };
        let pending = done.iter().filter(|done| !**done).count();
        if pending == 0 {
            output::note(&format!("{explainer}: {} explained already", output::count(units.len(), "unit")));
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
                        "n2g+lookup: {} without an n2g explanation to begin with",
                        output::count(missing, "unit")
                    ));
                }
            }
            Explainer::Lookup => {
                explaining::by_lookup(atlas, units, &done, &|units| bar.inc(units as u64))?;
                bar.finish();
            }
            Explainer::Neuron2Graph => {
                let model = self.subject.load(atlas)?;
                let cost =
                    explaining::by_neuron2graph(atlas, &model, units, &done, &|units| bar.inc(units as u64))?;
                bar.finish();
                let per_unit = cost.positions as f64 / cost.units.max(1) as f64;
                output::note(&format!(
                    "n2g: {} from {}, {per_unit:.0} token positions a unit",
                    output::count(cost.units, "unit"),
                    output::count(cost.examples, "example")
                ));
            }
        }
        Ok(())
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
