//! The HTTP API, the embedded page, and the static export of both.
//!
//! A [`Library`] turns an atlas into the JSON documents of `docs/reference/http-api.md`; [`serve`] answers
//! requests with them, and the static export writes them as files that the same page opens without a server.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod document;
mod error;
mod export;
mod guard;
mod library;
mod page;
mod random;
mod revision;
mod routes;
mod server;
mod unit;

pub use document::{AtlasDocument, ExplainerDocument, ListDocument, UnitEntry, UnitName};
pub use error::ServeError;
pub use export::{Export, ExportPlan, ExportSize, explained_units};
pub use library::{Library, UnitRequest};
pub use routes::router;
pub use server::{Address, serve};
