//! A forge of the lab's own: what the product asks of a Gitea, over HTTP on loopback, and git's smart protocol for bare repositories.
//!
//! It is as trusting as a forge is: whoever has a token may do what the account may. Everything that is asked of it is kept with whoever asked, so
//! that a case can say what the product did there and what nobody did. Cases act on it as people do ([`Forge::issue`], [`Forge::comment`]), and
//! tell the product of that by deliveries of their own.

mod api;
mod git;
mod state;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State as Shared},
    http::{HeaderMap, Response, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Handle, task::JoinHandle};

pub(crate) use state::Asked;
use state::{Repository as Kept, State};

use crate::{
    problem::{Problem, Result},
    world::Repository,
};

/// The longest request that is taken.
const LONGEST: usize = 64 << 20;
/// The product's account there.
pub(crate) const AGENT: &str = "agent";
/// Somebody who may push to every repository of `acme`.
pub(crate) const ANN: &str = "ann";
/// Somebody who may read there.
pub(crate) const BOB: &str = "bob";
/// A stranger.
pub(crate) const EVE: &str = "eve";
/// A program that may push.
pub(crate) const BOT: &str = "robot";

/// The forge. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Forge {
    desk: Arc<Desk>,
    address: SocketAddr,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

/// What it knows and where it keeps repositories.
#[derive(Debug)]
struct Desk {
    root: PathBuf,
    token: String,
    state: Mutex<State>,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks: the one account that has a token. `Err`: somebody who makes one up.
    fn who(&self, headers: &HeaderMap) -> std::result::Result<Option<String>, ()> {
        let Some(presented) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let presented = presented.to_str().unwrap_or_default();
        let known = match presented.split_once(' ') {
            Some(("Basic", pair)) => {
                STANDARD.decode(pair).is_ok_and(|pair| pair == format!("{AGENT}:{}", self.token).as_bytes())
            }
            Some((_, token)) => token == self.token,
            None => false,
        };
        if known { Ok(Some(AGENT.to_owned())) } else { Err(()) }
    }
}

impl Forge {
    /// Opens a forge on which the product's account has this token.
    pub(crate) fn open(runtime: &Handle, token: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cofferdam-forge-").tempdir();
        let folder = folder.map_err(Problem::at("a temporary directory"))?;
        let state = State::with_accounts(&[AGENT, ANN, BOB, EVE, BOT]);
        let desk = Arc::new(Desk {
            root: folder.path().to_owned(),
            token: token.to_owned(),
            state: Mutex::new(state),
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&desk));
        let listen = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
            io::Result::Ok((address, serving))
        };
        let (address, serving) = runtime.block_on(listen).map_err(Problem::at("the forge"))?;
        Ok(Self { desk, address, serving, _folder: folder })
    }

    /// `http://127.0.0.1:4711`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes a repository in under a path such as `acme/sums`. Gives its number.
    pub(crate) fn take_in(&self, path: &str, private: bool, source: &Repository) -> Result<u64> {
        let id = self.desk.state().add(path, private);
        let place = self.place(id);
        source.git(&["clone", "--quiet", "--bare", ".", &place.display().to_string()])?;
        Ok(id)
    }

    fn place(&self, repository: u64) -> PathBuf {
        place(&self.desk.root, repository)
    }

    /// A repository as it is there now.
    pub(crate) fn repository(&self, id: u64) -> Repository {
        Repository::at(self.place(id))
    }

    /// Gives a repository another path.
    pub(crate) fn rename(&self, id: u64, path: &str) {
        self.desk.state().of(id).path = path.to_owned();
    }

    /// Makes a repository somebody's own.
    pub(crate) fn give(&self, id: u64, owner: &str) {
        self.desk.state().of(id).owner = Some(owner.to_owned());
    }

    /// A pull request by somebody, from a branch that is there to `main`. Gives its number.
    pub(crate) fn offer(&self, repository: u64, author: &str, branch: &str, title: &str) -> u64 {
        let mut state = self.desk.state();
        let wanted = json!({ "head": branch, "base": "main", "title": title, "body": "" });
        let (_, mut pull) = api::open(&mut state, repository, &self.desk.root, &wanted);
        pull["user"] = state.account(author);
        let number = pull["number"].as_u64().unwrap_or_default();
        state.of(repository).pulls.insert(number, pull);
        number
    }

    /// An issue by somebody. Gives its number.
    pub(crate) fn issue(&self, repository: u64, author: &str, title: &str, body: &str) -> u64 {
        self.desk.state().issue(repository, author, title, body)
    }

    /// What an issue or a pull request says now, changed by whoever may.
    pub(crate) fn edit(&self, repository: u64, number: u64, body: &str) {
        if let Some(issue) = self.desk.state().of(repository).issues.get_mut(&number) {
            issue["body"] = body.into();
            issue["updated_at"] = state::now().into();
        }
    }

    /// A comment by somebody below an issue or a pull request. Gives it.
    pub(crate) fn comment(&self, repository: u64, number: u64, author: &str, body: &str) -> Value {
        self.desk.state().comment(repository, number, author, body)
    }

    /// An issue, a pull request, a repository or an account as deliveries have it.
    pub(crate) fn as_issue(&self, repository: u64, number: u64) -> Value {
        let mut state = self.desk.state();
        let kept = state.of(repository);
        kept.issues.get(&number).or_else(|| kept.pulls.get(&number)).cloned().unwrap_or_default()
    }

    /// A pull request, with its branch as it is now.
    pub(crate) fn as_pull(&self, repository: u64, number: u64) -> Value {
        let mut state = self.desk.state();
        api::pull_now(state.of(repository), &self.desk.root, number).unwrap_or_default()
    }

    pub(crate) fn as_repository(&self, id: u64) -> Value {
        let url = self.url();
        let mut state = self.desk.state();
        api::repository_of(state.of(id), &url)
    }

    pub(crate) fn as_account(&self, login: &str) -> Value {
        self.desk.state().account(login)
    }

    /// All pull requests of a repository.
    pub(crate) fn pulls(&self, repository: u64) -> Vec<Value> {
        self.desk.state().of(repository).pulls.values().cloned().collect()
    }

    /// All that the product's account has written below issues and pull requests, in reviews and as statuses.
    pub(crate) fn written(&self, repository: u64) -> Vec<Value> {
        let mut state = self.desk.state();
        let Kept { comments, reviews, statuses, .. } = state.of(repository);
        let said = comments.values().chain(reviews.values()).flatten();
        said.filter(|said| said["user"]["login"] == AGENT).chain(&*statuses).cloned().collect()
    }

    /// All that has been asked of it, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.desk.state().asked.clone()
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Where a repository is kept: by its number, which stays.
fn place(root: &Path, repository: u64) -> PathBuf {
    root.join(format!("{repository}.git"))
}

async fn serve(Shared(desk): Shared<Arc<Desk>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LONGEST).await else { return said(413, &json!({})) };
    let (method, path) = (parts.method.as_str().to_owned(), parts.uri.path().to_owned());
    let who = desk.who(&parts.headers);
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let url = format!("http://{host}");
    let asked = Asked {
        by: who.clone().ok().flatten(),
        method: method.clone(),
        path: path.clone(),
        body: body.to_vec(),
    };
    desk.state().asked.push(asked);
    let Ok(who) = who else { return said(401, &json!({ "message": "invalid credentials" })) };
    match path.strip_prefix("/api/v1/") {
        Some(rest) => {
            let segments: Vec<&str> = rest.split('/').collect();
            let document = serde_json::from_slice(&body).unwrap_or_default();
            let question =
                api::Question { by: who.as_deref(), method: &method, path: &segments, body: &document };
            let (status, answer) = api::answer(&mut desk.state(), &desk.root, &url, &question);
            said(status, &answer)
        }
        None => git::serve(&desk, who.as_deref(), &parts, &body).await,
    }
}

fn said(status: u16, answer: &Value) -> Response<Body> {
    let text = if answer.is_null() { String::new() } else { answer.to_string() };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
