//! Where requests arrive: who asks, for which project, and the answer as GitLab sends one.

use axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    commits,
    request::{
        Given, Kind as Holds, Parameter, Parameters, Refusal, forbidden, missing, not_allowed, refusal,
    },
    state::{Kind, Project, State, User},
    things,
};
use crate::Exchange;

/// Where the API is.
const API: &str = "/api/v4/";

/// What somebody asks.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) parameters: Parameters,
}

/// What is answered.
pub(super) type Answer = Result<Reply, Refusal>;

/// What is answered where nothing was wrong.
#[derive(Debug)]
pub(super) enum Reply {
    One(StatusCode, Value),
    /// A part of a list: the number of the page, how many are on one, and all of it.
    List(u64, u64, Vec<Value>),
    Text(String),
    Moved(String),
}

impl Reply {
    pub(super) const fn ok(value: Value) -> Self {
        Self::One(StatusCode::OK, value)
    }

    pub(super) const fn created(value: Value) -> Self {
        Self::One(StatusCode::CREATED, value)
    }

    pub(super) fn list(given: &Given, all: Vec<Value>) -> Self {
        Self::List(given.number("page").unwrap_or(1), given.number("per_page").unwrap_or(20), all)
    }
}

/// A request as it arrived.
pub(super) struct Arrived {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Arrived {
    pub(super) async fn read(request: Request) -> Self {
        let (head, body) = request.into_parts();
        // What is cut off is no request.
        let body = to_bytes(body, 16 << 20).await.unwrap_or_default();
        Self { method: head.method, uri: head.uri.to_string(), headers: head.headers, body }
    }

    /// The answer, which is remembered with the request.
    pub(super) fn answer(self, state: &mut State, own: &str) -> Response {
        let begins = format!("{} {}", self.method, self.uri);
        let canned = state.canned.iter().position(|canned| begins.starts_with(&canned.begins));
        let response = match canned.and_then(|place| state.canned.remove(place)) {
            Some(canned) => (canned.status, canned.headers, axum::Json(canned.body)).into_response(),
            None => match self.judge(state) {
                Ok(reply) => self.shown(reply, own),
                Err(Refusal(status, why)) => (status, axum::Json(why)).into_response(),
            },
        };
        let Self { method, uri: path, headers, body } = self;
        let status = response.status().as_u16();
        state.exchanges.push(Exchange { method: method.to_string(), path, headers, body, status });
        response
    }

    fn judge(&self, state: &mut State) -> Answer {
        let (path, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        let Some(path) = path.strip_prefix(API) else { return missing("Page") };
        let path: Vec<String> = path.split('/').map(decoded).collect();
        let pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(&value.replace('+', " "))))
            .collect();
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
        let Some(user) = self.user(state) else {
            return refusal(StatusCode::UNAUTHORIZED, "401 Unauthorized");
        };
        let parameters = Parameters::read(&pairs, &self.body, is_json)?;
        let asked = Asked { method: self.method.clone(), parameters };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["user"] if asked.method != "GET" => not_allowed(),
            ["user"] => {
                let mut shown = user.shown();
                shown["bot"] = user.bot.into();
                asked.parameters.only(&[]).map(|_| Reply::ok(shown))
            }
            ["personal_access_tokens", "self"] if asked.method != "GET" => not_allowed(),
            ["personal_access_tokens", "self"] => {
                let scopes =
                    json!({ "id": user.id, "name": "platform", "revoked": false, "scopes": ["api"] });
                asked.parameters.only(&[]).map(|_| Reply::ok(scopes))
            }
            ["projects"] if asked.method != "GET" => not_allowed(),
            ["projects"] => {
                let given = asked.parameters.of_list(&PROJECTS)?;
                let least = given.number("min_access_level").unwrap_or(0);
                let mine = state.projects.iter().filter(|project| project.level(&user) >= least);
                Ok(Reply::list(&given, mine.map(Project::shown).collect()))
            }
            ["projects", name, rest @ ..] => of_project(state, &user, &asked, name, rest),
            _ => missing("Page"),
        }
    }

    /// Whose token it presents: in a header of GitLab's own, or as a bearer token.
    fn user(&self, state: &State) -> Option<User> {
        let text = |name: &str| self.headers.get(name)?.to_str().ok();
        let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        state.tokens.get(text("private-token").or(bearer)?).cloned()
    }

    fn shown(&self, reply: Reply, own: &str) -> Response {
        match reply {
            Reply::One(status, value) => (status, axum::Json(value)).into_response(),
            Reply::Text(text) => ([(header::CONTENT_TYPE, "text/plain")], text).into_response(),
            Reply::Moved(path) => {
                let place = format!("{own}{API}{path}");
                let said =
                    axum::Json(json!({ "message": "Non GET methods are not allowed for moved projects" }));
                let status = if self.method == "GET" {
                    StatusCode::MOVED_PERMANENTLY
                } else {
                    StatusCode::METHOD_NOT_ALLOWED
                };
                (status, [(header::LOCATION, place)], said).into_response()
            }
            Reply::List(page, size, all) => self.page(page, size, &all, own),
        }
    }

    /// A page of a list, with what GitLab says about it in headers.
    fn page(&self, page: u64, size: u64, all: &[Value], own: &str) -> Response {
        let total = all.len() as u64;
        let pages = total.div_ceil(size).max(1);
        let shown: Vec<&Value> = all.iter().skip(((page - 1) * size) as usize).take(size as usize).collect();
        let mut response = axum::Json(&shown).into_response();
        let mut say = |name: &'static str, value: String| {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        };
        let next = (page < pages).then_some(page + 1);
        for (name, value) in
            [("x-page", page), ("x-per-page", size), ("x-total", total), ("x-total-pages", pages)]
        {
            say(name, value.to_string());
        }
        say("x-next-page", next.map(|next| next.to_string()).unwrap_or_default());
        if let Some(next) = next {
            let (path, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
            let kept: Vec<&str> =
                query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("page=")).collect();
            say("link", format!("<{own}{path}?page={next}&{}>; rel=\"next\"", kept.join("&")));
        }
        response
    }
}

/// <https://docs.gitlab.com/api/projects/#list-all-projects>
const PROJECTS: [Parameter; 2] =
    [("membership", Holds::Truth, false), ("min_access_level", Holds::Number, false)];

fn of_project(state: &mut State, user: &User, asked: &Asked, name: &str, rest: &[&str]) -> Answer {
    let is_it = |project: &Project| project.id.to_string() == name || project.path == name;
    let place = state.projects.iter().position(is_it);
    let Some(project) = place.and_then(|place| state.projects.get_mut(place)) else {
        let moved = state.moved.get(name).map(|id| format!("projects/{id}"));
        return moved.map_or_else(|| missing("Project"), |place| Ok(Reply::Moved(place)));
    };
    // What one may not see is not there.
    if project.private && project.level(user) < 10 {
        return missing("Project");
    }
    match rest {
        [] if asked.method == "GET" => asked.parameters.only(&[]).map(|_| Reply::ok(project.shown())),
        [] => not_allowed(),
        ["members", "all", account] => member(project, &state.tokens, asked, account),
        ["issues", rest @ ..] => things::answer(project, Kind::Issue, user, asked, rest),
        ["merge_requests", rest @ ..] => things::answer(project, Kind::MergeRequest, user, asked, rest),
        ["hooks"] => commits::hooks(project, user, asked),
        ["repository", "branches", branch] => commits::branch(project, asked, branch),
        ["repository", "files", path] => commits::file(project, asked, path),
        ["repository", "commits", sha, "statuses"] => commits::statuses(project, asked, sha),
        ["statuses", sha] => commits::set_status(project, user, asked, sha),
        ["pipelines"] => commits::pipelines(project, asked),
        ["pipelines", pipeline, "jobs"] => commits::jobs(project, asked, pipeline),
        // "Public pipelines" are off: logs are for those who may push.
        ["jobs", _, "trace"] if project.level(user) < 30 => forbidden(),
        ["jobs", job, "trace"] => commits::trace(project, asked, job),
        _ => missing("Page"),
    }
}

/// A member, with those of groups above (<https://docs.gitlab.com/api/project_members/>).
fn member(
    project: &Project,
    accounts: &std::collections::BTreeMap<String, User>,
    asked: &Asked,
    account: &str,
) -> Answer {
    if asked.method != "GET" {
        return not_allowed();
    }
    asked.parameters.only(&[])?;
    let user = accounts.values().find(|user| user.id.to_string() == account);
    let Some((user, level)) = user.and_then(|user| Some((user, project.members.get(&user.id)?))) else {
        return missing("Member");
    };
    let mut shown = user.shown();
    shown["access_level"] = (*level).into();
    shown["membership_state"] = "active".into();
    Ok(Reply::ok(shown))
}

/// A text of a URL (RFC 3986, section 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits =
            after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
