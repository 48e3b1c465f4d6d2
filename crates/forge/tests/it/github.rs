//! GitHub, as an emulator that others have made has it: what is said and kept there, as an app and as an account.

/// What every forge must do.
mod conformance;
/// Tokens of apps: narrow, made once, thrown away.
mod grants;
/// What GitHub does when it is asked too much, or has moved something.
mod limits;
/// Apps that are made from manifests.
mod manifest;
/// What others make of it: GitHub's published description of its API, PyJWT and PyGithub.
mod oracles;
/// Talking.
mod talking;

use std::sync::Arc;

use cofferdam_domain::{Secret, SessionId};
use cofferdam_forge::{
    hook::ForgeKind,
    remote::{At, Mark, Site, SiteCredential, Talk, open},
};
use cofferdam_testkit::GitHub;
use http::Method;
use serde_json::{Value, json};

/// As whom GitHub is asked.
#[derive(Debug, Clone, Copy)]
enum As {
    App,
    Account,
}

/// A GitHub with a repository, and whoever talks to it.
struct Scene {
    github: GitHub,
    talk: Arc<dyn Talk>,
    at: At,
}

impl Scene {
    async fn new(asked: As) -> Option<Self> {
        let github = GitHub::start().await?;
        let talk = talk(&github, asked);
        let found = owner(&github, Method::GET, &format!("/repos/{}", GitHub::REPOSITORY), Value::Null).await;
        let at = At { id: found["id"].as_u64().unwrap(), path: GitHub::REPOSITORY.to_owned() };
        Some(Self { github, talk, at })
    }

    /// What the repository's owner asks, below the repository.
    async fn owner(&self, method: Method, path: &str, body: Value) -> Value {
        owner(&self.github, method, &format!("/repos/{}{path}", self.at.path), body).await
    }

    async fn outsider(&self, method: Method, path: &str, body: Value) -> Value {
        let path = format!("/repos/{}{path}", self.at.path);
        self.github.ask(GitHub::OUTSIDER.1, method, &path, &body).await
    }

    async fn issue(&self) -> u64 {
        let body = json!({ "title": "The door squeaks", "body": "Always.", "labels": ["bug"] });
        self.owner(Method::POST, "/issues", body).await["number"].as_u64().unwrap()
    }

    /// A branch with a commit of its own. Gives back the commit.
    async fn branch(&self, branch: &str) -> String {
        let head = self.owner(Method::GET, "/git/ref/heads/main", Value::Null).await["object"]["sha"].clone();
        let body = json!({ "ref": format!("refs/heads/{branch}"), "sha": head });
        self.owner(Method::POST, "/git/refs", body).await;
        let body = json!({ "message": "Oil", "content": "b2lsCg==", "branch": branch });
        let made = self.owner(Method::PUT, "/contents/oil.txt", body).await;
        made["commit"]["sha"].as_str().unwrap().to_owned()
    }
}

async fn owner(github: &GitHub, method: Method, path: &str, body: Value) -> Value {
    github.ask(GitHub::OWNER.1, method, path, &body).await
}

fn site(github: &GitHub, credential: SiteCredential) -> Site {
    let url = github.url();
    Site::new("hub", ForgeKind::GitHub, url, Some(url), credential, true).unwrap()
}

fn talk(github: &GitHub, asked: As) -> Arc<dyn Talk> {
    let credential = match asked {
        As::App => SiteCredential::App { id: GitHub::APP.to_string(), key: Secret::new(github.app_keys().0) },
        As::Account => SiteCredential::Token(Secret::new(GitHub::ACCOUNT.1)),
    };
    open(&site(github, credential)).unwrap()
}

/// A session that was made long ago, so that whatever the emulator's clock says is later.
fn session() -> SessionId {
    "ses_01jd3v8q4me8h6w2k5x7r9t0zb".parse().unwrap()
}

fn mark(what: &str) -> Mark {
    Mark { session: session(), what: what.to_owned() }
}

fn branch_name() -> String {
    format!("cofferdam/{}", session())
}
