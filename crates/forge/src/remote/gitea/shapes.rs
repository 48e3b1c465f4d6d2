//! What Gitea's objects have that GitHub's have not, or have in another way.

use cofferdam_domain::Timestamp;
use serde::Deserialize;

use crate::{
    hook::{
        self, Comment, LinePlace, PullState,
        shapes::{User, account, moment},
    },
    remote::LineComment,
};

/// A pull request, as `modules/structs/pull.go` has it.
#[derive(Deserialize)]
pub(super) struct Pull {
    number: u64,
    #[serde(default)]
    title: String,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    draft: bool,
    /// Not while that is found out, nor for a draft.
    mergeable: Option<bool>,
    #[serde(default)]
    merged: bool,
    merge_commit_sha: Option<String>,
    head: End,
    base: End,
    created_at: Option<String>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct End {
    /// The branch's name, which `ref` is only as long as there is the branch.
    #[serde(default)]
    label: String,
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    sha: String,
    /// -1 where it is gone.
    #[serde(default)]
    repo_id: i64,
}

impl Pull {
    pub(super) fn created(&self) -> Option<Timestamp> {
        moment(self.created_at.as_deref())
    }

    /// Whether it is that of a branch in that repository.
    pub(super) fn is_of(&self, repository: u64, branch: &str) -> bool {
        u64::try_from(self.head.repo_id) == Ok(repository) && self.head.branch() == branch
    }
}

impl End {
    fn branch(&self) -> &str {
        let gone = self.reference.starts_with("refs/") && !self.label.is_empty();
        if gone { &self.label } else { &self.reference }
    }
}

impl From<Pull> for hook::Pull {
    fn from(pull: Pull) -> Self {
        Self {
            number: pull.number,
            title: pull.title,
            body: pull.body.unwrap_or_default(),
            author: account(pull.user),
            branch: pull.head.branch().to_owned(),
            commit: pull.head.sha,
            head_repository: u64::try_from(pull.head.repo_id).ok().filter(|id| *id != 0),
            base: pull.base.reference,
            draft: pull.draft,
            conflicts: pull.mergeable == Some(false) && !pull.draft && !pull.merged && pull.state != "closed",
            state: match (pull.merged, pull.state.as_str()) {
                (true, _) => PullState::Merged,
                (false, "closed") => PullState::Closed,
                (false, _) => PullState::Open,
            },
            merged_as: pull.merge_commit_sha.filter(|_| pull.merged),
            updated: moment(pull.updated_at.as_deref()),
        }
    }
}

/// A review (`modules/structs/pull_review.go`).
#[derive(Deserialize)]
pub(super) struct Review {
    pub(super) id: u64,
    pub(super) user: Option<User>,
    #[serde(default)]
    pub(super) body: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) comments_count: u64,
    pub(super) commit_id: Option<String>,
    submitted_at: Option<String>,
}

impl Review {
    /// Whether it was begun and not submitted.
    pub(super) fn is_pending(&self) -> bool {
        self.state == "PENDING"
    }

    pub(super) fn submitted(&self) -> Option<Timestamp> {
        moment(self.submitted_at.as_deref())
    }
}

/// A comment of a review on a line.
#[derive(Deserialize)]
pub(super) struct Remark {
    pub(super) id: u64,
    #[serde(default)]
    body: String,
    user: Option<User>,
    #[serde(default)]
    pull_request_review_id: u64,
    updated_at: Option<String>,
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    commit_id: String,
    /// The line in the head, or 0.
    #[serde(default)]
    pub(super) position: u64,
    /// The line in the base, or 0.
    #[serde(default)]
    pub(super) original_position: u64,
}

impl From<Remark> for LineComment {
    fn from(remark: Remark) -> Self {
        Self {
            comment: Comment {
                id: remark.id,
                body: remark.body,
                author: account(remark.user),
                updated: moment(remark.updated_at.as_deref()),
            },
            place: LinePlace {
                path: remark.path,
                line: Some(remark.position).filter(|line| *line != 0),
                commit: remark.commit_id,
                // Gitea has no name for it: what is on one line is one discussion. By its review a comment is found again.
                discussion: remark.pull_request_review_id.to_string(),
            },
        }
    }
}
