//! The name of a git object: 40 (SHA-1) or 64 (SHA-256) hexadecimal digits in lower case.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a git object. Never an option or a revision expression, so it may stand on any git command
/// line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId(String);

/// The text is not a whole object name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a git object name: expected 40 or 64 hexadecimal digits in lower case")]
pub struct InvalidObjectId;

impl ObjectId {
    /// The hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..10]
    }

    /// Whether it is all zeroes, git's word for "no object".
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'0')
    }

    /// Whether the repository it comes from names objects by SHA-256.
    pub(crate) fn is_sha256(&self) -> bool {
        self.0.len() == 64
    }

    /// The object name in `bytes`, which a git command printed.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidObjectId> {
        std::str::from_utf8(bytes).map_err(|_| InvalidObjectId)?.parse()
    }
}

impl FromStr for ObjectId {
    type Err = InvalidObjectId;

    fn from_str(text: &str) -> Result<Self, InvalidObjectId> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits && matches!(text.len(), 40 | 64) { Ok(Self(text.to_owned())) } else { Err(InvalidObjectId) }
    }
}

impl TryFrom<String> for ObjectId {
    type Error = InvalidObjectId;

    fn try_from(text: String) -> Result<Self, InvalidObjectId> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<std::ffi::OsStr> for ObjectId {
    fn as_ref(&self) -> &std::ffi::OsStr {
        self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names() {
        let sha1 = "7078288f917578a87e409fcda6a95521405f248e";
        assert_eq!(sha1.parse::<ObjectId>().unwrap().to_string(), sha1);
        assert!("a".repeat(64).parse::<ObjectId>().unwrap().is_sha256());
        for bad in ["", "--help", "HEAD", &sha1[..39], &sha1.to_uppercase(), &format!("{sha1}\n")] {
            assert_eq!(bad.parse::<ObjectId>(), Err(InvalidObjectId), "{bad:?}");
        }
    }
}
