//! Whatever a collector does, no session notices, and no span is lost that can be kept.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{Digest, Event, EventBody, EventId, Outcome, Seq, SessionId, Source, Task, Timestamp};
use cofferdam_telemetry::{Exporter, Fold, Left, Logs, Parts, Settings, SpanCounts, Table, Told, Unread};
use tokio::time::{Instant, timeout};

use crate::collector::{Collector, Reply, ok};

/// Long enough for anything that is to happen at all.
const LONG: Duration = Duration::from_secs(30);
const SESSION: SessionId = SessionId::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001);

/// One log in memory.
#[derive(Default)]
struct Memory(Mutex<Vec<Event>>);

#[async_trait]
impl Logs for Memory {
    async fn read(&self, session: SessionId, after: Seq, limit: u32) -> Result<Vec<Event>, Unread> {
        if session != SESSION {
            return Err(Unread::Gone);
        }
        let events = self.0.lock().unwrap();
        Ok(events.iter().filter(|event| event.seq > after).take(limit as usize).cloned().collect())
    }
}

impl Memory {
    fn append(&self, bodies: Vec<EventBody>) -> Seq {
        let mut events = self.0.lock().unwrap();
        for body in bodies {
            let place = events.len() as u64 + 1;
            events.push(Event {
                seq: Seq(place),
                id: EventId::from_u128(u128::from(place)),
                session: SESSION,
                at: Timestamp(1_800_000_000_000 + place),
                body,
                previous: Digest::ZERO,
                hash: Digest::ZERO,
            });
        }
        Seq(events.len() as u64)
    }

    /// How many spans the log has that are over.
    fn spans(&self) -> usize {
        let mut fold = Fold::new(SESSION, Default::default());
        self.0.lock().unwrap().iter().map(|event| fold.fold(event).len()).sum()
    }
}

fn accepted() -> Vec<EventBody> {
    let task = Task::new("a".into(), "/r".into(), None, "ann".into(), Source::Cli).unwrap();
    vec![EventBody::TaskAccepted { task }, claimed()]
}

fn claimed() -> EventBody {
    EventBody::Claimed { worker: "host:1".into(), fence: 1 }
}

fn asked(step: u32) -> EventBody {
    EventBody::ModelAsked { step, request: Digest::ZERO, compaction: false }
}

/// A model call that fails: two spans, one of which is over when the next begins.
fn steps(steps: std::ops::Range<u32>) -> Vec<EventBody> {
    let failed = |step| EventBody::ModelFailed {
        step,
        kind: cofferdam_domain::event::ModelFailure::Unavailable,
        message: String::new(),
    };
    steps.flat_map(|step| [asked(step), failed(step)]).collect()
}

fn ended() -> Vec<EventBody> {
    vec![EventBody::SessionEnded { outcome: Outcome::Cancelled }]
}

struct Scene {
    logs: Arc<Memory>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn new() -> Self {
        Self { logs: Arc::default(), told: Arc::default() }
    }

    fn exporter(&self, endpoint: &str, journal: Option<&Path>) -> Exporter {
        let table = Table { endpoint: Some(endpoint.to_owned()), ..Table::default() };
        let environment = |name: &str| (name == "OTEL_EXPORTER_OTLP_TIMEOUT").then(|| "300".to_owned());
        let settings = Settings::resolve(&table, "host:1", &environment).unwrap().unwrap();
        let told = self.told.clone();
        Exporter::start(Parts {
            logs: self.logs.clone(),
            settings,
            client: client(),
            journal: journal.map(Path::to_owned),
            counts: Arc::<SpanCounts>::default(),
            told: Arc::new(move |news: Told<'_>| told.lock().unwrap().push(format!("{news:?}"))),
        })
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

fn client() -> reqwest::Client {
    // Fails where another test has done it, which is as well.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// A whole session, told to a collector that answers the first requests so.
async fn session(replies: Vec<Reply>, steps_: u32) -> (Left, Collector, Scene) {
    let (scene, collector) = (Scene::new(), Collector::start(replies).await);
    let exporter = scene.exporter(&collector.address, None);
    let first = scene.logs.append(accepted());
    scene.logs.append([steps(0..steps_), ended()].concat());
    exporter.heard(SESSION, first);
    let left = timeout(LONG, exporter.finish(Duration::from_secs(5))).await.unwrap();
    (left, collector, scene)
}

#[tokio::test]
async fn a_trace_arrives_whole_and_once() {
    let (left, collector, scene) = session(Vec::new(), 1500).await;
    let all = scene.logs.spans();
    assert!(all > 3000, "more than may wait at once: {all}");
    assert_eq!(left, Left { sent: all as u64, dropped: 0, sessions: 0 });
    assert_eq!(collector.spans().len(), all);
    assert!(collector.spans().values().all(|times| *times == 1));
    assert!(collector.heads().iter().all(|head| {
        head.starts_with("post /v1/traces http/1.1") && head.contains("content-type: application/x-protobuf")
    }));
    assert_eq!(scene.told(), [""; 0]);
}

#[tokio::test]
async fn one_that_asks_for_time_gets_it() {
    let busy = Reply::Says("429 Too Many Requests\r\nretry-after: 1", b"slow down".to_vec());
    let begun = Instant::now();
    let (left, collector, scene) = session(vec![busy], 3).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!((left.dropped, left.sessions), (0, 0));
    assert_eq!(collector.spans().len(), scene.logs.spans());
    assert_eq!(scene.told(), ["Away(\"HTTP 429\")", "Back"]);
}

#[tokio::test]
async fn what_is_refused_for_good_is_counted() {
    for status in
        ["500 Internal Server Error", "400 Bad Request", "302 Found\r\nlocation: http://127.0.0.1:1/"]
    {
        let (left, collector, scene) = session(vec![Reply::Says(status, Vec::new())], 3).await;
        let all = scene.logs.spans() as u64;
        assert_eq!(left, Left { sent: 0, dropped: all, sessions: 0 }, "{status}");
        assert_eq!(collector.heads().len(), 1);
        assert!(scene.told()[0].starts_with(&format!("Refused({all}, ")), "{:?}", scene.told());
    }
}

#[tokio::test]
async fn what_is_rejected_is_counted() {
    // ExportTraceServiceResponse { partial_success { rejected_spans: 2 } }
    let (left, _, scene) = session(vec![Reply::Says("200 OK", vec![0x0a, 0x02, 0x08, 0x02])], 3).await;
    assert_eq!((left.sent, left.dropped), (scene.logs.spans() as u64 - 2, 2));
    assert_eq!(scene.told(), ["Rejected(2)"]);
}

#[tokio::test]
async fn an_answer_without_end_ends_here() {
    let (left, collector, scene) = session(vec![Reply::Endless], 3).await;
    assert_eq!((left.sent, left.dropped), (scene.logs.spans() as u64, 0));
    assert_eq!(collector.spans().len(), scene.logs.spans());
}

#[tokio::test]
async fn one_that_never_answers_holds_nobody_up_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, collector) = (Scene::new(), Collector::start(vec![Reply::Silence; 9]).await);
    let exporter = scene.exporter(&collector.address, Some(folder.path()));
    let first = scene.logs.append(accepted());
    scene.logs.append([steps(0..3), ended()].concat());
    exporter.heard(SESSION, first);
    collector.requests(1).await;
    let begun = Instant::now();
    let left = exporter.finish(Duration::from_secs(2)).await;
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(left, Left { sent: 0, dropped: 0, sessions: 1 });
    assert_eq!(scene.told(), ["Away(\"no answer in time\")"]);
    drop(exporter);
    // The next process on the same data directory finds it, without being told.
    let other = Collector::start(vec![ok()]).await;
    let exporter = scene.exporter(&other.address, Some(folder.path()));
    let left = exporter.finish(Duration::from_secs(5)).await;
    assert_eq!(left, Left { sent: scene.logs.spans() as u64, dropped: 0, sessions: 0 });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left to note");
}

#[tokio::test]
async fn nobody_there_is_no_reason_to_wait() {
    let scene = Scene::new();
    // A port that was free a moment ago.
    let address = Collector::start(Vec::new()).await.address.clone();
    let exporter = scene.exporter(&address, None);
    let first = scene.logs.append(accepted());
    scene.logs.append(ended());
    exporter.heard(SESSION, first);
    let begun = Instant::now();
    let left = exporter.finish(LONG).await;
    assert!(begun.elapsed() < LONG / 2);
    assert_eq!((left.sent, left.sessions), (0, 1));
}

/// What a worker that died had not told, the next one tells; what one had told that let go, it does not.
#[tokio::test]
async fn a_trace_is_whole_whoever_dies() {
    let (scene, collector) = (Scene::new(), Collector::start(Vec::new()).await);
    let first = scene.logs.append(accepted());
    scene.logs.append([steps(0..2), vec![asked(2)]].concat());
    let exporter = scene.exporter(&collector.address, None);
    exporter.heard(SESSION, first);
    collector.requests(1).await;
    // It goes on working, and dies before anybody hears of that.
    scene.logs.append(steps(3..5));
    scene.logs.append(vec![asked(5)]);
    drop(exporter);
    let next = scene.logs.append(vec![claimed()]);
    let exporter = scene.exporter(&collector.address, None);
    exporter.heard(SESSION, next);
    scene.logs.append([steps(5..6), ended()].concat());
    let left = exporter.finish(Duration::from_secs(5)).await;
    assert_eq!((left.dropped, left.sessions), (0, 0));
    assert_eq!(collector.spans().len(), scene.logs.spans(), "none is missing");
}

#[tokio::test]
async fn what_others_have_told_is_not_told_again() {
    let (scene, collector) = (Scene::new(), Collector::start(Vec::new()).await);
    // A worker that let go with nothing under way: the session waited for somebody.
    scene.logs.append([accepted(), steps(0..4)].concat());
    let told = scene.logs.spans();
    let next = scene.logs.append(vec![claimed()]);
    scene.logs.append(ended());
    let exporter = scene.exporter(&collector.address, None);
    exporter.heard(SESSION, next);
    exporter.finish(Duration::from_secs(5)).await;
    assert_eq!(collector.spans().len(), scene.logs.spans() - told);
}

#[tokio::test]
async fn a_session_that_is_gone_is_no_trouble() {
    let (scene, collector) = (Scene::new(), Collector::start(Vec::new()).await);
    let exporter = scene.exporter(&collector.address, None);
    exporter.heard(SessionId::from_u128(7), Seq(1));
    assert_eq!(exporter.finish(LONG).await, Left::default());
}
