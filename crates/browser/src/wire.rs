//! What comes in from a browser, one JSON message before each zero byte: bounded in length before it is parsed, and of one of three shapes.

use serde_json::{Map, Value};

/// Bytes of one message. A picture of a page, or the outline of a large one, fits.
pub(crate) const MAX_MESSAGE: usize = 24 << 20;
/// Bytes at the beginning of a message in which its number stands.
const HEAD: usize = 32;

/// A message of the browser's.
#[derive(Debug, Clone, PartialEq)]
pub enum Inbound {
    /// What came of a command.
    Answer {
        /// The command's number.
        id: u64,
        /// The result, or why there is none.
        result: Result<Value, Problem>,
    },
    /// Something has happened.
    Event {
        /// The page that it is of; `None` for the browser itself.
        session: Option<String>,
        /// What.
        method: String,
        /// More about it.
        params: Map<String, Value>,
    },
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
    /// It is too long, and no answer.
    #[error("a message that is no answer is longer than {MAX_MESSAGE} bytes")]
    TooLong,
}

impl Inbound {
    /// Reads one message.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| WireError::NoJson)?;
        let Value::Object(mut message) = value else { return Err(WireError::Shape) };
        if let Some(id) = message.get("id") {
            let id = id.as_u64().ok_or(WireError::Shape)?;
            let result = match (message.remove("result"), message.remove("error")) {
                (Some(result @ Value::Object(_)), None) => Ok(result),
                (None, Some(Value::Object(error))) => {
                    let words = error.get("message").and_then(Value::as_str).ok_or(WireError::Shape)?;
                    Err(Problem::Said(words.chars().take(500).collect()))
                }
                _ => return Err(WireError::Shape),
            };
            return Ok(Self::Answer { id, result });
        }
        let Some(Value::String(method)) = message.remove("method") else { return Err(WireError::Shape) };
        let params = match message.remove("params") {
            Some(Value::Object(params)) => params,
            None => Map::new(),
            Some(_) => return Err(WireError::Shape),
        };
        let session = match message.remove("sessionId") {
            None => None,
            Some(Value::String(session)) => Some(session),
            Some(_) => return Err(WireError::Shape),
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
        let id = number(&kept).ok_or(WireError::TooLong)?;
        Ok(Inbound::Answer { id, result: Err(Problem::TooLong) })
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
        assert_eq!(found[0], Inbound::Answer { id: 1, result: Ok(json!({"a": 1})) });
        assert_eq!(found[1], Inbound::Answer { id: 2, result: Err(Problem::Said("no".into())) });
        let Inbound::Event { session, method, params } = &found[2] else { panic!("{found:?}") };
        assert_eq!((session.as_deref(), method.as_str(), params.len()), (Some("S"), "A.b", 1));
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
            "{\"id\":1,\"result\":{}} x",
        ] {
            assert!(Inbound::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let deep = format!("{{\"id\":1,\"result\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(Inbound::parse(deep.as_bytes()), Err(WireError::NoJson));
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
            assert_eq!(found[1], Inbound::Answer { id: 8, result: Ok(json!({})) });
        }
        let event = format!("{{\"method\":\"a\",\"params\":{{\"x\":\"{}\"}}}}\0", "x".repeat(300));
        assert_eq!(all(&mut Messages::bounded(100), event.as_bytes(), 9), Err(WireError::TooLong));
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
