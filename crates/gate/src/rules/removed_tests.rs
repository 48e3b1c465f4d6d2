//! `removed-tests`: a change that makes the tests say less.
//!
//! **What.** Test files and test functions that are gone or renamed, new skip marks, fewer assertions,
//! assertions that cannot fail, hooks that decide what a runner reports, exits from inside a test, and a
//! loosened test command, coverage limit or lint. **Why.** The shortest way to green is to remove what is
//! red; the evidence is worth what the tests are worth. **Severity.** A warning, since tests are also removed
//! for good reasons; blocking where the test command itself is made to succeed, because then the evidence
//! shows nothing; a note for a moved test and for a silenced lint.

use std::{collections::BTreeSet, sync::LazyLock};

use cofferdam_domain::{ChangeKind, Severity, amount::counted};

use super::{Pattern, languages::Language, pattern};
use crate::{
    GatePolicy,
    lines::Line,
    unicode::reveal,
    view::{FileView, Sink, View, bounded},
};

/// Names of tests that one finding shows.
const MAX_SHOWN: usize = 8;

/// Assertions that hold whatever the program does.
static EMPTY_ASSERTION: Pattern = LazyLock::new(|| {
    pattern(
        r"assert!\(\s*true\b|\bassert\s+(?:True|1)\s*(?:$|#|,)|\bassert\s+1\s*==\s*1\b|assertTrue\(\s*[Tt]rue\s*[,)]|assert\.ok\(\s*true\s*\)|expect\(\s*(?:true|1)\s*\)\.to(?:Be|Equal|BeTruthy)|assert\(\s*true\s*\)|assert_eq!\(\s*1\s*,\s*1\s*\)|Assert\.True\(\s*true\s*\)|assertEquals\(\s*1\s*,\s*1\s*\)",
    )
});

/// What decides over the runner's report or leaves it.
static RUNNER_HOOK: Pattern = LazyLock::new(|| {
    pattern(
        r"\bpytest_(?:runtest_\w+|collection_modifyitems|sessionfinish|pyfunc_call|report_teststatus|exception_interact)\b|\bos\._exit\(|\bsys\.exit\(\s*0?\s*\)|\bprocess\.exit\(\s*0?\s*\)|\bprocess::exit\(\s*0\s*\)|\bos\.Exit\(\s*0\s*\)|\bSystem\.exit\(\s*0\s*\)|\bexitProcess\(\s*0\s*\)",
    )
});

/// Ways to make a command succeed whatever it found.
static ALWAYS_SUCCEEDS: Pattern = LazyLock::new(|| {
    pattern(
        r#"\|\|\s*(?:true\b|:(?:\s|$|")|exit\s+0|echo\b)|;\s*(?:true|exit\s+0)\s*(?:"|$)|\bset\s+\+e\b|continue-on-error:\s*["']?true|allow_failure:\s*true|\bignoreFailures\s*=\s*true|testFailureIgnore>\s*true"#,
    )
});
static ABOUT_TESTS: Pattern = LazyLock::new(|| {
    pattern(
        r#"(?i)\b(?:cargo|npm|pnpm|yarn|go|make|mvnw?|gradlew?|mix|dotnet|rake|deno|bun|just)\s+(?:run\s+|-\S+\s+)*(?:test|check|lint|clippy|vet)|pytest|jest|mocha|vitest|\btox\b|unittest|phpunit|rspec|nextest|node --test|["']test["']|ruff|eslint|mypy|ignoreFailures|testFailureIgnore"#,
    )
});
/// `"test": "true"` and the like in a manifest.
static EMPTY_COMMAND: Pattern = LazyLock::new(|| {
    pattern(r#"["']?\btest["']?\s*:\s*["'](?:\s*|true|:|exit 0|echo\b[^"'&|;]*|node -e \\?["']{2})["']"#)
});

/// Settings that leave tests out.
static FEWER_TESTS: Pattern = LazyLock::new(|| {
    pattern(
        r"maven\.test\.skip|<skipTests>|-DskipTests|--passWithNoTests|passWithNoTests\s*:\s*true|testPathIgnorePatterns|--deselect|--ignore[= ]|--ignore-glob|norecursedirs|addopts\s*=.*\s-(?:k|m)\b|^\s*(?:test|doctest|autotests|harness)\s*=\s*false|--exclude-task\s+test|-x\s+test\b|--skip\s",
    )
});

/// Marks that silence a compiler, a type checker or a linter in one place.
static SILENCED: Pattern = LazyLock::new(|| {
    pattern(
        r"#!?\[allow\(|#\s*noqa\b|#\s*type:\s*ignore|#\s*pylint:\s*disable|eslint-disable|@ts-(?:ignore|nocheck|expect-error)|//\s*nolint|@SuppressWarnings|rubocop:disable|phpcs:ignore|#pragma warning disable|# nosec\b",
    )
});

/// A limit of coverage and its number.
static LIMIT: Pattern = LazyLock::new(|| {
    pattern(
        r#"(?i)\b(fail[_-]?under|minimum_coverage|min(?:imum)?[_-]?coverage|threshold|branches|functions|lines|statements|target|minimum)["']?\s{0,4}[:= >]\s{0,4}["']?(\d{1,3}(?:\.\d{1,4})?)"#,
    )
});

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    let appeared = appeared(view);
    for file in &view.files {
        if let Some(language) = Language::of(file) {
            gone(file, language, &appeared, sink);
            if file.new_side().is_some() {
                skips(file, language, sink);
                assertions(file, language, sink);
            }
        } else if file.in_tests() && file.file.kind == ChangeKind::Deleted {
            sink.add(Severity::Note, &file.shown, None, "a file among the tests is gone");
        }
        if file.new_side().is_some() {
            settings(file, sink);
            silenced(file, sink);
        }
    }
}

/// Names of tests that some file of the change has and had not before: where a missing one may have gone.
fn appeared<'a>(view: &View<'a>) -> BTreeSet<&'a [u8]> {
    let mut names = BTreeSet::new();
    for file in &view.files {
        if let Some(language) = Language::of(file) {
            let before = language.tests(file.old);
            names.extend(language.tests(file.new).into_iter().filter(|name| !before.contains(name)));
        }
    }
    names
}

fn gone(file: &FileView<'_>, language: &Language, appeared: &BTreeSet<&[u8]>, sink: &mut Sink) {
    let after = language.tests(file.new);
    let before = language.tests(file.old);
    let (moved, missing): (Vec<&[u8]>, Vec<&[u8]>) =
        before.iter().copied().filter(|name| !after.contains(name)).partition(|name| appeared.contains(name));
    let deleted = file.file.kind == ChangeKind::Deleted;
    if !missing.is_empty() {
        let file_too = if deleted { "the file is deleted; " } else { "" };
        let why = format!(
            "{file_too}{} gone or renamed: {}",
            counted(missing.len() as u64, "test"),
            shown(&missing)
        );
        sink.add(Severity::Warning, &file.shown, None, why);
    } else if deleted && file.in_tests() && before.is_empty() {
        sink.add(Severity::Warning, &file.shown, None, "a test file is gone");
    }
    if !moved.is_empty() {
        let why = format!(
            "{} moved to another file of this change: {}",
            counted(moved.len() as u64, "test"),
            shown(&moved)
        );
        sink.add(Severity::Note, &file.shown, None, why);
    }
}

fn shown(names: &[&[u8]]) -> String {
    let mut list: Vec<String> = names
        .iter()
        .take(MAX_SHOWN)
        .map(|name| bounded(reveal(&String::from_utf8_lossy(name)).replace('\n', " "), 80))
        .collect();
    if names.len() > MAX_SHOWN {
        list.push(format!("and {} more", names.len() - MAX_SHOWN));
    }
    list.join(", ")
}

fn skips(file: &FileView<'_>, language: &Language, sink: &mut Sink) {
    let marks = |lines: &[Line<'_>]| lines.iter().filter(|line| language.skip().is_match(line.text)).count();
    let (added, removed) = (marks(&file.added), marks(&file.removed));
    if added > removed {
        let first =
            file.added.iter().find(|line| language.skip().is_match(line.text)).map(|line| line.number);
        let why = format!(
            "{} more for skipping tests, expecting them to fail, or leaving the others out",
            counted((added - removed) as u64, "mark")
        );
        sink.add(Severity::Warning, &file.shown, first, why);
    }
}

fn assertions(file: &FileView<'_>, language: &Language, sink: &mut Sink) {
    let (before, after) = (language.assertions(file.old), language.assertions(file.new));
    let has_tests =
        file.in_tests() || !language.tests(file.new).is_empty() || !language.tests(file.old).is_empty();
    if !has_tests {
        return;
    }
    if after < before {
        sink.add(
            Severity::Warning,
            &file.shown,
            None,
            format!("fewer assertions: {before} before, {after} now"),
        );
    }
    if let Some(line) = first(&file.added, &EMPTY_ASSERTION) {
        sink.add(Severity::Warning, &file.shown, Some(line), "an assertion that cannot fail");
    }
    if file.in_tests()
        && let Some(line) = first(&file.added, &RUNNER_HOOK)
    {
        let why = "code that decides what the test runner reports, or ends it early";
        sink.add(Severity::Warning, &file.shown, Some(line), why);
    }
}

fn first(lines: &[Line<'_>], wanted: &Pattern) -> Option<u32> {
    lines.iter().find(|line| wanted.is_match(line.text)).map(|line| line.number)
}

/// Whether a file says how tests are run.
fn is_settings(file: &FileView<'_>) -> bool {
    const NAMES: &[&str] = &[
        "package.json",
        "makefile",
        "gnumakefile",
        "justfile",
        ".justfile",
        "tox.ini",
        "setup.cfg",
        "pyproject.toml",
        "pytest.ini",
        "noxfile.py",
        ".coveragerc",
        "codecov.yml",
        ".codecov.yml",
        "cargo.toml",
        "phpunit.xml",
        "phpunit.xml.dist",
        ".rspec",
        "rakefile",
        "build.gradle",
        "build.gradle.kts",
        "pom.xml",
        "composer.json",
        ".nycrc",
        ".nycrc.json",
        "mix.exs",
        "sonar-project.properties",
        "tarpaulin.toml",
        ".simplecov",
        "turbo.json",
        "nx.json",
        ".nextest.toml",
        "nextest.toml",
        "deno.json",
        "taskfile.yml",
        "karma.conf.js",
        ".mocharc.json",
        ".mocharc.yml",
    ];
    const STARTS: &[&str] =
        &["jest.config.", "vitest.config.", "vite.config.", "playwright.config.", "cypress.config."];
    NAMES.contains(&file.name())
        || STARTS.iter().any(|start| file.name().starts_with(start))
        || super::protected_path::is_ci(&file.folded)
        || (matches!(file.extension(), "sh" | "bash") && file.name().contains("test"))
}

fn settings(file: &FileView<'_>, sink: &mut Sink) {
    if !is_settings(file) {
        return;
    }
    for line in &file.added {
        if EMPTY_COMMAND.is_match(line.text) {
            sink.add(Severity::Blocking, &file.shown, Some(line.number), "the test command does nothing");
        } else if ALWAYS_SUCCEEDS.is_match(line.text) {
            let tests = ABOUT_TESTS.is_match(line.text);
            let severity = if tests { Severity::Blocking } else { Severity::Warning };
            sink.add(severity, &file.shown, Some(line.number), "a command that succeeds whatever it finds");
        } else if FEWER_TESTS.is_match(line.text) {
            sink.add(Severity::Warning, &file.shown, Some(line.number), "a setting that leaves tests out");
        }
    }
    for (limit, before, after, line) in lowered(file) {
        let why = format!("{limit} lowered from {before} to {after}");
        sink.add(Severity::Warning, &file.shown, Some(line), why);
    }
}

/// Limits of coverage that the change lowers: name, before, after, line.
fn lowered(file: &FileView<'_>) -> Vec<(String, f64, f64, u32)> {
    let limit = |line: &Line<'_>| {
        let found = LIMIT.captures(line.text)?;
        let name = String::from_utf8_lossy(found.get(1)?.as_bytes()).to_lowercase();
        let number = std::str::from_utf8(found.get(2)?.as_bytes()).ok()?.parse::<f64>().ok()?;
        Some((name, number, line.number))
    };
    let mut before: Vec<(String, f64, u32)> = file.removed.iter().filter_map(limit).collect();
    let mut found = Vec::new();
    for (name, number, line) in file.added.iter().filter_map(limit) {
        if let Some(index) = before.iter().position(|(other, _, _)| *other == name) {
            let (name, old, _) = before.remove(index);
            if number < old {
                found.push((name, old, number, line));
            }
        }
    }
    found
}

fn silenced(file: &FileView<'_>, sink: &mut Sink) {
    let marks = |lines: &[Line<'_>]| lines.iter().filter(|line| SILENCED.is_match(line.text)).count();
    let (added, removed) = (marks(&file.added), marks(&file.removed));
    if added > removed {
        let line = first(&file.added, &SILENCED);
        sink.add(
            Severity::Note,
            &file.shown,
            line,
            format!("{} more silenced", counted((added - removed) as u64, "check")),
        );
    }
}
