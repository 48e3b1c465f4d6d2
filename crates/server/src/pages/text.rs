//! Text that somebody wrote, as markup in which nothing is active and nothing is hidden.
//!
//! Whatever a page shows of a task, a model, a tool's output, a file or a forge passes through here: markup is escaped, characters that
//! a reader would not see stand in a box that names them ([`cofferdam_domain::hidden`] is the table), and what is long is cut where
//! the page says so and offers the whole.

use cofferdam_domain::hidden::hidden;
use maud::{Markup, PreEscaped, html};

/// Boxes in one text. A text that hides more than this is shown with escapes instead, so that a page is never much larger than what it shows.
const MOST_BOXES: usize = 200;

/// The text, inert: what a reader sees is what is there.
pub(crate) fn inert(text: &str) -> Markup {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return html! { (text) };
    }
    let characters: Vec<char> = text.chars().collect();
    let suspects = hidden(&characters);
    if suspects.is_empty() {
        return html! { (text) };
    }
    let mut shown = String::with_capacity(text.len() + suspects.len() * 32);
    let mut next = 0;
    let mut boxes = 0;
    let mut suspects = suspects.into_iter().peekable();
    while let Some((place, kind)) = suspects.next() {
        push_escaped(&mut shown, &characters[next..place]);
        let character = characters[place];
        let mut run = 1;
        while suspects
            .next_if(|(other, _)| *other == place + run && characters[*other] == character)
            .is_some()
        {
            run += 1;
        }
        next = place + run;
        boxes += 1;
        if boxes > MOST_BOXES {
            (0..run).for_each(|_| shown.extend(character.escape_unicode()));
            continue;
        }
        let code = format!("U+{:04X}", u32::from(character));
        let label = if run > 1 { format!("{code} × {run}") } else { code };
        shown.push_str(&html! { span.hid title=(kind.words()) { (label) } }.into_string());
    }
    push_escaped(&mut shown, &characters[next..]);
    PreEscaped(shown)
}

fn push_escaped(shown: &mut String, characters: &[char]) {
    for character in characters {
        match character {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            _ => shown.push(*character),
        }
    }
}

/// The text for an attribute's value or a page's title, where no box can stand: hidden characters are escaped.
pub(crate) fn plain(text: &str) -> String {
    cofferdam_domain::hidden::replace_hidden(text, |character| character.escape_unicode().to_string())
}

/// The text in one inert line of at most so many characters.
pub(crate) fn line(text: &str, most: usize) -> Markup {
    inert(&cut(text, most))
}

/// The text in one line of at most so many characters, not yet inert.
pub(crate) fn cut(text: &str, most: usize) -> String {
    // White space is folded, so a line can take more characters than it shows; a bounded piece of the text is enough to fill it.
    let piece = &text[..text.floor_char_boundary(most.saturating_mul(16))];
    let mut line = String::with_capacity(most.min(piece.len()) + 4);
    let mut count = 0;
    for word in piece.split_ascii_whitespace() {
        for character in (count > 0).then_some(' ').into_iter().chain(word.chars()) {
            if count >= most {
                line.push('…');
                return line;
            }
            line.push(character);
            count += 1;
        }
    }
    if piece.len() < text.len() {
        line.push('…');
    }
    line
}

/// A long text as far as a page shows it: its beginning and its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) head: String,
    /// Bytes left out between the two.
    pub(crate) left_out: u64,
    pub(crate) tail: String,
}

impl Excerpt {
    /// The beginning of a text.
    pub(crate) fn beginning(text: &str, most: usize) -> Self {
        Self::ends(text, most, 0)
    }

    /// The beginning and the end of a text, so many bytes of each at most.
    pub(crate) fn ends(text: &str, first: usize, last: usize) -> Self {
        if text.len() <= first + last {
            return Self { head: text.to_owned(), left_out: 0, tail: String::new() };
        }
        let head = text.floor_char_boundary(first);
        let tail = if last == 0 { text.len() } else { text.ceil_char_boundary(text.len() - last) };
        Self { head: text[..head].to_owned(), left_out: (tail - head) as u64, tail: text[tail..].to_owned() }
    }

    /// Bytes that are held.
    pub(crate) const fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.trim().is_empty() && self.tail.is_empty()
    }

    /// Inert, with a line that says what is left out.
    pub(crate) fn markup(&self) -> Markup {
        html! {
            (inert(&self.head))
            @if self.left_out > 0 {
                span.gap { "… " (size(self.left_out)) " left out …" }
                (inert(&self.tail))
            }
        }
    }
}

/// What a program printed, as a log shows it: colours are dropped (they could hide text), and a lone carriage return, which
/// would overwrite a line, begins a new one.
pub(crate) fn printed(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(['\u{1b}', '\r']) {
        shown.push_str(&rest[..place]);
        rest = &rest[place..];
        if let Some(after) = rest.strip_prefix("\r\n") {
            shown.push('\n');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('\r') {
            shown.push('\n');
            rest = after;
        } else if let Some(length) = colour(rest) {
            rest = &rest[length..];
        } else {
            shown.push('\u{1b}');
            rest = &rest[1..];
        }
    }
    shown.push_str(rest);
    shown
}

/// The length of the colour sequence (ECMA-48, "select graphic rendition") at the start of a text.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length =
        parameters.bytes().take(32).take_while(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')).count();
    (parameters.as_bytes().get(length) == Some(&b'm')).then_some(2 + length + 1)
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => tenths(bytes, 1_024, "KiB"),
        1_048_576..1_073_741_824 => tenths(bytes, 1 << 20, "MiB"),
        _ => tenths(bytes, 1 << 30, "GiB"),
    }
}

/// A large number for people: `950`, `12.3 k`, `4.1 M`.
pub(crate) fn number(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => tenths(count, 1_000, "k"),
        _ => tenths(count, 1_000_000, "M"),
    }
}

fn tenths(count: u64, unit: u64, name: &str) -> String {
    let tenths = count / (unit / 10).max(1);
    if unit == 1_000 || unit == 1_000_000 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        // Binary units have no exact tenth.
        let tenths = u128::from(count) * 10 / u128::from(unit);
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hidden_characters_are_named_and_runs_of_them_counted() {
        assert_eq!(inert("a < b").into_string(), "a &lt; b");
        assert!(inert("a\u{202e}b").into_string().contains(">U+202E</span>b"));
        assert!(inert(&"\u{200b}".repeat(3)).into_string().contains(">U+200B × 3</span>"));
        assert!(inert("\u{1b}]0;x\u{7}").into_string().contains("U+001B"));
        let alternating = "\u{200b}\u{200c}".repeat(5_000);
        assert!(inert(&alternating).into_string().len() < 200_000, "bounded by escapes");
    }

    #[test]
    fn long_texts_show_both_ends() {
        let text = format!("{}{}", "a".repeat(100), "é".repeat(100));
        let excerpt = Excerpt::ends(&text, 10, 11);
        assert_eq!((excerpt.head.len(), excerpt.tail.len(), excerpt.left_out), (10, 10, 280));
        assert!(excerpt.markup().into_string().contains("280 B left out"));
        assert_eq!(Excerpt::ends("short", 3, 3).left_out, 0);
        assert_eq!(cut("  two   words\nmore", 9), "two words…");
        assert_eq!(cut("fits", 4), "fits");
    }

    #[test]
    fn colours_go_and_lines_stay() {
        assert_eq!(printed("\u{1b}[31;1mred\u{1b}[0m 10%\r20%\r\nend"), "red 10%\n20%\nend");
        assert_eq!(printed("\u{1b}[2Jx\u{1b}"), "\u{1b}[2Jx\u{1b}", "what is no colour stays, and is shown");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!([999, 12_345, 4_190_000].map(number), ["999", "12.3 k", "4.1 M"]);
        assert_eq!([12, 1_536, 5 << 20].map(size), ["12 B", "1.5 KiB", "5.0 MiB"]);
    }

    proptest! {
        #[test]
        fn nothing_breaks_out(text in any::<String>(), first in 0_usize..40, last in 0_usize..40) {
            for shown in [
                inert(&text).into_string(),
                line(&text, first).into_string(),
                Excerpt::ends(&printed(&text), first, last).markup().into_string(),
            ] {
                let without_boxes = shown.replace("<span class=\"hid\" title=\"", "").replace("<span class=\"gap\">", "")
                    .replace("</span>", "").replace("\">U+", "U+");
                prop_assert!(!without_boxes.contains(['<', '>', '"']), "{without_boxes}");
            }
        }
    }
}
