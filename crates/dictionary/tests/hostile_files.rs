//! Damaged and malicious dictionary files: each is refused with an error that names the problem, without a panic,
//! without running anything, and without memory for what it claims to hold.

#![allow(clippy::unwrap_used)] // A test may stop at the first surprise.

mod common;

use std::io::{Cursor, Write};
use std::path::Path;

use common::reference;
use glossator_dictionary::formats;
use proptest::prelude::*;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A directory with one golden's files, one of them changed.
fn golden_with(name: &str, file: &str, contents: &[u8]) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(reference("goldens").join(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    std::fs::write(copy.path().join(file), contents).unwrap();
    copy
}

fn golden_file(name: &str, file: &str) -> Vec<u8> {
    std::fs::read(reference("goldens").join(name).join(file)).unwrap()
}

#[track_caller]
fn assert_refused(path: &Path, reason: &str) {
    let error = formats::read(path).unwrap_err().to_string();
    assert!(error.contains(reason), "`{error}` does not say `{reason}`");
}

/// A zip file as `torch.save` writes it.
fn torch_file(pickle: &[u8], storages: &[&[u8]]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    add("data.pkl", pickle);
    for (key, storage) in storages.iter().enumerate() {
        add(&format!("data/{key}"), storage);
    }
    zip.finish().unwrap().into_inner()
}

/// `{"latent_bias": tensor}` with a tensor of this shape, strides and offset in storage 0 of 16 floats.
fn torch_tensor(shape: &[i32], strides: &[i32], offset: i32) -> Vec<u8> {
    let integer = |value: i32| [b"J".as_slice(), &value.to_le_bytes()].concat();
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let tuple = |values: &[i32]| {
        let inner: Vec<u8> = values.iter().flat_map(|value| integer(*value)).collect();
        [b"(".as_slice(), &inner, b"t"].concat()
    };
    let pickle = [
        b"\x80\x02}",
        text("latent_bias").as_slice(),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        &integer(16),
        b"tQ",
        &integer(offset),
        &tuple(shape),
        &tuple(strides),
        b"\x89NtRs.",
    ]
    .concat();
    torch_file(&pickle, &[&[0; 64]])
}

fn saved(contents: &[u8], extension: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(extension).tempfile().unwrap();
    std::fs::write(file.path(), contents).unwrap();
    file
}

#[test]
fn pickles_that_would_run_something_are_refused() {
    let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let command = text("touch /tmp/owned");
    for (pickle, reason) in [
        ([b"\x80\x02cos\nsystem\n", command.as_slice(), b"\x85R."].concat(), "`os.system`"),
        ([b"\x80\x02cposix\nsystem\n", command.as_slice(), b"\x85R."].concat(), "`posix.system`"),
        (b"\x80\x02cbuiltins\neval\n.".to_vec(), "`builtins.eval`"),
        (b"\x80\x02ctorch\nload\n.".to_vec(), "`torch.load`"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v3\n.".to_vec(), "`torch._utils._rebuild_tensor_v3`"),
        ([b"\x80\x04".as_slice(), &text("os"), &text("system"), b"\x93."].concat(), "`os.system`"),
        // INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, PERSID, and instructions of protocol 0.
        (b"\x80\x02(ios\nsystem\n.".to_vec(), "instruction 0x69"),
        (b"\x80\x02(o.".to_vec(), "instruction 0x6f"),
        (b"\x80\x02)\x81.".to_vec(), "instruction 0x81"),
        (b"\x80\x02}\x92.".to_vec(), "instruction 0x92"),
        (b"\x80\x02\x82\x01.".to_vec(), "instruction 0x82"),
        (b"\x80\x02Pevil\n.".to_vec(), "instruction 0x50"),
        (b"\x80\x02S'x'\n.".to_vec(), "instruction 0x53"),
        (b"\x80\x01.".to_vec(), "protocol 1"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.".to_vec(), "sets the state of something else"),
        (b"\x80\x02ccollections\nOrderedDict\nN\x85R.".to_vec(), "arguments it does not take"),
        (b"\x80\x02X\x01\x00\x00\x00x)R.".to_vec(), "no function"),
    ] {
        assert_refused(saved(&torch_file(&pickle, &[]), ".pt").path(), reason);
    }
    assert!(!Path::new("/tmp/owned").exists());
}

#[test]
fn damaged_pickles_are_refused() {
    for (pickle, reason) in [
        (&b""[..], "truncated"),
        (b"\x80\x02}", "truncated"),
        (b"\x80\x02X\xff\xff\xff\xff", "truncated"),
        (b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "truncated"),
        (b"\x80\x02ctorch", "truncated"),
        (b"\x80\x02.", "takes more from the stack"),
        (b"\x80\x02t.", "closes what it never opened"),
        (b"\x80\x02}(Ku.", "no dictionary of tensors"),
        (b"\x80\x02}(K\x01u.", "a key but no value"),
        (b"\x80\x02](K\x01K\x02u.", "no dictionary"),
        (b"\x80\x02}K\x01a.", "no list"),
        (b"\x80\x02h\x07.", "memo slot 7 is empty"),
        (b"\x80\x02}r\xff\xff\xff\xff.", "out of order"),
        (b"\x80\x02\x8a\x09012345678.", "a whole number of 9 bytes"),
        (b"\x80\x02K\x01Q.", "no tuple"),
        (b"\x80\x02)Q.", "something else than a storage"),
        (b"\x80\x02K\x01.", "no dictionary of tensors"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "not UTF-8"),
    ] {
        assert_refused(saved(&torch_file(pickle, &[]), ".pt").path(), reason);
    }
    // Nesting, sharing and cycles cost nothing: tuples in tuples, and a dictionary that holds itself.
    let nested = [b"\x80\x02)".as_slice(), &vec![0x85; 1_000_000], b"."].concat();
    assert_refused(saved(&torch_file(&nested, &[]), ".pt").path(), "no dictionary of tensors");
    let itself = b"\x80\x02}q\x00X\x02\x00\x00\x00aeh\x00s.";
    assert_refused(saved(&torch_file(itself, &[]), ".pt").path(), "no class of dictionary_learning");
    let laughs = [b"\x80\x02)q\x00".as_slice(), &b"h\x00\x86q\x00h\x00".repeat(100_000), b"."].concat();
    assert!(formats::read(saved(&torch_file(&laughs, &[]), ".pt").path()).is_err());
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let large = i32::MAX;
    for (shape, strides, offset, reason) in [
        (&[17][..], &[1][..], 0, "needs 17 values of a storage that has 16"),
        (&[16], &[1], 1, "needs 17 values"),
        (&[4, 4], &[5, 1], 0, "needs 19 values"),
        (&[large; 5], &[large; 5], 0, "larger than any storage"),
        (&[large, large], &[0, 0], 0, "values, but its storage 16"),
        (&[-1], &[1], 0, "something else than sizes"),
        (&[4], &[-1], 0, "something else than sizes"),
        (&[4], &[1], -1, "begins before its storage"),
        (&[4], &[1, 1], 0, "1 axes with 2 strides"),
        (&[1; 9], &[1; 9], 0, "9 axes"),
    ] {
        assert_refused(saved(&torch_tensor(shape, strides, offset), ".pt").path(), reason);
    }
    assert_refused(saved(&torch_tensor(&[16], &[1], 0), ".pt").path(), "tensor `encoder.weight` is missing");
}

#[test]
fn damaged_zip_files_are_refused() {
    let good = golden_file("openai_topk", "autoencoder.pt");
    for contents in [&good[..good.len() - 1], &good[..200], &[]] {
        let error = formats::read(saved(contents, ".pt").path()).unwrap_err().to_string();
        assert!(error.contains("zip file"), "{error}");
    }
    assert_refused(saved(b"\x80\x02}q\x00.", ".pt").path(), "before PyTorch 1.6");
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    zip.start_file("archive/data.pkl", options).unwrap();
    zip.write_all(&vec![0; 1 << 20]).unwrap();
    assert_refused(saved(&zip.finish().unwrap().into_inner(), ".pt").path(), "compressed");
    let no_pickle = {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(
            "archive/version",
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored),
        )
        .unwrap();
        zip.finish().unwrap().into_inner()
    };
    assert_refused(saved(&no_pickle, ".pt").path(), "data.pkl");
}

/// The zip directory claims whatever the attacker likes about an entry's size.
#[test]
fn claimed_sizes_take_no_memory() {
    let claim = |mut file: Vec<u8>, signature: &[u8], at: usize, sizes: &[u32]| {
        let found = file.windows(4).position(|window| window == signature).unwrap();
        for (index, size) in sizes.iter().enumerate() {
            file[found + at + 4 * index..][..4].copy_from_slice(&size.to_le_bytes());
        }
        file
    };
    // In the central directory, the compressed and the plain size stand at byte 20.
    let npz = golden_file("gemma_scope", "params.npz");
    let bomb = claim(npz.clone(), b"PK\x01\x02", 24, &[u32::MAX - 1]);
    assert_refused(saved(&bomb, ".npz").path(), "zip bomb");
    let overlapping = claim(npz.clone(), b"PK\x01\x02", 20, &[0x7fff_ffff, 0x7fff_ffff]);
    assert!(formats::read(saved(&overlapping, ".npz").path()).is_err());
    let torch = golden_file("openai_topk", "autoencoder.pt");
    let large = claim(torch, b"PK\x01\x02", 20, &[0x7fff_ffff, 0x7fff_ffff]);
    assert!(formats::read(saved(&large, ".pt").path()).is_err());
    // The array's own header.
    let shape = b"'shape': (12, 32)";
    let at = npz.windows(shape.len()).position(|window| window == shape).unwrap();
    let mut wrong = npz;
    wrong[at..at + shape.len()].copy_from_slice(b"'shape': (99, 99)");
    let error = formats::read(saved(&wrong, ".npz").path()).unwrap_err().to_string();
    assert!(error.contains("does not fit its") || error.contains("checksum"), "{error}");
}

#[test]
fn arrays_of_objects_are_refused() {
    let header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n";
    let array =
        [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    for (array, reason) in [
        (array.as_slice(), "`|O`"),
        (b"\x93NUMPY\x09\x00\x10\x00", "version 9"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a header of 4294967295 bytes"),
        (b"\x93NUM", "truncated"),
        (b"cos\nsystem\n", "not a .npy array"),
    ] {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("W_enc.npy", SimpleFileOptions::default()).unwrap();
        zip.write_all(array).unwrap();
        assert_refused(saved(&zip.finish().unwrap().into_inner(), ".npz").path(), reason);
    }
}

#[test]
fn impossible_configurations_are_refused() {
    let sparsify = |from: &str, to: &str| {
        let config = String::from_utf8(golden_file("sparsify_topk", "cfg.json")).unwrap();
        assert!(config.contains(from), "{config}");
        golden_with("sparsify_topk", "cfg.json", config.replace(from, to).as_bytes())
    };
    for (from, to, reason) in [
        ("\"k\": 4", "\"k\": 0", "0 of 32 latents"),
        ("\"k\": 4", "\"k\": 33", "33 of 32 latents"),
        ("\"k\": 4", "\"k\": -4", "not the expected JSON"),
        ("\"num_latents\": 32", "\"num_latents\": 33", "needed"),
        ("\"d_in\": 12", "\"d_in\": 18446744073709551615", "needed"),
        ("\"activation\": \"topk\"", "\"activation\": \"softmax\"", "`softmax` is not supported"),
        ("\"skip_connection\": false", "\"skip_connection\": true", "`W_skip` is missing"),
    ] {
        assert_refused(sparsify(from, to).path(), reason);
    }
    let saelens = |from: &str, to: &str| {
        let config = String::from_utf8(golden_file("saelens_topk", "cfg.json")).unwrap();
        assert!(config.contains(from), "{config}");
        golden_with("saelens_topk", "cfg.json", config.replace(from, to).as_bytes())
    };
    for (from, to, reason) in [
        ("\"architecture\": \"topk\"", "\"architecture\": \"temporal\"", "`temporal`"),
        ("\"architecture\": \"topk\"", "\"architecture\": \"jumprelu\"", "`threshold` is missing"),
        ("\"k\": 4", "\"k\": 4.5", "not a whole number"),
        ("\"layer_norm\"", "\"covariance_whitening\"", "`covariance_whitening` is not supported"),
        ("\"layer_norm\"", "7", "normalize_activations is 7"),
        ("\"d_in\": 12", "\"d_in\": 13", "`W_enc` has shape [12, 32]"),
    ] {
        assert_refused(saelens(from, to).path(), reason);
    }
    assert_refused(golden_with("saelens_topk", "cfg.json", b"[").path(), "not the expected JSON");
    let weights = golden_file("saelens_topk", "sae_weights.safetensors");
    let cut = golden_with("saelens_topk", "sae_weights.safetensors", &weights[..weights.len() - 1]);
    assert_refused(cut.path(), "not a whole safetensors file");
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let mut weights = golden_file("saelens_topk", "sae_weights.safetensors");
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let copy = golden_with("saelens_topk", "sae_weights.safetensors", &weights);
    assert_refused(copy.path(), "not a finite number");
}

#[test]
fn what_is_no_dictionary_is_named() {
    assert_refused(Path::new("no/such/dictionary"), "no/such/dictionary");
    assert_refused(tempfile::tempdir().unwrap().path(), "this is no dictionary");
    assert_refused(saved(b"", ".txt").path(), "this is no dictionary");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever a few flipped bytes do, reading ends with a value or an error.
    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((0usize..6000, any::<u8>()), 1..6)) {
        for (name, file, extension) in
            [("openai_topk", "autoencoder.pt", ".pt"), ("gemma_scope", "params.npz", ".npz")]
        {
            let mut contents = golden_file(name, file);
            for (at, byte) in &flips {
                let length = contents.len();
                contents[at % length] = *byte;
            }
            let _ = formats::read(saved(&contents, extension).path());
        }
    }

    /// The same for any pickle that begins as one.
    #[test]
    fn random_pickles_never_panic(program in prop::collection::vec(any::<u8>(), 0..60)) {
        let pickle = [b"\x80\x02}(".as_slice(), &program, b"u."].concat();
        let _ = formats::read(saved(&torch_file(&pickle, &[&[0; 64]]), ".pt").path());
    }

    /// The same for a file that ends anywhere.
    #[test]
    fn truncated_files_never_panic(length in 0usize..5000) {
        for (name, file, extension) in
            [("openai_topk", "autoencoder.pt", ".pt"), ("gemma_scope", "params.npz", ".npz")]
        {
            let contents = golden_file(name, file);
            prop_assert!(formats::read(saved(&contents[..length.min(contents.len() - 1)], extension).path()).is_err());
        }
    }
}
