//! The documents of a file, one after the other, whatever its format.

use std::ops::ControlFlow;

use crate::decompress::ByteStream;
use crate::discover::SourceFile;
use crate::error::CorpusError;
use crate::format::Format;
use crate::passage::{self, LONGEST};
use crate::plan::CorpusPlan;
use crate::report::{Findings, InvalidUtf8};
use crate::{jsonl, parquet};

/// A document as it is read.
#[derive(Clone, Copy)]
pub(crate) struct Document<'a> {
    /// Position among the documents of the file.
    pub(crate) ordinal: u32,
    pub(crate) text: &'a str,
    /// What kind of text it is, if the plan asks and the file says.
    pub(crate) label: Option<&'a str>,
}

/// Takes the documents in file order; `Break` when it wants no more of the file.
pub(crate) type OnDocument<'a> = dyn FnMut(Document<'_>) -> Result<ControlFlow<()>, CorpusError> + 'a;

/// Reads the documents of `file`; texts without any character are left out.
pub(crate) fn read(
    file: &SourceFile,
    plan: &CorpusPlan,
    on_document: &mut OnDocument<'_>,
) -> Result<Findings, CorpusError> {
    let mut delivery = Delivery { on_document, ordinal: 0 };
    let mut findings = Findings::default();
    match file.format {
        Format::Text => read_text(file, &mut findings, &mut delivery)?,
        Format::Jsonl => jsonl::read(file, plan, &mut findings, &mut delivery)?,
        Format::Parquet => parquet::read(file, &plan.text_field, &mut findings, &mut delivery)?,
    }
    Ok(findings)
}

/// Numbers the documents of a file.
pub(crate) struct Delivery<'a> {
    on_document: &'a mut OnDocument<'a>,
    ordinal: u32,
}

impl Delivery<'_> {
    /// Hands on a text, in passages if it is long.
    pub(crate) fn text(&mut self, text: &str) -> Result<ControlFlow<()>, CorpusError> {
        self.labelled(text, None)
    }

    /// As [`Delivery::text`], of a text that has a label.
    pub(crate) fn labelled(
        &mut self,
        text: &str,
        label: Option<&str>,
    ) -> Result<ControlFlow<()>, CorpusError> {
        for text in passage::passages(text) {
            let ordinal = self.ordinal;
            self.ordinal += 1;
            if (self.on_document)(Document { ordinal, text, label })?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn read_text(
    file: &SourceFile,
    findings: &mut Findings,
    delivery: &mut Delivery<'_>,
) -> Result<(), CorpusError> {
    let mut stream = ByteStream::open(file)?;
    let mut bytes = Vec::with_capacity(2 * LONGEST);
    let mut start = skip_byte_order_mark(&mut stream, &mut bytes)?;
    loop {
        let missing = (2 * LONGEST).saturating_sub(bytes.len());
        stream.read(&mut bytes, missing)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let end = if bytes.len() > LONGEST { passage::cut(&bytes) } else { bytes.len() };
        let text = passage::decode(&bytes[..end], |at| {
            let offset = start + at as u64;
            findings.invalid_utf8(InvalidUtf8 { path: file.path.clone(), row: None, offset });
        });
        if delivery.text(&text)?.is_break() {
            return Ok(());
        }
        start += end as u64;
        bytes.drain(..end);
    }
}

/// Leaves the first bytes of the file in `bytes`, without the mark that some editors put in front of UTF-8; says
/// how many bytes were left out.
pub(crate) fn skip_byte_order_mark(stream: &mut ByteStream, bytes: &mut Vec<u8>) -> Result<u64, CorpusError> {
    stream.read(bytes, 3)?;
    if bytes == b"\xef\xbb\xbf" {
        bytes.clear();
        return Ok(3);
    }
    Ok(0)
}
