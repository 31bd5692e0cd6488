//! Numbers and strings of octets as they stand in frames and messages: little-endian, without padding.

use rokko_wire::Name;

/// Why some bytes are not a frame or a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of something.
    #[error("the bytes end too early")]
    Short,
    /// Something follows the end.
    #[error("there are bytes after the end")]
    Trailing,
    /// A version that this program does not read.
    #[error("version {0} of the format is not known here")]
    Version(u8),
    /// A value that may not stand where it stands.
    #[error("the bytes are not a valid {0}")]
    Invalid(&'static str),
    /// More of something than its limit allows.
    #[error("there are more {0} than allowed")]
    TooMany(&'static str),
}

/// Reads from the front of some bytes.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(DecodeError::Short)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, DecodeError> {
        self.array().map(u128::from_le_bytes)
    }

    /// An octet that is 0 or 1.
    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid(what)),
        }
    }

    pub(crate) fn name(&mut self) -> Result<Name, DecodeError> {
        let (name, len) = Name::from_wire(self.0).map_err(|_| DecodeError::Invalid("name"))?;
        // Names are compared by their octets, so only the form that this program writes is taken.
        if self.take(len)? == name.as_bytes() { Ok(name) } else { Err(DecodeError::Invalid("name")) }
    }

    /// A count of 16 bits, at most `max`.
    pub(crate) fn count16(&mut self, max: usize, what: &'static str) -> Result<usize, DecodeError> {
        within(usize::from(self.u16()?), max, what)
    }

    /// A count of 32 bits, at most `max`.
    pub(crate) fn count32(&mut self, max: usize, what: &'static str) -> Result<usize, DecodeError> {
        within(usize::try_from(self.u32()?).map_err(|_| DecodeError::TooMany(what))?, max, what)
    }

    /// Octets behind their number in 32 bits.
    pub(crate) fn octets(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.count32(max, what)?;
        self.take(len)
    }

    /// Text behind the number of its octets in 16 bits.
    pub(crate) fn text(&mut self, max: usize, what: &'static str) -> Result<Box<str>, DecodeError> {
        let len = self.count16(max, what)?;
        std::str::from_utf8(self.take(len)?).map(Box::from).map_err(|_| DecodeError::Invalid(what))
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

fn within(count: usize, max: usize, what: &'static str) -> Result<usize, DecodeError> {
    if count <= max { Ok(count) } else { Err(DecodeError::TooMany(what)) }
}

/// Writes what [`Reader::octets`] reads.
pub(crate) fn put_octets(octets: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(octets.len()).expect("what is sent has fewer octets than its limit");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(octets);
}

/// Writes what [`Reader::text`] reads: as many whole characters as `max` octets hold.
pub(crate) fn put_text(text: &str, max: usize, out: &mut Vec<u8>) {
    let max = max.min(usize::from(u16::MAX)).min(text.len());
    let end = (0..=max).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let text = &text[..end];
    out.extend_from_slice(&len16(text.len()));
    out.extend_from_slice(text.as_bytes());
}

/// A count for [`Reader::count16`].
pub(crate) fn len16(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("what is counted with 16 bits has a limit below 2^16").to_le_bytes()
}

/// A count for [`Reader::count32`].
pub(crate) fn len32(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("what is counted with 32 bits has a limit below 2^32").to_le_bytes()
}
