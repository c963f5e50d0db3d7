//! What was sent to a Batch API and has not been collected.
//!
//! A batch is noted before it is sent, under a token that goes along with it, so that one that was created by a process
//! that was killed before it could note the provider's id is found again instead of being created, and paid, twice.

use rusqlite::params;

use super::{Ledger, now};
use crate::error::{AtPath, LlmError};
use crate::request::Fingerprint;

/// A batch that is under way.
#[derive(Clone, Debug)]
pub(crate) struct BatchRow {
    /// Ours: the hash of the file that was sent.
    pub(crate) token: String,
    /// The provider's, once it is known.
    pub(crate) id: Option<String>,
    /// Its requests.
    pub(crate) requests: Vec<Fingerprint>,
}

impl Ledger {
    /// Notes a batch that is about to be sent.
    pub(crate) fn note_batch(
        &self,
        token: &str,
        endpoint: &str,
        requests: &[Fingerprint],
    ) -> Result<(), LlmError> {
        let mut connection = self.connection();
        let transaction = connection.transaction().at(&self.path)?;
        transaction
            .execute(
                "INSERT OR REPLACE INTO batches (token, endpoint, state, time) VALUES (?1, ?2, 'submitting', ?3)",
                params![token, endpoint, now()],
            )
            .at(&self.path)?;
        let mut insert = transaction
            .prepare("INSERT OR REPLACE INTO batch_requests (token, fingerprint) VALUES (?1, ?2)")
            .at(&self.path)?;
        for fingerprint in requests {
            insert.execute(params![token, fingerprint.0]).at(&self.path)?;
        }
        drop(insert);
        transaction.commit().at(&self.path)
    }

    /// Notes the provider's id of a batch.
    pub(crate) fn name_batch(&self, token: &str, id: &str) -> Result<(), LlmError> {
        self.connection()
            .execute(
                "UPDATE batches SET id = ?2, state = 'submitted', time = ?3 WHERE token = ?1",
                params![token, id, now()],
            )
            .at(&self.path)?;
        Ok(())
    }

    /// Notes that these requests of a batch have their outcomes; a batch without others is collected.
    pub(crate) fn leave_batch(&self, token: &str, requests: &[Fingerprint]) -> Result<(), LlmError> {
        let mut connection = self.connection();
        let transaction = connection.transaction().at(&self.path)?;
        for fingerprint in requests {
            transaction
                .execute(
                    "DELETE FROM batch_requests WHERE token = ?1 AND fingerprint = ?2",
                    params![token, fingerprint.0],
                )
                .at(&self.path)?;
        }
        transaction
            .execute(
                "UPDATE batches SET state = 'collected', time = ?2 WHERE token = ?1
                 AND NOT EXISTS (SELECT 1 FROM batch_requests WHERE token = ?1)",
                params![token, now()],
            )
            .at(&self.path)?;
        transaction.commit().at(&self.path)
    }

    /// The batches of an endpoint that are not collected, in the order of their tokens.
    pub(crate) fn open_batches(&self, endpoint: &str) -> Result<Vec<BatchRow>, LlmError> {
        let connection = self.connection();
        let mut batches = connection
            .prepare(
                "SELECT token, id FROM batches WHERE endpoint = ?1 AND state <> 'collected' ORDER BY token",
            )
            .at(&self.path)?;
        let rows: Vec<(String, Option<String>)> = batches
            .query_map([endpoint], |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .at(&self.path)?;
        let mut requests = connection
            .prepare("SELECT fingerprint FROM batch_requests WHERE token = ?1 ORDER BY fingerprint")
            .at(&self.path)?;
        rows.into_iter()
            .map(|(token, id)| {
                let of_batch = requests
                    .query_map([&token], |row| row.get(0).map(Fingerprint))
                    .and_then(Iterator::collect)
                    .at(&self.path)?;
                Ok(BatchRow { token, id, requests: of_batch })
            })
            .collect()
    }
}
