//! Habits of manifests: every crate takes the workspace's lints, and nothing is declared that nothing uses.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::metadata::{Metadata, Package};

/// Every manifest that breaks a habit.
pub(crate) fn check(root: &Path, metadata: &Metadata) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in metadata.members() {
        if at(&read(&package.manifest_path)?, &["lints", "workspace"]) != Some(&Value::Boolean(true)) {
            problems.push(format!("{} does not say `workspace = true` under [lints]", package.name));
        }
        let folder = package.manifest_path.parent().context("a manifest is in a folder")?;
        problems.extend(unused(package, &[&folder.join("src"), &folder.join("build.rs")], None)?);
        problems.extend(unused(package, &[folder], Some("dev"))?);
    }
    let used: BTreeSet<&str> =
        metadata.members().flat_map(|package| &package.dependencies).map(|one| one.name.as_str()).collect();
    let workspace = read(&root.join("Cargo.toml"))?;
    let offered = at(&workspace, &["workspace", "dependencies"]).and_then(Value::as_table);
    for name in offered.into_iter().flat_map(Table::keys).filter(|name| !used.contains(name.as_str())) {
        problems.push(format!("[workspace.dependencies] offers {name}, which no crate uses"));
    }
    Ok(problems)
}

/// The package's dependencies, for development or not, that no source in these places names.
fn unused(package: &Package, places: &[&Path], kind: Option<&str>) -> Result<Vec<String>> {
    let mut sources = String::new();
    for place in places {
        gather(place, &mut sources)?;
    }
    let is_dev = |kind: Option<&str>| kind == Some("dev");
    Ok(package
        .dependencies
        .iter()
        .filter(|one| {
            is_dev(one.kind.as_deref()) == is_dev(kind) && !names(&sources, &one.name.replace('-', "_"))
        })
        .map(|one| format!("{} declares {} and does not use it", package.name, one.name))
        .collect())
}

/// Whether `word` stands in `text` as a word of its own.
fn names(text: &str, word: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word)
        .any(|(start, _)| !text[..start].ends_with(part) && !text[start + word.len()..].starts_with(part))
}

/// Appends the Rust sources at or below `place`, which need not exist.
fn gather(place: &Path, sources: &mut String) -> Result<()> {
    let failed = || format!("failed to read {}", place.display());
    if place.is_dir() {
        for entry in fs::read_dir(place).with_context(failed)? {
            gather(&entry.with_context(failed)?.path(), sources)?;
        }
    } else if place.is_file() && place.extension().is_some_and(|extension| extension == "rs") {
        sources.push_str(&fs::read_to_string(place).with_context(failed)?);
    }
    Ok(())
}

fn read(path: &PathBuf) -> Result<Table> {
    let failed = || format!("failed to read {}", path.display());
    fs::read_to_string(path).with_context(failed)?.parse().with_context(failed)
}

fn at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    #[test]
    fn words_are_whole() {
        assert!(names("use serde::Serialize;", "serde"));
        assert!(!names("use serde_json::Value;", "serde") && !names("myserde", "serde"));
    }

    #[test]
    fn what_no_source_names_is_seen() {
        let dependency =
            |name: &str, kind: Option<&str>| Dependency { name: name.into(), kind: kind.map(Into::into) };
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let package = Package {
            id: "xtask".into(),
            name: "xtask".into(),
            version: "0.1.0".into(),
            license: None,
            license_file: None,
            manifest_path: folder.join("Cargo.toml"),
            // The second name must not stand in this file.
            dependencies: vec![dependency("anyhow", None), dependency(concat!("never", "-named"), None)],
        };
        assert_eq!(unused(&package, &[&folder.join("src")], None).unwrap().len(), 1);
        assert!(unused(&package, &[&folder], Some("dev")).unwrap().is_empty());
    }

    #[test]
    fn values_are_found_by_their_keys() {
        let table: Table = "[lints]\nworkspace = true\n".parse().unwrap();
        assert_eq!(at(&table, &["lints", "workspace"]), Some(&Value::Boolean(true)));
        assert_eq!(at(&table, &["lints", "rust"]), None);
    }
}
