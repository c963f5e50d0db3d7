//! Every tensor type against the numpy code of the `gguf` package (`reference/gguf/make_types.py`).

use std::path::Path;

use super::GgufFile;
use crate::checkpoint::source::TensorSource;

const TYPES: [&str; 13] =
    ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"];

#[test]
fn every_tensor_type_means_what_the_gguf_package_says() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/gguf/goldens");
    let file = GgufFile::open(&goldens.join("types.gguf")).unwrap();
    let expected = std::fs::read(goldens.join("types.safetensors")).unwrap();
    let expected = safetensors::SafeTensors::deserialize(&expected).unwrap();
    for name in TYPES {
        let want: Vec<f32> = expected
            .tensor(name)
            .unwrap()
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        let got = file.read_shaped(name, expected.tensor(name).unwrap().shape()).unwrap();
        for (index, (got, want)) in got.iter().zip(&want).enumerate() {
            // The order of a product of three may differ: half a unit in the last place of the largest term.
            assert!(
                (got - want).abs() <= 1e-6 * want.abs().max(1.0),
                "{name}[{index}]: {got} instead of {want}"
            );
        }
    }
}
