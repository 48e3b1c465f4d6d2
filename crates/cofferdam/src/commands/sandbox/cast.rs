//! A recording of a terminal, as asciicast v2 (<https://docs.asciinema.org/manual/asciicast/v2/>): a line of JSON about the terminal, then one
//! for each thing that was seen. What was typed is not in it, unless it was shown: passwords are not.

use std::time::Instant;

use cofferdam_domain::Timestamp;
use serde_json::json;

use super::{attend::Screen, wire::Size};

/// Bytes of a recording.
const MOST: usize = 16 << 20;
/// The size of what is no terminal.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// A recording in the making.
pub(super) struct Cast {
    began: Instant,
    lines: Vec<u8>,
    /// The beginning of a character whose rest has not come yet.
    rest: Vec<u8>,
    cut: bool,
}

impl Cast {
    /// One that begins now, of a terminal of this size if it is one.
    pub(super) fn new(size: Option<Size>, at: Timestamp) -> Self {
        let Size { columns, rows } = size.unwrap_or(USUAL);
        let head = json!({"version": 2, "width": columns, "height": rows, "timestamp": at.0 / 1000});
        let lines = format!("{head}\n").into_bytes();
        Self { began: Instant::now(), lines, rest: Vec::new(), cut: false }
    }

    /// The whole recording.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.line("o", &String::from_utf8_lossy(&rest));
        }
        self.lines
    }

    fn line(&mut self, kind: &str, text: &str) {
        let line = json!([self.began.elapsed().as_secs_f64(), kind, text]).to_string();
        if self.cut || self.lines.len().saturating_add(line.len()) > MOST {
            if !std::mem::replace(&mut self.cut, true) {
                let seconds = self.began.elapsed().as_secs_f64();
                let note = json!([seconds, "m", "the rest is too long to be kept"]);
                self.lines.extend_from_slice(format!("{note}\n").as_bytes());
            }
            return;
        }
        self.lines.extend_from_slice(line.as_bytes());
        self.lines.push(b'\n');
    }
}

impl Screen for Cast {
    fn printed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        // A character may come in two pieces; one that is none is shown as such.
        let whole = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => self.rest.len(),
        };
        let rest = self.rest.split_off(whole);
        let printed = std::mem::replace(&mut self.rest, rest);
        if !printed.is_empty() {
            self.line("o", &String::from_utf8_lossy(&printed));
        }
    }

    fn resized(&mut self, Size { columns, rows }: Size) {
        self.line("r", &format!("{columns}x{rows}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(cast: Cast) -> Vec<serde_json::Value> {
        let text = String::from_utf8(cast.finish()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn what_is_seen_is_in_it() {
        let mut cast = Cast::new(Some(Size { columns: 100, rows: 30 }), Timestamp(1_700_000_000_123));
        cast.printed(b"a\x1b[1mb\r\n");
        cast.printed(b"\xc3");
        cast.printed(b"\xbc");
        cast.resized(Size { columns: 90, rows: 20 });
        cast.printed(b"\xff\xc3");
        let lines = lines(cast);
        assert_eq!(lines[0], json!({"version": 2, "width": 100, "height": 30, "timestamp": 1_700_000_000}));
        let seen: Vec<(&str, &str)> =
            lines[1..].iter().map(|line| (line[1].as_str().unwrap(), line[2].as_str().unwrap())).collect();
        assert_eq!(seen, [("o", "a\u{1b}[1mb\r\n"), ("o", "ü"), ("r", "90x20"), ("o", "\u{fffd}\u{fffd}")]);
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let mut cast = Cast::new(None, Timestamp(0));
        for _ in 0..3 {
            cast.printed(&vec![b'x'; MOST / 2]);
        }
        let lines = lines(cast);
        assert_eq!((lines.len(), lines[2][1].as_str()), (3, Some("m")));
    }
}
