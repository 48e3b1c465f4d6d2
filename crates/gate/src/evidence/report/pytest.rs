//! pytest: one line for each test with `-v`, and the short summary at the end with `-r`.

use std::{collections::BTreeMap, sync::LazyLock};

use super::{Collector, Fate};
use crate::pattern::TextPattern;

/// `tests/test_a.py::test_x PASSED   [ 50%]`
static VERBOSE: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"^(\S+\.py::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)(?: \(.*\)?)?(?:\s+\[\s*\d+%\])?\s*$",
    )
});
/// `[gw0] [ 50%] PASSED tests/test_a.py::test_x`
static DISTRIBUTED: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"^\[gw\d+\](?: \[\s*\d+%\])? (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S+\.py::.+?)\s*$",
    )
});
/// `FAILED tests/test_a.py::test_x - AssertionError`, and `SUBFAILED(i=1) …` for a part of a test that passes
/// as a whole.
static SUMMARY: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(r"^(PASSED|FAILED|ERROR|XFAIL|XPASS|SUBFAILED)(?:\([^)]*\)|\[[^\]]*\])? (\S+\.py.*)$")
});
/// `SKIPPED [1] tests/test_a.py:10: why`
static SKIPPED: LazyLock<TextPattern> = LazyLock::new(|| TextPattern::new(r"^SKIPPED \[\d+\] (\S+?:\d+): "));

pub(super) fn read(lines: &[&str], found: &mut Collector) {
    // A test is reported twice when its clean-up fails too: what is worse counts.
    let mut tests: BTreeMap<&str, Fate> = BTreeMap::new();
    let summary =
        lines.iter().rposition(|line| line.contains("short test summary info")).unwrap_or(lines.len());
    for line in &lines[..summary] {
        if let Some(test) = VERBOSE.captures(line) {
            note(&mut tests, test.text(1), fate(test.text(2)));
        } else if let Some(test) = DISTRIBUTED.captures(line) {
            note(&mut tests, test.text(2), fate(test.text(1)));
        }
    }
    let verbose = !tests.is_empty();
    for line in &lines[summary..] {
        if let Some(test) = SUMMARY.captures(line) {
            note(&mut tests, node_id(test.text(2)), fate(test.text(1)));
        } else if let Some(place) = SKIPPED.captures(line)
            && !verbose
        {
            note(&mut tests, place.text(1), Fate::Skipped);
        }
    }
    for (name, fate) in tests {
        found.add(name, fate);
    }
}

fn note<'a>(tests: &mut BTreeMap<&'a str, Fate>, name: &'a str, fate: Fate) {
    let entry = tests.entry(name).or_insert(fate);
    if fate == Fate::Failed {
        *entry = fate;
    }
}

fn fate(word: &str) -> Fate {
    match word {
        "PASSED" | "XPASS" => Fate::Passed,
        "SKIPPED" | "XFAIL" => Fate::Skipped,
        _ => Fate::Failed,
    }
}

/// A test's name without the message after it. Parameters between brackets may contain the separator.
fn node_id(rest: &str) -> &str {
    let parameters = rest.find('[').filter(|open| rest.find(" - ").is_none_or(|dash| *open < dash));
    let from = parameters.and_then(|open| rest[open..].find("] - ").map(|close| open + close)).unwrap_or(0);
    if parameters.is_some() && from == 0 {
        return rest;
    }
    rest[from..].find(" - ").map_or(rest, |dash| &rest[..from + dash])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_before_the_message() {
        for (rest, name) in [
            ("a.py::t - assert 1 - 2", "a.py::t"),
            ("a.py::t[x - y] - assert", "a.py::t[x - y]"),
            ("a.py::t[x - y]", "a.py::t[x - y]"),
            ("a.py - ImportError: [x] - y", "a.py"),
            ("a.py::t", "a.py::t"),
        ] {
            assert_eq!(node_id(rest), name);
        }
    }
}
