//! What has changed, asked for: the timeline of each thing has what was done to it and what was written below it.

use async_trait::async_trait;
use cofferdam_domain::{Subject, Timestamp};
use reqwest::Method;
use serde::Deserialize;

use super::{Gitea, PAGE, reviews};
use crate::{
    hook::{
        self, Account, Check, CheckEnd, IssueChange, Repository, Review, ReviewEnd,
        shapes::{self as objects, User, account, moment},
    },
    remote::{
        At, TalkError,
        news::{Changed, Changes, Done, MOST_CHANGED, MOST_OF_ONE, Written},
        wire::there,
    },
};

/// The latest statuses of a commit.
const MOST_STATUSES: usize = 500;

#[derive(Deserialize)]
struct Thing {
    #[serde(flatten)]
    issue: objects::Issue,
    updated_at: Option<String>,
}

/// An entry of a timeline (`modules/structs/issue_comment.go`).
#[derive(Deserialize)]
struct Entry {
    id: u64,
    #[serde(rename = "type")]
    kind: String,
    user: Option<User>,
    /// What was written; of a label: whether it was added.
    body: Option<String>,
    label: Option<Named>,
    assignee: Option<User>,
    #[serde(default)]
    removed_assignee: bool,
    created_at: Option<String>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Entry {
    fn done(self) -> Option<Done> {
        let change = match self.kind.as_str() {
            "label" if self.body.as_deref() == Some("1") => IssueChange::Labelled(vec![self.label?.name]),
            "assignees" if !self.removed_assignee => IssueChange::Assigned(vec![self.assignee?.into()]),
            "close" => IssueChange::Closed,
            _ => return None,
        };
        let at = moment(self.created_at.as_deref())?;
        Some(Done { id: self.id, at, by: account(self.user), change })
    }

    fn written(self) -> Option<Written> {
        let (at, updated) = (moment(self.created_at.as_deref())?, moment(self.updated_at.as_deref()));
        let (body, author) = (self.body.unwrap_or_default(), account(self.user));
        Some(Written { at, comment: hook::Comment { id: self.id, body, author, updated } })
    }
}

#[derive(Deserialize)]
struct Status {
    id: u64,
    context: String,
    status: String,
    creator: Option<User>,
}

impl Gitea {
    pub(super) async fn known_repositories(&self, most: usize) -> Result<Vec<Repository>, TalkError> {
        let asked = self.wire.get("the account's repositories", &["user", "repos"]).query("limit", PAGE);
        Ok(asked.pages::<objects::Repository>(most).await?.into_iter().map(Into::into).collect())
    }
}

#[async_trait]
impl Changes for Gitea {
    async fn by_number(&self, at: &At) -> Result<Repository, TalkError> {
        let what = format!("repository {} (number {})", at.path, at.id);
        let found = self.wire.get(what, &["repositories", &at.id.to_string()]);
        Ok(found.read::<objects::Repository>().await?.into())
    }

    async fn changed(&self, at: &At, since: Timestamp) -> Result<Vec<Changed>, TalkError> {
        let asked = self.see(at, "what has changed", &["issues"]).await?;
        let asked = asked.query("state", "all").query("since", since.utc()).query("limit", PAGE);
        let all: Vec<Thing> = asked.pages(MOST_CHANGED).await?;
        let changed = |thing: Thing| {
            let updated = moment(thing.updated_at.as_deref()).unwrap_or(since);
            let is_pull = thing.issue.pull_request.is_some();
            Changed::new(thing.issue.into(), is_pull, updated)
        };
        Ok(all.into_iter().map(changed).collect())
    }

    async fn below(
        &self,
        at: &At,
        subject: Subject,
        since: Timestamp,
    ) -> Result<(Vec<Done>, Vec<Written>), TalkError> {
        let (Subject::Issue(number) | Subject::Pull(number)) = subject;
        let what = format!("what has happened to {number}");
        let asked = self.see(at, what, &["issues", &number.to_string(), "timeline"]).await?;
        let asked = asked.query("since", since.utc()).query("limit", PAGE);
        let all: Vec<Entry> = there(asked.pages(MOST_OF_ONE).await)?.unwrap_or_default();
        let (written, done): (Vec<Entry>, Vec<Entry>) =
            all.into_iter().partition(|one| one.kind == "comment");
        Ok((
            done.into_iter().filter_map(Entry::done).collect(),
            written.into_iter().filter_map(Entry::written).collect(),
        ))
    }

    async fn reviews(&self, at: &At, pull: u64) -> Result<Vec<(Timestamp, Account, Review)>, TalkError> {
        let all = reviews::list(self, at, pull).await?;
        let review = |review: super::shapes::Review| {
            let end = match review.state.as_str() {
                "APPROVED" => ReviewEnd::Approved,
                "REQUEST_CHANGES" => ReviewEnd::ChangesWanted,
                "COMMENT" => ReviewEnd::Said,
                // One that nobody has submitted yet, or that is only asked for.
                _ => return None,
            };
            let (at, by) = (review.submitted()?, account(review.user));
            // Webhooks do not tell its number either.
            Some((at, by, Review { id: 0, body: review.body, end, commit: review.commit_id }))
        };
        Ok(all.into_iter().filter_map(review).collect())
    }

    async fn failed(&self, at: &At, commit: &str) -> Result<Vec<(Account, Check)>, TalkError> {
        let place = self.place(at).await?;
        let what = format!("the statuses of commit {commit}");
        let asked = self.ask(&place, Method::GET, what, &["commits", commit, "statuses"]);
        let mut all: Vec<Status> =
            there(asked.query("limit", PAGE).pages(MOST_STATUSES).await)?.unwrap_or_default();
        // Of several of one name the last one counts.
        all.sort_by(|one, other| (&one.context, other.id).cmp(&(&other.context, one.id)));
        all.dedup_by(|later, first| later.context == first.context);
        all.retain(|status| matches!(status.status.as_str(), "failure" | "error"));
        let check = |status: Status| {
            let (name, commit) = (status.context, commit.to_owned());
            (account(status.creator), Check { name, id: 0, commit, branch: None, end: CheckEnd::Failed })
        };
        Ok(all.into_iter().map(check).collect())
    }
}
