//! Habits that a compiler does not check: file headers, sizes, words.

use std::{fs, path::{Path, PathBuf}};

use anyhow::{Context, Result};

/// A source file longer than this must be split along a type or a phase.
const MAX_LINES: usize = 800;
/// Module names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "misc", "types", "imp"];
/// Words that have no place in sources, assembled here so that this file does not contain them.
const BANNED: &[(&str, &str)] = &[("TO", "DO:"), ("FIX", "ME"), ("XX", "X:"), ("todo", "!("), ("unimplemented", "!(")];

/// Every file that breaks a habit.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "fuzz"] {
        collect(&root.join(folder), &mut files)?;
    }
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        if !text.starts_with("//!") {
            problems.push(format!("{shown} does not open with //! saying what it is responsible for"));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            problems.push(format!("{shown} has {lines} lines (at most {MAX_LINES}): split it along a type or a phase"));
        }
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        if EMPTY_NAMES.contains(&stem.as_ref()) {
            problems.push(format!("{shown}: the name says nothing"));
        }
        for (first, second) in BANNED {
            let word = format!("{first}{second}");
            if text.contains(&word) {
                problems.push(format!("{shown} contains {word:?}"));
            }
        }
    }
    Ok(problems)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry.with_context(|| format!("failed to list {}", folder.display()))?.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
