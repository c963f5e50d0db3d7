//! Reading the fields of a configuration, with errors that name the file and the field.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::ModelError;

/// One JSON object of a configuration file.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    path: PathBuf,
    map: Map<String, Value>,
}

impl Fields {
    /// Reads a JSON file whose top level must be an object.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read(path).map_err(|source| ModelError::Io { path: path.to_owned(), source })?;
        match serde_json::from_slice(&text) {
            Ok(Value::Object(map)) => Ok(Self { path: path.to_owned(), map }),
            Ok(_) => Err(Self::malformed(path, "the top level is not a JSON object")),
            Err(error) => Err(Self::malformed(path, &format!("not valid JSON: {error}"))),
        }
    }

    /// The fields of an object that is already read; `path` is named in errors.
    pub(crate) fn new(path: &Path, map: Map<String, Value>) -> Self {
        Self { path: path.to_owned(), map }
    }

    fn malformed(path: &Path, message: &str) -> ModelError {
        ModelError::Format { path: path.to_owned(), message: message.to_owned() }
    }

    /// The object itself.
    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.map)
    }

    /// The file that the fields come from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of a field; `null` counts as absent.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// Whether the field is written at all, be it as `null`.
    pub(crate) fn mentions(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// An object inside this one.
    pub(crate) fn object(&self, field: &str) -> Result<Option<Self>, ModelError> {
        self.typed(field, "an object", |value| value.as_object().cloned())
            .map(|map| map.map(|map| Self { path: self.path.clone(), map }))
    }

    /// A whole number ≥ 0.
    pub(crate) fn size(&self, field: &str) -> Result<Option<usize>, ModelError> {
        self.typed(field, "a whole number", |value| {
            let whole = |number: f64| {
                (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
            };
            value
                .as_u64()
                .or_else(|| value.as_f64().and_then(whole))
                .and_then(|number| usize::try_from(number).ok())
        })
    }

    /// A whole number that the model cannot do without.
    pub(crate) fn required_size(&self, field: &str) -> Result<usize, ModelError> {
        self.size(field)?.ok_or_else(|| self.error(field, "is missing"))
    }

    /// A finite number.
    pub(crate) fn number(&self, field: &str) -> Result<Option<f32>, ModelError> {
        self.typed(field, "a finite number", |value| value.as_f64().filter(|number| number.is_finite()))
            .map(|number| number.map(|number| number as f32))
    }

    /// True or false.
    pub(crate) fn flag(&self, field: &str) -> Result<Option<bool>, ModelError> {
        self.typed(field, "true or false", Value::as_bool)
    }

    /// A text.
    pub(crate) fn text(&self, field: &str) -> Result<Option<&str>, ModelError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.error(field, &format!("expected a text, found {}", brief(other)))),
        }
    }

    /// An error about a field of this file.
    pub(crate) fn error(&self, field: &str, message: &str) -> ModelError {
        ModelError::Config { path: self.path.clone(), field: field.to_owned(), message: message.to_owned() }
    }

    fn typed<T>(
        &self,
        field: &str,
        kind: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.error(field, &format!("expected {kind}, found {}", brief(value)))),
        }
    }
}

/// A value short enough for an error message.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(57).collect::<String>() + "…" }
}
