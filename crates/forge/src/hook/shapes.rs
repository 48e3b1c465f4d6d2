//! The JSON objects of GitHub, which Gitea and Forgejo send as well: only what is used, and tolerant of what is missing.

use cofferdam_domain::Timestamp;
use serde::Deserialize;

use super::occasion;

/// Labels, assignees and reviewers of one thing that are read.
const MOST_NAMES: usize = 100;

#[derive(Deserialize)]
pub(crate) struct User {
    #[serde(deserialize_with = "number")]
    pub(crate) id: u64,
    #[serde(default)]
    login: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl From<User> for occasion::Account {
    fn from(user: User) -> Self {
        let kind = match user.kind.as_deref() {
            Some("Bot" | "Mannequin") => occasion::AccountKind::Bot,
            Some("Organization") => occasion::AccountKind::Organisation,
            Some(_) | None if user.id == 0 || user.login.ends_with("[bot]") => occasion::AccountKind::Bot,
            Some(_) | None => occasion::AccountKind::Person,
        };
        Self { id: user.id, login: user.login, kind }
    }
}

/// Gitea gives negative numbers to accounts that are none: -1 for a deleted one, -2 for its Actions.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    i64::deserialize(deserializer).map(|number| u64::try_from(number).unwrap_or(0))
}

/// Whoever wrote something whose account was deleted since.
pub(crate) fn account(user: Option<User>) -> occasion::Account {
    let ghost = || occasion::Account { id: 0, login: String::new(), kind: occasion::AccountKind::Bot };
    user.map_or_else(ghost, Into::into)
}

pub(crate) fn accounts(users: Vec<User>) -> Vec<occasion::Account> {
    users.into_iter().take(MOST_NAMES).map(Into::into).collect()
}

#[derive(Deserialize)]
pub(crate) struct Repository {
    pub(crate) id: u64,
    full_name: String,
    #[serde(default)]
    clone_url: String,
    default_branch: Option<String>,
    private: Option<bool>,
    /// Gitea: only those who are signed in may read it.
    #[serde(default)]
    internal: bool,
    /// GitHub: `public`, `private` or `internal`.
    visibility: Option<String>,
}

impl From<Repository> for occasion::Repository {
    fn from(repository: Repository) -> Self {
        let Repository { id, full_name: path, clone_url, default_branch, private, internal, visibility } =
            repository;
        let open = visibility.is_none_or(|visibility| visibility == "public");
        let public = private == Some(false) && !internal && open;
        Self { id, path, clone_url, default_branch, private: private.unwrap_or_default(), public }
    }
}

#[derive(Deserialize)]
pub(crate) struct Label {
    name: String,
}

pub(crate) fn names(labels: Vec<Label>) -> Vec<String> {
    labels.into_iter().take(MOST_NAMES).map(|label| label.name).collect()
}

#[derive(Deserialize)]
pub(crate) struct Issue {
    number: u64,
    #[serde(default)]
    title: String,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    labels: Option<Vec<Label>>,
    #[serde(default)]
    pub(crate) assignees: Option<Vec<User>>,
    #[serde(default)]
    updated_at: Option<String>,
    #[serde(default)]
    pub(crate) pull_request: Option<serde::de::IgnoredAny>,
}

impl Issue {
    /// Where comments below it are: GitHub and Gitea say "issue" for a pull request as well.
    pub(crate) fn thread(self) -> occasion::Thread {
        match self.pull_request {
            Some(_) => occasion::Thread::Pull { number: self.number, line: None },
            None => occasion::Thread::Issue(self.into()),
        }
    }
}

impl From<Issue> for occasion::Issue {
    fn from(issue: Issue) -> Self {
        Self {
            number: issue.number,
            title: issue.title,
            body: issue.body.unwrap_or_default(),
            author: account(issue.user),
            labels: names(issue.labels.unwrap_or_default()),
            open: issue.state != "closed",
            updated: moment(issue.updated_at.as_deref()),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Comment {
    id: u64,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    updated_at: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    line: Option<u64>,
    #[serde(default)]
    commit_id: Option<String>,
    #[serde(default)]
    in_reply_to_id: Option<u64>,
}

impl Comment {
    /// The line that it is about. A discussion is named by its first comment.
    pub(crate) fn line(&self) -> Option<occasion::LinePlace> {
        Some(occasion::LinePlace {
            path: self.path.clone()?,
            line: self.line,
            commit: self.commit_id.clone().unwrap_or_default(),
            discussion: self.in_reply_to_id.unwrap_or(self.id).to_string(),
        })
    }
}

impl From<Comment> for occasion::Comment {
    fn from(comment: Comment) -> Self {
        Self {
            id: comment.id,
            body: comment.body.unwrap_or_default(),
            author: account(comment.user),
            updated: moment(comment.updated_at.as_deref()),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Pull {
    pub(crate) number: u64,
    #[serde(default)]
    title: String,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    draft: bool,
    /// Nothing while that is not known.
    #[serde(default)]
    mergeable: Option<bool>,
    #[serde(default)]
    merged: Option<bool>,
    #[serde(default)]
    merged_at: Option<String>,
    /// Before it is merged: a commit that GitHub has made to try it.
    #[serde(default)]
    merge_commit_sha: Option<String>,
    #[serde(default)]
    labels: Option<Vec<Label>>,
    #[serde(default)]
    requested_reviewers: Option<Vec<User>>,
    head: End,
    base: End,
    #[serde(default)]
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    sha: String,
    repo: Option<Numbered>,
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

impl Pull {
    pub(crate) fn labels(&mut self) -> Vec<String> {
        names(self.labels.take().unwrap_or_default())
    }

    pub(crate) fn reviewers(&mut self) -> Vec<occasion::Account> {
        accounts(self.requested_reviewers.take().unwrap_or_default())
    }
}

impl From<Pull> for occasion::Pull {
    fn from(pull: Pull) -> Self {
        let merged = pull.merged.unwrap_or(pull.merged_at.is_some());
        Self {
            number: pull.number,
            title: pull.title,
            body: pull.body.unwrap_or_default(),
            author: account(pull.user),
            branch: pull.head.reference,
            commit: pull.head.sha,
            head_repository: pull.head.repo.map(|repository| repository.id),
            base: pull.base.reference,
            draft: pull.draft,
            // Gitea calls no draft mergeable.
            conflicts: pull.mergeable == Some(false) && !pull.draft && !merged && pull.state != "closed",
            state: match (merged, pull.state.as_str()) {
                (true, _) => occasion::PullState::Merged,
                (false, "closed") => occasion::PullState::Closed,
                (false, _) => occasion::PullState::Open,
            },
            merged_as: pull.merge_commit_sha.filter(|_| merged),
            updated: moment(pull.updated_at.as_deref()),
        }
    }
}

/// A branch that was pushed to.
#[derive(Deserialize)]
pub(crate) struct Push {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
}

impl From<Push> for occasion::What {
    fn from(push: Push) -> Self {
        let commit = |id: String| (!id.is_empty() && id.bytes().any(|digit| digit != b'0')).then_some(id);
        match push.reference.strip_prefix("refs/heads/") {
            Some(name) => {
                Self::Branch { name: name.to_owned(), before: commit(push.before), after: commit(push.after) }
            }
            None => Self::Other,
        }
    }
}

/// A time as forges write it: RFC 3339, or GitLab's `2026-11-22 09:36:07 UTC`.
pub(crate) fn moment(text: Option<&str>) -> Option<Timestamp> {
    let text = text?;
    let written = match text.strip_suffix(" UTC") {
        Some(plain) => format!("{plain}Z").parse::<jiff::Timestamp>(),
        None => text.parse(),
    };
    let millis = written.ok()?.as_millisecond();
    u64::try_from(millis).ok().map(Timestamp)
}
