//! What becomes of the bytes: heads read, imports put in, hidden characters made visible, what says the same said once.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_domain::{
    Digest,
    event::{Applies, Giver, Instruction, InstructionKind},
    hidden::{hidden, replace_hidden, visible},
};

use super::{DEEPEST, Folder, Gathered, Gathering, Given, MOST_BYTES, imports_files};
use crate::{Skill, SkillName, imports, kind::directory_of, rule, skill_folder, split};

/// Bytes of a text as the model is shown it, what it imports included.
pub(super) const LONGEST_TEXT: usize = 32 * 1024;
/// Bytes of all texts together.
pub(super) const LONGEST_TEXTS: usize = 128 * 1024;

impl Gathering {
    /// What the session is given.
    #[must_use]
    pub fn finish(mut self) -> Gathered {
        let mut files = Vec::new();
        let mut room = LONGEST_TEXTS;
        for (path, kind) in std::mem::take(&mut self.texts) {
            match self.advice(&path, kind, room) {
                Ok(advice) => {
                    room -= advice.text.len().min(room);
                    files.push(advice);
                }
                Err(problem) => self.note(format!("{path} is not used: {problem}")),
            }
        }
        say_once(&mut files);
        files.extend(self.kinds(room));
        let mut skills = BTreeMap::new();
        let mut names = BTreeSet::new();
        for folder in std::mem::take(&mut self.folders) {
            match self.skill(&folder, &mut names, &mut skills) {
                Ok(skill) => files.push(skill),
                Err(problem) => self.note(format!("{} is not used: {problem}", folder.head)),
            }
        }
        Gathered { files, notices: self.notices, skills }
    }

    /// A text that is no skill.
    fn advice(&mut self, path: &str, kind: InstructionKind, room: usize) -> Result<Instruction, String> {
        let whole = self.readable(path)?;
        let (head, body) = match kind {
            InstructionKind::Cursor | InstructionKind::Copilot => {
                split(&whole).map_err(|error| error.to_string())?
            }
            InstructionKind::Agents
            | InstructionKind::Claude
            | InstructionKind::Gemini
            | InstructionKind::Skill
            | InstructionKind::Subagent => (None, whole.as_str()),
        };
        let applies = match kind {
            InstructionKind::Cursor | InstructionKind::Copilot => rule::applies(kind, path, head.as_ref()),
            InstructionKind::Agents
            | InstructionKind::Claude
            | InstructionKind::Gemini
            | InstructionKind::Skill
            | InstructionKind::Subagent => match directory_of(path) {
                "" => Applies::Always,
                directory => Applies::Below { directory: directory.to_owned() },
            },
        };
        let mut taken = Vec::new();
        let mut text = body.trim().to_owned();
        if imports_files(kind) {
            self.import(path, body, &mut vec![path.to_owned()], &mut taken, &mut text);
        }
        let hidden = count_hidden(&text);
        let mut text = shown(&text);
        let limit = LONGEST_TEXT.min(room);
        if text.len() > limit {
            text.truncate(text.floor_char_boundary(limit));
            self.note(format!("{path} is cut after {limit} bytes: so much of a text is shown, and {LONGEST_TEXTS} of all together"));
        }
        let described = head.as_ref().and_then(|head| head.text("description"));
        Ok(Instruction {
            digest: Digest::of(whole.as_bytes()),
            size: whole.len() as u64,
            description: described.map(|text| shown(&text.chars().take(1024).collect::<String>())),
            hidden,
            text,
            imports: taken,
            ..instruction(path, kind, applies)
        })
    }

    /// Puts what a text names at its end. `above` are the files that led here.
    fn import(
        &mut self,
        from: &str,
        body: &str,
        above: &mut Vec<String>,
        taken: &mut Vec<String>,
        text: &mut String,
    ) {
        let (inside, outside) = imports::named(from, body);
        for path in outside {
            self.note(format!(
                "{from} imports {}, which is outside of the repository: it is not read",
                visible(path.as_bytes())
            ));
        }
        for path in inside {
            let name = visible(path.as_bytes());
            if above.contains(&path) {
                self.note(format!("{from} imports {name}, which imports it: once is enough"));
                continue;
            }
            if taken.contains(&name) {
                continue;
            }
            if above.len() > DEEPEST {
                self.note(format!(
                    "{from} imports {name}: imports more than {DEEPEST} deep are not followed"
                ));
                continue;
            }
            let imported = match self.given.get(&path) {
                Some(Given::File(_)) => match self.readable(&path) {
                    Ok(imported) => imported,
                    Err(problem) => {
                        self.note(format!("{from} imports {name}, which is not used: {problem}"));
                        continue;
                    }
                },
                Some(Given::Link) => {
                    self.note(format!(
                        "{from} imports {name}, which is a symbolic link: links are not followed"
                    ));
                    continue;
                }
                Some(Given::TooLarge(size)) => {
                    self.note(format!("{from} imports {name}, which is too large ({size} bytes)"));
                    continue;
                }
                // Not everything after an `@` is a file.
                Some(Given::Missing) | None => {
                    if path.ends_with(".md") {
                        self.note(format!("{from} imports {name}, which is not there"));
                    }
                    continue;
                }
            };
            taken.push(name.clone());
            if text.len() > 2 * LONGEST_TEXT {
                continue;
            }
            text.push_str(&format!("\n\n[{name}]\n{}", imported.trim()));
            above.push(path.clone());
            self.import(&path, &imported, above, taken, text);
            above.pop();
        }
    }

    /// A skill, whose files go to `pack`.
    fn skill(
        &mut self,
        folder: &Folder,
        names: &mut BTreeSet<SkillName>,
        pack: &mut BTreeMap<String, String>,
    ) -> Result<Instruction, String> {
        let whole = self.readable(&folder.head)?;
        let skill = Skill::parse(&whole).map_err(|error| error.to_string())?;
        if !names.insert(skill.name.clone()) {
            return Err(format!("there is a skill {} already", skill.name));
        }
        let at = skill_folder(&folder.head).unwrap_or_default();
        if at.rsplit('/').next() != Some(skill.name.as_str()) {
            self.note(format!("{} is called {} and not as its folder is", folder.head, skill.name));
        }
        for note in &skill.notes {
            self.note(format!("{}: {note}", folder.head));
        }
        let mut parts = vec![(folder.head.clone(), whole)];
        let mut others = 0usize;
        for path in &folder.files {
            match self.readable(path) {
                Ok(text) => parts.push((path.clone(), text)),
                Err(_) => others += 1,
            }
        }
        if others > 0 {
            self.note(format!("{at}: {others} of its files are no text; they are in the workspace only"));
        }
        let mut digested = Vec::new();
        let (mut size, mut hidden) = (0, 0u32);
        for (path, text) in parts {
            for part in [path.as_bytes(), text.as_bytes()] {
                digested.extend_from_slice(&(part.len() as u64).to_be_bytes());
                digested.extend_from_slice(part);
            }
            size += text.len() as u64;
            hidden = hidden.saturating_add(count_hidden(&text));
            pack.insert(path, text);
        }
        Ok(Instruction {
            digest: Digest::of(&digested),
            size,
            hidden,
            name: Some(skill.name.to_string()),
            description: Some(shown(&skill.description)),
            ..instruction(&folder.head, InstructionKind::Skill, Applies::OnRequest)
        })
    }

    /// The text of a file, or why there is none.
    pub(super) fn readable(&self, path: &str) -> Result<String, String> {
        match self.given.get(path) {
            Some(Given::File(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
                Ok(_) | Err(_) => Err("it is no text in UTF-8".to_owned()),
            },
            Some(Given::Link) => Err("it is a symbolic link, and links are not followed".to_owned()),
            Some(Given::TooLarge(size)) => {
                Err(format!("it has {size} bytes, and so much is not read ({MOST_BYTES} in all)"))
            }
            Some(Given::Missing) | None => Err("its content could not be read".to_owned()),
        }
    }
}

pub(super) fn instruction(path: &str, kind: InstructionKind, applies: Applies) -> Instruction {
    Instruction {
        path: path.to_owned(),
        kind,
        giver: Giver::Repository,
        applies,
        digest: Digest::ZERO,
        size: 0,
        author: None,
        changed: None,
        hidden: 0,
        name: None,
        description: None,
        text: String::new(),
        imports: Vec::new(),
        shape: None,
    }
}

/// Of files for the same directory the first kind counts; of the same text, the first file.
fn say_once(files: &mut [Instruction]) {
    let mut directories: BTreeMap<String, InstructionKind> = BTreeMap::new();
    for file in files.iter() {
        let rank = |kind: InstructionKind| match kind {
            InstructionKind::Agents => 0,
            InstructionKind::Claude => 1,
            InstructionKind::Gemini => 2,
            InstructionKind::Copilot
            | InstructionKind::Cursor
            | InstructionKind::Skill
            | InstructionKind::Subagent => 3,
        };
        if rank(file.kind) < 3 {
            let first = directories.entry(directory_of(&file.path).to_owned()).or_insert(file.kind);
            if rank(file.kind) < rank(*first) {
                *first = file.kind;
            }
        }
    }
    let mut said: BTreeSet<(Digest, String)> = BTreeSet::new();
    for file in files {
        let second = directories.get(directory_of(&file.path)).is_some_and(|first| {
            matches!(file.kind, InstructionKind::Agents | InstructionKind::Claude | InstructionKind::Gemini)
                && *first != file.kind
        });
        let again = !second && !said.insert((file.digest, format!("{:?}", file.applies)));
        if second || again {
            file.applies = Applies::Never;
            file.text.clear();
        }
    }
}

pub(super) fn count_hidden(text: &str) -> u32 {
    let characters: Vec<char> = text.chars().collect();
    u32::try_from(hidden(&characters).len()).unwrap_or(u32::MAX)
}

/// The text with what cannot be seen written out.
pub(super) fn shown(text: &str) -> String {
    replace_hidden(text, |character| character.escape_unicode().to_string())
}
