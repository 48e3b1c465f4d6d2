//! Several processes on one store.

use cofferdam_domain::Seq;
use cofferdam_store::{SqliteStore, Store as _};
use futures_util::StreamExt as _;

use crate::{
    child::Process,
    events::{all, session, soon},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_append_and_follow_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let session = session(&store).await;
    let mut follower = Process::start("follow", folder.path(), session);
    let mut writers = [(); 2].map(|()| Process::start("append 100", folder.path(), session));
    let events = store.follow(session, Seq::START).await.unwrap();
    let followed: Vec<_> = soon(events.take(201).map(|event| event.unwrap()).collect()).await;
    assert_eq!(followed, all(&store, session).await);
    for event in &followed {
        assert_eq!(follower.report("seen ").unwrap(), event.hash.to_string());
    }
    for writer in &mut writers {
        assert_eq!(std::iter::from_fn(|| writer.report("acknowledged ")).count(), 100);
    }
    assert_eq!(store.verify(session).await.unwrap().events, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_may_open_a_new_store_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/store");
    let openings = (0..6).map(|_| {
        let dir = dir.clone();
        tokio::spawn(async move { SqliteStore::open(&dir).await.unwrap() })
    });
    let stores = futures_util::future::join_all(openings).await;
    let session = session(stores[0].as_ref().unwrap()).await;
    for store in stores {
        assert_eq!(all(&store.unwrap(), session).await.len(), 1);
    }
}
