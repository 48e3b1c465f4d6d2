//! GitHub on this machine: `emulate`, which others have made (npm), and in front of it what records every request, misbehaves when told
//! to, and stands in for the little that the emulator lacks.
//!
//! The emulator keeps the state and judges apps' tokens, installation tokens and their permissions. What it lacks is answered in front of it as GitHub's documentation
//! says (`lacking.rs`), and corrected where GitHub answers otherwise (`corrected.rs`).

#![expect(clippy::unwrap_used, reason = "only tests use it, and they fail by panicking")]

mod corrected;
mod front;
mod lacking;
mod manifest;
mod process;

use std::sync::{Arc, MutexGuard};

use axum::{
    Router,
    body::to_bytes,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, Method, StatusCode, header},
};
use bytes::Bytes;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use self::{
    front::{Asked, Canned, Shared, State},
    process::Process,
};

/// A GitHub with one owner, one account for a platform, one outsider, one app, and two repositories. Dropping it ends it.
#[derive(Debug)]
pub struct GitHub {
    url: String,
    shared: Arc<Shared>,
    servers: [JoinHandle<()>; 2],
    process: Process,
}

/// A request that arrived, and how it was answered.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The request's body.
    pub body: Bytes,
    /// The answer's status.
    pub status: u16,
}

impl GitHub {
    /// Who owns the repositories, and a token of theirs.
    pub const OWNER: (&'static str, &'static str) = ("octocat", "owner-token");
    /// An account that has no right anywhere until the owner gives it one, and a token of it.
    pub const ACCOUNT: (&'static str, &'static str) = ("coding-account", "account-token");
    /// Somebody else, and a token of theirs.
    pub const OUTSIDER: (&'static str, &'static str) = ("outsider", "outsider-token");
    /// More people, and a token of each.
    pub const PEOPLE: [(&'static str, &'static str); 6] = [
        ("ann", "token-of-ann"),
        ("bob", "token-of-bob"),
        ("cleo", "token-of-cleo"),
        ("dan", "token-of-dan"),
        ("eve", "token-of-eve"),
        ("finn", "token-of-finn"),
    ];
    /// The first repository. The other one is called `another`.
    pub const REPOSITORY: &'static str = "octocat/hello-world";
    /// The app's number.
    pub const APP: u64 = 12345;
    /// The app's name in addresses.
    pub const APP_SLUG: &'static str = "the-platform";
    /// What its webhooks are proved with, if it was made from a manifest.
    pub const HOOK_SECRET: &'static str = "e340154128314309424b7c8e90325147d99fdafa";
    /// The number of its installation, which has all repositories.
    pub const INSTALLATION: u64 = 100;

    fn accounts() -> impl Iterator<Item = (&'static str, &'static str)> {
        [Self::OWNER, Self::ACCOUNT, Self::OUTSIDER].into_iter().chain(Self::PEOPLE)
    }

    /// The login under which the app writes.
    #[must_use]
    pub fn app_login() -> String {
        format!("{}[bot]", Self::APP_SLUG)
    }

    /// Starts one; `None` where none can be had, which is said loudly.
    ///
    /// # Panics
    /// When it is there and does not work.
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    pub async fn start() -> Option<Self> {
        let process = match tokio::task::spawn_blocking(Process::start).await.unwrap() {
            Ok(process) => process,
            Err(why) => {
                eprintln!("SKIPPED: a GitHub to test against needs the npm package `emulate`: {why}");
                return None;
            }
        };
        let [front, logs] = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)));
        let (front, logs) = (front.await.unwrap(), logs.await.unwrap());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let url = address(&front);
        let shared = Arc::new(Shared::new(&process.url, &url, address(&logs)).await);
        shared.state().app_key = process.keys.0.clone();
        let serve = |listener: TcpListener, router: Router| {
            tokio::spawn(async move {
                // Ends only by being aborted.
                axum::serve(listener, router.layer(DefaultBodyLimit::disable())).await.ok();
            })
        };
        let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
        let answer = move |request: Request| {
            let shared = Arc::clone(&one);
            async move { shared.answer(request).await }
        };
        let log = move |request: Request| {
            let shared = Arc::clone(&other);
            async move { shared.log(&request) }
        };
        let servers =
            [serve(front, Router::new().fallback(answer)), serve(logs, Router::new().fallback(log))];
        Some(Self { url, shared, servers, process })
    }

    /// The address of its API.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The app's private key as PEM: in PKCS#1, as GitHub gives it, and in PKCS#8.
    #[must_use]
    pub fn app_keys(&self) -> (&str, &str) {
        (&self.process.keys.0, &self.process.keys.1)
    }

    /// Asks as somebody else than whoever is tested, which is not recorded. Gives back what is answered, which must be well.
    ///
    /// # Panics
    /// When it is not.
    pub async fn ask(&self, token: &str, method: Method, path: &str, body: &Value) -> Value {
        let (path, query) =
            path.split_once('?').map_or((path, String::new()), |(path, query)| (path, format!("?{query}")));
        let bearer = format!("Bearer {token}").parse().unwrap();
        let asked = Asked {
            method,
            path: path.to_owned(),
            query,
            headers: HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]),
            body: if body.is_null() { Bytes::new() } else { body.to_string().into() },
        };
        let response = self.shared.look(&asked).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(status.is_success(), "{} {path}: {status} {}", asked.method, String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap_or_default()
    }

    /// The manifests that were posted, oldest first.
    #[must_use]
    pub fn manifests(&self) -> Vec<Value> {
        self.state().manifests.clone()
    }

    /// Posts a manifest, as a browser does, and agrees. Gives back the code.
    #[must_use]
    pub fn agree(&self, manifest: Value) -> String {
        self.shared.manifest_posted(manifest)
    }

    /// All requests so far of whoever is tested.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.state().exchanges.clone()
    }

    /// Answers the next request whose method and path begin like this (`POST /repos/`) with these instead.
    pub fn inject(&self, begins: &str, status: StatusCode, headers: HeaderMap, body: &Value) {
        let canned = Canned { begins: begins.to_owned(), status, headers, body: body.to_string().into() };
        self.state().canned.push_back(canned);
    }

    /// Knows a token no more.
    pub fn revoke(&self, token: &str) {
        self.state().tokens.remove(token);
    }

    /// The tokens that the app was given, oldest first, as far as they are known still.
    #[must_use]
    pub fn app_tokens(&self) -> Vec<String> {
        let state = self.state();
        state.given.iter().filter(|token| state.tokens.contains_key(*token)).cloned().collect()
    }

    /// Keeps what a job has written, under the number of its check run.
    pub fn keep_log(&self, check: u64, text: &str) {
        self.state().logs.insert(check, text.to_owned());
    }

    /// The headers of the requests that the other host got, which keeps the logs.
    #[must_use]
    pub fn log_requests(&self) -> Vec<HeaderMap> {
        self.state().log_requests.clone()
    }

    /// The reactions at a path below the API, as login and content.
    #[must_use]
    pub fn reactions(&self, path: &str) -> Vec<(String, String)> {
        self.state().reactions.get(path).cloned().unwrap_or_default()
    }

    /// The comments whose discussions were marked as resolved, each its first one.
    #[must_use]
    pub fn resolved(&self) -> Vec<u64> {
        self.state().resolved.iter().copied().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}
