//! `go test`, with or without `-v`. The package's line comes after its tests.

use std::sync::LazyLock;

use regex::Regex;

use super::{Collector, Fate, pattern};

static TEST: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*--- (PASS|FAIL|SKIP): (.+) \([\d.]+s\)$"));
static PACKAGE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(ok|FAIL)\s+(\S+)\s+([\d.]+s\b.*|\(cached\).*|\[.*)$"));

pub(super) fn read(lines: &[&str], found: &mut Collector) {
    let mut tests: Vec<(&str, Fate)> = Vec::new();
    for line in lines {
        if let Some(test) = TEST.captures(line) {
            let fate = match &test[1] {
                "PASS" => Fate::Passed,
                "SKIP" => Fate::Skipped,
                _ => Fate::Failed,
            };
            tests.push((test.get(2).map_or("", |name| name.as_str()), fate));
        } else if let Some(package) = PACKAGE.captures(line) {
            let (name, rest) = (&package[2], &package[3]);
            let ok = &package[1] == "ok";
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
