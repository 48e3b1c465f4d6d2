//! Records: how listings and search results are written to the descriptor that the host passed, one after
//! another.
//!
//! A record is its length (four bytes, little endian) and one value in postcard encoding. The host reads them
//! with [`Decoder`], which holds at most one record and refuses what is over a bound.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{message::EntryKind, text::Bytes};

/// The most bytes of one record after its length: a path of the longest kind, or a line, and change.
pub const MAX_RECORD: usize = 8 << 10;
/// The most bytes of a line's text.
pub const MAX_LINE: usize = 1000;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: Bytes,
    /// What it is.
    pub kind: EntryKind,
    /// Size in bytes, for regular files; else 0.
    pub size: u64,
}

/// One piece of a search result. Lines belong to the file before them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// A file: its path below the search's root, or the root itself if that is a file.
    File(Bytes),
    /// A line of it.
    Line {
        /// Counted from 1.
        number: u64,
        /// The line without its end, cut at [`MAX_LINE`] bytes.
        text: Bytes,
        /// A match, or context.
        is_match: bool,
    },
}

/// Why bytes are not records.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A record is longer than any may be.
    #[error("a record of {0} bytes is over the bound of {MAX_RECORD}")]
    TooLong(usize),
    /// A record does not parse.
    #[error("a record does not parse")]
    Malformed(#[source] postcard::Error),
    /// Bytes are left over in a record, or at the end.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
}

/// Appends a record to `out`.
///
/// # Errors
/// [`RecordError::TooLong`]; `out` is then as it was.
pub fn append<T: Serialize>(record: &T, out: &mut Vec<u8>) -> Result<(), RecordError> {
    let bytes = postcard::to_stdvec(record).map_err(RecordError::Malformed)?;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if bytes.len() > MAX_RECORD {
        return Err(RecordError::TooLong(bytes.len()));
    }
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Takes records out of bytes as they come in.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// Adds bytes. Take all records out with [`Self::next_record`] before adding more: what is pending is not
    /// bounded otherwise.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.taken);
        self.taken = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole record; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not records. The decoder is of no use after that.
    pub fn next_record<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RecordError> {
        let rest = self.pending.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_RECORD {
            return Err(RecordError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let (record, left) = postcard::take_from_bytes(body).map_err(RecordError::Malformed)?;
        if !left.is_empty() {
            return Err(RecordError::LeftOver(left.len()));
        }
        self.taken += 4 + length;
        Ok(Some(record))
    }

    /// Ends decoding.
    ///
    /// # Errors
    /// [`RecordError::LeftOver`] when a record is incomplete.
    pub fn finish(self) -> Result<(), RecordError> {
        match self.pending.len() - self.taken {
            0 => Ok(()),
            left => Err(RecordError::LeftOver(left)),
        }
    }
}
