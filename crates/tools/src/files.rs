//! Files as tools read and write them: whole texts, the versions that the agent has seen, and help with paths
//! that lead nowhere.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use cofferdam_sandbox::{FileProblem, Sandbox, SandboxError, Search, Version};

use crate::{place::Place, text::closest, text::size, tool::Failure};

/// Files longer than this are not edited: comparing and showing changes takes many times their size.
pub(crate) const MAX_EDITABLE: u64 = 4 << 20;
/// Bytes that are asked for at once.
pub(crate) const CHUNK: u64 = 1 << 20;
/// Entries of a directory among which a name is looked for.
const NEIGHBOURS: usize = 2000;

/// Which state of each file the agent has last read or written. Empty after a crash: then files have to be
/// read again.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<Place, Version>>);

impl Seen {
    pub(crate) fn note(&self, place: &Place, version: Version) {
        self.locked(|versions| versions.insert(place.clone(), version));
    }

    pub(crate) fn forget(&self, place: &Place) {
        self.locked(|versions| versions.remove(place));
    }

    pub(crate) fn version(&self, place: &Place) -> Option<Version> {
        self.locked(|versions| versions.get(place).copied())
    }

    fn locked<T>(&self, act: impl FnOnce(&mut HashMap<Place, Version>) -> T) -> T {
        // A panic elsewhere cannot leave a map of plain values half changed.
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// The whole of a text file.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// Its content.
    pub(crate) text: String,
    /// Which state of it this is.
    pub(crate) version: Version,
}

/// Reads a text file to edit it; `None` if there is nothing at that place.
pub(crate) async fn load(sandbox: &dyn Sandbox, place: &Place) -> Result<Option<TextFile>, Failure> {
    let mut bytes = Vec::new();
    let version = loop {
        let data = match sandbox.read(place.absolute(), bytes.len() as u64, CHUNK).await {
            Ok(data) => data,
            Err(SandboxError::File { problem: FileProblem::Missing, .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if data.size > MAX_EDITABLE {
            return Err(Failure(format!(
                "{place} has {}: too long for this tool. Change it with a command in the shell.",
                size(data.size)
            )));
        }
        bytes.extend_from_slice(&data.bytes);
        if data.bytes.is_empty() || bytes.len() as u64 >= data.size {
            break data.version;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(TextFile { text, version })),
        Err(_) => Err(Failure(format!("{place} is not UTF-8 text. Change it with a command in the shell."))),
    }
}

/// The failure for a place with nothing at it, with what was probably meant.
pub(crate) async fn missing(sandbox: &dyn Sandbox, place: &Place) -> Failure {
    let parent = place.parent();
    let mut text = format!("{place}: no such file or directory.");
    let mut meant = Vec::new();
    match sandbox.list(parent.absolute(), NEIGHBOURS).await {
        Ok(listing) => {
            let names: Vec<String> = listing
                .entries
                .iter()
                .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
                .collect();
            if let Some(near) = closest(place.name(), names.iter().map(String::as_str)) {
                meant.push(parent.child(near).to_string());
            }
        }
        Err(_) => text.push_str(&format!(" There is no directory {parent}.")),
    }
    for elsewhere in same_name(sandbox, place).await {
        if !meant.contains(&elsewhere) {
            meant.push(elsewhere);
        }
    }
    match meant.as_slice() {
        [] => text.push_str(" Find it with `glob` or `list`."),
        names => text.push_str(&format!(" Did you mean {}?", names.join(" or "))),
    }
    Failure(text)
}

/// A few files of the same name in other directories of the workspace.
async fn same_name(sandbox: &dyn Sandbox, place: &Place) -> Vec<String> {
    let name = place.name();
    if name.is_empty() || name.contains(['*', '?', '[', '{', '\\']) {
        return Vec::new();
    }
    let search = Search {
        root: Place::workspace().absolute().to_owned(),
        pattern: None,
        glob: Some(format!("**/{name}")),
        literal: false,
        ignore_case: false,
        multiline: false,
        context: 0,
        hidden: false,
        limit: 3,
        timeout: Duration::from_secs(2),
    };
    match sandbox.search(search).await {
        Ok(result) => {
            result.files.iter().map(|file| String::from_utf8_lossy(&file.path).into_owned()).collect()
        }
        // Only a suggestion is lost.
        Err(_) => Vec::new(),
    }
}
