//! Reporters for people: node's `spec`, jest, vitest, mocha, PHPUnit's testdox. A sign before each test,
//! groups by indentation.

use std::sync::LazyLock;

use super::{Collector, Fate};
use crate::pattern::TextPattern;

static TEST: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"^( *)(✓|✔|√|✗|✕|✖|×|✘|○|↓|﹣) +(.+)$"));
/// mocha: `    1) name` fails, `    - name` is pending. Only before its totals.
static MOCHA: LazyLock<TextPattern> = LazyLock::new(|| TextPattern::new(r"^( {2,})(\d+\)|-) (.+)$"));
static TOTALS: LazyLock<TextPattern> = LazyLock::new(|| TextPattern::new(r"^\s*\d+ passing\b"));
static END: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"failing tests:$|^Summary of all failing tests|^(?:⎯| )*Failed (?:Tests|Suites) \d|^Failures:$",
    )
});
/// Times and counts after a name.
static TAIL: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"(?: +\(?\d+(?:\.\d+)? ?m?s\)?| +\(\d+ tests?(?: \| \d+ \w+)*\)| +\[[\d.]+ m?s\]| +# (?:SKIP|TODO).*)+$",
    )
});
static FILE: LazyLock<TextPattern> = LazyLock::new(|| TextPattern::new(r"^ ?(PASS|FAIL) +(\S+)(?: .*)?$"));
/// vitest's default: one line for a file, with its tests below only if one of them failed.
static WHOLE_FILE: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"^ *(✓|❯|×|↓) (\S.*?) \(\d+ tests?(?: \| [^)]*)?\)"));
/// How node's older `spec` opens and closes a group.
const GROUP: char = '▶';

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 32;

pub(super) fn read(lines: &[&str], found: &mut Collector) {
    let end = lines.iter().position(|line| END.is_match(line)).unwrap_or(lines.len());
    let totals = lines.iter().position(|line| TOTALS.is_match(line));
    let lines = &lines[..totals.unwrap_or(end).min(end)];
    if files(lines, found) {
        return;
    }
    let mut groups: Vec<(usize, &str)> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let test = TEST.captures(line).or_else(|| totals.and_then(|_| MOCHA.captures(line)));
        if let Some(test) = test {
            let indent = test.text(1).len();
            let text = test.text(3);
            let text = text.strip_prefix("skipped ").filter(|_| test.text(2) == "○").unwrap_or(text);
            let name = TAIL.before(text);
            let left_out = text[name.len()..].contains("# ");
            // A group that announced itself by name ends with a line of its own.
            let closes = groups.iter().any(|(place, group)| *place == indent && *group == name);
            groups.retain(|(place, _)| *place < indent);
            if !closes {
                let path: Vec<&str> = groups.iter().map(|(_, group)| *group).chain([name]).collect();
                let fate = if left_out { Fate::Skipped } else { fate(test.text(2)) };
                found.add(&path.join(" > "), fate);
            }
        } else if let Some((indent, name)) = group(line, lines.get(index + 1).copied(), &groups) {
            groups.retain(|(place, _)| *place < indent);
            if groups.len() < MAX_DEPTH {
                groups.push((indent, name));
            }
        }
    }
}

/// Reports that speak of whole files: single tests below them show only on failure, so they cannot be
/// compared.
fn files(lines: &[&str], found: &mut Collector) -> bool {
    let tests = lines.iter().any(|line| TEST.is_match(line) && !WHOLE_FILE.is_match(line));
    for line in lines {
        if let Some(file) = WHOLE_FILE.captures(line) {
            found.add(file.text(2), if file.text(1) == "❯" { Fate::Failed } else { fate(file.text(1)) });
        }
    }
    if found.count() == 0 && !tests {
        for file in lines.iter().filter_map(|line| FILE.captures(line)) {
            found.add(file.text(2), if file.text(1) == "PASS" { Fate::Passed } else { Fate::Failed });
        }
    }
    found.count() > 0
}

fn fate(sign: &str) -> Fate {
    match sign {
        "✓" | "✔" | "√" => Fate::Passed,
        "○" | "↓" | "﹣" | "-" => Fate::Skipped,
        _ => Fate::Failed,
    }
}

/// The name of a group, if the line is one. Lines at the margin are mostly noise: only a file's, and a
/// heading right above tests.
fn group<'a>(line: &'a str, next: Option<&str>, open: &[(usize, &str)]) -> Option<(usize, &'a str)> {
    if let Some(file) = FILE.captures(line) {
        return file.get(2).map(|name| (0, name));
    }
    let text = line.trim();
    let indent = line.len() - line.trim_start().len();
    if let Some(name) = text.strip_prefix(GROUP) {
        return Some((indent, TAIL.before(name).trim()));
    }
    let below = next
        .and_then(|next| TEST.captures(next))
        .map(|test| test.text(1).len())
        .filter(|below| *below > indent);
    // What a test prints can stand between a group and the next of its tests.
    let heads = below.is_some_and(|below| !open.iter().any(|(place, _)| (2..below).contains(place)));
    (!text.is_empty() && text.len() <= 200 && (indent >= 2 || heads)).then_some((indent, text))
}
