//! GitLab's JSON objects: only what is used, and strict about that.

use cofferdam_domain::Timestamp;
use serde::Deserialize;

use crate::{
    hook::{self, Account, AccountKind, LinePlace, PullState, gitlab::kind_of, shapes::moment},
    remote::{LineComment, Right},
};

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    username: String,
    /// Only told of the credential's own account.
    #[serde(default)]
    bot: bool,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        let kind = if user.bot { AccountKind::Bot } else { kind_of(&user.username) };
        Self { id: user.id, login: user.username, kind }
    }
}

/// Whoever wrote something.
pub(super) fn account(user: Option<User>) -> Account {
    let ghost = || Account { id: 0, login: String::new(), kind: AccountKind::Bot };
    user.map_or_else(ghost, Into::into)
}

#[derive(Debug, Deserialize)]
pub(super) struct Project {
    id: u64,
    path_with_namespace: String,
    http_url_to_repo: String,
    /// None while there is no commit.
    default_branch: Option<String>,
    visibility: String,
}

impl From<Project> for hook::Repository {
    fn from(project: Project) -> Self {
        Self {
            id: project.id,
            path: project.path_with_namespace,
            clone_url: project.http_url_to_repo,
            default_branch: project.default_branch,
            private: project.visibility != "public",
            public: project.visibility == "public",
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Member {
    id: u64,
    state: String,
    access_level: u64,
}

impl Member {
    pub(super) const fn is(&self, account: u64) -> bool {
        self.id == account
    }

    /// What the level comes to (<https://docs.gitlab.com/api/access_requests/#valid-access-levels>). Whoever was blocked may nothing.
    pub(super) fn right(&self) -> Right {
        match self.access_level {
            _ if self.state != "active" => Right::None,
            0..10 => Right::None,
            // Guest, Planner
            10..20 => Right::Read,
            // Reporter
            20..30 => Right::Triage,
            // Developer
            30..40 => Right::Write,
            // Maintainer, Owner
            40.. => Right::Admin,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    iid: u64,
    title: String,
    description: Option<String>,
    author: Option<User>,
    labels: Vec<String>,
    state: String,
    updated_at: Option<String>,
    #[serde(default)]
    moved_to_id: Option<u64>,
}

impl Issue {
    pub(super) const fn was_moved(&self) -> bool {
        self.moved_to_id.is_some()
    }
}

impl From<Issue> for hook::Issue {
    fn from(issue: Issue) -> Self {
        Self {
            number: issue.iid,
            title: issue.title,
            body: issue.description.unwrap_or_default(),
            author: account(issue.author),
            labels: issue.labels,
            open: issue.state != "closed",
            updated: moment(issue.updated_at.as_deref()),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct MergeRequest {
    iid: u64,
    title: String,
    description: Option<String>,
    author: Option<User>,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    /// None while its branch is not there.
    sha: Option<String>,
    draft: bool,
    state: String,
    merge_commit_sha: Option<String>,
    squash_commit_sha: Option<String>,
    updated_at: Option<String>,
    /// Not told of those in a list by older versions.
    #[serde(default)]
    detailed_merge_status: Option<String>,
}

impl MergeRequest {
    /// While it is being merged it is `locked`.
    fn state(&self) -> PullState {
        match self.state.as_str() {
            "merged" => PullState::Merged,
            "closed" => PullState::Closed,
            _ => PullState::Open,
        }
    }

    /// Whether it is on a branch with this name of the project itself: one of a fork may be called the same.
    pub(super) fn is_of(&self, project: u64, branch: &str) -> bool {
        self.source_project_id == Some(project) && self.source_branch == branch
    }

    /// Whether GitLab does not know yet whether it can be merged
    /// (<https://docs.gitlab.com/api/merge_requests/#merge-status>).
    pub(super) fn is_being_looked_at(&self) -> bool {
        let status = self.detailed_merge_status.as_deref();
        status.is_some_and(|status| {
            matches!(status, "unchecked" | "checking" | "preparing" | "approvals_syncing")
        })
    }
}

impl From<MergeRequest> for hook::Pull {
    fn from(request: MergeRequest) -> Self {
        let state = request.state();
        // One that was merged without a commit for that stands there as it was.
        let forwarded = request.sha.clone().filter(|_| state == PullState::Merged);
        Self {
            number: request.iid,
            title: request.title,
            body: request.description.unwrap_or_default(),
            author: account(request.author),
            branch: request.source_branch,
            commit: request.sha.unwrap_or_default(),
            head_repository: request.source_project_id,
            base: request.target_branch,
            draft: request.draft,
            // https://docs.gitlab.com/api/merge_requests/#merge-status
            conflicts: request.detailed_merge_status.as_deref() == Some("conflict"),
            state,
            merged_as: request.merge_commit_sha.or(request.squash_commit_sha).or(forwarded),
            updated: moment(request.updated_at.as_deref()),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Note {
    pub(super) id: u64,
    pub(super) body: String,
    author: Option<User>,
    created_at: Option<String>,
    updated_at: Option<String>,
    /// GitLab's own words: "changed the description".
    pub(super) system: bool,
    #[serde(default)]
    pub(super) resolvable: bool,
    position: Option<Position>,
}

impl Note {
    /// Whether it is on a line.
    pub(super) const fn is_on_a_line(&self) -> bool {
        self.position.is_some()
    }

    pub(super) fn updated(&self) -> Option<Timestamp> {
        moment(self.updated_at.as_deref())
    }

    pub(super) fn created(&self) -> Option<Timestamp> {
        moment(self.created_at.as_deref())
    }

    /// Who wrote it.
    pub(super) fn by(&self) -> Account {
        let of = |author: &User| Account {
            id: author.id,
            login: author.username.clone(),
            kind: kind_of(&author.username),
        };
        self.author.as_ref().map_or_else(|| account(None), of)
    }

    pub(super) fn is_by(&self, account: &Account) -> bool {
        self.author.as_ref().is_some_and(|author| author.id == account.id)
    }
}

impl From<Note> for hook::Comment {
    fn from(note: Note) -> Self {
        Self {
            id: note.id,
            body: note.body,
            author: account(note.author),
            updated: moment(note.updated_at.as_deref()),
        }
    }
}

/// Where a note is. What is on a picture has no line.
#[derive(Debug, Deserialize)]
struct Position {
    head_sha: Option<String>,
    new_path: Option<String>,
    old_path: Option<String>,
    new_line: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Discussion {
    pub(super) id: String,
    pub(super) notes: Vec<Note>,
}

impl Discussion {
    /// What is said in it about a line.
    pub(super) fn line_comments(self) -> impl Iterator<Item = LineComment> {
        let Self { id, notes } = self;
        notes.into_iter().filter(|note| !note.system).filter_map(move |mut note| {
            let Position { head_sha, new_path, old_path, new_line } = note.position.take()?;
            let place = LinePlace {
                path: new_path.or(old_path)?,
                line: new_line,
                commit: head_sha.unwrap_or_default(),
                discussion: id.clone(),
            };
            Some(LineComment { comment: note.into(), place })
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Award {
    pub(super) name: String,
    pub(super) user: User,
}

/// What somebody said of a commit.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) description: Option<String>,
    pub(super) target_url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pipeline {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) status: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(default)]
    pub(super) allow_failure: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_right_only_for_whoever_is_active() {
        let right = |access_level, state: &str| Member { id: 1, state: state.into(), access_level }.right();
        for (level, expected) in [
            (0, Right::None),
            (5, Right::None),
            (10, Right::Read),
            (15, Right::Read),
            (20, Right::Triage),
            (30, Right::Write),
            (40, Right::Admin),
            (50, Right::Admin),
        ] {
            assert_eq!(right(level, "active"), expected, "{level}");
            assert_eq!(right(level, "blocked"), Right::None, "{level}");
        }
    }
}
