//! What somebody asked for.

use serde::{Deserialize, Serialize};

use crate::{Digest, Origin, TraceParent};

/// The longest prompt that is accepted, in bytes. Longer texts belong in the repository, as files.
pub const MAX_PROMPT: usize = 512 * 1024;

/// The longest name of a model or policy, in characters.
pub const MAX_NAME: usize = 200;

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
    /// Where it was asked, if that was elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What else was wished.
    #[serde(flatten)]
    pub wishes: Wishes,
    /// Digest over all of the above but the source: what exactly was asked.
    pub content_hash: Digest,
    /// The trace of whoever asked, for those who follow it from there. No part of what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

/// How a task is to be worked on, where that was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// The model, by its name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A policy of the organisation's by its name. It narrows what the worker's own permits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Whether the agent may change nothing before somebody has approved its plan.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plan_first: bool,
}

/// Which way a task came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The command line on the worker's own machine.
    Cli,
    /// `cofferdam demo`: the model is a recording.
    Demo,
    /// A program, through the API.
    Api,
    /// The web pages.
    Web,
    /// An issue or a pull request on a forge.
    Forge,
    /// A chat.
    Chat,
    /// Another program's webhook.
    Hook,
    /// A schedule.
    Schedule,
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
    /// A name that cannot be one.
    #[error(
        "the name of a {0} has 1 to {MAX_NAME} characters, none of them a space at an end or a control character"
    )]
    Name(&'static str),
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
        let wishes = Wishes::default();
        let mut task = Self {
            prompt,
            repository,
            base,
            requester,
            source,
            origin: None,
            wishes,
            content_hash: Digest::ZERO,
            trace: None,
        };
        task.content_hash = task.hash();
        Ok(task)
    }

    /// The same task, to be worked on in a certain way.
    ///
    /// # Errors
    /// When the name of the model or the policy is none.
    pub fn with(mut self, wishes: Wishes) -> Result<Self, InvalidTask> {
        for (what, name) in [("model", &wishes.model), ("policy", &wishes.policy)] {
            if name.as_deref().is_some_and(|name| !is_name(name)) {
                return Err(InvalidTask::Name(what));
            }
        }
        self.wishes = wishes;
        self.content_hash = self.hash();
        Ok(self)
    }

    /// The same task, asked for elsewhere.
    #[must_use]
    pub fn asked(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self.content_hash = self.hash();
        self
    }

    /// The same task, asked for in the course of somebody's trace.
    #[must_use]
    pub const fn traced(mut self, trace: Option<TraceParent>) -> Self {
        self.trace = trace;
        self
    }

    /// What was not wished is no part of it, so that a task which wishes nothing has the hash that it always had; nor is where it was asked
    /// where that was here.
    fn hash(&self) -> Digest {
        let Wishes { model, policy, plan_first } = &self.wishes;
        let wished = [
            ("model", model.as_deref()),
            ("policy", policy.as_deref()),
            ("plan", plan_first.then_some("first")),
        ];
        let origin = self.origin.as_ref().and_then(|origin| serde_json::to_string(origin).ok());
        let mut parts =
            vec![&*self.prompt, &*self.repository, self.base.as_deref().unwrap_or(""), &*self.requester];
        parts.extend(wished.iter().filter_map(|(what, wish)| Some([*what, (*wish)?])).flatten());
        parts.extend(origin.iter().flat_map(|origin| ["origin", &**origin]));
        let mut content = Vec::new();
        for part in parts {
            content.extend_from_slice(&(part.len() as u64).to_be_bytes());
            content.extend_from_slice(part.as_bytes());
        }
        Digest::of(&content)
    }
}

/// Whether a text may be the ref that a task starts from: as git takes it, without what could be an option or an expression
/// (git-check-ref-format(1)).
#[must_use]
pub fn is_base(base: &str) -> bool {
    (1..=250).contains(&base.len())
        && !base.starts_with(['-', '/', '.'])
        && !base.contains("..")
        && !base.contains("@{")
        && base.chars().all(|character| !character.is_control() && !" ~^:?*[\\".contains(character))
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count()) && name.trim() == name && !name.contains(char::is_control)
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
    fn bases_are_names() {
        for base in ["main", "feature/x", "v1.2.3", "0123abc"] {
            assert!(is_base(base), "{base}");
        }
        for base in ["", "-x", "a..b", "a b", "HEAD~1", "a:b", "a^", "@{-1}", "/a", "a\n"] {
            assert!(!is_base(base), "{base}");
        }
    }

    #[test]
    fn wishes_are_part_of_what_was_asked() {
        let plain = task("fix it", None).unwrap();
        let json = serde_json::to_value(&plain).unwrap();
        assert!(json.get("model").is_none() && json.get("plan_first").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<Task>(json).unwrap(), plain);
        let wishes = [
            Wishes { model: Some("a/b".into()), ..Wishes::default() },
            Wishes { policy: Some("a/b".into()), ..Wishes::default() },
            Wishes { plan_first: true, ..Wishes::default() },
        ];
        let mut hashes = vec![plain.content_hash];
        for wish in wishes {
            let wished = plain.clone().with(wish).unwrap();
            let json = serde_json::to_value(&wished).unwrap();
            assert_eq!(serde_json::from_value::<Task>(json).unwrap(), wished);
            hashes.push(wished.content_hash);
        }
        let all = hashes.len();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), all);
        assert_eq!(plain.clone().with(Wishes::default()), Ok(plain.clone()));
        for bad in ["", " a", "a\n", &"x".repeat(MAX_NAME + 1)] {
            let wishes = Wishes { model: Some(bad.to_owned()), ..Wishes::default() };
            assert_eq!(plain.clone().with(wishes), Err(InvalidTask::Name("model")), "{bad}");
        }
    }

    #[test]
    fn a_trace_is_no_part_of_what_was_asked() {
        let plain = task("fix it", None).unwrap();
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
        let traced = plain.clone().traced(trace);
        assert_eq!(traced.content_hash, plain.content_hash);
        let json = serde_json::to_value(&traced).unwrap();
        assert_eq!(serde_json::from_value::<Task>(json).unwrap(), traced);
        assert!(serde_json::to_value(&plain).unwrap().get("trace").is_none());
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
