//! `lfs`: what Git LFS keeps outside the repository.
//!
//! **What.** A pointer (git-lfs specification, "The Pointer") to content that nobody has, new content that Git LFS is to keep, and content where
//! a pointer stood. **Why.** A pointer that leads nowhere gives whoever checks the branch out an error; what is kept outside the repository no
//! reviewer is shown; and content in a pointer's place stays in the history of a repository that meant to keep it out. **Severity.** Blocking for
//! a pointer that leads nowhere, and for a program or an archive; a warning for other new content and for content in the place of a pointer.
//! Pointers that move or go are as before. New content is searched for secrets and hidden characters like any other.

use std::collections::HashSet;

use cofferdam_domain::{
    Change, FileChange, FileMode, Severity,
    change::{FileSide, Kept},
};

use super::binary::dangerous;
use crate::{
    GatePolicy,
    view::{Sink, View},
};

/// "Pointer files must be less than 1024 bytes in size".
const LONGEST: usize = 1024;

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    let known: HashSet<&[u8]> = view.files.iter().filter_map(|file| pointed_at(file.old)).collect();
    for file in &view.files {
        let is_file =
            file.new_side().is_some_and(|side| matches!(side.mode, FileMode::Regular | FileMode::Executable));
        if !is_file {
            continue;
        }
        match (pointed_at(file.old), pointed_at(file.new)) {
            (_, Some(name)) if !known.contains(name) => {
                if let Some((severity, why)) = judge(kept(view.change, name)) {
                    sink.add(severity, &file.shown, None, why);
                }
            }
            (Some(_), None) => {
                let why = "content in the place of a Git LFS pointer: it stays in the repository's history";
                sink.add(Severity::Warning, &file.shown, None, why);
            }
            (_, Some(_)) | (None, None) => {}
        }
    }
}

fn judge(kept: Option<&Kept>) -> Option<(Severity, String)> {
    let (size, content) = match kept {
        Some(Kept::Known) => return None,
        Some(Kept::New { size, content }) => (size, content),
        None => {
            let why = "a new Git LFS pointer, whose content is nowhere: put the content itself there, which becomes a pointer by itself, or leave \
                       the file as it was";
            return Some((Severity::Blocking, why.to_owned()));
        }
    };
    let Some(content) = content else {
        let why = format!("new content of {size} bytes for Git LFS, which is too large to be examined");
        return Some((Severity::Blocking, why));
    };
    match dangerous(content) {
        Some(name) => {
            Some((Severity::Blocking, format!("new content for Git LFS: {name}, which cannot be reviewed")))
        }
        None => Some((
            Severity::Warning,
            format!("new content of {size} bytes for Git LFS, which is not shown in the change"),
        )),
    }
}

fn kept<'a>(change: &'a Change, name: &[u8]) -> Option<&'a Kept> {
    change.kept.get(&std::str::from_utf8(name).ok()?.parse().ok()?)
}

/// The change with contents in the place of the pointers to them, for rules that read them: only files that have any.
pub(crate) fn contents(change: &Change) -> Option<Change> {
    let mut files = Vec::new();
    for file in &change.files {
        let Some(side) = &file.new else { continue };
        let name = side.content.as_deref().and_then(pointed_at);
        if let Some(Kept::New { size, content: Some(content) }) = name.and_then(|name| kept(change, name)) {
            let new = FileSide { size: *size, content: Some(content.clone()), ..side.clone() };
            files.push(FileChange { new: Some(new), old: None, ..file.clone() });
        }
    }
    (!files.is_empty()).then(|| Change { files, ..Change::default() })
}

/// The name of the content that a pointer stands for; `None` if it is none.
fn pointed_at(content: &[u8]) -> Option<&[u8]> {
    let rest = content.strip_prefix(b"version https://git-lfs.github.com/spec/v1\n")?;
    let mut lines = rest.split(|byte| *byte == b'\n');
    (content.len() < LONGEST).then(|| lines.find_map(|line| line.strip_prefix(b"oid ")))?
}
