//! Deliveries of Gitea and Forgejo: GitHub's objects, other names for what happened
//! (<https://docs.gitea.com/usage/webhooks>; the structures are in `modules/structs/hook.go` of its source).

use serde::{Deserialize, de::IgnoredAny};

use super::{
    CommentChange, IssueChange, Occasion, PullChange, RepositoryChange, Review, ReviewEnd, Thread, What,
    github::Status,
    shapes::{self, Comment, Issue, Label, Pull, Push, Repository, User},
};

#[derive(Deserialize)]
struct Around {
    #[serde(default)]
    action: String,
    repository: Option<Repository>,
    sender: Option<User>,
    /// Reviews that only say something have the name of comments below pull requests, but no comment.
    comment: Option<IgnoredAny>,
}

pub(super) fn read(event: &str, body: &[u8]) -> Result<Occasion, serde_json::Error> {
    let around: Around = serde_json::from_slice(body)?;
    let action = around.action.as_str();
    let what = match event {
        "issues" | "issue_assign" | "issue_label" | "issue_milestone" => {
            issue(action, serde_json::from_slice(body)?)
        }
        "pull_request_comment" if around.comment.is_none() => {
            review(ReviewEnd::Said, serde_json::from_slice(body)?)
        }
        "issue_comment" | "pull_request_comment" => below(action, serde_json::from_slice(body)?),
        "pull_request_approved" | "pull_request_review_approved" => {
            review(ReviewEnd::Approved, serde_json::from_slice(body)?)
        }
        "pull_request_rejected" | "pull_request_review_rejected" => {
            review(ReviewEnd::ChangesWanted, serde_json::from_slice(body)?)
        }
        "pull_request_review_comment" => review(ReviewEnd::Said, serde_json::from_slice(body)?),
        "pull_request"
        | "pull_request_assign"
        | "pull_request_label"
        | "pull_request_milestone"
        | "pull_request_sync"
        | "pull_request_review_request" => pull(action, serde_json::from_slice(body)?),
        "status" => serde_json::from_slice::<Status>(body)?.into(),
        "push" => serde_json::from_slice::<Push>(body)?.into(),
        "repository" if action == "deleted" => What::Repository(RepositoryChange::Deleted),
        _ => What::Other,
    };
    let repository = around.repository.map(Into::into);
    Ok(Occasion { repository, installation: None, actor: shapes::account(around.sender), what })
}

#[derive(Deserialize)]
struct OfIssue {
    issue: Issue,
    #[serde(default)]
    changes: Option<Changes>,
}

#[derive(Deserialize)]
struct Changes {
    /// Newer versions tell which labels are new.
    added_labels: Option<Vec<Label>>,
}

fn added(changes: Option<Changes>) -> Option<Vec<String>> {
    changes.and_then(|changes| changes.added_labels).map(shapes::names)
}

fn issue(action: &str, mut of: OfIssue) -> What {
    let assignees = shapes::accounts(of.issue.assignees.take().unwrap_or_default());
    let issue = super::Issue::from(of.issue);
    let change = match action {
        "opened" => IssueChange::Opened,
        "edited" => IssueChange::Edited,
        "label_updated" => IssueChange::Labelled(added(of.changes).unwrap_or_else(|| issue.labels.clone())),
        "assigned" => IssueChange::Assigned(assignees),
        "closed" => IssueChange::Closed,
        "reopened" => IssueChange::Reopened,
        "deleted" => IssueChange::Gone,
        _ => IssueChange::Other,
    };
    What::Issue(issue, change)
}

#[derive(Deserialize)]
struct Below {
    issue: Issue,
    comment: Comment,
    #[serde(default)]
    is_pull: bool,
}

fn below(action: &str, below: Below) -> What {
    let change = match action {
        "created" => CommentChange::Written,
        "edited" => CommentChange::Edited,
        "deleted" => CommentChange::Deleted,
        _ => return What::Other,
    };
    let thread = match (below.is_pull, below.issue.thread()) {
        (true, Thread::Issue(issue)) => Thread::Pull { number: issue.number, line: None },
        (_, thread) => thread,
    };
    What::Comment(thread, below.comment.into(), change)
}

#[derive(Deserialize)]
struct OfPull {
    pull_request: Pull,
    requested_reviewer: Option<User>,
    #[serde(default)]
    review: Option<Reviewed>,
    #[serde(default)]
    changes: Option<Changes>,
}

#[derive(Deserialize)]
struct Reviewed {
    content: Option<String>,
}

fn review(end: ReviewEnd, of: OfPull) -> What {
    let body = of.review.and_then(|review| review.content).unwrap_or_default();
    let pull = super::Pull::from(of.pull_request);
    let review = Review { id: 0, body, end, commit: None };
    What::Review(pull, review)
}

fn pull(action: &str, mut of: OfPull) -> What {
    let change = match action {
        "opened" => PullChange::Opened,
        "reopened" => PullChange::Reopened,
        "edited" => PullChange::Edited,
        "label_updated" => {
            PullChange::Labelled(added(of.changes).unwrap_or_else(|| of.pull_request.labels()))
        }
        "review_requested" => {
            let asked = of.requested_reviewer.map(|user| vec![user.into()]);
            PullChange::ReviewWanted(asked.unwrap_or_else(|| of.pull_request.reviewers()))
        }
        "synchronized" => PullChange::Pushed { before: None },
        "closed" => PullChange::Closed,
        _ => PullChange::Other,
    };
    What::Pull(of.pull_request.into(), change)
}
