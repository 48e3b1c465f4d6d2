//! `go test`, with or without `-v`. The package's line comes after its tests.

use std::sync::LazyLock;

use super::{Collector, Fate};
use crate::pattern::TextPattern;

static TEST: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"^\s*--- (PASS|FAIL|SKIP): (.+) \([\d.]+s\)$"));
static PACKAGE: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"^(ok|FAIL)\s+(\S+)\s+([\d.]+s\b.*|\(cached\).*|\[.*)$"));

pub(super) fn read(lines: &[&str], found: &mut Collector) {
    let mut tests: Vec<(&str, Fate)> = Vec::new();
    for line in lines {
        if let Some(test) = TEST.captures(line) {
            let fate = match test.text(1) {
                "PASS" => Fate::Passed,
                "SKIP" => Fate::Skipped,
                _ => Fate::Failed,
            };
            tests.push((test.text(2), fate));
        } else if let Some(package) = PACKAGE.captures(line) {
            let (name, rest) = (package.text(2), package.text(3));
            let ok = package.text(1) == "ok";
            if tests.is_empty() && ok && !rest.contains("[no test") {
                found.add(name, Fate::Passed);
            } else if tests.is_empty() && !ok {
                found.add(format!("{name} {rest}").split('\t').next().unwrap_or(name), Fate::Failed);
            }
            for (test, fate) in tests.drain(..) {
                found.add(&format!("{name}.{test}"), fate);
            }
        }
    }
    for (test, fate) in tests {
        found.add(test, fate);
    }
}
