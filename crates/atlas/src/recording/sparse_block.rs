//! Recording a dictionary's features, of which few are active: only what is not 0 is read, and the state is to the last
//! bit that of the rows written out.
//!
//! The features of a block that are active somewhere in a window are written out for that window, and go through the
//! same arithmetic as neurons. To the others the window adds zeros, of which only the smallest value, the middle bucket of the
//! histogram and the excerpts need to be told.

use glossator_kernels::statistics::{BUCKETS, WindowStatistics, bucket};
use glossator_model::SparseFeatures;

use super::BLOCK;
use super::block::{Block, WindowPlace};
use super::columns::{Columns, NO_COLUMN};

/// An activation that is not 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The row of the group.
    pub(super) row: u32,
    /// The unit, counted within its block.
    pub(super) unit: u32,
    /// The activation.
    pub(super) value: f32,
}

/// The activations of a group that are not 0, for each block of units, in the order of the rows.
pub(super) fn by_block(features: &SparseFeatures<'_>) -> Vec<Vec<Entry>> {
    let mut blocks = vec![Vec::new(); features.width.div_ceil(BLOCK)];
    for row in 0..features.tokens() {
        let (indices, values) = features.rows.row(row);
        for (index, value) in indices.iter().zip(values) {
            let (block, unit) = (*index as usize / BLOCK, index % BLOCK as u32);
            blocks[block].push(Entry { row: row as u32, unit, value: *value });
        }
    }
    blocks
}

/// The active units of a block in a window, written out.
struct Written {
    /// Ascending.
    units: Vec<usize>,
    /// `[unit of the block]`: its place in `units`.
    places: Vec<u32>,
    /// `[position, place]`.
    rows: Vec<f32>,
}

impl Written {
    /// From the entries of a window whose first row is `first`.
    fn new(entries: &[Entry], first: usize, units: usize, context: usize) -> Self {
        let mut places = vec![NO_COLUMN; units];
        entries.iter().for_each(|entry| places[entry.unit as usize] = 0);
        let active: Vec<usize> = (0..units).filter(|unit| places[*unit] != NO_COLUMN).collect();
        active.iter().enumerate().for_each(|(place, unit)| places[*unit] = place as u32);
        let mut rows = vec![0.0; context * active.len()];
        for entry in entries {
            let position = entry.row as usize - first;
            rows[position * active.len() + places[entry.unit as usize] as usize] = entry.value;
        }
        Self { units: active, places, rows }
    }
}

impl Block {
    /// As [`Block::record`], for the entries of windows of `context` rows each. The answer is the window that holds
    /// activations that are no finite numbers, if there is one.
    pub(super) fn record_sparse(&mut self, windows: &[WindowPlace], entries: &[Entry]) -> Result<(), u32> {
        let (units, context) = (self.units, self.context);
        let mut rest = entries;
        let written: Vec<Written> = (0..windows.len())
            .map(|index| {
                let end = rest.partition_point(|entry| (entry.row as usize) < (index + 1) * context);
                let own;
                (own, rest) = rest.split_at(end);
                Written::new(own, index * context, units, context)
            })
            .collect();
        let mut maxima = vec![vec![0.0; units]; windows.len()];
        // Positions in windows to which a unit adds nothing.
        let mut silent = vec![0_u32; units];
        for ((window, written), maxima) in windows.iter().zip(&written).zip(&mut maxima) {
            let counted = (context - window.ignored) as u32;
            let silent_here = silent.iter_mut().zip(&written.places);
            silent_here.for_each(|(silent, place)| *silent += if *place == NO_COLUMN { counted } else { 0 });
            if !written.units.is_empty() {
                self.add_written(window, written, maxima)?;
            }
        }
        for (unit, silent) in silent.into_iter().enumerate().filter(|(_, silent)| *silent > 0) {
            self.histogram[unit * BUCKETS + bucket(0.0)] += silent;
            self.extremes[unit].min = self.extremes[unit].min.min(0.0);
        }
        let mut columns: Vec<Columns<'_>> = written
            .iter()
            .map(|written| Columns::of_some(&written.rows, written.units.len(), &written.places))
            .collect();
        self.record_excerpts(windows, &maxima, &mut columns, 0);
        Ok(())
    }

    /// The statistics of a window's active units; their maxima go to `maxima` `[unit]`.
    fn add_written(
        &mut self,
        window: &WindowPlace,
        written: &Written,
        maxima: &mut [f32],
    ) -> Result<(), u32> {
        let active = written.units.len();
        let mut statistics = WindowStatistics::new(active);
        let mut histogram = vec![0; active * BUCKETS];
        statistics.compute(&written.rows[window.ignored * active..], active, 0, &mut histogram);
        if !statistics.powers[1].iter().all(|sum| sum.is_finite()) {
            return Err(window.id);
        }
        self.sums.add_at(&written.units, &statistics.powers);
        for (place, unit) in written.units.iter().enumerate() {
            self.positive[*unit] += u64::from(statistics.positive[place]);
            self.extremes[*unit].min = self.extremes[*unit].min.min(statistics.min[place]);
            maxima[*unit] = statistics.max[place];
            let counts = self.histogram[unit * BUCKETS..][..BUCKETS].iter_mut();
            counts.zip(&histogram[place * BUCKETS..]).for_each(|(count, more)| *count += more);
        }
        Ok(())
    }
}
