//! `mode`: files that become executable.
//!
//! **What.** The executable bit appears, or a file becomes something else than a file. **Why.** It is easily
//! overlooked in a diff, and it is what makes a text run by name. **Severity.** A note for a new script with
//! a `#!` line; a warning otherwise.

use cofferdam_domain::{FileMode, Severity};

use crate::{
    GatePolicy,
    view::{Sink, View},
};

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    for file in &view.files {
        let Some(new) = file.new_side() else { continue };
        let old = file.file.old.as_ref().map(|side| side.mode);
        match (old, new.mode) {
            (Some(FileMode::Executable), FileMode::Executable) => {}
            (_, FileMode::Executable) => {
                let script = file.new.starts_with(b"#!");
                let severity = if script && file.is_added() { Severity::Note } else { Severity::Warning };
                sink.add(severity, &file.shown, None, "becomes executable");
            }
            (Some(FileMode::Symlink), FileMode::Regular)
            | (Some(FileMode::Regular | FileMode::Executable), FileMode::Symlink) => {
                sink.add(Severity::Warning, &file.shown, None, "changes between a file and a link");
            }
            (_, FileMode::Regular | FileMode::Symlink | FileMode::Gitlink) => {}
        }
    }
}
