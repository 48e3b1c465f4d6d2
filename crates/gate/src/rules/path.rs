//! `path`: names that mean something else on another machine.
//!
//! **What.** Paths that are not plain UTF-8, hold control characters, empty parts, `.` or `..`, look like
//! `.git`, are reserved on Windows, or are too long; two paths of the change that are one and the same on a
//! file system without case; a file that makes its folder a git repository. **Why.** A checkout of such a
//! tree writes where it should not, or writes one file over another; git in such a folder runs what the
//! folder's settings name. **Severity.** Blocking where a checkout could leave the tree or reach git's own folder,
//! for clashes and for repositories; a warning for what only fails elsewhere.

use std::collections::HashMap;

use cofferdam_domain::{FileMode, Severity};

use crate::{
    GatePolicy,
    fold::is_dot_git,
    view::{FileView, Sink, View},
};

/// Bytes of one part of a path, on nearly every file system.
const MAX_PART: usize = 255;
/// Bytes of a whole path that still check out on Windows with some room for the folder around them.
const MAX_PATH: usize = 240;

/// Names that Windows keeps for devices, whatever extension they have.
const DEVICES: &[&str] = &[
    "con", "prn", "aux", "nul", "conin$", "conout$", "com1", "com2", "com3", "com4", "com5", "com6", "com7",
    "com8", "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    let mut folded: HashMap<&str, &FileView<'_>> = HashMap::new();
    for file in view.files.iter().filter(|file| file.new_side().is_some()) {
        if let Some((severity, why)) = problem(file) {
            sink.add(severity, &file.shown, None, why);
        }
        if is_repository_head(file) {
            let why = "with this file a folder can be a repository of its own, whose settings git obeys in it: they name programs";
            sink.add(Severity::Blocking, &file.shown, None, why);
        }
        if let Some(other) = folded.insert(&file.folded, file) {
            let why = format!("the same name as {} on file systems that do not tell them apart", other.shown);
            sink.add(Severity::Blocking, &file.shown, None, why);
        }
    }
}

/// Whether git would take this for the `HEAD` of a repository (gitrepository-layout(5)). It needs `objects`, `refs` and `config` beside it, but
/// those may come with other changes; without a `HEAD` there is no repository.
fn is_repository_head(file: &FileView<'_>) -> bool {
    let content = file.new.trim_ascii();
    let id = matches!(content.len(), 40 | 64) && content.iter().all(u8::is_ascii_hexdigit);
    let link = file.new_side().is_some_and(|side| side.mode == FileMode::Symlink);
    file.name() == "head" && (id || content.starts_with(b"ref:") || (link && content.starts_with(b"refs/")))
}

fn problem(file: &FileView<'_>) -> Option<(Severity, &'static str)> {
    let path = &file.file.path;
    let Ok(text) = std::str::from_utf8(path) else {
        return Some((Severity::Blocking, "the path is not UTF-8"));
    };
    if text.chars().any(char::is_control) {
        return Some((Severity::Blocking, "the path contains control characters"));
    }
    if file.folded.split('/').any(is_dot_git) {
        return Some((Severity::Blocking, "on some file systems this is git's own folder"));
    }
    if text.split(['/', '\\']).any(|part| matches!(part, "" | "." | "..")) {
        return Some((Severity::Blocking, "the path has parts that lead elsewhere"));
    }
    if text.split('/').any(|part| part.len() > MAX_PART) {
        return Some((Severity::Blocking, "a part of the path is too long for most file systems"));
    }
    if file
        .folded
        .split('/')
        .any(|part| DEVICES.contains(&part.split('.').next().unwrap_or_default().trim_end()))
    {
        return Some((Severity::Warning, "a name that Windows keeps for a device"));
    }
    if text.contains(['\\', ':', '*', '?', '"', '<', '>', '|'])
        || text.split('/').any(|part| part.ends_with(['.', ' ']))
    {
        return Some((Severity::Warning, "a name that Windows cannot store as it is"));
    }
    (path.len() > MAX_PATH).then_some((Severity::Warning, "a path too long for some machines"))
}
