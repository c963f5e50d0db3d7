//! TensorBoard's event files: TFRecords (length, masked CRC-32C of the length, data, masked CRC-32C of the data) of
//! `tensorflow.Event` messages in protocol buffers, with scalar summaries only.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// An event file that is appended to.
#[derive(Debug)]
pub struct EventFile {
    file: File,
}

impl EventFile {
    /// Opens `path` for appending after its first `keep` bytes; what comes after them is taken away. A file that is empty
    /// then gets the version event that readers look for.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path, keep: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(keep.min(file.metadata()?.len()))?;
        let mut events = Self { file };
        if events.file.metadata()?.len() == 0 {
            let mut event = wall_time();
            // Field 3, a string: file_version.
            put_bytes(&mut event, 3, b"brain.Event:2");
            events.record(&event)?;
        }
        Ok(events)
    }

    /// The length of the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Writes scalars at a step.
    ///
    /// # Errors
    /// What the file system says.
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> io::Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, tag.as_bytes());
            // Field 2 of Summary.Value, a float: simple_value.
            entry.push(2 << 3 | 5);
            entry.extend_from_slice(&(*value as f32).to_le_bytes());
            put_bytes(&mut summary, 1, &entry);
        }
        let mut event = wall_time();
        event.push(2 << 3);
        put_varint(&mut event, step);
        put_bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend_from_slice(&masked_crc(&length).to_le_bytes());
        record.extend_from_slice(data);
        record.extend_from_slice(&masked_crc(data).to_le_bytes());
        self.file.write_all(&record)
    }
}

/// Field 1 of Event, a double: seconds since 1970.
fn wall_time() -> Vec<u8> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    let mut event = vec![1 << 3 | 1];
    event.extend_from_slice(&seconds.to_le_bytes());
    event
}

fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// TFRecord's mask: the CRC rotated right by 15 bits, plus a constant.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: event files are small.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_has_its_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_are_framed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.out.tfevents.0");
        let mut events = EventFile::open(&path, 0).unwrap();
        events.scalars(300, &[("loss", 0.5)]).unwrap();
        let keep = events.bytes().unwrap();
        // Written again after a run was resumed.
        events.scalars(301, &[("loss", 7.0)]).unwrap();
        EventFile::open(&path, keep).unwrap().scalars(301, &[("loss", 0.25), ("l0", 32.0)]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut rest = bytes.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_at(8);
            let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(after[..4], masked_crc(length).to_le_bytes());
            let data = &after[4..4 + size];
            assert_eq!(after[4 + size..8 + size], masked_crc(data).to_le_bytes());
            records.push(data.to_vec());
            rest = &after[8 + size..];
        }
        assert_eq!(records.len(), 3);
        // After the nine bytes of wall time: step 300, then a summary of one value.
        let expected =
            [2 << 3, 0xac, 0x02, 5 << 3 | 2, 13, 1 << 3 | 2, 11, 1 << 3 | 2, 4, b'l', b'o', b's', b's'];
        assert_eq!(records[1][9..22], expected);
        assert_eq!(records[1][22..], [2 << 3 | 5, 0, 0, 0, 0x3f]);
    }
}
