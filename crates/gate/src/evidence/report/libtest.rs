//! Rust's own harness, as `cargo test` runs it: several programs, then the tests in the documentation.

use std::sync::LazyLock;

use super::{Collector, Fate};
use crate::pattern::TextPattern;

static TEST: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"^test (.+?)(?: - should panic| - compile(?: fail)?)* \.\.\. (?:bench:.*|(ok|FAILED|ignored)(?:, .*)?(?: <[\d.]+s>)?)$",
    )
});
static PROGRAM: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"^\s*(?:Running (?:unittests )?\S+ \((?:\S*[/\\])?(\S+?)(?:-[0-9a-f]{16})?(?:\.exe)?\)|(Doc-tests) (\S+))$",
    )
});
/// Where an example stands in its file: changes with every line above it.
static PLACE: LazyLock<TextPattern> = LazyLock::new(|| TextPattern::new(r" \(line \d+\)$"));

pub(super) fn read(lines: &[&str], found: &mut Collector) {
    let mut program = String::new();
    for line in lines {
        if let Some(header) = PROGRAM.captures(line) {
            program = match (header.get(1), header.get(3)) {
                (Some(name), _) => format!("{name}::"),
                (None, Some(name)) => format!("{name} (doc) "),
                (None, None) => String::new(),
            };
        } else if let Some(test) = TEST.captures(line) {
            let fate = match test.get(2) {
                Some("ok") | None => Fate::Passed,
                Some("ignored") => Fate::Skipped,
                Some(_) => Fate::Failed,
            };
            found.add(&format!("{program}{}", PLACE.before(test.text(1))), fate);
        }
    }
}
