//! The HTTP API and the embedded page.
