//! `list`: shows a directory as a tree.

use std::collections::VecDeque;

use async_trait::async_trait;
use cofferdam_domain::ToolOutcome;
use cofferdam_sandbox::{Entry, EntryKind, FileProblem, SandboxError};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    files::missing,
    place::Place,
    text::{shorten, size},
    tool::{Context, Failure, Tool, outcome},
};

/// Entries that are shown.
const MAX_ENTRIES: usize = 500;
/// Directories that are opened.
const MAX_DIRECTORIES: usize = 200;
/// Bytes that are shown.
const MAX_BYTES: usize = 30_000;
/// Directories that are full of what nobody wrote: opened only when asked for by name.
const CLOSED: [&[u8]; 7] =
    [b".git", b"node_modules", b"target", b".venv", b"__pycache__", b".tox", b".mypy_cache"];

static DEFINITION: Definition = Definition {
    name: "list",
    description: "Show a directory as a tree, with sizes.",
    fields: &[
        Field::optional("path", Kind::Text, "").or(&["dir", "directory", "dirpath", "filepath"]),
        Field::optional("depth", Kind::Count { least: 1, most: 10 }, "levels; default 2")
            .or(&["maxdepth", "levels"]),
    ],
    parallel: true,
    read_only: true,
    example: r#"{"path":"src","depth":2}"#,
    adapt: as_they_are,
    bare: None,
};

/// The tool.
pub(crate) struct List;

/// A directory that was opened.
struct Opened {
    entries: Vec<(Entry, Option<usize>)>,
    more: u64,
}

#[async_trait]
impl Tool for List {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let root = match arguments.optional_text("path") {
            Some(path) if !path.is_empty() => Place::of(path)?,
            Some(_) | None => Place::workspace(),
        };
        let depth = arguments.count("depth").unwrap_or(2);
        let opened = match open_all(context, &root, depth).await {
            Ok(opened) => opened,
            Err(SandboxError::File { problem: FileProblem::Missing, .. }) => {
                return Err(missing(context.sandbox, &root).await);
            }
            Err(SandboxError::File { problem: FileProblem::NotDirectory, .. }) => {
                return Err(Failure(format!("{root} is a file: use `read`.")));
            }
            Err(error) => return Err(error.into()),
        };
        let mut text = format!("{root}/ ({})\n", entry_count(&opened[0]));
        let complete = draw(&opened, 0, 1, &mut text);
        if !complete {
            text.push_str("[cut: list a directory below]\n");
        }
        text.truncate(text.trim_end_matches('\n').len());
        Ok(outcome(text))
    }
}

/// Opens directories level by level, so that a large one deep down takes no room from its betters. The first
/// is the root.
async fn open_all(context: &Context<'_>, root: &Place, depth: u64) -> Result<Vec<Opened>, SandboxError> {
    let mut opened: Vec<Opened> = Vec::new();
    let mut room = MAX_ENTRIES;
    // The place, its level, and where its entry is: (directory, index).
    let mut waiting = VecDeque::from([(root.clone(), 1, None::<(usize, usize)>)]);
    while let Some((place, level, entry)) = waiting.pop_front() {
        if opened.len() == MAX_DIRECTORIES || (room == 0 && !opened.is_empty()) {
            break;
        }
        let listing = match context.sandbox.list(place.absolute(), room).await {
            Ok(listing) => listing,
            Err(error) if entry.is_none() => return Err(error),
            // A directory below may be unreadable, or gone by now: it is shown closed.
            Err(_) => continue,
        };
        let this = opened.len();
        if let Some((parent, index)) = entry {
            opened[parent].entries[index].1 = Some(this);
        }
        room -= listing.entries.len().min(room);
        for (index, child) in listing.entries.iter().enumerate() {
            let closed = CLOSED.contains(&child.name.as_slice());
            if child.kind == EntryKind::Directory && level < depth && !closed {
                let name = String::from_utf8_lossy(&child.name);
                waiting.push_back((place.child(&name), level + 1, Some((this, index))));
            }
        }
        opened.push(Opened {
            entries: listing.entries.into_iter().map(|entry| (entry, None)).collect(),
            more: listing.more,
        });
    }
    Ok(opened)
}

fn entry_count(directory: &Opened) -> String {
    match directory.entries.len() as u64 + directory.more {
        0 => "empty".to_owned(),
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

/// Writes the entries of one directory and of those below it; false if there was no room.
fn draw(opened: &[Opened], which: usize, level: usize, text: &mut String) -> bool {
    let indent = "  ".repeat(level);
    for (entry, below) in &opened[which].entries {
        if text.len() > MAX_BYTES {
            return false;
        }
        let name = String::from_utf8_lossy(&entry.name).replace(char::is_control, "\u{fffd}");
        let name = shorten(&name, 255);
        let line = match (entry.kind, below) {
            (EntryKind::Directory, Some(below)) => format!("{name}/ ({})", entry_count(&opened[*below])),
            (EntryKind::Directory, None) => format!("{name}/"),
            (EntryKind::File, _) => format!("{name}  {}", size(entry.size)),
            (EntryKind::Symlink, _) => format!("{name}  link"),
            (EntryKind::Other, _) => format!("{name}  special"),
        };
        text.push_str(&format!("{indent}{line}\n"));
        if let Some(below) = below
            && !draw(opened, *below, level + 1, text)
        {
            return false;
        }
    }
    if opened[which].more > 0 {
        text.push_str(&format!("{indent}[… {} more]\n", opened[which].more));
    }
    true
}
