//! GitLab, as a stand-in of our own has it: what every forge must do, and what only GitLab does.
//!
//! There is no GitLab that tests could have. The stand-in follows GitLab's documentation; an independent client is held against it.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{Secret, SessionId, Subject};
use cofferdam_forge::{
    branch_of,
    hook::{Account, AccountKind, ForgeKind, PullState},
    remote::{
        At, CommitStatus, Mark, PullWanted, Reacted, Right, Site, SiteCredential, StatusState, Talk,
        TalkError, open,
    },
};
use cofferdam_testkit::{GitLab, kept_python};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::talk::{self, Person, World};

/// The client that others have made.
const CLIENT: &str = "python-gitlab==8.6.0";
/// What it does.
const SCRIPT: &str = include_str!("gitlab/client.py");

/// The stand-in, somebody who maintains its projects, and what is tested.
struct StandIn {
    server: GitLab,
    owner: (u64, String),
    talk: Arc<dyn Talk>,
    client: reqwest::Client,
}

async fn stand_in() -> StandIn {
    let server = GitLab::start().await;
    let owner = server.account("owner");
    let credential = SiteCredential::Token(Secret::new(GitLab::TOKEN));
    let site = Site::new("gitlab", ForgeKind::GitLab, server.url(), None, credential, true).unwrap();
    let talk = open(&site.with_patience(Duration::from_secs(10))).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(no_tls()).build().unwrap();
    StandIn { server, owner, talk, client }
}

/// What is on this machine's loopback needs no certificates.
fn no_tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    config.unwrap().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

async fn world() -> Option<StandIn> {
    Some(stand_in().await)
}

impl StandIn {
    /// As somebody: what GitLab answers to a request about the project.
    async fn ask(&self, token: &str, method: &str, at: &At, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/api/v4/projects/{}{path}", self.server.url(), at.id);
        let mut request = self.client.request(method.parse().unwrap(), url).header("PRIVATE-TOKEN", token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn get(&self, at: &At, path: &str) -> Value {
        self.ask(&self.owner.1, "GET", at, path, None).await
    }

    async fn discussions(&self, at: &At, pull: u64) -> Vec<Value> {
        let all = self.get(at, &format!("/merge_requests/{pull}/discussions?per_page=100")).await;
        all.as_array().unwrap().clone()
    }

    fn at(&self, private: bool) -> At {
        let path = format!("acme/{}", SessionId::generate());
        let id = self.server.project(&path, private);
        self.server.permit(id, self.owner.0, 50);
        At { id, path }
    }
}

fn place(subject: Subject) -> String {
    match subject {
        Subject::Issue(number) => format!("/issues/{number}"),
        Subject::Pull(number) => format!("/merge_requests/{number}"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[async_trait]
impl World for StandIn {
    fn talk(&self) -> &dyn Talk {
        &*self.talk
    }

    async fn repository(&self, private: bool) -> At {
        self.at(private)
    }

    async fn person(&self, at: &At, right: Right) -> Option<Person> {
        let login = format!("person-{}", SessionId::generate());
        let (id, token) = self.server.account(&login);
        let level = match right {
            Right::None => 0,
            Right::Read => 10,
            Right::Triage => 20,
            Right::Write => 30,
            Right::Admin => 40,
        };
        self.server.permit(at.id, id, level);
        Some(Person { account: Account { id, login, kind: AccountKind::Person }, token })
    }

    async fn issue(&self, at: &At, by: &Person, title: &str, body: &str) -> u64 {
        let wanted = json!({ "title": title, "description": body });
        self.ask(&by.token, "POST", at, "/issues", Some(wanted)).await["iid"].as_u64().unwrap()
    }

    async fn label(&self, at: &At, by: &Person, issue: u64, label: &str) {
        self.ask(&by.token, "PUT", at, &format!("/issues/{issue}"), Some(json!({ "labels": label }))).await;
    }

    async fn comment(&self, at: &At, by: &Person, subject: Subject, body: &str) -> u64 {
        let path = format!("{}/notes", place(subject));
        self.ask(&by.token, "POST", at, &path, Some(json!({ "body": body }))).await["id"].as_u64().unwrap()
    }

    async fn commit(&self, at: &At, branch: &str, _: &str, _: &str) -> String {
        self.server.commit(at.id, branch)
    }

    async fn pull(&self, at: &At, by: &Person, branch: &str, title: &str) -> u64 {
        let wanted = json!({ "source_branch": branch, "target_branch": "main", "title": title });
        self.ask(&by.token, "POST", at, "/merge_requests", Some(wanted)).await["iid"].as_u64().unwrap()
    }

    async fn review(
        &self,
        at: &At,
        by: &Person,
        pull: u64,
        body: &str,
        remarks: &[(&str, u64, &str)],
    ) -> u64 {
        let head = self.get(at, &format!("/merge_requests/{pull}")).await["sha"].clone();
        for (path, line, said) in remarks {
            let position = json!({
                "base_sha": head, "start_sha": head, "head_sha": head, "position_type": "text",
                "old_path": path, "new_path": path, "new_line": line,
            });
            let wanted = json!({ "body": said, "position": position });
            self.ask(&by.token, "POST", at, &format!("/merge_requests/{pull}/discussions"), Some(wanted))
                .await;
        }
        if !body.is_empty() {
            self.comment(at, by, Subject::Pull(pull), body).await;
        }
        0
    }

    async fn reviews(&self, at: &At, pull: u64) -> Vec<(u64, String, String)> {
        let all = self.discussions(at, pull).await;
        let notes = all.iter().flat_map(|one| one["notes"].as_array().unwrap());
        let of_all = notes.filter(|note| note["type"] != "DiffNote");
        let said =
            |note: &Value| (note["author"]["id"].as_u64().unwrap(), text(&note["body"]), String::new());
        of_all.map(said).collect()
    }

    async fn mark_ready(&self, at: &At, pull: u64) {
        let path = format!("/merge_requests/{pull}");
        let title = text(&self.get(at, &path).await["title"]);
        let ready = json!({ "title": title.trim_start_matches("Draft: ") });
        self.ask(&self.owner.1, "PUT", at, &path, Some(ready)).await;
    }

    async fn line_comments(&self, at: &At, pull: u64) -> Vec<(u64, String)> {
        let all = self.discussions(at, pull).await;
        let notes = all.iter().flat_map(|one| one["notes"].as_array().unwrap());
        let on_lines = notes.filter(|note| note["type"] == "DiffNote");
        on_lines.map(|note| (note["author"]["id"].as_u64().unwrap(), text(&note["body"]))).collect()
    }

    async fn reactions(&self, at: &At, to: Reacted) -> Vec<(u64, String)> {
        let path = match to {
            Reacted::Subject(subject) => place(subject),
            Reacted::Comment(subject, id) | Reacted::Line(subject, id) => {
                format!("{}/notes/{id}", place(subject))
            }
        };
        let all = self.get(at, &format!("{path}/award_emoji")).await;
        let given = |one: &Value| (one["user"]["id"].as_u64().unwrap(), text(&one["name"]));
        all.as_array().unwrap().iter().map(given).collect()
    }

    async fn statuses(&self, at: &At, commit: &str) -> Vec<(String, String, String)> {
        let all = self.get(at, &format!("/repository/commits/{commit}/statuses?all=true")).await;
        let said = |one: &Value| (text(&one["name"]), text(&one["status"]), text(&one["description"]));
        all.as_array().unwrap().iter().map(said).collect()
    }

    async fn is_resolved(&self, at: &At, pull: u64, comment: u64) -> Option<bool> {
        let all = self.discussions(at, pull).await;
        let mut notes = all.iter().flat_map(|one| one["notes"].as_array().unwrap());
        Some(notes.find(|note| note["id"] == comment).is_some_and(|note| note["resolved"] == true))
    }

    async fn failed_check(&self, at: &At, commit: &str, log: &str) -> Option<String> {
        self.server.job(at.id, commit, "build", false, Some("all is well"));
        self.server.job(at.id, commit, "test", true, Some(log));
        Some("test".to_owned())
    }

    async fn rename(&self, at: &At) -> bool {
        self.server.rename(at.id, &format!("{}-moved", at.path));
        let other = self.server.project(&at.path, false);
        self.server.permit(other, self.owner.0, 50);
        true
    }
}

talk::conformance!(world());

fn wanted(branch: &str) -> PullWanted {
    PullWanted {
        branch: branch.to_owned(),
        base: "main".to_owned(),
        title: "Fix it".to_owned(),
        body: "How".to_owned(),
        draft: true,
    }
}

/// A client that others have made finds what we have said, and we find what it has done.
#[tokio::test]
async fn an_independent_client_gets_on_with_the_stand_in() {
    let Some(packages) = kept_python(&[CLIENT]) else {
        eprintln!("SKIPPED: an independent client of GitLab needs python3 with pip to install {CLIENT}");
        return;
    };
    let gitlab = stand_in().await;
    let at = gitlab.at(true);
    let (talk, session) = (&*gitlab.talk, SessionId::generate());
    let branch = branch_of(session);
    let commit = gitlab.server.commit(at.id, &branch);
    gitlab.server.job(at.id, &commit, "test", true, Some("it failed"));
    let pull = talk.open_pull(&at, &wanted(&branch)).await.unwrap();
    let issue =
        gitlab.ask(&gitlab.owner.1, "POST", &at, "/issues", Some(json!({ "title": "It breaks" }))).await;
    let subject = Subject::Issue(issue["iid"].as_u64().unwrap());
    let mark = Mark { session, what: "task".into() };
    talk.say(&at, subject, &mark, "I am on it").await.unwrap();
    let status = CommitStatus {
        name: "cofferdam/gate".into(),
        state: StatusState::Success,
        text: "nothing found".into(),
        link: None,
        annotations: Vec::new(),
    };
    talk.status(&at, &commit, &status).await.unwrap();
    let mut client = Command::new("python3");
    client.args(["-c", SCRIPT, gitlab.server.url(), &gitlab.owner.1, &at.path, &commit]);
    client.env("PYTHONPATH", packages).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || client.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // What it said on a line, below, and that it has changed the title.
    let remarks = talk.remarks(&at, pull.number, 0).await.unwrap();
    assert_eq!((remarks[0].comment.body.as_str(), remarks[0].place.line), ("why?", Some(3)));
    assert_eq!(remarks[0].comment.author.id, gitlab.owner.0);
    let said = talk.comments(&at, Subject::Pull(pull.number), None, 10).await.unwrap();
    assert_eq!(said.iter().map(|one| one.body.as_str()).collect::<Vec<_>>(), ["well done"]);
    let now = talk.pull(&at, pull.number).await.unwrap();
    assert_eq!((now.title.as_str(), now.draft, now.state), ("Fix it well", false, PullState::Open));
    let refused: Vec<_> =
        gitlab.server.exchanges().into_iter().filter(|one| matches!(one.status, 400 | 405 | 415)).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[tokio::test]
async fn a_blocked_or_awaited_member_may_nothing() {
    let gitlab = stand_in().await;
    let at = gitlab.at(true);
    let (id, _) = gitlab.server.account("ann");
    gitlab.server.permit(at.id, id, 30);
    let ann = Account { id, login: "ann".into(), kind: AccountKind::Person };
    assert_eq!(gitlab.talk.right_of(&at, &ann).await.unwrap(), Right::Write);
    let blocked = json!({ "id": id, "username": "ann", "state": "blocked", "access_level": 30 });
    gitlab.server.inject("GET /api/v4/projects/", StatusCode::OK, HeaderMap::new(), blocked);
    assert_eq!(gitlab.talk.right_of(&at, &ann).await.unwrap(), Right::None);
    let other = json!({ "id": id + 1, "username": "ann", "state": "active", "access_level": 50 });
    gitlab.server.inject("GET /api/v4/projects/", StatusCode::OK, HeaderMap::new(), other);
    assert_eq!(gitlab.talk.right_of(&at, &ann).await.unwrap(), Right::None);
}

#[tokio::test]
async fn an_issue_that_was_moved_is_not_there_any_more() {
    let gitlab = stand_in().await;
    let at = gitlab.at(false);
    gitlab.ask(&gitlab.owner.1, "POST", &at, "/issues", Some(json!({ "title": "It breaks" }))).await;
    assert!(gitlab.talk.issue(&at, 1).await.unwrap().open);
    gitlab.server.move_issue(at.id, 1);
    assert!(matches!(gitlab.talk.issue(&at, 1).await, Err(TalkError::Missing { .. })));
}

/// Whether GitLab can merge is found out after the last push: until then it says that it cannot.
#[tokio::test]
async fn what_is_still_being_looked_at_is_merged_later() {
    let gitlab = stand_in().await;
    let at = gitlab.at(false);
    let branch = branch_of(SessionId::generate());
    let commit = gitlab.server.commit(at.id, &branch);
    let pull = gitlab.talk.open_pull(&at, &PullWanted { draft: false, ..wanted(&branch) }).await.unwrap();
    let path = format!("/merge_requests/{}", pull.number);
    let mut checking = gitlab.get(&at, &path).await;
    checking["detailed_merge_status"] = "checking".into();
    let merge = format!("PUT /api/v4/projects/{}{path}/merge", at.id);
    let why = json!({ "message": "405 Method Not Allowed" });
    gitlab.server.inject(&merge, StatusCode::METHOD_NOT_ALLOWED, HeaderMap::new(), why.clone());
    let looked = format!("GET /api/v4/projects/{}{path}", at.id);
    for _ in 0..2 {
        gitlab.server.inject(&looked, StatusCode::OK, HeaderMap::new(), checking.clone());
    }
    let later = gitlab.talk.merge_pull(&at, pull.number, &commit).await;
    assert!(matches!(later, Err(TalkError::ForNow { .. })), "{later:?}");
    gitlab.server.inject(&merge, StatusCode::METHOD_NOT_ALLOWED, HeaderMap::new(), why);
    let never = gitlab.talk.merge_pull(&at, pull.number, &commit).await;
    assert!(matches!(never, Err(TalkError::Refused { .. })), "{never:?}");
    assert_eq!(gitlab.talk.merge_pull(&at, pull.number, &commit).await.unwrap().state, PullState::Merged);
}

#[tokio::test]
async fn the_log_of_a_pipeline_is_that_of_its_failed_jobs() {
    let gitlab = stand_in().await;
    let at = gitlab.at(false);
    let commit = gitlab.server.commit(at.id, "main");
    assert_eq!(gitlab.talk.check_log(&at, &commit, "pipeline", 100).await.unwrap(), None);
    gitlab.server.job(at.id, &commit, "test", true, Some("0123456789 failed"));
    let log = |check: &'static str, most| gitlab.talk.check_log(&at, &commit, check, most);
    assert_eq!(log("pipeline", 100).await.unwrap().as_deref(), Some("0123456789 failed"));
    gitlab.server.job(at.id, &commit, "lint", true, None);
    assert_eq!(log("test", 6).await.unwrap().as_deref(), Some("failed"));
    assert_eq!(log("lint", 100).await.unwrap(), None, "erased");
    assert_eq!(log("other", 100).await.unwrap(), None);
}

#[tokio::test]
async fn how_a_project_is_set_up_is_seen_as_far_as_it_is_told() {
    let gitlab = stand_in().await;
    let at = gitlab.at(true);
    let hook = json!({
        "url": "https://example.org/hooks/gitlab", "issues_events": true, "push_events": false, "alert_status": "disabled",
    });
    gitlab.server.set_up(at.id, hook, ".gitlab-ci.yml", "dGVzdDoge30K");
    let setup = gitlab.talk.setup(&at, "main").await.unwrap();
    assert_eq!((setup.scopes, setup.protected), (Some(vec!["api".to_owned()]), Some(true)));
    assert_eq!(setup.workflows.unwrap(), [(".gitlab-ci.yml".to_owned(), "test: {}\n".to_owned())]);
    let hooks = setup.hooks.unwrap();
    assert_eq!((hooks[0].active, hooks[0].events.as_slice()), (false, &["issues_events".to_owned()][..]));
    gitlab.server.permit(at.id, gitlab.talk.me().await.unwrap().id, 30);
    assert_eq!(gitlab.talk.setup(&at, "main").await.unwrap().hooks, None, "only maintainers may see them");
}

#[tokio::test]
async fn a_revoked_token_needs_a_person() {
    let gitlab = stand_in().await;
    let at = gitlab.at(true);
    gitlab.talk.me().await.unwrap();
    gitlab.server.revoke(GitLab::TOKEN);
    let refused = gitlab.talk.issue(&at, 1).await.unwrap_err();
    assert!(refused.needs_a_person() && !refused.to_string().contains(GitLab::TOKEN), "{refused}");
}
