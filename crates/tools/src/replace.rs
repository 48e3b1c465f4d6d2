//! Exact replacement of text: several at once, all matched against the original, all or nothing.
//!
//! Line ends are not the model's concern: a file is matched as if it ended its lines with LF, what is put in
//! gets the file's own line ends, and what is not replaced keeps every byte. A byte order mark stays where it
//! is.

use std::ops::Range;

use crate::text::{line_numbers, nearest_difference};

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replacement {
    /// What stands in the file.
    pub(crate) old: String,
    /// What is to stand there.
    pub(crate) new: String,
    /// Whether `old` may stand in several places, which are all replaced.
    pub(crate) all: bool,
}

/// Replacements that do not apply after which the rest is not looked at.
const MAX_PROBLEMS: usize = 5;

/// The text after all replacements; or what is wrong with them, one entry each.
pub(crate) fn replace(original: &str, replacements: &[Replacement]) -> Result<String, Vec<String>> {
    let source = Source::of(original);
    let mut problems = Vec::new();
    let mut found: Vec<(Range<usize>, usize)> = Vec::new();
    for (index, replacement) in replacements.iter().enumerate() {
        let name = if replacements.len() == 1 { String::new() } else { format!("edits[{index}]: ") };
        match source.find(replacement) {
            Ok(ranges) => found.extend(ranges.into_iter().map(|range| (range, index))),
            Err(problem) => problems.push(format!("{name}{problem}")),
        }
        if problems.len() == MAX_PROBLEMS && index + 1 < replacements.len() {
            problems.push("The edits after this one were not looked at.".to_owned());
            break;
        }
    }
    found.sort_by_key(|(range, index)| (range.start, *index));
    let overlap = found.windows(2).find(|pair| pair[1].0.start < pair[0].0.end);
    if let Some([(_, one), (second, other)]) = overlap {
        problems.push(format!(
            "edits[{one}] and edits[{other}] overlap at line {}: join them into one.",
            source.line_of(second.start)
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut text = String::with_capacity(original.len());
    let mut copied = 0;
    for (range, index) in found {
        text.push_str(&original[copied..source.original_offset(range.start)]);
        text.push_str(&source.with_own_line_ends(&replacements[index].new));
        copied = source.original_offset(range.end);
    }
    text.push_str(&original[copied..]);
    Ok(text)
}

/// A file's text as it is matched: without byte order mark, with LF line ends.
struct Source {
    plain: String,
    /// Bytes before `plain` begins.
    skipped: usize,
    /// Offsets in `plain` of the line feeds that have a carriage return before them in the original.
    carriage_returns: Vec<usize>,
    crlf: bool,
}

impl Source {
    fn of(original: &str) -> Self {
        let body = original.strip_prefix('\u{feff}').unwrap_or(original);
        let mut plain = String::with_capacity(body.len());
        let mut carriage_returns = Vec::new();
        let mut feeds = 0;
        for line in body.split_inclusive('\n') {
            feeds += usize::from(line.ends_with('\n'));
            match line.strip_suffix("\r\n") {
                Some(content) => {
                    plain.push_str(content);
                    carriage_returns.push(plain.len());
                    plain.push('\n');
                }
                None => plain.push_str(line),
            }
        }
        let crlf = carriage_returns.len() * 2 > feeds;
        Self { plain, skipped: original.len() - body.len(), carriage_returns, crlf }
    }

    fn original_offset(&self, offset: usize) -> usize {
        self.skipped + offset + self.carriage_returns.partition_point(|feed| *feed < offset)
    }

    fn with_own_line_ends(&self, text: &str) -> String {
        let plain = text.replace("\r\n", "\n");
        if self.crlf { plain.replace('\n', "\r\n") } else { plain }
    }

    /// The line that an offset is in, counted from 1.
    fn line_of(&self, offset: usize) -> usize {
        self.plain.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Where a replacement applies.
    fn find(&self, replacement: &Replacement) -> Result<Vec<Range<usize>>, String> {
        let old = replacement.old.replace("\r\n", "\n");
        if old.is_empty() {
            return Err("old_text is empty. To make a file or replace all of it, use `write`.".to_owned());
        }
        if old == replacement.new.replace("\r\n", "\n") {
            return Err("old_text and new_text are the same: nothing would change.".to_owned());
        }
        let places: Vec<Range<usize>> =
            self.plain.match_indices(&old).map(|(start, _)| start..start + old.len()).collect();
        match places.len() {
            0 => Err(self.no_match(&old)),
            1 => Ok(places),
            _ if replacement.all => Ok(places),
            count => Err(format!(
                "old_text stands in {count} places, at lines {}. Add lines around it until it is unique, or set replace_all.",
                line_numbers(places.iter().map(|place| self.line_of(place.start)))
            )),
        }
    }

    fn no_match(&self, old: &str) -> String {
        let lines: Vec<&str> = self.plain.lines().collect();
        let wanted: Vec<&str> = old.lines().collect();
        if wanted.iter().all(|line| numbered(line)) {
            return "old_text is not in the file: leave out the line numbers that `read` puts before each line.".to_owned();
        }
        match nearest_difference(&lines, &wanted) {
            Some(nearest) => format!("old_text is not in the file. {nearest}"),
            None => "old_text is not in the file, nor anything like it. Read the file again.".to_owned(),
        }
    }
}

/// Whether a line looks like one that `read` has numbered.
fn numbered(line: &str) -> bool {
    line.split_once('\t')
        .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(old: &str, new: &str) -> Replacement {
        Replacement { old: old.into(), new: new.into(), all: false }
    }

    #[test]
    fn line_ends_and_marks_stay() {
        let original = "\u{feff}a\r\nb\r\nc";
        assert_eq!(replace(original, &[one("a\nb", "x\ny\nz")]).unwrap(), "\u{feff}x\r\ny\r\nz\r\nc");
        assert_eq!(replace(original, &[one("b\r\nc", "c")]).unwrap(), "\u{feff}a\r\nc");
        assert_eq!(replace("a\r\nb\nc\nd\n", &[one("b\n", "x\ny\n")]).unwrap(), "a\r\nx\ny\nc\nd\n");
        assert_eq!(replace("a\r\nb\r\n", &[one("a\n", "")]).unwrap(), "b\r\n");
        assert_eq!(replace("one\r\n\r\ntwo\r\n", &[one("\n\n", "\n")]).unwrap(), "one\r\ntwo\r\n");
    }

    #[test]
    fn all_are_matched_against_the_original() {
        let edits = [one("a", "b"), one("b", "a")];
        assert_eq!(replace("a b", &edits).unwrap(), "b a");
        let all = Replacement { old: "x".into(), new: "yy".into(), all: true };
        assert_eq!(replace("x x\nx", &[all]).unwrap(), "yy yy\nyy");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let file = "fn a() {\n\tone();\n}\n\nfn b() {\n\tone();\n}\n";
        let refusals = [
            replace(file, &[one("    one();", "x")]),
            replace(file, &[one("\tone();", "x")]),
            replace(file, &[one("", "x"), one("one", "one")]),
            replace(file, &[one("fn a() {\n\tone();", "x"), one("one();\n}\n\nfn b", "y")]),
            replace(file, &[one("completely different text", "x")]),
            replace(file, &[one("1\tfn a() {\n2\t\tone();", "x")]),
            replace(file, &[one("fn b() {\n\ttwo();\n}", "x")]),
        ];
        let text: Vec<String> = refusals.into_iter().map(|refusal| refusal.unwrap_err().join("\n")).collect();
        insta::assert_snapshot!(text.join("\n---\n"));
    }

    #[test]
    fn hostile_sizes_take_no_time() {
        let file = "a\n".repeat(1 << 20);
        let started = std::time::Instant::now();
        let twice = replace(&file, &[one("a", "b")]).unwrap_err().join("");
        assert!(
            twice.contains("in 1048576 places, at lines 1, 2, 3,") && twice.contains("and 1048556 more"),
            "{twice}"
        );
        let all = Replacement { old: "a".into(), new: "b".into(), all: true };
        assert_eq!(replace(&file, &[all.clone(), all]).unwrap_err().len(), 1);
        let many = vec![one("nothing like it", "b"); 5000];
        assert_eq!(replace(&file, &many).unwrap_err().len(), MAX_PROBLEMS + 1);
        // Seconds even without optimisation on a slow machine; quadratic work would take hours.
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    }

    /// Words between bars: every word is unique, so that each can be replaced exactly.
    fn document(words: usize, crlf: bool, mark: bool) -> String {
        let end = if crlf { "\r\n" } else { "\n" };
        let body: String = (0..words).map(|word| format!("|w{word}|{end}")).collect();
        if mark { format!("\u{feff}{body}") } else { body }
    }

    proptest! {
        #[test]
        fn like_replacing_one_after_the_other(
            words in 1usize..20,
            picked in prop::collection::btree_map(0usize..20, "[a-z\n]{0,6}", 0..6),
            crlf: bool,
            mark: bool,
        ) {
            let original = document(words, crlf, mark);
            let mut expected = original.clone();
            let mut edits = Vec::new();
            for (word, new) in picked.iter().filter(|(word, _)| **word < words) {
                let old = format!("|w{word}|");
                expected = expected.replace(&old, &if crlf { new.replace('\n', "\r\n") } else { new.clone() });
                edits.push(one(&old, new));
            }
            edits.reverse();
            prop_assert_eq!(replace(&original, &edits), Ok(expected));
        }

        #[test]
        fn nothing_panics_and_refusals_are_bounded(
            file in "[ab \n\r\té]{0,80}",
            old in "[ab \n\r\té]{0,10}",
            new in "[ab \n\r]{0,10}",
            all: bool,
        ) {
            match replace(&file, &[Replacement { old, new, all }]) {
                Ok(text) => prop_assert_ne!(text, file),
                Err(problems) => prop_assert!(problems.join("\n").len() < 12_000),
            }
        }
    }
}
