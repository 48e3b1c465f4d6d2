//! Bounds on what a model is shown.

use std::borrow::Cow;

/// No outcome's text is longer, in bytes, whatever a tool does.
pub const MAX_TEXT: usize = 50_000;

/// How much of an output is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes in all.
    pub(crate) bytes: usize,
    /// Lines in all.
    pub(crate) lines: usize,
    /// Characters of one line.
    pub(crate) line: usize,
}

/// The beginning and the end of a text. Three quarters of what is shown are its end: there a command says how
/// it went.
///
/// The second value tells whether anything was left out.
pub(crate) fn head_and_tail(text: &str, bounds: Bounds) -> (String, bool) {
    let count = text.lines().count();
    // An output of nothing but line ends has millions of lines: no more of them are held than can be shown.
    if count <= bounds.lines {
        let lines: Vec<Cow<'_, str>> = text.lines().map(|line| shorten(line, bounds.line)).collect();
        if lines.iter().map(|line| line.len() + 1).sum::<usize>() <= bounds.bytes {
            let shortened = lines.iter().any(|line| matches!(line, Cow::Owned(_)));
            return (lines.join("\n"), shortened);
        }
    }
    let head = fitting(text.lines(), Bounds { bytes: bounds.bytes / 4, lines: bounds.lines / 4, ..bounds });
    let rest = text.lines().rev().take(count - head.len());
    let part = Bounds { bytes: bounds.bytes / 4 * 3, lines: bounds.lines / 4 * 3, ..bounds };
    let mut tail = fitting(rest, part);
    tail.reverse();
    let missing = count - head.len() - tail.len();
    let mut shown = head.join("\n");
    if !head.is_empty() {
        shown.push('\n');
    }
    shown.push_str(&format!(
        "[… {missing} lines left out: {} to {} …]\n",
        head.len() + 1,
        head.len() + missing
    ));
    shown.push_str(&tail.join("\n"));
    (shown, true)
}

/// The first lines, as many as fit.
fn fitting<'a>(lines: impl Iterator<Item = &'a str>, bounds: Bounds) -> Vec<Cow<'a, str>> {
    let mut left = bounds.bytes;
    lines
        .take(bounds.lines)
        .map(|line| shorten(line, bounds.line))
        .take_while(|line| {
            let fits = line.len() < left;
            left = left.saturating_sub(line.len() + 1);
            fits
        })
        .collect()
}

/// A line of at most `limit` characters and a note on how many were cut.
pub(crate) fn shorten(line: &str, limit: usize) -> Cow<'_, str> {
    // No line has more characters than bytes.
    if line.len() <= limit {
        return Cow::Borrowed(line);
    }
    match line.char_indices().nth(limit) {
        None => Cow::Borrowed(line),
        Some((end, _)) => {
            let more = line[end..].chars().count();
            Cow::Owned(format!("{}[… {more} more characters]", &line[..end]))
        }
    }
}

/// A text of at most [`MAX_TEXT`] bytes.
pub(crate) fn capped(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let note = "\n[cut here: too long]";
        text.truncate(text.floor_char_boundary(MAX_TEXT - note.len()));
        text.push_str(note);
    }
    text
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];
    for (unit, factor) in UNITS {
        if bytes >= factor {
            let tenths = u128::from(bytes) * 10 / u128::from(factor);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Bounds = Bounds { bytes: 400, lines: 8, line: 20 };

    #[test]
    fn tail_heavy_and_says_what_is_missing() {
        let text: String = (1..=100).map(|number| format!("line {number}\n")).collect();
        insta::assert_snapshot!(head_and_tail(&text, SMALL).0);
        assert_eq!(head_and_tail("a\nb\n", SMALL), ("a\nb".to_owned(), false));
    }

    #[test]
    fn words_for_sizes() {
        assert_eq!([size(12), size(1536), size(5 << 20)], ["12 B", "1.5 kB", "5.0 MB"]);
    }

    proptest! {
        #[test]
        fn bounded_whatever_comes(lines in prop::collection::vec(".{0,60}", 0..60)) {
            let text = lines.join("\n");
            let (shown, cut) = head_and_tail(&text, SMALL);
            // The shown lines, and the note on the missing ones.
            prop_assert!(shown.len() <= SMALL.bytes + 60, "{}", shown.len());
            prop_assert!(shown.lines().count() <= SMALL.lines + 1);
            if !cut {
                prop_assert_eq!(shown, text.lines().collect::<Vec<_>>().join("\n"));
            }
        }

        #[test]
        fn capping_keeps_text_valid(pad in 0usize..4) {
            let long = "x".repeat(pad) + &"€".repeat(MAX_TEXT);
            prop_assert!(capped(long).len() <= MAX_TEXT);
        }
    }
}
