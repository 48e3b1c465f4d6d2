//! `dependency`: what a change makes others download and run.
//!
//! **What.** Changed manifests and lock files; packages from new hosts, from git or from addresses; scripts
//! that run when a package is installed or built. **Why.** A new package is new code with the rights of the
//! build, and nobody reads it here. **Severity.** A note for a changed manifest; a warning for new hosts and
//! for code that runs on installation.

use std::{collections::BTreeSet, sync::LazyLock};

use cofferdam_domain::Severity;

use super::{Pattern, pattern};
use crate::{
    GatePolicy,
    view::{FileView, Sink, View, bounded},
};

const MANIFESTS: &[&str] = &[
    "cargo.toml",
    "package.json",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "pipfile",
    "requirements.in",
    "go.mod",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "libs.versions.toml",
    "gemfile",
    "composer.json",
    "mix.exs",
    "packages.config",
    "directory.packages.props",
    "environment.yml",
    "conanfile.txt",
    "conanfile.py",
    "vcpkg.json",
    "podfile",
    "pubspec.yaml",
    "package.swift",
    "flake.nix",
    "deno.json",
    "pnpm-workspace.yaml",
];

const LOCKS: &[&str] = &[
    "cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "pipfile.lock",
    "uv.lock",
    "pdm.lock",
    "go.sum",
    "gemfile.lock",
    "composer.lock",
    "mix.lock",
    "packages.lock.json",
    "podfile.lock",
    "pubspec.lock",
    "package.resolved",
    "flake.lock",
    "deno.lock",
    "bun.lock",
    "gradle.lockfile",
];

/// Hosts that one file names at most.
const MAX_HOSTS: usize = 2_000;

static HOST: Pattern = LazyLock::new(|| {
    pattern(
        r#"(?i)\b(?:git\+)?(?:https?|ssh|git|ftp)://(?:[^\s"'/@]{1,200}@)?([a-z0-9.\-]{1,253}(?::\d{1,5})?)"#,
    )
});

static INSTALL_SCRIPT: Pattern = LazyLock::new(|| {
    pattern(
        r#"["'](?:preinstall|install|postinstall|prepare|prepublish|preprepare|postprepare|post-install-cmd|post-update-cmd|post-autoload-dump|pre-install-cmd)["']\s*:\s*["'\[]|\bcmdclass\s*=|^\s*build-backend\s*=|^\s*backend-path\s*=|^\s*build\s*=\s*"|^\s*links\s*=\s*""#,
    )
});

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    for file in view.files.iter().filter(|file| file.new_side().is_some()) {
        let lock = LOCKS.contains(&file.name());
        let requirements = file.name().starts_with("requirements") && file.extension() == "txt";
        let manifest = requirements
            || MANIFESTS.contains(&file.name())
            || matches!(file.extension(), "csproj" | "gemspec");
        if lock || manifest {
            listed(file, lock, sink);
            hosts(file, sink);
        }
        if manifest {
            for line in file.added.iter().filter(|line| INSTALL_SCRIPT.is_match(line.text)) {
                let why = "code that runs when the package is installed or built";
                sink.add(Severity::Warning, &file.shown, Some(line.number), why);
            }
        }
        if file.is_added() && matches!(file.name(), "build.rs" | "setup.py" | "binding.gyp" | "extconf.rb") {
            sink.add(Severity::Warning, &file.shown, None, "code that runs when the package is built");
        }
    }
}

fn listed(file: &FileView<'_>, lock: bool, sink: &mut Sink) {
    let what = if lock { "the locked packages change" } else { "a package manifest changes" };
    let why = format!("{what}: {} lines added, {} removed", file.added.len(), file.removed.len());
    sink.add(Severity::Note, &file.shown, file.added.first().map(|line| line.number), why);
}

fn hosts(file: &FileView<'_>, sink: &mut Sink) {
    let known: BTreeSet<Vec<u8>> = HOST
        .captures_iter(file.old)
        .take(MAX_HOSTS)
        .filter_map(|found| found.get(1).map(|host| host.as_bytes().to_ascii_lowercase()))
        .collect();
    // A file that is new has nothing to compare with: its hosts are as new as itself.
    if file.old.is_empty() {
        return;
    }
    let mut told = BTreeSet::new();
    for line in &file.added {
        for found in HOST.captures_iter(line.text) {
            let Some(host) = found.get(1).map(|host| host.as_bytes().to_ascii_lowercase()) else { continue };
            if !known.contains(&host) && told.len() < MAX_HOSTS && told.insert(host.clone()) {
                let host = bounded(String::from_utf8_lossy(&host).into_owned(), 100);
                let why = format!("names the host {host}, which it did not before");
                sink.add(Severity::Warning, &file.shown, Some(line.number), why);
            }
        }
    }
}
