//! `workflow-danger`: what turns a pipeline or a script against its owner.
//!
//! **What.** In CI configuration: triggers that run a stranger's code with the repository's secrets, raised
//! permissions, runners of one's own, text of an event pasted into a script. There and in scripts: a download
//! that is run unseen. **Why.** These are the known ways from a pull request to the secrets of a pipeline.
//! **Severity.** Blocking in CI configuration, which is protected anyway: the finding says what exactly is
//! dangerous; a warning elsewhere.

use std::sync::LazyLock;

use cofferdam_domain::Severity;

use super::{Pattern, pattern, protected_path::is_ci};
use crate::{
    GatePolicy,
    view::{FileView, Sink, View},
};

/// Patterns for CI configuration and what each means.
static PIPELINE: [(Pattern, &str); 6] = [
    (
        LazyLock::new(|| pattern(r"\bpull_request_target\b|^\s*(?:-\s*)?workflow_run\s*:")),
        "a trigger that gives a stranger's code the repository's secrets",
    ),
    (
        LazyLock::new(|| pattern(r"permissions:\s*write-all|^\s*[a-z-]+:\s*write\b|id-token:\s*write")),
        "raised permissions",
    ),
    (
        LazyLock::new(|| pattern(r"runs-on:.*self-hosted|^\s*-\s*self-hosted")),
        "a runner that is not thrown away after the job",
    ),
    (
        LazyLock::new(|| {
            pattern(
                r"\$\{\{[^}]{0,200}\b(?:github\.event\.(?:issue|pull_request|comment|review|discussion|head_commit|commits|pages)|github\.head_ref|inputs\.)[^}]{0,200}\}\}",
            )
        }),
        "text that a stranger writes is pasted into the pipeline",
    ),
    (
        LazyLock::new(|| {
            pattern(r"secrets:\s*inherit|toJSON\(\s*secrets\s*\)|\bprintenv\b|\benv\s*\|\s*(?:curl|base64)")
        }),
        "secrets are handed on as a whole",
    ),
    (
        LazyLock::new(|| {
            pattern(r"ACTIONS_ALLOW_UNSECURE_COMMANDS|persist-credentials:\s*true|GIT_SSL_NO_VERIFY")
        }),
        "a safeguard is switched off",
    ),
];

/// A download whose content is run unseen.
static DOWNLOAD_RUN: Pattern = LazyLock::new(|| {
    pattern(
        r#"\b(?:curl|wget|fetch)\b[^|;&\n]{0,400}\|\s*(?:sudo\s+)?(?:env\s+)?(?:\w+=\S+\s+)*(?:ba|z|da|k|fi)?sh\b|\b(?:curl|wget)\b[^|\n]{0,400}\|\s*(?:sudo\s+)?(?:python3?|perl|ruby|node)\b|(?:ba|z)?sh\s+(?:-c\s+)?["']?(?:<\(|\$\()\s*(?:curl|wget)|\b(?:eval|source|\.)\s+["']?(?:<\(|\$\()\s*(?:curl|wget)|(?i:\biex\b[^\n]{0,200}(?:downloadstring|iwr|irm|invoke-webrequest))|(?i:(?:iwr|irm|invoke-webrequest)\b[^|\n]{0,300}\|\s*iex\b)"#,
    )
});

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    for file in view.files.iter().filter(|file| file.new_side().is_some() && !file.binary) {
        let ci = is_ci(&file.folded);
        if !ci && !runs(file) {
            continue;
        }
        for line in &file.added {
            if DOWNLOAD_RUN.is_match(line.text) {
                let severity = if ci { Severity::Blocking } else { Severity::Warning };
                sink.add(severity, &file.shown, Some(line.number), "runs what it downloads, unseen");
            }
            if !ci {
                continue;
            }
            for (danger, why) in &PIPELINE {
                if danger.is_match(line.text) {
                    sink.add(Severity::Blocking, &file.shown, Some(line.number), *why);
                }
            }
        }
    }
}

/// Whether a file is run by a shell, or holds commands that are.
fn runs(file: &FileView<'_>) -> bool {
    matches!(
        file.extension(),
        "sh" | "bash"
            | "zsh"
            | "fish"
            | "ps1"
            | "bat"
            | "cmd"
            | "mk"
            | "dockerfile"
            | "nix"
            | "py"
            | "rb"
            | "js"
            | "ts"
    ) || matches!(
        file.name(),
        "makefile"
            | "gnumakefile"
            | "justfile"
            | "dockerfile"
            | "containerfile"
            | "package.json"
            | "vagrantfile"
            | "rakefile"
    ) || file.new.starts_with(b"#!")
}
