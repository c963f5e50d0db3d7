//! What a pickle of a state dictionary describes: dictionaries, tensors, numbers and strings.

use super::machine::{Machine, Value};
use crate::formats::tensors::Element;

/// A pickle that has been read; objects lie in one list, so that neither depth nor cycles matter.
pub(super) struct Pickle<'p> {
    machine: Machine<'p>,
    root: Value<'p>,
}

/// A tensor as a view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorView {
    /// The storage's key: digits.
    pub(super) storage: u64,
    pub(super) element: Element,
    /// The first value.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// Values between neighbours along each axis.
    pub(super) strides: Vec<usize>,
}

/// One object, as far as it matters.
pub(super) enum Object<'a> {
    Tensor(&'a TensorView),
    Integer(i64),
    Float(f64),
    Text(&'a str),
    Other(Value<'a>),
}

impl<'p> Pickle<'p> {
    /// Reads a pickle, running nothing: an instruction or a global that no state dictionary needs is an error that
    /// names it.
    pub(super) fn read(bytes: &'p [u8]) -> Result<Self, String> {
        let mut machine = Machine::new(bytes);
        let root = machine.run()?;
        Ok(Self { machine, root })
    }

    /// The outermost object.
    pub(super) fn root(&self) -> Object<'_> {
        self.object(self.root)
    }

    /// Entries of a dictionary whose keys are strings, in order; none if it is not a dictionary.
    pub(super) fn entries(&self, object: &Object<'_>) -> Option<impl Iterator<Item = (&str, Object<'_>)>> {
        let Object::Other(Value::Dictionary(index)) = object else { return None };
        let pairs = self.machine.pairs(*index).chunks_exact(2);
        Some(pairs.filter_map(|pair| match pair[0] {
            Value::Text(key) => Some((key, self.object(pair[1]))),
            _ => None,
        }))
    }

    fn object<'a>(&'a self, value: Value<'a>) -> Object<'a> {
        match value {
            Value::Tensor(index) => Object::Tensor(self.machine.tensor(index)),
            Value::Integer(number) => Object::Integer(number),
            Value::Float(number) => Object::Float(number),
            Value::Text(text) => Object::Text(text),
            other => Object::Other(other),
        }
    }
}

impl TensorView {
    /// Number of values; `u64::MAX` if there are more.
    pub(super) fn count(&self) -> u64 {
        self.shape.iter().fold(1, |count: u64, &axis| count.saturating_mul(axis as u64))
    }

    /// How many values the storage must have for this view; none if no storage is that large.
    pub(super) fn extent(&self) -> Option<u64> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let mut last = self.offset as u64;
        for (&axis, &stride) in self.shape.iter().zip(&self.strides) {
            last = last.checked_add((axis as u64 - 1).checked_mul(stride as u64)?)?;
        }
        last.checked_add(1)
    }

    /// The values of this view of a storage, row-major.
    pub(super) fn gather(&self, storage: &[f32]) -> Vec<f32> {
        let count = self.count() as usize;
        let mut out = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let at = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum::<usize>();
            out.push(storage[self.offset + at]);
            for (i, &axis) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < axis {
                    break;
                }
                *i = 0;
            }
        }
        out
    }
}
