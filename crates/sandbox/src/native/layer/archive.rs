//! Archives of snapshots: what they look like, and the bounds that they must keep.
//!
//! An archive is a compressed tar file (pax format, POSIX.1-2001) with the directories `workspace`, `home` and `caches/<name>`. Its name is
//! the SHA-256 of its bytes. A whiteout is a character device 0:0, and an opaque directory has the attribute `user.overlay.opaque`, both as
//! the kernel's overlay filesystem has them; no other device and no other attribute is in one.

use std::{
    fs::File,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::error::{LayerError, failed};

/// What the name of an archive ends with; before it stands its digest.
pub(super) const SUFFIX: &str = ".layer.tar.gz";
/// The pax record for the attribute of opaque directories.
pub(super) const OPAQUE_RECORD: &str = "SCHILY.xattr.user.overlay.opaque";

/// A snapshot outside of its machine's layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The file, named after its digest.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal digits.
    pub digest: String,
    /// Size of the file.
    pub bytes: u64,
}

/// The most that an archive may hold, whether it is being written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveBounds {
    /// Bytes of all files together, unpacked.
    pub bytes: u64,
    /// Bytes of the archive itself.
    pub compressed: u64,
    /// Files, directories and links.
    pub entries: u64,
    /// Directories inside each other.
    pub depth: usize,
    /// Unpacked bytes for each byte of the archive. Applies above a mebibyte.
    pub ratio: u64,
}

impl Default for ArchiveBounds {
    fn default() -> Self {
        Self { bytes: 20 << 30, compressed: 8 << 30, entries: 2_000_000, depth: 200, ratio: 1000 }
    }
}

/// Passes bytes on and computes their digest; no more than a bound.
pub(super) struct Hashing<W> {
    to: W,
    digest: Sha256,
    bytes: u64,
    most: u64,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(to: W, most: u64) -> Self {
        Self { to, digest: Sha256::new(), bytes: 0, most }
    }

    /// The digest, and how many bytes there were.
    pub(super) fn finish(self) -> (String, u64) {
        (hexadecimal(&self.digest.finalize()), self.bytes)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(written as u64);
        if self.bytes > self.most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(written) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Opens an archive whose bytes have the digest that its name says.
pub(super) fn open(archive: &Path, bounds: &ArchiveBounds) -> Result<(File, u64), LayerError> {
    let name = archive.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(SUFFIX));
    let wanted =
        name.ok_or_else(|| LayerError::Archive(format!("its name must be its digest and {SUFFIX}")))?;
    let open = || File::open(archive).map_err(failed(format!("open {}", archive.display())));
    let mut sink = Hashing::new(io::sink(), bounds.compressed);
    let mut whole = open()?.take(bounds.compressed.saturating_add(1));
    match io::copy(&mut whole, &mut sink) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(LayerError::Archive(format!("it is larger than {} bytes", bounds.compressed)));
        }
        Err(error) => return Err(failed(format!("read {}", archive.display()))(error)),
    }
    let (digest, bytes) = sink.finish();
    if digest != wanted {
        return Err(LayerError::Archive(format!(
            "its bytes have the digest {digest}, its name says {wanted}"
        )));
    }
    Ok((open()?, bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
