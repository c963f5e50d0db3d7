//! Everything that can go wrong while serving or exporting an atlas.

use std::net::SocketAddr;
use std::path::PathBuf;

use glossator_atlas::AtlasError;

/// An error while serving or exporting an atlas.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The atlas could not be read.
    #[error(transparent)]
    Atlas(#[from] AtlasError),
    /// Another program has the port.
    #[error(
        "{address} is in use: another program listens there (choose another port with `--port`, 0 takes any)"
    )]
    InUse {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// The connection or the thread behind it broke.
    #[error("the server stopped: {0}")]
    Stopped(String),
    /// The program was built without the page.
    #[error("this build has no page: run `make page`, then build glossator again")]
    NoPage,
    /// A document could not be written as JSON.
    #[error("cannot write {what} as JSON: {source}")]
    Json {
        /// The document.
        what: String,
        /// The reason.
        source: serde_json::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The target of an export holds something that is not an export.
    #[error("{path} is not empty and not an export of Glossator: choose another directory")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// The units asked for are none.
    #[error("no unit to export: none has an explanation yet (`--all` exports every unit)")]
    NothingToExport,
}

impl ServeError {
    pub(crate) fn json(what: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        let what = what.into();
        move |source| Self::Json { what, source }
    }
}
