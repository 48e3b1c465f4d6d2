//! Processes killed at any instant: what was acknowledged is there, what is there is whole.

use std::time::Duration;

use cofferdam_domain::{Seq, SessionState};
use cofferdam_store::{Queue as _, SessionFilter, SqliteStore, Store as _, StoreError};
use futures_util::StreamExt as _;

use crate::{
    child::Process,
    events::{all, owner, queued, say, session, soon},
    queue::shares,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_survives_its_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = session(&store).await;
    store.close().await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..12 {
        let mut writer = Process::start("append", folder.path(), session);
        for _ in 0..=round * 3 {
            acknowledged.push(writer.report("acknowledged ").unwrap());
        }
        writer.kill();
        // It may have got further than we have read.
        acknowledged.extend(std::iter::from_fn(|| writer.report("acknowledged ")));

        let store = SqliteStore::open(folder.path()).await.unwrap();
        let events = all(&store, session).await;
        for acknowledgement in &acknowledged {
            let (seq, hash) = acknowledgement.split_once(' ').unwrap();
            let event = &events[seq.parse::<usize>().unwrap() - 1];
            assert_eq!(event.hash.to_string(), hash);
        }
        assert_eq!(store.verify(session).await.unwrap().events, events.len() as u64);
        say(&store, session, "the next one goes on").await;
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_ends_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = session(&store).await;
    let mut holder = Process::start("claim", folder.path(), session);
    let fence: u64 = holder.report("claimed ").unwrap().parse().unwrap();
    let refused = store.claim(session, "me").await;
    assert!(
        matches!(&refused, Err(StoreError::Claimed { worker, .. }) if worker == "the child"),
        "{refused:?}"
    );
    let listed = store.sessions(SessionFilter::default()).await.unwrap().remove(0);
    assert_eq!((listed.claimed, listed.state), (true, SessionState::Queued));
    holder.kill();
    assert!(!store.sessions(SessionFilter::default()).await.unwrap()[0].claimed);
    assert!(store.claim(session, "me").await.unwrap().fence > fence);
}

/// A writer that dies between its commit and its report has still rung its bell: the kernel closes its files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_the_last_event_of_a_writer_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = session(&store).await;
    let mut events = store.follow(session, Seq::START).await.unwrap();
    let mut seen = 0;
    for _ in 0..10 {
        let mut writer = Process::start("append", folder.path(), session);
        writer.report("acknowledged ").unwrap();
        writer.kill();
        let written = all(&store, session).await.len();
        while seen < written {
            soon(events.next()).await.unwrap().unwrap();
            seen += 1;
        }
    }
}

/// The kernel says that a worker's process is gone: nobody waits for its patience to end, which here is an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_session_is_taken_up_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = queued(&store, owner(1, 1), 0).await;
    let mut child = Process::start("work for an hour", folder.path(), session);
    child.report("taken ").unwrap();
    let presence = store.enter("me", Duration::from_secs(3600)).await.unwrap();
    let mut stirred = store.stirred().await.unwrap();
    child.kill();
    let taken = loop {
        soon(stirred.next()).await.unwrap();
        if let Some(taken) = store.next(&presence, shares(9)).await.unwrap() {
            break taken;
        }
    };
    assert_eq!((taken.claim.session, taken.crashes), (session, 1));
}
