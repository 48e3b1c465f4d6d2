//! Patterns that are part of the program: how they are compiled, and how text is searched with them.
//!
//! Their classes mean ASCII: `\w`, `\d` and `\s` stand for ASCII characters alone, `\S`, `.` and `[^…]` for a byte of anything else too. What
//! they look for is written in ASCII, and with the tables of all scripts each pattern would take up to a megabyte while it is compiled, and
//! several times as much afterwards. A sign outside ASCII is a literal: `(?:✓|✔)` instead of `[✓✔]`.

use std::{ops::Range, sync::LazyLock};

use regex::bytes::{Captures, Regex, RegexBuilder};

/// A pattern for bytes, compiled once.
pub(crate) type Pattern = LazyLock<Regex>;

/// Compiles a pattern that is part of the program.
#[expect(clippy::expect_used, reason = "a constant of the program; tests force every pattern")]
pub(crate) fn pattern(source: &str) -> Regex {
    RegexBuilder::new(source).unicode(false).build().expect("a pattern of the program must compile")
}

/// A pattern for text. Matches and groups must begin and end where characters do: after a line's start or an ASCII character, before its end
/// or one.
pub(crate) struct TextPattern(Regex);

impl TextPattern {
    /// Compiles a pattern that is part of the program.
    pub(crate) fn new(source: &str) -> Self {
        Self(pattern(source))
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }

    /// Where the matches are.
    pub(crate) fn find_iter<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        self.0.find_iter(text.as_bytes()).map(|found| found.range())
    }

    /// What stands before the first match; all of it where there is none.
    pub(crate) fn before<'t>(&self, text: &'t str) -> &'t str {
        self.0.find(text.as_bytes()).and_then(|found| text.get(..found.start())).unwrap_or(text)
    }

    /// The text with something else in the place of every match.
    pub(crate) fn replace_all(&self, text: &str, with: &str) -> String {
        String::from_utf8_lossy(&self.0.replace_all(text.as_bytes(), with.as_bytes())).into_owned()
    }

    /// The groups of the first match.
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Option<Groups<'t>> {
        self.0.captures(text.as_bytes()).map(|found| Groups { text, found })
    }
}

/// What the groups of a match stand for, numbered from 1.
pub(crate) struct Groups<'t> {
    text: &'t str,
    found: Captures<'t>,
}

impl<'t> Groups<'t> {
    /// A group's text; `None` if it took no part.
    pub(crate) fn get(&self, group: usize) -> Option<&'t str> {
        self.text.get(self.found.get(group)?.range())
    }

    /// A group's text; nothing if it took no part.
    pub(crate) fn text(&self, group: usize) -> &'t str {
        self.get(group).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_outside_ascii_comes_back_whole() {
        let pattern = TextPattern::new(r"^(\S+?)(?: (✓|✔))?(?: +(\d+) ms)?$");
        let groups = pattern.captures("prüft_größe ✔ 12 ms").unwrap();
        assert_eq!((groups.text(1), groups.text(2), groups.get(3)), ("prüft_größe", "✔", Some("12")));
        let groups = pattern.captures("größe").unwrap();
        assert_eq!((groups.text(1), groups.get(2), groups.text(3)), ("größe", None, ""));
        let tail = TextPattern::new(r" \(\d+\)$");
        assert_eq!((tail.before("ä (1)"), tail.before("ä (١)")), ("ä", "ä (١)"));
        assert_eq!(TextPattern::new(r"(?i)\bgh-\S*").replace_all("siehe GH-größe ü", "…"), "siehe … ü");
        assert_eq!(TextPattern::new(r"\bx").find_iter("é x, ex, x").collect::<Vec<_>>(), [3..4, 10..11]);
    }
}
