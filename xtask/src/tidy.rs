//! Habits that a compiler does not check: file headers, sizes, words, and where `unsafe` may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// A source file longer than this must be split along a type or a phase.
const MAX_LINES: usize = 800;
/// A `lib.rs` is the crate's documentation, its modules and what it shows; code has files of its own.
const MAX_LIB_LINES: usize = 120;
/// Module names that say nothing.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "manager", "misc", "types", "imp"];
/// Words that have no place in sources, assembled here so that this file does not contain them.
const BANNED: &[(&str, &str)] =
    &[("TO", "DO:"), ("FIX", "ME"), ("XX", "X:"), ("todo", "!("), ("unimplemented", "!(")];
/// Hosts of package registries: which one is used is the configuration of whoever builds, and no file here
/// may choose.
const REGISTRIES: &[(&str, &str)] = &[
    ("crates", ".io"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("rubygems", ".org"),
    ("golang", ".org"),
    ("maven.apache", ".org"),
];
/// Kinds of file that are read; lock files name the registry that cargo used, and are not.
const TEXTS: &[&str] = &["c", "json", "md", "rs", "sh", "snap", "sql", "toml", "yml"];
/// The one root of a crate that may hold `unsafe` below it.
const UNSAFE_ROOT: &str = "crates/hand/src/main.rs";

/// Every file that breaks a habit.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    collect(root, &mut files)?;
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        contains(&shown, &text, REGISTRIES, &mut problems);
        if file.extension().is_some_and(|extension| extension == "rs") {
            source(&shown, &text, &mut problems);
        }
    }
    Ok(problems)
}

fn source(shown: &str, text: &str, problems: &mut Vec<String>) {
    if !text.starts_with("//!") {
        problems.push(format!("{shown} does not open with //! saying what it is responsible for"));
    }
    let parts: Vec<&str> = shown.split('/').collect();
    let most = if matches!(parts[..], ["crates", _, "src", "lib.rs"]) { MAX_LIB_LINES } else { MAX_LINES };
    let lines = text.lines().count();
    if lines > most {
        problems
            .push(format!("{shown} has {lines} lines (at most {most}): split it along a type or a phase"));
    }
    let is_root =
        matches!(parts[..], ["crates", _, "src", "lib.rs" | "main.rs"] | ["xtask", "src", "main.rs"]);
    if is_root && shown != UNSAFE_ROOT && !text.contains("\n#![forbid(unsafe_code)]\n") {
        problems.push(format!("{shown} does not say #![forbid(unsafe_code)]"));
    }
    let stem = Path::new(shown).file_stem().unwrap_or_default().to_string_lossy();
    if EMPTY_NAMES.contains(&stem.as_ref()) {
        problems.push(format!("{shown}: the name says nothing"));
    }
    contains(shown, text, BANNED, problems);
}

fn contains(shown: &str, text: &str, words: &[(&str, &str)], problems: &mut Vec<String>) {
    for (first, second) in words {
        let word = format!("{first}{second}");
        if text.contains(&word) {
            problems.push(format!("{shown} contains {word:?}"));
        }
    }
}

/// The text files below a folder that are the project's: not what cargo or git keep there.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = || format!("failed to list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with(".git") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| TEXTS.iter().any(|text| extension == *text)) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_habit_is_seen() {
        let found = |shown: &str, text: &str| {
            let mut problems = Vec::new();
            source(shown, text, &mut problems);
            contains(shown, text, REGISTRIES, &mut problems);
            problems.len()
        };
        assert_eq!(found("crates/x/src/lib.rs", "//! X.\n\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(found("crates/x/src/lib.rs", "//! X.\n"), 1, "no forbid");
        assert_eq!(found("crates/x/src/a.rs", "fn a() {}\n"), 1, "no header");
        assert_eq!(found("crates/x/src/utils.rs", "//! X.\n"), 1, "an empty name");
        assert_eq!(
            found("crates/x/src/a.rs", &format!("//! {}{}\n", "https://pypi", ".org")),
            1,
            "a registry"
        );
        assert_eq!(found("crates/x/src/a.rs", &format!("//! {}", "\n".repeat(MAX_LINES + 1))), 1, "too long");
        let long = format!("//! X.\n\n#![forbid(unsafe_code)]\n{}", "\n".repeat(MAX_LIB_LINES));
        assert_eq!(found("crates/x/src/lib.rs", &long), 1, "code in lib.rs");
    }
}
