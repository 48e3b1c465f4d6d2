//! One file out of a Java archive (PKWARE APPNOTE.TXT, 4.3).

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

use flate2::read::DeflateDecoder;

/// The most bytes of an archive's directory.
const MAX_DIRECTORY: u64 = 4 << 20;
/// The most bytes of a file, unpacked.
const MAX_FILE: u64 = 1 << 20;

/// The text of the file of this name.
pub(super) fn text(archive: &Path, name: &str) -> Option<String> {
    let mut file = File::open(archive).ok()?;
    let length = file.metadata().ok()?.len();
    // The directory's end record is in the last 22 bytes, or before a comment.
    let tail = at(&mut file, length.saturating_sub(1 << 16), 1 << 16)?;
    let record = tail.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let size = u64::from(number::<4>(&tail, record + 12)?);
    let start = u64::from(number::<4>(&tail, record + 16)?);
    let directory = at(&mut file, start, size.min(MAX_DIRECTORY))?;
    let (offset, packed, method) = find(&directory, name)?;
    let head = at(&mut file, offset, 30)?;
    let skipped = u64::from(number::<2>(&head, 26)?) + u64::from(number::<2>(&head, 28)?);
    let content = at(&mut file, offset + 30 + skipped, packed.min(MAX_FILE))?;
    let mut text = String::new();
    match method {
        0 => text = String::from_utf8(content).ok()?,
        8 => {
            DeflateDecoder::new(content.as_slice()).take(MAX_FILE).read_to_string(&mut text).ok()?;
        }
        _ => return None,
    }
    Some(text)
}

/// Where a file is, how long it is packed, and how it is packed.
fn find(directory: &[u8], name: &str) -> Option<(u64, u64, u32)> {
    let mut rest = directory;
    while rest.starts_with(b"PK\x01\x02") {
        let length = |at| number::<2>(rest, at).and_then(|length| usize::try_from(length).ok());
        let end = 46 + length(28)?;
        if rest.get(46..end)? == name.as_bytes() {
            return Some((
                number::<4>(rest, 42)?.into(),
                number::<4>(rest, 20)?.into(),
                number::<2>(rest, 10)?,
            ));
        }
        rest = rest.get(end + length(30)? + length(32)?..)?;
    }
    None
}

fn at(file: &mut File, start: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).ok()?;
    file.take(length).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A little-endian number.
fn number<const SIZE: usize>(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + SIZE)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::DeflateEncoder};

    use super::*;

    fn archive(name: &str, content: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        let packed = encoder.finish().unwrap();
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let short = |text: &str| u16::try_from(text.len()).unwrap().to_le_bytes();
        let mut bytes =
            [b"PK\x03\x04".as_slice(), &[0; 22], &short(name), &[0; 2], name.as_bytes(), &packed].concat();
        let start = length(&bytes);
        let entry = [
            b"PK\x01\x02".as_slice(),
            &[0; 6],
            &[8, 0],
            &[0; 8],
            &length(&packed),
            &[0; 4],
            &short(name),
            &[0; 16],
            name.as_bytes(),
        ]
        .concat();
        bytes.extend_from_slice(&entry);
        bytes.extend([b"PK\x05\x06".as_slice(), &[0; 8], &length(&entry), &start, &[0; 2]].concat());
        bytes
    }

    #[test]
    fn one_file_of_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jar");
        std::fs::write(&path, archive("org/pom.xml", b"<project/>")).unwrap();
        assert_eq!(text(&path, "org/pom.xml").as_deref(), Some("<project/>"));
        assert_eq!(text(&path, "org/other.xml"), None);
        std::fs::write(&path, b"PK\x05\x06 cut off").unwrap();
        assert_eq!(text(&path, "org/pom.xml"), None);
    }
}
