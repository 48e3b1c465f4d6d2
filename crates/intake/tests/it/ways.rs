//! A store of either kind, and a way whose arrivals are dealt with one by one.

use std::sync::Arc;

use cofferdam_domain::{Digest, Event, EventBody, OrgId, Origin, Outcome, Seq, SessionId, Task, Timestamp};
use cofferdam_intake::{Accepted, Place, Way, now};
use cofferdam_store::{Arrival, Dealt, Everything, KeptPlaybook, SessionFilter, TakenArrival, Writer};
use cofferdam_testkit::Postgres;
use futures_util::StreamExt as _;
use tempfile::TempDir;

/// Where a store is.
pub(crate) struct Home {
    address: String,
    _folder: Option<TempDir>,
}

impl Home {
    /// A new one of each kind that can be had here.
    pub(crate) fn each() -> Vec<Self> {
        let database = |postgres: &Postgres| Self { address: postgres.database(), _folder: None };
        [Self::here()].into_iter().chain(Postgres::shared().map(database)).collect()
    }

    /// One in a directory.
    pub(crate) fn here() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { address: folder.path().to_str().unwrap().to_owned(), _folder: Some(folder) }
    }

    /// Opens it, as another process would.
    pub(crate) async fn open(&self) -> Arc<dyn Everything> {
        cofferdam_store::open(&self.address).await.unwrap()
    }
}

/// The place of the organisation that every store has.
pub(crate) async fn local(store: &dyn Everything) -> Place {
    Place::find(store, "local", None).await.unwrap()
}

/// Waits for the next arrival and takes it.
pub(crate) async fn take(store: &dyn Everything, way: &dyn Way) -> TakenArrival {
    let sources = [way.source().to_owned()];
    let mut arrivals = store.arrivals(&sources).await.unwrap();
    loop {
        if let Some(taken) = store.take_arrival("test", &sources, 60_000).await.unwrap() {
            return taken;
        }
        arrivals.next().await.unwrap();
    }
}

/// Waits for the next arrival and has it dealt with.
pub(crate) async fn deal(store: &dyn Everything, way: &dyn Way) -> (String, Dealt) {
    let taken = take(store, way).await;
    let dealt = way.deal(&taken).await.unwrap();
    store.dealt(&taken, dealt.clone()).await.unwrap();
    (taken.arrival.id, dealt)
}

/// What is posted is proved, kept, and dealt with.
pub(crate) async fn post(
    store: &dyn Everything,
    way: &dyn Way,
    headers: &http::HeaderMap,
    body: &[u8],
) -> Option<Dealt> {
    let Accepted::Keep(kept) = way.accept(headers, body).unwrap() else { panic!("it is kept") };
    let arrival = Arrival {
        source: way.source().to_owned(),
        id: kept.id,
        event: kept.event,
        line: kept.line,
        org: way.org(),
        at: now(),
        body: body.to_vec(),
    };
    if !store.arrive(arrival).await.unwrap() {
        return None;
    }
    Some(deal(store, way).await.1)
}

/// The session that something was dealt with by beginning.
pub(crate) fn begun(dealt: &Dealt) -> SessionId {
    match dealt {
        Dealt::Done { session: Some(session), what } if what == "begins" => *session,
        Dealt::Done { .. } | Dealt::Again { .. } | Dealt::GivenUp { .. } => panic!("{dealt:?}"),
    }
}

/// All sessions.
pub(crate) async fn sessions(store: &dyn Everything) -> Vec<SessionId> {
    let rows = store.sessions(SessionFilter::default()).await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

/// A session's events.
pub(crate) async fn log(store: &dyn Everything, session: SessionId) -> Vec<Event> {
    store.read(session, Seq::START, 1000).await.unwrap()
}

/// What was asked.
pub(crate) async fn task(store: &dyn Everything, session: SessionId) -> (Task, Origin) {
    match &log(store, session).await[0].body {
        EventBody::TaskAccepted { task } => (task.clone(), task.origin.clone().unwrap()),
        other => panic!("{other:?}"),
    }
}

/// Ends a session.
pub(crate) async fn end(store: &dyn Everything, session: SessionId) {
    append(store, session, EventBody::SessionEnded { outcome: Outcome::NothingToDo }).await;
}

/// Has something happen to a session.
pub(crate) async fn append(store: &dyn Everything, session: SessionId, body: EventBody) {
    store.append(session, Writer::Anybody, now(), vec![body]).await.unwrap();
}

/// A time as text.
pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_millisecond()).unwrap())
}

/// Puts a playbook there, as an admin does.
pub(crate) async fn playbook(store: &dyn Everything, org: OrgId, text: &str) -> Digest {
    let kept = KeptPlaybook {
        name: text.split("name: ").nth(1).and_then(|rest| rest.lines().next()).unwrap().to_owned(),
        digest: Digest::of(text.as_bytes()),
        version: 0,
        description: "What it is for".to_owned(),
        text: text.to_owned(),
        by: "ann".to_owned(),
        at: now(),
    };
    let digest = kept.digest;
    store.put_playbook(org, kept).await.unwrap();
    digest
}
