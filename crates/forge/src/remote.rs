//! Forges that are asked over HTTP: what this platform wants of each, in the same words for all of them.
//!
//! [`Talk`] is all that is ever asked of a forge: to look, to say something, to keep the one pull request of a session. There is no call in
//! it that approves, merges, marks ready or closes what is somebody else's, so no text can ask for one. Everything that says something is
//! idempotent by a [`Mark`]: what stands there already under the same mark is changed, not said again.
//!
//! What a forge answers is hostile input: bounded, read strictly, and what people wrote in it stays untrusted.

use async_trait::async_trait;
use cofferdam_domain::{SessionId, Subject, Timestamp};
use url::Url;

use crate::hook::{Account, Comment, Issue, LinePlace, Pull, Repository};

/// A repository on a forge. Which of both an implementation asks by is its own affair: the number stays, the path is for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct At {
    /// Its number.
    pub id: u64,
    /// `owner/name`.
    pub path: String,
}

/// What an account may do in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Nothing, or what everybody may.
    None,
    /// Read it.
    Read,
    /// Sort its issues (GitHub: triage; GitLab: reporter).
    Triage,
    /// Push to it.
    Write,
    /// Change its settings.
    Admin,
}

/// Makes what is said once findable: a line at the end of it that nobody sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The session that says it.
    pub session: SessionId,
    /// What it is, among all that this session says there: `task`, `review-12`, `reply-99`. Lower-case letters, digits and `-`.
    pub what: String,
}

impl Mark {
    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("<!-- cofferdam {} {} -->", self.session, self.what)
    }

    /// Whether a text has it.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        text.contains(&self.line())
    }
}

/// A sign that something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// It was seen and is worked on.
    Eyes,
    /// It was done.
    Done,
    /// It cannot be done.
    Confused,
}

/// What is reacted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reacted {
    /// The text of an issue or a pull request.
    Subject(Subject),
    /// A comment below one.
    Comment(Subject, u64),
    /// A comment on a line of a pull request.
    Line(Subject, u64),
}

/// What is said of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// Under which name: the last one under a name counts.
    pub name: String,
    /// What.
    pub state: StatusState,
    /// In a few words; at most 140 characters.
    pub text: String,
    /// Where there is more.
    pub link: Option<Url>,
    /// What there is to say about lines, where the forge has a place for that.
    pub annotations: Vec<Annotation>,
}

/// How it stands with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusState {
    /// It is not known yet.
    Pending,
    /// Well.
    Success,
    /// Something was found.
    Failure,
}

/// Something about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The file.
    pub path: String,
    /// The line, counted from 1.
    pub line: u64,
    /// What.
    pub text: String,
    /// Whether it must be looked at.
    pub failure: bool,
}

/// A pull request to be opened, or to be brought up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullWanted {
    /// Its branch.
    pub branch: String,
    /// The branch that it is meant for.
    pub base: String,
    /// Its title, without any mark of a draft.
    pub title: String,
    /// Its text in Markdown.
    pub body: String,
    /// Whether it is a draft.
    pub draft: bool,
}

/// A comment on a line, with where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineComment {
    /// What.
    pub comment: Comment,
    /// Where.
    pub place: LinePlace,
}

/// Why a forge did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TalkError {
    /// It could not be reached, is overloaded or broken, or wants to be left alone. Later it may.
    #[error("{forge} does not answer as it should: {reason}")]
    ForNow {
        /// The forge's name.
        forge: String,
        /// Why, in words of ours.
        reason: String,
        /// When it may be asked again, where it says so.
        again: Option<Timestamp>,
    },
    /// It does not accept the credential, or not for this.
    #[error("{forge} does not permit that: {reason}")]
    Forbidden {
        /// The forge's name.
        forge: String,
        /// What is missing, and what to do about it.
        reason: String,
    },
    /// What was asked about is not there, or must not be known.
    #[error("{forge} has no {what}")]
    Missing {
        /// The forge's name.
        forge: String,
        /// What.
        what: String,
    },
    /// It does not accept what was sent.
    #[error("{forge} refused {what}: {reason}")]
    Refused {
        /// The forge's name.
        forge: String,
        /// What was sent.
        what: String,
        /// Why, in the forge's words, made visible and bounded.
        reason: String,
    },
    /// Its answer is not what its documentation says.
    #[error("{forge} answered something else than its documentation says for {what}: {reason}")]
    Malformed {
        /// The forge's name.
        forge: String,
        /// What was asked.
        what: String,
        /// Where and why.
        reason: String,
    },
}

/// All that is asked of a forge. Implemented for each family of forges.
#[async_trait]
pub trait Talk: Send + Sync {
    /// The account that this platform is there.
    ///
    /// # Errors
    /// See [`TalkError`], here and below.
    async fn me(&self) -> Result<Account, TalkError>;

    /// A repository, by its path.
    async fn repository(&self, path: &str) -> Result<Repository, TalkError>;

    /// What an account may do there, looked up now.
    async fn right_of(&self, at: &At, account: &Account) -> Result<Right, TalkError>;

    /// An issue as it is now.
    async fn issue(&self, at: &At, number: u64) -> Result<Issue, TalkError>;

    /// A pull request as it is now.
    async fn pull(&self, at: &At, number: u64) -> Result<Pull, TalkError>;

    /// What is written below an issue or pull request, oldest first: the first `most` of what was written or changed since.
    async fn comments(
        &self,
        at: &At,
        subject: Subject,
        since: Option<Timestamp>,
        most: usize,
    ) -> Result<Vec<Comment>, TalkError>;

    /// What a review says about lines; of all reviews where the forge does not number them (`review` 0).
    async fn remarks(&self, at: &At, pull: u64, review: u64) -> Result<Vec<LineComment>, TalkError>;

    /// Says something below an issue or pull request, or changes what stands there under the mark. Gives back the comment's number.
    async fn say(&self, at: &At, subject: Subject, mark: &Mark, body: &str) -> Result<u64, TalkError>;

    /// Answers a remark on a line in its discussion, or changes the answer that stands there under the mark.
    async fn answer(
        &self,
        at: &At,
        pull: u64,
        place: &Remarked,
        mark: &Mark,
        body: &str,
    ) -> Result<(), TalkError>;

    /// Marks a discussion of lines as resolved. `false` where the forge cannot.
    async fn resolve(&self, at: &At, pull: u64, place: &Remarked) -> Result<bool, TalkError>;

    /// Shows that something was seen.
    async fn react(&self, at: &At, to: Reacted, reaction: Reaction) -> Result<(), TalkError>;

    /// Says how it stands with a commit.
    async fn status(&self, at: &At, commit: &str, status: &CommitStatus) -> Result<(), TalkError>;

    /// The end of what a failed check of a commit has written, at most `most` bytes. `None` where the forge does not keep it.
    async fn check_log(
        &self,
        at: &At,
        commit: &str,
        check: &str,
        most: usize,
    ) -> Result<Option<String>, TalkError>;

    /// The pull request of a branch, open or not: the newest.
    async fn find_pull(&self, at: &At, branch: &str) -> Result<Option<Pull>, TalkError>;

    /// Opens a pull request, or brings the open one of that branch up to date. Never marks one as ready that a person made a draft.
    async fn open_pull(&self, at: &At, wanted: &PullWanted) -> Result<Pull, TalkError>;

    /// Closes a pull request of ours without merging, as a person has asked here.
    async fn close_pull(&self, at: &At, number: u64) -> Result<Pull, TalkError>;

    /// Merges a pull request of ours at exactly this commit, as a person has asked here.
    async fn merge_pull(&self, at: &At, number: u64, commit: &str) -> Result<Pull, TalkError>;

    /// The user name and password with which git may fetch from and push to this repository now, and nothing else where the forge can narrow it.
    async fn git_credential(&self, at: &At) -> Result<GitCredential, TalkError>;
}

/// A remark on a line: what an answer names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remarked {
    /// The comment's number.
    pub comment: u64,
    /// The discussion that it is part of.
    pub discussion: String,
}

/// What git presents to a forge over HTTPS.
#[derive(Debug, Clone)]
pub struct GitCredential {
    /// The user name.
    pub user: String,
    /// The password or token.
    pub password: cofferdam_domain::Secret,
}
