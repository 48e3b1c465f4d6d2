//! Checks of commits: those of an app, with what they say about lines; statuses, where an account says it; and what others' have written
//! (<https://docs.github.com/en/rest/checks/runs>, <https://docs.github.com/en/rest/commits/statuses>,
//! <https://docs.github.com/en/rest/actions/workflow-jobs>).

use cofferdam_domain::Digest;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{here::Here, speech::PAGE};
use crate::remote::{Annotation, CommitStatus, StatusState, TalkError, wire::there};

/// Annotations that GitHub takes at once.
const MOST_AT_ONCE: usize = 50;
/// Annotations that are made: more is not read by anybody.
const MOST_ANNOTATIONS: usize = 200;
/// Characters of a status (GitHub's limit).
const LONGEST_STATUS: usize = 140;
/// Characters of an annotation. GitHub takes 64 KiB.
const LONGEST_ANNOTATION: usize = 4000;
/// The app that runs workflows: a check of it is a job with the same number.
const ACTIONS: &str = "github-actions";

#[derive(Deserialize)]
struct Runs {
    check_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    status: String,
    conclusion: Option<String>,
    external_id: Option<String>,
    output: Option<Output>,
    app: Option<OfApp>,
}

#[derive(Deserialize)]
struct Output {
    title: Option<String>,
    summary: Option<String>,
    text: Option<String>,
    #[serde(default)]
    annotations_count: usize,
}

#[derive(Deserialize)]
struct OfApp {
    id: u64,
    #[serde(default)]
    slug: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    context: String,
    #[serde(default)]
    state: String,
    description: Option<String>,
    target_url: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    path: String,
    start_line: Option<u64>,
    message: Option<String>,
}

impl Here<'_> {
    /// The latest check with this name that each app has.
    async fn runs(&self, commit: &str, name: &str) -> Result<Vec<Run>, TalkError> {
        let ask = self.get(format!("checks of commit {commit}"), &["commits", commit, "check-runs"]);
        let ask = ask.query("check_name", name).query("filter", "latest").query("per_page", PAGE);
        let mut runs = self.read::<Runs>(ask).await?.check_runs;
        runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.id));
        Ok(runs)
    }

    /// Says it as a check of the app's. Annotations are only ever added to a check, so what was said is told by its `external_id`: done again,
    /// it goes on where it was.
    pub(super) async fn run_check(
        &self,
        app: u64,
        commit: &str,
        status: &CommitStatus,
    ) -> Result<(), TalkError> {
        let annotations: Vec<Value> =
            status.annotations.iter().take(MOST_ANNOTATIONS).map(annotation).collect();
        let mut wanted = check(commit, status);
        let id = Digest::of(format!("{wanted}{annotations:?}").as_bytes()).hex();
        wanted["external_id"] = id.clone().into();
        let ours = |run: &Run| run.app.as_ref().is_some_and(|of| of.id == app);
        let known = self.runs(commit, &status.name).await?.into_iter().find(ours);
        let (run, said) = match known {
            Some(run) if run.external_id.as_deref() == Some(&id) => {
                (run.id, run.output.map_or(0, |output| output.annotations_count))
            }
            Some(run) if run.status != "completed" => {
                let first = with_annotations(&wanted, &annotations);
                self.change_check(run.id, first).await?;
                (run.id, MOST_AT_ONCE)
            }
            Some(_) | None => {
                let first = with_annotations(&wanted, &annotations);
                let ask = self.ask(Method::POST, format!("check of commit {commit}"), &["check-runs"]);
                (self.read::<Run>(ask.json(&first)).await?.id, MOST_AT_ONCE)
            }
        };
        for rest in annotations.get(said..).unwrap_or_default().chunks(MOST_AT_ONCE) {
            self.change_check(run, with_annotations(&wanted, rest)).await?;
        }
        Ok(())
    }

    async fn change_check(&self, run: u64, mut change: Value) -> Result<(), TalkError> {
        // Which commit it is of does not change.
        if let Value::Object(fields) = &mut change {
            fields.remove("head_sha");
        }
        let ask = self.ask(Method::PATCH, format!("check {run}"), &["check-runs", &run.to_string()]);
        self.done(ask.json(&change)).await
    }

    async fn statuses(&self, commit: &str) -> Result<Vec<Status>, TalkError> {
        let ask = self.get(format!("statuses of commit {commit}"), &["commits", commit, "statuses"]);
        self.pages(ask.query("per_page", PAGE), PAGE).await
    }

    /// Says it as a status, which has no place for lines.
    pub(super) async fn set_status(&self, commit: &str, status: &CommitStatus) -> Result<(), TalkError> {
        let CommitStatus { name, state, text, link, annotations: _ } = status;
        let state = match state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failure",
        };
        let text = cut(text, LONGEST_STATUS);
        let link = link.as_ref().map(url::Url::as_str);
        let last = self.statuses(commit).await?.into_iter().find(|status| status.context == *name);
        let same = |last: &Status| {
            last.state == state
                && last.description.as_deref() == Some(&text)
                && last.target_url.as_deref() == link
        };
        if last.as_ref().is_some_and(same) {
            return Ok(());
        }
        let mut body = json!({ "state": state, "context": name, "description": text });
        if let Some(link) = link {
            body["target_url"] = link.into();
        }
        let ask = self.ask(Method::POST, format!("status of commit {commit}"), &["statuses", commit]);
        self.done(ask.json(&body)).await
    }

    /// A job's log; else what a check says; else what a status says.
    pub(super) async fn check_log(
        &self,
        commit: &str,
        check: &str,
        most: usize,
    ) -> Result<Option<String>, TalkError> {
        let failed = |run: &Run| {
            matches!(
                run.conclusion.as_deref(),
                Some("failure" | "timed_out" | "startup_failure" | "action_required")
            )
        };
        let Some(run) = self.runs(commit, check).await?.into_iter().find(failed) else {
            let statuses = self.statuses(commit).await?;
            let status = statuses.into_iter().find(|status| status.context == check);
            return Ok(status.and_then(|status| status.description).filter(|text| !text.is_empty()));
        };
        if run.app.as_ref().is_some_and(|app| app.slug == ACTIONS) {
            let ask =
                self.get(format!("log of check {check}"), &["actions", "jobs", &run.id.to_string(), "logs"]);
            if let Some(log) = there(self.tail(ask, most).await)? {
                return Ok(Some(log));
            }
        }
        self.said_by(run, most).await
    }

    async fn said_by(&self, run: Run, most: usize) -> Result<Option<String>, TalkError> {
        let ask = self.get(
            format!("annotations of check {}", run.id),
            &["check-runs", &run.id.to_string(), "annotations"],
        );
        let found: Vec<Found> = self.pages(ask.query("per_page", PAGE), MOST_ANNOTATIONS).await?;
        let output = run.output.map(|output| [output.title, output.summary, output.text]);
        let words = output.into_iter().flatten().flatten().filter(|words| !words.is_empty());
        let lines = found.into_iter().map(|found| {
            let line = found.start_line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{}{line}: {}", found.path, found.message.unwrap_or_default())
        });
        let text = words.chain(lines).collect::<Vec<_>>().join("\n");
        let start = text.ceil_char_boundary(text.len().saturating_sub(most));
        Ok((!text.is_empty()).then(|| text[start..].to_owned()))
    }
}

fn check(commit: &str, status: &CommitStatus) -> Value {
    let CommitStatus { name, state, text, link, annotations: _ } = status;
    let text = cut(text, LONGEST_STATUS);
    let mut check = json!({ "name": name, "head_sha": commit, "output": { "title": text, "summary": text } });
    match state {
        StatusState::Pending => check["status"] = "in_progress".into(),
        StatusState::Success | StatusState::Failure => {
            let well = *state == StatusState::Success;
            check["status"] = "completed".into();
            check["conclusion"] = if well { "success" } else { "failure" }.into();
        }
    }
    if let Some(link) = link {
        check["details_url"] = link.as_str().into();
        check["output"]["summary"] = format!("{text}\n\n{link}").into();
    }
    check
}

/// With the first of these annotations.
fn with_annotations(check: &Value, annotations: &[Value]) -> Value {
    let mut check = check.clone();
    let first = annotations.get(..MOST_AT_ONCE).unwrap_or(annotations);
    if !first.is_empty() {
        check["output"]["annotations"] = first.into();
    }
    check
}

fn annotation(of: &Annotation) -> Value {
    let Annotation { path, line, text, failure } = of;
    json!({
        "path": path,
        "start_line": line,
        "end_line": line,
        "annotation_level": if *failure { "failure" } else { "warning" },
        "message": cut(text, LONGEST_ANNOTATION),
    })
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_github_takes_is_cut() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
