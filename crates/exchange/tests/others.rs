//! Neuronpedia's tables, delphi's files and data sets hold what the atlas holds.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use flate2::read::GzDecoder;
use glossator_atlas::Atlas;
use glossator_atlas::testing::{explain_synthetic, write_synthetic};
use glossator_exchange::{dataset, delphi, neuronpedia};
use glossator_model::{HookPoint, UnitId};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

fn explained(directory: &Path) -> (Atlas, Vec<UnitId>) {
    write_synthetic(directory, 2, 5).unwrap();
    explain_synthetic(directory, 4).unwrap();
    let atlas = Atlas::open(directory).unwrap();
    let units = (0..atlas.unit_count()).map(|rank| atlas.unit_at(rank).unwrap()).collect();
    (atlas, units)
}

fn rows(path: &Path) -> Vec<Value> {
    let lines = BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

#[test]
fn neuronpedia_gets_a_source_for_each_layer() {
    let directory = tempfile::tempdir().unwrap();
    let (atlas, units) = explained(&directory.path().join("atlas"));
    let names = neuronpedia::Names { model: "tiny/model".into(), release: "r".into(), author: "me".into() };
    let out = directory.path().join("out");
    neuronpedia::write(&atlas, &units, &names, &out, &|| {}).unwrap();
    let source = out.join("tiny-model/1-mlp-hook_post");
    for head in ["release", "model", "sourceset", "source"] {
        assert!(source.join(format!("{head}.jsonl")).is_file());
    }
    let features = rows(&source.join("features/batch-0.jsonl.gz"));
    let record = atlas.unit(UnitId::new(HookPoint::mlp_post(1), 2)).unwrap();
    assert_eq!(features.len(), 5);
    assert_eq!(features[2]["index"], "2");
    assert_eq!(features[2]["maxActApprox"].as_f64().unwrap() as f32, record.statistics.max);
    assert_eq!(features[2]["pos_values"].as_array().unwrap().len(), record.top_logits.len());
    let activations = rows(&source.join("activations/batch-0.jsonl.gz"));
    let of_two: Vec<&Value> = activations.iter().filter(|row| row["index"] == "2").collect();
    assert_eq!(of_two.len(), record.excerpts.len());
    let values = of_two[0]["values"].as_array().unwrap().iter();
    assert_eq!(
        values.map(|value| value.as_f64().unwrap() as f32).collect::<Vec<_>>(),
        record.excerpts[0].activations
    );
    assert_eq!(of_two[0]["binMin"], -1.0);
    let explanations = rows(&source.join("explanations/batch-0.jsonl.gz"));
    let stored: usize =
        (0..5).map(|i| atlas.explanations(UnitId::new(HookPoint::mlp_post(1), i)).unwrap().len()).sum();
    assert_eq!(explanations.len(), stored);
}

#[test]
fn delphi_gets_explanations_and_a_cache_of_the_excerpts() {
    let directory = tempfile::tempdir().unwrap();
    let (atlas, units) = explained(&directory.path().join("atlas"));
    let out = directory.path().join("out");
    delphi::write(&atlas, &units[..5], None, &out, &|| {}).unwrap();
    let hook = "blocks.0.mlp.hook_post";
    let bytes = std::fs::read(out.join(format!("latents/{hook}/0_4.safetensors"))).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| -> Vec<u32> {
        let data = tensors.tensor(name).unwrap().data().to_vec();
        data.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    };
    let (locations, activations) = (numbers("locations"), numbers("activations"));
    let tokens = tensors.tensor("tokens").unwrap();
    let context = tokens.shape()[1];
    assert_eq!(locations.len(), 3 * activations.len());
    // The largest activation of unit 3, at its place.
    let record = atlas.unit(units[3]).unwrap();
    let best = record.excerpts.iter().find(|one| one.rank == 0).unwrap();
    let found =
        locations.as_chunks::<3>().0.iter().zip(&activations).any(|([row, position, latent], value)| {
            let at = (*row as usize * context + *position as usize) * 8;
            let token = i64::from_le_bytes(tokens.data()[at..at + 8].try_into().unwrap());
            *latent == 3
                && f32::from_bits(*value) == best.max
                && best.tokens[*position as usize] as i64 == token
        });
    assert!(found);
    let text = std::fs::read_to_string(out.join(format!("explanations/{hook}_latent0.txt"))).unwrap();
    let text: String = serde_json::from_str(&text).unwrap();
    assert!(atlas.explanations(units[0]).unwrap().iter().any(|one| one.text == text));
}

#[test]
fn a_data_set_has_a_row_for_everything_and_a_card() {
    let directory = tempfile::tempdir().unwrap();
    let (atlas, units) = explained(&directory.path().join("atlas"));
    let out = directory.path().join("out");
    dataset::write(&atlas, &units, "cc-by-4.0", &out, &|| {}).unwrap();
    let table = |name: &str| -> Vec<arrow_array::RecordBatch> {
        let file = File::open(out.join(format!("data/{name}.parquet"))).unwrap();
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect()
    };
    let count = |name: &str| table(name).iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>();
    let sum = |of: &dyn Fn(UnitId) -> usize| units.iter().map(|unit| of(*unit)).sum::<usize>();
    assert_eq!(count("units"), units.len());
    assert_eq!(count("explanations"), sum(&|unit| atlas.explanations(unit).unwrap().len()));
    assert_eq!(count("scores"), sum(&|unit| atlas.scores(unit).unwrap().len()));
    assert_eq!(count("excerpts"), sum(&|unit| atlas.excerpts(unit).unwrap().len()));
    let first = &table("units")[0];
    let indices = first.column_by_name("index").unwrap().as_primitive::<UInt32Type>();
    assert_eq!(indices.value(1), 1);
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(
        card.starts_with("---\nlicense: \"cc-by-4.0\"\n") && card.contains("synthetic \\<b\\>model\\</b\\>")
    );
    assert!(card.contains("| lookup |"), "{card}");
}
