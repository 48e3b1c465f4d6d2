//! GitHub's deliveries (<https://docs.github.com/en/webhooks/webhook-events-and-payloads>).

use serde::Deserialize;

use super::{
    Check, CheckEnd, CommentChange, IssueChange, Occasion, PullChange, RepositoryChange, Review, ReviewEnd,
    Thread, What,
    shapes::{self, Comment, Issue, Label, Pull, Push, Repository, User},
};

/// What every delivery has around what happened.
#[derive(Deserialize)]
struct Around {
    #[serde(default)]
    action: String,
    repository: Option<Repository>,
    installation: Option<Installation>,
    sender: Option<User>,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

pub(super) fn read(event: &str, body: &[u8]) -> Result<Occasion, serde_json::Error> {
    let around: Around = serde_json::from_slice(body)?;
    let action = around.action.as_str();
    let what = match event {
        "issues" => issue(action, serde_json::from_slice(body)?),
        "issue_comment" => below(action, serde_json::from_slice(body)?),
        "pull_request_review_comment" => on_a_line(action, serde_json::from_slice(body)?),
        "pull_request_review" => review(action, serde_json::from_slice(body)?),
        "pull_request" => pull(action, serde_json::from_slice(body)?),
        "check_run" if action == "completed" => serde_json::from_slice::<CheckRun>(body)?.into(),
        "status" => serde_json::from_slice::<Status>(body)?.into(),
        "push" => serde_json::from_slice::<Push>(body)?.into(),
        "repository" => repository(action),
        "installation" | "installation_repositories" => What::Installation,
        _ => What::Other,
    };
    Ok(Occasion {
        repository: around.repository.map(Into::into),
        installation: around.installation.map(|installation| installation.id),
        actor: shapes::account(around.sender),
        what,
    })
}

#[derive(Deserialize)]
struct OfIssue {
    issue: Issue,
    label: Option<Label>,
    assignee: Option<User>,
}

fn issue(action: &str, of: OfIssue) -> What {
    let change = match action {
        "opened" => IssueChange::Opened,
        "edited" => IssueChange::Edited,
        "labeled" => IssueChange::Labelled(shapes::names(of.label.into_iter().collect())),
        "assigned" => IssueChange::Assigned(shapes::accounts(of.assignee.into_iter().collect())),
        "closed" => IssueChange::Closed,
        "reopened" => IssueChange::Reopened,
        "deleted" | "transferred" => IssueChange::Gone,
        _ => IssueChange::Other,
    };
    What::Issue(of.issue.into(), change)
}

fn comment_change(action: &str) -> Option<CommentChange> {
    match action {
        "created" => Some(CommentChange::Written),
        "edited" => Some(CommentChange::Edited),
        "deleted" => Some(CommentChange::Deleted),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Below {
    issue: Issue,
    comment: Comment,
}

fn below(action: &str, below: Below) -> What {
    match comment_change(action) {
        Some(change) => What::Comment(below.issue.thread(), below.comment.into(), change),
        None => What::Other,
    }
}

#[derive(Deserialize)]
struct OnALine {
    pull_request: Numbered,
    comment: Comment,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

fn on_a_line(action: &str, on: OnALine) -> What {
    let Some(change) = comment_change(action) else { return What::Other };
    let thread = Thread::Pull { number: on.pull_request.number, line: on.comment.line() };
    What::Comment(thread, on.comment.into(), change)
}

#[derive(Deserialize)]
struct OfReview {
    review: Reviewed,
    pull_request: Pull,
}

#[derive(Deserialize)]
struct Reviewed {
    id: u64,
    body: Option<String>,
    #[serde(default)]
    state: String,
    commit_id: Option<String>,
}

fn review(action: &str, of: OfReview) -> What {
    let Reviewed { id, body, state, commit_id } = of.review;
    // An edited review says nothing new about the change: its text is read again when the session looks.
    let end = match (action, state.to_ascii_lowercase().as_str()) {
        ("dismissed", _) => ReviewEnd::Dismissed,
        ("submitted", "approved") => ReviewEnd::Approved,
        ("submitted", "changes_requested") => ReviewEnd::ChangesWanted,
        ("submitted", _) => ReviewEnd::Said,
        _ => return What::Other,
    };
    let review = Review { id, body: body.unwrap_or_default(), end, commit: commit_id };
    What::Review(of.pull_request.into(), review)
}

#[derive(Deserialize)]
struct OfPull {
    pull_request: Pull,
    label: Option<Label>,
    requested_reviewer: Option<User>,
    before: Option<String>,
}

fn pull(action: &str, of: OfPull) -> What {
    let change = match action {
        "opened" => PullChange::Opened,
        "reopened" => PullChange::Reopened,
        "ready_for_review" => PullChange::Ready,
        "edited" => PullChange::Edited,
        "labeled" => PullChange::Labelled(shapes::names(of.label.into_iter().collect())),
        "review_requested" => {
            PullChange::ReviewWanted(shapes::accounts(of.requested_reviewer.into_iter().collect()))
        }
        "synchronize" => PullChange::Pushed { before: of.before },
        "closed" => PullChange::Closed,
        _ => PullChange::Other,
    };
    What::Pull(of.pull_request.into(), change)
}

#[derive(Deserialize)]
struct CheckRun {
    check_run: Run,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    #[serde(default)]
    name: String,
    head_sha: String,
    conclusion: Option<String>,
    check_suite: Option<Suite>,
}

#[derive(Deserialize)]
struct Suite {
    head_branch: Option<String>,
}

impl From<CheckRun> for What {
    fn from(of: CheckRun) -> Self {
        let run = of.check_run;
        let end = match run.conclusion.as_deref() {
            Some("success") => CheckEnd::Passed,
            Some("failure" | "timed_out" | "startup_failure") => CheckEnd::Failed,
            Some(_) | None => CheckEnd::Neutral,
        };
        let branch = run.check_suite.and_then(|suite| suite.head_branch);
        Self::Check(Check { name: run.name, id: run.id, commit: run.head_sha, branch, end })
    }
}

/// A status that an older kind of check sets on a commit; Gitea's as well.
#[derive(Deserialize)]
pub(super) struct Status {
    sha: String,
    #[serde(default)]
    context: String,
    state: String,
}

impl From<Status> for What {
    fn from(status: Status) -> Self {
        let end = match status.state.as_str() {
            "success" => CheckEnd::Passed,
            "failure" | "error" => CheckEnd::Failed,
            "pending" => return Self::Other,
            _ => CheckEnd::Neutral,
        };
        Self::Check(Check { name: status.context, id: 0, commit: status.sha, branch: None, end })
    }
}

fn repository(action: &str) -> What {
    What::Repository(match action {
        "renamed" | "transferred" => RepositoryChange::Moved,
        "deleted" => RepositoryChange::Deleted,
        "archived" => RepositoryChange::Archived,
        "privatized" | "publicized" => RepositoryChange::AudienceChanged,
        _ => return What::Other,
    })
}
