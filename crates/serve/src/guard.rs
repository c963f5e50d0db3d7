//! What every answer carries, and which requests are refused.
//!
//! The page shows text that others wrote, so nothing may run but its own files: the content-security policy allows
//! scripts, styles and fonts from this server only, no inline script or style, and no string may become markup
//! (Trusted Types). A server on the loopback interface answers only to loopback names, so that a foreign web page
//! whose name resolves to 127.0.0.1 (DNS rebinding) cannot read the atlas.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The policy of served pages.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Which host names a server answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// `localhost`, `127.0.0.1` and `[::1]`, with any port (ports may be forwarded).
    Loopback,
    /// Any: the operator chose to listen on an outside address.
    Any,
}

/// Adds the headers, and the time that the server took.
pub(crate) async fn stamp(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let timing = format!("total;dur={:.2}", started.elapsed().as_secs_f64() * 1e3);
    if let Ok(value) = HeaderValue::from_str(&timing) {
        headers.insert(HeaderName::from_static("server-timing"), value);
    }
    response
}

/// Refuses requests under a foreign host name.
pub(crate) async fn check_host(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    if hosts == Hosts::Any || host.is_some_and(is_loopback_name) {
        return next.run(request).await;
    }
    let message = "This server answers only as localhost, 127.0.0.1 or [::1].\n";
    (StatusCode::MISDIRECTED_REQUEST, message).into_response()
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::is_loopback_name;

    #[test]
    fn only_loopback_names_pass() {
        for host in ["localhost", "LocalHost:7170", "127.0.0.1:7170", "127.0.0.1", "[::1]", "[::1]:80"] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in
            ["", "example.org", "localhost.example.org:7170", "127.0.0.1.nip.io", "localhost:", "[::2]:1"]
        {
            assert!(!is_loopback_name(host), "{host}");
        }
    }
}
