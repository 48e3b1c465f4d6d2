//! `oversize`: more than anybody reads.
//!
//! **What.** Files too large to be examined; very large additions; source files with lines of thousands of
//! characters, as minified programs have; changes of very many files. **Why.** What is too long to read is
//! not reviewed, and what was not examined may hold anything that the other rules look for. **Severity.**
//! Blocking where content was not examined or a program came in minified; a warning for size alone.

use cofferdam_domain::{Severity, change::MAX_CONTENT};

use crate::{
    GatePolicy,
    view::{FileView, Sink, View},
};

/// Bytes of a new version from which on it is called large.
const LARGE: u64 = 1 << 20;
/// Paths from which on a change is called large.
const MANY_FILES: usize = 1_000;
/// Bytes of an added line that nobody wrote by hand.
const LONG_LINE: usize = 4_000;

/// Extensions of programs, which have no business in one line. Data (JSON, CSV, SVG, snapshots) often comes
/// so.
const PROGRAMS: &[&str] = &[
    "js", "mjs", "cjs", "jsx", "ts", "tsx", "css", "py", "rb", "php", "sh", "bash", "rs", "go", "java", "kt",
    "c", "h", "cc", "cpp", "hpp", "cs", "swift", "pl", "lua", "ps1", "bat", "vue", "svelte", "ex", "exs",
    "scala", "sql",
];

pub(crate) fn examine(view: &View<'_>, _: &GatePolicy, sink: &mut Sink) {
    if view.files.len() > MANY_FILES {
        sink.add(
            Severity::Warning,
            "",
            None,
            format!("{} files change; nobody reads that many", view.files.len()),
        );
    }
    for file in &view.files {
        let Some(side) = file.new_side() else { continue };
        if file.unexamined {
            let why = format!(
                "{} bytes, not examined: at most {MAX_CONTENT} bytes of one file and 128 MiB of one change are",
                side.size
            );
            sink.add(Severity::Blocking, &file.shown, None, why);
        } else if side.size >= LARGE && file.old.len() as u64 + LARGE / 2 < side.size {
            sink.add(
                Severity::Warning,
                &file.shown,
                None,
                format!("{} bytes, of which most are new", side.size),
            );
        }
        long_lines(file, sink);
    }
}

fn long_lines(file: &FileView<'_>, sink: &mut Sink) {
    if file.binary {
        return;
    }
    let Some(line) = file.added.iter().find(|line| line.text.len() >= LONG_LINE) else { return };
    let program = PROGRAMS.contains(&file.extension());
    // A long line among many is often a table or a picture in a string; a file of little else is minified.
    let lines = file.new.iter().filter(|byte| **byte == b'\n').count() + 1;
    let minified = file.folded.contains(".min.") || file.new.len() / lines > 500;
    let severity = match (program, minified) {
        (true, true) => Severity::Blocking,
        (true, false) => Severity::Warning,
        (false, true | false) => Severity::Note,
    };
    let what = if program && minified { "a minified program, which cannot be reviewed: " } else { "" };
    sink.add(severity, &file.shown, Some(line.number), format!("{what}a line of {} bytes", line.text.len()));
}
