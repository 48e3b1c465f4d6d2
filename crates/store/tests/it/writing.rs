//! What is written to a log, and that nothing else gets into it.

use std::sync::Arc;

use cofferdam_domain::{Digest, Event, EventBody, Seq, SessionId, Timestamp};
use cofferdam_store::{StoreError, Writer};
use futures_util::{FutureExt as _, future::join_all};

use crate::{
    contract::Subject,
    events::{accepted, all, message, output, say, session},
};

pub(crate) async fn events_come_back_as_they_were_written(subject: &impl Subject) {
    let store = subject.open().await;
    let session = SessionId::generate();
    let first =
        store.create(session, Timestamp(5), accepted("Fix \u{1f980} \"it\"\n"), Vec::new()).await.unwrap();
    let blob = store.put_blob(b"whole").await.unwrap();
    let bodies = vec![message("ß\u{0}\\"), output(blob), EventBody::NothingChanged];
    let more = store.append(session, Writer::Anybody, Timestamp(9), bodies.clone()).await.unwrap();
    assert_eq!(more.iter().map(|event| event.body.clone()).collect::<Vec<_>>(), bodies);
    let written: Vec<Event> = first.into_iter().chain(more).collect();
    assert_eq!(all(&*store, session).await, written);
    assert_eq!(all(&*subject.open().await, session).await, written, "after opening it again");
    assert_eq!(store.append(session, Writer::Anybody, Timestamp(9), Vec::new()).await.unwrap(), []);
}

pub(crate) async fn the_chain_links_every_event_to_the_one_before(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    for text in ["a", "b", "c"] {
        say(&*store, session, text).await;
    }
    let events = all(&*store, session).await;
    assert_eq!(events[0].previous, Digest::ZERO);
    for (place, event) in (1..).zip(&events) {
        assert_eq!((event.seq, event.session), (Seq(place), session));
    }
    for pair in events.windows(2) {
        assert_eq!(pair[1].previous, pair[0].hash);
        assert!(pair[1].id > pair[0].id && pair[1].id.to_string() > pair[0].id.to_string());
    }
}

pub(crate) async fn time_never_goes_back(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let mut times = Vec::new();
    for at in [2000, 1500, 1, 3000] {
        times.push(
            store.append(session, Writer::Anybody, Timestamp(at), vec![message("")]).await.unwrap()[0].at,
        );
    }
    assert_eq!(times, [2000, 2000, 2000, 3000].map(Timestamp));
}

pub(crate) async fn a_session_is_made_once(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let again = store.create(session, Timestamp(2), accepted("Something else"), Vec::new()).await;
    assert!(matches!(again, Err(StoreError::Exists(id)) if id == session));
    assert_eq!(all(&*store, session).await.len(), 1);
}

pub(crate) async fn unknown_sessions_are_told_apart_from_empty_answers(subject: &impl Subject) {
    let store = subject.open().await;
    let known = session(&*store).await;
    assert_eq!(store.read(known, Seq(7), 10).await.unwrap(), []);
    let nobody = SessionId::generate();
    let unknown =
        |error: Option<StoreError>| matches!(error, Some(StoreError::UnknownSession(id)) if id == nobody);
    assert!(unknown(store.read(nobody, Seq::START, 10).await.err()));
    assert!(unknown(store.append(nobody, Writer::Anybody, Timestamp(1), vec![message("")]).await.err()));
    assert!(unknown(store.claim(nobody, "w").await.err()));
    assert!(unknown(store.follow(nobody, Seq::START).await.err()));
    assert!(unknown(store.verify(nobody).await.err()));
    let digest = Digest::of(b"never stored");
    assert!(matches!(store.blob(digest).await, Err(StoreError::UnknownBlob(missing)) if missing == digest));
}

pub(crate) async fn reading_is_bounded_and_goes_on(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let bodies = (0..20).map(|number| message(&number.to_string())).collect();
    store.append(session, Writer::Anybody, Timestamp(1), bodies).await.unwrap();
    let mut after = Seq::START;
    let mut pages = Vec::new();
    loop {
        let page = store.read(session, after, 6).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        pages.push(page.len());
    }
    assert_eq!((pages, after), (vec![6, 6, 6, 3], Seq(21)));
}

pub(crate) async fn anybody_may_write_beside_a_worker(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let claim = store.claim(session, "w").await.unwrap();
    let cancel = vec![EventBody::CancelAsked { by: "ann".into() }];
    other.append(session, Writer::Anybody, Timestamp(2), cancel).await.unwrap();
    let writer = Writer::Worker { claim: &claim, after: Seq(2) };
    let written =
        store.append(session, writer, Timestamp(2), vec![message("a"), message("b")]).await.unwrap();
    assert_eq!(written.last().unwrap().seq, Seq(4));
}

pub(crate) async fn writers_at_once_keep_one_chain(subject: &impl Subject) {
    let stores = [subject.open().await, subject.open().await];
    let sessions = [session(&*stores[0]).await, session(&*stores[0]).await];
    let mut tasks = Vec::new();
    for writer in 0..8_usize {
        let (store, session) = (Arc::clone(&stores[writer % 2]), sessions[writer / 2 % 2]);
        tasks.push(tokio::spawn(async move {
            for number in 0..10 {
                say(&*store, session, &format!("{writer} {number}")).await;
            }
        }));
    }
    assert!(join_all(tasks).await.iter().all(Result::is_ok));
    for session in sessions {
        assert_eq!(all(&*stores[0], session).await.len(), 41);
        assert_eq!(stores[1].verify(session).await.unwrap().events, 41);
    }
}

pub(crate) async fn refusals_do_not_disturb_others_at_the_same_time(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let results = join_all((0..30).map(async |number| match number % 3 {
        0 => store.append(session, Writer::Anybody, Timestamp(2), vec![message("kept")]).await.map(|_| true),
        1 => store.append(SessionId::generate(), Writer::Anybody, Timestamp(2), vec![]).await.map(|_| true),
        _ => store.create(session, Timestamp(2), accepted("again"), Vec::new()).await.map(|_| true),
    }))
    .await;
    for (number, result) in results.into_iter().enumerate() {
        match number % 3 {
            0 => assert!(result.unwrap()),
            1 => assert!(matches!(result, Err(StoreError::UnknownSession(_))), "{result:?}"),
            _ => assert!(matches!(result, Err(StoreError::Exists(_))), "{result:?}"),
        }
    }
    assert_eq!(store.verify(session).await.unwrap().events, 11);
}

pub(crate) async fn callers_that_give_up_leave_a_whole_log(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    for _ in 0..30 {
        let append = store.append(session, Writer::Anybody, Timestamp(2), vec![message("a"), message("b")]);
        // Polled once, then dropped.
        assert!(append.now_or_never().is_none());
    }
    say(&*store, session, "last").await;
    let events = store.verify(session).await.unwrap().events;
    assert!(events >= 2 && events % 2 == 0, "each append is whole or not there: {events}");
}

pub(crate) async fn what_is_too_large_is_refused(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let large = "x".repeat(17 << 20);
    let refused =
        store.append(session, Writer::Anybody, Timestamp(2), vec![message("fits"), message(&large)]).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert!(matches!(store.put_blob(&vec![0; (64 << 20) + 1]).await, Err(StoreError::TooLarge { .. })));
    assert_eq!(all(&*store, session).await.len(), 1, "nothing was written");
}
