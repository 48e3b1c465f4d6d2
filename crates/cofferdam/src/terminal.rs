//! The one place that writes to the terminal.
//!
//! Text that anybody else wrote (a model, a file, a command) is shown inert: control characters cannot move the cursor or change the
//! title, bidirectional and invisible characters are visible.

use std::io::{self, IsTerminal, Write};

use cofferdam_domain::hidden::{Hidden, replace_hidden};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Standard output, with or without colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    colours: bool,
}

/// Ways in which a piece of text can stand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A heading.
    Bold,
    /// Less important than the rest.
    Dim,
    /// All is well.
    Good,
    /// Look here.
    Warn,
    /// Something is wrong.
    Bad,
}

impl Terminal {
    /// Standard output; colours if it is a terminal and `NO_COLOR` (no-color.org) is not set.
    pub(crate) fn standard(no_color: bool) -> Self {
        Self { colours: !no_color && io::stdout().is_terminal() }
    }

    /// Writes a line. A reader that has gone away is no error: the work goes on.
    pub(crate) fn line(self, text: &str) {
        let mut out = io::stdout().lock();
        // Nothing can be told to anybody if standard output is gone.
        drop(writeln!(out, "{text}").and_then(|()| out.flush()));
    }

    /// Writes a JSON text as a line, which a person may look at too: what acts on a terminal or hides from a reader is escaped, and means the
    /// same to a program.
    pub(crate) fn json(self, text: &str) {
        self.line(&inert_json(text));
    }

    /// Writes bytes as they are: for patches and the output of sandboxed commands into files and pipes.
    pub(crate) fn raw(self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        drop(out.write_all(bytes).and_then(|()| out.flush()));
    }

    /// Writes what a sandboxed command prints: as it is into files and pipes; on a terminal it is shown inert.
    pub(crate) fn output(self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.is_interactive() {
            self.raw(inert(&String::from_utf8_lossy(bytes)).as_bytes());
        } else {
            self.raw(bytes);
        }
    }

    /// Whether a person looks at it.
    pub(crate) fn is_interactive(self) -> bool {
        io::stdout().is_terminal()
    }

    /// The text in a style, or as it is where there are no colours.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The terminal of standard input while it hands on every key as it is pressed. It is as before when this is dropped.
pub(crate) struct Raw(Termios);

impl Raw {
    /// Changes the terminal.
    pub(crate) fn enter() -> io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }

    /// How many columns and rows the terminal of standard output has.
    pub(crate) fn size() -> (u16, u16) {
        match tcgetwinsize(rustix::stdio::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            Ok(_) | Err(_) => (80, 24),
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no mending.
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.0).ok();
    }
}

/// Writes a message to standard error.
pub(crate) fn complain(text: &str) {
    let mut out = io::stderr().lock();
    drop(writeln!(out, "{text}"));
}

/// The text with everything that could act on a terminal or hide from a reader made visible. Newlines and tabs stay.
pub(crate) fn inert(text: &str) -> String {
    let escaped = |character: char| character.escape_unicode().to_string();
    // In place in a file; here two of them move the cursor, and no file begins.
    let only_in_files = ['\r', '\u{c}', '\u{feff}'];
    only_in_files
        .into_iter()
        .fold(replace_hidden(text, escaped), |shown, character| shown.replace(character, &escaped(character)))
}

/// The same JSON text without characters that could act on a terminal or hide from a reader. They can stand only in its strings; the line ends
/// between its parts stay.
fn inert_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || Hidden::of(character).is_none() {
            shown.push(character);
        } else {
            // RFC 8259, section 7: two escapes for what is beyond the basic plane.
            let units = character
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            shown.push_str(&units);
        }
    }
    shown
}

/// The beginning of a text in one line, inert, at most `most` characters.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    cut_line(&text.split_whitespace().collect::<Vec<_>>().join(" "), most)
}

/// One line of a text as it is indented, inert, at most `most` characters.
pub(crate) fn cut_line(line: &str, most: usize) -> String {
    let line = inert(line.trim_end());
    if line.chars().count() <= most {
        return line;
    }
    let cut: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(inert("a\x1b]0;owned\x07b\u{202e}c\r\n"), "a\\u{1b}]0;owned\\u{7}b\\u{202e}c\\u{d}\n");
        assert_eq!(
            inert("\u{feff}a\u{c}b\u{feff}\u{e0041}\u{9b}2J"),
            "\\u{feff}a\\u{c}b\\u{feff}\\u{e0041}\\u{9b}2J"
        );
        assert_eq!(inert("naïve 漢字 🦀\tok"), "naïve 漢字 🦀\tok");
    }

    #[test]
    fn json_means_the_same_and_acts_on_nothing() {
        let text = "a\u{9b}2J\u{7f}\u{202e}\u{e0041}\u{1b}\n\u{2028}ok 漢";
        for json in [serde_json::to_string(&[text]).unwrap(), serde_json::to_string_pretty(&[text]).unwrap()]
        {
            let shown = inert_json(&json);
            assert!(
                shown.chars().all(|character| character == '\n' || Hidden::of(character).is_none()),
                "{shown}"
            );
            assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), [text]);
        }
    }

    #[test]
    fn excerpts_are_one_line() {
        assert_eq!(excerpt("a\n  b\tc", 10), "a b c");
        assert_eq!(excerpt("abcdefgh", 5), "abcd…");
    }
}
