//! What was probably meant: the closest name of a list, the lines of a file most like a given text.

use std::ops::Range;

/// Lines of a file beyond which nothing similar is looked for.
const MAX_LINES: usize = 50_000;
/// Characters of a line that are compared.
const MAX_CHARS: usize = 200;
/// Places in a file that are looked at closely.
const CANDIDATES: usize = 20;
/// Lines of the wanted text that are compared at each of them.
const MAX_WANTED: usize = 200;

/// The name most like the wanted one, if any is like it at all.
pub(crate) fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let pairs = Pairs::of(&wanted);
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        let contained =
            name.len().min(wanted.len()) >= 3 && (name.contains(&wanted) || wanted.contains(&name));
        let near = pairs.likeness(&Pairs::of(&name)).max(typing_likeness(&wanted, &name));
        if contained { near.max(0.7) } else { near }
    };
    let scored = names.into_iter().map(|name| (likeness(name), name));
    let (best, name) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best >= 0.5).then_some(name)
}

/// The run of lines most like `wanted`, of the same number of lines (fewer at the end of the file); `None` if
/// nothing is like it.
pub(crate) fn nearest_lines(lines: &[&str], wanted: &[&str]) -> Option<Range<usize>> {
    let lines = &lines[..lines.len().min(MAX_LINES)];
    // The longest line tells most.
    let (anchor, anchor_line) = wanted.iter().enumerate().max_by_key(|(_, line)| line.trim().len())?;
    let anchor_pairs = Pairs::of(anchor_line.trim());
    let mut scored: Vec<(f64, usize)> = lines
        .iter()
        .enumerate()
        .map(|(index, line)| (line_likeness(&anchor_pairs, anchor_line, line), index))
        .filter(|(score, _)| *score > 0.3)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let compared = &wanted[..wanted.len().min(MAX_WANTED)];
    let pairs: Vec<Pairs> = compared.iter().map(|line| Pairs::of(line.trim())).collect();
    let mut best: Option<(f64, usize)> = None;
    for (_, index) in scored.into_iter().take(CANDIDATES) {
        let start = index.saturating_sub(anchor);
        let sum: f64 = compared
            .iter()
            .zip(&pairs)
            .zip(&lines[start..])
            .map(|((wanted, pairs), line)| line_likeness(pairs, wanted, line))
            .sum();
        let mean = sum / compared.len() as f64;
        if best.is_none_or(|(score, _)| mean > score) {
            best = Some((mean, start));
        }
    }
    let (score, start) = best?;
    (score >= 0.4).then(|| start..(start + wanted.len()).min(lines.len()))
}

fn line_likeness(pairs: &Pairs, wanted: &str, line: &str) -> f64 {
    if wanted.trim() == line.trim() { 1.0 } else { pairs.likeness(&Pairs::of(line.trim())) }
}

/// The pairs of neighbouring characters in a text, sorted.
struct Pairs(Vec<(char, char)>);

impl Pairs {
    fn of(text: &str) -> Self {
        let first = text.chars().take(MAX_CHARS);
        let second = text.chars().skip(1).take(MAX_CHARS);
        let mut pairs: Vec<(char, char)> = first.zip(second).collect();
        pairs.sort_unstable();
        Self(pairs)
    }

    /// Between 0 and 1: twice the pairs in common over all pairs (the Sørensen–Dice coefficient).
    fn likeness(&self, other: &Self) -> f64 {
        let (mut left, mut right, mut common) = (0, 0, 0_usize);
        while let (Some(a), Some(b)) = (self.0.get(left), other.0.get(right)) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => left += 1,
                std::cmp::Ordering::Greater => right += 1,
                std::cmp::Ordering::Equal => {
                    common += 1;
                    left += 1;
                    right += 1;
                }
            }
        }
        let all = self.0.len() + other.0.len();
        if all == 0 { 0.0 } else { 2.0 * common as f64 / all as f64 }
    }
}

/// Between 0 and 1, by the edits that turn one short name into the other (Levenshtein distance): sees slips
/// that spoil most pairs.
fn typing_likeness(a: &str, b: &str) -> f64 {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let longest = a.len().max(b.len());
    if longest == 0 {
        return 0.0;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    1.0 - row[b.len()] as f64 / longest as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant() {
        let names = ["main.rs", "lib.rs", "parser.rs", "README.md"];
        assert_eq!(closest("readme.MD", names), Some("README.md"));
        assert_eq!(closest("parse.rs", names), Some("parser.rs"));
        assert_eq!(closest("lbi.rs", names), Some("lib.rs"));
        assert_eq!(closest("zzz", names), None);
    }

    #[test]
    fn the_lines_that_were_meant() {
        let file = ["fn a() {", "    one();", "}", "", "fn b() {", "    two(1);", "}"];
        assert_eq!(nearest_lines(&file, &["fn b() {", "\ttwo(2);", "}"]), Some(4..7));
        assert_eq!(nearest_lines(&file, &["class Nothing:"]), None);
        assert_eq!(nearest_lines(&[], &["x"]), None);
        assert_eq!(nearest_lines(&file, &[]), None);
    }
}
