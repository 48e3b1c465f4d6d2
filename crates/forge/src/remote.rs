//! Forges that are asked over HTTP: what this platform wants of each, in the same words for all of them.
//!
//! [`Talk`] is all that is ever asked of a forge: to look, to say something, to keep the one pull request of a session. There is no call in
//! it that approves, merges, marks ready or closes what is somebody else's, so no text can ask for one. Everything that says something is
//! idempotent by a [`Mark`]: what stands there already under the same mark is changed, not said again.
//!
//! What a forge answers is hostile input: bounded, read strictly, and what people wrote in it stays untrusted.

mod gitea;
mod github;
mod gitlab;
mod news;
mod site;
mod wire;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cofferdam_domain::{SessionId, Subject, Timestamp};
use url::Url;

pub use self::{
    github::{AppMade, AppPlan, NoApp, app_manifest, app_page, make_app},
    news::{Happened, News},
    site::{Site, SiteCredential, SiteError},
};
use crate::hook::{Account, Comment, ForgeKind, Issue, LinePlace, Pull, Repository};

/// Characters of what is said once. GitHub takes 65,536 and Gitea about as many.
const LONGEST_BODY: usize = 60_000;

/// The forge of a site.
///
/// # Errors
/// When no client can be made for it.
pub fn open(site: &Site) -> Result<Arc<dyn Talk>, OpenError> {
    match site.kind() {
        ForgeKind::Gitea => Ok(Arc::new(gitea::Gitea::new(site)?)),
        ForgeKind::GitHub => Ok(Arc::new(github::GitHub::new(site)?)),
        ForgeKind::GitLab => Ok(Arc::new(gitlab::GitLab::new(site)?)),
    }
}

/// Why a forge cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no client.
    #[error("no HTTP client could be made for the forge {forge}")]
    Client {
        /// The forge's name.
        forge: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// There is no TLS.
    #[error("no HTTP client could be made for the forge {forge}: it has no TLS")]
    Tls {
        /// The forge's name.
        forge: String,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// The app's key is none.
    #[error("the key of the app for the forge {forge} cannot be used: {reason}")]
    Key {
        /// The forge's name.
        forge: String,
        /// Why not, and what to give instead.
        reason: String,
    },
    /// Its credential is none for such a forge.
    #[error("{} is not asked with such a credential: give it a `token`", .0.name())]
    Kind(ForgeKind),
}

/// A repository on a forge. Which of both an implementation asks by is its own affair: the number stays, the path is for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct At {
    /// Its number.
    pub id: u64,
    /// `owner/name`.
    pub path: String,
}

/// When a session was made, or a little before (UUID version 7: the first 48 bits are milliseconds).
fn made(session: SessionId) -> Timestamp {
    let millis = u64::try_from(session.as_u128() >> 80).unwrap_or(0);
    Timestamp(millis.saturating_sub(60 * 60 * 1000))
}

/// Whether a pull request is one that this platform has made: its branch is a session's, in the repository itself.
fn is_ours(at: &At, pull: &Pull) -> bool {
    pull.head_repository == Some(at.id) && session_of(&pull.branch).is_some()
}

/// The session whose branch it is.
fn session_of(branch: &str) -> Option<SessionId> {
    branch.strip_prefix("cofferdam/")?.parse().ok()
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

    /// Whether a text has it. Anybody can copy it: what counts is a text of our own that has it.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        text.contains(&self.line())
    }

    /// The text with it, bounded.
    #[must_use]
    pub fn below(&self, text: &str) -> String {
        let cut = text.char_indices().nth(LONGEST_BODY).map(|(end, _)| &text[..end]);
        let rest = if cut.is_some() { "\n\n… (cut: it is longer than the forge takes)" } else { "" };
        format!("{}{rest}\n\n{}", cut.unwrap_or(text).trim_end(), self.line())
    }

    /// Before this nothing can stand anywhere under it: a session's number holds when it was made. An hour of difference between clocks is
    /// allowed for.
    fn not_before(&self) -> Timestamp {
        made(self.session)
    }

    /// What stands there under it, by the account itself.
    fn find<'c>(&self, comments: impl IntoIterator<Item = &'c Comment>, me: &Account) -> Option<&'c Comment> {
        comments.into_iter().find(|comment| comment.author.id == me.id && self.is_in(&comment.body))
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

/// A review of a pull request, which neither approves nor requests anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewWanted {
    /// The commit that was looked at.
    pub commit: String,
    /// What it says of all, in Markdown.
    pub body: String,
    /// What it says of lines.
    pub lines: Vec<LineWanted>,
}

/// Something to be said of a line that the change shows: one that it adds, or one beside those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineWanted {
    /// The file.
    pub path: String,
    /// The line as the change leaves the file, counted from 1.
    pub line: u64,
    /// The same before the change, where it leaves the line as it was.
    pub before: Option<u64>,
    /// What, in Markdown.
    pub text: String,
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

impl TalkError {
    /// Whether it stays so until a person does something about it.
    #[must_use]
    pub const fn needs_a_person(&self) -> bool {
        match self {
            Self::Forbidden { .. } | Self::Missing { .. } | Self::Refused { .. } => true,
            Self::ForNow { .. } | Self::Malformed { .. } => false,
        }
    }
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

    /// What is written below an issue or pull request, oldest first: the latest `most` of what was written or changed since.
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

    /// Reviews a pull request, whosever it is, in one review under the mark: what stands there under it stays as it is. Never approves, never
    /// requests changes.
    async fn review(&self, at: &At, pull: u64, mark: &Mark, wanted: &ReviewWanted) -> Result<(), TalkError>;

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

    /// The repositories that the account works on, as far as the forge lists them: at most `most`.
    async fn repositories(&self, most: usize) -> Result<Vec<Repository>, TalkError>;

    /// What has happened in a repository since, by the forge's clock: what webhooks would have told. `pulls` are the pull requests of ours that are
    /// not known to be merged or closed, which are looked at one by one.
    async fn news(&self, at: &At, since: Timestamp, pulls: &[u64]) -> Result<News, TalkError>;

    /// How seldom the forge wants to be asked for news, if it says so.
    fn seldom(&self) -> Option<Duration> {
        None
    }

    /// How much may still be asked of it, as it said last; nothing where it has not said.
    fn limits(&self) -> Vec<LimitSeen> {
        Vec::new()
    }

    /// How a repository is set up around this platform, as far as the forge tells whoever asks: what it does not tell is `None`.
    async fn setup(&self, _: &At, _branch: &str) -> Result<Setup, TalkError> {
        Ok(Setup::default())
    }
}

/// How much may be asked of a forge, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSeen {
    /// What is counted together: `core`, `graphql`.
    pub budget: String,
    /// Requests that are left.
    pub left: u64,
    /// Of how many, where it says so.
    pub of: Option<u64>,
    /// When there are as many again, where it says so.
    pub again: Option<Timestamp>,
}

/// How a repository is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// What the credential may do, in the forge's words. `None` where the forge does not tell.
    pub scopes: Option<Vec<String>>,
    /// The repository's webhooks.
    pub hooks: Option<Vec<HookSeen>>,
    /// Whether the branch that changes are meant for can only be changed as somebody has laid down.
    pub protected: Option<bool>,
    /// The files that say what runs when something is pushed or asked for: their paths and texts, bounded.
    pub workflows: Option<Vec<(String, String)>>,
}

/// A webhook as the forge shows it. Without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSeen {
    /// Where it posts to.
    pub url: String,
    /// Whether it is switched on.
    pub active: bool,
    /// The events that it tells of, in the forge's words.
    pub events: Vec<String>,
    /// What became of its last delivery, as HTTP status; `None` where the forge does not tell.
    pub last: Option<u16>,
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
