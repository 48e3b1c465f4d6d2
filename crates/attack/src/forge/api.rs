//! The requests of the API that the product makes, as Gitea documents them (<https://docs.gitea.com/api/>), and those that it must never make.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{
    AGENT, place,
    state::{Repository, State, now},
};

/// One request.
pub(super) struct Question<'a> {
    pub(super) by: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) path: &'a [&'a str],
    pub(super) body: &'a Value,
}

type Answer = (u16, Value);

fn missing() -> Answer {
    (404, json!({ "message": "The target couldn't be found." }))
}

/// What is there of it, or that nothing is.
fn found(value: Option<Value>) -> Answer {
    value.map_or_else(missing, |value| (200, value))
}

/// Answers a request.
pub(super) fn answer(state: &mut State, root: &Path, url: &str, question: &Question<'_>) -> Answer {
    let me = question.by.unwrap_or_default();
    match (question.method, question.path) {
        ("GET", ["user"]) if !me.is_empty() => (200, state.account(me)),
        ("GET", ["user", "repos"]) if !me.is_empty() => {
            let all: Vec<Value> =
                state.repositories.iter().map(|repository| repository_of(repository, url)).collect();
            (200, json!(all))
        }
        ("GET", ["repositories", id]) => {
            let id = id.parse().unwrap_or(0);
            let known = state.repositories.iter().find(|known| known.id == id && may_see(known, me));
            found(known.map(|known| repository_of(known, url)))
        }
        (_, ["repos", owner, name, rest @ ..]) => {
            let known = state.at(&format!("{owner}/{name}")).filter(|id| may_see(state.of(*id), me));
            let Some(id) = known else { return missing() };
            let writes = question.method != "GET";
            if writes && !matches!(state.of(id).right_of(me), "write" | "admin") {
                return (403, json!({ "message": "token does not have at least one of required scope(s)" }));
            }
            of_repository(state, id, root, url, &Question { path: rest, ..*question })
        }
        _ => missing(),
    }
}

fn may_see(repository: &Repository, login: &str) -> bool {
    repository.id != 0 && repository.right_of(login) != "none"
}

pub(super) fn repository_of(repository: &Repository, url: &str) -> Value {
    let Repository { id, path, private, .. } = repository;
    json!({
        "id": id, "full_name": path, "clone_url": format!("{url}/{path}.git"), "default_branch": "main", "private": private,
        "internal": false, "default_merge_style": "merge",
    })
}

fn of_repository(state: &mut State, id: u64, root: &Path, url: &str, question: &Question<'_>) -> Answer {
    let path = question.path;
    match (question.method, path) {
        ("GET", []) => (200, repository_of(state.of(id), url)),
        ("GET", ["collaborators", login]) => match state.of(id).right_of(login) {
            "none" => missing(),
            _ if *login == super::EVE => missing(),
            _ => (204, Value::Null),
        },
        ("GET", ["collaborators", login, "permission"]) => {
            let user = state.account(login);
            (200, json!({ "permission": state.of(id).right_of(login), "user": user }))
        }
        ("GET", ["issues" | "hooks" | "contents", ..]) if path.len() == 1 => (200, json!([])),
        ("GET", ["issues", _, "timeline"]) => (200, json!([])),
        ("GET", ["issues", number]) => {
            found(number_in(number).and_then(|number| issue(state.of(id), number)))
        }
        ("GET", ["issues", number, "comments"]) => {
            let said = state.of(id).comments.get(&number_in(number).unwrap_or(0)).cloned();
            (200, json!(said.unwrap_or_default()))
        }
        ("POST", ["issues", number, "comments"]) => {
            let text = question.body["body"].as_str().unwrap_or_default();
            (201, state.comment(id, number_in(number).unwrap_or(0), AGENT, text))
        }
        ("PATCH", ["issues", "comments", comment]) => rewritten(state.of(id), comment, question.body),
        ("POST", ["issues", .., "reactions"]) => (201, json!({ "content": question.body["content"] })),
        ("GET", ["branches", _]) => (200, json!({ "protected": false })),
        ("GET", ["contents", place @ ..]) => contents(state.of(id), root, &place.join("/")),
        ("GET", ["commits", _, "status"]) => (200, json!({ "statuses": state.of(id).statuses })),
        ("GET", ["commits", _, "statuses"]) => (200, json!([])),
        ("POST", ["statuses", _]) => {
            let mut status = question.body.clone();
            status["status"] = status["state"].clone();
            state.of(id).statuses.push(status.clone());
            (201, status)
        }
        (_, ["pulls", rest @ ..]) => of_pulls(state, id, root, &Question { path: rest, ..*question }),
        _ => missing(),
    }
}

fn number_in(segment: &str) -> Option<u64> {
    segment.parse().ok()
}

/// Pull requests are issues as well.
fn issue(repository: &Repository, number: u64) -> Option<Value> {
    let pull = || {
        let mut pull = repository.pulls.get(&number)?.clone();
        pull["pull_request"] = json!({});
        Some(pull)
    };
    repository.issues.get(&number).cloned().or_else(pull)
}

fn rewritten(repository: &mut Repository, comment: &str, body: &Value) -> Answer {
    let id = number_in(comment).unwrap_or(0);
    let mut all = repository.comments.values_mut().flatten();
    match all.find(|known| known["id"] == id) {
        Some(known) => {
            known["body"] = body["body"].clone();
            known["updated_at"] = now().into();
            (200, known.clone())
        }
        None => missing(),
    }
}

/// A folder's files, or one file, of the default branch.
fn contents(repository: &Repository, root: &Path, path: &str) -> Answer {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let kept = crate::world::Repository::at(place(root, repository.id));
    if let Ok(text) = kept.git(&["cat-file", "blob", &format!("main:{path}")]) {
        return (200, json!({ "content": STANDARD.encode(text) }));
    }
    match kept.git(&["ls-tree", "--name-only", &format!("main:{path}")]) {
        Ok(names) => {
            let entry = |name: &str| json!({ "name": name, "type": "file", "size": 1 });
            (200, names.lines().map(entry).collect())
        }
        Err(_) => missing(),
    }
}

/// What a branch points at. Branches that are pushed are files of their own until somebody packs them, which nobody does here.
fn tip(root: &Path, repository: u64, branch: &str) -> Option<String> {
    let below = place(root, repository);
    if let Ok(commit) = fs::read_to_string(below.join("refs/heads").join(branch)) {
        return Some(commit.trim().to_owned());
    }
    let packed = fs::read_to_string(below.join("packed-refs")).ok()?;
    let name = format!("refs/heads/{branch}");
    packed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(_, of)| *of == name)
        .map(|(id, _)| id.to_owned())
}

/// A pull request with its branch as it is now.
pub(super) fn pull_now(repository: &mut Repository, root: &Path, number: u64) -> Option<Value> {
    let id = repository.id;
    let pull = repository.pulls.get_mut(&number)?;
    let branch = pull["head"]["ref"].as_str().unwrap_or_default().to_owned();
    if let Some(commit) = tip(root, id, &branch) {
        pull["head"]["sha"] = commit.into();
    }
    Some(pull.clone())
}

fn of_pulls(state: &mut State, id: u64, root: &Path, question: &Question<'_>) -> Answer {
    match (question.method, question.path) {
        ("GET", []) => {
            let numbers: Vec<u64> = state.of(id).pulls.keys().rev().copied().collect();
            let all = numbers.into_iter().filter_map(|number| pull_now(state.of(id), root, number));
            (200, all.collect())
        }
        ("POST", []) => open(state, id, root, question.body),
        ("GET", [number]) => found(pull_now(state.of(id), root, number_in(number).unwrap_or(0))),
        ("PATCH", [number]) => {
            let number = number_in(number).unwrap_or(0);
            let Some(pull) = state.of(id).pulls.get_mut(&number) else { return missing() };
            for (key, value) in question.body.as_object().into_iter().flatten() {
                match key.as_str() {
                    "base" => pull["base"]["ref"] = value.clone(),
                    key => pull[key] = value.clone(),
                }
            }
            found(pull_now(state.of(id), root, number))
        }
        ("POST", [number, "merge"]) => match state.of(id).pulls.get_mut(&number_in(number).unwrap_or(0)) {
            Some(pull) => {
                pull["merged"] = true.into();
                pull["state"] = "closed".into();
                (200, Value::Null)
            }
            None => missing(),
        },
        ("GET", [number, "reviews"]) => {
            let all = state.of(id).reviews.get(&number_in(number).unwrap_or(0)).cloned();
            (200, json!(all.unwrap_or_default()))
        }
        ("GET", [_, "reviews", _, "comments"]) => (200, json!([])),
        ("POST", [number, "reviews"]) => {
            let mut review = question.body.clone();
            review["id"] = state.number().into();
            review["user"] = state.account(AGENT);
            state.of(id).reviews.entry(number_in(number).unwrap_or(0)).or_default().push(review.clone());
            (200, review)
        }
        _ => missing(),
    }
}

pub(super) fn open(state: &mut State, id: u64, root: &Path, wanted: &Value) -> Answer {
    let text = |name: &str| wanted[name].as_str().unwrap_or_default().to_owned();
    let (branch, base, title) = (text("head"), text("base"), text("title"));
    let (Some(head), Some(under)) = (tip(root, id, &branch), tip(root, id, &base)) else { return missing() };
    let (number, user, now) = (state.number(), state.account(AGENT), now());
    let end = |name: &str, commit: String| json!({ "label": name, "ref": name, "sha": commit, "repo_id": id, "repo": { "id": id } });
    let pull = json!({
        "number": number, "title": title, "body": wanted["body"], "user": user, "state": "open",
        "draft": title.starts_with("WIP:"), "mergeable": true, "merged": false, "labels": [],
        "head": end(&branch, head), "base": end(&base, under), "created_at": now, "updated_at": now,
    });
    state.of(id).pulls.insert(number, pull.clone());
    (201, pull)
}
