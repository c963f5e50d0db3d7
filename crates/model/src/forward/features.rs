//! The hook points of spliced dictionaries: features are computed where they are wanted, a few sequences at a time.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use glossator_kernels::Buffer;

use super::Decoder;
use super::pass::Pass;
use super::plan::Touch;
use crate::architecture::DictionarySpec;
use crate::batch::{Activation, SparseFeatures};
use crate::dictionary::FeatureDictionary;
use crate::hook::HookPoint;
use crate::intervention::Rows;

/// Features computed at a time, unless one sequence alone has more: 16 MiB.
const CHUNK_FEATURES: usize = 4 << 20;

/// The dictionaries of a decoder by the hook point of their features, and buffers for features.
#[derive(Default)]
pub(super) struct SplicedDictionaries {
    by_hook: BTreeMap<HookPoint, Arc<dyn FeatureDictionary>>,
    idle: Mutex<Vec<FeatureBuffers>>,
}

/// The features of some sequences, and what they were before interventions.
#[derive(Default)]
struct FeatureBuffers {
    features: Buffer<f32>,
    before: Buffer<f32>,
}

impl SplicedDictionaries {
    fn with_buffers<T>(&self, work: impl FnOnce(&mut FeatureBuffers) -> T) -> T {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffers = idle.unwrap_or_default();
        let result = work(&mut buffers);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(buffers);
        result
    }
}

impl Decoder {
    /// Adds a dictionary that fits.
    pub(crate) fn splice(&mut self, spec: DictionarySpec, dictionary: Arc<dyn FeatureDictionary>) {
        self.architecture.dictionaries.push(spec);
        self.dictionaries.by_hook.insert(spec.hook, dictionary);
    }

    /// The dictionary whose features are this hook point.
    pub(crate) fn dictionary(&self, hook: HookPoint) -> Option<&Arc<dyn FeatureDictionary>> {
        self.dictionaries.by_hook.get(&hook)
    }
}

impl Pass<'_> {
    /// Shows the features that are read from `place` to the observer, and brings changes of them back to `values`
    /// `[row, width]`.
    pub(super) fn visit_features(&self, place: HookPoint, values: &mut [f32]) -> ControlFlow<()> {
        let Some(hook) = place.features().filter(|hook| self.touch(*hook) != Touch::None) else {
            return ControlFlow::Continue(());
        };
        if let Some(dictionary) = self.decoder.dictionary(hook) {
            if self.observer.takes_sparse_features() && self.plan.changes(hook).is_empty() {
                let rows = dictionary.encode_sparse(values, self.threads);
                let (sequences, starts) = (self.group.sequences.clone(), self.group.starts.as_slice());
                let features =
                    SparseFeatures { sequences, starts, width: dictionary.features(), rows: &rows };
                self.observer.observe_features(hook, &features);
                return self.after_features(hook);
            }
            self.decoder.dictionaries.with_buffers(|buffers| {
                for sequences in self.chunks(dictionary.features()) {
                    self.visit_chunk(hook, dictionary.as_ref(), sequences, values, buffers);
                }
            });
        }
        self.after_features(hook)
    }

    fn after_features(&self, hook: HookPoint) -> ControlFlow<()> {
        if self.plan.ends_at(hook) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Runs of sequences of the group whose features fit into a chunk.
    fn chunks(&self, features: usize) -> Vec<Range<usize>> {
        let starts = &self.group.starts;
        let mut chunks = Vec::new();
        let mut first = 0;
        for next in 1..starts.len() {
            let is_last = next + 1 == starts.len();
            if is_last || (starts[next + 1] - starts[first]) * features > CHUNK_FEATURES {
                chunks.push(first..next);
                first = next;
            }
        }
        chunks
    }

    fn visit_chunk(
        &self,
        hook: HookPoint,
        dictionary: &dyn FeatureDictionary,
        sequences: Range<usize>,
        values: &mut [f32],
        buffers: &mut FeatureBuffers,
    ) {
        let starts = &self.group.starts[sequences.start..=sequences.end];
        let (first_row, end_row) = (starts[0], starts[starts.len() - 1]);
        let starts: Vec<usize> = starts.iter().map(|start| start - first_row).collect();
        let values = &mut values[first_row * dictionary.width()..end_row * dictionary.width()];
        let features = buffers.features.sized((end_row - first_row) * dictionary.features());
        dictionary.encode(values, features, self.threads);
        let changes = self.plan.changes(hook);
        if !changes.is_empty() {
            let before = buffers.before.sized(features.len());
            before.copy_from_slice(features);
            let rows = Rows {
                first_sequence: self.group.sequences.start + sequences.start,
                starts: &starts,
                first_position: self.cached,
            };
            for change in changes {
                change.apply(&self.decoder.architecture, &rows, features);
            }
            dictionary.change(before, features, values);
        }
        if self.plan.is_wanted(hook, self.decoder.architecture.n_layers) {
            let offset = self.group.sequences.start;
            let activation = Activation {
                sequences: offset + sequences.start..offset + sequences.end,
                starts: &starts,
                width: dictionary.features(),
                values: features,
                pairwise: false,
            };
            self.observer.observe(hook, &activation);
        }
    }
}
