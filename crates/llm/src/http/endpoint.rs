//! The connection: base URL, key, time-outs. The key stays in here: it is never stored, printed or sent elsewhere.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::failure::{AttemptError, of_status, of_transport};
use crate::error::LlmError;
use crate::pacing::retry_after;

/// An answer that is longer than this is none.
const MAX_BODY: u64 = 64 << 20;

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For a whole answer, however slowly it comes.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), whole: Duration::from_mins(5) }
    }
}

/// One endpoint and the model at it.
pub struct Endpoint {
    agent: Agent,
    base: String,
    key: Option<String>,
    model: String,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("base", &self.base)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The model called `model` at `base`, such as `https://api.openai.com/v1`.
    ///
    /// # Errors
    /// If `base` is no HTTP address, holds a user name, a password or a query, or the key cannot stand in a header.
    pub fn new(base: &str, key: Option<String>, model: &str, timeouts: Timeouts) -> Result<Self, LlmError> {
        let base = check(base).map_err(|message| LlmError::Endpoint { message })?;
        let key = key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        if key.as_ref().is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            let message = "the key holds blanks or characters that are no ASCII: set it again".to_owned();
            return Err(LlmError::Endpoint { message });
        }
        // A redirect is an answer like others: the key must not go where nobody sent it.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(timeouts.connect))
            .timeout_global(Some(timeouts.whole))
            .max_idle_connections_per_host(64)
            .user_agent(concat!("glossator/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { agent, base, key, model: model.to_owned() })
    }

    /// The model, as the endpoint calls it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The base URL.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The name under which answers are kept: `HOST/MODEL`; the path of the base URL is part of it unless it is `/v1`.
    pub fn name(&self) -> String {
        let place = self.base.split_once("://").map_or(self.base.as_str(), |(_, place)| place);
        format!("{}/{}", place.strip_suffix("/v1").unwrap_or(place), self.model)
    }

    /// The models that the endpoint lists.
    pub(crate) fn models(&self) -> Result<Vec<String>, AttemptError> {
        let listing = self.get("models")?;
        let models =
            listing["data"].as_array().ok_or_else(|| AttemptError::malformed("no list of models"))?;
        Ok(models.iter().filter_map(|model| model["id"].as_str().map(str::to_owned)).collect())
    }

    /// The endpoint at `base` with the only model that it lists.
    ///
    /// # Errors
    /// As [`Self::new`], and if it does not list exactly one model.
    pub fn with_only_model(base: &str, key: Option<String>, timeouts: Timeouts) -> Result<Self, LlmError> {
        let mut endpoint = Self::new(base, key, "", timeouts)?;
        let url = endpoint.base.clone();
        let models = endpoint.models().map_err(|error| LlmError::Probe {
            url: url.clone(),
            message: format!("its models cannot be listed ({}); name one with --llm-model", error.message),
        })?;
        match <[String; 1]>::try_from(models) {
            Ok([only]) => endpoint.model = only,
            Err(models) => {
                let shown: Vec<&str> = models.iter().take(20).map(String::as_str).collect();
                let message = format!("name one of its models with --llm-model: {}", shown.join(", "));
                return Err(LlmError::Probe { url, message });
            }
        }
        Ok(endpoint)
    }

    /// Sends JSON, and reads JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, AttemptError> {
        let mut request = self.agent.post(self.url(path)).header("Content-Type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let text = body.to_string();
        self.json(request.send(text.as_bytes()))
    }

    /// Sends a form with a file.
    pub(crate) fn upload(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Value, AttemptError> {
        let mut request = self.agent.post(self.url(path)).header("Content-Type", content_type);
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        self.json(request.send(body))
    }

    /// Reads JSON.
    pub(crate) fn get(&self, path: &str) -> Result<Value, AttemptError> {
        let bytes = self.download(path, MAX_BODY)?;
        serde_json::from_slice(&bytes).map_err(|error| AttemptError::malformed(format!("no JSON: {error}")))
    }

    /// Reads a file of at most `limit` bytes.
    pub(crate) fn download(&self, path: &str, limit: u64) -> Result<Vec<u8>, AttemptError> {
        let mut request = self.agent.get(self.url(path));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        self.read(request.call(), limit)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    fn json(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Value, AttemptError> {
        let bytes = self.read(answer, MAX_BODY)?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| AttemptError::malformed(format!("the answer is no JSON: {error}")))?;
        // Some gateways say 200 and put what went wrong into the answer.
        match value.get("error").filter(|error| !error.is_null()) {
            Some(error) => {
                let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(200);
                Err(self.without_key(of_status(status, None, &bytes)))
            }
            None => Ok(value),
        }
    }

    fn read(&self, answer: Result<Response<Body>, ureq::Error>, limit: u64) -> Result<Vec<u8>, AttemptError> {
        let mut answer = answer.map_err(|error| of_transport(&error))?;
        let status = answer.status();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = header("retry-after-ms")
            .and_then(|value| value.parse().ok().map(Duration::from_millis))
            .or_else(|| header("retry-after").and_then(|value| retry_after(value, SystemTime::now())));
        let location = header("location").map(str::to_owned);
        let limit = if status.is_success() { limit } else { 1 << 20 };
        let bytes = answer.body_mut().with_config().limit(limit).read_to_vec();
        if status.is_redirection() {
            let to = location.unwrap_or_default();
            return Err(self.without_key(AttemptError::redirected(status.as_u16(), &to)));
        }
        if !status.is_success() {
            // What is said about a refusal is a help, but the refusal stands without it.
            return Err(self.without_key(of_status(status.as_u16(), wait, &bytes.unwrap_or_default())));
        }
        bytes.map_err(|error| of_transport(&error))
    }

    /// Servers quote keys in their complaints.
    fn without_key(&self, mut error: AttemptError) -> AttemptError {
        if let Some(key) = &self.key {
            error.message = error.message.replace(key.as_str(), "[key]");
        }
        error
    }
}

/// The base URL without a slash at its end.
fn check(base: &str) -> Result<String, String> {
    let place = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
    let Some(place) = place.filter(|place| !place.is_empty() && !place.starts_with('/')) else {
        return Err(format!("`{base}` is no base URL, such as http://127.0.0.1:8080/v1"));
    };
    if place.contains('@') {
        return Err("the base URL holds a user name or a password: put the key into an environment variable and name \
                    it with --api-key-env"
            .to_owned());
    }
    if place.contains(['?', '#']) || place.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("the base URL `{base}` must end with a path, such as /v1"));
    }
    let base = base.trim_end_matches('/');
    for end in ["/chat/completions", "/completions"] {
        if let Some(short) = base.strip_suffix(end) {
            return Err(format!("the base URL ends before `{end}`: {short}"));
        }
    }
    Ok(base.to_owned())
}
