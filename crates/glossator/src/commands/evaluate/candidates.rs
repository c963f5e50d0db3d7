//! From `--dictionary` and `--baselines` to what is evaluated.

use anyhow::{Context, ensure};
use glossator_dictionary::evaluation::{Calibrated, Candidate, CandidateKind, Place, baseline};
use glossator_model::{Architecture, HookPoint};

use super::{Baseline, Evaluate};
use crate::arguments::dictionary::Location;
use crate::output;

/// Reads every dictionary and checks that it fits the model.
pub(super) fn dictionaries(
    locations: &[Location],
    architecture: &Architecture,
) -> anyhow::Result<Vec<Candidate>> {
    locations
        .iter()
        .map(|location| {
            let name = location.path().display().to_string();
            let loaded = location.load().with_context(|| format!("cannot use {name}"))?;
            let dictionary = &loaded.dictionary;
            let of_head = dictionary.d_input != loaded.reads.width(architecture);
            let head = dictionary.metadata.head.filter(|_| of_head);
            let [reads, writes] =
                [(loaded.reads, dictionary.d_input), (loaded.writes_to, dictionary.d_output)]
                    .map(|(hook, width)| fitting(architecture, hook, head, width));
            let reads = reads.with_context(|| format!("cannot use {name}"))?;
            let writes = writes.with_context(|| format!("cannot use {name}"))?;
            let kind = CandidateKind::Dictionary;
            Candidate::new(name.clone(), kind, [reads, writes], loaded.dictionary)
                .with_context(|| format!("cannot use {name}"))
        })
        .collect()
}

/// The place of a hook point, or of one of its heads, that has `width` values.
fn fitting(
    architecture: &Architecture,
    hook: HookPoint,
    head: Option<usize>,
    width: usize,
) -> anyhow::Result<Place> {
    ensure!(hook.exists_in(architecture), "the model has no place {hook}");
    ensure!(hook.features().is_some(), "dictionaries cannot stand at {hook}");
    let place = Place::new(hook, head, architecture)
        .with_context(|| format!("{hook} has no head {}", head.unwrap_or_default()))?;
    let found = place.width(architecture);
    ensure!(found == width, "it is made for {width} values, and {place} has {found}");
    Ok(place)
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
        let place = dictionary.writes;
        for &kind in &kinds {
            let latents = dictionary.coder.dictionary().latents;
            let name = name(kind, *l0, latents);
            if made.iter().any(|other| other.name == name && other.writes == place) {
                continue;
            }
            if let Some(weights) = baseline(kind, &calibrated.moments[&place], *l0, latents) {
                made.push(Candidate::new(name, kind, [place, place], weights)?);
            }
        }
    }
    Ok(made)
}

/// What stands beside the dictionaries on a model with shuffled weights: they themselves, and those that were trained
/// there.
pub(super) fn on_shuffled_model(
    command: &Evaluate,
    architecture: &Architecture,
) -> anyhow::Result<Vec<Candidate>> {
    let itself: &[Location] =
        if command.baselines.contains(&Baseline::Shuffled) { &command.dictionaries } else { &[] };
    let mut candidates = Vec::new();
    let trained_there = command.shuffled_dictionaries.as_slice();
    for (locations, what) in [(itself, "shuffled model"), (trained_there, "trained on the shuffled model")] {
        for mut candidate in dictionaries(locations, architecture)? {
            candidate.kind = CandidateKind::ShuffledModel;
            candidate.name = format!("{}, {what}", candidate.name);
            candidates.push(candidate);
        }
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
