//! Tables of the rotary embeddings, made for the longest sequence seen so far.

use std::sync::{Arc, Mutex, PoisonError};

use glossator_kernels::RotaryTable;

use crate::architecture::RotarySpec;

/// One table per rotary embedding of the architecture.
pub(super) type RotaryTables = Vec<RotaryTable>;

/// The tables, which grow when a longer sequence comes.
#[derive(Default)]
pub(super) struct RotaryCache(Mutex<Arc<RotaryTables>>);

impl RotaryCache {
    /// Tables of at least `positions` positions.
    pub(super) fn tables(&self, specs: &[RotarySpec], positions: usize) -> Arc<RotaryTables> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = tables.len() == specs.len() && tables.iter().all(|table| table.positions() >= positions);
        if !enough {
            let positions = positions.next_power_of_two();
            *tables = Arc::new(specs.iter().map(|spec| table(spec, positions)).collect());
        }
        Arc::clone(&tables)
    }
}

fn table(spec: &RotarySpec, positions: usize) -> RotaryTable {
    RotaryTable::new(&spec.inverse_frequencies, spec.attention_factor, positions)
}
