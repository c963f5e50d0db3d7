//! The page, built from `web/` and embedded in the program. Rust builds without it; then `/` says so.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Files;

/// The document that everything else hangs on.
pub(crate) const INDEX: &str = "index.html";

const MISSING: &str = "Glossator is running, but this build has no page.\n\
    Build it with `make page`, then build glossator again. The JSON API answers under /api/.\n";

/// A file of the page.
pub(crate) fn file(path: &str) -> Option<EmbeddedFile> {
    Files::get(path)
}

/// The names of all files of the page.
pub(crate) fn names() -> impl Iterator<Item = String> {
    Files::iter().map(std::borrow::Cow::into_owned)
}

/// Answers a request for a file of the page; `If-None-Match` with its checksum gets 304.
pub(crate) fn answer(path: &str, request: &HeaderMap) -> Response {
    let path = path.trim_start_matches('/');
    let path = if path.is_empty() { INDEX } else { path };
    let Some(file) = file(path) else {
        let message = if path == INDEX { MISSING } else { "There is no such file.\n" };
        return (StatusCode::NOT_FOUND, message).into_response();
    };
    let tag = tag(&file);
    let known = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, value);
    }
    // Names under assets/ carry a checksum, so what they name never changes.
    let caching =
        if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
    (headers, file.data.into_owned()).into_response()
}

fn tag(file: &EmbeddedFile) -> String {
    let sum = file.metadata.sha256_hash();
    let mut tag = String::from("\"");
    for byte in &sum[..12] {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
