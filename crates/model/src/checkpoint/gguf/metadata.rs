//! The key–value part of a GGUF file.

use std::collections::HashMap;

use super::cursor::{Cursor, Result};

/// A metadata value. Integers and floats of all widths are widened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Integer(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    Bools(Vec<bool>),
    Texts(Vec<String>),
}

/// All metadata of a file, by key.
pub(crate) type Metadata = HashMap<String, Value>;

/// Type numbers of the format.
mod kind {
    pub(super) const U8: u32 = 0;
    pub(super) const I8: u32 = 1;
    pub(super) const U16: u32 = 2;
    pub(super) const I16: u32 = 3;
    pub(super) const U32: u32 = 4;
    pub(super) const I32: u32 = 5;
    pub(super) const F32: u32 = 6;
    pub(super) const BOOL: u32 = 7;
    pub(super) const STRING: u32 = 8;
    pub(super) const ARRAY: u32 = 9;
    pub(super) const U64: u32 = 10;
    pub(super) const I64: u32 = 11;
    pub(super) const F64: u32 = 12;
}

/// Reads `count` key–value pairs.
pub(super) fn read(cursor: &mut Cursor<'_>, count: usize) -> Result<Metadata> {
    let mut metadata = Metadata::new();
    for _ in 0..count {
        let key = cursor.string("the length of a metadata key")?;
        let kind = cursor.u32("a metadata type")?;
        let value = value(cursor, kind, &key)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("metadata key `{key}` occurs twice"));
        }
    }
    Ok(metadata)
}

fn value(cursor: &mut Cursor<'_>, kind: u32, key: &str) -> Result<Value> {
    Ok(match kind {
        kind::STRING => Value::Text(cursor.string(key)?),
        kind::BOOL => Value::Bool(cursor.u8(key)? != 0),
        kind::F32 | kind::F64 => Value::Float(float(cursor, kind, key)?),
        kind::ARRAY => array(cursor, key)?,
        _ => Value::Integer(integer(cursor, kind, key)?),
    })
}

fn array(cursor: &mut Cursor<'_>, key: &str) -> Result<Value> {
    let kind = cursor.u32(key)?;
    let least = match kind {
        kind::STRING | kind::U64 | kind::I64 | kind::F64 => 8,
        kind::U32 | kind::I32 | kind::F32 => 4,
        kind::U16 | kind::I16 => 2,
        kind::U8 | kind::I8 | kind::BOOL => 1,
        kind::ARRAY => {
            return Err(format!("metadata `{key}` is an array of arrays, which no known model has"));
        }
        other => return Err(format!("metadata `{key}` has unknown type {other}")),
    };
    let length = cursor.count(least, &format!("the length of array `{key}`"))?;
    let items = 0..length;
    Ok(match kind {
        kind::STRING => Value::Texts(items.map(|_| cursor.string(key)).collect::<Result<_>>()?),
        kind::BOOL => Value::Bools(items.map(|_| Ok(cursor.u8(key)? != 0)).collect::<Result<_>>()?),
        kind::F32 | kind::F64 => {
            Value::Floats(items.map(|_| Ok(float(cursor, kind, key)? as f32)).collect::<Result<_>>()?)
        }
        _ => Value::Integers(items.map(|_| integer(cursor, kind, key)).collect::<Result<_>>()?),
    })
}

fn float(cursor: &mut Cursor<'_>, kind: u32, key: &str) -> Result<f64> {
    Ok(match kind {
        kind::F32 => f64::from(f32::from_bits(cursor.u32(key)?)),
        _ => f64::from_bits(cursor.u64(key)?),
    })
}

fn integer(cursor: &mut Cursor<'_>, kind: u32, key: &str) -> Result<i64> {
    Ok(match kind {
        kind::U8 => i64::from(cursor.u8(key)?),
        kind::I8 => i64::from(cursor.u8(key)? as i8),
        kind::U16 => i64::from(cursor.u16(key)?),
        kind::I16 => i64::from(cursor.u16(key)? as i16),
        kind::U32 => i64::from(cursor.u32(key)?),
        kind::I32 => i64::from(cursor.u32(key)? as i32),
        kind::I64 => cursor.u64(key)? as i64,
        kind::U64 => {
            i64::try_from(cursor.u64(key)?).map_err(|_| format!("metadata `{key}` is beyond 2⁶³"))?
        }
        other => return Err(format!("metadata `{key}` has unknown type {other}")),
    })
}
