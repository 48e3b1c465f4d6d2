//! What happened on a forge, in the same words for all of them.

use cofferdam_domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that happened on a forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occasion {
    /// Where. `None` where it concerns no single repository.
    pub repository: Option<Repository>,
    /// The installation of the app that was told of it, where the forge has such.
    pub installation: Option<u64>,
    /// Who did it.
    pub actor: Account,
    /// What.
    pub what: What,
}

impl Occasion {
    /// What it is called, whoever tells of it and however often; `None` where there is no such name.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let repository = self.repository.as_ref()?.id;
        match &self.what {
            What::Comment(thread, comment, CommentChange::Written) => {
                let on_line = matches!(thread, Thread::Pull { line: Some(_), .. });
                Some(comment_name(repository, on_line, comment.id))
            }
            What::Comment(..)
            | What::Issue(..)
            | What::Review(..)
            | What::Pull(..)
            | What::Check(_)
            | What::Branch { .. }
            | What::Repository(_)
            | What::Installation
            | What::Other => None,
        }
    }
}

/// What it is called that a comment was written.
pub(crate) fn comment_name(repository: u64, on_line: bool, comment: u64) -> String {
    format!("{}-{repository}-{comment}", if on_line { "line" } else { "comment" })
}

/// A repository as the forge names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its number, which stays when it is renamed or transferred.
    pub id: u64,
    /// `owner/name` at the time.
    pub path: String,
    /// Where git clones it from.
    pub clone_url: String,
    /// The branch that changes are meant for.
    pub default_branch: Option<String>,
    /// Whether not everybody may read it.
    pub private: bool,
    /// Whether the forge says that everybody may read it who can reach the forge, signed in or not.
    #[serde(default)]
    pub public: bool,
}

/// Somebody on a forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its number, which stays when it is renamed.
    pub id: u64,
    /// Its name at the time. Empty where the forge tells only the number.
    pub login: String,
    /// What it is.
    pub kind: AccountKind,
}

/// What an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountKind {
    /// A person's, as far as the forge tells.
    Person,
    /// A program's.
    Bot,
    /// An organisation's.
    Organisation,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// To an issue.
    Issue(Issue, IssueChange),
    /// To a comment below an issue or a pull request, or on a line of one.
    Comment(Thread, Comment, CommentChange),
    /// Somebody reviewed a pull request.
    Review(Pull, Review),
    /// To a pull request.
    Pull(Pull, PullChange),
    /// A check, pipeline or status of a commit ended.
    Check(Check),
    /// A branch was made, moved or deleted.
    Branch {
        /// Its name, without `refs/heads/`.
        name: String,
        /// The commit before, unless it was made.
        before: Option<String>,
        /// The commit now, unless it was deleted.
        after: Option<String>,
    },
    /// To the repository itself.
    Repository(RepositoryChange),
    /// The app was installed, removed or suspended, or may see other repositories.
    Installation,
    /// Nothing that matters here.
    Other,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its number in the repository.
    pub number: u64,
    /// Its title as written.
    pub title: String,
    /// Its text as written.
    pub body: String,
    /// Who wrote it.
    pub author: Account,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whether it is not closed.
    pub open: bool,
    /// When it was last changed.
    pub updated: Option<Timestamp>,
}

/// What happened to an issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IssueChange {
    /// It was opened.
    Opened,
    /// Its title or text was changed.
    Edited,
    /// It was given these labels. A forge that does not tell which are new has all of them here.
    Labelled(Vec<String>),
    /// It was assigned to these accounts. A forge that does not tell which are new has all of them here.
    Assigned(Vec<Account>),
    /// It was closed.
    Closed,
    /// It was opened again.
    Reopened,
    /// It is not there any more: deleted, or in another repository.
    Gone,
    /// Something else.
    Other,
}

/// Where a comment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Thread {
    /// Below an issue.
    Issue(Issue),
    /// Below or in a pull request. Some forges tell only its number here.
    Pull {
        /// Its number in the repository.
        number: u64,
        /// The line that it is about.
        line: Option<LinePlace>,
    },
}

/// A line of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinePlace {
    /// The file's path.
    pub path: String,
    /// The line's number in the head, where it still is there.
    pub line: Option<u64>,
    /// The commit that was looked at.
    pub commit: String,
    /// The discussion that the comment is part of: what an answer names.
    pub discussion: String,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Its number on the forge.
    pub id: u64,
    /// Its text as written.
    pub body: String,
    /// Who wrote it.
    pub author: Account,
    /// When it was last changed.
    pub updated: Option<Timestamp>,
}

/// What happened to a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommentChange {
    /// It was written.
    Written,
    /// It was changed.
    Edited,
    /// It was deleted.
    Deleted,
}

/// A review of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Its number on the forge. 0 where the forge does not tell.
    pub id: u64,
    /// Its text as written.
    pub body: String,
    /// What it comes to.
    pub end: ReviewEnd,
    /// The commit that was looked at, where the forge tells.
    pub commit: Option<String>,
}

/// What a review comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReviewEnd {
    /// It approves.
    Approved,
    /// It wants changes.
    ChangesWanted,
    /// It only says something.
    Said,
    /// It was taken back.
    Dismissed,
}

/// A pull request, or merge request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Its number in the repository.
    pub number: u64,
    /// Its title as written.
    pub title: String,
    /// Its text as written.
    pub body: String,
    /// Who opened it.
    pub author: Account,
    /// Its branch.
    pub branch: String,
    /// The last commit of its branch.
    pub commit: String,
    /// The repository that its branch is in. `None` where that is gone.
    pub head_repository: Option<u64>,
    /// The branch that it is meant for.
    pub base: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// Whether the forge says that it conflicts with the branch that it is meant for. Where it does not know, it does not say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflicts: bool,
    /// What became of it.
    pub state: PullState,
    /// The commit that it was merged as, where the forge tells.
    pub merged_as: Option<String>,
    /// When it was last changed.
    pub updated: Option<Timestamp>,
}

/// What became of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullState {
    /// It is open.
    Open,
    /// It was closed without merging.
    Closed,
    /// It was merged.
    Merged,
}

/// What happened to a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullChange {
    /// It was opened.
    Opened,
    /// It was opened again.
    Reopened,
    /// It is no draft any more.
    Ready,
    /// Its title, text or base was changed.
    Edited,
    /// It was given these labels. A forge that does not tell which are new has all of them here.
    Labelled(Vec<String>),
    /// These accounts are asked to review it. A forge that does not tell which are new has all of them here.
    ReviewWanted(Vec<Account>),
    /// Its branch moved from this commit.
    Pushed {
        /// The commit before, where the forge tells.
        before: Option<String>,
    },
    /// It conflicts with the branch that it is meant for. No forge tells of this: it is found by asking.
    Conflicts,
    /// It was closed or merged: see its state.
    Closed,
    /// Something else.
    Other,
}

/// A check of a commit that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Its number on the forge, by which its log is found. 0 where it has none.
    pub id: u64,
    /// The commit.
    pub commit: String,
    /// The branch, where the forge tells.
    pub branch: Option<String>,
    /// How it ended.
    pub end: CheckEnd,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckEnd {
    /// Well.
    Passed,
    /// It found a fault, or ran out of time.
    Failed,
    /// It was cancelled, skipped, or says nothing.
    Neutral,
}

/// What happened to a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RepositoryChange {
    /// It has another name or owner. It is told with the new one.
    Moved,
    /// It is not there any more.
    Deleted,
    /// It only can be read from now on.
    Archived,
    /// Others may read it than before.
    AudienceChanged,
}
