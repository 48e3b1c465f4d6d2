//! Untrusted text inside a Markdown document that the platform writes: as code, or as inert words.
//!
//! Forges find mentions, references, addresses and closing keywords partly in the *rendered* text, where a
//! backslash no longer helps. They do not look into code. So a word that could be any of these becomes a code
//! span; every other character with a meaning to Markdown or HTML is escaped. Code spans are made here,
//! balanced on their line, and a stray backtick never reaches the output: what this module takes for code is
//! code for every parser.

use crate::unicode::reveal;

/// A text as one code span. Nothing in it is active; line ends become `⏎`.
pub(crate) fn code(text: &str) -> String {
    let text = one_line(&reveal(text));
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let fence = "`".repeat(longest_run(&text, '`') + 1);
    // CommonMark 6.1: one space inside each delimiter is stripped if the content starts or ends with a
    // backtick or space.
    let space = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// A text as one code span inside a table, where `|` would end the cell even in code (GFM, tables).
pub(crate) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// A text as a fenced block. It cannot end its fence.
pub(crate) fn fenced(text: &str) -> String {
    let text = reveal(&text.replace("\r\n", "\n").replace('\r', "\n"));
    let fence = "`".repeat(longest_run(&text, '`').max(2) + 1);
    format!("{fence}text\n{}\n{fence}", text.trim_end_matches('\n'))
}

/// One line of prose as inert Markdown. Emphasis and code spans stay; nothing else of Markdown or HTML does.
pub(crate) fn words(line: &str) -> String {
    let line = one_line(&reveal(line));
    let mut inert = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some(start) = rest.find('`') {
        push_plain(&mut inert, &rest[..start]);
        let run = rest[start..].bytes().take_while(|byte| *byte == b'`').count();
        let after = &rest[start + run..];
        rest = match closing(after, run) {
            Some(length) => {
                push_code(&mut inert, after[..length].trim());
                &after[length + run..]
            }
            None => {
                // Left out, it would join what it parts: "#" and "12".
                inert.extend(std::iter::repeat_n('\'', run));
                after
            }
        };
    }
    push_plain(&mut inert, rest);
    inert
}

/// A code span, with a space before it where its delimiter would join another one's.
fn push_code(inert: &mut String, text: &str) {
    if inert.ends_with('`') {
        inert.push(' ');
    }
    inert.push_str(&code(text));
}

/// How many bytes lie before a run of exactly `run` backticks.
fn closing(text: &str, run: usize) -> Option<usize> {
    let mut from = 0;
    while let Some(start) = text[from..].find('`') {
        let start = from + start;
        let length = text[start..].bytes().take_while(|byte| *byte == b'`').count();
        if length == run {
            return Some(start);
        }
        from = start + length;
    }
    None
}

/// Text without backticks: dangerous words as code, all else escaped.
fn push_plain(inert: &mut String, text: &str) {
    for piece in text.split_inclusive([' ', '\t']) {
        let word = piece.trim_end_matches([' ', '\t']);
        if is_active(word) {
            let core = word.trim_end_matches(['.', ',', ';', ':', '!', '?']);
            let core = if core.is_empty() { word } else { core };
            push_code(inert, core);
            inert.push_str(&escape(&word[core.len()..]));
        } else {
            inert.push_str(&escape(word));
        }
        inert.push_str(&piece[word.len()..]);
    }
}

/// Whether a forge might make a link, a mention, a reference, a command or a formula out of a word.
fn is_active(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let reference = |sign: char| {
        word.match_indices(sign).any(|(place, _)| {
            word[place + 1..].starts_with(|next: char| next.is_alphanumeric() || next == '"')
        })
    };
    word.contains(['@', '$', '\u{ff20}', '\u{fe6b}'])
        || word.contains("//")
        || lower.contains("www.")
        || lower.contains("mailto:")
        || lower.contains("xmpp:")
        || lower.contains("javascript:")
        || lower.contains("gh-")
        || lower.contains("](")
        || word.starts_with('/')
        || ['#', '!', '~', '%', '&', '^'].into_iter().any(reference)
}

/// Escapes what has a meaning to Markdown or HTML, except emphasis.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '[' | ']' | '|' | '#' | '~' | '^' => {
                escaped.push('\\');
                escaped.push(character);
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

fn one_line(text: &str) -> String {
    text.replace("\r\n", "⏎").replace(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'], "⏎")
}

fn longest_run(text: &str, sign: char) -> usize {
    text.split(|character| character != sign).map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_holds_anything() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a\n<b>"), "`a⏎<b>`");
        assert_eq!(cell("a | b"), "`a \\| b`");
        assert_eq!(fenced("a\n```\nb\n"), "````text\na\n```\nb\n````");
    }

    #[test]
    fn active_words_become_code_and_the_rest_stays_readable() {
        for (text, inert) in [
            ("Plain *emphasis* and `code`.", "Plain *emphasis* and `code`."),
            ("fixes #12, thanks @lead!", "fixes `#12`, thanks `@lead`!"),
            ("see https://evil.example/?q=1.", "see `https://evil.example/?q=1`."),
            ("![x](https://evil.example/a.png)", "`![x](https://evil.example/a.png)`"),
            ("[a][b] <b>x</b>", "\\[a\\]\\[b\\] &lt;b&gt;x&lt;/b&gt;"),
            ("a `b```c` d`` e", "a ````b```c```` d'' e"),
            ("&#64;lead", "`&#64;lead`"),
            ("lone ` backtick @x", "lone ' backtick `@x`"),
            ("fixes #`12 now", "fixes \\#'12 now"),
            ("``a`b`` c", "``a`b`` c"),
            ("/close", "`/close`"),
            ("a | b", "a \\| b"),
            ("mail a@b.example", "mail `a@b.example`"),
        ] {
            assert_eq!(words(text), inert);
        }
    }
}
