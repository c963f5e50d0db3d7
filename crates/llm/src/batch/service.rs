//! The calls of the Batch API: `/files` and `/batches`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{AttemptError, Endpoint, What};

/// A file of answers that is larger than this is none.
const MAX_FILE: u64 = 1 << 30;
/// Pages of a hundred batches that are looked through for one that was lost.
const PAGES: usize = 50;
/// Attempts at each call.
const ATTEMPTS: u32 = 6;

/// The Batch API of an endpoint.
pub(super) struct Service<'a>(&'a Endpoint);

/// How far a batch has come.
pub(super) enum Progress {
    UnderWay,
    /// The files with its outcomes, and what becomes of requests that are in none of them.
    Ended {
        files: Vec<String>,
        why: String,
    },
}

impl<'a> Service<'a> {
    pub(super) fn new(endpoint: &'a Endpoint) -> Self {
        Self(endpoint)
    }

    /// Uploads a file and creates a batch of it; returns the batch's id.
    pub(super) fn submit(&self, token: &str, path: &str, bytes: &[u8]) -> Result<String, AttemptError> {
        let form = form(token, bytes);
        let content_type = format!("multipart/form-data; boundary={token}");
        let file = steadily(|| self.0.upload("files", &content_type, &form))?;
        let batch = json!({
            "input_file_id": id(&file)?,
            "endpoint": format!("/v1/{path}"),
            "completion_window": "24h",
            "metadata": { "glossator": token },
        });
        let mut first = true;
        let created = steadily(|| {
            // A call whose answer was lost may have created it.
            if !std::mem::take(&mut first)
                && let Some(id) = self.find(token)?
            {
                return Ok(json!({ "id": id }));
            }
            self.0.post("batches", &batch)
        })?;
        id(&created)
    }

    /// Looks for a batch by the token in its metadata.
    pub(super) fn find(&self, token: &str) -> Result<Option<String>, AttemptError> {
        let mut after = String::new();
        for _ in 0..PAGES {
            let page = steadily(|| self.0.get(&format!("batches?limit=100{after}")))?;
            let batches =
                page["data"].as_array().ok_or_else(|| AttemptError::malformed("no list of batches"))?;
            if let Some(batch) = batches.iter().find(|batch| batch["metadata"]["glossator"] == token) {
                return id(batch).map(Some);
            }
            match batches.last() {
                Some(last) if page["has_more"] == true => after = format!("&after={}", id(last)?),
                _ => break,
            }
        }
        Ok(None)
    }

    pub(super) fn progress(&self, batch: &str) -> Result<Progress, AttemptError> {
        let answer = match steadily(|| self.0.get(&format!("batches/{batch}"))) {
            Err(error) if is_gone(&error) => {
                return Ok(Progress::Ended {
                    files: Vec::new(),
                    why: "the provider does not know the batch any more".into(),
                });
            }
            answer => answer?,
        };
        let status = answer["status"].as_str().unwrap_or_default();
        match status {
            "validating" | "in_progress" | "finalizing" | "cancelling" => Ok(Progress::UnderWay),
            "completed" | "failed" | "expired" | "cancelled" => {
                let file = |name: &str| answer[name].as_str().map(str::to_owned);
                let files = [file("output_file_id"), file("error_file_id")].into_iter().flatten().collect();
                let said = answer["errors"]["data"][0]["message"].as_str().unwrap_or("no answer came");
                Ok(Progress::Ended { files, why: format!("the batch is {status}: {said}") })
            }
            other => Err(AttemptError::malformed(format!("batch {batch} has the status `{other}`"))),
        }
    }

    pub(super) fn download(&self, file: &str) -> Result<Vec<u8>, AttemptError> {
        match steadily(|| self.0.download(&format!("files/{file}/content"), MAX_FILE)) {
            Err(error) if is_gone(&error) => Ok(Vec::new()),
            bytes => bytes,
        }
    }
}

/// The `id` of a file or a batch, which becomes part of an address.
fn id(value: &Value) -> Result<String, AttemptError> {
    let id = value["id"].as_str().unwrap_or_default();
    let safe = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if safe { Ok(id.to_owned()) } else { Err(AttemptError::malformed(format!("`{id}` is no id"))) }
}

fn is_gone(error: &AttemptError) -> bool {
    error.message.starts_with("HTTP 404") || error.message.starts_with("HTTP 410")
}

/// The body of an upload (RFC 7578). The token is no part of the file, whose hash it is.
fn form(token: &str, bytes: &[u8]) -> Vec<u8> {
    let mut form = format!(
        "--{token}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--{token}\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"requests.jsonl\"\r\n\
         Content-Type: application/jsonl\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(bytes);
    form.extend_from_slice(format!("\r\n--{token}--\r\n").as_bytes());
    form
}

/// A call, made again after failures that pass.
fn steadily<T>(mut call: impl FnMut() -> Result<T, AttemptError>) -> Result<T, AttemptError> {
    let mut pause = Duration::from_millis(250);
    for _ in 1..ATTEMPTS {
        match call() {
            Err(AttemptError {
                what: What::Overloaded(wait) | What::Failed { retry_after: wait, .. },
                ..
            }) => {
                std::thread::sleep(wait.unwrap_or(pause).min(Duration::from_mins(5)));
                pause *= 2;
            }
            answer => return answer,
        }
    }
    call()
}
