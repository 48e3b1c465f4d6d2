//! What the browser calls things.

use std::{borrow::Borrow, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};

/// Bytes of one. The browser's own have some forty.
const MOST: usize = 128;

/// What the browser calls a tab, a page's session, a frame or an object: short and plain, so that it can be kept and said back. Whatever is not
/// is nothing's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Id(Arc<str>);

impl Id {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let fine = !text.is_empty() && text.len() <= MOST && text.bytes().all(plain);
        fine.then(|| Self(text.into()))
    }

    /// The one that a value is.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        Self::read(value.as_str()?)
    }

    /// The one that an object has at a name.
    pub(crate) fn at(object: &Map<String, Value>, name: &str) -> Option<Self> {
        Self::of(object.get(name)?)
    }
}

/// Found by its text in a map of them.
impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Self::read(text).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_plain_or_nothing() {
        let long = "x".repeat(MOST);
        for fine in ["1", "-7", "8D3F.2.1", long.as_str()] {
            assert!(Id::read(fine).is_some(), "{fine}");
        }
        for bad in ["", " ", "a b", "a\"b", "a\\b", "a\nb", "ä", "a\u{202e}", &(long + "x")] {
            assert!(Id::read(bad).is_none(), "{bad:?}");
        }
    }
}
