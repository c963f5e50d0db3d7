//! Requests to the hub, and what its answers mean.

use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use super::{Repository, Result};

/// A connection to one hub.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    authorization: Option<String>,
}

/// The files of a revision.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

/// What is known of a file before it is downloaded.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) url: String,
    /// The name of the contents; a SHA-256 for large files.
    pub(super) etag: String,
    pub(super) size: u64,
}

/// A listing larger than this is not a model's.
const MAX_LISTING: u64 = 64 << 20;

impl Client {
    pub(super) fn new(endpoint: &str, token: Option<&str>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_mins(1)))
            .timeout_per_read(Some(Duration::from_mins(1)))
            .user_agent(concat!("glossator/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        let authorization = token.map(|token| format!("Bearer {token}"));
        Self { agent, endpoint: endpoint.trim_end_matches('/').to_owned(), authorization }
    }

    /// Lists the files of a revision.
    pub(super) fn list(&self, repository: &Repository) -> Result<Listing> {
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        // A branch may contain a slash, which would end the path segment.
        let revision = repository.revision.replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision}", self.endpoint, repository.name);
        let mut answer = self.get(&url, None)?;
        self.check(&answer, &format!("revision {}", repository.revision))?;
        let text = answer.body_mut().with_config().limit(MAX_LISTING).read_to_vec();
        let text = text.map_err(|error| format!("{url}: {error}"))?;
        let listing: Answer = serde_json::from_slice(&text)
            .map_err(|error| format!("{url} gave an unknown answer: {error}"))?;
        if listing.sha.is_empty() || !listing.sha.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("{url} gave no commit"));
        }
        let files = listing.siblings.into_iter().map(|sibling| sibling.rfilename);
        // A path that climbs would leave the cache.
        let files = files.filter(|file| !file.starts_with('/') && file.split('/').all(|part| part != ".."));
        Ok(Listing { commit: listing.sha, files: files.collect() })
    }

    /// Asks for a file's size and etag. Redirects within the hub are followed; the one to the storage is not, because
    /// only the hub's own answer names the contents.
    pub(super) fn inspect(&self, repository: &Repository, commit: &str, file: &str) -> Result<Remote> {
        let mut url = format!("{}/{}/resolve/{commit}/{file}", self.endpoint, repository.name);
        for _ in 0..5 {
            let mut request = self.agent.head(&url).config().max_redirects(0).build();
            if let Some(authorization) = &self.authorization {
                request = request.header("Authorization", authorization);
            }
            let answer =
                request.header("Accept-Encoding", "identity").call().map_err(|e| unreachable(&url, &e))?;
            let location = header(answer.headers(), "location").filter(|_| answer.status().is_redirection());
            match location {
                Some(path) if path.starts_with('/') => url = format!("{}{path}", self.endpoint),
                _ => {
                    if !answer.status().is_redirection() {
                        self.check(&answer, &format!("file {file}"))?;
                    }
                    return remote(url, file, answer.headers());
                }
            }
        }
        Err(format!("{file} is redirected without end"))
    }

    /// The contents of a file, from an offset on.
    pub(super) fn download(&self, remote: &Remote, offset: u64) -> Result<Response<Body>> {
        let answer = self.get(&remote.url, (offset > 0).then_some(offset))?;
        if answer.status() != 416 {
            self.check(&answer, "the file")?;
        }
        Ok(answer)
    }

    fn get(&self, url: &str, offset: Option<u64>) -> Result<Response<Body>> {
        let mut request = self.agent.get(url);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        if let Some(offset) = offset {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        request.call().map_err(|error| unreachable(url, &error))
    }

    /// Turns a refusal into a message that says what to do.
    fn check(&self, answer: &Response<Body>, what: &str) -> Result<()> {
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let code = header(answer.headers(), "x-error-code").unwrap_or_default();
        Err(match (status.as_u16(), code.as_str()) {
            (401 | 403, _) if self.authorization.is_none() => {
                "the hub answers that this may not be read without logging in: the name is wrong, or the repository is \
                 private or gated; then set HF_TOKEN to an access token of an account that may read it"
                    .into()
            }
            (401 | 403, _) => {
                "the hub refuses the access token in HF_TOKEN: it is not valid, or its account may not read this \
                 repository (gated models ask for their licence to be accepted on their page)"
                    .into()
            }
            (404, "RevisionNotFound") => format!("there is no {what}"),
            (404, _) => format!("not found on the hub: {what}"),
            _ => format!("the hub answers {status}"),
        })
    }
}

fn unreachable(url: &str, error: &ureq::Error) -> String {
    format!("{url} cannot be reached: {error}")
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn remote(url: String, file: &str, headers: &HeaderMap) -> Result<Remote> {
    let etag = header(headers, "x-linked-etag").or_else(|| header(headers, "etag"));
    let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
    let size = header(headers, "x-linked-size").or_else(|| header(headers, "content-length"));
    let size = size.and_then(|size| size.parse().ok());
    // The etag becomes a file name.
    let name =
        etag.filter(|etag| !etag.is_empty() && etag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    match (name, size) {
        (Some(etag), Some(size)) => Ok(Remote { url, etag, size }),
        _ => Err(format!("the hub gives no size or no etag for {file}")),
    }
}
