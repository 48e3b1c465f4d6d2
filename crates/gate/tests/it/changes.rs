//! Changes in a few words.

use cofferdam_domain::{
    Change, ChangeKind, FileChange, FileMode, Finding, Policy, Severity,
    change::{CommitInfo, FileSide},
};
use cofferdam_gate::{GatePolicy, examine};

/// One side of a file.
pub(crate) fn side(mode: FileMode, content: &[u8]) -> FileSide {
    let content = (mode != FileMode::Gitlink).then(|| content.to_vec());
    FileSide {
        mode,
        object: "0".repeat(40),
        size: content.as_ref().map_or(0, |bytes| bytes.len() as u64),
        content,
    }
}

/// A path from one side to the other.
pub(crate) fn file(path: impl AsRef<[u8]>, old: Option<FileSide>, new: Option<FileSide>) -> FileChange {
    let kind = match (&old, &new) {
        (None, _) => ChangeKind::Added,
        (Some(_), Some(_)) => ChangeKind::Modified,
        (Some(_), None) => ChangeKind::Deleted,
    };
    FileChange { path: path.as_ref().to_vec(), kind, old, new }
}

/// A new regular file.
pub(crate) fn added(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> FileChange {
    file(path, None, Some(side(FileMode::Regular, content.as_ref())))
}

/// A changed regular file.
pub(crate) fn modified(path: impl AsRef<[u8]>, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> FileChange {
    file(path, Some(side(FileMode::Regular, old.as_ref())), Some(side(FileMode::Regular, new.as_ref())))
}

/// A regular file that is gone.
pub(crate) fn deleted(path: impl AsRef<[u8]>, old: impl AsRef<[u8]>) -> FileChange {
    file(path, Some(side(FileMode::Regular, old.as_ref())), None)
}

/// A commit with this message.
pub(crate) fn commit(message: &str) -> CommitInfo {
    CommitInfo { id: "c".repeat(40), parents: vec!["b".repeat(40)], message: message.into() }
}

/// The findings on these files under the default policy.
pub(crate) fn findings(files: Vec<FileChange>) -> Vec<Finding> {
    let policy = GatePolicy::new(&Policy::default()).unwrap();
    examine(&Change { files, commits: vec![commit("Change\n")], ..Change::default() }, &policy)
}

/// The most severe finding of one rule, if there is any.
pub(crate) fn worst(rule: &str, files: Vec<FileChange>) -> Option<Severity> {
    findings(files).iter().filter(|finding| finding.rule == rule).map(|finding| finding.severity).max()
}
