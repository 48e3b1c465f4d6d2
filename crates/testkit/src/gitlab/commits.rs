//! Webhooks, branches, files, statuses of commits, pipelines and what jobs have written (<https://docs.gitlab.com/api/commits/>,
//! <https://docs.gitlab.com/api/pipelines/>, <https://docs.gitlab.com/api/jobs/>).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    front::{Answer, Asked, Reply},
    request::{Kind as Holds, Parameter, forbidden, missing, not_allowed, refusal},
    state::{Job, Project, User, now, number},
};

const STATUS: [Parameter; 8] = [
    ("state", Holds::OneOf(&["pending", "running", "success", "failed", "canceled", "skipped"]), true),
    ("ref", Holds::Text, false),
    ("name", Holds::Text, false),
    ("context", Holds::Text, false),
    ("target_url", Holds::Text, false),
    ("description", Holds::Text, false),
    ("coverage", Holds::Number, false),
    ("pipeline_id", Holds::Number, false),
];
const STATUSES: [Parameter; 7] = [
    ("ref", Holds::Text, false),
    ("stage", Holds::Text, false),
    ("name", Holds::Text, false),
    ("all", Holds::Truth, false),
    ("pipeline_id", Holds::Number, false),
    ("order_by", Holds::OneOf(&["id", "pipeline_id"]), false),
    ("sort", Holds::OneOf(&["asc", "desc"]), false),
];
const PIPELINES: [Parameter; 6] = [
    ("sha", Holds::Text, false),
    ("ref", Holds::Text, false),
    ("name", Holds::Text, false),
    ("status", Holds::OneOf(&["running", "pending", "success", "failed", "canceled", "skipped"]), false),
    ("order_by", Holds::OneOf(&["id", "status", "ref", "updated_at", "user_id"]), false),
    ("sort", Holds::OneOf(&["asc", "desc"]), false),
];
const JOBS: [Parameter; 2] = [
    (
        "scope",
        Holds::SomeOf(&[
            "created", "pending", "running", "failed", "success", "canceled", "skipped", "manual",
        ]),
        false,
    ),
    ("include_retried", Holds::Truth, false),
];
/// Characters of a status' text and of its address.
const LONGEST: usize = 255;

/// The webhooks of a project, which its maintainers may see (<https://docs.gitlab.com/api/project_webhooks/>).
pub(super) fn hooks(project: &Project, user: &User, asked: &Asked) -> Answer {
    if asked.method != "GET" {
        return not_allowed();
    }
    let given = asked.parameters.of_list(&[])?;
    if project.level(user) < 40 { forbidden() } else { Ok(Reply::list(&given, project.hooks.clone())) }
}

pub(super) fn branch(project: &Project, asked: &Asked, branch: &str) -> Answer {
    if asked.method != "GET" {
        return not_allowed();
    }
    asked.parameters.only(&[])?;
    let Some(sha) = project.branches.get(branch) else { return missing("Branch") };
    let is_default = branch == "main";
    // New projects protect their default branch.
    Ok(Reply::ok(
        json!({ "name": branch, "protected": is_default, "default": is_default, "commit": { "id": sha } }),
    ))
}

/// A file (<https://docs.gitlab.com/api/repository_files/>): its content is in Base64.
pub(super) fn file(project: &Project, asked: &Asked, path: &str) -> Answer {
    if asked.method != "GET" {
        return not_allowed();
    }
    let given = asked.parameters.only(&[("ref", Holds::Text, true)])?;
    let found = given.text("ref").and_then(|branch| project.files.get(&(branch.to_owned(), path.to_owned())));
    let Some(content) = found else { return missing("File") };
    Ok(Reply::ok(json!({ "file_path": path, "encoding": "base64", "content": content })))
}

/// Says how it stands with a commit, as somebody who may push.
pub(super) fn set_status(project: &mut Project, user: &User, asked: &Asked, sha: &str) -> Answer {
    if asked.method != "POST" {
        return not_allowed();
    }
    let given = asked.parameters.only(&STATUS)?;
    if project.level(user) < 30 {
        return forbidden();
    }
    if !project.commits.contains(sha) {
        return missing("Commit");
    }
    let name = given.text("name").or(given.text("context")).unwrap_or("default");
    let (text, link) = (given.text("description"), given.text("target_url"));
    if [text, link].iter().flatten().any(|text| text.chars().count() > LONGEST) {
        return refusal(
            StatusCode::BAD_REQUEST,
            json!({ "description": ["is too long (maximum is 255 characters)"] }),
        );
    }
    let state = given.text("state").unwrap_or_default();
    let known = project.statuses.iter_mut().rev().find(|known| known["sha"] == sha && known["name"] == name);
    // One that waits or runs is changed; one that has ended stays, and there is another.
    if let Some(known) = known.filter(|known| known["status"] == "pending" || known["status"] == "running") {
        if known["status"] == state {
            let why = format!("Cannot transition status via :enqueue from :{state}");
            return refusal(StatusCode::BAD_REQUEST, why);
        }
        known["status"] = state.into();
        known["description"] = json!(text.or(known["description"].as_str()));
        known["target_url"] = json!(link.or(known["target_url"].as_str()));
        return Ok(Reply::created(known.clone()));
    }
    let made = json!({
        "id": number(),
        "sha": sha,
        "ref": given.text("ref").unwrap_or("main"),
        "status": state,
        "name": name,
        "description": text,
        "target_url": link,
        "author": user.shown(),
        "created_at": now().utc(),
        "allow_failure": false,
    });
    project.statuses.push(made.clone());
    Ok(Reply::created(made))
}

pub(super) fn statuses(project: &Project, asked: &Asked, sha: &str) -> Answer {
    if asked.method != "GET" {
        return not_allowed();
    }
    let given = asked.parameters.of_list(&STATUSES)?;
    if !project.commits.contains(sha) {
        return missing("Commit");
    }
    let mut found: Vec<Value> = Vec::new();
    for status in project.statuses.iter().filter(|status| status["sha"] == sha) {
        if given.text("name").is_some_and(|name| status["name"] != name) {
            continue;
        }
        // Only the newest of each name, unless all are wanted.
        if given.truth("all") != Some(true) {
            found.retain(|known| known["name"] != status["name"]);
        }
        found.push(status.clone());
    }
    Ok(Reply::list(&given, found))
}

pub(super) fn pipelines(project: &Project, asked: &Asked) -> Answer {
    if asked.method != "GET" {
        return not_allowed();
    }
    let given = asked.parameters.of_list(&PIPELINES)?;
    let mut all: Vec<Value> = project
        .pipelines
        .iter()
        .filter(|one| given.text("sha").is_none_or(|sha| one.sha == sha))
        .map(|one| {
            json!({
                "id": one.id, "iid": 1, "project_id": project.id, "sha": one.sha, "ref": one.branch,
                "status": if one.jobs.iter().any(|job| job.failed) { "failed" } else { "success" },
                "source": "push", "name": null,
            })
        })
        .collect();
    // "Default: desc", by id.
    if given.text("sort") != Some("asc") {
        all.reverse();
    }
    Ok(Reply::list(&given, all))
}

pub(super) fn jobs(project: &Project, asked: &Asked, pipeline: &str) -> Answer {
    if asked.method != "GET" {
        return not_allowed();
    }
    let given = asked.parameters.of_list(&JOBS)?;
    let Some(pipeline) = project.pipelines.iter().find(|one| one.id.to_string() == pipeline) else {
        return missing("Pipeline");
    };
    let shown = |job: &Job| {
        let status = if job.failed { "failed" } else { "success" };
        let shown = json!({
            "id": job.id, "name": job.name, "status": status, "stage": "test", "ref": pipeline.branch,
            "allow_failure": false, "commit": { "id": pipeline.sha },
        });
        given.lists("scope", status).then_some(shown)
    };
    Ok(Reply::list(&given, pipeline.jobs.iter().rev().filter_map(shown).collect()))
}

pub(super) fn trace(project: &Project, asked: &Asked, job: &str) -> Answer {
    if asked.method != "GET" {
        return not_allowed();
    }
    asked.parameters.only(&[])?;
    let mut jobs = project.pipelines.iter().flat_map(|one| &one.jobs);
    match jobs.find(|one| one.id.to_string() == job).and_then(|job| job.log.clone()) {
        Some(log) => Ok(Reply::Text(log)),
        None => missing("Job"),
    }
}
