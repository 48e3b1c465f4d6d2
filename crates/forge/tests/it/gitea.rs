//! The real Gitea: what every forge must do, and what only it does.

/// What only this forge has.
mod own;

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{Secret, Subject};
use cofferdam_forge::{
    hook::{Account, AccountKind, ForgeKind},
    remote::{At, Reacted, Right, Site, SiteCredential, Talk, TalkError, open},
};
use cofferdam_testkit::{Gitea, GiteaAccount};
use serde_json::{Value, json};

use crate::talk::{self, Person, World};

/// The real Gitea, and an account of it that is this platform.
struct RealGitea {
    server: &'static Gitea,
    platform: GiteaAccount,
    owner: GiteaAccount,
    talk: Arc<dyn Talk>,
}

/// What the token of this platform may do: no more than docs/forges.md says.
const SCOPES: [&str; 3] = ["write:repository", "write:issue", "read:user"];

fn site(url: &str, token: &str) -> Site {
    let credential = SiteCredential::Token(Secret::new(token));
    Site::new("gitea", ForgeKind::Gitea, url, None, credential, true).unwrap()
}

async fn world() -> Option<RealGitea> {
    let server = Gitea::shared().await?;
    let mut platform = server.account("platform").await;
    platform.token = server.token_of(&platform.login, &SCOPES).await;
    let owner = server.account("owner").await;
    let talk = open(&site(&server.url(), &platform.token)).unwrap();
    Some(RealGitea { server, platform, owner, talk })
}

impl RealGitea {
    async fn get(&self, path: &str) -> Value {
        self.server.must(self.server.token(), "GET", path, None).await
    }

    async fn post(&self, by: &Person, path: &str, body: Value) -> Value {
        self.server.must(&by.token, "POST", path, Some(&body)).await
    }
}

fn number(subject: Subject) -> u64 {
    match subject {
        Subject::Issue(number) | Subject::Pull(number) => number,
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[async_trait]
impl World for RealGitea {
    fn talk(&self) -> &dyn Talk {
        &*self.talk
    }

    async fn repository(&self, private: bool) -> At {
        let (id, path) = self.server.repository(&self.owner, "repository", private).await;
        self.server.permit(&path, &self.platform, "admin").await;
        At { id, path }
    }

    async fn person(&self, at: &At, right: Right) -> Option<Person> {
        let account = self.server.account("person").await;
        match right {
            Right::None => {}
            Right::Read => self.server.permit(&at.path, &account, "read").await,
            Right::Write => self.server.permit(&at.path, &account, "write").await,
            Right::Admin => self.server.permit(&at.path, &account, "admin").await,
            Right::Triage => return None,
        }
        let GiteaAccount { id, login, token } = account;
        Some(Person { account: Account { id, login, kind: AccountKind::Person }, token })
    }

    async fn issue(&self, at: &At, by: &Person, title: &str, body: &str) -> u64 {
        let wanted = json!({ "title": title, "body": body });
        self.post(by, &format!("/repos/{}/issues", at.path), wanted).await["number"].as_u64().unwrap()
    }

    async fn label(&self, at: &At, by: &Person, issue: u64, label: &str) {
        let wanted = json!({ "name": label, "color": "#00aabb" });
        let made = self.post(by, &format!("/repos/{}/labels", at.path), wanted).await["id"].clone();
        let path = format!("/repos/{}/issues/{issue}/labels", at.path);
        self.post(by, &path, json!({ "labels": [made] })).await;
    }

    async fn comment(&self, at: &At, by: &Person, subject: Subject, body: &str) -> u64 {
        let path = format!("/repos/{}/issues/{}/comments", at.path, number(subject));
        self.post(by, &path, json!({ "body": body })).await["id"].as_u64().unwrap()
    }

    async fn commit(&self, at: &At, branch: &str, path: &str, text: &str) -> String {
        self.server.commit(&at.path, branch, (path, text)).await
    }

    async fn pull(&self, at: &At, by: &Person, branch: &str, title: &str) -> u64 {
        let wanted = json!({ "head": branch, "base": "main", "title": title });
        self.post(by, &format!("/repos/{}/pulls", at.path), wanted).await["number"].as_u64().unwrap()
    }

    async fn review(
        &self,
        at: &At,
        by: &Person,
        pull: u64,
        body: &str,
        remarks: &[(&str, u64, &str)],
    ) -> u64 {
        let remark = |(path, line, text): &(&str, u64, &str)| json!({ "path": path, "new_position": line, "body": text });
        let comments: Vec<Value> = remarks.iter().map(remark).collect();
        let wanted = json!({ "event": "COMMENT", "body": body, "comments": comments });
        let path = format!("/repos/{}/pulls/{pull}/reviews", at.path);
        self.post(by, &path, wanted).await["id"].as_u64().unwrap()
    }

    async fn reviews(&self, at: &At, pull: u64) -> Vec<(u64, String, String)> {
        let all = self.get(&format!("/repos/{}/pulls/{pull}/reviews?limit=50", at.path)).await;
        let said =
            |one: &Value| (one["user"]["id"].as_u64().unwrap(), text(&one["body"]), text(&one["state"]));
        array(&all).iter().map(said).collect()
    }

    async fn mark_ready(&self, at: &At, pull: u64) {
        let path = format!("/repos/{}/pulls/{pull}", at.path);
        let title = text(&self.get(&path).await["title"]);
        let ready = json!({ "title": title.trim_start_matches("WIP: ") });
        self.server.must(&self.owner.token, "PATCH", &path, Some(&ready)).await;
    }

    async fn line_comments(&self, at: &At, pull: u64) -> Vec<(u64, String)> {
        let path = format!("/repos/{}/pulls/{pull}/reviews", at.path);
        let mut all = Vec::new();
        for review in array(&self.get(&format!("{path}?limit=50")).await) {
            let comments = self.get(&format!("{path}/{}/comments", review["id"])).await;
            let said = |comment: &Value| (comment["user"]["id"].as_u64().unwrap(), text(&comment["body"]));
            all.extend(array(&comments).iter().map(said));
        }
        all
    }

    async fn reactions(&self, at: &At, to: Reacted) -> Vec<(u64, String)> {
        let of = match to {
            Reacted::Subject(subject) => number(subject).to_string(),
            Reacted::Comment(_, id) | Reacted::Line(_, id) => format!("comments/{id}"),
        };
        let given = self.get(&format!("/repos/{}/issues/{of}/reactions", at.path)).await;
        let said = |one: &Value| (one["user"]["id"].as_u64().unwrap(), text(&one["content"]));
        array(&given).iter().map(said).collect()
    }

    async fn statuses(&self, at: &At, commit: &str) -> Vec<(String, String, String)> {
        let all = self.get(&format!("/repos/{}/commits/{commit}/statuses?limit=50", at.path)).await;
        let said = |one: &Value| (text(&one["context"]), text(&one["status"]), text(&one["description"]));
        array(&all).iter().map(said).collect()
    }

    async fn is_resolved(&self, at: &At, pull: u64, comment: u64) -> Option<bool> {
        let path = format!("/repos/{}/pulls/{pull}/reviews", at.path);
        for review in array(&self.get(&format!("{path}?limit=50")).await) {
            let comments = self.get(&format!("{path}/{}/comments", review["id"])).await;
            if let Some(found) = array(&comments).iter().find(|one| one["id"] == comment) {
                return Some(!found["resolver"].is_null());
            }
        }
        Some(false)
    }

    async fn failed_check(&self, at: &At, _: &str, log: &str) -> Option<String> {
        self.server.fail_job(&at.path, log).await;
        Some(Gitea::JOB.to_owned())
    }

    async fn rename(&self, at: &At) -> bool {
        let name = at.path.split_once('/').unwrap().1;
        let moved = json!({ "name": format!("{name}-moved") });
        self.server.must(&self.owner.token, "PATCH", &format!("/repos/{}", at.path), Some(&moved)).await;
        let wanted = json!({ "name": name, "auto_init": true });
        self.server.must(&self.owner.token, "POST", "/user/repos", Some(&wanted)).await;
        true
    }
}

talk::conformance!(world());
