//! A stand-in for GitLab on this machine: there is no GitLab that tests could have.
//!
//! It answers about thirty requests of the REST API (version 4) as [GitLab's documentation] says, keeps what it is told, and refuses what the documentation
//! does not have: other methods, parameters that are unknown, missing or of another type. What a test shows with it holds for GitLab as far as the
//! documentation was read rightly; an independent client (`python-gitlab`) is held against it for that reason.
//!
//! [GitLab's documentation]: https://docs.gitlab.com/api/rest/

#![expect(clippy::unwrap_used, reason = "only tests use it, and they fail by panicking")]

mod below;
mod commits;
mod front;
mod request;
mod state;
mod things;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, StatusCode},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use self::{
    front::Arrived,
    state::{Canned, Job, Kind, Pipeline, Project, State, User, digest, number},
};
use crate::Exchange;

/// A stand-in for GitLab, with one account of a project's access token. Dropping it ends it.
#[derive(Debug)]
pub struct GitLab {
    url: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl GitLab {
    /// The token of the account for a platform, which maintains each project.
    pub const TOKEN: &'static str = "glpat-of-the-platform";

    /// Starts one.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let bot =
            User { id: number(), username: format!("project_1_bot_{}", &digest("bot")[..8]), bot: true };
        locked(&state).tokens.insert(Self::TOKEN.to_owned(), bot);
        let (shared, own) = (Arc::clone(&state), url.clone());
        let answer = move |request: Request| {
            let (state, own) = (Arc::clone(&shared), own.clone());
            async move {
                let arrived = Arrived::read(request).await;
                arrived.answer(&mut locked(&state), &own)
            }
        };
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable());
        let server = tokio::spawn(async move {
            // Ends only by being aborted.
            axum::serve(listener, router).await.ok();
        });
        Self { url, state, server }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an account. Gives back its number and a token of it.
    #[must_use]
    pub fn account(&self, username: &str) -> (u64, String) {
        let user = User { id: number(), username: username.to_owned(), bot: false };
        let (id, token) = (user.id, format!("glpat-{}", digest("token")));
        locked(&self.state).tokens.insert(token.clone(), user);
        (id, token)
    }

    /// Makes a project with a commit on `main`, which the platform's account maintains. Gives back its number.
    #[must_use]
    pub fn project(&self, path: &str, private: bool) -> u64 {
        let mut state = locked(&self.state);
        let bot = state.tokens[Self::TOKEN].id;
        let mut project = Project::new(path, private);
        project.members.insert(bot, 40);
        let id = project.id;
        state.projects.push(project);
        id
    }

    /// Makes an account a member at a level (10 guest, 20 reporter, 30 developer, 40 maintainer), or none (0).
    pub fn permit(&self, project: u64, account: u64, level: u64) {
        self.with(project, |project| match level {
            0 => drop(project.members.remove(&account)),
            _ => drop(project.members.insert(account, level)),
        });
    }

    /// Puts a commit on a branch, as if it had been pushed.
    #[must_use]
    pub fn commit(&self, project: u64, branch: &str) -> String {
        self.with(project, |project| project.commit(branch))
    }

    /// Has a job of a new pipeline of a commit end, and write this.
    pub fn job(&self, project: u64, commit: &str, name: &str, failed: bool, log: Option<&str>) {
        let job = Job { id: number(), name: name.to_owned(), failed, log: log.map(ToOwned::to_owned) };
        let pipeline =
            Pipeline { id: number(), sha: commit.to_owned(), branch: "main".to_owned(), jobs: vec![job] };
        self.with(project, |project| project.pipelines.push(pipeline));
    }

    /// Gives a project a webhook, as GitLab shows it, and a file on `main`, in Base64.
    pub fn set_up(&self, project: u64, hook: Value, path: &str, base64: &str) {
        self.with(project, |project| {
            project.hooks.push(hook);
            project.files.insert(("main".to_owned(), path.to_owned()), base64.to_owned());
        });
    }

    /// Gives a project another path. What asks for the old one is led to it, until another project has that path.
    pub fn rename(&self, project: u64, path: &str) {
        let old = self.with(project, |project| std::mem::replace(&mut project.path, path.to_owned()));
        locked(&self.state).moved.insert(old, project);
    }

    /// Moves an issue to another project, as people can.
    pub fn move_issue(&self, project: u64, iid: u64) {
        self.with(project, |project| {
            let issue = project.things.get_mut(&(Kind::Issue, iid)).unwrap();
            (issue.state, issue.moved_to) = ("closed", Some(number()));
        });
    }

    /// Knows a token no more.
    pub fn revoke(&self, token: &str) {
        locked(&self.state).tokens.remove(token);
    }

    /// All requests so far.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        locked(&self.state).exchanges.clone()
    }

    /// Answers the next request whose method and path begin like this (`POST /api/v4/projects/`) with these instead.
    pub fn inject(&self, begins: &str, status: StatusCode, headers: HeaderMap, body: Value) {
        locked(&self.state).canned.push_back(Canned { begins: begins.to_owned(), status, headers, body });
    }

    fn with<T>(&self, project: u64, change: impl FnOnce(&mut Project) -> T) -> T {
        let mut state = locked(&self.state);
        change(state.projects.iter_mut().find(|known| known.id == project).unwrap())
    }
}

impl Drop for GitLab {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
