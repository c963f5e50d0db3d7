//! `glossator encode`: activations through a dictionary, from safetensors to safetensors.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args;
use glossator_dictionary::{Coder, SparseLatents};
use glossator_kernels::Precision;
use safetensors::{Dtype, SafeTensors};

use crate::arguments::dictionary_file::{FormatArgument, described, open};
use crate::output;
use crate::tensor_file::{self, NamedTensor};

/// Largest dense latents that are written without being asked for twice, in bytes.
const LARGEST_DENSE: u64 = 8 << 30;

/// Encode activations with a dictionary, and reconstruct them
///
/// The input holds rows of activations under the key `x` [..., d_input]. The output holds `latents` [..., latents] and
/// `reconstruction` [..., d_output], in the space of the original activations: normalisations are applied and undone.
/// With --sparse, latents are `latents.row_ends` [rows], `latents.indices` and `latents.values` [active] instead.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  glossator encode sae_directory --input x.safetensors --out y.safetensors\n  \
                        glossator encode params.npz --input x.safetensors --out y.safetensors --sparse"
)]
pub(crate) struct Encode {
    /// The dictionary: a file or directory of any format that `glossator convert` reads
    dictionary: PathBuf,
    /// The activations: a safetensors file with the key `x`
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write the latents that are not zero only
    #[arg(long)]
    sparse: bool,
    /// The format of the dictionary, if it is not what its files look like
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Option<FormatArgument>,
    /// Print a summary as JSON
    #[arg(long)]
    json: bool,
}

impl Encode {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (dictionary, _) = open(&self.dictionary, self.from)?;
        dictionary.check()?;
        let (shape, x) = read(&self.input)?;
        let input = self.input.display();
        ensure!(
            shape.last() == Some(&dictionary.d_input),
            "{input}: `x` has shape {shape:?}, but the dictionary reads rows of {}",
            dictionary.d_input
        );
        let axes = &shape[..shape.len() - 1];
        let rows = x.len() / dictionary.d_input;
        let dense = (rows * dictionary.latents * size_of::<f32>()) as u64;
        ensure!(
            self.sparse || dense <= LARGEST_DENSE,
            "dense latents would take {} GB: use --sparse",
            dense >> 30
        );
        let coder = Coder::new(&dictionary, Precision::F32);
        let latents = coder.encode(&x);
        let reconstruction = coder.reconstruct(&latents, &x);
        let shape = |width: usize| axes.iter().copied().chain([width]).collect::<Vec<_>>();
        let mut tensors = latent_tensors(&latents, &shape(dictionary.latents), self.sparse);
        tensors.push(NamedTensor::floats("reconstruction", shape(dictionary.d_output), &reconstruction));
        tensor_file::write(&self.out, &tensors)?;
        let active = latents.active() as f64 / rows.max(1) as f64;
        if self.json {
            output::print_json(&serde_json::json!({
                "rows": rows, "latents": dictionary.latents, "active_per_row": active,
            }))?;
        }
        let out = self.out.display();
        output::note(&format!("{out}: {rows} rows, {active:.1} active each ({})", described(&dictionary)));
        Ok(ExitCode::SUCCESS)
    }
}

/// The rows under the key `x`, with their shape.
fn read(path: &Path) -> anyhow::Result<(Vec<usize>, Vec<f32>)> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| name.to_string())?;
    let file =
        SafeTensors::deserialize(&bytes).with_context(|| format!("{name}: not a whole safetensors file"))?;
    let tensor = file.tensor("x").with_context(|| format!("{name}: no tensor `x`"))?;
    let pairs = || tensor.data().chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    let values = match tensor.dtype() {
        Dtype::F32 => {
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        Dtype::F16 => pairs().map(|pair| half::f16::from_le_bytes(pair).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|pair| half::bf16::from_le_bytes(pair).to_f32()).collect(),
        other => bail!("{name}: `x` holds {other:?}; F32, F16 and BF16 are read"),
    };
    Ok((tensor.shape().to_vec(), values))
}

fn latent_tensors(latents: &SparseLatents, shape: &[usize], sparse: bool) -> Vec<NamedTensor> {
    if !sparse {
        return vec![NamedTensor::floats("latents", shape.to_vec(), &latents.to_dense())];
    }
    let (rows, active) = (vec![latents.rows()], vec![latents.active()]);
    let ends = latents.iter().scan(0, |end, (indices, _)| {
        *end += indices.len() as i64;
        Some(*end)
    });
    let indices = latents.iter().flat_map(|(indices, _)| indices).map(|&index| index.into());
    let values: Vec<f32> = latents.iter().flat_map(|(_, values)| values).copied().collect();
    vec![
        NamedTensor::integers("latents.row_ends", rows, ends),
        NamedTensor::integers("latents.indices", active.clone(), indices),
        NamedTensor::floats("latents.values", active, &values),
    ]
}
