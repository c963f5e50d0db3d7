//! Requests and their outcomes, one transaction each.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Ledger, now};
use crate::answer::{Outcome, Usage};
use crate::error::{AtPath, LlmError};
use crate::prices::Money;
use crate::request::Fingerprint;

/// From this many bytes on an answer is compressed.
const COMPRESSED: usize = 256;
/// No answer is larger; a ledger may come from a stranger.
const MAX_ANSWER: usize = 256 << 20;

impl Ledger {
    /// The outcomes that are kept: answers, and failures that asking again would not mend.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn outcomes(&self, fingerprints: &[Fingerprint]) -> Result<Vec<Option<Outcome>>, LlmError> {
        let connection = self.connection();
        fingerprints.iter().map(|fingerprint| self.kept(&connection, fingerprint)).collect()
    }

    fn kept(&self, connection: &Connection, fingerprint: &Fingerprint) -> Result<Option<Outcome>, LlmError> {
        let mut statement = connection
            .prepare_cached("SELECT answer FROM requests WHERE fingerprint = ?1 AND state <> 'asked'")
            .at(&self.path)?;
        let answer: Option<Vec<u8>> =
            statement.query_row([fingerprint.0], |row| row.get(0)).optional().at(&self.path)?;
        let outcome = answer.map(|blob| self.decode(fingerprint, &blob)).transpose()?;
        Ok(outcome.filter(|outcome| !matches!(outcome, Err(failure) if failure.kind.is_passing())))
    }

    /// Notes that a request is about to be sent.
    pub(crate) fn begin(&self, fingerprint: &Fingerprint, model: &str) -> Result<(), LlmError> {
        self.connection()
            .prepare_cached(
                "INSERT INTO requests (fingerprint, model, state, attempts, time) VALUES (?1, ?2, 'asked', 1, ?3)
                 ON CONFLICT (fingerprint) DO UPDATE
                 SET state = 'asked', failure = NULL, answer = NULL, attempts = attempts + 1, time = ?3",
            )
            .and_then(|mut statement| statement.execute(params![fingerprint.0, model, now()]))
            .at(&self.path)?;
        Ok(())
    }

    /// Keeps what came of a request. Tokens and money of earlier attempts that failed are added to.
    pub(crate) fn finish(
        &self,
        fingerprint: &Fingerprint,
        model: &str,
        outcome: &Outcome,
        cost: Option<Money>,
    ) -> Result<(), LlmError> {
        let (state, failure, usage) = match outcome {
            Ok(answer) => ("answered", None, answer.usage),
            Err(failure) => ("failed", Some(failure.kind.name()), failure.usage),
        };
        let Usage { prompt_tokens, cached_tokens, completion_tokens } = usage;
        self.connection()
            .prepare_cached(
                "INSERT INTO requests VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (fingerprint) DO UPDATE
                 SET state = ?3, failure = ?4, answer = ?5, prompt_tokens = prompt_tokens + ?6,
                     cached_tokens = cached_tokens + ?7, completion_tokens = completion_tokens + ?8,
                     cost = CASE WHEN cost IS NULL THEN ?9 ELSE cost + coalesce(?9, 0) END, time = ?10",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    fingerprint.0,
                    model,
                    state,
                    failure,
                    encode(outcome),
                    prompt_tokens as i64,
                    cached_tokens as i64,
                    completion_tokens as i64,
                    cost.map(Money::nanodollars),
                    now()
                ])
            })
            .at(&self.path)?;
        Ok(())
    }

    /// Reads an outcome back.
    pub(super) fn decode(&self, fingerprint: &Fingerprint, blob: &[u8]) -> Result<Outcome, LlmError> {
        let damaged = |message: String| LlmError::LedgerInvalid {
            path: self.path.clone(),
            message: format!("the answer of request {fingerprint} cannot be read: {message}"),
        };
        let unpacked;
        let json = if blob.first() == Some(&b'{') {
            blob
        } else {
            unpacked = zstd::bulk::decompress(blob, unpacked_size(blob).map_err(&damaged)?)
                .map_err(|error| damaged(error.to_string()))?;
            &unpacked
        };
        serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))
    }
}

fn encode(outcome: &Outcome) -> Vec<u8> {
    // Outcomes are plain data with texts as keys, which JSON can always hold; NaN becomes null, and is read as damage.
    let json = serde_json::to_vec(outcome).unwrap_or_default();
    if json.len() < COMPRESSED { json } else { zstd::bulk::compress(&json, 3).unwrap_or(json) }
}

fn unpacked_size(blob: &[u8]) -> Result<usize, String> {
    match zstd::zstd_safe::get_frame_content_size(blob) {
        Ok(Some(size)) if size <= MAX_ANSWER as u64 => Ok(size as usize),
        Ok(Some(size)) => Err(format!("{size} bytes are too many")),
        Ok(None) | Err(_) => Err("it is not compressed as it should be".to_owned()),
    }
}
