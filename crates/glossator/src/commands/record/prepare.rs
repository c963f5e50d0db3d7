//! Everything that is known before the first token is recorded: model, windows, settings, memory.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use glossator_atlas::{HookSummary, MemoryEstimate, RecordSettings, RunSummary, TokenSelection, WindowRow};
use glossator_corpus::{Corpus, Shard};
use glossator_model::{Architecture, HookPoint, Model};

use super::Record;
use crate::arguments::model::load;
use crate::checksum::checksum;
use crate::output;

/// A run that is ready to start.
pub(super) struct Prepared {
    pub(super) model: Model,
    pub(super) corpus: Corpus,
    pub(super) settings: RecordSettings,
    pub(super) batch_windows: usize,
    /// The content of run.toml.
    pub(super) run_file: String,
}

impl Prepared {
    pub(super) fn new(record: &Record, run: toml::Table) -> anyhow::Result<Self> {
        let location = record.model.as_deref().context("--model is missing")?;
        let mut model = load(location, record.precision)?;
        let dictionaries = record.dictionaries.splice_into(&mut model)?;
        let hooks = hooks(record, &model)?;
        output::note(&format!("reading {}", sources(&record.sources)));
        let corpus = Corpus::open(&record.corpus.plan(record.sources.clone()), model.tokenizer()?)?;
        let mut settings = settings(record, location, &model, &corpus, hooks)?;
        settings.run.dictionaries = dictionaries;
        settings.check()?;
        check_memory(&settings, &model, record.memory_limit)?;
        let run_file = run_file(run, &settings)?;
        let batch_windows = record.batch_windows as usize;
        Ok(Self { model, corpus, settings, batch_windows, run_file })
    }

    /// A window as an atlas stores it.
    pub(super) fn window_row(&self, id: u32) -> Option<WindowRow> {
        let window = self.corpus.window(id)?;
        let document = self
            .corpus
            .origin(window.document)
            .map_or_else(String::new, |origin| format!("{}#{}", origin.path.display(), origin.ordinal));
        Some(WindowRow { window: id, document, offset: window.offset, tokens: window.tokens })
    }
}

fn sources(sources: &[PathBuf]) -> String {
    sources.iter().map(|source| source.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The hook points of all patterns and the features of all dictionaries, in order of execution, with their units.
fn hooks(record: &Record, model: &Model) -> anyhow::Result<Vec<HookSummary>> {
    let architecture = model.architecture();
    let mut points: Vec<HookPoint> = Vec::new();
    for pattern in &record.hooks {
        points.extend(pattern.expand(architecture)?);
    }
    points.extend(architecture.dictionaries.iter().map(|dictionary| dictionary.hook));
    points.sort_unstable();
    points.dedup();
    // Whether there are directions depends on the place in the block alone, and reading them is slow.
    let mut known = std::collections::HashMap::new();
    Ok(points
        .iter()
        .map(|&hook| {
            let directions = *known
                .entry((hook.base().site(), hook.is_features()))
                .or_insert_with(|| !hook.is_pairwise() && model.output_directions(hook).is_ok());
            let neurons = neurons(hook, &points, record.neuron_table_memory << 20, architecture);
            HookSummary { hook, units: hook.width(architecture) as u32, directions, neurons }
        })
        .collect())
}

/// The recorded neurons that the features of a hook point are compared with, if their sums fit into memory.
fn neurons(
    hook: HookPoint,
    points: &[HookPoint],
    memory: u64,
    architecture: &Architecture,
) -> Option<HookPoint> {
    let neurons = HookSummary::neurons_of(hook).filter(|neurons| points.contains(neurons))?;
    let needed = (hook.width(architecture) * neurons.width(architecture) * 8) as u64;
    if needed > memory {
        let mib = needed.div_ceil(1 << 20);
        output::note(&format!(
            "the neurons that {hook} is made of are left out: their correlations need --neuron-table-memory {mib}"
        ));
        return None;
    }
    Some(neurons)
}

fn settings(
    record: &Record,
    location: &str,
    model: &Model,
    corpus: &Corpus,
    hooks: Vec<HookSummary>,
) -> anyhow::Result<RecordSettings> {
    let ignored = record.skip_first.max(u32::from(corpus.bos().is_some()));
    ensure!(
        (ignored as usize) < corpus.context(),
        "--skip-first {ignored} leaves nothing of windows of {} tokens",
        corpus.context()
    );
    let vocab_size = model.architecture().vocab_size.max(model.tokenizer()?.vocab_size());
    let mut token_counts = corpus.token_counts(record.batch_windows as usize, Shard::WHOLE);
    token_counts.resize(vocab_size, 0);
    for window in corpus.batches(record.batch_windows as usize, Shard::WHOLE).flatten() {
        window.tokens[..ignored as usize].iter().for_each(|token| token_counts[*token as usize] -= 1);
    }
    let units = hooks.iter().map(|hook| u64::from(hook.units)).sum();
    let selection =
        TokenSelection { min_count: record.token_min_count, memory: record.token_table_memory << 20 };
    let windows = corpus.len() as u64;
    Ok(RecordSettings {
        run: RunSummary {
            model: model.name().to_owned(),
            model_location: location.to_owned(),
            model_checksum: checksum(&model.checkpoint().files())?,
            precision: format!("{:?}", model.precision()).to_lowercase(),
            vocab_size: vocab_size as u32,
            corpus: sources(&record.sources),
            selection_checksum: corpus.report().fingerprint.clone(),
            context: corpus.context() as u32,
            windows,
            tokens: windows * (corpus.context() as u64 - u64::from(ignored)),
            ignored_positions: ignored,
            bos: corpus.bos(),
            seed: record.corpus.plan(Vec::new()).seed,
            dictionaries: Vec::new(),
        },
        hooks,
        kept_tokens: selection.choose(&token_counts, units),
        token_counts,
    })
}

fn check_memory(settings: &RecordSettings, model: &Model, limit: Option<u64>) -> anyhow::Result<()> {
    let estimate = MemoryEstimate::of(settings);
    let mib = |bytes: u64| format!("{} MiB", bytes.div_ceil(1 << 20));
    output::note(&format!(
        "{} at {}, {} of {}, mean activations of {}",
        output::count(settings.units(), "unit"),
        output::count(settings.hooks.len(), "hook point"),
        output::count(settings.run.windows, "window"),
        output::count(settings.run.context, "token"),
        output::count(settings.kept_tokens.len(), "token"),
    ));
    output::note(&format!(
        "memory: at most {} for the record (statistics {}, excerpts {}, token means {}, products of features and neurons \
         {}), {} for the model",
        mib(estimate.total()),
        mib(estimate.statistics),
        mib(estimate.excerpts),
        mib(estimate.token_table),
        mib(estimate.products),
        mib(model.weight_bytes() as u64),
    ));
    ensure!(
        limit.is_none_or(|limit| estimate.total() <= limit << 20),
        "recording needs up to {}, more than --memory-limit: record fewer hook points, or lower --token-table-memory",
        mib(estimate.total())
    );
    Ok(())
}

/// The flags of the run, and what they came to, for people.
fn run_file(mut run: toml::Table, settings: &RecordSettings) -> anyhow::Result<String> {
    let mut resolved = toml::Table::try_from(&settings.run).context("cannot write run.toml")?;
    resolved.insert("glossator".to_owned(), env!("CARGO_PKG_VERSION").into());
    let hooks: Vec<String> = settings.hooks.iter().map(|hook| hook.hook.to_string()).collect();
    resolved.insert("hooks".to_owned(), hooks.into());
    resolved.insert("units".to_owned(), toml::Value::Integer(settings.units() as i64));
    resolved.insert("kept_tokens".to_owned(), toml::Value::Integer(settings.kept_tokens.len() as i64));
    run.insert("resolved".to_owned(), toml::Value::Table(resolved));
    Ok(toml::to_string(&run)?)
}
