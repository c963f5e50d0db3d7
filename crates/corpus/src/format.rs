//! Format and compression of a file, from its name: `.txt`, `.jsonl`, `.parquet`, each also `.gz` or `.zst`.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// How documents lie in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One document; a long one is read as several passages.
    #[default]
    Text,
    /// One JSON object a line, the text in a named field.
    Jsonl,
    /// A table, the text in a named column.
    Parquet,
}

/// How the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Standard input has no name; the first bytes tell.
    pub(crate) fn of_bytes(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Compression and format that the name of `path` says; the format is `None` where the extension is not one of ours.
pub(crate) fn of_name(path: &Path) -> (Compression, Option<Format>) {
    let extension = |path: &Path| path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let compression = match extension(path).as_deref() {
        Some("gz") => Compression::Gzip,
        Some("zst") => Compression::Zstd,
        _ => Compression::None,
    };
    let inner = match compression {
        Compression::None => path.to_owned(),
        Compression::Gzip | Compression::Zstd => path.with_extension(""),
    };
    let format = match extension(&inner).as_deref() {
        Some("txt" | "md") => Some(Format::Text),
        Some("jsonl" | "ndjson") => Some(Format::Jsonl),
        Some("parquet") => Some(Format::Parquet),
        _ => None,
    };
    (compression, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_format_and_compression() {
        for (name, compression, format) in [
            ("a.txt", Compression::None, Some(Format::Text)),
            ("a.JSONL.GZ", Compression::Gzip, Some(Format::Jsonl)),
            ("a.b.parquet.zst", Compression::Zstd, Some(Format::Parquet)),
            ("README", Compression::None, None),
            ("a.py.gz", Compression::Gzip, None),
        ] {
            assert_eq!(of_name(Path::new(name)), (compression, format), "{name}");
        }
    }
}
