//! What a Go module hashes to (`h1:`, go.dev/ref/mod#go-sum-files): the digest of a list of its files with their digests, read from its zip
//! (PKWARE APPNOTE.TXT) while that comes.
//!
//! Go finds the files of a zip by the directory at its end, and this reads them from its beginning. So nothing may lie between, before or
//! behind them, and the directory must name the same files at the same places: any other zip has no hash here. Those that Go itself makes
//! are of this form.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Decompress, FlushDecompress, Status};
use sha2::{Digest as _, Sha256};

const FILE: &[u8] = b"PK\x03\x04";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";
const DIRECTORY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
/// Lengths of these records up to their names.
const FILE_HEAD: usize = 30;
const DESCRIPTOR_LENGTH: usize = 16;
const DIRECTORY_HEAD: usize = 46;
const END_LENGTH: usize = 22;

/// Flags that may be set: how well it was compressed, that lengths follow the content, that the name is UTF-8.
const KNOWN_FLAGS: u16 = 0x0006 | FOLLOWED | 0x0800;
const FOLLOWED: u16 = 0x0008;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Bytes that all files together may have. Go permits 500 MiB; tool chains are modules, too.
const MOST_BYTES: u64 = 1 << 30;
/// Bytes that all names together may have.
const MOST_NAMES: usize = 16 << 20;
/// Files: the directory's end can count no more.
const MOST_FILES: usize = u16::MAX as usize;
/// Bytes that are decompressed at once.
const PIECE: usize = 32 << 10;

/// What `h1:` and base64 stand for.
pub(super) fn bits(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text.strip_prefix("h1:")?).ok()?.try_into().ok()
}

/// A module's zip that is being read.
pub(super) struct ModuleZip {
    /// What has come and is not understood yet: part of a record, never of a file's content.
    pending: Vec<u8>,
    /// Bytes before `pending`.
    at: u64,
    files: Vec<File>,
    bytes: u64,
    names: usize,
    state: State,
}

/// Where in the zip it is.
enum State {
    /// Before the head of a file, or the directory.
    Between,
    /// In a file's content.
    Content(Box<Content>),
    /// Before the lengths that follow a file's content.
    Lengths,
    /// In the directory, which began there; so many files of it are read.
    Directory { began: u64, read: usize },
    /// At its end.
    Ended,
    /// It is no zip as Go makes them.
    Odd,
}

/// A file that was in the zip.
struct File {
    at: u64,
    name: Vec<u8>,
    method: u16,
    packed: u64,
    length: u64,
    digest: [u8; 32],
}

/// A file's content on its way.
struct Content {
    /// For what is compressed.
    inflate: Option<Decompress>,
    /// Lengths, where they come before the content.
    told: Option<(u64, u64)>,
    hash: Sha256,
}

impl ModuleZip {
    pub(super) const fn new() -> Self {
        Self { pending: Vec::new(), at: 0, files: Vec::new(), bytes: 0, names: 0, state: State::Between }
    }

    /// More of it has come.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match &self.state {
                State::Odd => return,
                State::Content(_) => self.content(bytes),
                State::Between | State::Lengths | State::Directory { .. } => self.record(bytes),
                // There is nothing behind it.
                State::Ended => None,
            };
            let Some(rest) = taken.and_then(|taken| bytes.get(taken..)) else {
                self.state = State::Odd;
                self.pending = Vec::new();
                return;
            };
            bytes = rest;
        }
    }

    /// What the module hashes to, once all of its zip has come.
    pub(super) fn sum(&self) -> Option<[u8; 32]> {
        if !matches!(self.state, State::Ended) {
            return None;
        }
        let mut files: Vec<(&[u8], [u8; 32])> =
            self.files.iter().map(|file| (&file.name[..], file.digest)).collect();
        files.sort();
        let mut list = Sha256::new();
        for (name, digest) in files {
            list.update(hex::encode(digest));
            list.update(b"  ");
            list.update(name);
            list.update(b"\n");
        }
        Some(list.finalize().into())
    }

    /// Takes bytes of a record, and understands it once it is whole; how many, or `None` if it is not as it should be.
    fn record(&mut self, bytes: &[u8]) -> Option<usize> {
        let wanted = self.wanted()?;
        let taken = wanted.saturating_sub(self.pending.len()).min(bytes.len());
        self.pending.extend_from_slice(bytes.get(..taken)?);
        if self.pending.len() == self.wanted()? {
            let record = std::mem::take(&mut self.pending);
            let began = self.at;
            self.at += record.len() as u64;
            self.understand(&record, began)?;
        }
        Some(taken)
    }

    /// How many bytes the record has that is pending, as far as it is known by now.
    fn wanted(&self) -> Option<usize> {
        let pending = &self.pending[..];
        if matches!(self.state, State::Lengths) {
            return Some(DESCRIPTOR_LENGTH);
        }
        let (head, lengths): (usize, &[usize]) = match pending.get(..4) {
            None => return Some(4),
            Some(FILE) => (FILE_HEAD, &[26, 28]),
            Some(DIRECTORY) => (DIRECTORY_HEAD, &[28, 30, 32]),
            Some(END) => (END_LENGTH, &[20]),
            Some(_) => return None,
        };
        if pending.len() < head {
            return Some(head);
        }
        lengths.iter().try_fold(head, |sum, at| Some(sum + usize::from(short(pending, *at)?)))
    }

    fn understand(&mut self, record: &[u8], began: u64) -> Option<()> {
        match (&mut self.state, record.get(..4)?) {
            (State::Between, FILE) => self.file(record, began),
            (State::Lengths, DESCRIPTOR) => {
                let file = self.files.last()?;
                let fits = (long(record, 8)?, long(record, 12)?) == (file.packed, file.length);
                self.state = State::Between;
                fits.then_some(())
            }
            (State::Between, DIRECTORY) => {
                self.state = State::Directory { began, read: 1 };
                self.files.first()?.is_listed(record).then_some(())
            }
            (State::Directory { read, .. }, DIRECTORY) => {
                let file = self.files.get(*read)?;
                *read += 1;
                file.is_listed(record).then_some(())
            }
            (State::Directory { began: first, read }, END) => {
                let count = self.files.len();
                let fits = *read == count
                    && [8, 10].iter().all(|at| short(record, *at).map(usize::from) == Some(count))
                    && [4, 6, 20].iter().all(|at| short(record, *at) == Some(0))
                    && long(record, 12)? == began - *first
                    && long(record, 16)? == *first;
                self.state = State::Ended;
                fits.then_some(())
            }
            _ => None,
        }
    }

    /// The head of a file.
    fn file(&mut self, record: &[u8], at: u64) -> Option<()> {
        let (flags, method) = (short(record, 6)?, short(record, 8)?);
        let name = record.get(FILE_HEAD..FILE_HEAD + usize::from(short(record, 26)?))?.to_vec();
        let told = (flags & FOLLOWED == 0).then_some((long(record, 18)?, long(record, 22)?));
        self.names += name.len();
        let inflate = match method {
            DEFLATED => Some(Decompress::new(false)),
            // Where it ends must be known.
            STORED if told.is_some_and(|(packed, length)| packed == length) => None,
            _ => return None,
        };
        if self.files.len() >= MOST_FILES {
            return None;
        }
        // Go takes no name with an end of line in it, which would forge the list.
        if flags & !KNOWN_FLAGS != 0 || name.contains(&b'\n') || name.is_empty() || self.names > MOST_NAMES {
            return None;
        }
        self.files.push(File { at, name, method, packed: 0, length: 0, digest: [0; 32] });
        self.state = State::Content(Box::new(Content { inflate, told, hash: Sha256::new() }));
        // There may be nothing to come.
        self.content(&[]).map(drop)
    }

    /// Takes bytes of a file's content; how many, or `None` if it is not as it should be.
    fn content(&mut self, bytes: &[u8]) -> Option<usize> {
        let State::Content(content) = &mut self.state else { return None };
        let file = self.files.last_mut()?;
        let (taken, ended) = match &mut content.inflate {
            None => {
                let left = content.told?.0 - file.length;
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                content.hash.update(bytes.get(..taken)?);
                file.length += taken as u64;
                (taken, file.length == content.told?.0)
            }
            Some(inflate) => {
                let mut piece = vec![0; PIECE];
                let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(bytes, &mut piece, FlushDecompress::None).ok()?;
                let made = usize::try_from(inflate.total_out() - before_out).ok()?;
                content.hash.update(piece.get(..made)?);
                file.length = inflate.total_out();
                let taken = usize::try_from(inflate.total_in() - before_in).ok()?;
                if taken == 0 && made == 0 && status != Status::StreamEnd && !bytes.is_empty() {
                    return None;
                }
                (taken, status == Status::StreamEnd)
            }
        };
        file.packed += taken as u64;
        self.at += taken as u64;
        if self.bytes + file.length > MOST_BYTES {
            return None;
        }
        if ended {
            file.digest = content.hash.clone().finalize().into();
            self.bytes += file.length;
            if content.told.is_some_and(|told| told != (file.packed, file.length)) {
                return None;
            }
            self.state = if content.told.is_some() { State::Between } else { State::Lengths };
        }
        Some(taken)
    }
}

impl File {
    /// Whether this is what an entry of the directory says.
    fn is_listed(&self, record: &[u8]) -> bool {
        let name = record.get(DIRECTORY_HEAD..DIRECTORY_HEAD + self.name.len());
        short(record, 28).map(usize::from) == Some(self.name.len())
            && name == Some(&self.name)
            && short(record, 10) == Some(self.method)
            && long(record, 20) == Some(self.packed)
            && long(record, 24) == Some(self.length)
            // Without comment, on this disk.
            && short(record, 32) == Some(0)
            && short(record, 34) == Some(0)
            && long(record, 42) == Some(self.at)
    }
}

fn short(record: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*record.get(at..)?.first_chunk()?))
}

/// A length or place. All ones stand for one that is elsewhere, which no zip of a module needs.
fn long(record: &[u8], at: usize) -> Option<u64> {
    let number = u32::from_le_bytes(*record.get(at..)?.first_chunk()?);
    (number != u32::MAX).then_some(number.into())
}

impl fmt::Debug for ModuleZip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleZip").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::DeflateEncoder};
    use proptest::prelude::*;

    use super::*;

    /// A zip as Go makes them: compressed, with the lengths behind the content.
    pub(in crate::registry) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut zip, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let mut packer = DeflateEncoder::new(Vec::new(), Compression::default());
            packer.write_all(content).unwrap();
            let packed = packer.finish().unwrap();
            let at = u32::try_from(zip.len()).unwrap().to_le_bytes();
            let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
            let lengths = [packed.len(), content.len()]
                .map(|length| u32::try_from(length).unwrap().to_le_bytes())
                .concat();
            let common = [&[20, 0, 8, 0, 8, 0][..], &[0; 4]].concat();
            zip.extend([FILE, &common, &[0; 12], &name_length, &[0; 2], name.as_bytes(), &packed].concat());
            zip.extend([DESCRIPTOR, &[0; 4], &lengths].concat());
            directory.extend(
                [
                    DIRECTORY,
                    &[20, 0],
                    &common,
                    &[0; 4],
                    &lengths,
                    &name_length,
                    &[0; 12],
                    &at,
                    name.as_bytes(),
                ]
                .concat(),
            );
        }
        let count = u16::try_from(files.len()).unwrap().to_le_bytes();
        let places = [directory.len(), zip.len()].map(|place| u32::try_from(place).unwrap().to_le_bytes());
        zip.extend(directory);
        zip.extend([END, &[0; 4], &count, &count, &places.concat(), &[0; 2]].concat());
        zip
    }

    fn sum(zip: &[u8], pieces: usize) -> Option<[u8; 32]> {
        let mut reader = ModuleZip::new();
        zip.chunks(pieces).for_each(|piece| reader.take(piece));
        reader.sum()
    }

    /// By the definition.
    fn expected(files: &[(&str, &[u8])]) -> [u8; 32] {
        let mut lines: Vec<(String, String)> = files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), hex::encode(Sha256::digest(content))))
            .collect();
        lines.sort();
        let list: String = lines.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect();
        Sha256::digest(list).into()
    }

    /// Where its directory begins.
    fn files_end(zip: &[u8]) -> usize {
        u32::from_le_bytes(*zip[zip.len() - 6..].first_chunk().unwrap()) as usize
    }

    const FILES: [(&str, &[u8]); 3] = [
        ("example.com/m@v1.0.0/go.mod", b"module example.com/m\n"),
        ("example.com/m@v1.0.0/a/b.go", &[b'x'; 100_000]),
        ("example.com/m@v1.0.0/empty", b""),
    ];

    #[test]
    fn a_module_hashes_to_what_its_files_are_however_it_comes() {
        let zip = zip(&FILES);
        for pieces in [1, 7, 1000, zip.len()] {
            assert_eq!(sum(&zip, pieces), Some(expected(&FILES)), "{pieces}");
        }
        for cut in [0, 4, 50, zip.len() - 1] {
            assert_eq!(sum(&zip[..cut], 13), None, "{cut}");
        }
    }

    #[test]
    fn a_zip_that_go_could_read_otherwise_has_no_hash() {
        let good = zip(&FILES);
        let other = zip(&[("other", b"hidden")]);
        let (end, directory) = (good.len() - END_LENGTH, files_end(&good));
        let changed = |at: usize, byte: u8| {
            let mut zip = good.clone();
            zip[at] ^= byte;
            zip
        };
        let with = |at: usize, bytes: &[u8]| [&good[..at], bytes, &good[at..]].concat();
        for (what, odd) in [
            ("something behind it", [&good[..], b"PK"].concat()),
            ("something before it", [&b"#!"[..], &good].concat()),
            ("something before its directory", with(directory, b"hidden")),
            ("a file that is not in its directory", [&other[..files_end(&other)], &good].concat()),
            ("another place in its directory", changed(directory + 42, 1)),
            ("another name in its directory", changed(directory + DIRECTORY_HEAD, 1)),
            ("another length in its directory", changed(directory + 24, 1)),
            ("a comment", changed(end + 20, 1)),
            ("fewer files", changed(end + 10, 1)),
            ("a directory elsewhere", changed(end + 16, 1)),
            ("encryption", changed(6, 1)),
            ("an unknown method", changed(8, 1)),
            ("a line end in a name", zip(&[("a\n", b"x")])),
        ] {
            assert_eq!(sum(&odd, 11), None, "{what}");
        }
    }

    #[test]
    fn no_more_files_are_remembered_than_a_directory_counts() {
        // Empty, stored, with a name of one letter.
        let file = [FILE, &[20, 0, 0, 0, 0, 0], &[0; 16], &[1, 0, 0, 0], b"a"].concat();
        let mut reader = ModuleZip::new();
        (0..MOST_FILES).for_each(|_| reader.take(&file));
        assert!(matches!(reader.state, State::Between) && reader.files.len() == MOST_FILES);
        reader.take(&file);
        assert!(matches!(reader.state, State::Odd) && reader.files.len() == MOST_FILES);
    }

    #[test]
    fn sums_are_read_as_databases_write_them() {
        let text = format!("h1:{}", STANDARD.encode(expected(&FILES)));
        assert_eq!(bits(&text), Some(expected(&FILES)));
        for wrong in ["", "h1:", "h2:AAAA", "h1:AAAA", &text[3..]] {
            assert_eq!(bits(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_files_hash_to_what_they_are(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..5),
            pieces in 1_usize..2000,
        ) {
            let names: Vec<String> = (0..contents.len()).map(|number| format!("m@v1/{number}")).collect();
            let files: Vec<(&str, &[u8])> =
                names.iter().zip(&contents).map(|(name, content)| (&name[..], &content[..])).collect();
            prop_assert_eq!(sum(&zip(&files), pieces), Some(expected(&files)));
        }

        #[test]
        fn nothing_makes_it_fall_over(at in 0_usize..600, byte in any::<u8>(), from in 0_usize..600) {
            let mut bad = zip(&FILES);
            let at = at % bad.len();
            bad[at] = byte;
            sum(&bad, 17);
            sum(&bad[from % bad.len()..], 17);
        }
    }
}
