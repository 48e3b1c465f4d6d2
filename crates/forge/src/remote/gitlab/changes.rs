//! What has changed, asked for (<https://docs.gitlab.com/api/resource_label_events/>, <https://docs.gitlab.com/api/resource_state_events/>,
//! <https://docs.gitlab.com/api/notes/>, <https://docs.gitlab.com/api/pipelines/>).

use async_trait::async_trait;
use cofferdam_domain::{Subject, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    GitLab, PER_PAGE,
    checks::PIPELINE,
    name, place,
    shapes::{self, Note, Pipeline, Project, User, account},
};
use crate::{
    hook::{Account, Check, CheckEnd, Issue, IssueChange, Pull, Repository, Review, shapes::moment},
    remote::{
        At, Talk as _, TalkError,
        news::{Changed, Changes, Done, MOST_CHANGED, MOST_OF_ONE, Written, nobody},
        wire::{Ask, there},
    },
};

/// The level of a Developer: who may push (<https://docs.gitlab.com/api/access_requests/#valid-access-levels>).
const DEVELOPER: u64 = 30;

#[derive(Deserialize)]
struct LabelEvent {
    id: u64,
    user: Option<User>,
    created_at: Option<String>,
    action: String,
    label: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct StateEvent {
    id: u64,
    user: Option<User>,
    created_at: Option<String>,
    state: String,
}

impl LabelEvent {
    fn done(self) -> Option<Done> {
        let added = self.action == "add";
        let (at, label) = (moment(self.created_at.as_deref())?, self.label.filter(|_| added)?.name);
        Some(Done { id: self.id, at, by: account(self.user), change: IssueChange::Labelled(vec![label]) })
    }
}

impl StateEvent {
    fn done(self) -> Option<Done> {
        let at = moment(self.created_at.as_deref()).filter(|_| self.state == "closed")?;
        Some(Done { id: self.id, at, by: account(self.user), change: IssueChange::Closed })
    }
}

/// GitLab writes down in its own words whom something was assigned to: `assigned to @ann and @bob`.
fn assigned(note: &Note, me: &Account) -> Option<Done> {
    let named = |word: &str| word.trim_matches(',').strip_prefix('@') == Some(&me.login);
    let is_it = note.system && note.body.starts_with("assigned to ") && note.body.split(' ').any(named);
    let at = note.created().filter(|_| is_it)?;
    Some(Done { id: note.id, at, by: note.by(), change: IssueChange::Assigned(vec![me.clone()]) })
}

impl GitLab {
    pub(super) async fn known_repositories(&self, most: usize) -> Result<Vec<Repository>, TalkError> {
        let asked = self.wire.get("the account's projects", &["projects"]);
        let asked = asked.query("membership", true).query("min_access_level", DEVELOPER);
        let found: Vec<Project> = asked.query("per_page", PER_PAGE).pages(most).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    async fn all_of<T: DeserializeOwned>(&self, asked: Ask<'_>) -> Result<Vec<T>, TalkError> {
        Ok(there(asked.query("per_page", PER_PAGE).pages(MOST_OF_ONE).await)?.unwrap_or_default())
    }

    fn since(&self, at: &At, kind: &str, since: Timestamp) -> Ask<'_> {
        let asked = self.get("what has changed", at, &[kind]).query("state", "all");
        let asked = asked.query("updated_after", since.utc()).query("order_by", "updated_at");
        asked.query("sort", "asc").query("per_page", PER_PAGE)
    }
}

#[async_trait]
impl Changes for GitLab {
    async fn by_number(&self, at: &At) -> Result<Repository, TalkError> {
        let what = format!("project {} (number {})", at.path, at.id);
        self.get(what, at, &[]).read::<Project>().await.map(Into::into)
    }

    async fn changed(&self, at: &At, since: Timestamp) -> Result<Vec<Changed>, TalkError> {
        let issues: Vec<shapes::Issue> = self.since(at, "issues", since).pages(MOST_CHANGED).await?;
        let requests: Vec<shapes::MergeRequest> =
            self.since(at, "merge_requests", since).pages(MOST_CHANGED).await?;
        let issues = issues.into_iter().map(|issue| {
            let issue = Issue::from(issue);
            let updated = issue.updated.unwrap_or(since);
            Changed { subject: Subject::Issue(issue.number), issue: Some(issue), updated }
        });
        let requests = requests.into_iter().map(|request| {
            let pull = Pull::from(request);
            Changed {
                subject: Subject::Pull(pull.number),
                issue: None,
                updated: pull.updated.unwrap_or(since),
            }
        });
        let mut all: Vec<Changed> = issues.chain(requests).collect();
        all.sort_by_key(|changed| changed.updated);
        all.truncate(MOST_CHANGED);
        Ok(all)
    }

    async fn below(
        &self,
        at: &At,
        subject: Subject,
        _since: Timestamp,
    ) -> Result<(Vec<Done>, Vec<Written>), TalkError> {
        let (me, (kind, number)) = (self.me().await?, place(subject));
        let ask =
            |list: &str| self.get(format!("the {list} of {}", name(subject)), at, &[kind, &number, list]);
        let notes: Vec<Note> =
            self.all_of(ask("notes").query("sort", "asc").query("order_by", "updated_at")).await?;
        let mut done: Vec<Done> = notes.iter().filter_map(|note| assigned(note, &me)).collect();
        if matches!(subject, Subject::Issue(_)) {
            let labels: Vec<LabelEvent> = self.all_of(ask("resource_label_events")).await?;
            let states: Vec<StateEvent> = self.all_of(ask("resource_state_events")).await?;
            done.extend(labels.into_iter().filter_map(LabelEvent::done));
            done.extend(states.into_iter().filter_map(StateEvent::done));
        }
        let written = notes.into_iter().filter(|note| !note.system && !note.is_on_a_line());
        let written = written.filter_map(|note| Some(Written { at: note.created()?, comment: note.into() }));
        Ok((done, written.collect()))
    }

    async fn reviews(&self, _: &At, _: u64) -> Result<Vec<(Timestamp, Account, Review)>, TalkError> {
        // What a review says are notes.
        Ok(Vec::new())
    }

    async fn failed(&self, at: &At, commit: &str) -> Result<Vec<(Account, Check)>, TalkError> {
        let asked = self.get(format!("pipelines of {commit}"), at, &["pipelines"]).query("sha", commit);
        let asked = asked.query("order_by", "id").query("sort", "desc").query("per_page", 1);
        let latest: Vec<Pipeline> = there(asked.pages(1).await)?.unwrap_or_default();
        let Some(pipeline) = latest.into_iter().find(|one| one.status.as_deref() == Some("failed")) else {
            return Ok(Vec::new());
        };
        let check = |name: String, id: u64| {
            let commit = commit.to_owned();
            (nobody(), Check { name, id, commit, branch: None, end: CheckEnd::Failed })
        };
        let mut jobs = self.failed_jobs(at, pipeline.id).await?;
        jobs.retain(|job| !job.allow_failure);
        if jobs.is_empty() {
            let name = pipeline.name.unwrap_or_else(|| PIPELINE.to_owned());
            return Ok(vec![check(name, pipeline.id)]);
        }
        Ok(jobs.into_iter().map(|job| check(job.name, job.id)).collect())
    }

    fn has_single_remarks(&self) -> bool {
        true
    }
}
