//! State dictionaries in the files of `torch.save`: a zip file of a pickle and the raw bytes of every storage.
//!
//! Format: `ROOT/data.pkl` describes the objects, `ROOT/data/KEY` holds storage KEY, `ROOT/byteorder` names the order
//! of bytes. Entries are stored, never compressed. The pickle is read by [`pickle`], which runs nothing.

mod machine;
mod pickle;
mod write;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use zip::{CompressionMethod, ZipArchive};

use super::files::{io_error, malformed};
use super::tensors::{Container, Element, Tensors};
use super::zip_file::{self, entry_name};
use crate::error::DictionaryError;
use pickle::{Object, Pickle, TensorView};

pub(super) use write::{Entry, Value, write};

/// Names, numbers and strings; a larger description is no state dictionary.
const LARGEST_PICKLE: u64 = 4 << 20;
/// The dictionaries inside a state dictionary that are opened.
const INNER: [&str; 2] = ["ae", "activation_state_dict"];

/// A state dictionary: tensors, and the plain values beside them.
pub(super) struct StateDictionary {
    /// The tensors.
    pub(super) tensors: Tensors,
    /// Numbers and strings by name; those of inner dictionaries as `outer.inner`.
    pub(super) plain: HashMap<String, Plain>,
}

/// A value that is not a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plain {
    Integer(i64),
    Float(f64),
    Text(String),
}

/// Opens a file whose outermost object is a dictionary of tensors and plain values.
pub(super) fn open(path: &Path) -> Result<StateDictionary, DictionaryError> {
    let mut archive = Archive::open(path)?;
    let description = archive.read_entry("data.pkl", LARGEST_PICKLE)?;
    let refuse = |message: String| malformed(path, &message);
    let pickle = Pickle::read(&description).map_err(refuse)?;
    let mut plain = HashMap::new();
    let root = pickle.root();
    let outer = pickle.entries(&root).ok_or_else(|| refuse("it holds no dictionary of tensors".into()))?;
    // Of a name that comes twice, the last counts: each inner dictionary is opened once.
    let outer: HashMap<&str, Object<'_>> = outer.collect();
    for (&name, object) in &outer {
        sort(&mut archive, &mut plain, name.to_owned(), object);
    }
    for (&name, object) in outer.iter().filter(|(name, _)| INNER.contains(name)) {
        for (inner, object) in pickle.entries(object).into_iter().flatten() {
            sort(&mut archive, &mut plain, format!("{name}.{inner}"), &object);
        }
    }
    archive.check()?;
    Ok(StateDictionary { tensors: Tensors::new(path, archive), plain })
}

fn sort(archive: &mut Archive, plain: &mut HashMap<String, Plain>, name: String, object: &Object<'_>) {
    let value = match object {
        Object::Tensor(view) => {
            archive.views.insert(name, TensorView::clone(view));
            return;
        }
        Object::Integer(value) => Plain::Integer(*value),
        Object::Float(value) => Plain::Float(*value),
        Object::Text(text) => Plain::Text((*text).to_owned()),
        Object::Other(_) => return,
    };
    plain.insert(name, value);
}

/// The zip file, and where each tensor lies in it.
struct Archive {
    path: PathBuf,
    root: String,
    zip: RefCell<ZipArchive<BufReader<File>>>,
    views: HashMap<String, TensorView>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, DictionaryError> {
        let mut file = File::open(path).map_err(|source| io_error(path, source))?;
        let mut magic = [0; 4];
        let read = file.read(&mut magic).and_then(|count| file.rewind().map(|()| count));
        if read.map_err(|source| io_error(path, source))? < 4 || magic != *b"PK\x03\x04" {
            let message = "not a zip file: files from before PyTorch 1.6 are not read; load it in PyTorch and save it again";
            return Err(malformed(path, message));
        }
        let mut zip = zip_file::open(path, file)?;
        let mut root = None;
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(|error| malformed(path, &error.to_string()))?;
            let name = entry_name(&entry, path)?;
            if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
                let message = format!("entry `{name}` is compressed or encrypted, which PyTorch never does");
                return Err(malformed(path, &message));
            }
            if let Some(found) = name.strip_suffix("data.pkl") {
                root = Some(found.to_owned());
            }
        }
        let root = root.ok_or_else(|| malformed(path, "a zip file without data.pkl is no PyTorch file"))?;
        Ok(Self { path: path.to_owned(), root, zip: RefCell::new(zip), views: HashMap::new() })
    }

    /// The size of an entry, if it is there.
    fn entry_size(&self, name: &str) -> Option<u64> {
        let mut zip = self.zip.borrow_mut();
        let index = zip.index_for_name(&format!("{}{name}", self.root))?;
        zip.by_index_raw(index).ok().map(|entry| entry.size())
    }

    fn read_entry(&self, name: &str, limit: u64) -> Result<Vec<u8>, DictionaryError> {
        let refuse = |message: String| malformed(&self.path, &format!("entry `{name}`: {message}"));
        let mut zip = self.zip.borrow_mut();
        let entry =
            zip.by_name(&format!("{}{name}", self.root)).map_err(|error| refuse(error.to_string()))?;
        let size = entry.size();
        if size > limit {
            return Err(refuse(format!("{size} bytes are too many")));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        entry.take(size).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
        if bytes.len() as u64 != size {
            return Err(refuse("truncated".into()));
        }
        Ok(bytes)
    }

    /// Refuses bytes in the wrong order, and tensors that reach outside their storage.
    fn check(&self) -> Result<(), DictionaryError> {
        if self.entry_size("byteorder").is_some() && self.read_entry("byteorder", 16)? != b"little" {
            return Err(malformed(&self.path, "its numbers are big-endian, which is not supported"));
        }
        for (name, view) in &self.views {
            let refuse = |message: &str| malformed(&self.path, &format!("tensor `{name}`: {message}"));
            let size = self
                .entry_size(&format!("data/{}", view.storage))
                .ok_or_else(|| refuse("its storage is missing"))?;
            let held = size / view.element.size() as u64;
            let needed = view.extent().ok_or_else(|| refuse("it is larger than any storage"))?;
            if needed > held {
                return Err(refuse(&format!("needs {needed} values of a storage that has {held}")));
            }
            // A view can repeat values without end; the packages never save one.
            if view.count() > held {
                return Err(refuse(&format!("has {} values, but its storage {held}", view.count())));
            }
        }
        Ok(())
    }
}

impl Container for Archive {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.views.get(name).map(|view| view.shape.clone())
    }

    fn values(&self, name: &str) -> Result<Vec<f32>, DictionaryError> {
        let Some(view) = self.views.get(name) else { return Ok(Vec::new()) };
        let bytes = self.read_entry(&format!("data/{}", view.storage), u64::MAX)?;
        Ok(view.gather(&view.element.decode(&bytes)))
    }
}

/// The storage classes of PyTorch that hold numbers.
fn storage_element(class: &str) -> Option<Element> {
    Some(match class {
        "DoubleStorage" => Element::F64,
        "FloatStorage" => Element::F32,
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::Bf16,
        "LongStorage" => Element::I64,
        "IntStorage" => Element::I32,
        "ShortStorage" => Element::I16,
        "ByteStorage" | "BoolStorage" => Element::U8,
        _ => return None,
    })
}
