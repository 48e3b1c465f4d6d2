//! What indexes say that an artefact hashes to.

use std::io::{self, Read};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256, Sha512};

use super::module_zip::{self, ModuleZip};

/// What an artefact hashes to, as its registry's index says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    function: Function,
    /// The first 256 bits, which are enough: indexes have many.
    bits: [u8; 32],
}

/// The hash functions that indexes use and that are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sha256,
    Sha512,
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
    GoModule(Box<ModuleZip>),
}

impl Comparison {
    /// More of it has come.
    pub fn take(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Sha512(hash) => hash.update(bytes),
            Hash::GoModule(zip) => zip.take(bytes),
        }
    }

    /// Whether what has come is what was expected.
    #[must_use]
    pub fn agrees(&self) -> bool {
        match &self.hash {
            Hash::Sha256(hash) => hash.clone().finalize().starts_with(&self.expected.bits),
            Hash::Sha512(hash) => hash.clone().finalize().starts_with(&self.expected.bits),
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
}
