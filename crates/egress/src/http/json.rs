//! The names in a JSON text (RFC 8259), read while it passes, as the most lenient servers see them: whether it is well formed is not asked.

/// Bytes of a name at most, as it is written; of longer ones nobody asks.
const LONGEST: usize = 256;
/// How deep names are looked at: those of an object, of the objects in it, and one deeper.
const DEEPEST: usize = 3;

/// Reads the names in one text, or in several one after the other.
#[derive(Debug, Default)]
pub(super) struct Names {
    depth: usize,
    state: State,
    /// The text that is being read, or was read last, without its quotes; cut off.
    text: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    Text,
    /// Behind a backslash.
    Escape,
    /// Behind a text: a colon makes a name of it.
    Ended,
}

impl Names {
    /// Goes on with these bytes; stops at the first name that is found, and gives it.
    pub(super) fn find(&mut self, bytes: &[u8], mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        for byte in bytes {
            if self.follow(*byte) && self.depth <= DEEPEST {
                let name = self.name();
                if wanted(&name) {
                    return Some(name);
                }
            }
        }
        None
    }

    /// Whether a name has ended with this byte.
    fn follow(&mut self, byte: u8) -> bool {
        let (state, named) = match (self.state, byte) {
            (State::Outside | State::Ended, b'"') => {
                self.text.clear();
                (State::Text, false)
            }
            (State::Ended, b':') => (State::Outside, true),
            (State::Ended, byte) if byte.is_ascii_whitespace() => (State::Ended, false),
            (State::Outside | State::Ended, byte) => {
                self.depth = match byte {
                    b'{' | b'[' => self.depth.saturating_add(1),
                    b'}' | b']' => self.depth.saturating_sub(1),
                    _ => self.depth,
                };
                (State::Outside, false)
            }
            (State::Text, b'"') => (State::Ended, false),
            (State::Text, b'\\') => (self.keep(byte, State::Escape), false),
            (State::Text | State::Escape, byte) => (self.keep(byte, State::Text), false),
        };
        self.state = state;
        named
    }

    fn keep(&mut self, byte: u8, next: State) -> State {
        if self.text.len() < LONGEST {
            self.text.push(byte);
        }
        next
    }

    /// The name without its escapes.
    fn name(&self) -> String {
        let plain = String::from_utf8_lossy(&self.text);
        serde_json::from_str(&format!("\"{plain}\"")).unwrap_or_else(|_| plain.into_owned())
    }
}

/// Whether a text could be JSON, whatever it is said to be: it begins like an object or a list.
pub(super) fn begins(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Whether a text is in one of the encodings that JSON once could have, and some servers still read.
pub(super) fn is_wide(text: &[u8]) -> bool {
    text.iter().take(4).any(|byte| matches!(byte, 0 | 0xfe | 0xff)) || text.starts_with(b"\xef\xbb\xbf")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str, piece: usize) -> Vec<String> {
        let (mut reader, mut found) = (Names::default(), Vec::new());
        for piece in text.as_bytes().chunks(piece) {
            assert_eq!(
                reader.find(piece, |name| {
                    found.push(name.to_owned());
                    false
                }),
                None
            );
        }
        found
    }

    #[test]
    fn names_are_read_however_they_are_written() {
        for (text, expected) in [
            (r#"{"a":1,"b" : {"c":[{"deep":1}]}}"#, vec!["a", "b", "c"]),
            (r#"{"pass\u0077ord":"x"}"#, vec!["password"]),
            (r#"{"a":"b:c","d":"\"e\":","f":"g"}"#, vec!["a", "d", "f"]),
            (r#"[{"a":1},{"b":2}]{"c":3}"#, vec!["a", "b", "c"]),
            (r#""a":1"#, vec!["a"]),
            (r#"{"a\\":1,"b"}"#, vec!["a\\"]),
            ("", vec![]),
        ] {
            for piece in 1..=text.len().max(1) {
                assert_eq!(names(text, piece), expected, "{text} {piece}");
            }
        }
        assert_eq!(Names::default().find(b"{\"x\":1,\"y\":2", |name| name == "x"), Some("x".to_owned()));
    }

    #[test]
    fn what_could_be_json() {
        assert!(begins(b" \n{") && begins(b"[1]") && !begins(b"\"a\"") && !begins(b""));
        assert!(is_wide(b"\xff\xfe{\0") && is_wide(b"\0\0\0{") && is_wide(b"{\0\"\0") && !is_wide(b"{\"a\""));
    }

    proptest! {
        #[test]
        fn names_of_any_object_are_found(keys in prop::collection::vec(".{0,20}", 1..5), piece in 1_usize..20) {
            let object: serde_json::Map<String, serde_json::Value> =
                keys.iter().map(|key| (key.clone(), serde_json::json!([key, { "inner": 1 }]))).collect();
            let text = serde_json::to_string(&object).unwrap();
            let found = names(&text, piece);
            for key in object.keys() {
                prop_assert!(found.contains(key), "{key} in {text}: {found:?}");
            }
        }
    }
}
