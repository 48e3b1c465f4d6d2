//! Python's `unittest -v`: `test_x (module.Class.test_x) ... ok`, where output of the test may stand before
//! the result.

use std::sync::LazyLock;

use super::{Collector, Fate};
use crate::pattern::TextPattern;

static START: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(r"^ *([\w\x80-\xff]+) \(([\w.<>\x80-\xff]+)\)(?:(?: [(\[].*[)\]])? \.\.\. ?(.*))?$")
});
/// The second line of a test with a docstring.
static AFTER: LazyLock<TextPattern> = LazyLock::new(|| {
    TextPattern::new(r"(?:^| \.\.\. )(ok|FAIL|ERROR|skipped .*|expected failure|unexpected success)$")
});

pub(super) fn read(lines: &[&str], found: &mut Collector) {
    let mut open: Option<String> = None;
    for line in lines {
        // The details of failures repeat the names.
        if line.starts_with("======") || line.starts_with("------") {
            open = None;
            if line.starts_with("------") && found.count() > 0 {
                break;
            }
        }
        if let Some(start) = START.captures(line) {
            let name = full_name(start.text(1), start.text(2));
            match start.get(3).map(fate) {
                Some(Some(fate)) => found.add(&name, fate),
                Some(None) | None => open = Some(name),
            }
        } else if let (Some(end), Some(name)) = (AFTER.captures(line), open.as_deref()) {
            if let Some(fate) = fate(end.text(1)) {
                found.add(name, fate);
            }
            open = None;
        }
    }
}

/// Newer Pythons repeat the method in the parentheses, older ones do not.
fn full_name(method: &str, place: &str) -> String {
    if place.rsplit('.').next() == Some(method) { place.to_owned() } else { format!("{place}.{method}") }
}

fn fate(word: &str) -> Option<Fate> {
    match word {
        "ok" => Some(Fate::Passed),
        "FAIL" | "ERROR" | "unexpected success" => Some(Fate::Failed),
        "expected failure" => Some(Fate::Skipped),
        _ => word.starts_with("skipped").then_some(Fate::Skipped),
    }
}
