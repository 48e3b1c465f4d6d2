//! A forge that tells nothing by itself: the whole program asks a real Gitea what has happened there, and does its work from the label to the merge.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use cofferdam_domain::{EventBody, PullRequestState, SessionId};
use cofferdam_testkit::{Gitea, GiteaAccount};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{GREET, TEST, finish, look, mend, shell},
    front::listens,
    harness::{Running, World},
};

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// A forge without any hook, and a service that works there.
struct Scene<'w> {
    world: &'w World,
    gitea: Gitea,
    path: String,
    ann: GiteaAccount,
    agent: GiteaAccount,
    /// Where the service listens now.
    address: Option<SocketAddr>,
    token: String,
    up: Option<Running>,
}

impl<'w> Scene<'w> {
    /// `more` is what else the forge's table says.
    async fn new(world: &'w World, more: &str) -> Option<Self> {
        let gitea = Gitea::start().await?;
        let (ann, agent) = (gitea.account("ann").await, gitea.account("agent").await);
        let (_, path) = gitea.repository(&ann, "greeter", false).await;
        gitea.commit(&path, "main", ("greet.sh", GREET)).await;
        gitea.commit(&path, "main", ("test.sh", TEST)).await;
        gitea.permit(&path, &agent, "admin").await;
        let token = world.file("forge.token", &agent.token);
        world.file("forge.hook", "nobody posts anything");
        let more_steps = [shell("echo '# It greets.' >> greet.sh"), finish("done")];
        let steps: Vec<Value> = [look(), mend(), finish("done")].into_iter().chain(more_steps).collect();
        let transcript = json!({ "name": "a recording", "step": steps });
        world.file("steps.toml", &toml::to_string(&transcript).unwrap());
        world.add_to_configuration(&format!(
            "[policy]\ntest_command = \"sh test.sh\"\n[server]\nmodels = [{:?}]\n[[forge]]\nname = \"work\"\nkind = \"gitea\"\n\
             url = {:?}\ntoken = {{ file = {token:?} }}\nplain_http = true\n{more}\n",
            format!("scripted:{}", world.path("steps.toml").display()),
            gitea.url(),
        ));
        let mut scene =
            Self { world, gitea, path, ann, agent, address: None, token: String::new(), up: None };
        scene.start();
        scene.token = world.ok(&["admin", "token", "local", "--rank", "admin"]).stdout.trim().to_owned();
        Some(scene)
    }

    fn start(&mut self) {
        let mut up = self.world.cofferdam(&["up", "--listen", "127.0.0.1:0"]).patience(12 * LONG).start();
        self.address = Some(listens(&mut up));
        self.up = Some(up);
    }

    fn kill(&mut self) {
        let up = self.up.take().unwrap();
        up.signal(Signal::KILL);
        up.finish();
    }

    async fn until<T>(&self, what: &str, ask: impl AsyncFn(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(answer) = ask(self).await {
                return answer;
            }
            assert!(began.elapsed() < LONG, "no {what}: {:#?}", self.deliveries());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What was found, the newest first.
    fn deliveries(&self) -> Vec<Value> {
        let (address, token) = (self.address.unwrap(), &self.token);
        let Ok(mut stream) = TcpStream::connect(address) else { return Vec::new() };
        write!(
            stream,
            "GET /api/v1/deliveries?limit=100 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap_or_default().1;
        let page: Value = serde_json::from_str(body).unwrap_or_default();
        page["deliveries"].as_array().cloned().unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Value {
        self.gitea.must(&self.ann.token, "GET", &format!("/repos/{}{path}", self.path), None).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.gitea.must(&self.ann.token, "POST", &format!("/repos/{}{path}", self.path), Some(&body)).await
    }

    async fn ask(&self) -> u64 {
        let label = self.post("/labels", json!({ "name": "cofferdam", "color": "#00aabb" })).await;
        let issue =
            json!({ "title": "Greet louder", "body": "The greeting should end with an exclamation mark." });
        let number = self.post("/issues", issue).await["number"].as_u64().unwrap();
        self.post(&format!("/issues/{number}/labels"), json!({ "labels": [label["id"]] })).await;
        number
    }

    /// The agent's open pull request: its number, session and commit.
    async fn pull(&self) -> (u64, SessionId, String) {
        let open = async |scene: &Self| {
            let pulls = scene.get("/pulls?state=open").await;
            let pulls = pulls.as_array().unwrap();
            pulls.iter().find(|pull| pull["user"]["login"] == *scene.agent.login).cloned()
        };
        let pull = self.until("pull request", open).await;
        let session =
            pull["head"]["ref"].as_str().unwrap().strip_prefix("cofferdam/").unwrap().parse().unwrap();
        (pull["number"].as_u64().unwrap(), session, pull["head"]["sha"].as_str().unwrap().to_owned())
    }

    fn count(&self, session: SessionId, wanted: fn(&EventBody) -> bool) -> usize {
        self.world.events(Some(session)).iter().filter(|event| wanted(&event.body)).count()
    }

    async fn ended(&self, session: SessionId, times: usize) {
        let ended = async |scene: &Self| {
            let ends = scene.count(session, |body| matches!(body, EventBody::SessionEnded { .. }));
            (ends >= times).then_some(())
        };
        self.until("end of a turn", ended).await;
    }

    async fn merge(&self, number: u64, head: &str) {
        let merged = async |scene: &Self| {
            let path = format!("/repos/{}/pulls/{number}/merge", scene.path);
            let wanted = json!({ "Do": "merge", "head_commit_id": head });
            let (status, _) = scene.gitea.call(&scene.ann.token, "POST", &path, Some(&wanted)).await;
            (status == 200).then_some(())
        };
        self.until("merge", merged).await;
    }

    async fn heard_of_the_merge(&self, session: SessionId) {
        let merged = async |scene: &Self| (scene.count(session, is_merged) > 0).then_some(());
        self.until("end", merged).await;
    }
}

fn is_merged(body: &EventBody) -> bool {
    matches!(body, EventBody::PullRequestClosed { state: PullRequestState::Merged { .. } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_cannot_reach_it_is_asked() {
    let Some(world) = World::with_sandboxes() else { return };
    let Some(scene) = Scene::new(&world, "poll = \"1s\"").await else { return };
    let issue = scene.ask().await;
    let (number, session, first) = scene.pull().await;
    scene.ended(session, 1).await;
    let remark = format!("@{} say what it is for.", scene.agent.login);
    scene.post(&format!("/issues/{number}/comments"), json!({ "body": remark })).await;
    let moved = async |scene: &Scene<'_>| {
        let head = scene.get(&format!("/pulls/{number}")).await["head"]["sha"].as_str()?.to_owned();
        (head != first).then_some(head)
    };
    let second = scene.until("new commit", moved).await;
    scene.ended(session, 2).await;
    scene.merge(number, &second).await;
    scene.heard_of_the_merge(session).await;

    // However often it was looked, each thing was heard once.
    let looked = async |scene: &Scene<'_>| {
        let found = scene.deliveries();
        found
            .iter()
            .all(|one| one["state"] == "done" && one["event"] == "cofferdam.poll")
            .then_some(found.len())
    };
    assert!(scene.until("end of all", looked).await >= 3);
    assert_eq!(
        scene.count(session, |body| matches!(body, EventBody::MessageReceived { about: Some(_), .. })),
        1
    );
    assert_eq!(scene.count(session, is_merged), 1);
    assert_eq!(world.ok(&["sessions", "--json"]).stdout.lines().count(), 1);
    let said = scene.get(&format!("/issues/{issue}/comments")).await;
    assert_eq!(said.as_array().unwrap().len(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_nobody_listened_is_found_at_the_next_start() {
    let Some(world) = World::with_sandboxes() else { return };
    let secret = format!("hook_secret = {{ file = {:?} }}", world.path("forge.hook"));
    let Some(mut scene) = Scene::new(&world, &format!("{secret}\npoll = \"1s\"")).await else { return };
    scene.ask().await;
    let (number, session, head) = scene.pull().await;
    scene.ended(session, 1).await;
    scene.kill();
    // From now on it is not asked but at its start.
    let configuration = world.path("cofferdam.toml");
    let text = std::fs::read_to_string(&configuration).unwrap();
    std::fs::write(&configuration, text.replace("poll = \"1s\"\n", "")).unwrap();
    scene.merge(number, &head).await;
    scene.start();
    scene.heard_of_the_merge(session).await;
    // Once, whatever comes late.
    scene.kill();
    scene.start();
    let done = async |scene: &Scene<'_>| {
        let found = scene.deliveries();
        (!found.is_empty() && found.iter().all(|one| one["state"] == "done")).then_some(())
    };
    scene.until("end of all", done).await;
    assert_eq!(scene.count(session, is_merged), 1);
    assert_eq!(world.ok(&["sessions", "--json"]).stdout.lines().count(), 1);
}
