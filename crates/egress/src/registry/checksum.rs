//! What indexes say that an artefact hashes to.

use std::{
    fmt,
    io::{self, Read},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use sha2::{Digest as _, Sha256, Sha512};

use super::module_zip::{self, ModuleZip};

/// What an artefact hashes to, as its registry's index says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    function: Function,
    /// The first 256 bits, which are enough: indexes have many. SHA-1 has fewer, and zeros after them.
    bits: [u8; 32],
}

/// The hash functions that indexes use and that are good, and the one that Maven's repositories have for everything: whoever makes an
/// artefact can make two that have the same, but nobody else can make another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sha256,
    Sha512,
    Sha1,
    /// Of the list of a Go module's files.
    GoModule,
}

impl Checksum {
    /// As cargo's `cksum` and the simple API's `sha256` have it: hexadecimal digits.
    #[must_use]
    pub fn sha256(digits: &str) -> Option<Self> {
        let bits = hex::decode(digits).ok()?.try_into().ok()?;
        Some(Self { function: Function::Sha256, bits })
    }

    /// As it is kept of Debian's lists.
    #[must_use]
    pub(crate) const fn of_sha256(bits: [u8; 32]) -> Self {
        Self { function: Function::Sha256, bits }
    }

    /// As Maven's repositories have it in a file of its own: hexadecimal digits of SHA-256 or SHA-1, alone or with a name beside them.
    #[must_use]
    pub fn in_file(text: &str) -> Option<Self> {
        text.split_ascii_whitespace().find_map(|word| match word.len() {
            64 => Self::sha256(word),
            40 => {
                let mut bits = [0; 32];
                hex::decode_to_slice(word, bits.get_mut(..20)?).ok()?;
                Some(Self { function: Function::Sha1, bits })
            }
            _ => None,
        })
    }

    /// As npm's `integrity` has it (W3C Subresource Integrity): the best of its words.
    #[must_use]
    pub fn integrity(text: &str) -> Option<Self> {
        let word = |function, name: &str, length: usize| {
            text.split_ascii_whitespace().find_map(|word| {
                let encoded = word.strip_prefix(name)?.split('?').next()?;
                let whole = STANDARD.decode(encoded).ok().filter(|whole| whole.len() == length)?;
                Some(Self { function, bits: *whole.first_chunk()? })
            })
        };
        word(Function::Sha512, "sha512-", 64).or_else(|| word(Function::Sha256, "sha256-", 32))
    }

    /// As checksum databases of Go modules have it: `h1:` and base64.
    #[must_use]
    pub fn go_module(text: &str) -> Option<Self> {
        Some(Self { function: Function::GoModule, bits: module_zip::bits(text)? })
    }

    /// Hashes what is to be compared.
    #[must_use]
    pub fn begin(self) -> Comparison {
        let hash = match self.function {
            Function::Sha256 => Hash::Sha256(Sha256::new()),
            Function::Sha512 => Hash::Sha512(Sha512::new()),
            Function::Sha1 => Hash::Sha1(Sha1(Context::new(&SHA1_FOR_LEGACY_USE_ONLY))),
            Function::GoModule => Hash::GoModule(Box::new(ModuleZip::new())),
        };
        Comparison { expected: self, hash }
    }

    /// Whether this is the artefact.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_of(self, mut artefact: impl Read) -> io::Result<bool> {
        let mut comparison = self.begin();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match artefact.read(&mut buffer)? {
                0 => return Ok(comparison.agrees()),
                read => comparison.take(buffer.get(..read).unwrap_or_default()),
            }
        }
    }
}

/// An artefact that is being compared with its index while it comes.
#[derive(Debug)]
pub struct Comparison {
    expected: Checksum,
    hash: Hash,
}

#[derive(Debug)]
enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
    Sha1(Sha1),
    GoModule(Box<ModuleZip>),
}

struct Sha1(Context);

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sha1").finish_non_exhaustive()
    }
}

impl Comparison {
    /// More of it has come.
    pub fn take(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Sha512(hash) => hash.update(bytes),
            Hash::Sha1(hash) => hash.0.update(bytes),
            Hash::GoModule(zip) => zip.take(bytes),
        }
    }

    /// Whether what has come is what was expected.
    #[must_use]
    pub fn agrees(&self) -> bool {
        match &self.hash {
            Hash::Sha256(hash) => hash.clone().finalize().starts_with(&self.expected.bits),
            Hash::Sha512(hash) => hash.clone().finalize().starts_with(&self.expected.bits),
            Hash::Sha1(hash) => self.expected.bits.starts_with(hash.0.clone().finish().as_ref()),
            Hash::GoModule(zip) => zip.sum() == Some(self.expected.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_read_as_indexes_write_them() {
        let plain =
            Checksum::sha256("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
        let integrity = "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0= sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
        let long = Checksum::integrity(integrity).unwrap();
        for checksum in [plain, long] {
            assert!(checksum.is_of(&b"abc"[..]).unwrap() && !checksum.is_of(&b"abd"[..]).unwrap());
        }
        let short = Checksum::integrity("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=?x").unwrap();
        assert_eq!(short, plain);
        for wrong in ["", "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "sha512-AAAA", "sha256-!"] {
            assert_eq!(Checksum::integrity(wrong), None, "{wrong}");
        }
        assert_eq!(Checksum::sha256("ba78"), None);
    }

    #[test]
    fn checksums_in_files_of_their_own() {
        let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
        for text in [
            sha1.to_owned(),
            format!("{sha1}\n"),
            format!("{sha1}  lib-1.0.jar"),
            format!("SHA1 (lib) = {sha1}"),
        ] {
            let checksum = Checksum::in_file(&text).unwrap();
            assert!(checksum.is_of(&b"abc"[..]).unwrap() && !checksum.is_of(&b"abd"[..]).unwrap(), "{text}");
        }
        for wrong in ["", "<html>", &sha1[1..], "zz993e364706816aba3e25717850c26c9cd0d89d"] {
            assert_eq!(Checksum::in_file(wrong), None, "{wrong}");
        }
    }
}
