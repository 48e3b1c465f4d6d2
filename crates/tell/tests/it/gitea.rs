//! What is said on a real Gitea: once each, whoever is killed in between.

use std::{
    fs, future,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{EventBody, Owner, Secret, SessionId, Subject, Thread};
use cofferdam_forge::{
    hook::ForgeKind,
    remote::{At, PullWanted, Site, SiteCredential, Talk, open as open_forge},
};
use cofferdam_store::{Everything, Placement, Ticket, Writer};
use cofferdam_tell::{Channel, Failed, ForgeChannel, Message, Names, Route, Teller};
use cofferdam_testkit::{Gitea, GiteaAccount};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    chronicle::{answers, asked_in, delivers, reply, reviewed},
    scene::{PATIENCE, now, open},
};

const FOLDER: &str = "TELL_FORGE_FOLDER";
const URL: &str = "TELL_FORGE_URL";
const TOKEN: &str = "TELL_FORGE_TOKEN";
/// What the killed process leaves once it has said something.
const SAID: &str = "said";

fn site(url: &str, token: &str) -> Site {
    let credential = SiteCredential::Token(Secret::new(token));
    Site::new("gitea", ForgeKind::Gitea, url, None, credential, true).unwrap()
}

/// A repository with an issue, in which a session was asked for.
struct World {
    server: &'static Gitea,
    owner: GiteaAccount,
    platform: GiteaAccount,
    at: At,
    issue: u64,
    folder: tempfile::TempDir,
    store: Arc<dyn Everything>,
    session: SessionId,
    talk: Arc<dyn Talk>,
}

impl World {
    async fn new() -> Option<Self> {
        let server = Gitea::shared().await?;
        let owner = server.account("owner").await;
        let mut platform = server.account("platform").await;
        let scopes = ["write:repository", "write:issue", "read:user"];
        platform.token = server.token_of(&platform.login, &scopes).await;
        let (id, path) = server.repository(&owner, "calc", false).await;
        server.permit(&path, &platform, "write").await;
        let wanted = json!({ "title": "Rounding", "body": "It cuts." });
        let issue = server.must(&owner.token, "POST", &format!("/repos/{path}/issues"), Some(&wanted)).await;
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let talk = open_forge(&site(&server.url(), &platform.token)).unwrap();
        let (session, at) = (SessionId::generate(), At { id, path });
        let world = Self {
            server,
            owner,
            platform,
            at,
            issue: count(&issue["number"]),
            folder,
            store,
            session,
            talk,
        };
        let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
        let accepted = asked_in(world.thread(Subject::Issue(world.issue)));
        world.store.enqueue(ticket, session, now(), accepted, Vec::new()).await.unwrap();
        Some(world)
    }

    fn thread(&self, subject: Subject) -> Thread {
        Thread { forge: "gitea".into(), repository: self.at.id, path: self.at.path.clone(), subject }
    }

    fn route(&self) -> Route {
        ForgeChannel::route(
            &site(&self.server.url(), &self.platform.token),
            self.talk.clone(),
            self.store.clone(),
        )
    }

    /// Appends these events, and has all letters told.
    async fn happens(&self, events: Vec<EventBody>) {
        if !events.is_empty() {
            self.store.append(self.session, Writer::Anybody, now(), events).await.unwrap();
        }
        let (stop, stopped) = watch::channel(false);
        let origin = Some("https://c.example".into());
        let teller = Teller::new(self.store.clone(), vec![self.route()], origin, PATIENCE);
        let telling = tokio::spawn(teller.run(stopped));
        let all_told = async {
            loop {
                let letters = self.store.letters(Owner::LOCAL.org, None, 100).await.unwrap();
                assert!(letters.iter().all(|letter| letter.told || letter.done.is_none()), "{letters:?}");
                if letters.iter().all(|letter| letter.told) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), all_told).await.unwrap();
        stop.send_replace(true);
        telling.await.unwrap();
    }

    async fn get(&self, path: &str) -> Value {
        self.server.must(self.server.token(), "GET", &format!("/repos/{}/{path}", self.at.path), None).await
    }

    /// The comments below the issue.
    async fn comments(&self) -> Vec<String> {
        let all = self.get(&format!("issues/{}/comments", self.issue)).await;
        list(&all).iter().map(|comment| text(&comment["body"])).collect()
    }

    /// What the platform's account has reacted to, of these.
    async fn reactions(&self, of: &str) -> Vec<String> {
        let all = self.get(&format!("issues/{of}/reactions")).await;
        let mine = list(&all).iter().filter(|one| count(&one["user"]["id"]) == self.platform.id);
        mine.map(|one| text(&one["content"])).collect()
    }

    async fn statuses(&self, commit: &str) -> Vec<(String, String)> {
        let all = self.get(&format!("commits/{commit}/statuses")).await;
        list(&all).iter().map(|one| (text(&one["context"]), text(&one["status"]))).collect()
    }

    /// All comments on lines: number, review, text, and whether their discussion is resolved.
    async fn line_comments(&self, pull: u64) -> Vec<(u64, u64, String, bool)> {
        let mut all = Vec::new();
        for review in list(&self.get(&format!("pulls/{pull}/reviews?limit=50")).await) {
            let id = count(&review["id"]);
            for comment in list(&self.get(&format!("pulls/{pull}/reviews/{id}/comments")).await) {
                all.push((count(&comment["id"]), id, text(&comment["body"]), !comment["resolver"].is_null()));
            }
        }
        all.sort();
        all
    }

    /// Pushes a commit to the session's branch.
    async fn pushes(&self, line: &str) -> String {
        let branch = format!("cofferdam/{}", self.session);
        self.server.commit(&self.at.path, &branch, ("src.txt", line)).await
    }

    async fn opens(&self) -> u64 {
        let wanted = PullWanted {
            branch: format!("cofferdam/{}", self.session),
            base: "main".into(),
            title: "Round".into(),
            body: "It rounds.".into(),
            draft: false,
        };
        self.talk.open_pull(&self.at, &wanted).await.unwrap().number
    }

    async fn reviews(&self, pull: u64) -> Vec<(u64, String)> {
        let remark = |text: &str| json!({ "path": "src.txt", "new_position": 1, "body": text });
        let body = json!({ "event": "COMMENT", "body": "Nearly.", "comments": [remark("Why?"), remark("And that?")] });
        let path = format!("/repos/{}/pulls/{pull}/reviews", self.at.path);
        self.server.must(&self.owner.token, "POST", &path, Some(&body)).await;
        let all = self.line_comments(pull).await;
        all.into_iter().map(|(comment, review, ..)| (comment, review.to_string())).collect()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_told_of_from_its_issue_to_the_answered_review() {
    let Some(world) = World::new().await else { return };
    world.happens(Vec::new()).await;
    assert_eq!(world.reactions(&world.issue.to_string()).await, ["eyes"]);
    let comments = world.comments().await;
    assert!(comments.len() == 1 && comments[0].starts_with("**At work.**"), "{comments:?}");

    let first = world.pushes("one\n").await;
    let pull = world.opens().await;
    world.happens(delivers(world.session, pull, &first)).await;
    let comments = world.comments().await;
    assert!(comments.len() == 1 && comments[0].starts_with("**Ready to review:**"), "{comments:?}");
    let gate = |state: &str| ("cofferdam/gate".to_owned(), state.to_owned());
    assert_eq!(world.statuses(&first).await, [gate("success")]);

    let remarks = world.reviews(pull).await;
    world.happens(vec![reviewed(world.thread(Subject::Pull(pull)), &remarks)]).await;
    for (remark, _) in &remarks {
        assert_eq!(world.reactions(&format!("comments/{remark}")).await, ["eyes"]);
    }
    assert_eq!(world.statuses(&first).await.iter().filter(|status| **status == gate("pending")).count(), 1);

    let second = world.pushes("two\n").await;
    let (one, other) = (remarks[0].0, remarks[1].0);
    let replies = vec![reply(one, true, "Rounded. Fixes #1, @owner0!"), reply(other, false, "It must stay.")];
    world.happens(answers(world.session, pull, &second, replies)).await;
    let said = world.line_comments(pull).await;
    let mine: Vec<&String> =
        said.iter().map(|(_, _, text, _)| text).filter(|text| text.contains("<!-- cof")).collect();
    assert_eq!(mine.len(), 2, "{said:?}");
    assert!(mine.iter().any(|text| text.starts_with(&format!("Fixed in {second}"))), "{mine:?}");
    let resolved = |comment| said.iter().find(|(id, ..)| *id == comment).unwrap().3;
    assert!(resolved(one), "{said:?}");
    assert_eq!(world.statuses(&second).await, [gate("success")]);

    // All letters again change nothing.
    let before = (world.comments().await, said, world.statuses(&second).await, world.statuses(&first).await);
    let mut letters = world.store.letters(Owner::LOCAL.org, None, 100).await.unwrap();
    letters.reverse();
    for posted in letters {
        let message = Message::new(&posted.letter, &Names::default(), Some("https://c.example"));
        world.route().channel.tell(&message).await.unwrap();
    }
    let after = (
        world.comments().await,
        world.line_comments(pull).await,
        world.statuses(&second).await,
        world.statuses(&first).await,
    );
    assert_eq!(before, after);
    assert_eq!(world.reactions(&world.issue.to_string()).await, ["eyes"]);
}

/// Says it, and never comes to write that down.
struct Said {
    channel: Arc<dyn Channel>,
    file: std::path::PathBuf,
}

#[async_trait]
impl Channel for Said {
    async fn tell(&self, message: &Message) -> Result<(), Failed> {
        self.channel.tell(message).await?;
        fs::write(&self.file, "").unwrap();
        future::pending().await
    }
}

/// Tells until it is killed; run in a process of its own only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a role, not a test"]
async fn role() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let site = site(&std::env::var(URL).unwrap(), &std::env::var(TOKEN).unwrap());
    let store = open(folder.as_ref()).await;
    let mut route = ForgeChannel::route(&site, open_forge(&site).unwrap(), store.clone());
    route.channel = Arc::new(Said { channel: route.channel.clone(), file: Path::new(&folder).join(SAID) });
    let (_stop, stopped) = watch::channel(false);
    Teller::new(store, vec![route], Some("https://c.example".into()), PATIENCE).run(stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_by_a_process_that_was_killed_over_it_is_not_said_twice() {
    let Some(world) = World::new().await else { return };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "gitea::role", "--ignored"])
        .env(FOLDER, world.folder.path())
        .env(URL, world.server.url())
        .env(TOKEN, &world.platform.token)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let said = async {
        while !world.folder.path().join(SAID).exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), said).await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let letters = world.store.letters(Owner::LOCAL.org, None, 10).await.unwrap();
    assert!(letters.len() == 1 && letters[0].done.is_none(), "{letters:?}");
    world.happens(Vec::new()).await;
    let letters = world.store.letters(Owner::LOCAL.org, None, 10).await.unwrap();
    assert_eq!(letters[0].tries, 2);
    let comments = world.comments().await;
    assert_eq!(comments.len(), 1, "{comments:?}");
    assert_eq!(world.reactions(&world.issue.to_string()).await, ["eyes"]);
}
