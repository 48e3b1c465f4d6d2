//! What differs within a line: the part between what two lines have in common at their beginning and at their end.

use std::ops::Range;

use super::patch::{Line, Sign};

/// Lines longer than this are not compared within.
const LONGEST: usize = 2_000;

/// For each line the bytes that differ from the line that it takes the place of, or that takes its place. Lines are paired in order where as many
/// were removed as added.
pub(super) fn differing(lines: &[Line]) -> Vec<Option<Range<usize>>> {
    let mut found = vec![None; lines.len()];
    let mut start = 0;
    while start < lines.len() {
        let removed = run(lines, start, Sign::Removed);
        let added = run(lines, start + removed, Sign::Added);
        if removed == added {
            for offset in 0..removed {
                let (old, new) = (start + offset, start + removed + offset);
                if let Some((before, after)) = between(&lines[old].text, &lines[new].text) {
                    found[old] = Some(before);
                    found[new] = Some(after);
                }
            }
        }
        start += (removed + added).max(1);
    }
    found
}

fn run(lines: &[Line], start: usize, sign: Sign) -> usize {
    lines.iter().skip(start).take_while(|line| line.sign == sign).count()
}

/// The bytes of each that are not common; `None` when so little is common that the whole line is the change.
fn between(old: &str, new: &str) -> Option<(Range<usize>, Range<usize>)> {
    if old.len() > LONGEST || new.len() > LONGEST {
        return None;
    }
    let first: usize =
        old.chars().zip(new.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let (old_rest, new_rest) = (&old[first..], &new[first..]);
    let last: usize = old_rest
        .chars()
        .rev()
        .zip(new_rest.chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    let common = old[..first].trim().len() + old_rest[old_rest.len() - last..].trim().len();
    let enough = common * 3 >= old.trim().len().max(new.trim().len()) && common > 0;
    enough.then(|| (first..old.len() - last, first..new.len() - last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(sign: Sign, text: &str) -> Line {
        Line { sign, old: None, new: None, text: text.to_owned(), unended: false }
    }

    #[test]
    fn the_middle_differs() {
        let lines =
            [line(Sign::Removed, "let a = 1;"), line(Sign::Added, "let a = 20;"), line(Sign::Added, "more")];
        assert_eq!(differing(&lines), [None, None, None], "one was removed, two were added");
        assert_eq!(differing(&lines[..2]), [Some(8..9), Some(8..10)]);
        assert_eq!(between("all", "other"), None);
    }

    proptest! {
        #[test]
        fn ranges_are_within(old in any::<String>(), new in any::<String>()) {
            if let Some((before, after)) = between(&old, &new) {
                prop_assert_eq!(&old[..before.start], &new[..after.start]);
                prop_assert_eq!(&old[before.end..], &new[after.end..]);
            }
        }
    }
}
