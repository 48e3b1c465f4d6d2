//! Applies the hunks of a patch to one file's text.
//!
//! A hunk's old lines are looked for from the hunk before on, first exactly, then without regard to white
//! space at the end of lines, then at both ends, then with typographic punctuation taken as its plain form.
//! Lines that stay are kept as the file has them, not as the patch has them; lines that come get the file's
//! line ends; the last line ends as it did.

use crate::text::{line_numbers, nearest_difference};

use super::parse::{Hunk, HunkLine};

/// A file's text after a patch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The text.
    pub(crate) text: String,
    /// What the model should know: hunks that could have gone elsewhere.
    pub(crate) notes: Vec<String>,
}

/// Comparisons of lines that one file may take. Reached only by files and patches that nobody writes.
const MAX_COMPARISONS: usize = 200_000_000;

/// Ways to compare two lines, from strict to lenient.
const COMPARISONS: [fn(&str, &str) -> bool; 4] = [
    |a, b| a == b,
    |a, b| a.trim_end() == b.trim_end(),
    |a, b| a.trim() == b.trim(),
    |a, b| plain_characters(a.trim()).eq(plain_characters(b.trim())),
];

/// The text after all hunks; or why one of them has no place in it.
pub(crate) fn apply(original: &str, hunks: &[Hunk]) -> Result<Applied, String> {
    let file = File::of(original);
    let lines: usize = hunks.iter().map(|hunk| hunk.lines.len() + hunk.headers.len()).sum();
    if lines.saturating_mul(file.lines.len()) > MAX_COMPARISONS {
        return Err(format!("{lines} lines of patch are too many for a file of {} lines", file.lines.len()));
    }
    let mut placed: Vec<Placed> = Vec::new();
    let mut notes = Vec::new();
    let mut cursor = 0;
    for (index, hunk) in hunks.iter().enumerate() {
        let name = if hunks.len() == 1 {
            format!("the hunk at line {} of the patch", hunk.line)
        } else {
            format!("hunk {} (line {} of the patch)", index + 1, hunk.line)
        };
        let place = file.place(hunk, cursor).map_err(|problem| format!("{name} {problem}"))?;
        if place.equals.len() > 1 {
            notes.push(format!(
                "{name} fits at lines {}; applied at line {}",
                line_numbers(place.equals.iter().copied()),
                place.start + 1
            ));
        }
        cursor = place.start + place.length;
        placed.push(place);
    }
    placed.sort_by_key(|place| place.start);
    if let Some([_, second]) = placed.windows(2).find(|pair| pair[1].start < pair[0].start + pair[0].length) {
        return Err(format!("two hunks overlap at line {}: join them into one", second.start + 1));
    }
    Ok(Applied { text: file.with(&placed), notes })
}

/// A file's lines.
struct File<'a> {
    mark: &'static str,
    /// Content and end of each line; the end is empty only for a last line without one.
    lines: Vec<(&'a str, &'a str)>,
    line_end: &'static str,
}

/// Where a hunk goes.
struct Placed<'a> {
    /// Index of the first line that it covers.
    start: usize,
    /// How many lines it covers.
    length: usize,
    /// Its lines; what stays and goes fits the lines that are covered.
    lines: &'a [HunkLine],
    /// All lines, counted from 1, where it would fit just as well.
    equals: Vec<usize>,
}

impl<'a> File<'a> {
    fn of(original: &'a str) -> Self {
        let (mark, body) = match original.strip_prefix('\u{feff}') {
            Some(body) => ("\u{feff}", body),
            None => ("", original),
        };
        let lines: Vec<(&str, &str)> = body
            .split_inclusive('\n')
            .map(|line| {
                let content = line.strip_suffix("\r\n").or_else(|| line.strip_suffix('\n')).unwrap_or(line);
                (content, &line[content.len()..])
            })
            .collect();
        let crlf = lines.iter().filter(|(_, end)| *end == "\r\n").count();
        Self { mark, line_end: if crlf * 2 > lines.len() { "\r\n" } else { "\n" }, lines }
    }

    /// Finds the place of a hunk, from `cursor` on if possible.
    fn place<'h>(&self, hunk: &'h Hunk, cursor: usize) -> Result<Placed<'h>, String> {
        let (from, headers_found) = self.after_headers(&hunk.headers, cursor);
        let old: Vec<&str> = hunk.lines.iter().filter_map(old_line).collect();
        if old.is_empty() {
            return self.insertion(hunk, headers_found.then_some(from));
        }
        let mut lines = hunk.lines.as_slice();
        let mut wanted = old.as_slice();
        loop {
            if let Some((start, equals)) = self.find(hunk, wanted, from) {
                // A header that was found makes the choice unambiguous.
                let told = hunk.headers.is_empty() && hunk.hint.is_none() && !hunk.at_end;
                let equals = if told { equals.iter().map(|line| line + 1).collect() } else { Vec::new() };
                return Ok(Placed { start, length: wanted.len(), lines, equals });
            }
            // An empty line at the end of a hunk is often only the patch's layout.
            match (lines.split_last(), wanted.split_last()) {
                (Some((HunkLine::Context(last), fewer)), Some((_, rest)))
                    if last.is_empty() && !rest.is_empty() =>
                {
                    lines = fewer;
                    wanted = rest;
                }
                _ => return Err(self.no_place(hunk, &old, headers_found)),
            }
        }
    }

    /// The line after the headers, looked for one after the other; the cursor itself if one is not there.
    fn after_headers(&self, headers: &[String], cursor: usize) -> (usize, bool) {
        let mut from = cursor;
        for header in headers {
            let line = COMPARISONS
                .iter()
                .copied()
                .chain([(|line: &str, header: &str| line.trim().starts_with(header.trim()))
                    as fn(&str, &str) -> bool])
                .find_map(|same| (from..self.lines.len()).find(|index| same(self.lines[*index].0, header)));
            match line {
                Some(line) => from = line + 1,
                None => return (cursor, false),
            }
        }
        (from, !headers.is_empty())
    }

    /// The first line where `wanted` stands, and all of them under the same comparison.
    fn find(&self, hunk: &Hunk, wanted: &[&str], from: usize) -> Option<(usize, Vec<usize>)> {
        let last = self.lines.len().checked_sub(wanted.len())?;
        for same in COMPARISONS {
            let fits = |start: usize| {
                wanted.iter().zip(&self.lines[start..]).all(|(wanted, line)| same(line.0, wanted))
            };
            let all: Vec<usize> = (0..=last).filter(|start| fits(*start)).collect();
            let chosen = if hunk.at_end && all.last() == Some(&last) {
                Some(last)
            } else if let Some(hint) = hunk.hint {
                all.iter().copied().min_by_key(|start| (start + 1).abs_diff(hint))
            } else {
                // Hunks out of order are taken only where there is no choice.
                all.iter().copied().find(|start| *start >= from).or(if all.len() == 1 {
                    Some(all[0])
                } else {
                    None
                })
            };
            if let Some(start) = chosen {
                return Some((start, all));
            }
        }
        None
    }

    /// The place of a hunk that only adds: after its header, before the line of its hint, or at the end.
    fn insertion<'h>(&self, hunk: &'h Hunk, after: Option<usize>) -> Result<Placed<'h>, String> {
        if after.is_none()
            && let Some(header) = hunk.headers.last()
        {
            return Err(format!("adds lines after {header:?}, which is not in the file"));
        }
        let hinted = hunk.hint.filter(|hint| (1..=self.lines.len()).contains(hint)).map(|hint| hint - 1);
        let start = if hunk.at_end { None } else { after.or(hinted) }.unwrap_or(self.lines.len());
        Ok(Placed { start, length: 0, lines: &hunk.lines, equals: Vec::new() })
    }

    fn no_place(&self, hunk: &Hunk, old: &[&str], headers_found: bool) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.0).collect();
        let header = match hunk.headers.last() {
            Some(header) if !headers_found => format!(" Its header {header:?} is not in the file either."),
            Some(_) | None => String::new(),
        };
        match nearest_difference(&lines, old) {
            Some(nearest) => format!("does not fit.{header} {nearest}"),
            None => {
                format!("does not fit: nothing like its lines is in the file.{header} Read the file again.")
            }
        }
    }

    /// The text with the hunks in their places.
    fn with(&self, placed: &[Placed<'_>]) -> String {
        let mut lines: Vec<(&str, &str)> = Vec::with_capacity(self.lines.len());
        let mut copied = 0;
        for place in placed {
            lines.extend_from_slice(&self.lines[copied..place.start]);
            copied = place.start;
            for line in place.lines {
                match line {
                    HunkLine::Context(_) => {
                        lines.push(self.lines[copied]);
                        copied += 1;
                    }
                    HunkLine::Remove(_) => copied += 1,
                    HunkLine::Add(text) => lines.push((text, self.line_end)),
                }
            }
        }
        lines.extend_from_slice(&self.lines[copied..]);
        let open = self.lines.last().is_some_and(|(_, end)| end.is_empty());
        let count = lines.len();
        let mut text = self.mark.to_owned();
        for (index, (content, end)) in lines.into_iter().enumerate() {
            text.push_str(content);
            if index + 1 < count || !open {
                text.push_str(if end.is_empty() { self.line_end } else { end });
            }
        }
        text
    }
}

/// The line as it stands in the file before the change, if it does.
fn old_line(line: &HunkLine) -> Option<&str> {
    match line {
        HunkLine::Context(text) | HunkLine::Remove(text) => Some(text),
        HunkLine::Add(_) => None,
    }
}

/// The characters of a line with typographic quotes, dashes and spaces in their plain form.
fn plain_characters(line: &str) -> impl Iterator<Item = char> {
    line.chars().map(|character| match character {
        '\u{2018}'..='\u{201b}' | '\u{2032}' => '\'',
        '\u{201c}'..='\u{201f}' | '\u{2033}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::patch::{Operation, parse};

    fn patched(original: &str, body: &str) -> Result<Applied, String> {
        let text = format!("*** Begin Patch\n*** Update File: f\n{body}\n*** End Patch");
        match parse(&text).unwrap().as_slice() {
            [Operation::Update { hunks, .. }] => apply(original, hunks),
            other => panic!("{other:?}"),
        }
    }

    fn text(original: &str, body: &str) -> String {
        patched(original, body).unwrap().text
    }

    #[test]
    fn headers_choose_among_equals() {
        let file = "class A:\n  def f():\n    pass\nclass B:\n  def f():\n    pass\n";
        assert_eq!(
            text(file, "@@ class B:\n@@ def f():\n-    pass\n+    return"),
            "class A:\n  def f():\n    pass\nclass B:\n  def f():\n    return\n"
        );
        let applied = patched(file, "@@\n-    pass\n+    return").unwrap();
        assert_eq!(applied.notes, ["the hunk at line 3 of the patch fits at lines 3, 6; applied at line 3"]);
        assert_eq!(
            text(file, "@@ -6,1 +6,1 @@\n-    pass\n+    x"),
            "class A:\n  def f():\n    pass\nclass B:\n  def f():\n    x\n"
        );
    }

    #[test]
    fn lenient_in_context_but_the_file_wins() {
        assert_eq!(text("a  \n\tb\nc\n", "@@\n a\n b\n-c\n+d"), "a  \n\tb\nd\n");
        assert_eq!(
            text("say \u{201c}hi\u{201d} \u{2013} ok\nx\n", "@@\n say \"hi\" - ok\n-x\n+y"),
            "say \u{201c}hi\u{201d} \u{2013} ok\ny\n"
        );
        assert_eq!(text("a\nb\n", " a\n-b\n+c\n"), "a\nc\n", "no @@, and an empty line at the end");
    }

    #[test]
    fn ends_and_marks_stay() {
        assert_eq!(text("\u{feff}a\r\nb\r\n", "@@\n a\n+x\n b"), "\u{feff}a\r\nx\r\nb\r\n");
        assert_eq!(text("a\nb", "@@\n a\n-b\n+c"), "a\nc");
        assert_eq!(text("a\nb", "@@\n+c"), "a\nb\nc");
        assert_eq!(text("a\n", "@@\n-a"), "");
        assert_eq!(text("", "@@\n+a"), "a\n");
    }

    #[test]
    fn places_of_insertions() {
        assert_eq!(text("a\nb\n", "@@ a\n+x"), "a\nx\nb\n");
        assert_eq!(text("a\na\n", "@@\n a\n+x\n*** End of File"), "a\na\nx\n");
        assert_eq!(text("b\na\n", "@@\n-a\n+A\n@@\n-b\n+B"), "B\nA\n", "out of order, without a choice");
    }

    #[test]
    fn refusals_say_where_to_look() {
        let file = "fn a() {\n    one();\n}\n";
        let refusals = [
            patched(file, "@@\n fn a() {\n-    two();\n+    three();"),
            patched(file, "@@ fn zz()\n-nothing like it\n+x"),
            patched(file, "@@ fn zz()\n+x"),
            patched(file, "@@\n-fn a() {\n+x\n@@\n fn a() {\n-    one();"),
        ];
        let texts: Vec<String> = refusals.into_iter().map(|refusal| refusal.unwrap_err()).collect();
        insta::assert_snapshot!(texts.join("\n---\n"));
    }

    /// Lines that differ from each other, so that a hunk has one place.
    fn lines(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("line {number}")).collect()
    }

    proptest! {
        /// A patch made from two texts as `diff -u` does turns one into the other, whatever the line ends.
        #[test]
        fn turns_one_text_into_the_other(
            count in 1usize..40,
            removed in prop::collection::btree_set(0usize..40, 0..8),
            inserted in prop::collection::btree_map(0usize..40, "[a-z]{1,5}", 1..8),
            crlf: bool,
            closed: bool,
        ) {
            let old = lines(count);
            let mut new = Vec::new();
            for (index, line) in old.iter().enumerate() {
                if let Some(text) = inserted.get(&index) {
                    new.push(format!("new {text} {index}"));
                }
                if !removed.contains(&index) {
                    new.push(line.clone());
                }
            }
            prop_assume!(old != new && !new.is_empty());
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            let diff = similar::TextDiff::from_slices(&old, &new);
            let mut body = String::new();
            for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
                body.push_str("@@\n");
                for change in hunk.iter_changes() {
                    body.push_str(&format!("{}{}\n", change.tag(), change.value()));
                }
            }
            let end = if crlf { "\r\n" } else { "\n" };
            let join = |lines: &[&str]| lines.join(end) + if closed { end } else { "" };
            // One line has no end of its own from which to tell.
            prop_assume!(closed || old.len() > 2 || !crlf);
            prop_assert_eq!(text(&join(&old), &body), join(&new));
        }

        #[test]
        fn nothing_panics(file in "[ab \n\r]{0,40}", body in "([@ +-][ab ]{0,3}\n){1,8}") {
            let text = format!("*** Begin Patch\n*** Update File: f\n{body}*** End Patch");
            if let Ok([Operation::Update { hunks, .. }]) = parse(&text).as_deref()
                && let Err(problem) = apply(&file, hunks)
            {
                prop_assert!(problem.len() < 12_000);
            }
        }
    }
}
