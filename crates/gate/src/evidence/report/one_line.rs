//! Runners that print one line for each test in a form of their own: cargo-nextest, .NET, minitest.

use std::sync::LazyLock;

use super::{Collector, Fate};
use crate::pattern::TextPattern;

/// `PASS [   0.003s] (1/3) crate module::test`
static NEXTEST: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"^\s*(PASS|LEAK|FAIL|TIMEOUT|SIG[A-Z]+|ABORT|SKIP)\s+\[[^\]]*\]\s+(?:\(\s*\d+/\d+\)\s+)?(\S.*)$",
    )
});
/// `  Passed Name.Space.Test [3 ms]`
static DOTNET: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"^\s+(Passed|Failed|Skipped) (\S.*?) \[[^\]]*\]$"));
/// `TestThing#test_x = 0.01 s = .`
static MINITEST: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"^(\S+#test_.+) = [\d.]+ s = ([.FES])$"));

pub(super) fn read(lines: &[&str], found: &mut Collector) {
    for line in lines {
        if let Some(test) = NEXTEST.captures(line) {
            found.add_once(test.text(2), fate(test.text(1)));
        } else if let Some(test) = DOTNET.captures(line) {
            found.add(test.text(2), fate(test.text(1)));
        } else if let Some(test) = MINITEST.captures(line) {
            found.add(test.text(1), fate(test.text(2)));
        }
    }
}

fn fate(word: &str) -> Fate {
    match word {
        "PASS" | "LEAK" | "Passed" | "." => Fate::Passed,
        "SKIP" | "Skipped" | "S" => Fate::Skipped,
        _ => Fate::Failed,
    }
}
