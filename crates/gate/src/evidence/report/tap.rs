//! The Test Anything Protocol, version 14, with subtests, as `node --test` and many others print it.

use std::sync::LazyLock;

use regex::Regex;

use super::{Collector, Fate, pattern};

static RESULT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^( *)(ok|not ok)\b(?: +\d+)?(?: +-)?(?: +(.*))?$"));
static SUBTEST: LazyLock<Regex> = LazyLock::new(|| pattern(r"^( *)# Subtest: (.*)$"));
static PLAN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^ *(?:TAP version \d+|1\.\.\d+.*)$"));
static DIRECTIVE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)(?:^| )# ?(skip|todo)\b.*$"));

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
            let indent = subtest[1].len();
            open.retain(|outer| outer.indent < indent);
            if open.len() < MAX_DEPTH {
                open.push(Open {
                    indent,
                    name: subtest.get(2).map_or("", |name| name.as_str()),
                    children: false,
                    failed: false,
                });
            }
        } else if let Some(result) = RESULT.captures(line) {
            let text = result.get(3).map_or("", |text| text.as_str());
            close(&mut open, result[1].len(), &result[2] == "ok", text, found);
        }
    }
}

fn close(open: &mut Vec<Open<'_>>, indent: usize, ok: bool, text: &str, found: &mut Collector) {
    open.retain(|outer| outer.indent <= indent);
    let own = open.pop_if(|last| last.indent == indent);
    let directive = DIRECTIVE.find(text);
    let name = directive.map_or(text, |directive| &text[..directive.start()]);
    let fate = match (ok, directive.is_some()) {
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
