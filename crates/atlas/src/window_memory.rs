//! Windows that were looked up lately: units share them, the random ones all of a hook point's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::AtlasError;
use crate::tables::windows::WindowRow;

/// Most tokens that are kept: 16 MB of them.
const TOKENS: usize = 4 << 20;

/// Windows by number, for several threads.
#[derive(Default)]
pub(crate) struct WindowMemory {
    known: Mutex<HashMap<u32, Arc<WindowRow>>>,
}

impl WindowMemory {
    /// The windows of these numbers, in the order asked for; those that are not known come from `read`.
    pub(crate) fn get(
        &self,
        numbers: &[u32],
        read: impl FnOnce(&[u32]) -> Result<Vec<WindowRow>, AtlasError>,
    ) -> Result<Vec<Arc<WindowRow>>, AtlasError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: HashMap<u32, Arc<WindowRow>> = {
            let known = known();
            numbers.iter().filter_map(|number| Some((*number, known.get(number)?.clone()))).collect()
        };
        let mut missing: Vec<u32> =
            numbers.iter().copied().filter(|number| !found.contains_key(number)).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let read: Vec<Arc<WindowRow>> = read(&missing)?.into_iter().map(Arc::new).collect();
            let context = read.first().map_or(1, |window| window.tokens.len().max(1));
            let mut known = known();
            if (known.len() + read.len()) * context > TOKENS {
                known.clear();
            }
            for window in read {
                known.insert(window.window, window.clone());
                found.insert(window.window, window);
            }
        }
        Ok(numbers.iter().filter_map(|number| found.get(number).cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(numbers: &[u32]) -> Vec<WindowRow> {
        let row = |number: &u32| WindowRow {
            window: *number,
            document: String::new(),
            offset: 0,
            tokens: vec![*number; 1 << 20],
        };
        numbers.iter().map(row).collect()
    }

    #[test]
    fn windows_are_read_once_and_come_in_order() {
        let memory = WindowMemory::default();
        let ask = |numbers: &[u32]| {
            let mut asked = Vec::new();
            let found = memory.get(numbers, |missing| {
                asked = missing.to_vec();
                Ok(rows(missing))
            });
            let found: Vec<u32> = found.unwrap().iter().map(|window| window.window).collect();
            (found, asked)
        };
        assert_eq!(ask(&[7, 3, 7]), (vec![7, 3, 7], vec![3, 7]));
        assert_eq!(ask(&[3, 5]), (vec![3, 5], vec![5]));
        assert_eq!(ask(&[3, 5, 7]), (vec![3, 5, 7], vec![]));
        // A fifth million of tokens is too much: what was known goes, what is asked for is there.
        assert_eq!(ask(&[8, 9, 3]), (vec![8, 9, 3], vec![8, 9]));
        assert_eq!(ask(&[5, 8]), (vec![5, 8], vec![5]));
    }
}
