//! A bounded reader over the bytes of a GGUF file: no length is believed before it is compared with what is
//! left of the file.

/// Why reading stopped; the caller adds the file's name.
pub(super) type Result<T> = std::result::Result<T, String>;

/// A position in the file's bytes. All numbers are little-endian.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes from the start of the file.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let Some(taken) = rest.get(..count) else {
            return Err(format!(
                "{what} needs {count} bytes at offset {}, but only {} are left: the file is truncated or damaged",
                self.position,
                rest.len()
            ));
        };
        self.position += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, what: &str) -> Result<u8> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(super) fn u16(&mut self, what: &str) -> Result<u16> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A 64-bit count of things that take at least `least` bytes each; refused if they cannot all be there.
    pub(super) fn count(&mut self, least: usize, what: &str) -> Result<usize> {
        let count = self.u64(what)?;
        let left = self.bytes.len() - self.position;
        match usize::try_from(count) {
            Ok(count) if count <= left / least => Ok(count),
            _ => Err(format!(
                "{what} is {count}, but only {left} bytes are left: the file is truncated or damaged"
            )),
        }
    }

    /// A length-prefixed text.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        let length = self.count(1, what)?;
        let bytes = self.take(length, what)?;
        // Vocabularies hold arbitrary bytes in principle; a lossy text is still a usable key.
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}
