//! Reads a patch. Strict about what could be misunderstood, lenient about wrapping: heredocs, code fences,
//! unified-diff headers.

use std::{iter::Peekable, str::Lines};

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const ADD: &str = "*** Add File:";
const DELETE: &str = "*** Delete File:";
const UPDATE: &str = "*** Update File:";
const MOVE: &str = "*** Move to:";
const END_OF_FILE: &str = "*** End of File";

/// What a patch does to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Make a file.
    Add {
        /// Where.
        path: String,
        /// Its content; every line ends with LF.
        content: String,
    },
    /// Remove a file.
    Delete {
        /// Which.
        path: String,
    },
    /// Change a file, move it, or both.
    Update {
        /// Which.
        path: String,
        /// Where it is to be afterwards.
        to: Option<String>,
        /// The changes, in the order of the file.
        hunks: Vec<Hunk>,
    },
}

/// One change within a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hunk {
    /// The patch's line at which it begins, counted from 1.
    pub(crate) line: usize,
    /// Lines of the file that come somewhere before it, outermost first.
    pub(crate) headers: Vec<String>,
    /// The line number that a unified-diff header gives; only chooses among equals.
    pub(crate) hint: Option<usize>,
    /// Its lines.
    pub(crate) lines: Vec<HunkLine>,
    /// Whether it belongs at the end of the file.
    pub(crate) at_end: bool,
}

/// One line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HunkLine {
    /// Stays.
    Context(String),
    /// Goes.
    Remove(String),
    /// Comes.
    Add(String),
}

/// Why a text is not a patch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the patch: {problem}")]
pub(crate) struct BadPatch {
    line: usize,
    problem: String,
}

type Numbered<'a> = Peekable<std::iter::Zip<std::ops::RangeFrom<usize>, Lines<'a>>>;

/// Reads a patch.
pub(crate) fn parse(text: &str) -> Result<Vec<Operation>, BadPatch> {
    let mut lines: Numbered<'_> = (1..).zip(text.lines()).peekable();
    // What comes before is a shell's or Markdown's way of quoting.
    while lines.next_if(|(_, line)| line.trim() != BEGIN && !is_header(line)).is_some() {}
    lines.next_if(|(_, line)| line.trim() == BEGIN);
    let mut operations = Vec::new();
    let mut last = 0;
    while let Some((number, line)) = lines.next() {
        last = number;
        let line = line.trim_end();
        if line.trim() == END {
            return ended(lines, operations, number);
        }
        if let Some(path) = line.strip_prefix(ADD) {
            operations.push(Operation::Add { path: path_of(path, number)?, content: added(&mut lines)? });
        } else if let Some(path) = line.strip_prefix(DELETE) {
            operations.push(Operation::Delete { path: path_of(path, number)? });
        } else if let Some(path) = line.strip_prefix(UPDATE) {
            let path = path_of(path, number)?;
            let to = match lines.next_if(|(_, line)| line.starts_with(MOVE)) {
                Some((number, line)) => Some(path_of(&line[MOVE.len()..], number)?),
                None => None,
            };
            let hunks = hunks(&mut lines)?;
            if to.is_none() && hunks.is_empty() {
                return Err(bad(number, format!("no changes follow for {path}")));
            }
            operations.push(Operation::Update { path, to, hunks });
        } else if !line.is_empty() {
            return Err(bad(
                number,
                format!(
                    "expected `{ADD} PATH`, `{UPDATE} PATH`, `{DELETE} PATH` or `{END}`, found {}",
                    quoted(line)
                ),
            ));
        }
    }
    Err(bad(last + 1, format!("the patch ends without `{END}`")))
}

fn ended(mut rest: Numbered<'_>, operations: Vec<Operation>, end: usize) -> Result<Vec<Operation>, BadPatch> {
    if let Some((number, line)) = rest.find(|(_, line)| line.starts_with("***")) {
        return Err(bad(
            number,
            format!("{} comes after `{END}`: put everything into one patch", quoted(line)),
        ));
    }
    if operations.is_empty() {
        return Err(bad(end, "the patch is empty".to_owned()));
    }
    Ok(operations)
}

fn bad(line: usize, problem: String) -> BadPatch {
    BadPatch { line, problem }
}

fn quoted(line: &str) -> String {
    let short: String = line.chars().take(80).collect();
    format!("{short:?}")
}

fn is_header(line: &str) -> bool {
    [ADD, DELETE, UPDATE].iter().any(|header| line.starts_with(header))
}

fn path_of(text: &str, line: usize) -> Result<String, BadPatch> {
    let path = text.trim();
    if path.is_empty() { Err(bad(line, "the path is missing".to_owned())) } else { Ok(path.to_owned()) }
}

/// The lines of a new file. An empty line counts as `+` alone.
fn added(lines: &mut Numbered<'_>) -> Result<String, BadPatch> {
    let mut content = String::new();
    // Empty lines before the next header are layout of the patch.
    let mut empty = 0;
    while let Some((number, line)) = lines.next_if(|(_, line)| !line.starts_with("*** ")) {
        match line.strip_prefix('+') {
            Some(text) => {
                content.push_str(&"\n".repeat(std::mem::take(&mut empty)));
                content.push_str(text);
                content.push('\n');
            }
            None if line.trim().is_empty() => empty += 1,
            None => {
                return Err(bad(
                    number,
                    format!("every line of a new file begins with +, found {}", quoted(line)),
                ));
            }
        }
    }
    lines.next_if(|(_, line)| line.trim_end() == END_OF_FILE);
    Ok(content)
}

fn hunks(lines: &mut Numbered<'_>) -> Result<Vec<Hunk>, BadPatch> {
    let mut hunks: Vec<Hunk> = Vec::new();
    // Whether the next line belongs to the last hunk.
    let mut open = false;
    while let Some((number, line)) =
        lines.next_if(|(_, line)| !line.starts_with("*** ") || line.trim_end() == END_OF_FILE)
    {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim_end() == END_OF_FILE {
            if let Some(hunk) = hunks.last_mut() {
                hunk.at_end = true;
            }
            open = false;
            continue;
        }
        let header = line.strip_prefix("@@");
        // A header after headers alone goes deeper; after lines it begins the next hunk.
        let stacked = open && hunks.last().is_some_and(|hunk| hunk.lines.is_empty());
        if !open || (header.is_some() && !stacked) {
            hunks.push(Hunk { line: number, ..Hunk::default() });
            open = true;
        }
        let Some(hunk) = hunks.last_mut() else { continue };
        match (header, line.chars().next()) {
            (Some(header), _) => note_header(hunk, header),
            (None, None) => hunk.lines.push(HunkLine::Context(String::new())),
            (None, Some(' ')) => hunk.lines.push(HunkLine::Context(line[1..].to_owned())),
            (None, Some('-')) => hunk.lines.push(HunkLine::Remove(line[1..].to_owned())),
            (None, Some('+')) => hunk.lines.push(HunkLine::Add(line[1..].to_owned())),
            // "\ No newline at end of file" in unified diffs: line ends are kept as they are anyway.
            (None, Some('\\')) => {}
            (None, Some(_)) => {
                return Err(bad(
                    number,
                    format!("expected a line beginning with @@, space, + or -, found {}", quoted(line)),
                ));
            }
        }
    }
    hunks.retain_mut(trim_layout);
    Ok(hunks)
}

/// Removes empty lines after the last change of a hunk that has none of its own context after it: they are
/// layout of the patch. False if nothing is left.
fn trim_layout(hunk: &mut Hunk) -> bool {
    let empty = |line: &HunkLine| *line == HunkLine::Context(String::new());
    if hunk.lines.iter().all(empty) {
        hunk.lines.clear();
    }
    !hunk.lines.is_empty()
}

/// Takes in what follows `@@`: nothing, a line of the file, or the numbers of a unified diff.
fn note_header(hunk: &mut Hunk, text: &str) {
    let text = text.trim();
    let (numbers, heading) = match text.split_once("@@") {
        Some((numbers, heading)) => (numbers, heading.trim()),
        None => (text, ""),
    };
    if let Some(start) = old_start(numbers) {
        hunk.hint = Some(start);
        if !heading.is_empty() {
            hunk.headers.push(heading.to_owned());
        }
    } else if !text.is_empty() {
        hunk.headers.push(text.strip_suffix("@@").unwrap_or(text).trim_end().to_owned());
    }
}

/// The 12 of `-12,5 +13,6`.
fn old_start(numbers: &str) -> Option<usize> {
    let (old, new) = numbers.trim().split_once(' ')?;
    let start = |range: &str, sign| range.strip_prefix(sign)?.split(',').next()?.parse::<usize>().ok();
    start(new, '+')?;
    start(old, '-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(operations: &[Operation]) -> String {
        let mut text = format!("{BEGIN}\n");
        for operation in operations {
            match operation {
                Operation::Add { path, content } => {
                    text.push_str(&format!("{ADD} {path}\n"));
                    content.lines().for_each(|line| text.push_str(&format!("+{line}\n")));
                }
                Operation::Delete { path } => text.push_str(&format!("{DELETE} {path}\n")),
                Operation::Update { path, to, hunks } => {
                    text.push_str(&format!("{UPDATE} {path}\n"));
                    if let Some(to) = to {
                        text.push_str(&format!("{MOVE} {to}\n"));
                    }
                    for hunk in hunks {
                        if hunk.headers.is_empty() {
                            text.push_str("@@\n");
                        }
                        hunk.headers.iter().for_each(|header| text.push_str(&format!("@@ {header}\n")));
                        for line in &hunk.lines {
                            let (sign, line) = match line {
                                HunkLine::Context(line) => (' ', line),
                                HunkLine::Remove(line) => ('-', line),
                                HunkLine::Add(line) => ('+', line),
                            };
                            text.push_str(&format!("{sign}{line}\n"));
                        }
                        if hunk.at_end {
                            text.push_str(&format!("{END_OF_FILE}\n"));
                        }
                    }
                }
            }
        }
        text + END
    }

    fn hunk_line() -> impl Strategy<Value = HunkLine> {
        ("[a-z@*+\\- ]{0,12}", 0..3).prop_map(|(text, kind)| match kind {
            0 => HunkLine::Context(text),
            1 => HunkLine::Remove(text),
            _ => HunkLine::Add(text),
        })
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let path = "[a-z]{1,6}(/[a-z]{1,6})?";
        let hunk = (
            prop::collection::vec("[a-z]{1,9}", 0..3),
            prop::collection::vec(hunk_line(), 1..6),
            any::<bool>(),
        )
            .prop_map(|(headers, mut lines, at_end)| {
                lines.push(HunkLine::Add("x".into()));
                Hunk { headers, lines, at_end, ..Hunk::default() }
            });
        prop_oneof![
            (path, prop::collection::vec("[a-z*@ ]{0,9}", 0..5)).prop_map(|(path, lines)| Operation::Add {
                path,
                content: lines.iter().map(|line| format!("{line}\n")).collect()
            }),
            path.prop_map(|path| Operation::Delete { path }),
            (path, prop::option::of(path), prop::collection::vec(hunk, 1..4))
                .prop_map(|(path, to, hunks)| Operation::Update { path, to, hunks }),
        ]
    }

    fn without_lines(mut operations: Vec<Operation>) -> Vec<Operation> {
        for operation in &mut operations {
            if let Operation::Update { hunks, .. } = operation {
                hunks.iter_mut().for_each(|hunk| hunk.line = 0);
            }
        }
        operations
    }

    proptest! {
        #[test]
        fn reads_what_was_written(operations in prop::collection::vec(operation(), 1..5)) {
            let text = written(&operations);
            prop_assert_eq!(parse(&text).map(without_lines), Ok(operations.clone()));
            let quoted = format!("apply_patch <<'EOF'\n{}\nEOF\n", text.replace('\n', "\r\n"));
            prop_assert_eq!(parse(&quoted).map(without_lines), Ok(operations));
        }

        #[test]
        fn no_text_panics(lines in prop::collection::vec("(\\*\\*\\* (Begin Patch|End Patch|Update File: a|Add File: b|Move to: c|End of File)|@@ ?-?1?|[ +-].{0,5}|.{0,9})", 0..20)) {
            if let Err(problem) = parse(&lines.join("\n")) {
                prop_assert!(problem.to_string().len() < 1000);
            }
        }
    }

    #[test]
    fn unified_diff_headers_are_understood() {
        let text = "*** Begin Patch\n*** Update File: a\n@@ -12,3 +12,4 @@ fn b() {\n x\n+y\n*** End Patch";
        let operations = parse(text).unwrap();
        let [Operation::Update { hunks, .. }] = operations.as_slice() else { panic!("{operations:?}") };
        assert_eq!(
            (hunks[0].hint, hunks[0].headers.as_slice()),
            (Some(12), ["fn b() {".to_owned()].as_slice())
        );
    }

    #[test]
    fn errors_name_the_line() {
        let texts = [
            "nothing",
            "*** Begin Patch\n*** End Patch",
            "*** Begin Patch\n*** Update File: a\n@@\n x\n+y",
            "*** Begin Patch\n*** Update File: a\n@@\nx\n*** End Patch",
            "*** Begin Patch\n*** Add File: a\nx\n*** End Patch",
            "*** Begin Patch\n*** Change File: a\n*** End Patch",
            "*** Begin Patch\n*** Update File: a\n*** End Patch",
            "*** Begin Patch\n*** Delete File:\n*** End Patch",
            "*** Begin Patch\n*** Delete File: a\n*** End Patch\n*** Begin Patch",
        ];
        let errors: Vec<String> = texts.iter().map(|text| parse(text).unwrap_err().to_string()).collect();
        insta::assert_snapshot!(errors.join("\n"));
    }
}
