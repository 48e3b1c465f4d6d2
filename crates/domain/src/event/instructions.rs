//! Texts that advise agents: what the repository's base commit has of them, and skills that the organisation has approved.
//!
//! None of them is an order. They are shown to the model as quotations, and say nothing that the platform goes by.

use serde::{Deserialize, Serialize};

use crate::{BlobRef, Digest, Timestamp, delegation::CustomShape};

/// What a session has of such texts, for its whole length: later commits, the agent's own included, change nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// What was found, the repository's nearest to its root first.
    pub files: Vec<Instruction>,
    /// What was found and is not used, and why, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// The files of the skills: a JSON object of paths and texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skills: Option<BlobRef>,
}

/// One text, or one skill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// Its path from the root of the repository, as text for people; a skill's is that of its `SKILL.md`.
    pub path: String,
    /// What kind of file.
    pub kind: InstructionKind,
    /// Who gives it.
    #[serde(default, skip_serializing_if = "Giver::is_repository")]
    pub giver: Giver,
    /// When it is about what is being done.
    pub applies: Applies,
    /// The digest of the file, or of all files of the skill.
    pub digest: Digest,
    /// Bytes of the file, or of all files of the skill.
    pub size: u64,
    /// Who changed it last, as the repository's history says, for people: nobody has checked that. Of what the organisation gives, who has
    /// approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When that was, as the history says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// Characters in it that a reader would not have seen. In what the model is shown they are visible.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hidden: u32,
    /// The name of the skill, or of the kind of subagent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the model is shown of it; nothing of a skill, which it has to ask for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The files that it names and that were put into its text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
    /// What it comes down to, if it describes a kind of subagent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Box<CustomShape>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstructionKind {
    /// `AGENTS.md`.
    Agents,
    /// `CLAUDE.md`.
    Claude,
    /// `GEMINI.md`.
    Gemini,
    /// `.github/copilot-instructions.md`, or a file of `.github/instructions`.
    Copilot,
    /// A file of `.cursor/rules`, or `.cursorrules`.
    Cursor,
    /// A folder with a `SKILL.md`.
    Skill,
    /// A file that describes a kind of subagent.
    Subagent,
}

impl InstructionKind {
    /// The kind in words, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Agents | Self::Claude | Self::Gemini | Self::Copilot => "advice",
            Self::Cursor => "rule",
            Self::Skill => "skill",
            Self::Subagent => "kind of subagent",
        }
    }
}

/// Who gives a text. Whoever stands further up here is heard before those below, and none of them before the task and its requester.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Giver {
    /// An administrator of the organisation has approved it.
    Organisation,
    /// It stands in the repository: whoever could change that has written it.
    #[default]
    Repository,
}

impl Giver {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    const fn is_repository(&self) -> bool {
        matches!(self, Self::Repository)
    }

    /// Who, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Repository => "repository",
        }
    }
}

/// When a text is about what is being done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "when", rename_all = "snake_case")]
pub enum Applies {
    /// Always: it is shown at the beginning.
    Always,
    /// When files in this directory are read or changed, unless a nearer directory has one of its own.
    Below {
        /// From the root of the repository, without a slash at its end.
        directory: String,
    },
    /// When files that one of these globs fits are read or changed.
    Matching {
        /// The globs, from `directory` where they have a slash in them.
        globs: Vec<String>,
        /// Where they count, from the root of the repository; empty for everywhere.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        directory: String,
    },
    /// When the model asks for it.
    OnRequest,
    /// Never: another text stands in its place, which says the same or comes first.
    Never,
}

impl Instruction {
    /// All that is known of it on one line, for people. Path, author and name are as whoever wrote them wanted.
    #[must_use]
    pub fn told(&self) -> String {
        let mut told = format!("{} ({}", self.path, self.kind.words());
        match (&self.name, &self.applies) {
            (Some(name), _) => {
                told.push_str(&format!(" {name}"));
                if let Some(shape) = &self.shape {
                    told.push_str(&format!(" with what {} has", shape.base.name()));
                    if let Some(kept) = &shape.tools {
                        told.push_str(&format!(", of that {}", kept.join(", ")));
                    }
                }
            }
            (None, Applies::Always | Applies::OnRequest) => {}
            (None, Applies::Below { directory }) => told.push_str(&format!(" for {directory}")),
            (None, Applies::Matching { globs, .. }) => told.push_str(&format!(" for {}", globs.join(", "))),
            (None, Applies::Never) => told.push_str(", not used: another one says the same or comes first"),
        }
        told.push_str(&format!(
            ", from the {}): {} bytes, sha256 {}",
            self.giver.words(),
            self.size,
            self.digest.short()
        ));
        if let Some(author) = &self.author {
            let day =
                self.changed.map(|at| at.utc().chars().take(10).collect::<String>()).unwrap_or_default();
            let what = match self.giver {
                Giver::Organisation => "approved",
                Giver::Repository => "last changed",
            };
            told.push_str(&format!(", {what} {day} by {author}"));
        }
        if self.hidden > 0 {
            told.push_str(&format!(", {} hidden characters", self.hidden));
        }
        told
    }
}
