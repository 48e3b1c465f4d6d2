//! What has changed, asked for (<https://docs.github.com/en/rest/issues/events>, <https://docs.github.com/en/rest/pulls/reviews>,
//! <https://docs.github.com/en/rest/checks/runs>).

use async_trait::async_trait;
use cofferdam_domain::{Subject, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::{Auth, GitHub, Purpose, app::App, grant::Installation, speech::PAGE};
use crate::{
    hook::{
        Account, Check, CheckEnd, IssueChange, Repository, Review, ReviewEnd,
        shapes::{self, User, account, moment},
    },
    remote::{
        At, TalkError,
        news::{Changed, Changes, Done, MOST_CHANGED, MOST_OF_ONE, Written, nobody},
        wire::there,
    },
};

/// Installations of an app, and checks and statuses of a commit, that are looked at.
const MOST_INSTALLATIONS: usize = 100;
const MOST_CHECKS: usize = 100;

#[derive(Deserialize)]
struct Thing {
    #[serde(flatten)]
    issue: shapes::Issue,
    #[serde(rename = "updated_at")]
    changed: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(flatten)]
    comment: shapes::Comment,
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    id: u64,
    event: String,
    actor: Option<User>,
    created_at: Option<String>,
    label: Option<Named>,
    assignee: Option<User>,
    /// Who assigned it, where `actor` is who was assigned.
    assigner: Option<User>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Event {
    fn done(self) -> Option<Done> {
        let (mut by, at) = (self.actor, moment(self.created_at.as_deref())?);
        let change = match self.event.as_str() {
            "labeled" => IssueChange::Labelled(vec![self.label?.name]),
            "assigned" => {
                by = self.assigner.or(by);
                IssueChange::Assigned(vec![self.assignee?.into()])
            }
            "closed" => IssueChange::Closed,
            _ => return None,
        };
        Some(Done { id: self.id, at, by: account(by), change })
    }
}

#[derive(Deserialize)]
struct Reviewed {
    id: u64,
    user: Option<User>,
    body: Option<String>,
    #[serde(default)]
    state: String,
    commit_id: Option<String>,
    submitted_at: Option<String>,
}

#[derive(Deserialize)]
struct Runs {
    check_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    name: String,
    conclusion: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    context: String,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct Installed {
    repositories: Vec<shapes::Repository>,
}

impl GitHub {
    pub(super) async fn known_repositories(&self, most: usize) -> Result<Vec<Repository>, TalkError> {
        let found = match &self.auth {
            Auth::Token(token) => {
                let ask = self.get("repositories of the account", &["user", "repos"]).query("per_page", PAGE);
                ask.bearer(token).pages(most).await?
            }
            Auth::App(app) => self.installed(app, most).await?,
        };
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// The repositories on which the app is installed.
    async fn installed(&self, app: &App, most: usize) -> Result<Vec<shapes::Repository>, TalkError> {
        let proof = self.proof(app)?;
        let ask = self.get("installations of the app", &["app", "installations"]).query("per_page", PAGE);
        let all: Vec<Installation> = self.as_app(ask.bearer(&proof).pages(MOST_INSTALLATIONS).await)?;
        let mut found = Vec::new();
        for installation in all.into_iter().filter(Installation::is_active) {
            let wanted = json!({ "permissions": { "metadata": "read" } });
            let token = self.installation_token(&proof, installation.id(), &wanted).await?.token();
            for page in 1.. {
                let ask = self.get("repositories of the app", &["installation", "repositories"]);
                let ask = ask.query("per_page", PAGE).query("page", page).bearer(&token);
                let Installed { repositories } = ask.read().await?;
                let last = repositories.len() < PAGE;
                found.extend(repositories);
                if last || found.len() >= most {
                    break;
                }
            }
        }
        found.truncate(most);
        Ok(found)
    }
}

#[async_trait]
impl Changes for GitHub {
    async fn by_number(&self, at: &At) -> Result<Repository, TalkError> {
        let here = self.here(at, Purpose::Talk).await?;
        Ok(here.read::<shapes::Repository>(here.get("repository", &[])).await?.into())
    }

    async fn changed(&self, at: &At, since: Timestamp) -> Result<Vec<Changed>, TalkError> {
        let here = self.here(at, Purpose::Talk).await?;
        let ask = here.get("what has changed", &["issues"]).query("state", "all").query("since", since.utc());
        let ask = ask.query("sort", "updated").query("direction", "asc").query("per_page", PAGE);
        let all: Vec<Thing> = here.pages(ask, MOST_CHANGED).await?;
        let changed = |thing: Thing| {
            let updated = moment(thing.changed.as_deref()).unwrap_or(since);
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
        let here = self.here(at, Purpose::Talk).await?;
        let (Subject::Issue(number) | Subject::Pull(number)) = subject;
        let (what, number) = (format!("what has happened to {number}"), number.to_string());
        let done: Vec<Event> = match subject {
            Subject::Issue(_) => {
                let ask = here.get(&what, &["issues", &number, "events"]).query("per_page", PAGE);
                there(here.pages(ask, MOST_OF_ONE).await)?.unwrap_or_default()
            }
            Subject::Pull(_) => Vec::new(),
        };
        let ask = here.get(what, &["issues", &number, "comments"]).query("since", since.utc());
        let said: Option<Vec<Said>> = there(here.pages(ask.query("per_page", PAGE), MOST_OF_ONE).await)?;
        let written = |said: Said| {
            let at = moment(said.created_at.as_deref())?;
            Some(Written { at, comment: said.comment.into() })
        };
        Ok((
            done.into_iter().filter_map(Event::done).collect(),
            said.into_iter().flatten().filter_map(written).collect(),
        ))
    }

    async fn reviews(&self, at: &At, pull: u64) -> Result<Vec<(Timestamp, Account, Review)>, TalkError> {
        let here = self.here(at, Purpose::Talk).await?;
        let what = format!("reviews of pull request {pull}");
        let ask = here.get(what, &["pulls", &pull.to_string(), "reviews"]).query("per_page", PAGE);
        let all: Vec<Reviewed> = here.pages(ask, MOST_OF_ONE).await?;
        let review = |review: Reviewed| {
            let end = match review.state.to_ascii_lowercase().as_str() {
                "approved" => ReviewEnd::Approved,
                "changes_requested" => ReviewEnd::ChangesWanted,
                "commented" => ReviewEnd::Said,
                // Taken back, or not submitted yet.
                _ => return None,
            };
            let at = moment(review.submitted_at.as_deref())?;
            let (id, body, commit) = (review.id, review.body.unwrap_or_default(), review.commit_id);
            Some((at, account(review.user), Review { id, body, end, commit }))
        };
        Ok(all.into_iter().filter_map(review).collect())
    }

    async fn failed(&self, at: &At, commit: &str) -> Result<Vec<(Account, Check)>, TalkError> {
        let here = self.here(at, Purpose::Talk).await?;
        let check = |name: String, id: u64| {
            let commit = commit.to_owned();
            (nobody(), Check { name, id, commit, branch: None, end: CheckEnd::Failed })
        };
        let ask = here.get(format!("checks of commit {commit}"), &["commits", commit, "check-runs"]);
        let runs =
            there(here.read::<Runs>(ask.query("filter", "latest").query("per_page", MOST_CHECKS)).await)?;
        let has_failed = |run: &Run| {
            matches!(run.conclusion.as_deref(), Some("failure" | "timed_out" | "startup_failure"))
        };
        let runs = runs.map(|runs| runs.check_runs).unwrap_or_default();
        let mut failed: Vec<_> =
            runs.into_iter().filter(has_failed).map(|run| check(run.name, run.id)).collect();
        let ask = here.get(format!("statuses of commit {commit}"), &["commits", commit, "statuses"]);
        // An app that may not read them is not told of them by webhooks either.
        let statuses = match here.pages::<Status>(ask.query("per_page", PAGE), MOST_OF_ONE).await {
            Err(TalkError::Forbidden { .. } | TalkError::Missing { .. }) => Vec::new(),
            answered => answered?,
        };
        let mut seen: Vec<String> = Vec::new();
        for Status { context, state } in statuses {
            // The newest comes first, and counts.
            if seen.contains(&context) {
                continue;
            }
            if matches!(state.as_str(), "failure" | "error") {
                failed.push(check(context.clone(), 0));
            }
            seen.push(context);
        }
        Ok(failed)
    }
}
