//! The one suite for all forges, once as an app and once as an account.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use cofferdam_domain::Subject;
use cofferdam_forge::{
    hook::{Account, AccountKind},
    remote::{At, Reacted, Right, Talk},
};
use cofferdam_testkit::GitHub;
use http::Method;
use serde_json::{Value, json};

use super::{As, owner, talk};
use crate::talk::{Person, World, conformance};

mod as_an_app {
    super::conformance!(super::Hub::new(super::As::App));
}

mod as_an_account {
    super::conformance!(super::Hub::new(super::As::Account));
}

/// A GitHub with people.
struct Hub {
    github: GitHub,
    talk: Arc<dyn Talk>,
    repositories: AtomicUsize,
    /// How many people have been given something to do in each repository.
    people: Mutex<HashMap<u64, usize>>,
}

impl Hub {
    async fn new(asked: As) -> Option<Self> {
        let github = GitHub::start().await?;
        let talk = talk(&github, asked);
        Some(Self { github, talk, repositories: AtomicUsize::new(0), people: Mutex::default() })
    }

    /// What the owner asks, below a repository.
    async fn owner(&self, at: &At, method: Method, path: &str, body: Value) -> Value {
        self.person(at, GitHub::OWNER.1, method, path, body).await
    }

    async fn person(&self, at: &At, token: &str, method: Method, path: &str, body: Value) -> Value {
        let place = self.place(at).await;
        self.github.ask(token, method, &format!("{place}{path}"), &body).await
    }

    /// Where the repository is now.
    async fn place(&self, at: &At) -> String {
        let found = owner(&self.github, Method::GET, &format!("/repositories/{}", at.id), Value::Null).await;
        format!("/repos/{}", found["full_name"].as_str().unwrap())
    }

    async fn account(&self, login: &str) -> Account {
        let path = format!("/users/{login}");
        let found = owner(&self.github, Method::GET, &path, Value::Null).await;
        let kind = if login.ends_with("[bot]") { AccountKind::Bot } else { AccountKind::Person };
        Account { id: found["id"].as_u64().unwrap(), login: login.to_owned(), kind }
    }
}

fn number(subject: Subject) -> u64 {
    match subject {
        Subject::Issue(number) | Subject::Pull(number) => number,
    }
}

#[async_trait]
impl World for Hub {
    fn talk(&self) -> &dyn Talk {
        &*self.talk
    }

    async fn repository(&self, private: bool) -> At {
        let count = self.repositories.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "name": format!("repository-{count}"), "private": private, "auto_init": true });
        let made = owner(&self.github, Method::POST, "/user/repos", body).await;
        let at =
            At { id: made["id"].as_u64().unwrap(), path: made["full_name"].as_str().unwrap().to_owned() };
        let path = format!("/collaborators/{}", GitHub::ACCOUNT.0);
        self.owner(&at, Method::PUT, &path, json!({ "permission": "admin" })).await;
        at
    }

    async fn person(&self, at: &At, right: Right) -> Option<Person> {
        let next = {
            let mut people = self.people.lock().unwrap();
            let known = people.entry(at.id).or_default();
            std::mem::replace(known, *known + 1)
        };
        let (login, token) = *GitHub::PEOPLE.get(next)?;
        let permission = match right {
            Right::None => None,
            Right::Read => Some("pull"),
            Right::Triage => Some("triage"),
            Right::Write => Some("push"),
            Right::Admin => Some("admin"),
        };
        if let Some(permission) = permission {
            let body = json!({ "permission": permission });
            self.owner(at, Method::PUT, &format!("/collaborators/{login}"), body).await;
        }
        Some(Person { account: self.account(login).await, token: token.to_owned() })
    }

    async fn issue(&self, at: &At, by: &Person, title: &str, body: &str) -> u64 {
        let body = json!({ "title": title, "body": body });
        self.person(at, &by.token, Method::POST, "/issues", body).await["number"].as_u64().unwrap()
    }

    async fn label(&self, at: &At, by: &Person, issue: u64, label: &str) {
        let path = format!("/issues/{issue}/labels");
        self.owner(at, Method::POST, "/labels", json!({ "name": label, "color": "00aabb" })).await;
        self.person(at, &by.token, Method::POST, &path, json!({ "labels": [label] })).await;
    }

    async fn comment(&self, at: &At, by: &Person, subject: Subject, body: &str) -> u64 {
        let path = format!("/issues/{}/comments", number(subject));
        self.person(at, &by.token, Method::POST, &path, json!({ "body": body })).await["id"].as_u64().unwrap()
    }

    async fn commit(&self, at: &At, branch: &str, path: &str, text: &str) -> String {
        let known = self.owner(at, Method::GET, "/branches?per_page=100", Value::Null).await;
        if !known.as_array().unwrap().iter().any(|known| known["name"] == branch) {
            let main = self.owner(at, Method::GET, "/git/ref/heads/main", Value::Null).await;
            let body = json!({ "ref": format!("refs/heads/{branch}"), "sha": main["object"]["sha"] });
            self.owner(at, Method::POST, "/git/refs", body).await;
        }
        let known = self.owner(at, Method::GET, &format!("/contents?ref={branch}"), Value::Null).await;
        let before =
            known.as_array().unwrap().iter().find(|known| known["path"] == path).map(|known| &known["sha"]);
        let mut body = json!({ "message": format!("Write {path}"), "branch": branch });
        body["content"] = BASE64_STANDARD.encode(text).into();
        if let Some(before) = before {
            body["sha"] = before.clone();
        }
        let made = self.owner(at, Method::PUT, &format!("/contents/{path}"), body).await;
        made["commit"]["sha"].as_str().unwrap().to_owned()
    }

    async fn pull(&self, at: &At, by: &Person, branch: &str, title: &str) -> u64 {
        let body = json!({ "title": title, "head": branch, "base": "main", "body": "" });
        self.person(at, &by.token, Method::POST, "/pulls", body).await["number"].as_u64().unwrap()
    }

    async fn review(
        &self,
        at: &At,
        by: &Person,
        pull: u64,
        body: &str,
        remarks: &[(&str, u64, &str)],
    ) -> u64 {
        let comment = |(path, line, text): &(&str, u64, &str)| json!({ "path": path, "line": line, "side": "RIGHT", "body": text });
        let comments: Vec<Value> = remarks.iter().map(comment).collect();
        let body = json!({ "event": "COMMENT", "body": body, "comments": comments });
        let made = self.person(at, &by.token, Method::POST, &format!("/pulls/{pull}/reviews"), body).await;
        made["id"].as_u64().unwrap()
    }

    async fn reviews(&self, at: &At, pull: u64) -> Vec<(u64, String, String)> {
        let path = format!("/pulls/{pull}/reviews?per_page=100");
        let all = self.owner(at, Method::GET, &path, Value::Null).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let one =
            |one: &Value| (one["user"]["id"].as_u64().unwrap(), text(&one["body"]), text(&one["state"]));
        all.as_array().unwrap().iter().map(one).collect()
    }

    async fn mark_ready(&self, at: &At, pull: u64) {
        self.owner(at, Method::PATCH, &format!("/pulls/{pull}"), json!({ "draft": false })).await;
    }

    async fn line_comments(&self, at: &At, pull: u64) -> Vec<(u64, String)> {
        let all =
            self.owner(at, Method::GET, &format!("/pulls/{pull}/comments?per_page=100"), Value::Null).await;
        let one = |one: &Value| {
            (one["user"]["id"].as_u64().unwrap(), one["body"].as_str().unwrap_or_default().to_owned())
        };
        all.as_array().unwrap().iter().map(one).collect()
    }

    async fn reactions(&self, at: &At, to: Reacted) -> Vec<(u64, String)> {
        let place = self.place(at).await;
        let path = match to {
            Reacted::Subject(subject) => format!("{place}/issues/{}/reactions", number(subject)),
            Reacted::Comment(_, comment) => format!("{place}/issues/comments/{comment}/reactions"),
            Reacted::Line(_, comment) => format!("{place}/pulls/comments/{comment}/reactions"),
        };
        let mut found = Vec::new();
        for (login, content) in self.github.reactions(&path) {
            found.push((self.account(&login).await.id, content));
        }
        found
    }

    async fn statuses(&self, at: &At, commit: &str) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let path = format!("/commits/{commit}/check-runs?filter=all");
        let checks = self.owner(at, Method::GET, &path, Value::Null).await;
        let of_check = |one: &Value| {
            let state = if one["conclusion"].is_null() { &one["status"] } else { &one["conclusion"] };
            (text(&one["name"]), text(state), text(&one["output"]["title"]))
        };
        let statuses = self.owner(at, Method::GET, &format!("/commits/{commit}/statuses"), Value::Null).await;
        let of_status = |one: &Value| (text(&one["context"]), text(&one["state"]), text(&one["description"]));
        let checks = checks["check_runs"].as_array().into_iter().flatten().map(of_check);
        checks.chain(statuses.as_array().into_iter().flatten().map(of_status)).collect()
    }

    async fn is_resolved(&self, _: &At, _: u64, comment: u64) -> Option<bool> {
        Some(self.github.resolved().contains(&comment))
    }

    async fn failed_check(&self, at: &At, commit: &str, log: &str) -> Option<String> {
        let output = json!({ "title": "Failed", "summary": "1 of 9" });
        let body = json!({
            "name": "test",
            "head_sha": commit,
            "status": "completed",
            "conclusion": "failure",
            "output": output,
        });
        let made = self.owner(at, Method::POST, "/check-runs", body).await;
        self.github.keep_log(made["id"].as_u64().unwrap(), log);
        Some("test".to_owned())
    }

    async fn rename(&self, at: &At) -> bool {
        let (_, name) = at.path.split_once('/').unwrap();
        self.owner(at, Method::PATCH, "", json!({ "name": format!("{name}-renamed") })).await;
        let body = json!({ "name": name, "auto_init": true });
        owner(&self.github, Method::POST, "/user/repos", body).await;
        true
    }
}
