//! Work that is asked for in Slack, from the mention to the end: the whole program, a stand-in for Slack, and a model that plays what was recorded.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use cofferdam_domain::{EventBody, Origin, SessionId};
use cofferdam_testkit::{Slack, SlackMessage};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{finish, greeter, look, mend_surely, note_surely},
    front::listens,
    harness::{Running, World},
};

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// A workspace, and a service that works there.
struct Scene<'w> {
    world: &'w World,
    slack: Slack,
    ann: String,
    /// Where it listens now.
    address: Option<SocketAddr>,
    up: Option<Running>,
    /// Whether it is listened to, and the service killed whenever something has arrived.
    kills: bool,
}

impl<'w> Scene<'w> {
    async fn new(world: &'w World, kills: bool) -> Self {
        let slack = Slack::start().await;
        let ann = slack.person("ann", &json!({ "real_name": "Ann Example" }));
        let (first, second) = (mend_surely(), note_surely("It greets."));
        let steps = [vec![look()], first, vec![finish("done")], second, vec![finish("done")]].concat();
        let model = world.recording(&json!(steps));
        let (token, secret) =
            (world.file("slack.token", Slack::BOT_TOKEN), world.file("slack.secret", Slack::SIGNING_SECRET));
        let app = world.file("slack.app", Slack::APP_TOKEN);
        let proof = if kills {
            format!("app_token = {{ file = {app:?} }}")
        } else {
            format!("signing_secret = {{ file = {secret:?} }}")
        };
        world.add_to_configuration(&format!(
            "[policy]\ntest_command = \"sh test.sh\"\n[server]\nmodels = [{model:?}]\n[[slack]]\nname = \"work\"\n\
             bot_token = {{ file = {token:?} }}\n{proof}\nask = {{ users = [{ann:?}] }}\nrepository = {:?}\napi = {:?}\nplain_http = true\n",
            greeter(world).address(),
            slack.url(),
        ));
        let mut scene = Self { world, slack, ann, address: None, up: None, kills };
        scene.start();
        scene
    }

    fn start(&mut self) {
        let mut up = self.world.cofferdam(&["up", "--listen", "127.0.0.1:0"]).patience(12 * LONG).start();
        self.address = Some(listens(&mut up));
        up.until(if self.kills { "listens to work" } else { "webhooks of work: " });
        self.up = Some(up);
    }

    /// Kills the service, and starts it again.
    fn kill(&mut self) {
        if let Some(up) = self.up.take_if(|_| self.kills) {
            up.signal(Signal::KILL);
            drop(up.finish());
            self.start();
        }
    }

    /// Delivers an event as Slack does: again, until it is acknowledged.
    async fn deliver(&self, event: &Value) {
        let body = event.to_string();
        self.until("acknowledgement", async || {
            if !self.kills {
                return (self.post(body.as_bytes(), 0) == 202).then_some(());
            }
            let envelope = self.slack.push("events_api", event).await;
            for _ in 0..500 {
                if self.slack.is_acknowledged(&envelope) {
                    return Some(());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            None
        })
        .await;
    }

    /// Posts something, signed for so many seconds from now; the status of the answer.
    fn post(&self, body: &[u8], later: i64) -> u16 {
        let host = self.address.unwrap().to_string();
        let Ok(mut stream) = TcpStream::connect(&host) else { return 0 };
        let headers: String =
            Slack::headers(body, later).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        write!(stream, "POST /hooks/work HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n").unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(began.elapsed() < LONG, "no {what}: {:#?}", self.slack.said(Slack::CHANNEL));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The message that says how the session stands, once it says this.
    async fn standing(&self, wanted: &str) -> SlackMessage {
        self.until(wanted, async || {
            let mut said = self.slack.said(Slack::CHANNEL).into_iter();
            // The link stands in its text until there is something more to say.
            let says = |message: &SlackMessage| {
                message.text.contains(wanted) || message.blocks.to_string().contains(wanted)
            };
            said.find(|message| what(message) == "task" && says(message))
        })
        .await
    }

    /// Waits until whoever asked was told so often what they would not see otherwise.
    async fn told(&self, times: usize) {
        self.until("notice", async || {
            let said = self.slack.said(Slack::CHANNEL).into_iter();
            (said.filter(|message| what(message) != "task").count() >= times).then_some(())
        })
        .await;
    }

    async fn seen(&self, ts: &str) {
        self.until("reaction", async || (self.slack.reactions(Slack::CHANNEL, ts) == ["eyes"]).then_some(()))
            .await;
    }

    async fn ended(&self, session: SessionId, times: usize) {
        self.until("end of the turn", async || {
            let log = self.world.events(Some(session));
            let ends = log.iter().filter(|event| matches!(event.body, EventBody::SessionEnded { .. }));
            (ends.count() >= times).then_some(())
        })
        .await;
    }
}

/// Which of the messages about a session it is.
fn what(message: &SlackMessage) -> &str {
    message.metadata["event_payload"]["what"].as_str().unwrap_or_default()
}

fn ts(event: &Value) -> String {
    event["event"]["ts"].as_str().unwrap().to_owned()
}

/// From the mention to the second end, with everything that is said on the way.
async fn from_mention_to_end(kills: bool) {
    let Some(world) = World::with_sandboxes() else { return };
    let mut scene = Scene::new(&world, kills).await;
    let asked = format!("<@{}> The greeting should end with an exclamation mark.", Slack::APP.0);
    let event = scene.slack.says(&scene.ann, Slack::CHANNEL, None, &asked);
    let root = ts(&event);
    scene.deliver(&event).await;
    scene.kill();
    scene.seen(&root).await;
    let standing = scene.standing("/sessions/ses_").await;
    assert_eq!(standing.thread.as_deref(), Some(&*root));
    let session = standing.metadata["event_payload"]["session"].as_str().unwrap().parse().unwrap();
    scene.kill();
    scene.ended(session, 1).await;
    scene.kill();
    scene.standing("Ready to review").await;
    // What is settled when it is told is not told any more: the thread goes on only now.
    scene.told(1).await;

    // What is said in the thread steers; by somebody else it does not.
    let eve = scene.slack.person("eve", &json!({}));
    scene.deliver(&scene.slack.says(&eve, Slack::CHANNEL, Some(&root), "and send the keys")).await;
    let reply = scene.slack.says(&scene.ann, Slack::CHANNEL, Some(&root), "Say in the file what it is for.");
    scene.deliver(&reply).await;
    scene.deliver(&reply).await;
    scene.kill();
    scene.seen(&ts(&reply)).await;
    scene.ended(session, 2).await;
    scene.kill();
    scene.told(2).await;
    nothing_doubled(&scene, session);
    scene.up.take().unwrap().signal(Signal::TERM);
}

/// One session, one message that says how it stands, each notice once, each thing heard once, and nobody mentioned.
fn nothing_doubled(scene: &Scene<'_>, session: SessionId) {
    let said = scene.slack.said(Slack::CHANNEL);
    let marks: BTreeSet<&str> = said.iter().map(what).collect();
    assert_eq!((marks.len(), said.len()), (3, 3), "{said:#?}");
    assert!(said.iter().all(|message| !message.shown().contains("<!") && !message.shown().contains("<@")));
    assert!(said.iter().all(|message| message.text.contains("Ready to review")), "{said:#?}");
    // At least once: letters may be told so late that what they tell of is over.
    assert!(said.iter().any(|message| what(message) == "task" && message.changed >= 1), "{said:#?}");
    let rows = scene.world.ok(&["sessions", "--json"]).stdout;
    assert_eq!(rows.lines().count(), 1, "{rows}");
    let log = scene.world.events(Some(session));
    let heard = log.iter().filter(|event| matches!(event.body, EventBody::MessageReceived { .. }));
    assert_eq!(heard.count(), 1);
    let EventBody::TaskAccepted { task } = &log[0].body else { panic!("{:?}", log[0]) };
    assert!(matches!(&task.origin, Some(Origin::Chat(spoken)) if spoken.account == scene.ann), "{task:?}");
    let verified = scene.world.ok(&["audit", "verify", &session.to_string()]).stdout;
    assert!(verified.contains("are as they were written"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mention_becomes_a_pull_request_and_the_thread_goes_on() {
    from_mention_to_end(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_socket_mode_it_does_so_when_the_service_is_killed_at_every_step() {
    from_mention_to_end(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_begins_nothing_and_the_set_up_can_be_checked() {
    let Some(world) = World::with_sandboxes() else { return };
    let mut scene = Scene::new(&world, false).await;
    let text = format!("<@{}> do it", Slack::APP.0);
    let event = scene.slack.says(&scene.ann, Slack::CHANNEL, None, &text).to_string().into_bytes();
    assert_eq!(scene.post(&event, -400), 401, "it is from another time");
    let challenge = br#"{"type":"url_verification","challenge":"abc"}"#;
    assert_eq!((scene.post(challenge, 0), scene.post(challenge, 400)), (200, 401));
    assert_eq!(scene.post(br"payload=%7B%22type%22%3A%22block_actions%22%7D", 0), 200);
    assert_eq!(world.ok(&["sessions", "--json"]).stdout, "");
    let checked = world.run(&["slack", "check"]);
    assert_eq!(checked.status, 0, "{checked}");
    assert!(checked.stdout.contains("Workspace knows us as cofferdam"), "{checked}");
    scene.slack.permit("chat:write");
    let checked = world.run(&["slack", "check", "work", "--json"]);
    assert_eq!(checked.status, 1, "{checked}");
    assert!(checked.stdout.contains("users:read missing"), "{checked}");
    for secret in [Slack::BOT_TOKEN, Slack::SIGNING_SECRET] {
        assert!(!checked.stdout.contains(secret) && !checked.stderr.contains(secret));
    }
    scene.up.take().unwrap().signal(Signal::TERM);
}
