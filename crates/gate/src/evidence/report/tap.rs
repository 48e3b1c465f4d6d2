//! The Test Anything Protocol, version 14, with subtests, as `node --test` and many others print it.

use std::sync::LazyLock;

use super::{Collector, Fate};
use crate::pattern::TextPattern;

static RESULT: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"^( *)(ok|not ok)\b(?: +\d+)?(?: +-)?(?: +(.*))?$"));
static SUBTEST: LazyLock<TextPattern> = LazyLock::new(|| TextPattern::new(r"^( *)# Subtest: (.*)$"));
static PLAN: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"^ *(?:TAP version \d+|1\.\.\d+.*)$"));
static DIRECTIVE: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"(?i)(?:^| )# ?(skip|todo)\b.*$"));

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 32;

/// A subtest that was announced and has not ended.
struct Open<'a> {
    indent: usize,
    name: &'a str,
    children: bool,
    failed: bool,
}

pub(super) fn read(lines: &[&str], found: &mut Collector) {
    // Without a plan, lines that start with "ok" are somebody's prose.
    if !lines.iter().any(|line| PLAN.is_match(line)) {
        return;
    }
    let mut open: Vec<Open<'_>> = Vec::new();
    for line in lines {
        if let Some(subtest) = SUBTEST.captures(line) {
            let indent = subtest.text(1).len();
            open.retain(|outer| outer.indent < indent);
            if open.len() < MAX_DEPTH {
                open.push(Open { indent, name: subtest.text(2), children: false, failed: false });
            }
        } else if let Some(result) = RESULT.captures(line) {
            let text = result.text(3);
            close(&mut open, result.text(1).len(), result.text(2) == "ok", text, found);
        }
    }
}

fn close(open: &mut Vec<Open<'_>>, indent: usize, ok: bool, text: &str, found: &mut Collector) {
    open.retain(|outer| outer.indent <= indent);
    let own = open.pop_if(|last| last.indent == indent);
    let name = DIRECTIVE.before(text);
    let fate = match (ok, name.len() < text.len()) {
        (_, true) => Fate::Skipped,
        (true, false) => Fate::Passed,
        (false, false) => Fate::Failed,
    };
    let failed = fate == Fate::Failed;
    if let Some(outer) = open.last_mut() {
        outer.children = true;
        outer.failed |= failed;
    }
    // A group only repeats what its members said, unless it failed by itself.
    if own.is_some_and(|own| own.children && (own.failed || !failed)) {
        return;
    }
    let path: Vec<&str> = open.iter().map(|outer| outer.name).chain([name.trim()]).collect();
    found.add(&path.join(" > ").replace("\\#", "#"), fate);
}
