//! Several attempts at one task: found together, told under conditions, and held until somebody has looked whether all are through.

use cofferdam_domain::{
    EventBody, Outcome, Seq, SessionId, SessionState, Source, Task, Timestamp, WaitingFor,
    attempt::{Attempt, Choose},
};
use cofferdam_store::{
    Everything, Placement, Release, SessionFilter, SessionRow, StoreError, Ticket, Writer,
};
use futures_util::future::join;

use crate::{
    contract::Subject,
    events::{all, message, owner, queued, say},
    queue::{enter, shares, take},
};

/// Three attempts of one organisation.
async fn group(store: &dyn Everything, org: u128) -> Vec<SessionId> {
    let group = SessionId::generate();
    for attempt in Attempt::all(group, 3, Choose::Ask) {
        let task =
            Task::new("Fix it".into(), "/srv/repository".into(), None, "ann".into(), Source::Api).unwrap();
        let ticket = Ticket { owner: owner(org, 1), placement: Placement::Queued { priority: 0 } };
        let first = EventBody::TaskAccepted { task: task.attempted(attempt) };
        store.enqueue(ticket, attempt.session(), Timestamp(1000), first, Vec::new()).await.unwrap();
    }
    Attempt::all(group, 3, Choose::Ask).map(|attempt| attempt.session()).collect()
}

async fn append(store: &dyn Everything, session: SessionId, body: EventBody) {
    store.append(session, Writer::Anybody, Timestamp(2000), vec![body]).await.unwrap();
}

async fn row(store: &dyn Everything, session: SessionId) -> SessionRow {
    store.session(None, session).await.unwrap().unwrap()
}

fn finished() -> EventBody {
    serde_json::from_value(serde_json::json!({
        "event": "work_finished",
        "finish": { "outcome": "done", "title": "t", "summary": "s" },
    }))
    .unwrap()
}

fn ready() -> EventBody {
    EventBody::AttemptReady { commit: "c1".into() }
}

fn passed_over(chosen: SessionId) -> EventBody {
    EventBody::AttemptPassedOver { by: "ann".into(), chosen, commit: "c1".into() }
}

pub(crate) async fn attempts_are_found_together_by_organisation(subject: &impl Subject) {
    let store = subject.open().await;
    let ours = group(&*store, 1).await;
    group(&*store, 1).await;
    queued(&*store, owner(1, 1), 0).await;
    let of = async |org: u128, group: SessionId| {
        let filter = SessionFilter {
            org: Some(owner(org, 1).org),
            attempt_of: Some(group),
            ..SessionFilter::default()
        };
        let rows = store.sessions(filter).await.unwrap();
        assert!(rows.iter().all(|row| row.attempt_of == Some(group)));
        let mut found: Vec<SessionId> = rows.iter().map(|row| row.id).collect();
        found.sort();
        found
    };
    let mut sorted = ours.clone();
    sorted.sort();
    assert_eq!(of(1, ours[0]).await, sorted);
    assert_eq!(of(1, ours[1]).await, []);
    assert_eq!(of(2, ours[0]).await, [], "another organisation has none of them");
    store.forget(ours[2]).await.unwrap();
    assert_eq!(of(1, ours[0]).await.len(), 2);
}

pub(crate) async fn who_decides_on_what_they_read_is_refused_when_it_has_changed(subject: &impl Subject) {
    let store = subject.open().await;
    let [one, two, three] = group(&*store, 1).await[..] else { panic!() };
    let tell = async |after, chosen| {
        store.append(one, Writer::Reader { after }, Timestamp(3000), vec![passed_over(chosen)]).await
    };
    say(&*store, one, "wait!").await;
    let refused = tell(Seq(1), two).await;
    assert!(matches!(refused, Err(StoreError::Behind { last: 2, .. })), "{refused:?}");
    // A worker that has it does not matter.
    let presence = enter(&*store).await;
    let taken = take(&*store, &presence).await;
    // Of two at once one is written.
    let (first, second) = join(tell(Seq(2), two), tell(Seq(2), three)).await;
    assert_ne!(first.is_ok(), second.is_ok(), "{first:?} {second:?}");
    assert_eq!(all(&*store, one).await.len(), 3);
    drop(taken);
}

pub(crate) async fn an_attempt_is_held_until_its_worker_lets_go(subject: &impl Subject) {
    let store = subject.open().await;
    for end in [ready(), EventBody::SessionEnded { outcome: Outcome::NothingToDo }] {
        let sessions = group(&*store, 1).await;
        let presence = enter(&*store).await;
        let taken = take(&*store, &presence).await;
        let session = taken.claim.session;
        assert!(sessions.contains(&session));
        append(&*store, session, finished()).await;
        append(&*store, session, end.clone()).await;
        let waits = end == ready();
        let expected = if waits { SessionState::Waiting } else { SessionState::Ended };
        let shown = row(&*store, session).await;
        assert_eq!((shown.state, shown.waiting), (expected, waits.then_some(WaitingFor::Choice)));
        // Whoever died before they had looked whether all are through is followed by another.
        store.leave(presence).await.unwrap();
        let presence = enter(&*store).await;
        let mut again = take(&*store, &presence).await;
        while again.claim.session != session {
            store.release(again, Release::Done { seen: Seq(1) }).await.unwrap();
            again = take(&*store, &presence).await;
        }
        store.release(again, Release::Done { seen: Seq(3) }).await.unwrap();
        while let Some(other) = store.next(&presence, shares(9)).await.unwrap() {
            assert_ne!(other.claim.session, session, "nothing is to be done any more");
            store.release(other, Release::Done { seen: Seq(1) }).await.unwrap();
        }
        // What is decided, or written, wakes it.
        let news = if waits { message("more, please") } else { passed_over(sessions[0]) };
        append(&*store, session, news).await;
        let woken = take(&*store, &presence).await;
        assert_eq!(woken.claim.session, session);
        let shown = row(&*store, session).await;
        assert_eq!(shown.waiting, None, "what was ready is not what there will be");
        store.release(woken, Release::Done { seen: Seq(4) }).await.unwrap();
        store.leave(presence).await.unwrap();
    }
}

pub(crate) async fn those_that_wait_are_woken_when_one_is_deleted(subject: &impl Subject) {
    let store = subject.open().await;
    let sessions = group(&*store, 1).await;
    let presence = enter(&*store).await;
    for _ in 0..2 {
        let taken = take(&*store, &presence).await;
        let session = taken.claim.session;
        append(&*store, session, finished()).await;
        append(&*store, session, ready()).await;
        store.release(taken, Release::Done { seen: Seq(3) }).await.unwrap();
    }
    let taken = take(&*store, &presence).await;
    let last = taken.claim.session;
    store.release(taken, Release::Done { seen: Seq(1) }).await.unwrap();
    assert!(store.next(&presence, shares(9)).await.unwrap().is_none());
    store.forget(last).await.unwrap();
    let woken = take(&*store, &presence).await;
    assert!(sessions.contains(&woken.claim.session) && woken.claim.session != last);
}
