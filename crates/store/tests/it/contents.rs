//! Content that events refer to, and what goes with a session that is forgotten.

use std::sync::Arc;

use cofferdam_domain::{BlobRef, Digest, Seq, Timestamp};
use cofferdam_store::{SessionFilter, StoreError, Writer};
use futures_util::future::join_all;

use crate::{
    contract::Subject,
    events::{accepted, message, output, session},
    keeping::age,
};

pub(crate) async fn blobs_come_back_and_are_stored_once(subject: &impl Subject) {
    let store = subject.open().await;
    for content in [&b""[..], b"a", &vec![7; 1 << 20]] {
        let blob = store.put_blob(content).await.unwrap();
        assert_eq!(blob, BlobRef { digest: Digest::of(content), size: content.len() as u64 });
        assert_eq!(store.put_blob(content).await.unwrap(), blob);
        assert_eq!(subject.open().await.blob(blob.digest).await.unwrap(), content);
    }
    let content: Arc<[u8]> = Arc::from(vec![9; 1 << 16]);
    let at_once = (0..8).map(|_| {
        let (store, content) = (Arc::clone(&store), Arc::clone(&content));
        tokio::spawn(async move { store.put_blob(&content).await.unwrap() })
    });
    assert!(join_all(at_once).await.into_iter().all(|blob| blob.unwrap().digest == Digest::of(&content)));
}

pub(crate) async fn verify_counts_and_finds_missing_content(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let blob = store.put_blob(b"whole").await.unwrap();
    let bodies = vec![output(blob), output(blob)];
    let last = store.append(session, Writer::Anybody, Timestamp(2), bodies).await.unwrap().remove(1);
    let verified = store.verify(session).await.unwrap();
    assert_eq!((verified.events, verified.blobs, verified.head), (3, 1, last.hash));
    for wrong in [BlobRef { size: 4, ..blob }, BlobRef { digest: Digest::of(b"gone"), size: 4 }] {
        let session = self::session(&*store).await;
        store.append(session, Writer::Anybody, Timestamp(2), vec![output(wrong)]).await.unwrap();
        let error = store.verify(session).await.unwrap_err().to_string();
        assert!(error.contains("event 2"), "{error}");
    }
}

pub(crate) async fn a_forgotten_session_is_gone_for_good(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let blob = store.put_blob(b"secret").await.unwrap();
    store.append(session, Writer::Anybody, Timestamp(2), vec![output(blob)]).await.unwrap();
    assert!(store.is_blob_of(session, blob.digest).await.unwrap());
    let claim = store.claim(session, "w").await.unwrap();
    store.forget(session).await.unwrap();
    let writer = Writer::Worker { claim: &claim, after: Seq(2) };
    let unknown = |error: Option<StoreError>| matches!(error, Some(StoreError::UnknownSession(_)));
    assert!(unknown(store.append(session, writer, Timestamp(3), vec![message("late")]).await.err()));
    assert!(unknown(store.read(session, Seq::START, 10).await.err()));
    assert!(unknown(store.follow(session, Seq::START).await.err()));
    assert!(unknown(store.claim(session, "v").await.err()));
    assert!(unknown(store.forget(session).await.err()));
    assert_eq!(store.session(None, session).await.unwrap(), None);
    assert_eq!(store.sessions(SessionFilter::default()).await.unwrap(), []);
    assert!(matches!(store.blob(blob.digest).await, Err(StoreError::UnknownBlob(_))));
    assert!(!store.is_blob_of(session, blob.digest).await.unwrap());
    let again = store.create(session, Timestamp(4), accepted("again"), Vec::new()).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
}

/// The window between storing content and referring to it: somebody else does both in it, and is deleted.
pub(crate) async fn content_stays_for_whoever_has_stored_it_too(subject: &impl Subject) {
    let store = subject.open().await;
    let (mine, other) = (session(&*store).await, session(&*store).await);
    let body = async |session, body| {
        store.append(session, Writer::Anybody, Timestamp(2), vec![body]).await.unwrap();
    };
    let stored = store.put_blob(b"the same").await.unwrap();
    body(mine, output(store.put_blob(b"the same").await.unwrap())).await;
    store.forget(mine).await.unwrap();
    body(other, output(stored)).await;
    assert_eq!(store.blob(stored.digest).await.unwrap(), b"the same");
    assert_eq!(store.verify(other).await.unwrap().blobs, 1);
    // Long after it was stored nobody is about to do anything: deleted is deleted.
    age(subject).await;
    store.forget(other).await.unwrap();
    assert!(matches!(store.blob(stored.digest).await, Err(StoreError::UnknownBlob(_))));
}

pub(crate) async fn content_that_others_need_is_not_forgotten(subject: &impl Subject) {
    let store = subject.open().await;
    let (mine, other, later) = (session(&*store).await, session(&*store).await, session(&*store).await);
    let [shared, stored_again] = [store.put_blob(b"a").await.unwrap(), store.put_blob(b"b").await.unwrap()];
    let refer = async |session, blob| {
        store.append(session, Writer::Anybody, Timestamp(2), vec![output(blob)]).await.unwrap();
    };
    refer(mine, shared).await;
    refer(other, shared).await;
    refer(mine, stored_again).await;
    // Somebody is about to refer to it: time must have passed since the reference before.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    store.put_blob(b"b").await.unwrap();
    store.forget(mine).await.unwrap();
    refer(later, stored_again).await;
    assert_eq!(store.blob(shared.digest).await.unwrap(), b"a");
    assert_eq!(store.verify(later).await.unwrap().blobs, 1);
}
