//! Properties of the windows: where they come from, their order, their parts.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::{BOS, Bytes, plan, text};
use glossator_corpus::{BosPolicy, Corpus, CorpusError, CorpusPlan, Shard, Split, Window};
use proptest::prelude::*;

/// Documents whose every stretch of eight bytes says which document it is from and where.
fn documents(lengths: &[usize]) -> Vec<String> {
    let numbered = |document: usize, length: usize| {
        (0..)
            .flat_map(|i| format!("{document:03}.{i:04}|").into_bytes())
            .take(length)
            .map(char::from)
            .collect()
    };
    lengths.iter().enumerate().map(|(document, &length)| numbered(document, length)).collect()
}

/// One file a document, named so that a listing gives them in the order of `names`.
fn write_files(directory: &Path, documents: &[String], names: impl Fn(usize) -> String) {
    for (i, document) in documents.iter().enumerate() {
        std::fs::write(directory.join(names(i)), document).unwrap();
    }
}

fn windows(plan: &CorpusPlan) -> Vec<Window> {
    Corpus::open(plan, &Bytes { add_bos: false }).unwrap().windows().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn windows_lie_within_their_documents(
        lengths in proptest::collection::vec(8_usize..200, 1..12), seed: u64, most in 1_usize..6, tokens in 1_u64..2000,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let documents = documents(&lengths);
        write_files(directory.path(), &documents, |i| format!("{i:03}.txt"));
        let plan = CorpusPlan { seed, windows_per_document: most, tokens, ..plan(directory.path()) };
        let corpus = Corpus::open(&plan, &Bytes { add_bos: false }).unwrap();
        let available: usize = lengths.iter().map(|length| length / 8).sum();
        prop_assert_eq!(corpus.len(), available.min(tokens.div_ceil(8) as usize));
        let mut places = BTreeSet::new();
        for (id, window) in corpus.windows().enumerate() {
            prop_assert_eq!(window.id as usize, id);
            let path = corpus.origin(window.document).unwrap().path;
            let document = std::fs::read_to_string(path).unwrap();
            let at = window.offset as usize;
            prop_assert_eq!(&document[at..at + 8], text(&window.tokens));
            for position in at..at + 8 {
                prop_assert!(places.insert((window.document, position)), "windows do not overlap");
            }
        }
    }

    #[test]
    fn the_order_depends_on_contents_and_seed_alone(
        lengths in proptest::collection::vec(0_usize..200, 2..12), seed: u64, tokens in 1_u64..2000,
    ) {
        let (a, b, c) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let documents = documents(&lengths);
        write_files(a.path(), &documents, |i| format!("{i:03}.txt"));
        write_files(b.path(), &documents, |i| format!("{:03}.txt", documents.len() - i));
        let lines = |d: &String| serde_json::json!({ "text": d }).to_string() + "\n";
        std::fs::write(c.path().join("all.jsonl"), documents.iter().rev().map(lines).collect::<String>()).unwrap();
        let open = |directory: &Path| {
            Corpus::open(&CorpusPlan { seed, tokens, ..plan(directory) }, &Bytes { add_bos: false }).ok()
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let corpora = [open(a.path()), open(b.path()), open(c.path()), pool.install(|| open(a.path()))];
        for other in &corpora[1..] {
            let (Some(first), Some(other)) = (&corpora[0], other) else {
                prop_assert!(corpora[0].is_none() && other.is_none());
                continue;
            };
            prop_assert!(first.windows().eq(other.windows()));
            prop_assert_eq!(&first.report().fingerprint, &other.report().fingerprint);
        }
    }

    #[test]
    fn shards_partition_the_batches(count in 1_usize..6, size in 1_usize..9, documents_ in 1_usize..20) {
        let directory = tempfile::tempdir().unwrap();
        write_files(directory.path(), &documents(&vec![50; documents_]), |i| format!("{i:03}.txt"));
        let corpus = Corpus::open(&plan(directory.path()), &Bytes { add_bos: true }).unwrap();
        let whole: Vec<Vec<Window>> = corpus.batches(size, Shard::WHOLE).collect();
        prop_assert!(whole.iter().flatten().cloned().eq(corpus.windows()));
        let mut parts: Vec<Vec<Window>> = Vec::new();
        let mut counts = vec![0; 257];
        for index in 0..count {
            let shard = Shard::new(index, count).unwrap();
            parts.extend(corpus.batches(size, shard));
            for (token, times) in corpus.token_counts(size, shard).into_iter().enumerate() {
                counts[token] += times;
            }
        }
        parts.sort_by_key(|batch| batch[0].id);
        prop_assert_eq!(parts, whole);
        let mut naive = vec![0; 257];
        corpus.windows().for_each(|window| window.tokens.iter().for_each(|&token| naive[token as usize] += 1));
        prop_assert_eq!(counts, naive);
    }

    #[test]
    fn the_held_out_split_is_disjoint_and_follows_the_text(share in 0.05_f64..0.95, seed: u64, other_seed: u64) {
        let directory = tempfile::tempdir().unwrap();
        write_files(directory.path(), &documents(&[40; 60]), |i| format!("{i:03}.txt"));
        let side = |split, seed| sources_of(directory.path(), share, split, seed);
        let (train, held_out) = (side(Split::Train, seed), side(Split::HeldOut, seed));
        prop_assert!(train.is_disjoint(&held_out));
        prop_assert_eq!(train.len() + held_out.len(), 60);
        prop_assert_eq!(held_out, side(Split::HeldOut, other_seed));
    }
}

fn sources_of(directory: &Path, share: f64, split: Split, seed: u64) -> BTreeSet<PathBuf> {
    let plan = CorpusPlan { held_out: share, split, seed, ..plan(directory) };
    match Corpus::open(&plan, &Bytes { add_bos: false }) {
        Ok(corpus) => corpus.windows().map(|window| corpus.origin(window.document).unwrap().path).collect(),
        Err(CorpusError::NoWindows { .. }) => BTreeSet::new(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_document_gives_once_before_any_gives_more() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), &documents(&[4000, 16, 16, 80, 7]), |i| format!("{i}.txt"));
    let plan = CorpusPlan { windows_per_document: 2, ..plan(directory.path()) };
    let corpus = Corpus::open(&plan, &Bytes { add_bos: false }).unwrap();
    let first_round: Vec<u32> = corpus.windows().take(8).map(|window| window.document.0).collect();
    assert_eq!(first_round.iter().collect::<BTreeSet<_>>().len(), 4);
    assert!(first_round.windows(2).all(|pair| pair[0] <= pair[1]), "in the seeded order of documents");
    let report = corpus.report();
    assert_eq!((report.windows, report.short_documents, report.rounds), (500 + 2 + 2 + 10, 1, 250));
}

#[test]
fn windows_begin_with_bos_when_the_tokenizer_says_so() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), &documents(&[70]), |i| format!("{i}.txt"));
    for (add_bos, policy, expected) in [
        (true, BosPolicy::Auto, true),
        (false, BosPolicy::Auto, false),
        (false, BosPolicy::Always, true),
        (true, BosPolicy::Never, false),
    ] {
        let plan = CorpusPlan { bos: policy, ..plan(directory.path()) };
        let corpus = Corpus::open(&plan, &Bytes { add_bos }).unwrap();
        assert_eq!(corpus.report().begins_with_bos, expected);
        assert_eq!(corpus.len(), 70 / if expected { 7 } else { 8 });
        for window in corpus.windows() {
            assert_eq!(window.tokens.len(), 8);
            assert_eq!(window.tokens.iter().filter(|&&token| token == BOS).count(), usize::from(expected));
            assert_eq!(window.tokens[0] == BOS, expected);
        }
    }
}

#[test]
fn the_seed_and_the_context_change_the_windows_and_the_fingerprint() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), &documents(&[200; 20]), |i| format!("{i}.txt"));
    let base = CorpusPlan { tokens: 200, ..plan(directory.path()) };
    let fingerprint = |plan: &CorpusPlan| {
        Corpus::open(plan, &Bytes { add_bos: false }).unwrap().report().fingerprint.clone()
    };
    let seeded = CorpusPlan { seed: 1, ..base.clone() };
    assert_ne!(windows(&base), windows(&seeded));
    let before = fingerprint(&base);
    assert_ne!(before, fingerprint(&seeded));
    assert_ne!(before, fingerprint(&CorpusPlan { context: 9, ..base.clone() }));
    std::fs::write(directory.path().join("more.txt"), "one more document").unwrap();
    assert_ne!(before, fingerprint(&base), "the texts count");
}

#[test]
fn equal_texts_are_used_once() {
    let directory = tempfile::tempdir().unwrap();
    let text = documents(&[64]).remove(0);
    write_files(directory.path(), &[text.clone(), text.clone(), text], |i| format!("{i}.txt"));
    let corpus = Corpus::open(&plan(directory.path()), &Bytes { add_bos: false }).unwrap();
    assert_eq!((corpus.report().documents, corpus.report().duplicates, corpus.len()), (3, 2, 8));
    assert_eq!(
        corpus.origin(corpus.window(0).unwrap().document).unwrap().path,
        directory.path().join("0.txt")
    );
}
