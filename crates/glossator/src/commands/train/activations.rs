//! From windows of tokens to rows of activations: which columns each dictionary reads, and which tokens are left out.

use std::sync::Mutex;

use anyhow::{Context, bail, ensure};
use glossator_corpus::Window;
use glossator_model::{Activation, Architecture, Batch, HookPoint, Model, Run, Tokenizer};

use super::entry::DictionaryEntry;
use super::run_file::RunFile;

/// Columns of a joint row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) start: usize,
    pub(super) count: usize,
}

/// The hook points of a run side by side: a joint row holds a token's activations at all of them.
pub(super) struct JointRows {
    hooks: Vec<HookPoint>,
    /// Where each hook point's columns begin, and the whole width.
    starts: Vec<usize>,
    skip_first: usize,
    skip_special: bool,
}

impl JointRows {
    /// The hook points of all dictionaries, after those that a cache holds anyway.
    pub(super) fn new(
        run: &RunFile,
        architecture: &Architecture,
        cached: Vec<HookPoint>,
    ) -> anyhow::Result<Self> {
        let mut hooks = cached;
        for entry in &run.dictionary {
            for name in [Some(&entry.hook), entry.target_hook.as_ref()].into_iter().flatten() {
                let hook: HookPoint = name.parse().with_context(|| entry.name.clone())?;
                ensure!(hook.exists_in(architecture), "{}: this model has no {name}", entry.name);
                ensure!(!hook.is_pairwise(), "{}: {name} has no rows of activations", entry.name);
                if !hooks.contains(&hook) {
                    hooks.push(hook);
                }
            }
        }
        let mut starts = vec![0];
        for hook in &hooks {
            starts.push(starts[starts.len() - 1] + hook.width(architecture));
        }
        Ok(Self { hooks, starts, skip_first: run.skip_first, skip_special: run.skip_special })
    }

    /// The hook points, in the order of their columns.
    pub(super) fn hooks(&self) -> &[HookPoint] {
        &self.hooks
    }

    /// The width of a joint row.
    pub(super) fn width(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The columns that a dictionary reads, and those that it reconstructs.
    pub(super) fn columns(
        &self,
        entry: &DictionaryEntry,
        architecture: &Architecture,
    ) -> anyhow::Result<[Columns; 2]> {
        let of = |name: &str| -> anyhow::Result<Columns> {
            let hook: HookPoint = name.parse()?;
            let place = self.hooks.iter().position(|other| *other == hook).context("unknown hook point")?;
            let (start, width) = (self.starts[place], hook.width(architecture));
            let Some(head) = entry.head else { return Ok(Columns { start, count: width }) };
            let heads = hook.heads(architecture);
            if !hook.has_heads() || head >= heads {
                bail!("{}: {name} has no head {head}", entry.name);
            }
            Ok(Columns { start: start + head * (width / heads), count: width / heads })
        };
        Ok([of(&entry.hook)?, of(entry.target_hook.as_ref().unwrap_or(&entry.hook))?])
    }

    /// Whether a token gives a row.
    pub(super) fn takes(&self, tokenizer: &Tokenizer, position: usize, token: u32) -> bool {
        position >= self.skip_first && !(self.skip_special && tokenizer.is_special(token))
    }

    /// The joint rows of some windows, in order.
    pub(super) fn read(&self, model: &Model, windows: &[Window]) -> anyhow::Result<Vec<f32>> {
        let tokens: Vec<&[u32]> = windows.iter().map(|window| window.tokens.as_slice()).collect();
        let seen: Vec<Mutex<Vec<Vec<f32>>>> =
            windows.iter().map(|_| Mutex::new(vec![Vec::new(); self.hooks.len()])).collect();
        let observe = |hook: HookPoint, activation: &Activation<'_>| {
            let Some(place) = self.hooks.iter().position(|other| *other == hook) else { return };
            for (index, sequence) in activation.sequences.clone().enumerate() {
                if let Ok(mut values) = seen[sequence].lock() {
                    values[place] = activation.sequence(index).to_vec();
                }
            }
        };
        let run = Run { hooks: &self.hooks, ..Run::default() };
        model.run(&Batch::from_sequences(&tokens), &run, &observe)?;
        let tokenizer = model.tokenizer()?;
        let mut rows = Vec::new();
        for (window, seen) in windows.iter().zip(seen) {
            let seen = seen.into_inner().ok().context("an observer failed")?;
            for (position, token) in window.tokens.iter().enumerate() {
                if self.takes(tokenizer, position, *token) {
                    for (values, bounds) in seen.iter().zip(self.starts.windows(2)) {
                        let width = bounds[1] - bounds[0];
                        rows.extend_from_slice(&values[position * width..][..width]);
                    }
                }
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use glossator_corpus::DocumentId;
    use glossator_model::Precision;

    use super::*;

    const HOOKS: [&str; 2] = ["blocks.0.attn.hook_z", "blocks.1.hook_resid_pre"];

    /// A run of one head and one stream with this rule.
    fn run(rule: &str) -> RunFile {
        let [heads, stream] = HOOKS;
        toml::from_str(&format!(
            "model = 'm'\ncorpus = []\nout = 'o'\ntokens = 1\n{rule}\n\
             [[dictionary]]\nname = 'head'\nhook = '{heads}'\nhead = 1\nlatents = 4\nk = 1\n\
             [[dictionary]]\nname = 'stream'\nhook = '{stream}'\nlatents = 4\nk = 1"
        ))
        .unwrap()
    }

    #[test]
    fn rows_are_those_of_tokens_that_count_and_columns_those_of_the_head() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama");
        let model = Model::load(path.to_str().unwrap(), Precision::F32).unwrap();
        let architecture = model.architecture();
        let bos = model.tokenizer().unwrap().bos().unwrap();
        let texts = [vec![bos, 7, 8, bos, 9], vec![11, 12, 13, 14, 15]];
        let window =
            |tokens: &Vec<u32>| Window { id: 0, document: DocumentId(0), offset: 0, tokens: tokens.clone() };
        let windows: Vec<Window> = texts.iter().map(window).collect();
        let hooks = HOOKS.map(|name| name.parse::<HookPoint>().unwrap());
        let values = model.capture(&Batch::from_sequences(&texts), &hooks).unwrap();
        let d_head = architecture.d_head;
        for (rule, counted) in [
            ("", &[1, 2, 4, 6, 7, 8, 9][..]),
            ("skip_first = 0", &[1, 2, 4, 5, 6, 7, 8, 9]),
            ("skip_first = 2\nskip_special = false", &[2, 3, 4, 7, 8, 9]),
        ] {
            let run = run(rule);
            let joint = JointRows::new(&run, architecture, Vec::new()).unwrap();
            let rows = joint.read(&model, &windows).unwrap();
            let [[head, _], [stream, _]] =
                [0, 1].map(|entry| joint.columns(&run.dictionary[entry], architecture).unwrap());
            let part = |columns: Columns| -> Vec<f32> {
                let rows = rows.chunks_exact(joint.width());
                rows.flat_map(|row| row[columns.start..][..columns.count].to_vec()).collect()
            };
            let of_head =
                counted.iter().flat_map(|row| values[&hooks[0]].row(*row)[d_head..2 * d_head].to_vec());
            assert_eq!(part(head), of_head.collect::<Vec<_>>(), "{rule}");
            let of_stream = counted.iter().flat_map(|row| values[&hooks[1]].row(*row).to_vec());
            assert_eq!(part(stream), of_stream.collect::<Vec<_>>(), "{rule}");
        }
    }

    #[test]
    fn a_head_that_is_not_there_is_refused() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reference/goldens/llama");
        let model = Model::load(path.to_str().unwrap(), Precision::F32).unwrap();
        let mut run = run("");
        for (entry, head) in [(0, 4), (1, 0)] {
            run.dictionary[entry].head = Some(head);
            let joint = JointRows::new(&run, model.architecture(), Vec::new()).unwrap();
            let error = joint.columns(&run.dictionary[entry], model.architecture()).unwrap_err().to_string();
            assert!(error.contains(&format!("has no head {head}")), "{error}");
        }
    }
}
