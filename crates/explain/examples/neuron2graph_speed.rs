//! How fast Neuron2Graph explains units of one hook point of an atlas.
//!
//! `cargo run --release -p glossator-explain --example neuron2graph_speed -- ATLAS [MODEL] [LAYER] [UNITS]`
//!
//! Nothing is stored. Prints units a second, examples, and token positions run through the model.
#![allow(clippy::print_stdout, reason = "the numbers are the output")]

use std::sync::Arc;
use std::time::Instant;

use glossator_atlas::{Atlas, Split};
use glossator_explain::activations::ModelActivations;
use glossator_explain::neuron2graph::{self, EXAMPLES, Frame, Padding, Subject};
use glossator_explain::{ExplainError, Selector};
use glossator_model::{Model, Precision};

fn main() -> Result<(), ExplainError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or(default.to_owned());
    let atlas = Atlas::open(argument(0, "demo.atlas"))?;
    let model = Model::load(&argument(1, &atlas.manifest().run.model_location), Precision::Auto)?;
    let (layer, count) = (argument(2, "10"), argument(3, "64").parse().unwrap_or(64));
    let mut units = Selector::union(&[format!("blocks.{layer}.mlp.hook_post").parse()?], &atlas)?;
    units.truncate(count);

    let ignored = atlas.manifest().run.ignored_positions as usize;
    let padding = Padding::of(model.tokenizer()?)?;
    let frame = Frame { bos: atlas.manifest().run.bos, padding: padding.token };
    let mut subjects = Vec::new();
    for &unit in &units {
        let excerpts = atlas.excerpts_in(unit, &[Split::Train])?;
        let examples = neuron2graph::examples(&excerpts, atlas.profile(unit)?.0.max, ignored, EXAMPLES);
        let means = atlas.token_means(unit)?;
        let mean = Arc::new(move |token| means.get(token));
        let evidence = neuron2graph::evidence(&excerpts, ignored, mean);
        subjects.push(Subject { unit, examples, evidence });
    }

    let mut activations = ModelActivations::new(&model, 8_192);
    let start = Instant::now();
    let mut patterns = 0;
    for block in subjects.chunks(256) {
        patterns += neuron2graph::explain(block, frame, &mut activations)?
            .iter()
            .map(|t| t.patterns().len())
            .sum::<usize>();
    }
    let seconds = start.elapsed().as_secs_f64();
    let (units, examples) =
        (subjects.len() as f64, subjects.iter().map(|s| s.examples.len()).sum::<usize>() as f64);
    let positions = activations.positions as f64;
    println!("layer {layer}: {units} units, {:.1} examples a unit, {patterns} patterns", examples / units);
    println!("{:.2} units/s ({seconds:.1} s)", units / seconds);
    println!("{:.0} token positions a unit, {:.1} an example", positions / units, positions / examples);
    println!("{:.0} token positions/s in {} forward passes", positions / seconds, activations.forwards);
    Ok(())
}
