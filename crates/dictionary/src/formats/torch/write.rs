//! Writing a dictionary of tensors, numbers and strings as `torch.save` does.

use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::error::DictionaryError;
use crate::formats::files::{malformed, write_file};
use crate::formats::tensors::{Named, bytes_of};

/// One entry of the dictionary.
pub(in crate::formats) enum Entry {
    /// A tensor in f32.
    Floats(Named),
    /// A tensor of whole numbers: 32 bits, or 64.
    Integers { name: &'static str, shape: Vec<usize>, values: Vec<i64>, wide: bool },
    /// A string.
    Text(&'static str, String),
    /// A dictionary of whole numbers and strings.
    Dictionary(&'static str, Vec<(&'static str, Value)>),
}

/// A value in an inner dictionary.
pub(in crate::formats) enum Value {
    Integer(i64),
    Text(String),
}

/// Writes the file.
pub(in crate::formats) fn write(path: &Path, entries: &[Entry]) -> Result<(), DictionaryError> {
    let mut pickler = Pickler::default();
    pickler.dictionary(entries);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, bytes: &[u8]| {
        // PyTorch maps storages that begin at multiples of 64.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(bytes.len() as u64 > u64::from(u32::MAX))
            .with_alignment(64);
        let written = zip.start_file(format!("archive/{name}"), options).map_err(|error| error.to_string());
        written.and_then(|()| zip.write_all(bytes).map_err(|error| error.to_string()))
    };
    let mut all = || {
        add("data.pkl", &pickler.pickle)?;
        add("byteorder", b"little")?;
        for (key, storage) in pickler.storages.iter().enumerate() {
            add(&format!("data/{key}"), storage)?;
        }
        add("version", b"3\n")
    };
    all().map_err(|message| malformed(path, &message))?;
    let bytes = zip.finish().map_err(|error| malformed(path, &error.to_string()))?;
    write_file(path, bytes.get_ref())
}

/// A pickle of protocol 2 without a memo, and the storages it refers to.
#[derive(Default)]
struct Pickler {
    pickle: Vec<u8>,
    storages: Vec<Vec<u8>>,
}

impl Pickler {
    fn dictionary(&mut self, entries: &[Entry]) {
        self.pickle.extend(b"\x80\x02}(");
        for entry in entries {
            match entry {
                Entry::Floats(tensor) => {
                    self.text(tensor.name);
                    self.tensor("FloatStorage", bytes_of(&tensor.values), tensor.values.len(), &tensor.shape);
                }
                Entry::Integers { name, shape, values, wide } => {
                    self.text(name);
                    let (class, bytes): (_, Vec<u8>) = if *wide {
                        ("LongStorage", values.iter().flat_map(|value| value.to_le_bytes()).collect())
                    } else {
                        (
                            "IntStorage",
                            values.iter().flat_map(|value| (*value as i32).to_le_bytes()).collect(),
                        )
                    };
                    self.tensor(class, bytes, values.len(), shape);
                }
                Entry::Text(name, text) => {
                    self.text(name);
                    self.text(text);
                }
                Entry::Dictionary(name, inner) => {
                    self.text(name);
                    self.pickle.extend(b"}(");
                    for (name, value) in inner {
                        self.text(name);
                        match value {
                            Value::Integer(number) => self.integer(*number),
                            Value::Text(text) => self.text(text),
                        }
                    }
                    self.pickle.push(b'u');
                }
            }
        }
        self.pickle.extend(b"u.");
    }

    /// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    fn tensor(&mut self, class: &str, bytes: Vec<u8>, count: usize, shape: &[usize]) {
        self.pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.pickle.extend(format!("ctorch\n{class}\n").as_bytes());
        self.text(&self.storages.len().to_string());
        self.text("cpu");
        self.integer(count as i64);
        self.pickle.extend(b"tQ");
        self.integer(0);
        self.sizes(shape);
        let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        self.sizes(&strides);
        self.pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        self.storages.push(bytes);
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.pickle.push(b'(');
        sizes.iter().for_each(|&size| self.integer(size as i64));
        self.pickle.push(b't');
    }

    fn integer(&mut self, number: i64) {
        if let Ok(small) = i32::try_from(number) {
            self.pickle.push(b'J');
            self.pickle.extend(small.to_le_bytes());
        } else {
            self.pickle.extend([0x8a, 8]);
            self.pickle.extend(number.to_le_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        self.pickle.push(b'X');
        self.pickle.extend((text.len() as u32).to_le_bytes());
        self.pickle.extend(text.as_bytes());
    }
}
