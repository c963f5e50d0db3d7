//! What is known of the models that were asked: capabilities, and for endpoints what the probe found.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Ledger, now};
use crate::error::{AtPath, LlmError};
use crate::language_model::Capabilities;

impl Ledger {
    /// The names of the models that were asked.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn models(&self) -> Result<Vec<String>, LlmError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare("SELECT name FROM models UNION SELECT DISTINCT model FROM requests ORDER BY 1")
            .at(&self.path)?;
        statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).at(&self.path)
    }

    /// What a model offers, if it is known.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn capabilities(&self, model: &str) -> Result<Option<Capabilities>, LlmError> {
        self.read_model(model, "SELECT capabilities FROM models WHERE name = ?1")
    }

    /// What the probe of an endpoint found, if it was probed.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn probe<T: DeserializeOwned>(&self, model: &str) -> Result<Option<T>, LlmError> {
        self.read_model(model, "SELECT probe FROM models WHERE name = ?1 AND probe IS NOT NULL")
    }

    /// Keeps what a model offers, and what its probe found.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub fn put_model(
        &self,
        model: &str,
        capabilities: Capabilities,
        probe: Option<&impl Serialize>,
    ) -> Result<(), LlmError> {
        let text = |value: serde_json::Result<String>| value.unwrap_or_default();
        let probe = probe.map(|probe| text(serde_json::to_string(probe)));
        self.connection()
            .execute(
                "INSERT INTO models VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE
                 SET capabilities = ?2, probe = coalesce(?3, probe), time = ?4",
                params![model, text(serde_json::to_string(&capabilities)), probe, now()],
            )
            .at(&self.path)?;
        Ok(())
    }

    fn read_model<T: DeserializeOwned>(&self, model: &str, query: &str) -> Result<Option<T>, LlmError> {
        let connection = self.connection();
        let text: Option<String> =
            connection.query_row(query, [model], |row| row.get(0)).optional().at(&self.path)?;
        let read = |text: String| {
            serde_json::from_str(&text).map_err(|error| LlmError::LedgerInvalid {
                path: self.path.clone(),
                message: format!("what it says of {model} cannot be read: {error}"),
            })
        };
        text.map(read).transpose()
    }
}
