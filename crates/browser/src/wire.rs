//! What comes in from a browser, one JSON message before each zero byte: bounded in length before it is parsed, and of one of three shapes.
//!
//! What an answer says is left as text until it is read by whoever asked: a short text can be much in memory, and who knows what they asked for
//! makes only that of it.

use std::borrow::Cow;

use cofferdam_domain::structure::has_at_most;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{BrowserError, Id};

/// Bytes of one message.
pub(crate) const MAX_MESSAGE: usize = 8 << 20;
/// Bytes of one message while something large is waited for: a picture of a page, or its outline.
pub(crate) const MAX_LARGE: usize = 24 << 20;
/// Bytes at the beginning of a message in which its number stands.
const HEAD: usize = 32;
/// Things that an event or an answer may say of which values are made: as maps with one entry each they take some 30 MiB.
const MAX_THINGS: usize = 100_000;
/// Things in an answer that is read without that.
const MAX_LARGE_THINGS: usize = 2_000_000;

/// A message of the browser's.
#[derive(Debug, Clone, PartialEq)]
pub enum Inbound {
    /// What came of a command.
    Answer {
        /// The command's number.
        id: u64,
        /// The result, or why there is none.
        result: Result<Unread, Problem>,
    },
    /// Something has happened.
    Event {
        /// The page that it is of; `None` for the browser itself.
        session: Option<Id>,
        /// What.
        method: String,
        /// More about it.
        params: Map<String, Value>,
    },
    /// Something has happened of which there is more to say than is taken: a page may print as much as it likes.
    LeftOut,
}

/// The result of a command, as it came: a JSON object, as far as one can tell without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread(Box<str>);

impl Unread {
    /// All of it, if that is not too much.
    pub(crate) fn value(&self, what: &'static str) -> Result<Value, BrowserError> {
        if !has_at_most(self.0.as_bytes(), MAX_THINGS) {
            return Err(BrowserError::TooLong(what));
        }
        self.read(what)
    }

    /// What is wanted of it, in a form that takes no more memory than the text.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self, what: &'static str) -> Result<T, BrowserError> {
        if !has_at_most(self.0.as_bytes(), MAX_LARGE_THINGS) {
            return Err(BrowserError::TooLong(what));
        }
        serde_json::from_str(&self.0).map_err(|_| BrowserError::Nonsense(what))
    }

    /// Its bytes.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }
}

/// Why a command has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The browser says so. Its words.
    Said(String),
    /// The answer was longer than is taken.
    TooLong,
}

/// What is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It is not JSON.
    #[error("a message is no JSON")]
    NoJson,
    /// It is JSON of another shape.
    #[error("a message is neither an answer nor an event")]
    Shape,
    /// It is too long, and neither.
    #[error("a message that is neither an answer nor an event is too long")]
    TooLong,
}

impl WireError {
    fn of(error: &serde_json::Error) -> Self {
        if error.is_data() { Self::Shape } else { Self::NoJson }
    }
}

/// What all messages have. What they say stays as it came.
#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow, rename = "sessionId")]
    session: Option<Cow<'a, str>>,
}

/// Why there is no result.
#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

impl Inbound {
    /// Reads one message.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(WireError::NoJson);
        }
        let message: Envelope<'_> = serde_json::from_slice(bytes).map_err(|error| WireError::of(&error))?;
        let object = |value: &RawValue| value.get().starts_with('{');
        if let Some(id) = message.id {
            let result = match (message.result, message.error) {
                (Some(result), None) if object(result) => Ok(Unread(result.get().into())),
                (None, Some(error)) if object(error) => {
                    let refusal: Refusal<'_> =
                        serde_json::from_str(error.get()).map_err(|_| WireError::Shape)?;
                    Err(Problem::Said(refusal.message.chars().take(500).collect()))
                }
                _ => return Err(WireError::Shape),
            };
            return Ok(Self::Answer { id, result });
        }
        let method = message.method.ok_or(WireError::Shape)?.into_owned();
        let session = match message.session {
            None => None,
            Some(session) => Some(Id::read(&session).ok_or(WireError::Shape)?),
        };
        let params = match message.params {
            None => Map::new(),
            Some(params) if !has_at_most(params.get().as_bytes(), MAX_THINGS) => return Ok(Self::LeftOut),
            Some(params) => serde_json::from_str(params.get()).map_err(|error| WireError::of(&error))?,
        };
        Ok(Self::Event { session, method, params })
    }
}

/// Messages out of bytes as they come, in pieces of any size. Of a message that is too long nothing is kept but its beginning.
#[derive(Debug)]
pub struct Messages {
    most: usize,
    kept: Vec<u8>,
    /// Bytes of the present message that were not kept.
    skipped: usize,
}

impl Default for Messages {
    fn default() -> Self {
        Self::bounded(MAX_MESSAGE)
    }
}

impl Messages {
    /// Messages of at most so many bytes.
    #[must_use]
    pub const fn bounded(most: usize) -> Self {
        Self { most, kept: Vec::new(), skipped: 0 }
    }

    /// From now on, messages of at most so many bytes.
    pub(crate) const fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// Takes in more bytes, and gives each message that has come to its end to `take` as long as that wants more.
    ///
    /// # Errors
    /// When there is something that is no message: nothing that comes after it can be believed to be one.
    pub fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(Inbound)) -> Result<(), WireError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            let (piece, rest) = bytes.split_at(end);
            self.keep(piece);
            take(self.finish()?);
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
        Ok(())
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.skipped == 0 && self.kept.len() + piece.len() <= self.most {
            self.kept.extend_from_slice(piece);
            return;
        }
        if self.skipped == 0 {
            let wanted = HEAD.saturating_sub(self.kept.len()).min(piece.len());
            self.kept.extend_from_slice(piece.get(..wanted).unwrap_or_default());
            self.kept.truncate(HEAD);
            self.kept.shrink_to_fit();
        }
        self.skipped = self.skipped.saturating_add(piece.len()).max(1);
    }

    fn finish(&mut self) -> Result<Inbound, WireError> {
        let kept = std::mem::take(&mut self.kept);
        if std::mem::take(&mut self.skipped) == 0 {
            return Inbound::parse(&kept);
        }
        if let Some(id) = number(&kept) {
            return Ok(Inbound::Answer { id, result: Err(Problem::TooLong) });
        }
        // What it is an event of is lost with it: bytes that a page chose, as far as the browser is one.
        if kept.starts_with(b"{\"method\":\"") { Ok(Inbound::LeftOut) } else { Err(WireError::TooLong) }
    }
}

/// The number of an answer, by its beginning: a browser writes it first.
fn number(head: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(head.strip_prefix(b"{\"id\":")?).ok()?;
    let (digits, _) = digits.split_once(',')?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn all(messages: &mut Messages, bytes: &[u8], piece: usize) -> Result<Vec<Inbound>, WireError> {
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            messages.push(piece, |message| found.push(message))?;
        }
        Ok(found)
    }

    #[test]
    fn the_three_shapes() {
        let text =
            b"{\"id\":1,\"result\":{\"a\":1}}\0{\"id\":2,\"error\":{\"code\":-1,\"message\":\"no\"}}\0\
            {\"method\":\"A.b\",\"params\":{\"c\":2},\"sessionId\":\"S\"}\0";
        let found = all(&mut Messages::default(), text, 7).unwrap();
        let Inbound::Answer { id: 1, result: Ok(result) } = &found[0] else { panic!("{found:?}") };
        assert_eq!(result.value("x"), Ok(json!({"a": 1})));
        assert_eq!(found[1], Inbound::Answer { id: 2, result: Err(Problem::Said("no".into())) });
        let Inbound::Event { session, method, params } = &found[2] else { panic!("{found:?}") };
        assert_eq!((session, method.as_str(), params.len()), (&Some("S".into()), "A.b", 1));
    }

    #[test]
    fn whatever_else_comes_is_refused() {
        for bad in [
            "",
            "1",
            "[]",
            "{}",
            "{\"id\":-1,\"result\":{}}",
            "{\"id\":1}",
            "{\"id\":1,\"result\":3}",
            "{\"id\":1,\"result\":{},\"error\":{\"message\":\"\"}}",
            "{\"id\":1,\"error\":{}}",
            "{\"method\":3}",
            "{\"method\":\"a\",\"params\":[]}",
            "{\"method\":\"a\",\"sessionId\":1}",
            "{\"method\":\"a\",\"sessionId\":\"no id\"}",
            "{\"method\":\"a\",\"params\":[{}]}",
            "{\"id\":1,\"result\":{}} x",
        ] {
            assert!(Inbound::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let long = format!("{{\"method\":\"a\",\"sessionId\":\"{}\"}}", "x".repeat(1_000));
        assert_eq!(Inbound::parse(long.as_bytes()), Err(WireError::Shape));
    }

    #[test]
    fn a_short_text_is_not_made_much_of() {
        let text = |inner: String| format!("{{\"id\":1,\"result\":{{\"a\":{inner}}}}}");
        let answer = |text: String| match Inbound::parse(text.as_bytes()) {
            Ok(Inbound::Answer { result: Ok(result), .. }) => result.value("it"),
            other => panic!("{other:?}"),
        };
        let deep = answer(text("[".repeat(10_000) + &"]".repeat(10_000)));
        assert_eq!(deep, Err(BrowserError::Nonsense("it")), "the answer is refused alone");
        let maps = |count: usize| format!("[{}0]", r#"{"":0},"#.repeat(count));
        assert!(answer(text(maps(10_000))).is_ok());
        assert_eq!(answer(text(maps(40_000))), Err(BrowserError::TooLong("it")));
        let event = |count| format!("{{\"method\":\"a\",\"params\":{{\"a\":{}}}}}", maps(count));
        assert!(matches!(Inbound::parse(event(10_000).as_bytes()), Ok(Inbound::Event { .. })));
        assert_eq!(Inbound::parse(event(40_000).as_bytes()), Ok(Inbound::LeftOut));
    }

    #[test]
    fn an_answer_that_is_too_long_fails_alone() {
        let long = format!(
            "{{\"id\":7,\"result\":{{\"data\":\"{}\"}}}}\0{{\"id\":8,\"result\":{{}}}}\0",
            "x".repeat(300)
        );
        for piece in [1, 5, 64, 1000] {
            let mut messages = Messages::bounded(100);
            let found = all(&mut messages, long.as_bytes(), piece).unwrap();
            assert_eq!(found[0], Inbound::Answer { id: 7, result: Err(Problem::TooLong) });
            assert!(matches!(found[1], Inbound::Answer { id: 8, result: Ok(_) }));
        }
        let event = format!("{{\"method\":\"a\",\"params\":{{\"x\":\"{}\"}}}}\0", "x".repeat(300));
        assert_eq!(all(&mut Messages::bounded(100), event.as_bytes(), 9), Ok(vec![Inbound::LeftOut]));
        let other = format!("{}\0", "x".repeat(300));
        assert_eq!(all(&mut Messages::bounded(100), other.as_bytes(), 9), Err(WireError::TooLong));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_memory_has_an_end(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
            let mut messages = Messages::bounded(64);
            for piece in pieces {
                if messages.push(&piece, |_| {}).is_err() {
                    break;
                }
                prop_assert!(messages.kept.len() <= 64);
            }
        }

        #[test]
        fn pieces_do_not_matter(ids in prop::collection::vec(0u64..1000, 1..10), long in 0usize..200, piece in 1usize..50) {
            let text: String = ids.iter().map(|id| format!("{{\"id\":{id},\"result\":{{\"x\":\"{}\"}}}}\0", "y".repeat(long))).collect();
            let once = all(&mut Messages::bounded(100), text.as_bytes(), usize::MAX);
            prop_assert_eq!(all(&mut Messages::bounded(100), text.as_bytes(), piece), once);
        }
    }
}
