//! `symlink`: links that lead out of the tree.
//!
//! **What.** New or changed symbolic links. **Why.** A link is followed by whoever writes or reads through it
//! later: a checkout, a build, a container, an agent. **Severity.** Blocking if the target is absolute,
//! leaves the tree or may do so by way of another link, leads into a `.git` folder or to a protected path,
//! or is not a plain path; a note otherwise.

use cofferdam_domain::{FileMode, Severity, hidden::visible};

use super::protected_path::protected;
use crate::{
    GatePolicy,
    fold::{fold_path, is_dot_git},
    view::{Sink, View, bounded},
};

/// The longest target that is taken for a path: Linux' `PATH_MAX`.
const MAX_TARGET: usize = 4096;

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    for file in &view.files {
        if file.new_side().is_none_or(|side| side.mode != FileMode::Symlink) || file.unexamined {
            continue;
        }
        let shown = bounded(visible(file.new), 200);
        match problem(&file.file.path, file.new) {
            Some(problem) => {
                sink.add(
                    Severity::Blocking,
                    &file.shown,
                    None,
                    format!("a link to {shown}, which {problem}"),
                );
            }
            None => sink.add(Severity::Note, &file.shown, None, format!("a link to {shown}")),
        }
    }
}

/// What is wrong with a link at `path` to `target`.
fn problem(path: &[u8], target: &[u8]) -> Option<&'static str> {
    if target.is_empty() || target.len() > MAX_TARGET || target.iter().any(u8::is_ascii_control) {
        return Some("is not a plain path");
    }
    // Backslashes and drive letters are separators and roots on Windows.
    let folded = fold_path(target);
    let drive = target.get(1) == Some(&b':') && target[0].is_ascii_alphabetic();
    if folded.starts_with('/') || folded.starts_with('~') || drive {
        return Some("is absolute");
    }
    let folded_path = fold_path(path);
    let mut place: Vec<&str> = folded_path.split('/').collect();
    place.pop();
    let mut down = false;
    for part in folded.split('/') {
        match part {
            "" | "." => {}
            // The folder above a link's target is not the folder above the link, so nothing but a checkout tells where this leads.
            ".." if down => return Some("goes up again from a place that may be a link itself"),
            ".." => {
                if place.pop().is_none() {
                    return Some("leads out of the tree");
                }
            }
            part if is_dot_git(part) => return Some("leads into git's own folder"),
            part => {
                down = true;
                place.push(part);
            }
        }
    }
    // A part may be a link to the root, behind which a protected path begins.
    let leads = |start| protected(&place[start..].join("/")).is_some();
    (0..place.len()).any(leads).then_some("leads to a protected path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (path, target) in [
            ("a", "/etc/passwd"),
            ("a", "../x"),
            ("a/b/c", "../../../x"),
            ("a", "x/../../y"),
            ("a", ".git/config"),
            ("a", "x/.GIT/hooks"),
            ("a", "C:\\x"),
            ("a", "..\\x"),
            ("a", ""),
            ("a", "x\ny"),
            ("a", "~/.ssh"),
            ("docs/x", "../.github/workflows"),
            ("a", "\\\\host\\x"),
            // With "a/b/up" a link to the root, which is harmless by itself.
            ("out", "a/b/up/../etc"),
            ("ci", "a/b/up/.github/workflows"),
        ] {
            assert!(problem(path.as_bytes(), target.as_bytes()).is_some(), "{path} -> {target}");
        }
        for (path, target) in [
            ("a", "b"),
            ("a/b", "../c"),
            ("a/b/c", "../../x/y"),
            ("bin/tool", "../src/tool.sh"),
            ("a", "./b/c"),
        ] {
            assert_eq!(problem(path.as_bytes(), target.as_bytes()), None, "{path} -> {target}");
        }
    }
}
