//! What a person would see of a command's output, as plain text: no escape sequences, no redrawn progress
//! bars.
//!
//! Sequences are recognised by their form (ECMA-48, "Control functions for coded character sets", 5.4 and
//! 8.3.89): a cursor that moves is not simulated, so a full-screen program comes out as the text that it
//! drew, in the order in which it drew it.

/// Escape sequences longer than this are taken as text: nothing may swallow a whole output.
const MAX_SEQUENCE: usize = 4096;

/// The text of an output, and how many bytes or control characters had none and are shown as `U+FFFD`.
pub(crate) fn cleaned(bytes: &[u8]) -> (String, usize) {
    let mut text = String::with_capacity(bytes.len());
    let mut unprintable = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            unprintable += chunk.invalid().len();
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    let special = |character: char| character.is_control() && character != '\n' && character != '\t';
    if !text.contains(special) {
        return (text, unprintable);
    }
    let (plain, removed) = without_controls(&text);
    (plain, unprintable + removed)
}

fn without_controls(text: &str) -> (String, usize) {
    let mut screen = Screen::default();
    let mut rest = text;
    let mut endless = 0;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '\n' => screen.line_feed(),
            '\r' => screen.carriage_return(),
            '\u{8}' => screen.backspace(),
            '\u{1b}' => rest = &rest[escape_length(rest, text.len() - rest.len(), &mut endless)..],
            '\u{9b}' => rest = &rest[control_sequence_length(rest)..],
            // Bell, shift out and shift in show nothing.
            '\u{7}' | '\u{e}' | '\u{f}' => {}
            '\t' => screen.put('\t'),
            other if other.is_control() => screen.unprintable(),
            other => screen.put(other),
        }
    }
    screen.finish()
}

/// The bytes of an escape sequence after its `ESC`. `rest` begins at `start`; see [`string_length`] for
/// `endless`.
fn escape_length(rest: &str, start: usize, endless: &mut usize) -> usize {
    let mut characters = rest.chars();
    match characters.next() {
        Some('[') => 1 + control_sequence_length(&rest[1..]),
        // Operating system command, device control, start of string, privacy message, application command: up
        // to BEL or ST.
        Some(']' | 'P' | 'X' | '^' | '_') => 1 + string_length(&rest[1..], start + 1, endless),
        // Designates a character set: one or more intermediate bytes, one final byte.
        Some(' '..='/') => {
            let intermediates = rest.bytes().take_while(|byte| (b' '..=b'/').contains(byte)).count();
            intermediates + rest[intermediates..].chars().next().map_or(0, char::len_utf8)
        }
        Some('0'..='~') => 1,
        Some(_) | None => 0,
    }
}

/// Parameter bytes, intermediate bytes, one final byte; nothing if it does not have that form.
fn control_sequence_length(rest: &str) -> usize {
    let inner = rest.bytes().take(MAX_SEQUENCE).take_while(|byte| (b' '..=b'?').contains(byte)).count();
    match rest.as_bytes().get(inner) {
        Some(b'@'..=b'~') => inner + 1,
        Some(_) | None => inner,
    }
}

/// The bytes of a control string with its end; nothing if it has none. Up to `endless` no end was found
/// before, and nobody looks there again: an output may have millions of beginnings.
fn string_length(rest: &str, start: usize, endless: &mut usize) -> usize {
    let window = &rest.as_bytes()[..rest.len().min(MAX_SEQUENCE)];
    let known = endless.saturating_sub(start);
    for (index, byte) in window.iter().enumerate().skip(known) {
        match byte {
            7 => return index + 1,
            0x1b if window.get(index + 1) == Some(&b'\\') => return index + 2,
            b'\n' => return index,
            _ => {}
        }
    }
    // The last byte may be the first half of an end.
    *endless = start + window.len().saturating_sub(1);
    0
}

/// Lines as they end up, with the one being drawn.
#[derive(Default)]
struct Screen {
    done: String,
    line: String,
    /// What stood in the line when the cursor went back to its start; shown if nothing is drawn over it.
    behind: Option<String>,
    unprintable: usize,
}

impl Screen {
    fn put(&mut self, character: char) {
        self.behind = None;
        self.line.push(character);
    }

    fn unprintable(&mut self) {
        self.unprintable += 1;
        self.put(char::REPLACEMENT_CHARACTER);
    }

    fn carriage_return(&mut self) {
        if !self.line.is_empty() {
            self.behind = Some(std::mem::take(&mut self.line));
        }
    }

    fn backspace(&mut self) {
        self.line.pop();
    }

    fn line_feed(&mut self) {
        self.end_line();
        self.done.push('\n');
    }

    fn end_line(&mut self) {
        let shown = self.behind.take().unwrap_or_default();
        self.done.push_str(if self.line.is_empty() { &shown } else { &self.line });
        self.line.clear();
    }

    fn finish(mut self) -> (String, usize) {
        self.end_line();
        (self.done, self.unprintable)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_and_progress_bars_collapse() {
        let cases: [(&[u8], &str); 9] = [
            (b"\x1b[1;31merror\x1b[0m: no\n", "error: no\n"),
            (b"10%\r20%\r100%\ndone\n", "100%\ndone\n"),
            (b"windows\r\nline\r\n", "windows\nline\n"),
            (b"kept\r", "kept"),
            (b"\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "textlink"),
            (b"a\x1b(Bb\x1b=c\x1b7d", "abcd"),
            (b"\xe2\x9c\x93 tick\x07", "✓ tick"),
            (b"passw\x08\x08rd", "pasrd"),
            ("\u{9b}2Kx".as_bytes(), "x"),
        ];
        for (raw, plain) in cases {
            assert_eq!(cleaned(raw), (plain.to_owned(), 0), "{raw:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_counted() {
        assert_eq!(cleaned(b"a\xff\xfeb\0"), ("a\u{fffd}\u{fffd}b\u{fffd}".to_owned(), 3));
    }

    #[test]
    fn an_unfinished_sequence_swallows_little() {
        let raw = [b"\x1b]".as_slice(), &[b'x'; 10_000]].concat();
        assert_eq!(cleaned(&raw).0.len(), 10_000);
        assert_eq!(cleaned(b"\x1b]0;title\nnext").0, "\nnext");
    }

    #[test]
    fn many_beginnings_without_an_end_take_no_longer_than_other_text() {
        let raw = b"\x1b]".repeat(1 << 20);
        let started = std::time::Instant::now();
        assert_eq!(cleaned(&raw), (String::new(), 0));
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        // What ends only in the next window is found there.
        let raw = [b"\x1b]".repeat(3000), vec![7], b"seen".to_vec()].concat();
        assert_eq!(cleaned(&raw).0, "seen");
    }

    proptest! {
        #[test]
        fn no_controls_are_left(raw in prop::collection::vec(any::<u8>(), 0..300)) {
            let (text, _) = cleaned(&raw);
            prop_assert!(text.chars().all(|character| !character.is_control() || "\n\t".contains(character)));
        }

        #[test]
        fn plain_text_stays(text in "[a-zäöü €\n\t]{0,200}") {
            prop_assert_eq!(cleaned(text.as_bytes()), (text, 0));
        }
    }
}
