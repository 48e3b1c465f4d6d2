//! One id type for each kind of thing, sortable by time of creation and readable in logs.
//!
//! An id is a UUID version 7 (RFC 9562: 48 bits of milliseconds, then random bits) written as a prefix that
//! names the kind and 26 digits of Crockford's base 32 in lower case, for example
//! `ses_01jd3v8q4me8h6w2k5x7r9t0zb`. The digits sort as text in the order of creation.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 26;

/// What an id is the id of. Implemented by empty marker types only.
pub trait Kind {
    /// Stands before the digits, without the underscore: `ses`, `evt`.
    const PREFIX: &'static str;
}

/// Declares a kind of id: its marker type and the alias that everybody uses.
macro_rules! kinds {
    ($($(#[$doc:meta])* $alias:ident = $marker:ident $prefix:literal;)*) => {$(
        #[doc = concat!("Marks an [`Id`] as `", $prefix, "_…`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $marker {}
        impl Kind for $marker {
            const PREFIX: &'static str = $prefix;
        }
        $(#[$doc])*
        pub type $alias = Id<$marker>;
    )*};
}

kinds! {
    /// The work on one task, from intake to its end.
    SessionId = SessionKind "ses";
    /// One entry of a session's log.
    EventId = EventKind "evt";
    /// One isolated machine in which tools ran.
    SandboxId = SandboxKind "sbx";
    /// An organisation: everything that is kept belongs to one.
    OrgId = OrgKind "org";
    /// A project of an organisation.
    ProjectId = ProjectKind "prj";
    /// A person, or a program that acts as one.
    UserId = UserKind "usr";
    /// An API token.
    TokenId = TokenKind "tok";
    /// One stay of a browser that is signed in.
    SignInId = SignInKind "sig";
    /// A worker process, from its start to its end.
    WorkerId = WorkerKind "wrk";
    /// Something that happened outside of sessions and must be accounted for.
    AuditId = AuditKind "aud";
    /// Something that people are told.
    LetterId = LetterKind "let";
    /// A secret that is kept for an organisation.
    StoredSecretId = StoredSecretKind "sec";
    /// A text that is kept for later sessions.
    MemoryId = MemoryKind "mem";
}

/// An id of the kind `K`. See the module's documentation for the form.
pub struct Id<K> {
    raw: u128,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Id<K> {
    /// A new id, unique and later than every one made before it on this machine.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_u128(uuid::Uuid::now_v7().as_u128())
    }

    /// The id with these bits; for stores and tests.
    #[must_use]
    pub const fn from_u128(raw: u128) -> Self {
        Self { raw, kind: PhantomData }
    }

    /// The id's bits.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.raw
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.raw.cmp(&other.raw)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [b'0'; DIGITS];
        let mut rest = self.raw;
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        f.write_str(K::PREFIX)?;
        f.write_str("_")?;
        digits.iter().try_for_each(|digit| fmt::Write::write_char(f, char::from(*digit)))
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an id of the wanted kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not an id of this kind: expected {prefix}_ and {DIGITS} digits or letters")]
pub struct InvalidId {
    text: String,
    prefix: &'static str,
}

impl<K: Kind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.chars().take(64).collect(), prefix: K::PREFIX };
        let digits =
            text.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or_else(invalid)?;
        if digits.len() != DIGITS {
            return Err(invalid());
        }
        let mut raw: u128 = 0;
        for digit in digits.bytes() {
            let value = ALPHABET.iter().position(|known| *known == digit).ok_or_else(invalid)?;
            // 26 digits hold 130 bits: the first may only carry three.
            if raw >> 123 != 0 {
                return Err(invalid());
            }
            raw = raw << 5 | value as u128;
        }
        Ok(Self::from_u128(raw))
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_and_back(raw: u128) {
            let id = SessionId::from_u128(raw);
            prop_assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
        }

        #[test]
        fn text_sorts_as_the_id_does(a: u128, b: u128) {
            let (a, b) = (EventId::from_u128(a), EventId::from_u128(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            if let Ok(id) = text.parse::<SessionId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn kinds_do_not_mix() {
        let session = SessionId::generate().to_string();
        assert!(session.starts_with("ses_"));
        assert!(session.parse::<EventId>().is_err());
        assert!("ses_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<SessionId>().is_err(), "more than 128 bits");
    }
}
