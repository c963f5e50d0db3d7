//! From `--dictionary` and `--baselines` to what is evaluated.

use anyhow::{Context, ensure};
use glossator_dictionary::evaluation::{Calibrated, Candidate, CandidateKind, baseline};
use glossator_model::{Architecture, HookPoint};

use super::{Baseline, Evaluate};
use crate::output;

/// Reads every dictionary and checks that it fits the model.
pub(super) fn dictionaries(
    command: &Evaluate,
    architecture: &Architecture,
) -> anyhow::Result<Vec<Candidate>> {
    command
        .dictionaries
        .iter()
        .map(|location| {
            let name = location.path().display().to_string();
            let loaded = location.load().with_context(|| format!("cannot use {name}"))?;
            let (reads, writes) = (loaded.reads, loaded.writes_to);
            if let Some(head) = loaded.dictionary.metadata.head {
                let whole = reads.width(architecture);
                ensure!(
                    loaded.dictionary.d_input == whole,
                    "{name} is about head {head} of {reads} alone: dictionaries of one head are not evaluated yet"
                );
            }
            fits(architecture, reads, loaded.dictionary.d_input)
                .with_context(|| format!("cannot use {name}"))?;
            fits(architecture, writes, loaded.dictionary.d_output)
                .with_context(|| format!("cannot use {name}"))?;
            let kind = CandidateKind::Dictionary;
            Candidate::new(name.clone(), kind, [reads, writes], loaded.dictionary)
                .with_context(|| format!("cannot use {name}"))
        })
        .collect()
}

fn fits(architecture: &Architecture, hook: HookPoint, width: usize) -> anyhow::Result<()> {
    ensure!(hook.exists_in(architecture), "the model has no place {hook}");
    ensure!(hook.features().is_some(), "dictionaries cannot stand at {hook}");
    let found = hook.width(architecture);
    ensure!(found == width, "it is made for {width} values, and {hook} has {found}");
    Ok(())
}

/// The baselines of every dictionary, each once: as sparse as the dictionary on the calibration text.
pub(super) fn baselines(
    wanted: &[Baseline],
    dictionaries: &[Candidate],
    calibrated: &Calibrated,
) -> anyhow::Result<Vec<Candidate>> {
    let kinds: Vec<CandidateKind> = wanted.iter().filter_map(|wanted| wanted.kind()).collect();
    let mut made: Vec<Candidate> = Vec::new();
    for (dictionary, l0) in dictionaries.iter().zip(&calibrated.l0) {
        if dictionary.reads != dictionary.writes {
            if !kinds.is_empty() {
                output::note(&format!("{}: transcoders have no baselines", dictionary.name));
            }
            continue;
        }
        let Some(l0) = l0 else { continue };
        let hook = dictionary.writes;
        for &kind in &kinds {
            let latents = dictionary.coder.dictionary().latents;
            let name = name(kind, *l0, latents);
            if made.iter().any(|other| other.name == name && other.writes == hook) {
                continue;
            }
            if let Some(weights) = baseline(kind, &calibrated.moments[&hook], *l0, latents) {
                made.push(Candidate::new(name, kind, [hook, hook], weights)?);
            }
        }
    }
    Ok(made)
}

/// The dictionaries as they stand beside themselves: on a model with shuffled weights.
pub(super) fn on_shuffled_model(
    command: &Evaluate,
    architecture: &Architecture,
) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates = dictionaries(command, architecture)?;
    for candidate in &mut candidates {
        candidate.kind = CandidateKind::ShuffledModel;
        candidate.name = format!("{}, shuffled model", candidate.name);
    }
    Ok(candidates)
}

/// What a baseline is called: by how many of its latents are active.
fn name(kind: CandidateKind, l0: f64, latents: usize) -> String {
    let k = (l0.round() as usize).max(1);
    match kind {
        CandidateKind::Dictionary | CandidateKind::ShuffledModel => "dictionary".to_owned(),
        CandidateKind::Coordinates => format!("coordinates, {k} largest"),
        CandidateKind::PrincipalComponents => format!("{k} principal components"),
        CandidateKind::RandomDictionary => format!("{latents} random directions, {k} largest"),
    }
}
