//! What the emulator lacks: reactions, commit statuses, replies to review comments, discussions of lines, logs on another host, accounts and repositories by number. As
//! the [REST] and [GraphQL] documentation have it.
//!
//! [REST]: https://docs.github.com/en/rest
//! [GraphQL]: https://docs.github.com/en/graphql/reference

use axum::{
    body::to_bytes,
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    GitHub,
    front::{Asked, Shared, in_json},
};

/// The answer, where the emulator has none.
pub(super) async fn answer(shared: &Shared, asked: &Asked) -> Option<Response> {
    let parts: Vec<&str> = asked.path.split('/').skip(1).collect();
    match (asked.method.as_str(), parts.as_slice()) {
        ("POST", ["repos", .., "reactions"]) => Some(react(shared, asked)),
        ("POST", ["repos", owner, name, "statuses", commit]) => {
            Some(set_status(shared, asked, &format!("{owner}/{name}/{commit}")))
        }
        (
            "GET",
            ["repos", owner, name, "commits", commit, "statuses"]
            | ["repos", owner, name, "statuses", commit],
        ) => {
            let known = shared.state().statuses.get(&format!("{owner}/{name}/{commit}")).cloned();
            Some(in_json(StatusCode::OK, &known.unwrap_or_default().into()))
        }
        ("POST", ["repos", owner, name, "pulls", number, "comments", comment, "replies"]) => {
            Some(reply(shared, asked, &format!("/repos/{owner}/{name}/pulls"), number, comment).await)
        }
        ("GET", ["repos", owner, name, "collaborators", login]) => {
            let all =
                shared.get(&format!("/repos/{owner}/{name}/collaborators?per_page=100"), asked.token()).await;
            let there = all.as_array().into_iter().flatten().any(|one| one["login"] == *login);
            Some(if there { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }.into_response())
        }
        ("GET", ["installation", "repositories"]) => {
            let owner = format!("/users/{}/repos?per_page=100", GitHub::OWNER.0);
            let all = shared.get(&owner, Some(GitHub::OWNER.1)).await;
            let count = all.as_array().map_or(0, Vec::len);
            Some(in_json(StatusCode::OK, &json!({ "total_count": count, "repositories": all })))
        }
        ("GET", ["user", number]) => {
            let number = number.parse::<u64>().ok()?;
            let all = shared.get("/users?per_page=100", asked.token()).await;
            let found = all.as_array().into_iter().flatten().find(|one| one["id"] == number);
            Some(found.map_or_else(missing, |found| in_json(StatusCode::OK, found)))
        }
        // The way by number, to which GitHub leads from a repository's old names.
        (_, ["repositories", number, rest @ ..]) if !rest.is_empty() => {
            let found = shared.get(&format!("/repositories/{number}"), Some(GitHub::OWNER.1)).await;
            let Some(path) = found["full_name"].as_str() else { return Some(missing()) };
            let by_name = Asked {
                method: asked.method.clone(),
                path: format!("/repos/{path}/{}", rest.join("/")),
                query: asked.query.clone(),
                headers: asked.headers.clone(),
                body: asked.body.clone(),
            };
            Some(shared.pass_on(&by_name).await)
        }
        ("PUT", ["repos", owner, name, "pulls", number, "merge"]) => {
            Some(merge(shared, asked, &format!("/repos/{owner}/{name}/pulls/{number}")).await)
        }
        ("POST", ["repos", owner, name, "pulls", number, "reviews"]) => {
            Some(review(shared, asked, &format!("/repos/{owner}/{name}/pulls/{number}")).await)
        }
        ("POST", ["graphql"]) => Some(graphql(shared, asked).await),
        ("GET", ["repos", _, _, "actions", "jobs", job, "logs"]) => {
            let place = shared.log_address(job.parse().ok()?)?;
            Some((StatusCode::FOUND, [(header::LOCATION, place)]).into_response())
        }
        _ => None,
    }
}

fn missing() -> Response {
    in_json(StatusCode::NOT_FOUND, &json!({ "message": "Not Found" }))
}

fn unacceptable() -> Response {
    in_json(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "message": "Validation Failed" }))
}

fn react(shared: &Shared, asked: &Asked) -> Response {
    let contents = ["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"];
    let content = asked.json()["content"].as_str().unwrap_or_default().to_owned();
    if !contents.contains(&content.as_str()) {
        return unacceptable();
    }
    let mut state = shared.state();
    let login = asked.token().and_then(|token| state.tokens.get(token)).cloned().unwrap_or_default();
    let said = json!({ "id": 1, "content": content, "user": { "login": login } });
    let there = state.reactions.entry(asked.path.clone()).or_default();
    if there.contains(&(login.clone(), content.clone())) {
        return in_json(StatusCode::OK, &said);
    }
    there.push((login, content));
    in_json(StatusCode::CREATED, &said)
}

fn set_status(shared: &Shared, asked: &Asked, commit: &str) -> Response {
    let mut status = asked.json();
    let state = status["state"].as_str().unwrap_or_default();
    let long = status["description"].as_str().is_some_and(|text| text.chars().count() > 140);
    if !["error", "failure", "pending", "success"].contains(&state) || long {
        return unacceptable();
    }
    status["context"] = status["context"].as_str().unwrap_or("default").into();
    shared.state().statuses.entry(commit.to_owned()).or_default().insert(0, status.clone());
    in_json(StatusCode::CREATED, &status)
}

/// The emulator knows answers to review comments by the older of the two ways to write one.
async fn reply(shared: &Shared, asked: &Asked, pulls: &str, number: &str, comment: &str) -> Response {
    let parent = shared.get(&format!("{pulls}/comments/{comment}"), asked.token()).await;
    // Only the first comment of a discussion can be answered.
    if !parent["id"].is_u64() || parent["in_reply_to_id"].is_u64() {
        return missing();
    }
    let body = json!({
        "body": asked.json()["body"],
        "in_reply_to_id": parent["id"],
        "commit_id": parent["commit_id"],
        "path": parent["path"],
        "line": parent["line"],
    });
    let older = Asked {
        method: Method::POST,
        path: format!("{pulls}/{number}/comments"),
        query: String::new(),
        headers: asked.headers.clone(),
        body: body.to_string().into(),
    };
    shared.pass_on(&older).await
}

/// The emulator knows only the commit that the pull request was opened with.
async fn merge(shared: &Shared, asked: &Asked, pull: &str) -> Response {
    let mut wanted = asked.json();
    let see = Asked {
        method: Method::GET,
        path: pull.to_owned(),
        query: String::new(),
        headers: asked.headers.clone(),
        body: Bytes::new(),
    };
    let (_, seen) = taken(shared.pass_on(&see).await).await;
    if seen["head"]["sha"] != wanted["sha"].take() {
        let told = json!({ "message": "Head branch was modified. Review and try the merge again." });
        return in_json(StatusCode::CONFLICT, &told);
    }
    let merge =
        Asked { method: Method::PUT, path: asked.path.clone(), body: wanted.to_string().into(), ..see };
    shared.pass_on(&merge).await
}

/// The emulator takes a review's comments only by their position in the diff, not by their line.
async fn review(shared: &Shared, asked: &Asked, pull: &str) -> Response {
    let mut said = asked.json();
    let comments = said["comments"].take();
    let post = |path: String, body: &Value| Asked {
        method: Method::POST,
        path,
        query: String::new(),
        headers: asked.headers.clone(),
        body: body.to_string().into(),
    };
    let (status, made) = taken(shared.pass_on(&post(format!("{pull}/reviews"), &said)).await).await;
    for comment in comments.as_array().into_iter().flatten() {
        let mut comment = comment.clone();
        comment["commit_id"] = made["commit_id"].clone();
        let (_, comment) = taken(shared.pass_on(&post(format!("{pull}/comments"), &comment)).await).await;
        if let (Some(url), Some(review)) = (comment["url"].as_str(), made["id"].as_u64()) {
            shared.state().reviews.insert(url.to_owned(), review);
        }
    }
    in_json(status, &made)
}

async fn taken(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn graphql(shared: &Shared, asked: &Asked) -> Response {
    let asks = asked.json();
    let (query, variables) = (asks["query"].as_str().unwrap_or_default(), &asks["variables"]);
    let answer = if query.contains("resolveReviewThread") {
        let thread = variables["thread"].as_str().unwrap_or_default();
        let Some(first) = thread.strip_prefix("PRRT_").and_then(|number| number.parse().ok()) else {
            let error = json!({ "type": "NOT_FOUND", "message": "Could not resolve to a node" });
            return in_json(StatusCode::OK, &json!({ "data": null, "errors": [error] }));
        };
        shared.state().resolved.insert(first);
        json!({ "resolveReviewThread": { "thread": { "id": thread, "isResolved": true } } })
    } else {
        let text = |name: &str| variables[name].as_str().unwrap_or_default().to_owned();
        let (owner, name, pull) =
            (text("owner"), text("name"), variables["pull"].as_u64().unwrap_or_default());
        let path = format!("/repos/{owner}/{name}/pulls/{pull}/comments?per_page=100");
        let comments = shared.get(&path, asked.token()).await;
        let firsts = comments.as_array().into_iter().flatten().filter(|one| one["in_reply_to_id"].is_null());
        let nodes: Vec<Value> = firsts.map(|first| thread(shared, first)).collect();
        let threads = json!({ "nodes": nodes, "pageInfo": { "hasNextPage": false, "endCursor": null } });
        json!({ "repository": { "pullRequest": { "reviewThreads": threads } } })
    };
    in_json(StatusCode::OK, &json!({ "data": answer }))
}

fn thread(shared: &Shared, first: &Value) -> Value {
    let number = first["id"].as_u64().unwrap_or_default();
    json!({
        "id": format!("PRRT_{number}"),
        "isResolved": shared.state().resolved.contains(&number),
        "comments": { "nodes": [{ "id": first["node_id"] }] },
    })
}
