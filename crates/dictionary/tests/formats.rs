//! Files of other packages compute here what they compute there, and what is written computes the same again.

#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

mod common;

use std::path::{Path, PathBuf};

use common::{assert_computes, golden, reference};
use glossator_dictionary::formats::{self, Format};
use glossator_dictionary::{Activation, Coder, Dictionary};
use glossator_kernels::Precision;

/// Where a dictionary of a format lies in its directory.
fn place(directory: &Path, format: Format) -> PathBuf {
    match format {
        Format::SaeLens | Format::Sparsify | Format::DictionaryLearning | Format::Glossator => {
            directory.to_owned()
        }
        Format::OpenAi => directory.join("autoencoder.pt"),
        Format::GemmaScope => directory.join("params.npz"),
        Format::CircuitTracer => directory.join("layer_3.safetensors"),
    }
}

fn read_golden(name: &str) -> Dictionary {
    let directory = reference("goldens").join(name);
    let format = Format::ALL.into_iter().find(|(_, format)| name.starts_with(&format.replace('-', "_")));
    let (format, _) = format.unwrap();
    let (dictionary, detected) = formats::read(&place(&directory, format)).unwrap();
    assert_eq!(detected, format, "{name}");
    dictionary
}

#[test]
fn every_golden_is_reproduced() {
    let mut names: Vec<String> = std::fs::read_dir(reference("goldens"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 33);
    for name in &names {
        assert_computes(&read_golden(name), &golden(name), name);
    }
}

#[test]
fn what_files_say_about_themselves_is_kept() {
    let metadata = read_golden("saelens_before_6").metadata;
    assert_eq!(metadata.model.as_deref(), Some("gpt2-small"));
    assert_eq!(metadata.hook.as_deref(), Some("blocks.3.hook_resid_pre"));
    assert_eq!((metadata.context_size, metadata.prepend_bos), (Some(128), Some(true)));
    assert_eq!(metadata.original_config.unwrap()["sae_lens_training_version"], "3.11.0");
    assert_eq!(read_golden("saelens_topk").metadata.dataset.as_deref(), Some("Skylion007/openwebtext"));

    let metadata = read_golden("dictionary_learning_matryoshka").metadata;
    assert_eq!(metadata.nested_groups, [4, 12, 16]);
    assert_eq!(metadata.model.as_deref(), Some("EleutherAI/pythia-70m-deduped"));
    assert_eq!(metadata.hook.as_deref(), Some("resid_post_layer_3"));

    let metadata = read_golden("circuit_tracer_relu").metadata;
    assert_eq!(metadata.hook.as_deref(), Some("blocks.3.ln2.hook_normalized"));
    assert_eq!(metadata.hook_out.as_deref(), Some("blocks.3.hook_mlp_out"));
    assert_eq!(metadata.model.as_deref(), Some("google/gemma-2-2b"));
    assert_eq!(read_golden("openai_topk").metadata.firing_frequency.unwrap().len(), 32);
}

/// Conversions whose results are committed, and loaded by the packages in `check_written.py`.
const CONVERSIONS: [(&str, Format); 33] = [
    ("circuit_tracer_jumprelu_skip", Format::CircuitTracer),
    ("circuit_tracer_jumprelu_skip", Format::SaeLens),
    ("circuit_tracer_relu", Format::CircuitTracer),
    ("circuit_tracer_relu", Format::SaeLens),
    ("dictionary_learning_batchtopk", Format::DictionaryLearning),
    ("dictionary_learning_batchtopk", Format::GemmaScope),
    ("dictionary_learning_batchtopk", Format::SaeLens),
    ("dictionary_learning_gated", Format::SaeLens),
    ("dictionary_learning_matryoshka", Format::DictionaryLearning),
    ("dictionary_learning_relu", Format::OpenAi),
    ("dictionary_learning_relu", Format::SaeLens),
    ("dictionary_learning_relu_new", Format::SaeLens),
    ("gemma_scope", Format::DictionaryLearning),
    ("gemma_scope", Format::GemmaScope),
    ("gemma_scope", Format::SaeLens),
    ("openai_topk", Format::OpenAi),
    ("openai_topk", Format::SaeLens),
    ("saelens_abstopk", Format::SaeLens),
    ("saelens_gated", Format::DictionaryLearning),
    ("saelens_jumprelu", Format::CircuitTracer),
    ("saelens_jumprelu", Format::DictionaryLearning),
    ("saelens_jumprelu", Format::GemmaScope),
    ("saelens_jumprelu_skip_transcoder", Format::SaeLens),
    ("saelens_standard_constant_norm_rescale", Format::SaeLens),
    ("saelens_standard_input_kept", Format::DictionaryLearning),
    ("saelens_standard_none", Format::DictionaryLearning),
    ("saelens_topk", Format::OpenAi),
    ("saelens_topk_rescaled", Format::DictionaryLearning),
    ("saelens_topk_rescaled", Format::Sparsify),
    ("sparsify_groupmax", Format::Sparsify),
    ("sparsify_skip_transcoder", Format::Sparsify),
    ("sparsify_topk", Format::SaeLens),
    ("sparsify_transcoder", Format::Sparsify),
];

/// With `GLOSSATOR_REWRITE` set, the committed files are written anew; `check_written.py` must accept them.
#[test]
fn what_is_written_is_what_the_packages_have_accepted() {
    let rewrite = std::env::var_os("GLOSSATOR_REWRITE").is_some();
    for (name, format) in CONVERSIONS {
        let committed = reference("written").join(format!("{name}__{format}"));
        let temporary = tempfile::tempdir().unwrap();
        let directory = if rewrite { committed.clone() } else { temporary.path().to_owned() };
        std::fs::create_dir_all(&directory).unwrap();
        format.write(&read_golden(name), &place(&directory, format)).unwrap();
        for file in std::fs::read_dir(&committed).unwrap() {
            let file = file.unwrap();
            let (want, got) = (
                std::fs::read(file.path()).unwrap(),
                std::fs::read(directory.join(file.file_name())).unwrap(),
            );
            assert!(want == got, "{}", file.path().display());
        }
        let (again, detected) = formats::read(&place(&directory, format)).unwrap();
        assert_eq!(detected, format);
        assert_computes(&again, &golden(name), &format!("{name} as {format}"));
    }
}

#[test]
fn what_a_format_cannot_say_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (name, format, reason) in [
        ("sparsify_groupmax", Format::SaeLens, "GroupMax"),
        ("circuit_tracer_topk", Format::SaeLens, "TopK transcoders"),
        ("saelens_jumprelu", Format::Sparsify, "anything but TopK and GroupMax"),
        ("saelens_topk", Format::Sparsify, "normalised inputs"),
        ("saelens_topk_rescaled", Format::OpenAi, "not layer-normalised"),
        ("saelens_abstopk", Format::DictionaryLearning, "negative values"),
        ("saelens_transcoder", Format::DictionaryLearning, "another width"),
        ("saelens_transcoder", Format::CircuitTracer, "another width"),
        ("saelens_skip_transcoder", Format::GemmaScope, "skip connection"),
        ("saelens_standard_layer_norm", Format::GemmaScope, "normalised inputs"),
        ("sparsify_topk", Format::GemmaScope, "anything but JumpReLU"),
        ("circuit_tracer_topk", Format::CircuitTracer, "config.yaml"),
    ] {
        let error = format.write(&read_golden(name), &directory.path().join("x")).unwrap_err().to_string();
        assert!(error.contains(reason), "{name} as {format}: `{error}` does not say `{reason}`");
        assert!(
            std::fs::read_dir(directory.path()).unwrap().next().is_none(),
            "{name}: something was left behind"
        );
    }
}

/// Whatever a dictionary of any other program computes and says of itself, Glossator's own format keeps.
#[test]
fn its_own_format_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(reference("goldens")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let mut dictionary = read_golden(&name);
        dictionary.metadata.firing_frequency =
            Some((0..dictionary.latents).map(|latent| latent as f32 / 64.0).collect());
        let path = directory.path().join(&name);
        Format::Glossator.write(&dictionary, &path).unwrap();
        let (again, format) = formats::read(&path).unwrap();
        assert_eq!(format, Format::Glossator);
        assert!(again == dictionary, "{name}");
    }
    let config = directory.path().join("openai_topk/dictionary.json");
    let newer = std::fs::read_to_string(&config).unwrap().replace("\"version\": 1", "\"version\": 2");
    std::fs::write(&config, newer).unwrap();
    let error = formats::read(config.parent().unwrap()).unwrap_err().to_string();
    assert!(error.contains("version 2 is not known here"), "{error}");
}

/// sparsify names the module in the directory's name alone; what is written here says more, and that counts.
#[test]
fn files_of_sparsify_say_between_which_hook_points_they_belong() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layers.7.mlp");
    let mut dictionary = read_golden("sparsify_transcoder");
    Format::Sparsify.write(&dictionary, &path).unwrap();
    assert_eq!(Format::Sparsify.read(&path).unwrap().metadata.hook.as_deref(), Some("layers.7.mlp"));
    dictionary.metadata.hook = Some("blocks.3.mlp.hook_in".into());
    dictionary.metadata.hook_out = Some("blocks.3.hook_mlp_out".into());
    Format::Sparsify.write(&dictionary, &path).unwrap();
    let again = Format::Sparsify.read(&path).unwrap().metadata;
    assert_eq!((again.hook, again.hook_out), (dictionary.metadata.hook, dictionary.metadata.hook_out));
}

/// SAELens keeps its firing frequencies in a file of their own, and OpenAI's in the state dictionary.
#[test]
fn firing_frequencies_travel() {
    let directory = tempfile::tempdir().unwrap();
    let mut dictionary = read_golden("saelens_standard_none");
    dictionary.metadata.firing_frequency = Some((0..32).map(|latent| latent as f32 / 64.0).collect());
    for format in [Format::SaeLens, Format::OpenAi] {
        let place = place(&directory.path().join(format.to_string()), format);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        format.write(&dictionary, &place).unwrap();
        let again = format.read(&place).unwrap().metadata.firing_frequency.unwrap();
        let want = dictionary.metadata.firing_frequency.as_ref().unwrap();
        assert!(again.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{format}");
    }
}

/// A checkpoint of SAELens' trainer scales inputs by a factor in a file of its own.
#[test]
fn a_scaling_factor_beside_the_weights_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let source = reference("goldens/saelens_standard_none");
    std::fs::copy(source.join("sae_weights.safetensors"), directory.path().join("sae_weights.safetensors"))
        .unwrap();
    let config = std::fs::read_to_string(source.join("cfg.json")).unwrap();
    let config = config.replace(
        "\"normalize_activations\": \"none\"",
        "\"normalize_activations\": \"expected_average_only_in\"",
    );
    std::fs::write(directory.path().join("cfg.json"), config).unwrap();
    let without = Format::SaeLens.read(directory.path()).unwrap();
    assert!(without.metadata.notes[0].contains("not by what factor"), "{:?}", without.metadata.notes);
    std::fs::write(directory.path().join("activation_scaler.json"), "{\"scaling_factor\": 0.5}").unwrap();
    let with = Format::SaeLens.read(directory.path()).unwrap();
    let inputs = golden("saelens_standard_none").inputs;
    let halves: Vec<f32> = inputs.iter().map(|x| x / 2.0).collect();
    let latents =
        |dictionary: &Dictionary, inputs: &[f32]| Coder::new(dictionary, Precision::F32).encode(inputs);
    assert_eq!(latents(&with, &inputs), latents(&without, &halves));
}

/// AutoEncoderTopK and BatchTopKSAE save the same tensors.
#[test]
fn an_ambiguous_state_dictionary_is_not_guessed() {
    let directory = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let source = reference("goldens").join(name).join("ae.pt");
        std::fs::copy(source, directory.path().join("ae.pt")).unwrap();
        formats::read(directory.path())
    };
    let error = copy("dictionary_learning_topk").unwrap_err().to_string();
    assert!(error.contains("config.json, which is not there"), "{error}");
    let (dictionary, _) = copy("dictionary_learning_gated").unwrap();
    assert!(matches!(dictionary.activation, Activation::Gated { .. }));
}
