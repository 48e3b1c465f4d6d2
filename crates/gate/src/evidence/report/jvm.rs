//! Maven's Surefire and Gradle. Surefire names classes, and methods only where they fail.

use std::sync::LazyLock;

use super::{Collector, Fate};
use crate::pattern::TextPattern;

static CLASS: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+), Time elapsed: [^<]*?(?:<<< \w+!)? *(?:--?) *in (\S+)$",
    )
});
/// `com.x.FooTest.testBar -- Time elapsed: 0.002 s <<< FAILURE!`, and in older versions
/// `testBar(com.x.FooTest)  Time elapsed: …`.
static METHOD: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(
        r"^(?:\[ERROR\] +)?(?:([\w.$\x80-\xff]+\.[\w$\x80-\xff]+)|([\w$\[\]\x80-\xff]+)\(([\w.$\x80-\xff]+)\)) +(?:-- )? *Time elapsed: [\d.,]+ s(?:ec)? +<<< (?:FAILURE|ERROR)!$",
    )
});
/// `FooTest > adds() PASSED`
static GRADLE: LazyLock<TextPattern> =
    LazyLock::new(|| TextPattern::new(r"^(\S.* > .+) (PASSED|FAILED|SKIPPED)$"));

pub(super) fn read(lines: &[&str], found: &mut Collector) {
    for line in lines {
        if let Some(class) = CLASS.captures(line) {
            let number = |index: usize| class.text(index).parse::<u64>().unwrap_or(0);
            let fate = match (number(1), number(2) + number(3), number(4)) {
                (_, 1.., _) => Fate::Failed,
                (run, 0, skipped) if run == skipped => Fate::Skipped,
                (_, 0, _) => Fate::Passed,
            };
            found.add(class.text(5), fate);
        } else if let Some(method) = METHOD.captures(line) {
            let name = match (method.get(1), method.get(2), method.get(3)) {
                (Some(name), _, _) => name.to_owned(),
                (None, Some(method), Some(class)) => format!("{class}.{method}"),
                (None, _, _) => continue,
            };
            found.add_once(&name, Fate::Failed);
        } else if let Some(test) = GRADLE.captures(line) {
            let fate = match test.text(2) {
                "PASSED" => Fate::Passed,
                "SKIPPED" => Fate::Skipped,
                _ => Fate::Failed,
            };
            found.add(test.text(1), fate);
        }
    }
}
