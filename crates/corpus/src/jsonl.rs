//! JSONL: one JSON object a line; the text is the string in a named field.

use serde_json::{Map, Value};

use crate::decompress::ByteStream;
use crate::discover::SourceFile;
use crate::error::CorpusError;
use crate::passage;
use crate::plan::CorpusPlan;
use crate::reader::{Delivery, skip_byte_order_mark};
use crate::report::{BadLine, Findings, InvalidUtf8};

/// The longest line, bytes.
const LONGEST_LINE: u64 = 64 << 20;

/// Reads the texts of `file`; lines of white space are skipped.
pub(crate) fn read(
    file: &SourceFile,
    plan: &CorpusPlan,
    findings: &mut Findings,
    delivery: &mut Delivery<'_>,
) -> Result<(), CorpusError> {
    let mut stream = ByteStream::open(file)?;
    let mut bytes = Vec::new();
    skip_byte_order_mark(&mut stream, &mut bytes)?;
    let mut line = 0;
    loop {
        let start = stream.offset() - bytes.len() as u64;
        // The first bytes may already hold the end of the line.
        if !bytes.contains(&b'\n') {
            stream.read_line(&mut bytes, LONGEST_LINE + 1)?;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        line += 1;
        let end = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
        if bytes.len() as u64 > LONGEST_LINE {
            // Without its end the next line cannot be found, so that this one cannot be left out.
            let reason = format!("the line is longer than {LONGEST_LINE} bytes; is this JSONL?");
            return Err(CorpusError::BadLine { path: stream.path().to_owned(), line, reason });
        }
        let text = passage::decode(&bytes[..end], |at| {
            let offset = start + at as u64;
            findings.invalid_utf8(InvalidUtf8 { path: file.path.clone(), row: None, offset });
        });
        match text_of(&text, plan) {
            Ok(Some((text, label))) => {
                if delivery.labelled(&text, label.as_deref())?.is_break() {
                    return Ok(());
                }
            }
            Ok(None) => {}
            Err(reason) if plan.skip_bad_lines => {
                findings.bad_line(BadLine { path: file.path.clone(), line, reason });
            }
            Err(reason) => {
                let reason = format!("{reason}; --skip-bad-lines leaves such lines out");
                return Err(CorpusError::BadLine { path: file.path.clone(), line, reason });
            }
        }
        bytes.drain(..end);
    }
}

/// The text of a line and its label, `None` for an empty line, or what is wrong.
fn text_of(line: &str, plan: &CorpusPlan) -> Result<Option<(String, Option<String>)>, String> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let mut object: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| format!("not a JSON object: {}", without_line(&error)))?;
    let field = &plan.text_field;
    let label = plan.label_field.as_ref().and_then(|field| label_of(object.get(field)?));
    match object.remove(field) {
        Some(Value::String(text)) => Ok(Some((text, label))),
        Some(other) => Err(format!("the field `{field}` is {}, not a string", kind(&other))),
        None => {
            let names: Vec<&str> = object.keys().take(20).map(String::as_str).collect();
            Err(format!(
                "no field `{field}`; the fields are: {} (--text-field chooses one)",
                names.join(", ")
            ))
        }
    }
}

/// A label is a string, a number or a truth value; what is anything else has none.
fn label_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `serde_json` counts lines within what it is given, which is always line 1 here.
fn without_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line ") {
        Some((reason, _)) => format!("{reason} at column {}", error.column()),
        None => message,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
