//! Lines that were expected in a file against those that are there.

use similar::{ChangeTag, TextDiff};

use super::{nearest_lines, shorten};

/// Lines on each side that are compared.
const MAX_COMPARED: usize = 200;
/// Lines of a comparison that are shown.
const MAX_LINES: usize = 30;
/// Characters of one of them.
const MAX_LINE: usize = 300;

/// Says where in a file the lines most like `wanted` are, and how they differ; `None` if nothing is like
/// them.
pub(crate) fn nearest_difference(lines: &[&str], wanted: &[&str]) -> Option<String> {
    let near = nearest_lines(lines, wanted)?;
    let (first, last) = (near.start + 1, near.end);
    let place = if first == last { format!("line {first}") } else { format!("lines {first} to {last}") };
    Some(format!(
        "Nearest: {place}. Yours (-) against the file (+):\n{}",
        comparison(cut(wanted), cut(&lines[near]))
    ))
}

fn cut<'a, 'b>(lines: &'a [&'b str]) -> &'a [&'b str] {
    &lines[..lines.len().min(MAX_COMPARED)]
}

/// Line by line, what was given against what is there. Where only white space differs, it is made visible.
fn comparison(given: &[&str], actual: &[&str]) -> String {
    let diff = TextDiff::from_slices(given, actual);
    let mut shown = Vec::new();
    let mut marked = false;
    for change in diff.iter_all_changes() {
        let line = change.value();
        let (sign, others) = match change.tag() {
            ChangeTag::Equal => (' ', [].as_slice()),
            ChangeTag::Delete => ('-', actual),
            ChangeTag::Insert => ('+', given),
        };
        let visible = others.iter().any(|other| other.trim() == line.trim() && *other != line);
        marked |= visible;
        let line = if visible { visible_spaces(line) } else { line.to_owned() };
        shown.push(format!("{sign}{}", shorten(&line, MAX_LINE)));
    }
    if shown.len() > MAX_LINES {
        let more = shown.len() - MAX_LINES;
        shown.truncate(MAX_LINES);
        shown.push(format!("[… {more} more]"));
    }
    if marked {
        shown.push("(→ is a tab, · a space)".to_owned());
    }
    shown.join("\n")
}

/// The white space at both ends of a line as visible marks.
fn visible_spaces(line: &str) -> String {
    let inner = line.trim();
    let before = line.len() - line.trim_start().len();
    let mark = |spaces: &str| spaces.replace('\t', "→").replace(' ', "·").replace('\r', "␍");
    if inner.is_empty() {
        return mark(line);
    }
    format!("{}{inner}{}", mark(&line[..before]), mark(&line[before + inner.len()..]))
}

/// The lines at which something stands, for an error text: the first of them, and how many more there are.
pub(crate) fn line_numbers(lines: impl ExactSizeIterator<Item = usize>) -> String {
    const SHOWN: usize = 20;
    let more = lines.len().saturating_sub(SHOWN);
    let mut numbers: Vec<String> = lines.take(SHOWN).map(|line| line.to_string()).collect();
    if more > 0 {
        numbers.push(format!("and {more} more"));
    }
    numbers.join(", ")
}
