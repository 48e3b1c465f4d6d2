//! Kinds of subagents, from the files that describe them.

use std::collections::BTreeSet;

use cofferdam_domain::{
    Digest,
    event::{Applies, Instruction, InstructionKind},
};

use super::{
    Gathering,
    finish::{LONGEST_TEXT, LONGEST_TEXTS, count_hidden, instruction, shown},
};
use crate::{SkillName, Subagent, kind::standing};

impl Gathering {
    /// Those that can be used, each name once, whose texts together have at most `room` bytes.
    pub(super) fn kinds(&mut self, mut room: usize) -> Vec<Instruction> {
        let mut paths = std::mem::take(&mut self.kinds);
        paths.sort_by_key(|path| (standing(path), path.clone()));
        let (mut kinds, mut names) = (Vec::new(), BTreeSet::new());
        for path in paths {
            match self.kind(&path, &mut names, room) {
                Ok(kind) => {
                    room -= kind.text.len().min(room);
                    kinds.push(kind);
                }
                Err(problem) => self.note(format!("{path} is not used: {problem}")),
            }
        }
        kinds
    }

    fn kind(
        &mut self,
        path: &str,
        names: &mut BTreeSet<SkillName>,
        room: usize,
    ) -> Result<Instruction, String> {
        let whole = self.readable(path)?;
        let (kind, body) = Subagent::parse(&whole).map_err(|error| error.to_string())?;
        let text = shown(body.trim());
        if text.len() > LONGEST_TEXT.min(room) {
            // Half of what somebody wants may be the opposite of it.
            return Err(format!(
                "its text has {} bytes: {LONGEST_TEXT} are the most, and {LONGEST_TEXTS} of all texts together",
                text.len()
            ));
        }
        if names.contains(&kind.name) {
            return Err(format!("there is a kind of subagent {} already", kind.name));
        }
        for note in &kind.notes {
            self.note(format!("{path}: {note}"));
        }
        let described = Instruction {
            digest: Digest::of(whole.as_bytes()),
            size: whole.len() as u64,
            hidden: count_hidden(&whole),
            name: Some(kind.name.to_string()),
            description: Some(shown(&kind.description)),
            text,
            shape: Some(Box::new(kind.shape)),
            ..instruction(path, InstructionKind::Subagent, Applies::OnRequest)
        };
        names.insert(kind.name);
        Ok(described)
    }
}
