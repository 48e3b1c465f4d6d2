//! The worker as a service of the queue, with people around it.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_agent::{Agent, replay};
use cofferdam_domain::{
    Event, EventBody, Label, Outcome, Owner, PullRequestState, Secret, Seq, SessionId, Wishes,
    effective::{Fork, checkpoints, fork},
    event::PlanDecision,
    policy::Questions,
};
use cofferdam_forge::Mirrors;
use cofferdam_store::{
    BucketOptions, Depth, Placement, Presence, Queue, Release, Shares, SqliteStore, Standing, Store,
    StoreError, Taken, Ticket, Writer,
};
use cofferdam_testkit::Objects;
use cofferdam_worker::{Nobody, Parts, Service, ServiceNews, ServiceOptions, WorkerError, now};
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::scene::Scene;

/// What the service tells, in words.
type Told = mpsc::UnboundedReceiver<String>;

/// A scene with a store and, usually, a worker.
pub(crate) struct Hall {
    pub(crate) scene: Scene,
    pub(crate) store: Arc<SqliteStore>,
    _folder: tempfile::TempDir,
}

/// A worker that runs.
pub(crate) struct Running {
    stop: watch::Sender<bool>,
    told: Told,
    service: JoinHandle<Result<(), WorkerError>>,
}

impl Hall {
    pub(crate) async fn open(transcript: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("scene");
        let scene = transcript.map_or_else(|| Scene::make(&root), |text| Scene::with(&root, text));
        let store = scene.store().await;
        Self { scene, store, _folder: folder }
    }

    /// The parts of a worker here, or `None` where there can be no sandboxes.
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    pub(crate) async fn parts(&self) -> Option<Parts> {
        match self.scene.own_parts(self.store.clone(), Arc::new(self.scene.forge())).await {
            Ok(parts) => Some(parts),
            Err(error) => {
                eprintln!("SKIPPED: this host makes no sandboxes: {error}");
                None
            }
        }
    }

    pub(crate) fn start(&self, parts: Parts) -> Running {
        self.start_with(parts, self.store.clone())
    }

    fn start_with(&self, parts: Parts, queue: Arc<dyn Queue>) -> Running {
        let (stop, asked) = watch::channel(false);
        let (tell, told) = mpsc::unbounded_channel();
        let many = NonZeroU32::new(8).unwrap();
        let options = ServiceOptions {
            slots: NonZeroUsize::new(2).unwrap(),
            shares: Shares { per_user: many, per_org: many, per_repository: many },
            patience: Duration::from_secs(30),
            grace: Duration::from_secs(60),
            watch: Arc::new(Nobody),
            news: Arc::new(move |news: ServiceNews<'_>| drop(tell.send(format!("{news:?}")))),
        };
        let service = tokio::spawn(Service::run(Arc::new(parts), queue, options, asked));
        Running { stop, told, service }
    }

    pub(crate) async fn events(&self, session: SessionId) -> Vec<Event> {
        self.store.read(session, Seq::START, 10_000).await.unwrap()
    }

    pub(crate) async fn agent(&self, session: SessionId) -> Agent {
        Agent::of(session, &self.events(session).await)
    }

    pub(crate) async fn append(&self, session: SessionId, body: EventBody) {
        self.store.append(session, Writer::Anybody, now(), vec![body]).await.unwrap();
    }

    /// Waits for an event in a session's log.
    pub(crate) async fn until(&self, session: SessionId, wanted: impl Fn(&EventBody) -> bool) -> Event {
        let mut events = self.store.follow(session, Seq::START).await.unwrap();
        loop {
            let event = events.next().await.unwrap().unwrap();
            if wanted(&event.body) {
                return event;
            }
        }
    }

    /// The log is whole, and what the agent decided.
    pub(crate) async fn check(&self, session: SessionId) {
        self.store.verify(session).await.unwrap();
        replay(&self.events(session).await).unwrap();
    }

    pub(crate) fn in_branch(&self, session: SessionId, path: &str) -> String {
        self.scene.git(&["show", &format!("cofferdam/{session}:{path}")])
    }

    fn directory(&self, session: SessionId) -> std::path::PathBuf {
        self.scene.data().join("sessions").join(session.to_string())
    }
}

impl Running {
    /// Waits until the service tells this.
    pub(crate) async fn hear(&mut self, text: &str) -> String {
        let mut before = Vec::new();
        loop {
            let told = self.told.recv().await;
            let told = told.unwrap_or_else(|| panic!("it never said {text:?}, but {before:?}"));
            if told.contains(text) {
                return told;
            }
            assert!(!told.starts_with("Because") || text == "Because", "{told}");
            before.push(told);
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.service.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_worked_on_side_by_side() {
    let hall = Hall::open(None).await;
    let Some(parts) = hall.parts().await else { return };
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(hall.scene.enqueue(&*hall.store, Wishes::default()).await);
    }
    let mut running = hall.start(parts);
    for _ in 0..3 {
        running.hear("Released").await;
    }
    running.stop().await;
    let mut claims = Vec::new();
    for session in sessions {
        assert_eq!(hall.agent(session).await.outcome(), Some(&Outcome::Succeeded));
        assert_eq!(hall.in_branch(session, "sum.sh"), "echo $(( $1 + $2 ))\n");
        hall.check(session).await;
        let ended = |body: &EventBody| matches!(body, EventBody::SessionEnded { .. });
        let claimed = |body: &EventBody| matches!(body, EventBody::Claimed { .. });
        claims.push((hall.until(session, claimed).await.at, hall.until(session, ended).await.at));
    }
    assert!(claims[1].0 < claims[0].1, "the second was taken before the first had ended");
    let Depth { waiting, running, workers } = hall.store.depth().await.unwrap();
    assert_eq!((waiting, running, workers), (0, 0, 0));
}

const STORY: &str = r#"
name = "a story with people"

[[step]]
call = [
    { tool = "shell", args = { command = "echo bad > sum.sh" } },
    { tool = "propose_plan", args = { plan = "Change the sign." } },
]

[[step]]
text = "Which sign?"
call = [{ tool = "ask", args = { question = "Plus?" } }]

[[step]]
expect.contains = ["Plus, indeed."]
call = [{ tool = "shell", args = { command = "sed -i 's/- [$]2/+ $2/' sum.sh" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add", summary = "The sign." } }]

[[step]]
expect.contains = ["Write a note as well."]
call = [{ tool = "shell", args = { command = "cat sum.sh; git log --oneline | wc -l; echo note > NOTE" } }]

[[step]]
expect.contains = ["+ $2", "2"]
call = [{ tool = "finish", args = { outcome = "done", title = "Add, with a note", summary = "Sign and note." } }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_decide_answer_write_and_merge() {
    let hall = Hall::open(Some(STORY)).await;
    let Some(mut parts) = hall.parts().await else { return };
    parts.policy.questions = Questions::Wait;
    let wishes = Wishes { plan_first: true, ..Wishes::default() };
    let session = hall.scene.enqueue(&*hall.store, wishes).await;
    let mut running = hall.start(parts);

    running.hear("Waiting(Plan)").await;
    assert_eq!(hall.store.depth().await.unwrap().running, 0);
    let proposed = hall.until(session, |body| matches!(body, EventBody::PlanProposed { .. })).await;
    let EventBody::PlanProposed { digest, .. } = proposed.body else { panic!() };
    let refused = hall.events(session).await;
    assert!(
        !refused
            .iter()
            .any(|event| matches!(&event.body, EventBody::ToolStarted { tool, .. } if tool == "shell"))
    );
    let decision = PlanDecision::Approved { text: Some("Change the sign, nothing else.".to_owned()) };
    hall.append(session, EventBody::PlanDecided { digest, by: "ann".to_owned(), decision }).await;

    running.hear("Waiting(Answer)").await;
    let asked = hall.until(session, |body| matches!(body, EventBody::QuestionAsked { .. })).await;
    let EventBody::QuestionAsked { call, .. } = asked.body else { panic!() };
    let answer = "Plus, indeed.".to_owned();
    hall.append(session, EventBody::QuestionAnswered { call, by: "ann".to_owned(), text: answer }).await;

    running.hear("Over(Succeeded)").await;
    let first = hall.agent(session).await.pull_request().unwrap().clone();
    assert_eq!(hall.in_branch(session, "sum.sh"), "echo $(( $1 + $2 ))\n");
    assert!(!hall.directory(session).join("layer").exists());
    let patch = hall.agent(session).await.received().unwrap().patch.unwrap();
    let patch = String::from_utf8(hall.store.blob(patch.digest).await.unwrap()).unwrap();
    assert!(patch.contains("+echo $(( $1 + $2 ))"), "{patch}");

    let (from, label) = ("ann".to_owned(), Label::REQUESTER);
    hall.append(
        session,
        EventBody::MessageReceived { from, text: "Write a note as well.".to_owned(), label, about: None },
    )
    .await;
    running.hear("Over(Succeeded)").await;
    let second = hall.agent(session).await.pull_request().unwrap().clone();
    assert_eq!((second.number, second.title.as_str()), (first.number, "Add, with a note"));
    assert_eq!(hall.in_branch(session, "NOTE"), "note\n");
    let log = hall.scene.git(&["rev-list", &format!("main..cofferdam/{session}")]);
    let commits: Vec<&str> = log.lines().collect();
    assert_eq!(
        commits,
        [second.head_commit.as_str(), first.head_commit.as_str()],
        "on top of what was published"
    );
    assert_eq!(hall.scene.forge().list().unwrap().len(), 1);

    // Not what is there any more, then what is.
    let merge = |commit: &str| EventBody::MergeAsked { by: "ann".to_owned(), commit: commit.to_owned() };
    hall.append(session, merge(&first.head_commit)).await;
    hall.until(session, |body| matches!(body, EventBody::MergeFailed { .. })).await;
    running.hear("Over(Succeeded)").await;
    hall.scene.git(&["switch", "--quiet", "--detach"]);
    hall.append(session, merge(&second.head_commit)).await;
    let closed = hall.until(session, |body| matches!(body, EventBody::PullRequestClosed { .. })).await;
    let merged = EventBody::PullRequestClosed {
        state: PullRequestState::Merged { commit: second.head_commit.clone() },
    };
    assert_eq!(closed.body, merged);
    assert_eq!(hall.scene.git(&["rev-parse", "main"]).trim(), second.head_commit);
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    hall.check(session).await;
}

/// A directory is made twice only if what was taken back is gone.
pub(crate) const BACK: &str = r#"
name = "there and back"

[[step]]
call = [{ tool = "shell", args = { command = "sed -i 's/- [$]2/+ $2/' sum.sh" } }]

[[step]]
call = [{ tool = "shell", args = { command = "mkdir made && echo x > made/file && echo fresh" } }]

[[step]]
expect.contains = ["fresh"]
call = [{ tool = "ask", args = { question = "Well?" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add", summary = "The sign." } }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_taken_back_and_forked() {
    let hall = Hall::open(Some(BACK)).await;
    let Some(mut parts) = hall.parts().await else { return };
    parts.policy.questions = Questions::Wait;
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    running.hear("Waiting(Answer)").await;
    let kept = checkpoints(&hall.events(session).await);
    // The second is for all that came after the first: it is made after its step, or when the session waits.
    assert!(matches!(kept.iter().map(|kept| kept.step).collect::<Vec<_>>()[..], [1, 2 | 3]), "{kept:?}");
    let instruction = Some("Once more.".to_owned());
    let back = EventBody::RolledBack { to: kept[0].at, by: "ann".to_owned(), instruction };
    hall.append(session, back).await;
    running.hear("Waiting(Answer)").await;
    let go_on = || EventBody::ContinueAsked { by: "ann".to_owned() };
    hall.append(session, go_on()).await;
    running.hear("Over(Succeeded)").await;
    assert_eq!(hall.in_branch(session, "made/file"), "x\n");
    hall.check(session).await;

    let mut bodies =
        fork(&hall.events(session).await[..], kept[0].at, Fork { by: "bob".to_owned(), ..Fork::default() })
            .unwrap_or_else(|error| panic!("{error}"));
    let first = bodies.remove(0);
    let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
    let other = SessionId::generate();
    hall.store.enqueue(ticket, other, now(), first, bodies).await.unwrap();
    running.hear("Waiting(Answer)").await;
    hall.append(other, go_on()).await;
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    hall.check(other).await;
    assert_eq!(hall.in_branch(other, "made/file"), "x\n");
    assert_eq!(hall.in_branch(other, "sum.sh"), "echo $(( $1 + $2 ))\n", "from the other session's files");
    for session in [other, session] {
        cofferdam_worker::erase(&hall.scene.data(), session).await.unwrap();
        assert!(!hall.directory(session).exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_paused_while_it_works_needs_no_worker() {
    let hall = Hall::open(None).await;
    let Some(parts) = hall.parts().await else { return };
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    hall.append(session, EventBody::PauseAsked { by: "ann".to_owned() }).await;
    let mut running = hall.start(parts);
    let other = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    running.hear("Over(Succeeded)").await;
    assert!(hall.agent(session).await.outcome().is_none() && hall.agent(other).await.outcome().is_some());
    hall.append(session, EventBody::ContinueAsked { by: "ann".to_owned() }).await;
    hall.until(session, |body| matches!(body, EventBody::ToolStarted { .. })).await;
    hall.append(session, EventBody::PauseAsked { by: "ann".to_owned() }).await;
    running.hear("Waiting(Pause)").await;
    assert!(hall.directory(session).join("layer").exists(), "the files stay");
    hall.append(session, EventBody::ContinueAsked { by: "ann".to_owned() }).await;
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    hall.check(session).await;
}

pub(crate) const SLOW: &str = r#"
name = "slow"

[[step]]
call = [{ tool = "shell", args = { command = "sleep 2; sed -i 's/- [$]2/+ $2/' sum.sh" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add", summary = "The sign." } }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_asked_to_stop_lets_calls_end_and_hands_over() {
    let hall = Hall::open(Some(SLOW)).await;
    let Some(parts) = hall.parts().await else { return };
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let running = hall.start(parts);
    hall.until(session, |body| matches!(body, EventBody::ToolStarted { .. })).await;
    running.stop().await;
    let finished = hall.agent(session).await;
    assert!(finished.outcome().is_none() && finished.sandbox().is_some());
    let Some(parts) = hall.parts().await else { return };
    let mut running = hall.start(parts);
    running.hear("Over(Succeeded)").await;
    running.stop().await;
    let events = hall.events(session).await;
    assert!(!events.iter().any(|event| matches!(event.body, EventBody::ToolLost { .. })));
    hall.check(session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_defect_in_one_session_touches_no_other() {
    let hall = Hall::open(None).await;
    let Some(parts) = hall.parts().await else { return };
    let wishes = Wishes { model: Some("a model with a defect".to_owned()), ..Wishes::default() };
    let bad = hall.scene.enqueue(&*hall.store, wishes).await;
    let wishes = Wishes { policy: Some("strict".to_owned()), ..Wishes::default() };
    let unknown = hall.scene.enqueue(&*hall.store, wishes).await;
    let good = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start(parts);
    let failed = running.hear("Because").await;
    assert!(failed.contains(&bad.to_string()) && failed.contains("defect"), "{failed}");
    let ended = |body: &EventBody| matches!(body, EventBody::SessionEnded { .. });
    hall.until(good, ended).await;
    let no_policy = format!("{:?}", hall.until(unknown, ended).await.body);
    assert!(no_policy.contains("there is no policy"), "{no_policy}");
    running.stop().await;
    assert_eq!(hall.agent(good).await.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(hall.agent(bad).await.outcome(), None, "it is tried again later");
    hall.check(unknown).await;
}

/// A queue that tells of crashes, and of a presence that is lost.
struct Odd {
    inner: Arc<SqliteStore>,
    crashes: AtomicU32,
    lost: watch::Sender<bool>,
    entered: AtomicBool,
}

#[async_trait]
impl Queue for Odd {
    async fn enter(&self, name: &str, patience: Duration) -> Result<Presence, StoreError> {
        let mut presence = self.inner.enter(name, patience).await?;
        if !self.entered.swap(true, Ordering::SeqCst) {
            presence.lost = self.lost.subscribe();
        }
        Ok(presence)
    }

    async fn next(&self, presence: &Presence, shares: Shares) -> Result<Option<Taken>, StoreError> {
        let taken = self.inner.next(presence, shares).await?;
        Ok(taken.map(|taken| Taken { crashes: taken.crashes + self.crashes.load(Ordering::SeqCst), ..taken }))
    }

    async fn release(&self, taken: Taken, release: Release) -> Result<(), StoreError> {
        self.inner.release(taken, release).await
    }

    async fn stirred(&self) -> Result<BoxStream<'static, ()>, StoreError> {
        self.inner.stirred().await
    }

    async fn leave(&self, presence: Presence) -> Result<(), StoreError> {
        self.inner.leave(presence).await
    }

    async fn holder(&self, session: SessionId) -> Result<Option<String>, StoreError> {
        self.inner.holder(session).await
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        self.inner.depth().await
    }

    async fn standing(&self) -> Result<Standing, StoreError> {
        self.inner.standing().await
    }
}

fn odd(hall: &Hall, crashes: u32) -> Arc<Odd> {
    let (crashes, entered) = (AtomicU32::new(crashes), AtomicBool::new(false));
    Arc::new(Odd { inner: hall.store.clone(), crashes, lost: watch::Sender::new(false), entered })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_workers_die_with_is_given_up() {
    let hall = Hall::open(None).await;
    let Some(parts) = hall.parts().await else { return };
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut running = hall.start_with(parts, odd(&hall, 5));
    running.hear("given up: 5 workers in a row").await;
    running.stop().await;
    hall.check(session).await;
    assert!(matches!(hall.agent(session).await.outcome(), Some(Outcome::Failed { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_silent_for_too_long_drops_everything_and_begins_anew() {
    let hall = Hall::open(Some(SLOW)).await;
    let Some(parts) = hall.parts().await else { return };
    let session = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let queue = odd(&hall, 0);
    let mut running = hall.start_with(parts, queue.clone());
    hall.until(session, |body| matches!(body, EventBody::ToolStarted { .. })).await;
    queue.lost.send_replace(true);
    running.hear("Lost").await;
    running.hear("Entered").await;
    running.hear("Over(").await;
    running.stop().await;
    let events = hall.events(session).await;
    let lost = events.iter().filter(|event| matches!(event.body, EventBody::ToolLost { .. })).count();
    let claims = events.iter().filter(|event| matches!(event.body, EventBody::Claimed { .. })).count();
    assert_eq!((lost, claims), (1, 2), "nothing was written when it was lost");
    hall.check(session).await;
}

/// A bucket of this object store.
pub(crate) fn bucket(objects: &Objects) -> BucketOptions {
    objects.bucket("files");
    let options = BucketOptions::parse("s3://files/of/sessions").unwrap().at(&objects.endpoint()).unwrap();
    let settings = [
        ("AWS_ACCESS_KEY_ID", Objects::KEY.0),
        ("AWS_SECRET_ACCESS_KEY", Objects::KEY.1),
        ("AWS_REGION", "us-east-1"),
    ];
    settings
        .into_iter()
        .fold(options, |options, (name, value)| options.with(name, Secret::new(value)).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_machine_goes_on_with_the_files_of_the_first() {
    let Some(objects) = Objects::start() else { return };
    // Who takes it up is told so, and asks the model once more.
    let transcript = BACK.replacen("name", "after = \"repeat\"\nname", 1);
    let mut hall = Hall::open(Some(&transcript)).await;
    let store = SqliteStore::open_with(&hall.scene.data(), Some(&bucket(&objects))).await.unwrap();
    hall.store = Arc::new(store);
    let Some(mut parts) = hall.parts().await else { return };
    parts.policy.questions = Questions::Wait;
    let taken_up = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let taken_back = hall.scene.enqueue(&*hall.store, Wishes::default()).await;
    let mut first = hall.start(parts);
    first.hear("Waiting(Answer)").await;
    first.hear("Waiting(Answer)").await;
    first.stop().await;

    // From here on the first machine has nothing any more.
    let sessions = hall.scene.data().join("sessions");
    std::fs::rename(&sessions, hall.scene.data().join("gone")).unwrap();
    let Some(mut parts) = hall.parts().await else { return };
    parts.policy.questions = Questions::Wait;
    parts.data = hall.scene.root.join("elsewhere");
    parts.mirrors = Mirrors::new(parts.git.clone(), parts.data.join("mirrors"));
    let mut second = hall.start(parts);
    let go_on = || EventBody::ContinueAsked { by: "ann".to_owned() };
    hall.append(taken_up, go_on()).await;
    second.hear("Over(Succeeded)").await;
    assert_eq!(hall.in_branch(taken_up, "sum.sh"), "echo $(( $1 + $2 ))\n");
    assert_eq!(hall.in_branch(taken_up, "made/file"), "x\n");

    let events = hall.events(taken_back).await;
    let kept = checkpoints(&events);
    assert!(kept.iter().all(|kept| kept.archive.is_some()), "{kept:?}");
    let by = Fork { by: "bob".to_owned(), ..Fork::default() };
    let mut bodies = fork(&events, kept[0].at, by).unwrap_or_else(|error| panic!("{error}"));
    let ticket = Ticket { owner: Owner::LOCAL, placement: Placement::Queued { priority: 0 } };
    let forked = SessionId::generate();
    let accepted = bodies.remove(0);
    hall.store.enqueue(ticket, forked, now(), accepted, bodies).await.unwrap();
    let back = EventBody::RolledBack { to: kept[0].at, by: "ann".to_owned(), instruction: None };
    hall.append(taken_back, back).await;
    for session in [taken_back, forked] {
        second.hear("Waiting(Answer)").await;
        assert!(!sessions.join(session.to_string()).exists());
    }
    for session in [taken_back, forked] {
        hall.append(session, go_on()).await;
        second.hear("Over(Succeeded)").await;
        assert_eq!(hall.in_branch(session, "sum.sh"), "echo $(( $1 + $2 ))\n", "of the checkpoint");
        assert_eq!(hall.in_branch(session, "made/file"), "x\n");
    }
    second.stop().await;
    for session in [taken_up, taken_back, forked] {
        hall.check(session).await;
    }
}
