//! What somebody asked for.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The longest prompt that is accepted, in bytes. Longer texts belong in the repository, as files.
pub const MAX_PROMPT: usize = 512 * 1024;

/// A task as it was accepted. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What to do, in the requester's words.
    pub prompt: String,
    /// The repository: an absolute path or a URL, as it will be given to git.
    pub repository: String,
    /// The ref to start from; `None` means the repository's default branch.
    pub base: Option<String>,
    /// Who asked, as text for people.
    pub requester: String,
    /// Which way it came in.
    pub source: Source,
    /// Digest over all of the above: what exactly was asked.
    pub content_hash: Digest,
}

/// Which way a task came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The command line on the worker's own machine.
    Cli,
    /// `cofferdam demo`: the model is a recording.
    Demo,
}

/// Why a task cannot be accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidTask {
    /// There is nothing to do.
    #[error(
        "the task is empty: say what to do, as an argument, with --task-file, or on standard input with -"
    )]
    Empty,
    /// More text than any model can hold.
    #[error(
        "the task is {size} bytes long, at most {MAX_PROMPT} are accepted: put long material in a file of the repository and \
         name the file in the task"
    )]
    TooLong {
        /// Its length in bytes.
        size: usize,
    },
    /// Text that cannot be text.
    #[error("the task contains a NUL character: give it as plain text")]
    Nul,
}

impl Task {
    /// Checks the prompt and fixes what was asked under a hash.
    ///
    /// # Errors
    /// When the prompt is empty, too long, or contains NUL.
    pub fn new(
        prompt: String,
        repository: String,
        base: Option<String>,
        requester: String,
        source: Source,
    ) -> Result<Self, InvalidTask> {
        if prompt.trim().is_empty() {
            return Err(InvalidTask::Empty);
        }
        if prompt.len() > MAX_PROMPT {
            return Err(InvalidTask::TooLong { size: prompt.len() });
        }
        if prompt.contains('\0') {
            return Err(InvalidTask::Nul);
        }
        let mut content = Vec::new();
        for part in [prompt.as_str(), &repository, base.as_deref().unwrap_or(""), &requester] {
            content.extend_from_slice(&(part.len() as u64).to_be_bytes());
            content.extend_from_slice(part.as_bytes());
        }
        let content_hash = Digest::of(&content);
        Ok(Self { prompt, repository, base, requester, source, content_hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(prompt: &str, base: Option<&str>) -> Result<Task, InvalidTask> {
        Task::new(prompt.into(), "/r".into(), base.map(Into::into), "ann".into(), Source::Cli)
    }

    #[test]
    fn refuses_what_cannot_be_a_task() {
        assert_eq!(task(" \n", None), Err(InvalidTask::Empty));
        assert_eq!(task("a\0b", None), Err(InvalidTask::Nul));
        let long = "x".repeat(5 << 20);
        assert_eq!(task(&long, None), Err(InvalidTask::TooLong { size: 5 << 20 }));
    }

    #[test]
    fn the_hash_covers_every_part() {
        let a = task("fix it", None).unwrap();
        let b = task("fix it", Some("main")).unwrap();
        let c = task("fix it!", None).unwrap();
        assert_ne!(a.content_hash, b.content_hash);
        assert_ne!(a.content_hash, c.content_hash);
        assert_eq!(a, task("fix it", None).unwrap());
    }
}
