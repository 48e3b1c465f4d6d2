//! What is said of commits, and what jobs have written.
//!
//! <https://docs.gitlab.com/api/commits/#set-commit-pipeline-status>, <https://docs.gitlab.com/api/pipelines/>, <https://docs.gitlab.com/api/jobs/>.

use reqwest::Method;
use serde_json::json;

use super::{
    GitLab, PER_PAGE,
    shapes::{Job, Pipeline, Status},
};
use crate::remote::{At, CommitStatus, StatusState, TalkError, wire::there};

/// Characters of a status' text: GitLab takes 255.
const LONGEST_TEXT: usize = 140;
/// Statuses of one name and commit that are read.
const MOST_STATUSES: usize = 100;
/// Pipelines of one commit in which a job is looked for, the newest first.
const MOST_PIPELINES: usize = 10;
/// Failed jobs of one pipeline that are read of.
const MOST_JOBS: usize = 4;
/// What a pipeline is called that has no name.
pub(super) const PIPELINE: &str = "pipeline";

impl GitLab {
    /// Says how it stands with a commit, unless that is said already. There is no place for annotations.
    pub(super) async fn say_status(
        &self,
        at: &At,
        commit: &str,
        status: &CommitStatus,
    ) -> Result<(), TalkError> {
        let CommitStatus { name, state, text, link, annotations: _ } = status;
        let text: String = text.chars().take(LONGEST_TEXT).collect();
        let link = link.as_ref().map(ToString::to_string);
        let state = match state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failed",
        };
        let what = format!("commit {commit}");
        let asked = self.get(&what, at, &["repository", "commits", commit, "statuses"]);
        let found: Vec<Status> =
            asked.query("name", name).query("per_page", PER_PAGE).pages(MOST_STATUSES).await?;
        // What waits already cannot be made to wait again, also with another text: "Cannot transition status".
        let said = |one: &Status| {
            let same = one.description.as_deref() == Some(&text) && one.target_url == link;
            one.name == *name && one.status == state && (same || state == "pending")
        };
        if found.iter().any(said) {
            return Ok(());
        }
        let mut document = json!({ "state": state, "name": name, "description": text });
        if let Some(link) = link {
            document["target_url"] = link.into();
        }
        self.ask(Method::POST, what, at, &["statuses", commit]).json(&document).done().await
    }

    /// The end of what a failed job has written, or the failed jobs of a pipeline.
    pub(super) async fn log_of(
        &self,
        at: &At,
        commit: &str,
        check: &str,
        most: usize,
    ) -> Result<Option<String>, TalkError> {
        let asked = self.get(format!("pipelines of {commit}"), at, &["pipelines"]);
        let asked = asked.query("sha", commit).query("order_by", "id").query("sort", "desc");
        let pipelines: Vec<Pipeline> = asked.query("per_page", MOST_PIPELINES).pages(MOST_PIPELINES).await?;
        for pipeline in pipelines {
            let whole = pipeline.name.as_deref().unwrap_or(PIPELINE) == check;
            let mut failed = self.failed_jobs(at, pipeline.id).await?;
            failed.retain(|job| if whole { !job.allow_failure } else { job.name == check });
            failed.truncate(if whole { MOST_JOBS } else { 1 });
            if !failed.is_empty() {
                return self.logs(at, &failed, most).await;
            }
        }
        Ok(None)
    }

    pub(super) async fn failed_jobs(&self, at: &At, pipeline: u64) -> Result<Vec<Job>, TalkError> {
        let id = pipeline.to_string();
        let asked = self.get(format!("pipeline {id}"), at, &["pipelines", &id, "jobs"]);
        asked.query("scope[]", "failed").query("per_page", PER_PAGE).pages(PER_PAGE as usize).await
    }

    /// The ends of what these jobs have written, each under its name where there are several.
    async fn logs(&self, at: &At, jobs: &[Job], most: usize) -> Result<Option<String>, TalkError> {
        let each = most / jobs.len().max(1);
        let mut all = Vec::new();
        for job in jobs {
            let id = job.id.to_string();
            let asked = self.get(format!("the log of job {id}"), at, &["jobs", &id, "trace"]);
            let (title, end) =
                if jobs.len() > 1 { (format!("{}:\n", job.name), "\n") } else { (String::new(), "") };
            let room = each.saturating_sub(title.len() + end.len());
            if let Some(text) = there(asked.accept("text/plain").tail(room).await)? {
                all.push(format!("{title}{text}{end}"));
            }
        }
        Ok((!all.is_empty()).then(|| all.concat()))
    }
}
