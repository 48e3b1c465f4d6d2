//! What a statement is given.

use cofferdam_domain::{Digest, Seq, Timestamp, ids};

/// A parameter. Each may be null.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

/// Parameters, each made from what it stands for.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::sql::Value::from($value)),*] };
}
pub(crate) use values;

/// What stands for any of these texts after `IN`, and the parameters for it, which follow the first few.
pub(crate) fn any_of<'t>(
    texts: impl IntoIterator<Item = &'t (impl AsRef<str> + ?Sized + 't)>,
    first: usize,
) -> (String, Vec<Value>) {
    let values: Vec<Value> = texts.into_iter().map(|text| text.as_ref().into()).collect();
    let places: Vec<String> = (1..=values.len()).map(|place| format!("${}", first + place)).collect();
    // Nothing is null, and not every database takes an empty list.
    (format!("({})", if places.is_empty() { "NULL".to_owned() } else { places.join(", ") }), values)
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        // PostgreSQL keeps no NUL in text.
        Self::Text(Some(text.replace('\0', "")))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(if text.contains('\0') { text.replace('\0', "") } else { text }))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl<K: ids::Kind> From<ids::Id<K>> for Value {
    fn from(id: ids::Id<K>) -> Self {
        Self::Text(Some(id.to_string()))
    }
}

impl<K: ids::Kind> From<Option<ids::Id<K>>> for Value {
    fn from(id: Option<ids::Id<K>>) -> Self {
        Self::Text(id.map(|id| id.to_string()))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(Some(number.into()))
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Int(Some(is.into()))
    }
}

impl From<u64> for Value {
    /// All 64 bits are kept: the databases have no unsigned integers.
    fn from(number: u64) -> Self {
        Self::Int(Some(number.cast_signed()))
    }
}

impl From<Option<u64>> for Value {
    fn from(number: Option<u64>) -> Self {
        Self::Int(number.map(u64::cast_signed))
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        at.0.into()
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(at: Option<Timestamp>) -> Self {
        at.map(|at| at.0).into()
    }
}

impl From<Seq> for Value {
    fn from(seq: Seq) -> Self {
        seq.0.into()
    }
}

impl From<Digest> for Value {
    fn from(digest: Digest) -> Self {
        digest.as_bytes().to_vec().into()
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}
