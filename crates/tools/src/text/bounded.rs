//! Bounds on what a model is shown, and the few words in which sizes and times are told.

use std::{borrow::Cow, time::Duration};

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

/// The beginning and the end of a text. Three quarters of what is shown are its end: there a command says how it went.
///
/// The second value tells whether anything was left out.
pub(crate) fn head_and_tail(text: &str, bounds: Bounds) -> (String, bool) {
    let lines: Vec<Cow<'_, str>> = text.lines().map(|line| shorten(line, bounds.line)).collect();
    let shortened = lines.iter().any(|line| matches!(line, Cow::Owned(_)));
    let total: usize = lines.iter().map(|line| line.len() + 1).sum();
    if total <= bounds.bytes && lines.len() <= bounds.lines {
        return (lines.join("\n"), shortened);
    }
    let head = fitting(lines.iter(), bounds.bytes / 4, bounds.lines / 4);
    let tail = fitting(lines[head..].iter().rev(), bounds.bytes / 4 * 3, bounds.lines / 4 * 3);
    let missing = lines.len() - head - tail;
    let mut shown = lines[..head].join("\n");
    if head > 0 {
        shown.push('\n');
    }
    shown.push_str(&format!("[… {missing} lines left out: {} to {} …]\n", head + 1, head + missing));
    shown.push_str(&lines[lines.len() - tail..].join("\n"));
    (shown, true)
}

fn fitting<'a>(lines: impl Iterator<Item = &'a Cow<'a, str>>, bytes: usize, count: usize) -> usize {
    let mut left = bytes;
    lines
        .take(count)
        .take_while(|line| {
            let fits = line.len() < left;
            left = left.saturating_sub(line.len() + 1);
            fits
        })
        .count()
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

/// `1 line`, `2 lines`.
pub(crate) fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
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

/// A time for people.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 120 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else {
        format!("{seconds}.{} s", time.subsec_millis() / 100)
    }
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
    fn words_for_sizes_and_times() {
        assert_eq!([size(12), size(1536), size(5 << 20)], ["12 B", "1.5 kB", "5.0 MB"]);
        assert_eq!(duration(Duration::from_millis(2345)), "2.3 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
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
