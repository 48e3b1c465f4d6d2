//! What Debian's lists say, read as they are packed.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read},
};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// Bytes of a list at most, unpacked. Debian's longest have some 60 MiB.
const LONGEST: u64 = 256 << 20;
/// Bytes of one line at most; longer ones say nothing that is looked for here.
const LONGEST_LINE: u64 = 64 << 10;
/// Memory for what is packed with xz, in KiB. Debian's lists need 9 MiB or less, the best compression that there is 64.
const MEMORY: u32 = 80 << 10;
/// What one list names at most.
const MOST: usize = 150_000;

/// Paths below the repository's root, with the SHA-256 that is named for them.
pub(super) type Named = HashMap<String, [u8; 32]>;

/// What kind of list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `Release` and `InRelease`: names the other lists.
    Release,
    /// `Packages`.
    Packages,
    /// `Sources`.
    Sources,
}

/// What a list names.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(kind: Kind, packed: impl Read) -> Result<Named, &'static str> {
    let mut packed = BufReader::new(packed);
    let beginning = packed.fill_buf().map_err(|_| BROKEN)?;
    let list: Box<dyn Read + '_> = match beginning {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(XzReader::new_mem_limit(packed, true, MEMORY)),
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(packed)),
        // bzip2, Zstandard, LZ4.
        [b'B', b'Z', b'h', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x04, 0x22, 0x4d, 0x18, ..] => {
            return Err("it is packed in a way that is not read here");
        }
        _ => Box::new(packed),
    };
    let mut lines = Lines { list: BufReader::new(list.take(LONGEST)), line: Vec::new(), read: 0 };
    match kind {
        Kind::Release => read_release(&mut lines),
        Kind::Packages => read_packages(&mut lines),
        Kind::Sources => read_sources(&mut lines),
    }
}

const BROKEN: &str = "it broke off, or is damaged";

/// The lines of a list, one at a time.
struct Lines<R> {
    list: BufReader<R>,
    line: Vec<u8>,
    read: u64,
}

impl<R: Read> Lines<R> {
    /// The next one without its end; empty if it is longer than any that matters.
    fn next(&mut self) -> Result<Option<&str>, &'static str> {
        self.line.clear();
        let mut bounded = self.list.by_ref().take(LONGEST_LINE);
        let length = bounded.read_until(b'\n', &mut self.line).map_err(|_| BROKEN)? as u64;
        self.read += length;
        if self.read >= LONGEST {
            return Err("it is longer than any that is known");
        }
        if length == 0 {
            return Ok(None);
        }
        if length == LONGEST_LINE && self.line.last() != Some(&b'\n') {
            self.read += self.list.skip_until(b'\n').map_err(|_| BROKEN)? as u64;
            return Ok(Some("-"));
        }
        // What matters is plain; a description in another encoding does not.
        Ok(Some(std::str::from_utf8(&self.line).unwrap_or("-").trim_end_matches(['\n', '\r'])))
    }
}

fn digest(digits: &str) -> Option<[u8; 32]> {
    hex::decode(digits).ok()?.try_into().ok()
}

/// Without the dot that flat repositories begin their paths with.
fn plain(path: &str) -> String {
    path.strip_prefix("./").unwrap_or(path).to_owned()
}

fn add(named: &mut Named, path: String, digest: [u8; 32]) -> Result<(), &'static str> {
    if named.len() == MOST && !named.contains_key(&path) {
        return Err("it names more than any that is known");
    }
    named.insert(path, digest);
    Ok(())
}

/// `SHA256:` and then lines of digest, size and path.
fn read_release<R: Read>(lines: &mut Lines<R>) -> Result<Named, &'static str> {
    let (mut named, mut within) = (Named::new(), false);
    while let Some(line) = lines.next()? {
        if !line.starts_with(' ') {
            within = line.trim_end() == "SHA256:";
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        if within
            && let (Some(digits), Some(_), Some(path), None) =
                (words.next(), words.next(), words.next(), words.next())
            && let Some(digest) = digest(digits)
            && super::kind_of(path).is_some()
        {
            add(&mut named, plain(path), digest)?;
        }
    }
    Ok(named)
}

/// Stanzas with `Filename:` and `SHA256:`.
fn read_packages<R: Read>(lines: &mut Lines<R>) -> Result<Named, &'static str> {
    let mut named = Named::new();
    let (mut path, mut of) = (None, None);
    loop {
        let line = lines.next()?;
        match line {
            None | Some("") => {
                if let (Some(path), Some(digest)) = (path.take(), of.take()) {
                    add(&mut named, path, digest)?;
                }
                (path, of) = (None, None);
                if line.is_none() {
                    return Ok(named);
                }
            }
            Some(line) => {
                if let Some(value) = line.strip_prefix("Filename:") {
                    path = Some(plain(value.trim()));
                } else if let Some(value) = line.strip_prefix("SHA256:") {
                    of = digest(value.trim());
                }
            }
        }
    }
}

/// Stanzas with `Directory:` and, below `Checksums-Sha256:`, lines of digest, size and name.
fn read_sources<R: Read>(lines: &mut Lines<R>) -> Result<Named, &'static str> {
    let mut named = Named::new();
    let (mut folder, mut files, mut within) = (None::<String>, Vec::new(), false);
    loop {
        let line = lines.next()?;
        let Some(line) = line.filter(|line| !line.is_empty()) else {
            let folder = folder.take().unwrap_or_default();
            for (name, digest) in files.drain(..) {
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                add(&mut named, path, digest)?;
            }
            if line.is_none() {
                return Ok(named);
            }
            continue;
        };
        if let Some(value) = line.strip_prefix("Directory:") {
            folder = Some(plain(value.trim())).filter(|folder| folder != ".");
        }
        if !line.starts_with(' ') {
            within = line.trim_end() == "Checksums-Sha256:";
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        if within
            && files.len() < 1_000
            && let (Some(digits), Some(_), Some(name)) = (words.next(), words.next(), words.next())
            && let Some(digest) = digest(digits)
        {
            files.push((name.to_owned(), digest));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    const DIGITS: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn packages() -> String {
        format!(
            "Package: a\nDescription: SHA256: x\n  Filename: no\nFilename: pool/a_1_all.deb\nSHA256: {DIGITS}\n\nPackage: b\nFilename: ./b_1_all.deb\n\nPackage: c\nSHA256: {DIGITS}\n"
        )
    }

    #[test]
    fn packages_are_read_packed_or_not() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(packages().as_bytes()).unwrap();
        for packed in [packages().into_bytes(), gz.finish().unwrap()] {
            let named = read(Kind::Packages, packed.as_slice()).unwrap();
            assert_eq!(named.keys().collect::<Vec<_>>(), ["pool/a_1_all.deb"]);
        }
        for odd in [&b"BZh91AY&SY"[..], b"\xfd7zXZ\0 no", b"\x1f\x8b no"] {
            assert!(read(Kind::Packages, odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn sources_and_releases_are_read() {
        let sources = format!(
            "Package: a\nFiles:\n {DIGITS} 3 wrong\nChecksums-Sha256:\n {DIGITS} 3 a_1.dsc\n {DIGITS} 4 a_1.tar.gz\nDirectory: pool/a\n\n"
        );
        let named = read(Kind::Sources, sources.as_bytes()).unwrap();
        let mut paths: Vec<_> = named.keys().map(String::as_str).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["pool/a/a_1.dsc", "pool/a/a_1.tar.gz"]);

        let release = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\n\nMD5Sum:\n {DIGITS} 3 main/wrong/Packages\nSHA256:\n {DIGITS} 3 main/binary-amd64/Packages.xz\n {DIGITS} 3 main/Contents-amd64\nDate: now\n {DIGITS} 3 late/Packages\n"
        );
        let named = read(Kind::Release, release.as_bytes()).unwrap();
        assert_eq!(named.keys().collect::<Vec<_>>(), ["main/binary-amd64/Packages.xz"]);
    }

    #[test]
    fn long_lines_are_passed_over() {
        let long = format!("Package: a\nTag: {}\n{}", "x".repeat(3 << 16), packages());
        assert_eq!(read(Kind::Packages, long.as_bytes()).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn no_list_makes_it_fall_over(body in proptest::collection::vec(any::<u8>(), 0..300), magic in 0..3_usize) {
            let beginning = [&b""[..], b"\xfd7zXZ\0", b"\x1f\x8b"][magic];
            for kind in [Kind::Release, Kind::Packages, Kind::Sources] {
                drop(read(kind, [beginning, &body].concat().as_slice()));
            }
        }
    }
}
