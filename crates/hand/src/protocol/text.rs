//! Strings of the protocol: each with its rules, kept by the only way to make one.
//!
//! They hold bytes, as the kernel's strings do: a path or argument need not be UTF-8.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest path that the kernel takes, with its end (`PATH_MAX`, limits.h).
const PATH_MAX: usize = 4096;
/// The longest [`Notice`] in bytes.
const NOTICE_MAX: usize = 1024;

/// What is wrong with a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The kernel's strings end at a NUL byte, so none can hold one.
    #[error("contains a NUL byte; remove it")]
    Nul,
    /// Longer than the kernel takes.
    #[error("is longer than {} bytes; use a shorter path", PATH_MAX - 1)]
    TooLong,
    /// Paths in requests start at the root.
    #[error("is not an absolute path; start it with /")]
    NotAbsolute,
    /// A variable's name is empty or has an equals sign.
    #[error("is not the name of an environment variable; it must not be empty or contain =")]
    VariableName,
}

/// Bytes without NUL: what the kernel takes as an argument or variable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KernelString(Vec<u8>);

impl KernelString {
    /// Checks the bytes.
    ///
    /// # Errors
    /// [`TextError::Nul`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, TextError> {
        let bytes = bytes.into();
        if bytes.contains(&0) { Err(TextError::Nul) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As the standard library's string.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

/// An absolute path inside the sandbox, not longer than the kernel takes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SandboxPath(Vec<u8>);

impl SandboxPath {
    /// Checks the bytes.
    ///
    /// # Errors
    /// [`TextError::Nul`], [`TextError::TooLong`] or [`TextError::NotAbsolute`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, TextError> {
        let KernelString(bytes) = KernelString::new(bytes)?;
        if bytes.len() >= PATH_MAX {
            return Err(TextError::TooLong);
        }
        if bytes.first() != Some(&b'/') {
            return Err(TextError::NotAbsolute);
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As the standard library's path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }
}

/// The name of an environment variable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VariableName(Vec<u8>);

impl VariableName {
    /// Checks the bytes.
    ///
    /// # Errors
    /// [`TextError::Nul`] or [`TextError::VariableName`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, TextError> {
        let KernelString(bytes) = KernelString::new(bytes)?;
        if bytes.is_empty() || bytes.contains(&b'=') {
            return Err(TextError::VariableName);
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As the standard library's string.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

/// A sentence from inside, at most 1,024 bytes of UTF-8. Untrusted: whoever shows it must neutralise control
/// characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Notice(String);

impl Notice {
    /// Makes one; what is over the bound is cut off.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(NOTICE_MAX));
        Self(text)
    }

    /// The sentence.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Notice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Notice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > NOTICE_MAX {
            return Err(de::Error::custom("a notice over its bound"));
        }
        Ok(Self(text))
    }
}

/// Raw bytes that serialise in one piece rather than byte by byte.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// Serialises a checked string as [`Bytes`], and checks it again when it comes in.
macro_rules! checked_bytes {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{}\"", self.0.escape_ascii())
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Bytes(bytes) = Bytes::deserialize(deserializer)?;
                Self::new(bytes).map_err(de::Error::custom)
            }
        }
        impl From<$name> for OsString {
            fn from(text: $name) -> Self {
                Self::from_vec(text.0)
            }
        }
    )+};
}

checked_bytes!(KernelString, SandboxPath, VariableName);
