//! Issues and merge requests (<https://docs.gitlab.com/api/issues/>, <https://docs.gitlab.com/api/merge_requests/>).

use axum::http::StatusCode;
use serde_json::json;

use super::{
    below::{self, Who},
    front::{Answer, Asked, Reply},
    request::{Given, Kind as Holds, Parameter, forbidden, missing, not_allowed, refusal},
    state::{Event, Kind, Project, User, now, number},
};

const NEW_ISSUE: [Parameter; 3] =
    [("title", Holds::Text, true), ("description", Holds::Text, false), ("labels", Holds::Text, false)];
const NEW_REQUEST: [Parameter; 6] = [
    ("source_branch", Holds::Text, true),
    ("target_branch", Holds::Text, true),
    ("title", Holds::Text, true),
    ("description", Holds::Text, false),
    ("labels", Holds::Text, false),
    ("remove_source_branch", Holds::Truth, false),
];
const CHANGES: [Parameter; 5] = [
    ("title", Holds::Text, false),
    ("description", Holds::Text, false),
    ("labels", Holds::Text, false),
    ("target_branch", Holds::Text, false),
    ("state_event", Holds::OneOf(&["close", "reopen"]), false),
];
const LISTED: [Parameter; 6] = [
    ("updated_after", Holds::Text, false),
    ("state", Holds::OneOf(&["all", "opened", "closed", "locked", "merged"]), false),
    ("source_branch", Holds::Text, false),
    ("target_branch", Holds::Text, false),
    ("order_by", Holds::OneOf(&["created_at", "title", "merged_at", "updated_at"]), false),
    ("sort", Holds::OneOf(&["asc", "desc"]), false),
];
const MERGE: [Parameter; 5] = [
    ("sha", Holds::Text, false),
    ("should_remove_source_branch", Holds::Truth, false),
    ("squash", Holds::Truth, false),
    ("merge_commit_message", Holds::Text, false),
    ("auto_merge", Holds::Truth, false),
];

/// What is asked of issues or merge requests.
pub(super) fn answer(project: &mut Project, kind: Kind, user: &User, asked: &Asked, path: &[&str]) -> Answer {
    let name = if kind == Kind::Issue { "Issue" } else { "Merge Request" };
    let [iid, rest @ ..] = path else { return all(project, kind, user, asked) };
    let Some(iid) = iid.parse().ok().filter(|iid| project.things.contains_key(&(kind, *iid))) else {
        return missing(name);
    };
    match rest {
        [] => one(project, kind, user, asked, iid),
        ["merge"] if kind == Kind::MergeRequest => merge(project, user, asked, iid),
        rest => {
            let level = project.level(user);
            match project.things.get_mut(&(kind, iid)) {
                Some(thing) => below::answer(thing, kind, Who { user, level }, asked, rest),
                None => missing(name),
            }
        }
    }
}

fn all(project: &mut Project, kind: Kind, user: &User, asked: &Asked) -> Answer {
    match (asked.method.as_str(), kind) {
        ("POST", Kind::Issue) => {
            let given = asked.parameters.only(&NEW_ISSUE)?;
            let issue =
                project.add(kind, user, given.text("title").unwrap_or_default(), given.text("description"));
            label(&mut issue.labels, &given);
            let iid = issue.iid;
            show(project, kind, iid).map(Reply::created)
        }
        ("POST", Kind::MergeRequest) => open(project, user, asked),
        ("GET", _) => {
            let given = asked.parameters.of_list(&LISTED)?;
            let wanted = |name: &str, is: &str| given.text(name).is_none_or(|wanted| wanted == is);
            let mut found: Vec<_> = project
                .things
                .iter()
                .filter(|((known, _), thing)| {
                    *known == kind
                        && (given.text("state") == Some("all") || wanted("state", thing.state))
                        && given.text("updated_after").is_none_or(|after| *thing.updated.utc() >= *after)
                        && wanted("source_branch", &thing.branches.0)
                        && wanted("target_branch", &thing.branches.1)
                })
                .map(|(_, thing)| project.shown_thing(kind, thing))
                .collect();
            if given.text("sort") != Some("asc") {
                found.reverse();
            }
            Ok(Reply::list(&given, found))
        }
        _ => not_allowed(),
    }
}

fn show(project: &Project, kind: Kind, iid: u64) -> Result<serde_json::Value, super::request::Refusal> {
    let thing = project.things.get(&(kind, iid));
    thing.map_or_else(|| missing("Page"), |thing| Ok(project.shown_thing(kind, thing)))
}

fn label(labels: &mut Vec<String>, given: &Given) {
    if let Some(names) = given.text("labels") {
        *labels =
            names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    }
}

fn open(project: &mut Project, user: &User, asked: &Asked) -> Answer {
    let given = asked.parameters.only(&NEW_REQUEST)?;
    if project.level(user) < 30 {
        return forbidden();
    }
    let branches =
        ["source_branch", "target_branch"].map(|name| given.text(name).unwrap_or_default().to_owned());
    let [source, target] = branches;
    for (name, branch) in [("source_branch", &source), ("target_branch", &target)] {
        if !project.branches.contains_key(branch) {
            return refusal(StatusCode::BAD_REQUEST, json!({ name: ["does not exist"] }));
        }
    }
    let open = |(_, thing): &(_, &super::state::Thing)| {
        thing.state == "opened" && thing.branches == (source.clone(), target.clone())
    };
    if let Some(((_, iid), _)) = project.things.iter().find(open) {
        let why = format!("Another open merge request already exists for this source branch: !{iid}");
        return refusal(StatusCode::CONFLICT, json!([why]));
    }
    let title = given.text("title").unwrap_or_default();
    let made = project.add(Kind::MergeRequest, user, title, given.text("description"));
    made.branches = (source, target);
    label(&mut made.labels, &given);
    let iid = made.iid;
    show(project, Kind::MergeRequest, iid).map(Reply::created)
}

fn one(project: &mut Project, kind: Kind, user: &User, asked: &Asked, iid: u64) -> Answer {
    match asked.method.as_str() {
        "GET" => drop(asked.parameters.only(&[])?),
        "PUT" => {
            let given = asked.parameters.only(&CHANGES)?;
            let (level, head) = (project.level(user), project.branches.clone());
            let Some(thing) = project.things.get_mut(&(kind, iid)) else { return missing("Page") };
            // Whoever wrote it, and who may push (issues: who may sort them).
            if thing.author != *user && level < (if kind == Kind::Issue { 20 } else { 30 }) {
                return forbidden();
            }
            if let Some(title) = given.text("title") {
                if title.is_empty() {
                    return refusal(StatusCode::BAD_REQUEST, json!({ "title": ["can't be blank"] }));
                }
                thing.title = title.to_owned();
            }
            if let Some(text) = given.text("description") {
                thing.description = Some(text.to_owned());
            }
            if let Some(target) = given.text("target_branch") {
                target.clone_into(&mut thing.branches.1);
            }
            let before = thing.labels.clone();
            label(&mut thing.labels, &given);
            for added in thing.labels.iter().filter(|label| !before.contains(label)) {
                thing.events.push(Event {
                    id: number(),
                    at: now(),
                    by: user.clone(),
                    label: Some(added.clone()),
                });
            }
            match (given.text("state_event"), thing.state) {
                (Some("close"), "opened") => {
                    thing.state = "closed";
                    thing.events.push(Event { id: number(), at: now(), by: user.clone(), label: None });
                    thing.last = head.get(&thing.branches.0).cloned();
                }
                (Some("reopen"), "closed") => {
                    thing.state = "opened";
                    thing.last = None;
                }
                _ => {}
            }
            thing.updated = now();
        }
        _ => return not_allowed(),
    }
    show(project, kind, iid).map(Reply::ok)
}

/// "Merge a merge request": 405 where it cannot be, 409 where its branch is elsewhere.
fn merge(project: &mut Project, user: &User, asked: &Asked, iid: u64) -> Answer {
    if asked.method != "PUT" {
        return not_allowed();
    }
    let given = asked.parameters.only(&MERGE)?;
    if project.level(user) < 40 {
        return refusal(StatusCode::UNAUTHORIZED, "401 Unauthorized");
    }
    let Some(thing) = project.things.get(&(Kind::MergeRequest, iid)) else { return missing("Merge Request") };
    if thing.state != "opened" || thing.is_draft() {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed");
    }
    let (source, target) = thing.branches.clone();
    let head = project.branches.get(&source).cloned();
    if given.text("sha").is_some_and(|sha| head.as_deref() != Some(sha)) {
        let why = format!("SHA does not match HEAD of source branch: {}", head.unwrap_or_default());
        return refusal(StatusCode::CONFLICT, why);
    }
    let merged = project.commit(&target);
    if let Some(thing) = project.things.get_mut(&(Kind::MergeRequest, iid)) {
        thing.state = "merged";
        thing.merged_as = Some(merged);
        thing.last = head;
        thing.updated = now();
    }
    show(project, Kind::MergeRequest, iid).map(Reply::ok)
}
