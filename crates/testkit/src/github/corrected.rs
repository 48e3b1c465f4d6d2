//! Where the emulator answers otherwise than GitHub: what an app writes is the app's, not the account's that installed it; comments can be
//! asked for that were changed since a time; a pull request has the last commit of its branch.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    GitHub,
    front::{Asked, Shared, State},
};

/// The app that runs workflows.
const ACTIONS: &str = "github-actions";

/// The answer as GitHub would give it.
pub(super) fn corrected(shared: &Shared, asked: &Asked, status: StatusCode, mut value: Value) -> Value {
    let mut state = shared.state();
    if status.is_success() {
        learn(&mut state, asked, &value);
    }
    if asked.path.ends_with("/annotations") && value["check_annotations"].is_array() {
        value = value["check_annotations"].take();
    }
    if let (true, Some(since)) = (asked.path.ends_with("/comments"), asked.since()) {
        let later = |one: &Value| one["updated_at"].as_str().is_some_and(|updated| updated >= since.as_str());
        value.as_array_mut().into_iter().for_each(|all| all.retain(later));
    }
    correct(&mut value, &mut state, &shared.bot);
    value
}

/// Notes who has written what, which token was given, and where a branch is.
fn learn(state: &mut State, asked: &Asked, value: &Value) {
    if let Some(token) = value["token"].as_str().filter(|_| asked.path.ends_with("/access_tokens")) {
        state.tokens.insert(token.to_owned(), GitHub::app_login());
        state.given.push(token.to_owned());
    }
    let by_app = asked.method == Method::POST && asked.token().is_some_and(|token| token.starts_with("ghs_"));
    if let (true, Some(url)) = (by_app, value["url"].as_str()) {
        state.by_app.insert(url.to_owned());
    }
    let written = asked.path.strip_prefix("/repos/").and_then(|path| path.split_once("/contents/"));
    if let (Some((repository, _)), Some(commit)) = (written, value["commit"]["sha"].as_str()) {
        let branch = asked.json()["branch"].as_str().unwrap_or("main").to_owned();
        state.branches.insert(format!("{repository}:{branch}"), commit.to_owned());
    }
}

fn correct(value: &mut Value, state: &mut State, bot: &Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| correct(value, state, bot)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| correct(value, state, bot));
            let url = fields.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
            let ours = state.by_app.contains(&url);
            if ours && fields.contains_key("user") {
                fields.insert("user".into(), bot.clone());
            }
            if let Some(review) = state.reviews.get(&url) {
                fields.insert("pull_request_review_id".into(), (*review).into());
            }
            if fields.contains_key("app") {
                let (id, slug) = if ours { (GitHub::APP, GitHub::APP_SLUG) } else { (15368, ACTIONS) };
                fields.insert("app".into(), json!({ "id": id, "slug": slug }));
            }
            let login = fields.get("login").and_then(Value::as_str).unwrap_or_default();
            if login.ends_with("[bot]") {
                fields.insert("type".into(), "Bot".into());
            }
            if fields.contains_key("head") && fields.contains_key("state") {
                let open = fields["state"] == "open";
                head(&mut fields["head"], url, open, state);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

/// The last commit of a pull request's branch; of a closed one, the last that it had.
fn head(head: &mut Value, url: String, open: bool, state: &mut State) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let branch = format!("{}:{}", text(&head["repo"]["full_name"]), text(&head["ref"]));
    let now = state.branches.get(&branch).filter(|_| open).cloned();
    let last = state.heads.entry(url).or_insert_with(|| text(&head["sha"]));
    if let Some(now) = now {
        *last = now;
    }
    head["sha"] = last.clone().into();
}
