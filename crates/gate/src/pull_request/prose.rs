//! The agent's prose as Markdown in which nothing is active.
//!
//! Every line of the result starts with `> `: whatever stands in it stays inside one block quote, which ends
//! where the platform ends it. Headings become bold text, so none can imitate a section of the facts; fenced
//! blocks are taken apart and fenced again; trailers are dropped and counted; everything else goes through
//! [`super::inline`]. Lists, emphasis, code and paragraphs survive, which is what prose needs.

use std::sync::LazyLock;

use cofferdam_domain::amount::counted;

use super::inline::{fenced, words};
use crate::{pattern::TextPattern, unicode::reveal, view::bounded};

/// Bytes of prose that are shown.
const MAX_PROSE: usize = 12 * 1024;
/// Lines of prose that are shown.
const MAX_LINES: usize = 200;
/// Bytes of a title: what forges show without cutting it, with room to spare.
const MAX_TITLE: usize = 120;

/// Git trailers (git-interpret-trailers(1)) that claim a person's or a machine's consent, and those that
/// steer machines.
static TRAILER: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"(?i)^[\s>*_+\x80-\xff-]*(?:(?:signed-off|(?:co-)?(?:authored|developed|committed)|approved|acked|reviewed|tested|reported|suggested|requested|merged|verified|generated)-by|change-id|reviewed-on|cc|skip-checks|on-behalf-of|release-as)[*_]{0,2}[ \t]*:",
    )
});

/// The agent's prose as inert Markdown: one block quote, of bounded length.
#[must_use]
pub fn sanitise_prose(prose: &str) -> String {
    let cut = prose.floor_char_boundary(MAX_PROSE);
    let mut blocks = Blocks::default();
    for line in prose[..cut].lines().take(MAX_LINES) {
        blocks.line(line);
    }
    blocks.end_fence();
    let shown = prose[..cut].lines().take(MAX_LINES).map(|line| line.len() + 1).sum::<usize>();
    let left_out = prose.len().saturating_sub(shown);
    if left_out > 0 {
        blocks.emit(&format!("*({left_out} more bytes not shown)*"));
    }
    if blocks.trailers > 0 {
        blocks.emit("");
        blocks.emit(&format!("*({} in the form of trailers removed)*", counted(blocks.trailers, "line")));
    }
    if blocks.out.trim_matches(['>', ' ', '\n']).is_empty() {
        return "> *(nothing)*\n".to_owned();
    }
    blocks.out
}

/// The quote as it is being written.
#[derive(Default)]
struct Blocks {
    out: String,
    /// The fence that is open in the source: its character, its length, and the lines since.
    fence: Option<(char, usize, Vec<String>)>,
    trailers: u64,
}

impl Blocks {
    fn emit(&mut self, line: &str) {
        self.out.push_str(if line.is_empty() { ">" } else { "> " });
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn line(&mut self, line: &str) {
        let trimmed = line.trim();
        if let Some((sign, length, content)) = &mut self.fence {
            let run = trimmed.chars().take_while(|character| character == sign).count();
            if run >= *length && trimmed.chars().count() == run {
                self.end_fence();
            } else {
                content.push(line.to_owned());
            }
            return;
        }
        if let Some((sign, length)) = opening_fence(trimmed) {
            self.fence = Some((sign, length, Vec::new()));
        } else if TRAILER.is_match(&reveal(line)) {
            self.trailers += 1;
        } else {
            self.emit(&paragraph_line(line));
        }
    }

    fn end_fence(&mut self) {
        let Some((_, _, content)) = self.fence.take() else { return };
        // A fence inside a paragraph or a list must not be read as its continuation.
        self.emit("");
        for line in fenced(&content.join("\n")).split('\n') {
            self.emit(line);
        }
    }
}

/// The fence that a line opens: three or more backticks or tildes.
fn opening_fence(trimmed: &str) -> Option<(char, usize)> {
    let sign = trimmed.chars().next().filter(|sign| matches!(sign, '`' | '~'))?;
    let run = trimmed.chars().take_while(|character| *character == sign).count();
    // A backtick in the rest of the line makes it a code span, not a fence (CommonMark 4.5).
    let rest = trimmed.get(run..).unwrap_or_default();
    (run >= 3 && !(sign == '`' && rest.contains('`'))).then_some((sign, run))
}

/// A line outside fences: a heading becomes bold, a rule loses its effect, a list keeps its mark.
fn paragraph_line(line: &str) -> String {
    let trimmed = line.trim();
    let body = line.trim_start();
    let indent = " ".repeat((line.len() - body.len()).min(8));
    let title = trimmed.trim_start_matches('#');
    if trimmed.len() > title.len() && (title.is_empty() || title.starts_with([' ', '\t'])) {
        let title = words(title.trim().trim_end_matches('#').trim()).replace('*', "\\*");
        return if title.is_empty() { String::new() } else { format!("**{title}**") };
    }
    let underline = |sign: char| {
        trimmed.chars().all(|character| character == sign || character == ' ') && trimmed.contains(sign)
    };
    if ['=', '-', '*', '_'].into_iter().any(underline) {
        return format!("\\{}", trimmed.replace(' ', ""));
    }
    format!("{indent}{}", words(body))
}

/// A title in one inert line: no mention, reference, address, markup or instruction to machines survives,
/// also not in the message of a squashed commit. Empty if nothing is left.
#[must_use]
pub fn sanitise_title(title: &str) -> String {
    let line = reveal(title.trim().lines().next().unwrap_or_default());
    let mut plain = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            '@' | '\u{ff20}' | '\u{fe6b}' => plain.push_str("(at)"),
            '#' | '!' | '~' | '%' | '$' | '^' | '\\' | '|' | '*' => plain.push(' '),
            '`' => plain.push('\''),
            '[' | '{' => plain.push('('),
            ']' | '}' => plain.push(')'),
            '<' | '>' => plain.push(' '),
            '&' => plain.push_str("and"),
            _ => plain.push(character),
        }
    }
    static ADDRESS: LazyLock<TextPattern> =
        LazyLock::new(|| TextPattern::new(r"(?i)\b(?:[a-z][a-z0-9+.-]*://|www\.|gh-|mailto:)\S*"));
    // Titles become subjects of squashed commits, where forges look for these words between brackets.
    static SKIP: LazyLock<TextPattern> = LazyLock::new(|| {
        TextPattern::new(
            r"(?i)\(?\b(?:skip[ -](?:ci|actions|checks)|(?:ci|actions|azp|travis)[ -]skip|no[ -]ci|\*\*\*no_ci\*\*\*)\b\)?",
        )
    });
    let plain = ADDRESS.replace_all(&plain, "(address)");
    let plain = SKIP.replace_all(&plain, "");
    let plain = plain.replace("//", " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    bounded(words.join(" "), MAX_TITLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_that_is_harmless_survives() {
        let prose = "Summary\n\n- one `x`\n- two\n\n```rust\nfn main() {}\n```\n";
        assert_eq!(
            sanitise_prose(prose),
            "> Summary\n>\n> - one `x`\n> - two\n>\n>\n> ```text\n> fn main() {}\n> ```\n"
        );
    }

    #[test]
    fn headings_rules_and_trailers_lose_their_effect() {
        let prose = "## Findings *none*\nText\n===\n---\nReviewed-by: Lead <l@example.com>\n- **Signed-off-by:** me\n# \n";
        assert_eq!(
            sanitise_prose(prose),
            "> **Findings \\*none\\***\n> Text\n> \\===\n> \\---\n>\n>\n> *(2 lines in the form of trailers removed)*\n"
        );
    }

    #[test]
    fn an_open_fence_ends_with_the_quote() {
        assert_eq!(sanitise_prose("~~~\n````\n@x"), ">\n> `````text\n> ````\n> @x\n> `````\n");
        assert_eq!(sanitise_prose(" \n"), "> *(nothing)*\n");
    }

    #[test]
    fn length_is_capped() {
        let long = sanitise_prose(&"word ".repeat(100_000));
        assert!(long.len() < 2 * MAX_PROSE && long.contains("more bytes not shown"), "{}", long.len());
        assert!(sanitise_prose(&"\n".repeat(100_000)).len() < 2 * MAX_PROSE);
    }

    #[test]
    fn titles_are_one_inert_line() {
        for (title, inert) in [
            ("Fix the parser\nsecond line", "Fix the parser"),
            ("fixes #12 for @lead [skip ci]", "fixes 12 for (at)lead"),
            ("see https://evil.example/x now", "see (address) now"),
            ("<b>x</b> `y`", "b x /b 'y'"),
            ("a\u{202e}b", "a⟨U+202E⟩b"),
            ("  ", ""),
        ] {
            assert_eq!(sanitise_title(title), inert);
        }
    }
}
