//! `glossator encode`: activations through a dictionary, from safetensors to safetensors.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args;
use glossator_dictionary::{Coder, SparseLatents};
use glossator_kernels::Precision;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

use crate::arguments::dictionary_file::{FormatArgument, described, open};
use crate::output;

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
        tensors.push(Tensor::floats("reconstruction", shape(dictionary.d_output), &reconstruction));
        write(&self.out, &tensors)?;
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

/// A tensor as it goes into the file.
struct Tensor {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn floats(name: &'static str, shape: Vec<usize>, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F32, shape, bytes }
    }

    fn integers(name: &'static str, values: impl ExactSizeIterator<Item = u64>) -> Self {
        let shape = vec![values.len()];
        Self { name, dtype: Dtype::I64, shape, bytes: values.flat_map(u64::to_le_bytes).collect() }
    }
}

fn latent_tensors(latents: &SparseLatents, shape: &[usize], sparse: bool) -> Vec<Tensor> {
    if !sparse {
        return vec![Tensor::floats("latents", shape.to_vec(), &latents.to_dense())];
    }
    let mut end = 0;
    let ends: Vec<u64> = latents
        .iter()
        .map(|(indices, _)| {
            end += indices.len() as u64;
            end
        })
        .collect();
    let indices: Vec<u64> =
        latents.iter().flat_map(|(indices, _)| indices).map(|&index| index.into()).collect();
    let values: Vec<f32> = latents.iter().flat_map(|(_, values)| values).copied().collect();
    vec![
        Tensor::integers("latents.row_ends", ends.into_iter()),
        Tensor::integers("latents.indices", indices.into_iter()),
        Tensor::floats("latents.values", vec![values.len()], &values),
    ]
}

/// Writes the file under a temporary name first, so that it is there whole or not at all.
fn write<'t>(path: &Path, tensors: &'t [Tensor]) -> anyhow::Result<()> {
    let view = |tensor: &'t Tensor| {
        let Tensor { name, dtype, shape, bytes } = tensor;
        Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?))
    };
    let views = tensors.iter().map(view).collect::<anyhow::Result<Vec<_>>>()?;
    let bytes = serialize(views, None)?;
    let mut name = path.file_name().context("--out is not a file name")?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| path.display().to_string())
}
