//! The ledger read from end to end: for recordings and exports.

use serde::{Deserialize, Serialize};

use super::Ledger;
use crate::answer::Outcome;
use crate::error::{AtPath, LlmError};
use crate::request::Fingerprint;

/// One request and what came of it; in JSON one line of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The model.
    pub model: String,
    /// The request, as 64 hexadecimal digits.
    pub fingerprint: String,
    /// What came of it: `{"Ok": answer}` or `{"Err": failure}`.
    pub outcome: Outcome,
}

impl Ledger {
    /// Shows every kept outcome of the model, or of all, in the order of their fingerprints; stops at the first false.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn entries(&self, model: Option<&str>, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), LlmError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare(
                "SELECT fingerprint, model, answer FROM requests
                 WHERE state <> 'asked' AND (?1 IS NULL OR model = ?1) ORDER BY fingerprint",
            )
            .at(&self.path)?;
        let mut rows = statement.query([model]).at(&self.path)?;
        while let Some(row) = rows.next().at(&self.path)? {
            let fingerprint = Fingerprint(row.get(0).at(&self.path)?);
            let model = row.get(1).at(&self.path)?;
            let blob: Vec<u8> = row.get(2).at(&self.path)?;
            let outcome = self.decode(&fingerprint, &blob)?;
            if matches!(&outcome, Err(failure) if failure.kind.is_passing()) {
                continue;
            }
            if !each(Entry { model, fingerprint: fingerprint.to_string(), outcome }) {
                break;
            }
        }
        Ok(())
    }
}
