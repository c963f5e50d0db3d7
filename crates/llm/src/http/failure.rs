//! What an attempt that brought no answer means: whether to try again, to fail the request, or to stop the run.

use std::time::Duration;

use serde_json::Value;

use crate::answer::{Failure, FailureKind};

/// Longest piece of a server's complaint that is kept.
const MAX_MESSAGE: usize = 500;

/// An attempt without an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AttemptError {
    /// What to do about it.
    pub(crate) what: What,
    /// What becomes of the request, if nothing more is done.
    pub(crate) kind: FailureKind,
    /// What the server said, or what happened to the connection.
    pub(crate) message: String,
}

/// What to do about an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Try again: the provider has too much to do.
    Overloaded(Option<Duration>),
    /// Try again: the provider failed. It may have been paid if the request had gone out.
    Failed { retry_after: Option<Duration>, perhaps_paid: bool },
    /// This request will not be answered.
    Request,
    /// No request will be answered until something is mended.
    Run(&'static str),
}

impl AttemptError {
    /// An answer that is none.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self { what: What::Request, kind: FailureKind::Malformed, message: message.into() }
    }

    /// A request that this model cannot be asked.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self { what: What::Request, kind: FailureKind::Unsupported, message: message.into() }
    }

    pub(super) fn redirected(status: u16, to: &str) -> Self {
        Self {
            what: What::Run(
                "correct --base-url; the request was not sent on, because the key must not go elsewhere",
            ),
            kind: FailureKind::Rejected,
            message: format!("HTTP {status}: redirected to {}", shortened(to)),
        }
    }

    pub(crate) fn failure(&self) -> Failure {
        Failure::new(self.kind, self.message.clone())
    }
}

/// A connection that failed.
pub(super) fn of_transport(error: &ureq::Error) -> AttemptError {
    let (what, kind) = match error {
        ureq::Error::BodyExceedsLimit(_) => (What::Request, FailureKind::Malformed),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            (What::Run("correct --base-url, or the proxy in the environment"), FailureKind::Rejected)
        }
        error => {
            let perhaps_paid = !never_sent(error);
            (What::Failed { retry_after: None, perhaps_paid }, FailureKind::Unreachable)
        }
    };
    AttemptError { what, kind, message: error.to_string() }
}

/// Whether the request cannot have reached the provider.
fn never_sent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        ureq::Error::Timeout(timeout) => {
            matches!(timeout, ureq::Timeout::Resolve | ureq::Timeout::Connect)
        }
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

/// An answer with an HTTP status that is no success, or with an error in it.
pub(crate) fn of_status(status: u16, retry_after: Option<Duration>, body: &[u8]) -> AttemptError {
    let complaint = Complaint::read(body);
    let message = format!("HTTP {status}: {}", complaint.message);
    let (what, kind) = if complaint.is_credit() || status == 402 {
        (What::Run("the provider says that the credit is used up: top it up"), FailureKind::Rejected)
    } else if complaint.is_filter() {
        (What::Request, FailureKind::Refused)
    } else if complaint.is_length() || status == 413 {
        (What::Request, FailureKind::Truncated)
    } else {
        match status {
            401 | 403 => (
                What::Run(
                    "check the key in the environment variable that --api-key-env names, and what it may do",
                ),
                FailureKind::Rejected,
            ),
            404 | 405 => (What::Run("check --base-url and --llm-model"), FailureKind::Rejected),
            429 | 503 | 529 => (What::Overloaded(retry_after), FailureKind::Unreachable),
            408 | 409 | 425 | 500.. => {
                // The provider answered that it failed, so that it does not send a bill.
                (What::Failed { retry_after, perhaps_paid: false }, FailureKind::Unreachable)
            }
            200 => (What::Request, FailureKind::Malformed),
            _ => (What::Request, FailureKind::Rejected),
        }
    };
    AttemptError { what, kind, message }
}

/// What a server says of its refusal.
struct Complaint {
    message: String,
    /// Message, code and type, in small letters.
    words: String,
}

impl Complaint {
    fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        // OpenAI: {"error": {"message", "type", "code"}}; Ollama: {"error": "…"}; FastAPI: {"detail": …}.
        let error = json.get("error").or_else(|| json.get("detail")).unwrap_or(&json);
        let field = |name: &str| error[name].as_str().unwrap_or_default();
        let message = match (error, field("message")) {
            (Value::String(text), _) => text.as_str(),
            (_, "") => &text,
            (_, message) => message,
        };
        let words = format!("{message} {} {}", field("code"), field("type")).to_lowercase();
        Self { message: shortened(message), words }
    }

    fn says(&self, any: &[&str]) -> bool {
        any.iter().any(|word| self.words.contains(word))
    }

    fn is_credit(&self) -> bool {
        self.says(&[
            "insufficient_quota",
            "insufficient credit",
            "exceeded your current quota",
            "billing_hard_limit",
        ])
    }

    fn is_filter(&self) -> bool {
        self.says(&["content_filter", "content management policy", "content_policy"])
    }

    fn is_length(&self) -> bool {
        self.says(&[
            "context_length_exceeded",
            "maximum context length",
            "context window",
            "exceed context",
            "exceeds the available context size",
            "exceed_context_size",
            "too many tokens",
        ])
    }
}

/// On one line, and not too long.
fn shortened(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_become_what_they_mean() {
        let second = Some(Duration::from_secs(1));
        let failed = What::Failed { retry_after: second, perhaps_paid: false };
        let run = |what| matches!(what, What::Run(_));
        use FailureKind::{Refused, Rejected, Truncated, Unreachable};
        let of = |status, body: &str| {
            let error = of_status(status, second, body.as_bytes());
            (error.what, error.kind)
        };
        assert_eq!(
            of(429, r#"{"error": {"message": "slow down"}}"#),
            (What::Overloaded(second), Unreachable)
        );
        assert_eq!(of(500, "<html>"), (failed, Unreachable));
        assert_eq!(of(504, ""), (failed, Unreachable));
        let quota =
            r#"{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}"#;
        for (status, body) in
            [(429, quota), (402, ""), (401, ""), (404, r#"{"error": "model 'x' not found"}"#)]
        {
            let (what, kind) = of(status, body);
            assert!(run(what) && kind == Rejected, "{status}");
        }
        let long = r#"{"error": {"message": "This model's maximum context length is 8192 tokens."}}"#;
        assert_eq!(of(400, long), (What::Request, Truncated));
        let filter = r#"{"error": {"message": "no", "code": "content_filter"}}"#;
        assert_eq!(of(400, filter), (What::Request, Refused));
        assert_eq!(of(422, r#"{"detail": [{"msg": "x"}]}"#), (What::Request, Rejected));
    }

    #[test]
    fn a_complaint_is_kept_on_one_line_and_short() {
        let message = of_status(400, None, "a\r\n\u{1b}[31mb".repeat(1000).as_bytes()).message;
        assert!(message.chars().count() < 600 && !message.chars().any(char::is_control));
    }
}
