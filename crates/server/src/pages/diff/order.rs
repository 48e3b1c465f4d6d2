//! In which order a reviewer should look at files: what can do most harm first, what nobody wrote last.

use cofferdam_domain::{Finding, Severity};

use super::patch::File;

/// How soon to look, from first to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The gate blocks on it.
    Blocking,
    /// The gate warns about it, or it steers machines: continuous integration, builds, agents.
    Risky,
    /// What the program is.
    Source,
    /// Its tests.
    Tests,
    /// Texts.
    Prose,
    /// Written by tools.
    Generated,
}

impl Rank {
    /// The heading over files of this rank.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Blocking => "Blocking findings",
            Self::Risky => "Look here first",
            Self::Source => "Source",
            Self::Tests => "Tests",
            Self::Prose => "Texts",
            Self::Generated => "Generated",
        }
    }
}

/// How soon to look at a file.
pub(crate) fn rank(file: &File, findings: &[Finding]) -> Rank {
    let worst =
        findings.iter().filter(|finding| finding.path == file.path).map(|finding| finding.severity).max();
    match worst {
        Some(Severity::Blocking) => return Rank::Blocking,
        Some(Severity::Warning) => return Rank::Risky,
        Some(Severity::Note) | None => {}
    }
    let path = file.path.to_lowercase();
    let protected =
        findings.iter().any(|finding| finding.path == file.path && finding.rule == "protected-path");
    if protected || steers_machines(&path) {
        Rank::Risky
    } else if is_generated(&path) {
        Rank::Generated
    } else if is_test(&path) {
        Rank::Tests
    } else if [".md", ".txt", ".rst", ".adoc"].iter().any(|end| path.ends_with(end)) {
        Rank::Prose
    } else {
        Rank::Source
    }
}

/// Files that programs run or obey without being asked.
fn steers_machines(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folders = [".github/", ".gitlab/", ".circleci/", ".vscode/", ".devcontainer/", ".cargo/", ".husky/"];
    let names = [
        "dockerfile",
        "makefile",
        "justfile",
        "build.rs",
        "setup.py",
        "conftest.py",
        ".gitattributes",
        ".gitmodules",
        ".npmrc",
    ];
    folders.iter().any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}")))
        || names.contains(&name)
        || name == ".gitlab-ci.yml"
        || path.ends_with(".sh")
}

fn is_generated(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.ends_with(".lock")
        || ["package-lock.json", "pnpm-lock.yaml", "go.sum", "npm-shrinkwrap.json"].contains(&name)
        || [".snap", ".min.js", ".min.css", ".map", ".pb.go", "_pb2.py", ".svg"]
            .iter()
            .any(|end| name.ends_with(end))
        || ["vendor/", "node_modules/", "third_party/", "generated/", "dist/"]
            .iter()
            .any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}")))
}

fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    ["test/", "tests/", "spec/", "__tests__/", "testdata/"]
        .iter()
        .any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}")))
        || name.starts_with("test_")
        || ["_test.", ".test.", "_spec.", ".spec.", "tests."].iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harm_first_machines_last() {
        let finding = |severity, path: &str| Finding {
            rule: "secret".to_owned(),
            severity,
            path: path.to_owned(),
            line: None,
            why: String::new(),
        };
        let findings = [finding(Severity::Blocking, "src/key.rs"), finding(Severity::Warning, "Cargo.lock")];
        let rank = |path: &str| rank(&File { path: path.to_owned(), ..File::default() }, &findings);
        for (path, expected) in [
            ("src/key.rs", Rank::Blocking),
            ("Cargo.lock", Rank::Risky),
            (".github/workflows/a.yml", Rank::Risky),
            ("crates/x/build.rs", Rank::Risky),
            ("src/lib.rs", Rank::Source),
            ("tests/a.rs", Rank::Tests),
            ("src/parse_test.go", Rank::Tests),
            ("README.md", Rank::Prose),
            ("go.sum", Rank::Generated),
            ("vendor/a/src/lib.rs", Rank::Generated),
        ] {
            assert_eq!(rank(path), expected, "{path}");
        }
    }
}
