//! What the tests share: a real server on a store of its own, people in it, and what they send.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{
    BlobRef, CallId, Digest, EventBody, EvidenceRun, OrgId, Outcome, Owner, ProjectId, PullRequest,
    PullRequestState, Rank, SandboxId, Secret, SessionId, Side, Source, Task, Timestamp, UserId,
    egress::AccessAsk, evidence::Exit,
};
use cofferdam_server::{
    Choices, Forges, Hooks, Limits, OpenId, OpenIdSettings, Origin, SealError, SecretSeal, Server,
    ServerParts,
};
use cofferdam_store::{CheckpointKey, Everything, Placement, Ticket, Writer};
use cofferdam_testkit::Postgres;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Longer than anything takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What a store is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    /// A server of the suite's own.
    Postgres,
}

/// Runs each of these on every kind of store.
macro_rules! on_every_store {
    ($($test:ident,)*) => { $(
        mod $test {
            use crate::harness::Kind;

            #[tokio::test]
            async fn sqlite() {
                super::$test(Kind::Sqlite).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$test(Kind::Postgres).await;
            }
        }
    )* };
}

/// How a server is to be.
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    pub(crate) limits: Limits,
    pub(crate) openid: Option<OpenIdSettings>,
    pub(crate) hooks: Option<Box<dyn Hooks>>,
    pub(crate) forges: Option<Box<dyn Forges>>,
    /// When its time begins.
    pub(crate) begin: u64,
}

impl Setup {
    pub(crate) fn on(kind: Kind) -> Self {
        Self {
            kind,
            limits: Limits::default(),
            openid: None,
            hooks: None,
            forges: None,
            begin: 1_800_000_000_000,
        }
    }
}

/// A server with a store of its own.
pub(crate) struct World {
    _folder: TempDir,
    pub(crate) store: Arc<dyn Everything>,
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    clock: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
    http: Client,
}

/// Keeps what it is given, turned around: enough to tell that the bytes are not the secret's own.
struct Turned;

#[async_trait]
impl SecretSeal for Turned {
    async fn seal(&self, _: OrgId, _: &str, secret: &Secret) -> Result<Vec<u8>, SealError> {
        Ok(secret.expose().bytes().rev().collect())
    }
}

/// An organisation with somebody in it.
pub(crate) struct Somebody {
    pub(crate) org: OrgId,
    pub(crate) user: UserId,
    pub(crate) token: String,
}

impl World {
    /// One whose store is a file.
    pub(crate) async fn new() -> Self {
        Self::of(Setup::on(Kind::Sqlite)).await.unwrap()
    }

    /// One on a store of this kind; `None` where there can be none, which is said loudly.
    pub(crate) async fn on(kind: Kind) -> Option<Self> {
        Self::of(Setup::on(kind)).await
    }

    /// The same with limits.
    pub(crate) async fn with(kind: Kind, limits: Limits) -> Option<Self> {
        Self::of(Setup { limits, ..Setup::on(kind) }).await
    }

    pub(crate) async fn of(setup: Setup) -> Option<Self> {
        let Setup { kind, limits, openid, hooks, forges, begin } = setup;
        let folder = tempfile::tempdir().unwrap();
        let place = match kind {
            Kind::Sqlite => folder.path().to_str().unwrap().to_owned(),
            Kind::Postgres => Postgres::shared()?.database(),
        };
        let store = cofferdam_store::open(&place).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clock = Arc::new(AtomicU64::new(begin));
        let reads = clock.clone();
        let audit_key = CheckpointKey::generate().unwrap();
        let server = Server::new(ServerParts {
            store: store.clone(),
            origin: Origin::of_loopback(address),
            choices: Choices { models: vec!["scripted/demo".to_owned()], ..Choices::default() },
            seal: Box::new(Turned),
            openid: openid.map(|settings| OpenId::new(settings).unwrap()),
            eraser: None,
            hooks,
            forges,
            clock: Arc::new(move || Timestamp(reads.fetch_add(1, Ordering::Relaxed))),
            limits,
            numbers: Arc::new(|| "# TYPE more gauge\nmore 1\n".to_owned()),
            audit_key: Arc::new(move || Ok(CheckpointKey::read(&audit_key)?)),
        });
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn({
            let server = server.clone();
            async move { server.serve(listener, stopped).await }
        });
        // Fails where another test has done it, which is as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let http =
            Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(LONG).build();
        let http = http.unwrap();
        Some(Self { _folder: folder, store, server, address, clock, stop, serving, http })
    }

    /// Ends the server and waits for it.
    pub(crate) async fn end(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(LONG, self.serving).await.unwrap().unwrap().unwrap();
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.clock.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Somebody of this rank in the organisation that every store has.
    pub(crate) async fn local(&self, rank: Rank) -> Somebody {
        self.somebody(Owner::LOCAL.org, rank).await
    }

    /// Somebody of this rank in an organisation.
    pub(crate) async fn somebody(&self, org: OrgId, rank: Rank) -> Somebody {
        let user = self.store.create_user(rank.name(), None, self.now()).await.unwrap();
        self.store.set_rank(org, user, Some(rank), self.now()).await.unwrap();
        let desk = self.server.desk(org, user, rank.name().to_owned());
        let (_, token) = desk.token("test".to_owned(), rank, 30).await.unwrap();
        Somebody { org, user, token: token.expose().to_owned() }
    }

    /// Another organisation with an admin.
    pub(crate) async fn elsewhere(&self) -> Somebody {
        let org = self.store.create_org("elsewhere", self.now()).await.unwrap();
        self.somebody(org.id, Rank::Admin).await
    }

    pub(crate) async fn project(&self, org: OrgId) -> ProjectId {
        self.store.projects(org).await.unwrap()[0].id
    }

    /// A request without anything that says who asks.
    pub(crate) fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    /// A request of somebody's.
    pub(crate) fn ask(&self, who: &Somebody, method: Method, path: &str) -> RequestBuilder {
        self.plain(method, path).bearer_auth(&who.token)
    }

    /// What the API answers to a GET.
    pub(crate) async fn get(&self, who: &Somebody, path: &str) -> (StatusCode, Value) {
        answer(self.ask(who, Method::GET, &format!("/api/v1{path}"))).await
    }

    /// What it answers to a POST.
    pub(crate) async fn post(&self, who: &Somebody, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(json(self.ask(who, Method::POST, &format!("/api/v1{path}")), body)).await
    }

    /// A session of somebody's with these events after the first.
    pub(crate) async fn session(&self, who: &Somebody, rest: Vec<EventBody>) -> SessionId {
        let project = self.project(who.org).await;
        let owner = Owner { org: who.org, project, user: who.user };
        let ticket = Ticket { owner, placement: Placement::Queued { priority: 0 } };
        let task =
            Task::new("Fix it".to_owned(), "/srv/a".to_owned(), None, "ann".to_owned(), Source::Api).unwrap();
        let id = SessionId::generate();
        self.store.enqueue(ticket, id, self.now(), EventBody::TaskAccepted { task }, rest).await.unwrap();
        id
    }

    /// Writes into its log what only a worker does.
    pub(crate) async fn append(&self, session: SessionId, body: EventBody) {
        self.store.append(session, Writer::Anybody, self.now(), vec![body]).await.unwrap();
    }

    /// A session that has ended with everything that one can have.
    pub(crate) async fn finished(&self, who: &Somebody) -> (SessionId, Digest) {
        let patch = self.store.put_blob(b"diff --git a/a b/a\n").await.unwrap();
        let session = self.session(who, delivered(patch)).await;
        let mut pull_request = pull_request(session);
        pull_request.session = session;
        self.append(session, EventBody::PullRequestOpened(Box::new(pull_request))).await;
        self.append(session, EventBody::SessionEnded { outcome: Outcome::Succeeded }).await;
        (session, patch.digest)
    }
}

/// A request with a JSON body.
pub(crate) fn json(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request.header("content-type", "application/json").body(body.to_string())
}

/// The status and the JSON of an answer; null where it has none.
pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// That an answer is a problem of this status.
pub(crate) async fn is_problem(response: Response, status: u16) -> String {
    assert_eq!(response.status().as_u16(), status, "{}", response.url());
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/problem+json");
    let problem: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["status"], status);
    problem["detail"].as_str().unwrap().to_owned()
}

pub(crate) fn call() -> CallId {
    CallId { step: 1, index: 0 }
}

pub(crate) fn question() -> EventBody {
    EventBody::QuestionAsked { call: call(), question: "Which one?".to_owned() }
}

pub(crate) fn plan(text: &str) -> EventBody {
    EventBody::PlanProposed { call: call(), text: text.to_owned(), digest: Digest::of(text.as_bytes()) }
}

pub(crate) fn access() -> AccessAsk {
    let rule = serde_json::json!({ "name": "docs", "host": "docs.example.com" });
    AccessAsk { call: call(), rule: serde_json::from_value(rule).unwrap(), reason: "to read them".to_owned() }
}

fn delivered(patch: BlobRef) -> Vec<EventBody> {
    let run = EvidenceRun {
        side: Side::Head,
        tree: "0".repeat(40),
        command: "make check".to_owned(),
        exit: Exit::Code(0),
        output: patch,
        millis: 5,
        tests: None,
    };
    let received = serde_json::json!({
        "bundle": Digest::of(b"bundle"),
        "head": "1".repeat(40),
        "tree": "0".repeat(40),
        "stat": { "files": 1, "added": 1, "removed": 0 },
        "patch": patch,
    });
    vec![
        EventBody::SandboxReady { sandbox: SandboxId::generate(), level: "test".to_owned(), moved: None },
        EventBody::AccessAsked(Box::new(access())),
        EventBody::ObjectsReceived(serde_json::from_value(received).unwrap()),
        EventBody::EvidenceRun(run),
    ]
}

fn pull_request(session: SessionId) -> PullRequest {
    PullRequest {
        number: 1,
        session,
        repository: "/srv/a".to_owned(),
        branch: "cofferdam/1".to_owned(),
        base_branch: "main".to_owned(),
        base_commit: "0".repeat(40),
        head_commit: "1".repeat(40),
        title: "Fix it".to_owned(),
        body: "Facts".to_owned(),
        draft: false,
        state: PullRequestState::Open,
        opened: Timestamp(1),
    }
}
