//! Where a task came from, when somebody asked for it elsewhere: so that its answer goes back there, and what was asked stays what it was.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Where a task came from. Part of what was asked: its content hash covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// An issue or a pull request on a forge.
    Forge(Box<Asked>),
    /// A thread of a chat.
    Chat(Box<Spoken>),
    /// A delivery of another program.
    Hook {
        /// The hook's name in the configuration.
        hook: String,
        /// The delivery's id.
        delivery: String,
    },
    /// A schedule.
    Schedule {
        /// Its name in the configuration.
        schedule: String,
        /// The time for which it was due.
        due: Timestamp,
    },
}

/// What was asked on a forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Where.
    pub thread: Thread,
    /// The number of the account that asked, which stays when it is renamed.
    pub account: u64,
    /// The delivery that said so.
    pub delivery: String,
    /// When the text was last changed before it was asked for, as far as the forge tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// What was written and is not in the prompt, or not as it was written: in which way, and how many characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concealed: Vec<(String, u64)>,
}

/// What was asked in a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// Where.
    #[serde(flatten)]
    pub conversation: Conversation,
    /// The message that asks.
    pub message: String,
    /// The account that asked, which stays when it is renamed.
    pub account: String,
    /// The delivery that said so.
    pub delivery: String,
    /// What was written and is not in the prompt, or not as it was written: in which way, and how many characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concealed: Vec<(String, u64)>,
}

/// A thread of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conversation {
    /// The chat's name in the configuration.
    pub chat: String,
    /// The id of the channel there.
    pub place: String,
    /// The message that all others of the thread answer.
    pub thread: String,
}

/// An issue or a pull request on a forge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Thread {
    /// The forge's name in the configuration.
    pub forge: String,
    /// The repository's number there, which stays when it is renamed or transferred.
    pub repository: u64,
    /// `owner/name` at the time.
    pub path: String,
    /// Which one.
    #[serde(flatten)]
    pub subject: Subject,
}

impl Origin {
    /// What was asked on a forge.
    #[must_use]
    pub const fn on_forge(&self) -> Option<&Asked> {
        match self {
            Self::Forge(asked) => Some(asked),
            Self::Chat(_) | Self::Hook { .. } | Self::Schedule { .. } => None,
        }
    }

    /// What was asked in a chat.
    #[must_use]
    pub const fn in_chat(&self) -> Option<&Spoken> {
        match self {
            Self::Chat(spoken) => Some(spoken),
            Self::Forge(_) | Self::Hook { .. } | Self::Schedule { .. } => None,
        }
    }

    /// What was written and is not in the prompt, or not as it was written: in which way, and how many characters.
    #[must_use]
    pub fn concealed(&self) -> &[(String, u64)] {
        match self {
            Self::Forge(asked) => &asked.concealed,
            Self::Chat(spoken) => &spoken.concealed,
            Self::Hook { .. } | Self::Schedule { .. } => &[],
        }
    }
}

impl Conversation {
    /// Names it among all threads.
    #[must_use]
    pub fn key(&self) -> String {
        let Self { chat, place, thread } = self;
        format!("chat/{chat}/{place}/{thread}")
    }
}

impl Remark {
    /// The place that it is about, for people: `src/a.rs:4`.
    #[must_use]
    pub fn place(&self) -> String {
        self.line.map_or_else(|| self.path.clone(), |line| format!("{}:{line}", self.path))
    }
}

impl Thread {
    /// Names the thread among all: the same as long as it is there, however its repository is called.
    #[must_use]
    pub fn key(&self) -> String {
        let Self { forge, repository, path: _, subject } = self;
        match subject {
            Subject::Issue(number) => format!("forge/{forge}/{repository}/issue/{number}"),
            Subject::Pull(number) => format!("forge/{forge}/{repository}/pull/{number}"),
        }
    }
}

/// For people: `issue #12 of ann/calc on hub`. The path was chosen on the forge.
impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} on {}", self.subject, self.path, self.forge)
    }
}

/// What a thread is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "subject", content = "number", rename_all = "snake_case")]
pub enum Subject {
    /// The issue with this number.
    Issue(u64),
    /// The pull request, or merge request, with this number.
    Pull(u64),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issue(number) => write!(f, "issue #{number}"),
            Self::Pull(number) => write!(f, "pull request #{number}"),
        }
    }
}

/// What a message to a session is about, where it came in from a forge or a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum About {
    /// A comment below the issue or the pull request.
    Comment {
        /// Where.
        thread: Thread,
        /// Its number on the forge.
        comment: u64,
        /// Whether it asks that the branch which the pull request is meant for be taken in.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        base: bool,
    },
    /// A review of the pull request.
    Review {
        /// Where.
        thread: Thread,
        /// Its number on the forge. 0 where the forge does not tell.
        review: u64,
        /// What it says about lines, to be answered one by one.
        remarks: Vec<Remark>,
    },
    /// A check of the session's commit that failed.
    Check {
        /// Where.
        thread: Thread,
        /// Its name.
        name: String,
        /// The commit, object id in hexadecimal.
        commit: String,
        /// How many have been tried to mend in a row, this one counted.
        attempt: u32,
    },
    /// What somebody says in a chat.
    Said {
        /// Where.
        conversation: Conversation,
        /// The message's id there.
        message: String,
    },
}

impl About {
    /// Where it came in, if that was on a forge.
    #[must_use]
    pub const fn thread(&self) -> Option<&Thread> {
        match self {
            Self::Comment { thread, .. } | Self::Review { thread, .. } | Self::Check { thread, .. } => {
                Some(thread)
            }
            Self::Said { .. } => None,
        }
    }

    /// What reviewers say about lines.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        match self {
            Self::Review { remarks, .. } => remarks,
            Self::Comment { .. } | Self::Check { .. } | Self::Said { .. } => &[],
        }
    }
}

/// What a reviewer says about a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// The comment's number on the forge. The agent answers it under this number.
    pub comment: u64,
    /// The discussion that it is part of: what an answer names.
    pub discussion: String,
    /// The file.
    pub path: String,
    /// The line, where it still is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What it says, as a person reads it.
    #[serde(default)]
    pub text: String,
}
