//! The files of the Batch API: one request, or one answer, a line. `custom_id` is the request's fingerprint.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::answer::{Failure, FailureKind, Outcome};
use crate::http::{Dialect, of_status, parse};
use crate::request::{Fingerprint, Request};

/// What the Batch API allows in one file is 50,000 requests and 200 MB.
const MOST_REQUESTS: usize = 50_000;
const MOST_BYTES: usize = 100 << 20;

/// A file of requests.
pub(super) struct Input {
    pub(super) path: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) requests: Vec<Fingerprint>,
}

/// The answers of a batch, as they stand in its files.
pub(super) type Results = HashMap<Fingerprint, Value>;

impl Input {
    /// Adds a request to the last of `files`, or to a new one.
    pub(super) fn add(files: &mut Vec<Self>, print: Fingerprint, path: &'static str, body: &Value) {
        let line = json!({
            "custom_id": print.to_string(), "method": "POST", "url": format!("/v1/{path}"), "body": body,
        });
        let line = format!("{line}\n");
        let full =
            |file: &Self| file.requests.len() == MOST_REQUESTS || file.bytes.len() + line.len() > MOST_BYTES;
        if files.last().is_none_or(full) {
            files.push(Self { path, bytes: Vec::new(), requests: Vec::new() });
        }
        if let Some(file) = files.last_mut() {
            file.bytes.extend_from_slice(line.as_bytes());
            file.requests.push(print);
        }
    }

    /// A name that no other batch has, the same requests at another time included.
    pub(super) fn token(&self) -> String {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut hash = Sha256::new();
        hash.update(time.to_le_bytes());
        hash.update(&self.bytes);
        Fingerprint(hash.finalize().into()).to_string()
    }
}

/// Reads a file of answers. Lines that are none are left out: their requests count as not answered.
pub(super) fn read(bytes: &[u8], results: &mut Results) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(value) = serde_json::from_slice::<Value>(line) else { continue };
        if let Some(print) = value["custom_id"].as_str().and_then(Fingerprint::parse) {
            results.insert(print, value);
        }
    }
}

/// What a line says of its request; without one, `why` says what happened.
pub(super) fn outcome(result: Option<Value>, why: &str, request: &Request, dialect: Dialect) -> Outcome {
    let Some(result) = result else { return Err(Failure::new(FailureKind::Unreachable, why)) };
    if let Some(error) = result.get("error").filter(|error| !error.is_null()) {
        let message = error["message"].as_str().unwrap_or("an error without words");
        return Err(Failure::new(FailureKind::Unreachable, format!("the batch says: {message}")));
    }
    let response = &result["response"];
    let status = response["status_code"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
    if status != 200 {
        return Err(of_status(status, None, response["body"].to_string().as_bytes()).failure());
    }
    parse(request, dialect, &response["body"]).map_err(|(error, usage)| Failure { usage, ..error.failure() })
}
