//! From what a commit has to what a session is given: which files are wanted, and what becomes of their bytes.
//!
//! It is asked and told in turns, so that whoever has the repository does the reading: [`Gathering::wanted`], [`Gathering::give`], until nothing is
//! wanted any more, then [`Gathering::finish`].

mod finish;
mod kinds;

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_domain::{
    amount::counted,
    event::{Instruction, InstructionKind},
};

use crate::{imports, kind_of, skill_folder};

/// Bytes of one file.
pub const MOST_FILE: u64 = 64 * 1024;
/// Bytes of all files together.
pub const MOST_BYTES: u64 = 512 * 1024;
/// Texts and skills.
const MOST_TEXTS: usize = 64;
/// Kinds of subagents: the model is told of all of them.
const MOST_KINDS: usize = 24;
/// Files of one skill.
const MOST_SKILL_FILES: usize = 64;
/// How far imports lead on: "up to five hops" (Claude Code, "Memory").
const DEEPEST: usize = 5;
/// Files that are imported.
const MOST_IMPORTS: usize = 64;
/// What is said of what was left out.
const MOST_NOTICES: usize = 64;

/// A file that the commit has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path from the root of the repository.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Whether it is a symbolic link.
    pub link: bool,
}

/// What was found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A file with these bytes.
    File(Vec<u8>),
    /// A symbolic link.
    Link,
    /// A file of so many bytes, which were not read.
    TooLarge(u64),
    /// Nothing, or no file.
    Missing,
}

/// What a session is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gathered {
    /// The texts and skills; who changed them last is for others to find out.
    pub files: Vec<Instruction>,
    /// What was found and is not used, and why.
    pub notices: Vec<String>,
    /// The files of the skills, by their paths, as they are: what cannot be seen in them is still to be made visible.
    pub skills: BTreeMap<String, String>,
}

/// A skill's folder and the other files in it.
#[derive(Debug)]
struct Folder {
    head: String,
    files: Vec<String>,
}

/// A reading of a commit that is under way.
#[derive(Debug)]
pub struct Gathering {
    texts: Vec<(String, InstructionKind)>,
    /// Files that describe kinds of subagents.
    kinds: Vec<String>,
    folders: Vec<Folder>,
    open: BTreeSet<String>,
    asked: BTreeSet<String>,
    given: BTreeMap<String, Given>,
    bytes: u64,
    imports: usize,
    rounds: usize,
    /// Files for which there was no room.
    crowded: Vec<String>,
    notices: Vec<String>,
}

impl Gathering {
    /// Begins with those of a commit's files that [`is_candidate`](crate::is_candidate) is true of; others are passed over.
    #[must_use]
    pub fn new(mut listed: Vec<Listed>) -> Self {
        listed.sort_by_cached_key(|file| (file.path.matches('/').count(), file.path.clone()));
        let mut gathering = Self {
            texts: Vec::new(),
            kinds: Vec::new(),
            folders: Vec::new(),
            open: BTreeSet::new(),
            asked: BTreeSet::new(),
            given: BTreeMap::new(),
            bytes: 0,
            imports: 0,
            rounds: 0,
            crowded: Vec::new(),
            notices: Vec::new(),
        };
        let mut left_out = 0usize;
        for file in &listed {
            let Some(kind) = kind_of(&file.path) else { continue };
            let known = gathering.texts.len() + gathering.folders.len() + gathering.kinds.len();
            let crowded = kind == InstructionKind::Subagent && gathering.kinds.len() >= MOST_KINDS;
            if known >= MOST_TEXTS || crowded {
                left_out += 1;
            } else if gathering.takes(file) {
                match kind {
                    InstructionKind::Skill => {
                        gathering.folders.push(Folder { head: file.path.clone(), files: Vec::new() })
                    }
                    InstructionKind::Subagent => gathering.kinds.push(file.path.clone()),
                    InstructionKind::Agents
                    | InstructionKind::Claude
                    | InstructionKind::Gemini
                    | InstructionKind::Copilot
                    | InstructionKind::Cursor => gathering.texts.push((file.path.clone(), kind)),
                }
            }
        }
        if left_out > 0 {
            gathering.note(format!(
                "{left_out} more texts for agents are not used: {MOST_TEXTS} are, and {MOST_KINDS} kinds of subagents"
            ));
        }
        gathering.take_skill_files(&listed);
        if let Some(first) = gathering.crowded.first() {
            let which = counted(gathering.crowded.len() as u64, "file");
            gathering.note(format!(
                "{which} not used, {first} first: all together are more than {MOST_BYTES} bytes"
            ));
        }
        gathering
    }

    fn take_skill_files(&mut self, listed: &[Listed]) {
        for index in 0..self.folders.len() {
            let Some(folder) =
                self.folders.get(index).and_then(|folder| skill_folder(&folder.head)).map(str::to_owned)
            else {
                continue;
            };
            let inside = listed.iter().filter(|file| {
                skill_folder(&file.path) == Some(&folder)
                    && kind_of(&file.path) != Some(InstructionKind::Skill)
            });
            let files: Vec<&Listed> = inside.collect();
            if files.len() > MOST_SKILL_FILES {
                self.note(format!("{folder}: {} of its {} files are used", MOST_SKILL_FILES, files.len()));
            }
            for file in files.into_iter().take(MOST_SKILL_FILES) {
                if self.takes(file)
                    && let Some(folder) = self.folders.get_mut(index)
                {
                    folder.files.push(file.path.clone());
                }
            }
        }
    }

    /// Whether a file is to be read; says why if not.
    fn takes(&mut self, file: &Listed) -> bool {
        let path = cofferdam_domain::hidden::visible(file.path.as_bytes());
        let problem = if path != file.path {
            format!("{path} is not used: its name has characters that cannot be seen")
        } else if file.link {
            format!("{path} is not used: it is a symbolic link, and links are not followed")
        } else if file.size > MOST_FILE {
            format!("{path} is not used: it has {} bytes, and {MOST_FILE} is the most", file.size)
        } else if self.bytes + file.size > MOST_BYTES {
            self.crowded.push(path);
            return false;
        } else {
            self.bytes += file.size;
            self.open.insert(file.path.clone());
            return true;
        };
        self.note(problem);
        false
    }

    fn note(&mut self, notice: String) {
        if self.notices.len() < MOST_NOTICES {
            self.notices.push(notice);
        }
    }

    /// Whether there is nothing that advises.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.kinds.is_empty() && self.folders.is_empty() && self.notices.is_empty()
    }

    /// The paths whose files are to be given now; none once everything is known.
    #[must_use]
    pub fn wanted(&mut self) -> Vec<String> {
        let wanted = std::mem::take(&mut self.open);
        self.asked.extend(wanted.iter().cloned());
        wanted.into_iter().collect()
    }

    /// What stands at a path that was wanted.
    pub fn give(&mut self, path: &str, given: Given) {
        if !self.asked.contains(path) || self.given.contains_key(path) {
            return;
        }
        let too_large = |bytes: &Vec<u8>| bytes.len() as u64 > MOST_FILE;
        let given = match given {
            Given::File(ref bytes) if too_large(bytes) => Given::TooLarge(bytes.len() as u64),
            Given::File(_) | Given::Link | Given::TooLarge(_) | Given::Missing => given,
        };
        self.given.insert(path.to_owned(), given);
        if self.asked.iter().all(|path| self.given.contains_key(path)) && self.rounds < DEEPEST {
            self.rounds += 1;
            self.look_for_imports();
        }
    }

    /// Wants what the texts name that are there by now.
    fn look_for_imports(&mut self) {
        let mut named = BTreeSet::new();
        let importing =
            self.texts.iter().filter(|(_, kind)| imports_files(*kind)).map(|(path, _)| path.as_str());
        let mut open: Vec<&str> = importing.collect();
        let mut seen = BTreeSet::new();
        while let Some(path) = open.pop() {
            if !seen.insert(path) {
                continue;
            }
            let Some(text) = self.text(path) else { continue };
            for import in imports::named(path, text).0 {
                match self.given.get_key_value(&import) {
                    Some((known, _)) => open.push(known),
                    None => {
                        named.insert(import);
                    }
                }
            }
        }
        for path in named.into_iter().filter(|path| !self.asked.contains(path)).collect::<Vec<_>>() {
            if self.imports >= MOST_IMPORTS {
                self.note(format!(
                    "{path:?} and what else is imported is not used: {MOST_IMPORTS} files are"
                ));
                break;
            }
            self.imports += 1;
            self.open.insert(path);
        }
    }

    /// The text of a file that was given.
    fn text(&self, path: &str) -> Option<&str> {
        match self.given.get(path)? {
            Given::File(bytes) => std::str::from_utf8(bytes).ok(),
            Given::Link | Given::TooLarge(_) | Given::Missing => None,
        }
    }
}

/// Whether files of this kind name others to be shown with them.
const fn imports_files(kind: InstructionKind) -> bool {
    matches!(kind, InstructionKind::Claude | InstructionKind::Gemini)
}
