//! NumPy archives: `.npz`, a zip file of `.npy` arrays.
//!
//! Format (numpy.org/doc/stable/reference/generated/numpy.lib.format.html): the bytes `\x93NUMPY`, a version, the
//! length of a header, the header as a Python dictionary of `descr`, `fortran_order` and `shape`, then the values.
//! Arrays of objects are pickles and are refused. Entries may be deflated; what they claim to unpack to is held against
//! the header's shape before memory is taken.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::files::{io_error, malformed, write_file};
use super::tensors::{Container, Element, Named, Tensors, bytes_of, transpose};
use super::zip_file::{self, entry_name};
use crate::error::DictionaryError;

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy itself warns about longer ones.
const LONGEST_HEADER: usize = 10_000;

/// One array of the archive.
struct Array {
    /// Its place in the zip file.
    index: usize,
    element: Element,
    shape: Vec<usize>,
    /// Bytes before the values.
    header: usize,
    /// Values are stored column by column.
    fortran_order: bool,
}

struct Archive {
    path: PathBuf,
    zip: RefCell<ZipArchive<BufReader<File>>>,
    arrays: HashMap<String, Array>,
}

/// Opens an archive and reads the headers of its arrays.
pub(super) fn open(path: &Path) -> Result<Tensors, DictionaryError> {
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    let mut zip = zip_file::open(path, file)?;
    let mut arrays = HashMap::new();
    for index in 0..zip.len() {
        let (name, array) = read_header(path, &mut zip, index)?;
        arrays.insert(name, array);
    }
    Ok(Tensors::new(path, Archive { path: path.to_owned(), zip: RefCell::new(zip), arrays }))
}

fn read_header(
    path: &Path,
    zip: &mut ZipArchive<BufReader<File>>,
    index: usize,
) -> Result<(String, Array), DictionaryError> {
    let mut entry = zip.by_index(index).map_err(|error| malformed(path, &error.to_string()))?;
    let name = entry_name(&entry, path)?.trim_end_matches(".npy").to_owned();
    let refuse = |message: &str| malformed(path, &format!("array `{name}`: {message}"));
    let mut start = [0; 10];
    entry.read_exact(&mut start).map_err(|_| refuse("truncated"))?;
    if !start.starts_with(MAGIC) {
        return Err(refuse("not a .npy array"));
    }
    let (length, prefix) = match start[6] {
        1 => (usize::from(u16::from_le_bytes([start[8], start[9]])), 10),
        2 | 3 => {
            let mut high = [0; 2];
            entry.read_exact(&mut high).map_err(|_| refuse("truncated"))?;
            (u32::from_le_bytes([start[8], start[9], high[0], high[1]]) as usize, 12)
        }
        other => return Err(refuse(&format!("version {other} of the format is not known"))),
    };
    if length > LONGEST_HEADER {
        return Err(refuse(&format!("a header of {length} bytes")));
    }
    let mut header = vec![0; length];
    entry.read_exact(&mut header).map_err(|_| refuse("truncated"))?;
    let header = String::from_utf8_lossy(&header).into_owned();
    let (element, fortran_order, shape) = parse_header(&header).map_err(|message| refuse(&message))?;
    let bytes = shape.iter().try_fold(element.size(), |bytes, &axis| bytes.checked_mul(axis));
    let expected = bytes.and_then(|bytes| bytes.checked_add(prefix + length));
    if expected.map(|bytes| bytes as u64) != Some(entry.size()) {
        return Err(refuse(&format!("shape {shape:?} does not fit its {} bytes", entry.size())));
    }
    Ok((name.clone(), Array { index, element, shape, header: prefix + length, fortran_order }))
}

/// Number type, order and shape from `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
fn parse_header(header: &str) -> Result<(Element, bool, Vec<usize>), String> {
    let after = |key: &str| {
        let found = header.split_once(&format!("'{key}':"));
        found.map(|(_, rest)| rest.trim_start()).ok_or_else(|| format!("its header has no {key}"))
    };
    let descr = after("descr")?;
    let descr =
        descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map_or("a structure", |(d, _)| d);
    let element = match descr {
        "<f8" => Element::F64,
        "<f4" => Element::F32,
        "<f2" => Element::F16,
        "<i8" => Element::I64,
        "<i4" => Element::I32,
        "|u1" => Element::U8,
        other => return Err(format!("its values are `{other}`, which is not supported")),
    };
    let fortran_order = after("fortran_order")?.starts_with("True");
    let shape = after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let (axes, _) = shape.ok_or("its shape is not a tuple")?;
    let axes = axes.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let shape = axes
        .map(|axis| axis.parse().map_err(|_| format!("`{axis}` is not a size")))
        .collect::<Result<_, _>>();
    Ok((element, fortran_order, shape?))
}

impl Container for Archive {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.arrays.get(name).map(|array| array.shape.clone())
    }

    fn values(&self, name: &str) -> Result<Vec<f32>, DictionaryError> {
        let refuse = |message: &str| malformed(&self.path, &format!("array `{name}`: {message}"));
        let array = self.arrays.get(name).ok_or_else(|| refuse("missing"))?;
        let mut zip = self.zip.borrow_mut();
        let mut entry = zip.by_index(array.index).map_err(|error| refuse(&error.to_string()))?;
        // The header held this size against the shape.
        let size = entry.size() as usize;
        let mut bytes = Vec::with_capacity(size);
        entry
            .by_ref()
            .take(size as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| refuse(&error.to_string()))?;
        if bytes.len() != size {
            return Err(refuse("truncated"));
        }
        let values = array.element.decode(&bytes[array.header..]);
        match array.shape[..] {
            [rows, columns] if array.fortran_order => Ok(transpose(&values, columns, rows)),
            _ if array.fortran_order && array.shape.len() > 2 => {
                Err(refuse("columns first in more than two axes"))
            }
            _ => Ok(values),
        }
    }
}

/// Writes f32 arrays, as `numpy.savez` does.
pub(super) fn write(path: &Path, tensors: &[Named]) -> Result<(), DictionaryError> {
    let failed = |error: &dyn std::fmt::Display| malformed(path, &error.to_string());
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for tensor in tensors {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(tensor.values.len() > (1 << 29));
        zip.start_file(format!("{}.npy", tensor.name), options).map_err(|error| failed(&error))?;
        zip.write_all(&array_bytes(tensor)).map_err(|error| failed(&error))?;
    }
    let bytes = zip.finish().map_err(|error| failed(&error))?;
    write_file(path, bytes.get_ref())
}

/// One `.npy` file of version 1, its values beginning at a multiple of 64 bytes.
fn array_bytes(tensor: &Named) -> Vec<u8> {
    let axes: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
    // A tuple of one needs its comma.
    let comma = if axes.len() == 1 { "," } else { "" };
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{comma}), }}", axes.join(", "));
    let prefix = MAGIC.len() + 4;
    let padded = (prefix + header.len() + 1).next_multiple_of(64) - prefix;
    header.push_str(&" ".repeat(padded - header.len() - 1));
    header.push('\n');
    let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    bytes.extend(bytes_of(&tensor.values));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_numpy_writes_them() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n";
        assert_eq!(parse_header(header).unwrap(), (Element::F32, false, vec![3, 4]));
        let header = "{'descr': '<f8', 'fortran_order': True, 'shape': (7,), }\n";
        assert_eq!(parse_header(header).unwrap(), (Element::F64, true, vec![7]));
        let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (), }\n";
        assert_eq!(parse_header(header).unwrap(), (Element::I64, false, Vec::new()));
        for (header, reason) in [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", "`|O`"),
            ("{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }", "`>f4`"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", "a structure"),
            ("{'descr': '<f4', 'shape': (3,), }", "no fortran_order"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", "`-3` is not a size"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': 3, }", "not a tuple"),
        ] {
            let error = parse_header(header).unwrap_err();
            assert!(error.contains(reason), "`{error}` does not say `{reason}`");
        }
    }
}
