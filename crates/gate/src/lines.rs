//! Which lines a change adds and removes.
//!
//! Not a minimal diff, on purpose: a line counts as added when the new file has more copies of it than the
//! old one. That is linear in the size of the files whatever they hold, and no arrangement of lines can hide
//! an addition. A line that only moved is neither added nor removed.

use std::collections::HashMap;

/// One line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Its number, counted from 1.
    pub(crate) number: u32,
    /// Its bytes, without `\n` or `\r\n`.
    pub(crate) text: &'a [u8],
}

/// All lines of a text. A last line without an end counts; an empty text has none.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let whole = (!text.is_empty()).then_some(text);
    whole
        .into_iter()
        .flat_map(|text| text.split(|byte| *byte == b'\n'))
        .zip(1..)
        .map(|(text, number)| Line { number, text: text.strip_suffix(b"\r").unwrap_or(text) })
}

/// The lines of `new` that `old` has not, in order. For removed lines, swap the arguments.
pub(crate) fn only_in_new<'a>(old: &'a [u8], new: &'a [u8]) -> Vec<Line<'a>> {
    let old: Vec<Line<'_>> = lines(old).collect();
    let new: Vec<Line<'_>> = lines(new).collect();
    let prefix = old.iter().zip(&new).take_while(|(left, right)| left.text == right.text).count();
    let (old, new) = (&old[prefix..], &new[prefix..]);
    let suffix =
        old.iter().rev().zip(new.iter().rev()).take_while(|(left, right)| left.text == right.text).count();
    let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
    let mut copies: HashMap<&[u8], usize> = HashMap::new();
    for line in old {
        *copies.entry(line.text).or_default() += 1;
    }
    let mut added = Vec::new();
    for line in new {
        match copies.get_mut(line.text) {
            Some(left) if *left > 0 => *left -= 1,
            _ => added.push(*line),
        }
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(old: &str, new: &str) -> Vec<(u32, String)> {
        only_in_new(old.as_bytes(), new.as_bytes())
            .iter()
            .map(|line| (line.number, String::from_utf8_lossy(line.text).into_owned()))
            .collect()
    }

    #[test]
    fn additions_have_the_numbers_of_the_new_file() {
        assert_eq!(added("a\nb\nc\n", "a\nx\nb\nc\ny\n"), [(2, "x".into()), (5, "y".into())]);
        assert_eq!(added("", "a"), [(1, "a".into())]);
        assert_eq!(added("a\n", "a"), []);
        assert_eq!(added("a", ""), []);
    }

    #[test]
    fn a_moved_line_is_not_added_and_a_second_copy_is() {
        assert_eq!(added("a\nb\n", "b\na\n"), []);
        assert_eq!(added("a\nb\n", "b\na\na\n").len(), 1);
        assert_eq!(added("a\r\nb\r\n", "a\nb\n"), []);
    }
}
