//! What a test runner's output says about single tests.
//!
//! Output is untrusted: a program under test can print anything, also lines in the form of a report. So a
//! report refines the exit code and never replaces it. Names and their number are bounded; a report with more
//! tests than [`MAX_TESTS`] is no report, since half of one would show tests as removed that are not.

mod glyph;
mod go;
mod jvm;
mod libtest;
mod one_line;
mod pytest;
mod tap;
mod unittest;

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use cofferdam_domain::evidence::TestReport;

use crate::{
    pattern::{Pattern, pattern},
    unicode::reveal,
    view::bounded,
};

/// Tests in one report. A larger one is not read.
const MAX_TESTS: usize = 20_000;
/// Bytes of output that are read.
const MAX_OUTPUT: usize = 32 << 20;
/// Bytes of one line that are read; longer lines are no report.
const MAX_LINE: usize = 2_000;
/// Bytes of one name.
const MAX_NAME: usize = 300;

/// What became of one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passed,
    Failed,
    Skipped,
}

/// Reads one format.
type Format = fn(&[&str], &mut Collector);

/// The formats, with the words in a command that announce each.
const FORMATS: &[(&[&str], Format)] = &[
    (&["cargo"], libtest::read),
    (&["pytest", "py.test", "tox"], pytest::read),
    (&["unittest"], unittest::read),
    (&["go test"], go::read),
    (&["mvn", "mvnw", "gradle"], jvm::read),
    (&["nextest", "dotnet", "rake"], one_line::read),
    (&["node --test"], tap::read),
    (&["node --test", "jest", "vitest", "mocha", "phpunit"], glyph::read),
];

/// What the output of `command` says about single tests; `None` if it is in no known format, or too large.
#[must_use]
pub fn parse_report(command: &str, output: &[u8]) -> Option<TestReport> {
    static ESCAPES: Pattern =
        LazyLock::new(|| pattern(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"));
    let plain = ESCAPES.replace_all(&output[..output.len().min(MAX_OUTPUT)], b"");
    let text = String::from_utf8_lossy(&plain);
    let lines: Vec<&str> =
        text.split('\n').map(last_overwrite).filter(|line| line.len() <= MAX_LINE).collect();
    let (announced, others): (Vec<_>, Vec<_>) =
        FORMATS.iter().partition(|(words, _)| words.iter().any(|word| command.contains(word)));
    [announced, others].iter().find_map(|formats| best(formats, &lines)).and_then(Collector::finish)
}

/// The reading with the most tests; `None` if no format finds any.
fn best(formats: &[&(&[&str], Format)], lines: &[&str]) -> Option<Collector> {
    let readings = formats.iter().map(|(_, read)| {
        let mut collector = Collector::default();
        read(lines, &mut collector);
        collector
    });
    // The first of equals: the table is in the order of how particular the formats are.
    readings.rev().max_by_key(Collector::count).filter(|collector| collector.count() > 0)
}

/// What a terminal shows of a line on which a program wrote over itself.
fn last_overwrite(line: &str) -> &str {
    let line = line.strip_suffix('\r').unwrap_or(line);
    line.rsplit('\r').next().unwrap_or(line)
}

/// Tests as they are found.
#[derive(Default)]
struct Collector {
    report: TestReport,
    copies: HashMap<String, u32>,
    seen: HashSet<String>,
    overflow: bool,
}

impl Collector {
    /// One more test. A name that came before gets a number, since runners allow it.
    fn add(&mut self, name: &str, fate: Fate) {
        let Some(name) = self.name(name) else { return };
        let copy = self.copies.entry(name.clone()).or_insert(0);
        *copy += 1;
        let name = if *copy > 1 { format!("{name} ({copy})") } else { name };
        self.push(name, fate);
    }

    /// One more test, unless it came before: for runners that repeat themselves at the end.
    fn add_once(&mut self, name: &str, fate: Fate) {
        if let Some(name) = self.name(name)
            && self.seen.insert(name.clone())
        {
            self.push(name, fate);
        }
    }

    fn name(&mut self, name: &str) -> Option<String> {
        let name = name.trim();
        self.overflow |= self.count() >= MAX_TESTS;
        (!name.is_empty() && !self.overflow).then(|| bounded(reveal(name), MAX_NAME))
    }

    fn push(&mut self, name: String, fate: Fate) {
        match fate {
            Fate::Passed => self.report.passed.push(name),
            Fate::Failed => self.report.failed.push(name),
            Fate::Skipped => self.report.skipped.push(name),
        }
    }

    fn count(&self) -> usize {
        self.report.passed.len() + self.report.failed.len() + self.report.skipped.len()
    }

    fn finish(self) -> Option<TestReport> {
        (!self.overflow).then_some(self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_tests_are_no_report() {
        let output = "test a ... ok\n".repeat(MAX_TESTS);
        assert_eq!(parse_report("cargo test", output.as_bytes()).unwrap().passed.len(), MAX_TESTS);
        let output = "test a ... ok\n".repeat(MAX_TESTS + 1);
        assert_eq!(parse_report("cargo test", output.as_bytes()), None);
    }

    #[test]
    fn colours_overwriting_and_other_commands() {
        let output = "working\rtest \x1b[32ma\x1b[0m ... \x1b[31mFAILED\x1b[0m\r\n";
        let report = parse_report("make test", output.as_bytes()).unwrap();
        assert_eq!(report.failed, ["a"]);
        assert_eq!(parse_report("make test", b"all fine\n"), None);
    }
}
