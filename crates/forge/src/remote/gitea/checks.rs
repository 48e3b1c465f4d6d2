//! Statuses of commits, and the logs of Gitea Actions.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Gitea, PAGE};
use crate::remote::{At, CommitStatus, StatusState, TalkError, wire::there};

/// Workflow runs of a commit that are looked through.
const MOST_RUNS: usize = 20;

#[derive(Deserialize)]
struct Combined {
    statuses: Option<Vec<Status>>,
}

#[derive(Deserialize, PartialEq, Eq)]
struct Status {
    context: String,
    status: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    target_url: String,
}

pub(super) async fn say(
    forge: &Gitea,
    at: &At,
    commit: &str,
    status: &CommitStatus,
) -> Result<(), TalkError> {
    let wanted = Status {
        context: status.name.clone(),
        status: match status.state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failure",
        }
        .to_owned(),
        description: status.text.clone(),
        target_url: status.link.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let (place, what) = (forge.place(at).await?, format!("the status of commit {commit}"));
    let asked = forge.ask(&place, Method::GET, &what, &["commits", commit, "status"]).query("limit", PAGE);
    let said = asked.read::<Combined>().await?.statuses.unwrap_or_default();
    if said.contains(&wanted) {
        return Ok(());
    }
    let body = json!({
        "context": wanted.context,
        "state": wanted.status,
        "description": wanted.description,
        "target_url": wanted.target_url,
    });
    forge.ask(&place, Method::POST, what, &["statuses", commit]).json(&body).done().await
}

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Option<Vec<Run>>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    #[serde(default)]
    event: String,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Option<Vec<Job>>,
}

#[derive(Deserialize)]
struct Job {
    id: u64,
    name: String,
    conclusion: Option<String>,
}

/// The log of the job whose status has this name: `workflow / job (event)`. Older versions have no way to it.
pub(super) async fn log(
    forge: &Gitea,
    at: &At,
    commit: &str,
    check: &str,
    most: usize,
) -> Result<Option<String>, TalkError> {
    let (place, what) = (forge.place(at).await?, format!("the log of {check}"));
    let see = |path: &[&str]| forge.ask(&place, Method::GET, &what, path);
    let runs = see(&["actions", "runs"]).query("head_sha", commit).query("limit", MOST_RUNS);
    let Some(runs) = there(runs.read::<Runs>().await)? else { return Ok(None) };
    let mut runs = runs.workflow_runs.unwrap_or_default();
    runs.sort_by_key(|run| std::cmp::Reverse(run.id));
    for run in runs {
        let jobs = see(&["actions", "runs", &run.id.to_string(), "jobs"]).query("limit", PAGE);
        let Some(jobs) = there(jobs.read::<Jobs>().await)? else { return Ok(None) };
        let is_it = |job: &Job| {
            job.conclusion.as_deref() == Some("failure")
                && check.ends_with(&format!(" / {} ({})", job.name, run.event))
        };
        if let Some(job) = jobs.jobs.unwrap_or_default().into_iter().find(is_it) {
            return there(see(&["actions", "jobs", &job.id.to_string(), "logs"]).tail(most).await);
        }
    }
    Ok(None)
}
