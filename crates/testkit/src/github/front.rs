//! What stands in front of the emulator: it records, misbehaves when told to, knows tokens, and passes on.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Exchange, GitHub, corrected, lacking, manifest};

/// What a request came with.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Asked {
    /// The token that it presents.
    pub(super) fn token(&self) -> Option<&str> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        value.split_once(' ').map(|(_, token)| token)
    }

    /// The time since which comments are asked for.
    pub(super) fn since(&self) -> Option<String> {
        let query = self.query.trim_start_matches('?');
        let since = query.split('&').find_map(|pair| pair.strip_prefix("since="))?;
        let since = since.replace("%3A", ":");
        // Compared as texts with the emulator's times, which have milliseconds.
        Some(if since.contains('.') { since } else { since.replace('Z', ".000Z") })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// An answer that is given once, whatever is asked.
#[derive(Debug)]
pub(super) struct Canned {
    pub(super) begins: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) struct Shared {
    upstream: String,
    own: String,
    logs: String,
    client: reqwest::Client,
    /// The app as an account.
    pub(super) bot: Value,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) canned: VecDeque<Canned>,
    /// The login behind each token.
    pub(super) tokens: HashMap<String, String>,
    /// The app's tokens in the order in which they were given.
    pub(super) given: Vec<String>,
    /// The addresses of what the app wrote.
    pub(super) by_app: HashSet<String>,
    /// The review of each comment that came with one, by the comment's address.
    pub(super) reviews: HashMap<String, u64>,
    /// The last commit of each branch that was written to, as `owner/name:branch`.
    pub(super) branches: HashMap<String, String>,
    /// The last commit that each pull request was seen with, by its address.
    pub(super) heads: HashMap<String, String>,
    pub(super) reactions: HashMap<String, Vec<(String, String)>>,
    /// The statuses of a repository's commit, newest first.
    pub(super) statuses: HashMap<String, Vec<Value>>,
    pub(super) resolved: BTreeSet<u64>,
    pub(super) logs: HashMap<u64, String>,
    pub(super) log_requests: Vec<HeaderMap>,
    /// The manifests of apps that were posted, and the codes that were not exchanged yet, with the place of each one's manifest.
    pub(super) manifests: Vec<Value>,
    pub(super) codes: HashMap<String, usize>,
    pub(super) app_key: String,
}

impl Shared {
    pub(super) async fn new(upstream: &str, own: &str, logs: String) -> Self {
        let mut state = State::default();
        for (login, token) in GitHub::accounts() {
            state.tokens.insert(token.to_owned(), login.to_owned());
        }
        let client = cofferdam_model::http_client(upstream).unwrap();
        let mut shared = Self {
            upstream: upstream.to_owned(),
            own: own.to_owned(),
            logs,
            client,
            bot: Value::Null,
            state: Mutex::new(state),
        };
        let path = format!("/users/{}", GitHub::app_login().replace('[', "%5B").replace(']', "%5D"));
        shared.bot = shared.get(&path, None).await;
        shared.bot["type"] = "Bot".into();
        shared
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the emulator has at a path, without recording it.
    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Value {
        let request = self.client.get(format!("{}{path}", self.upstream));
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap_or_default()
    }

    pub(super) async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let asked = Asked {
            method: head.method,
            // Where Enterprise Server has its API.
            path: head.uri.path().strip_prefix("/api/v3").unwrap_or(head.uri.path()).to_owned(),
            query: head.uri.query().map(|query| format!("?{query}")).unwrap_or_default(),
            headers: head.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        };
        let response = match self.without_asking(&asked) {
            Some(response) => response,
            None => self.look(&asked).await,
        };
        self.state().exchanges.push(Exchange {
            method: asked.method.to_string(),
            path: format!("{}{}", asked.path, asked.query),
            headers: asked.headers,
            body: asked.body,
            status: response.status().as_u16(),
        });
        response
    }

    /// As somebody else asks, which is not recorded.
    pub(super) async fn look(&self, asked: &Asked) -> Response {
        if let Some(response) = manifest::answer(self, asked) {
            return response;
        }
        match lacking::answer(self, asked).await {
            Some(response) => response,
            None => self.pass_on(asked).await,
        }
    }

    /// Answers that are told in advance, and those to tokens that are not known.
    fn without_asking(&self, asked: &Asked) -> Option<Response> {
        let mut state = self.state();
        let line = format!("{} {}{}", asked.method, asked.path, asked.query);
        if let Some(place) = state.canned.iter().position(|canned| line.starts_with(&canned.begins)) {
            let Canned { status, headers, body, .. } = state.canned.remove(place)?;
            return Some((status, headers, body).into_response());
        }
        // The emulator takes an unknown token for the first account's. An app's own (a JWT) it checks.
        let token = asked.token()?;
        let known = token.starts_with("eyJ") || state.tokens.contains_key(token);
        (!known).then(|| in_json(StatusCode::UNAUTHORIZED, &json!({ "message": "Bad credentials" })))
    }

    /// Asks the emulator.
    pub(super) async fn pass_on(&self, asked: &Asked) -> Response {
        // The emulator compares times as texts, and writes its own with milliseconds.
        let query: Vec<String> = asked.query.split('&').map(with_milliseconds).collect();
        let address = format!("{}{}{}", self.upstream, asked.path, query.join("&"));
        let mut request = self.client.request(asked.method.clone(), address).body(asked.body.clone());
        for name in [header::AUTHORIZATION, header::CONTENT_TYPE, header::ACCEPT] {
            if let Some(value) = asked.headers.get(&name) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.unwrap();
        let Ok(text) = std::str::from_utf8(&body) else { return (status, body).into_response() };
        let text = text.replace(&self.upstream, &self.own);
        let mut response = match serde_json::from_str(&text) {
            Ok(value) => {
                let value = self.with_pulls(asked, value).await;
                let value = corrected::corrected(self, asked, status, value);
                conditional(asked, status, &value)
            }
            Err(_) => (status, text).into_response(),
        };
        for name in ["link", "location", "x-ratelimit-remaining", "x-ratelimit-reset"] {
            if let Some(value) = headers.get(name) {
                response.headers_mut().insert(HeaderName::from_static(name), value.clone());
            }
        }
        response
    }

    /// Keeps a manifest, and gives back the code for its app.
    pub(super) fn manifest_posted(&self, manifest: Value) -> String {
        let mut state = self.state();
        state.manifests.push(manifest);
        let place = state.manifests.len() - 1;
        let code = format!("a180b1a3d263c81bc6441d7b990bae27d4c106{place:02}");
        state.codes.insert(code.clone(), place);
        code
    }

    /// The manifest of a code, once, and the app's key.
    pub(super) fn manifest_of(&self, code: &str) -> Option<(Value, String)> {
        let mut state = self.state();
        let place = state.codes.remove(code)?;
        Some((state.manifests.get(place)?.clone(), state.app_key.clone()))
    }

    /// An address of this GitHub.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.own)
    }

    /// To GitHub, and not to the emulator, pull requests are issues as well
    /// (<https://docs.github.com/en/rest/issues/issues#list-repository-issues>).
    async fn with_pulls(&self, asked: &Asked, mut issues: Value) -> Value {
        let parts: Vec<&str> = asked.path.split('/').skip(1).collect();
        let ("GET", ["repos", owner, name, "issues"], Some(list)) =
            (asked.method.as_str(), &*parts, issues.as_array_mut())
        else {
            return issues;
        };
        let path = format!("/repos/{owner}/{name}/pulls?state=all&per_page=100");
        let pulls = self.get(&path, asked.token()).await;
        for pull in pulls.as_array().into_iter().flatten() {
            let since = asked.since().unwrap_or_default();
            if pull["updated_at"].as_str().is_some_and(|updated| *updated >= *since) {
                let mut issue = pull.clone();
                issue["pull_request"] = json!({ "url": pull["url"] });
                list.push(issue);
            }
        }
        issues
    }

    /// Where the log of a check is, on another host.
    pub(super) fn log_address(&self, check: u64) -> Option<String> {
        self.state().logs.contains_key(&check).then(|| format!("{}/logs/{check}", self.logs))
    }

    /// The other host.
    pub(super) fn log(&self, request: &Request) -> Response {
        let mut state = self.state();
        state.log_requests.push(request.headers().clone());
        let check = request.uri().path().rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
        match check.and_then(|check| state.logs.get(&check)) {
            Some(text) => text.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

fn with_milliseconds(pair: &str) -> String {
    match pair.trim_start_matches('?').strip_prefix("since=").and_then(|time| time.strip_suffix('Z')) {
        Some(time) if !time.contains('.') => format!("{}.000Z", pair.trim_end_matches('Z')),
        Some(_) | None => pair.to_owned(),
    }
}

pub(super) fn in_json(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// With an entity tag, as GitHub answers, and without a body where the asker has it.
fn conditional(asked: &Asked, status: StatusCode, value: &Value) -> Response {
    if asked.method != Method::GET || status != StatusCode::OK {
        return in_json(status, value);
    }
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    let known =
        asked.headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if known {
        (StatusCode::NOT_MODIFIED, Body::empty()).into_response()
    } else {
        in_json(status, value)
    };
    response.headers_mut().insert(header::ETAG, tag.parse().unwrap());
    response
}
