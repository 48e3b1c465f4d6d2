//! What somebody asked for.

use serde::{Deserialize, Serialize};

use crate::{
    Also, Attempt, Digest, Origin, Parent, TraceParent,
    cone::{self, InvalidCone},
    part::{self, InvalidParts},
};

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
    /// The repositories that it is about beside that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Also>,
    /// Who asked, as text for people.
    pub requester: String,
    /// Which way it came in.
    pub source: Source,
    /// Where it was asked, if that was elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The pull request that is to be reviewed, where that is the task: then nothing is changed, and what comes of it is a review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Box<UnderReview>>,
    /// The session that it works for, where a model wrote this task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<Parent>>,
    /// Which one of several attempts at it this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The playbook whose words it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<Box<PlaybookUse>>,
    /// What else was wished.
    #[serde(flatten)]
    pub wishes: Wishes,
    /// Digest over all of the above but the source: what exactly was asked.
    pub content_hash: Digest,
    /// The trace of whoever asked, for those who follow it from there. No part of what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// What lists call it, where the first line of what was asked is the same each time. No part of what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// The playbook that a task was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybookUse {
    /// Its name in the organisation.
    pub name: String,
    /// The digest of its text as it was then.
    pub digest: Digest,
}

/// A pull request that is to be reviewed. Everything in it was written by whoever wanted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderReview {
    /// Its number on the forge.
    pub number: u64,
    /// The commit that is looked at, object id in hexadecimal: what was there when it was asked.
    pub head: String,
    /// The ref under which the forge keeps its head, also where that came from another repository.
    pub reference: String,
    /// The branch that it is meant for.
    pub base: String,
    /// Whether it comes from another repository: whoever wrote it need not be one who may push to this one.
    pub foreign: bool,
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
    /// The directories that are to be in the workspace ([`crate::cone`]); where there are none, what the worker's configuration says of
    /// the repository, or else all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sparse: Vec<String>,
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
    /// A directory that cannot be one.
    #[error(transparent)]
    Cone(#[from] InvalidCone),
    /// Repositories that cannot go together.
    #[error(transparent)]
    Parts(#[from] InvalidParts),
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
            also: Vec::new(),
            requester,
            source,
            origin: None,
            review: None,
            parent: None,
            attempt: None,
            playbook: None,
            wishes,
            content_hash: Digest::ZERO,
            trace: None,
            title: None,
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
        cone::check(&wishes.sparse)?;
        self.wishes = wishes;
        self.content_hash = self.hash();
        Ok(self)
    }

    /// The same task, about these repositories too.
    ///
    /// # Errors
    /// When there are too many of them, one is named twice, or it is a review.
    pub fn and_also(mut self, also: Vec<Also>) -> Result<Self, InvalidTask> {
        part::check(&self, &also)?;
        self.also = also;
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

    /// The same task, which is to review something.
    #[must_use]
    pub fn reviewing(mut self, review: UnderReview) -> Self {
        self.review = Some(Box::new(review));
        self.content_hash = self.hash();
        self
    }

    /// The same task, which is part of what another session works on.
    #[must_use]
    pub fn delegated(mut self, parent: Parent) -> Self {
        self.parent = Some(Box::new(parent));
        self.content_hash = self.hash();
        self
    }

    /// The same task, as one of several attempts at it.
    #[must_use]
    pub fn attempted(mut self, attempt: Attempt) -> Self {
        self.attempt = Some(attempt);
        self.content_hash = self.hash();
        self
    }

    /// The same task, as none of several attempts at it.
    #[must_use]
    pub fn alone(mut self) -> Self {
        if self.attempt.take().is_some() {
            self.content_hash = self.hash();
        }
        self
    }

    /// The same task, as a playbook words it.
    #[must_use]
    pub fn by_playbook(mut self, playbook: PlaybookUse) -> Self {
        self.playbook = Some(Box::new(playbook));
        self.content_hash = self.hash();
        self
    }

    /// The same task, asked for in the course of somebody's trace.
    #[must_use]
    pub const fn traced(mut self, trace: Option<TraceParent>) -> Self {
        self.trace = trace;
        self
    }

    /// The same task, by a name of its own in lists.
    #[must_use]
    pub fn titled(mut self, title: String) -> Self {
        self.title = Some(title);
        self
    }

    /// What was not wished is no part of it, so that a task which wishes nothing has the hash that it always had; nor is where it was asked
    /// where that was here, nor a review where it is none, nor other repositories where there are none.
    fn hash(&self) -> Digest {
        let Wishes { model, policy, plan_first, sparse } = &self.wishes;
        let wished = [
            ("model", model.as_deref()),
            ("policy", policy.as_deref()),
            ("plan", plan_first.then_some("first")),
        ];
        let origin = self.origin.as_ref().and_then(|origin| serde_json::to_string(origin).ok());
        let mut parts =
            vec![&*self.prompt, &*self.repository, self.base.as_deref().unwrap_or(""), &*self.requester];
        parts.extend(wished.iter().filter_map(|(what, wish)| Some([*what, (*wish)?])).flatten());
        parts.extend(sparse.iter().flat_map(|cone| ["sparse", &**cone]));
        parts.extend(origin.iter().flat_map(|origin| ["origin", &**origin]));
        let review = self.review.as_ref().and_then(|review| serde_json::to_string(review).ok());
        parts.extend(review.iter().flat_map(|review| ["review", &**review]));
        let parent = self.parent.as_ref().and_then(|parent| serde_json::to_string(parent).ok());
        parts.extend(parent.iter().flat_map(|parent| ["parent", &**parent]));
        let attempt = self.attempt.as_ref().and_then(|attempt| serde_json::to_string(attempt).ok());
        parts.extend(attempt.iter().flat_map(|attempt| ["attempt", &**attempt]));
        let playbook = self.playbook.as_ref().and_then(|playbook| serde_json::to_string(playbook).ok());
        parts.extend(playbook.iter().flat_map(|playbook| ["playbook", &**playbook]));
        let also = |also: &'_ Also| {
            ["also".to_owned(), also.repository.clone(), also.base.clone().unwrap_or_default()]
        };
        let also: Vec<String> = self.also.iter().flat_map(also).collect();
        parts.extend(also.iter().map(String::as_str));
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

/// Whether a repository's address is a place, or in it: by whole parts of the path, literally.
#[must_use]
pub fn is_below(repository: &str, place: &str) -> bool {
    let place = place.trim_end_matches('/');
    repository.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
            Wishes { sparse: vec!["a/b".into()], ..Wishes::default() },
            Wishes { sparse: vec!["a/b".into(), "c".into()], ..Wishes::default() },
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
        let wishes = Wishes { sparse: vec!["../a".into()], ..Wishes::default() };
        assert!(matches!(plain.clone().with(wishes), Err(InvalidTask::Cone(_))));
    }

    #[test]
    fn what_is_to_be_reviewed_is_part_of_what_was_asked() {
        let plain = task("look at it", None).unwrap();
        assert!(serde_json::to_value(&plain).unwrap().get("review").is_none());
        let review = |head: &str, foreign| UnderReview {
            number: 7,
            head: head.into(),
            reference: "refs/pull/7/head".into(),
            base: "main".into(),
            foreign,
        };
        let mut hashes = vec![plain.content_hash];
        for under in [review("a", false), review("b", false), review("a", true)] {
            let reviewing = plain.clone().reviewing(under);
            let json = serde_json::to_value(&reviewing).unwrap();
            assert_eq!(serde_json::from_value::<Task>(json).unwrap(), reviewing);
            hashes.push(reviewing.content_hash);
        }
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), 4);
    }

    #[test]
    fn a_trace_and_a_title_are_no_part_of_what_was_asked() {
        let plain = task("fix it", None).unwrap();
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
        let traced = plain.clone().traced(trace);
        assert_eq!(traced.content_hash, plain.content_hash);
        let json = serde_json::to_value(&traced).unwrap();
        assert_eq!(serde_json::from_value::<Task>(json).unwrap(), traced);
        assert!(serde_json::to_value(&plain).unwrap().get("trace").is_none());
        let titled = plain.clone().titled("An alert fires: disk".into());
        assert_eq!(titled.content_hash, plain.content_hash);
        let json = serde_json::to_value(&titled).unwrap();
        assert_eq!(serde_json::from_value::<Task>(json).unwrap(), titled);
        assert!(serde_json::to_value(&plain).unwrap().get("title").is_none());
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
