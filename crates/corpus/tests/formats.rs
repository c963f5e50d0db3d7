//! Every format gives the same documents, and damaged or hostile files give errors that name the place.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use common::{Bytes, plan};
use glossator_corpus::{BadLine, Corpus, CorpusError, CorpusPlan, Format, InvalidUtf8};
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const TEXTS: [&str; 4] = ["the first document", "zwölf Boxkämpfer", "Третий документ", "last one, plain"];

fn open(plan: &CorpusPlan) -> Result<Corpus, CorpusError> {
    Corpus::open(plan, &Bytes { add_bos: false })
}

fn error(plan: &CorpusPlan) -> String {
    open(plan).unwrap_err().to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn jsonl(texts: &[&str]) -> Vec<u8> {
    let lines = texts.iter().map(|text| serde_json::json!({ "id": 1, "text": text }).to_string() + "\r\n");
    lines.collect::<String>().into_bytes()
}

/// A table with the columns `id` and `text`, two rows a row group; an empty text is written as a null.
fn parquet(texts: &[&[u8]]) -> Vec<u8> {
    parquet_with(texts, Compression::UNCOMPRESSED)
}

fn parquet_with(texts: &[&[u8]], compression: Compression) -> Vec<u8> {
    let schema = "message table { required int32 id; optional binary text (string); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for rows in texts.chunks(2) {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&vec![7; rows.len()], None, None).unwrap();
        column.close().unwrap();
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(!row.is_empty())).collect();
        let values: Vec<ByteArray> =
            rows.iter().filter(|row| !row.is_empty()).map(|row| ByteArray::from(row.to_vec())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> CorpusPlan {
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    CorpusPlan { sources: vec![path], ..plan(directory) }
}

#[test]
fn every_parquet_codec_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let rows = TEXTS.map(str::as_bytes);
    let expected = open(&write(directory.path(), "plain.parquet", &parquet(&rows))).unwrap();
    for compression in [
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let table = parquet_with(&rows, compression);
        let corpus = open(&write(directory.path(), "packed.parquet", &table)).unwrap();
        assert!(corpus.windows().eq(expected.windows()), "{compression}");
    }
}

#[test]
fn all_formats_give_the_same_windows() {
    let directory = tempfile::tempdir().unwrap();
    let texts = directory.path().join("texts");
    std::fs::create_dir(&texts).unwrap();
    for (i, text) in TEXTS.iter().enumerate() {
        std::fs::write(texts.join(format!("{i}.txt")), text).unwrap();
    }
    let expected = open(&plan(&texts)).unwrap();
    let mut rows: Vec<&[u8]> = TEXTS.iter().map(|text| text.as_bytes()).collect();
    rows.insert(1, b"");
    let (lines, table) = (jsonl(&TEXTS), parquet(&rows));
    let marked = [b"\xef\xbb\xbf".as_slice(), &lines].concat();
    let two_members = [gzip(&lines[..50]), gzip(&lines[50..])].concat();
    for (name, bytes) in [
        ("a.jsonl", lines.clone()),
        ("marked.jsonl", marked),
        ("a.jsonl.gz", gzip(&lines)),
        ("two.jsonl.gz", two_members),
        ("a.ndjson.zst", zstd(&lines)),
        ("a.parquet", table.clone()),
        ("a.parquet.gz", gzip(&table)),
        ("a.parquet.zst", zstd(&table)),
    ] {
        let corpus = open(&write(directory.path(), name, &bytes)).unwrap();
        assert!(corpus.windows().eq(expected.windows()), "{name}");
        assert_eq!(corpus.report().fingerprint, expected.report().fingerprint, "{name}");
    }
}

#[test]
fn text_files_are_one_document_each_packed_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = TEXTS[0].as_bytes();
    for (name, bytes) in [
        ("a.txt", bytes.to_vec()),
        ("a.md.gz", gzip(bytes)),
        ("noext", bytes.to_vec()),
        ("a.py.zst", zstd(bytes)),
    ] {
        let corpus = open(&write(directory.path(), name, &bytes)).unwrap();
        assert_eq!((corpus.report().documents, corpus.len()), (1, 2), "{name}");
    }
}

#[test]
fn directories_and_globs_choose_files() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::create_dir_all(root.join("deep/.hidden")).unwrap();
    for (name, text) in [
        ("one.txt", "document one"),
        ("deep/two.md", "document two"),
        ("deep/.hidden/no.txt", "hidden document"),
        ("deep/code.py", "print('document')"),
    ] {
        std::fs::write(root.join(name), text).unwrap();
    }
    let names = |sources: &[&str]| {
        let sources = sources.iter().map(|source| root.join(source)).collect();
        let corpus = open(&CorpusPlan { sources, ..plan(root) }).unwrap();
        let mut names: Vec<String> = corpus
            .windows()
            .map(|window| corpus.origin(window.document).unwrap().path)
            .map(|path| path.strip_prefix(root).unwrap().display().to_string())
            .collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(names(&[""]), ["deep/two.md", "one.txt"]);
    assert_eq!(names(&["deep/code.py"]), ["deep/code.py"], "a named file is read whatever its extension");
    assert_eq!(names(&["*.txt"]), ["one.txt"]);
    assert_eq!(names(&["**/*.{py,md}", "deep"]), ["deep/code.py", "deep/two.md"]);
    let missing = |source: &str| error(&CorpusPlan { sources: vec![root.join(source)], ..plan(root) });
    assert!(missing("*.nothing").ends_with("no file matches"), "{}", missing("*.nothing"));
    assert!(missing("absent.txt").contains("absent.txt: No such file"), "{}", missing("absent.txt"));
    std::fs::create_dir(root.join("empty")).unwrap();
    assert!(missing("empty").contains("has no .txt, .md, .jsonl or .parquet file"));
}

#[test]
fn a_long_text_is_several_documents() {
    let directory = tempfile::tempdir().unwrap();
    let line = |i: usize| format!("line number {i}\n");
    let long: String = (0..20_000).map(line).collect();
    let corpus = open(&write(directory.path(), "long.txt", long.as_bytes())).unwrap();
    assert_eq!(corpus.report().documents, long.len().div_ceil(64 << 10));
    assert_eq!(corpus.report().text_bytes as usize, long.len());
    let lines = open(&write(directory.path(), "long.jsonl", &jsonl(&[&long]))).unwrap();
    assert!(lines.windows().eq(corpus.windows()));
}

#[test]
fn invalid_utf8_is_replaced_and_located() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut long = "a line of text\n".repeat(10_000).into_bytes();
    long[100_000] = 0xff;
    let corpus = open(&write(directory.path(), "a.txt", &long)).unwrap();
    assert_eq!(
        corpus.report().invalid_utf8,
        [InvalidUtf8 { path: path("a.txt"), row: None, offset: 100_000 }]
    );
    let lines = b"{\"text\": \"a valid line\"}\n{\"text\": \"not \xe2\x82 valid\"}\n";
    let corpus = open(&write(directory.path(), "a.jsonl", lines)).unwrap();
    assert_eq!(corpus.report().invalid_utf8, [InvalidUtf8 { path: path("a.jsonl"), row: None, offset: 39 }]);
    assert!(corpus.windows().any(|window| window.tokens.contains(&0xbd)), "U+FFFD is EF BF BD");
    let table = parquet(&[b"a valid row", b"", b"not \xff valid"]);
    let corpus = open(&write(directory.path(), "a.parquet", &table)).unwrap();
    assert_eq!(
        corpus.report().invalid_utf8,
        [InvalidUtf8 { path: path("a.parquet"), row: Some(2), offset: 4 }]
    );
}

#[test]
fn bad_lines_stop_the_reading_or_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let lines =
        "{\"text\": \"a good line\"}\n\n[1]\n{\"text\": 3}\n{\"body\": \"x\", \"id\": 1}\n{\"text\": \"cut";
    let strict = write(directory.path(), "a.jsonl", lines.as_bytes());
    assert!(error(&strict).contains("a.jsonl:3: not a JSON object: invalid type: sequence, expected a map"));
    let corpus = open(&CorpusPlan { skip_bad_lines: true, ..strict.clone() }).unwrap();
    let reasons: Vec<String> = corpus
        .report()
        .bad_lines
        .iter()
        .map(|BadLine { line, reason, .. }| format!("{line}: {reason}"))
        .collect();
    assert_eq!(
        reasons,
        [
            "3: not a JSON object: invalid type: sequence, expected a map at column 0",
            "4: the field `text` is a number, not a string",
            "5: no field `text`; the fields are: body, id (--text-field chooses one)",
            "6: not a JSON object: EOF while parsing a string at column 13",
        ],
    );
    assert_eq!(corpus.report().bad_line_count, 4);
    let renamed = CorpusPlan { text_field: "body".into(), ..strict };
    assert!(error(&renamed).contains("a.jsonl:1: no field `body`; the fields are: text"));
}

#[test]
fn labels_come_from_the_field_that_the_plan_names() {
    let directory = tempfile::tempdir().unwrap();
    let long = "a text that is cut into passages ".repeat(4000);
    let lines = [
        serde_json::json!({ "text": "a text with a word", "kind": "word" }),
        serde_json::json!({ "text": "a text with a number", "kind": 3 }),
        serde_json::json!({ "text": "a text with a truth value", "kind": true }),
        serde_json::json!({ "text": "a text with a list", "kind": ["word"] }),
        serde_json::json!({ "text": "a text without" }),
        serde_json::json!({ "text": long, "kind": "long" }),
    ];
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let unlabelled = write(directory.path(), "a.jsonl", lines.join("\n").as_bytes());
    let labelled = CorpusPlan { label_field: Some("kind".into()), ..unlabelled.clone() };
    let corpus = open(&labelled).unwrap();
    let mut labels: Vec<(u32, Option<String>)> = corpus
        .windows()
        .map(|window| {
            let ordinal = corpus.origin(window.document).unwrap().ordinal;
            (ordinal, corpus.label(window.document).map(str::to_owned))
        })
        .collect();
    labels.sort();
    labels.dedup();
    let expected =
        [Some("word"), Some("3"), Some("true"), None, None, Some("long"), Some("long"), Some("long")];
    let expected: Vec<(u32, Option<String>)> =
        (0..).zip(expected.map(|label| label.map(str::to_owned))).collect();
    assert_eq!(labels, expected);
    let without = open(&unlabelled).unwrap();
    assert!(without.windows().all(|window| without.label(window.document).is_none()));
    assert_eq!(without.report().fingerprint, corpus.report().fingerprint);
}

#[test]
fn damaged_files_are_errors_with_their_name() {
    let directory = tempfile::tempdir().unwrap();
    let lines = jsonl(&TEXTS);
    let table = parquet(&TEXTS.map(str::as_bytes));
    let cut = |bytes: &[u8]| bytes[..bytes.len() * 2 / 3].to_vec();
    for (name, bytes, expected) in [
        ("a.jsonl.gz", cut(&gzip(&lines)), "damaged or truncated gzip data"),
        ("a.jsonl.zst", cut(&zstd(&lines)), "damaged or truncated zstd data"),
        ("a.txt.gz", lines.clone(), "damaged or truncated gzip data"),
        ("a.txt.zst", lines.clone(), "damaged or truncated zstd data"),
        ("a.parquet", cut(&table), "Invalid Parquet file"),
        ("b.parquet", lines, "Invalid Parquet file"),
        ("a.parquet.zst", cut(&zstd(&table)), "damaged or truncated zstd data"),
    ] {
        let message = error(&write(directory.path(), name, &bytes));
        assert!(message.contains(expected) && message.contains(name), "{name}: {message}");
    }
}

#[test]
fn parquet_columns_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    let base = write(directory.path(), "a.parquet", &parquet(&TEXTS.map(str::as_bytes)));
    let named = |name: &str| error(&CorpusPlan { text_field: name.into(), ..base.clone() });
    assert!(
        named("content")
            .ends_with("the column `content` does not exist; text columns: text (--text-field chooses one)")
    );
    assert!(
        named("id").ends_with("the column `id` holds no text; text columns: text (--text-field chooses one)")
    );
}

#[test]
fn what_inflates_without_end_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bomb.txt.zst");
    let mut encoder = zstd::Encoder::new(File::create(&path).unwrap(), 3).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..300 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap();
    let message = error(&CorpusPlan { sources: vec![path], ..plan(directory.path()) });
    assert!(message.contains("have grown to more than 268435456 bytes"), "{message}");
    let endless = write(directory.path(), "a.jsonl", &vec![b'['; (64 << 20) + 2]);
    assert!(error(&endless).contains("a.jsonl:1: the line is longer than 67108864 bytes"));
    let nested = write(directory.path(), "b.jsonl", "[".repeat(1 << 20).as_bytes());
    assert!(error(&CorpusPlan { format: Format::Jsonl, ..nested }).contains("b.jsonl:1: not a JSON object"));
}

#[test]
fn damaged_bytes_of_a_table_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    let table = parquet(&TEXTS.map(str::as_bytes));
    for at in 0..table.len() {
        for value in [0x00, 0x7f, 0xff] {
            let mut damaged = table.clone();
            damaged[at] = value;
            let _ = open(&write(directory.path(), "a.parquet", &damaged));
        }
    }
}

#[test]
fn impossible_plans_and_short_texts_say_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let base = write(directory.path(), "a.txt", b"short");
    assert_eq!(
        error(&base),
        "no window of 8 tokens in the train split: each of its 1 documents is shorter (the longest has 5 bytes)"
    );
    assert!(error(&CorpusPlan { context: 1, ..base.clone() }).starts_with("context: 1 is not in"));
    assert!(error(&CorpusPlan { held_out: 1.5, ..base.clone() }).starts_with("held-out: 1.5 is not in"));
    assert!(error(&CorpusPlan { sources: Vec::new(), ..base }).starts_with("corpus: name at least one file"));
    assert_eq!("2/4".parse::<glossator_corpus::Shard>().unwrap().to_string(), "2/4");
    assert!(
        "0/4".parse::<glossator_corpus::Shard>().is_err()
            && "5/4".parse::<glossator_corpus::Shard>().is_err()
    );
}
