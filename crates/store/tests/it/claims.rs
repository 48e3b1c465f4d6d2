//! Who may write a session's events: whoever has claimed it, and nobody who had.

use std::collections::BTreeSet;

use cofferdam_domain::{Seq, Timestamp};
use cofferdam_store::{SessionFilter, StoreError, Writer};

use crate::{
    contract::{Subject, free},
    events::{all, claimed, finished, message, say, session},
};

pub(crate) async fn an_old_claim_cannot_write(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let taken = store.claim(session, "old").await.unwrap();
    // As a worker that does not know yet that its claim has ended.
    let old = cofferdam_store::Claim::new(session, taken.fence, "old".into(), ());
    drop(taken);
    free(&*store, session).await;
    let new = store.claim(session, "new").await.unwrap();
    assert!(new.fence > old.fence);
    let late = Writer::Worker { claim: &old, after: Seq(1) };
    let refused = store.append(session, late, Timestamp(2), vec![message("late")]).await;
    assert!(matches!(refused, Err(StoreError::Fenced { fence, .. }) if fence == new.fence), "{refused:?}");
    let writer = Writer::Worker { claim: &new, after: Seq(1) };
    store.append(session, writer, Timestamp(2), vec![claimed(new.fence)]).await.unwrap();
    assert_eq!(all(&*store, session).await.len(), 2);
}

pub(crate) async fn a_claim_of_another_session_cannot_write(subject: &impl Subject) {
    let store = subject.open().await;
    let (mine, other) = (session(&*store).await, session(&*store).await);
    let claim = store.claim(mine, "w").await.unwrap();
    let writer = Writer::Worker { claim: &claim, after: Seq(1) };
    for _ in 0..2 {
        let refused = store.append(other, writer, Timestamp(2), vec![message("")]).await;
        assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
        // The second time the other session has the same fence, or a higher one.
        drop(store.claim(other, "v").await.unwrap());
        free(&*store, other).await;
    }
}

pub(crate) async fn a_worker_that_is_behind_cannot_write(subject: &impl Subject) {
    let store = subject.open().await;
    let session = session(&*store).await;
    let claim = store.claim(session, "w").await.unwrap();
    say(&*store, session, "wait!").await;
    let behind = Writer::Worker { claim: &claim, after: Seq(1) };
    let refused = store.append(session, behind, Timestamp(2), vec![finished()]).await;
    assert!(matches!(refused, Err(StoreError::Behind { last: 2, .. })), "{refused:?}");
    let ahead = Writer::Worker { claim: &claim, after: Seq(3) };
    let refused = store.append(session, ahead, Timestamp(2), vec![finished()]).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    assert_eq!(all(&*store, session).await.len(), 2, "nothing was written");
    let caught_up = Writer::Worker { claim: &claim, after: Seq(2) };
    store.append(session, caught_up, Timestamp(2), vec![finished()]).await.unwrap();
}

pub(crate) async fn a_claim_is_exclusive_and_ends_when_it_is_dropped(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let claim = store.claim(session, "worker 7 on\nalpha").await.unwrap();
    for store in [&store, &other] {
        let refused = store.claim(session, "worker 8").await;
        assert!(
            matches!(&refused, Err(StoreError::Claimed { worker, .. }) if worker == "worker 7 onalpha"),
            "{refused:?}"
        );
        assert!(store.sessions(SessionFilter::default()).await.unwrap()[0].claimed);
    }
    drop(claim);
    free(&*other, session).await;
    other.claim(session, "worker 8").await.unwrap();
}

pub(crate) async fn looking_at_claims_does_not_disturb_them(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let looking = tokio::spawn(async move {
        loop {
            other.sessions(SessionFilter::default()).await.unwrap();
        }
    });
    for _ in 0..100 {
        drop(store.claim(session, "w").await.unwrap());
        free(&*store, session).await;
    }
    assert!(!looking.is_finished(), "it looked all the time");
    looking.abort();
}

pub(crate) async fn fences_rise_across_reopening(subject: &impl Subject) {
    let mut fences = BTreeSet::new();
    let session = session(&*subject.open().await).await;
    for _ in 0..4 {
        let store = subject.open().await;
        let fence = store.claim(session, "w").await.unwrap().fence;
        free(&*store, session).await;
        assert!(fences.last().is_none_or(|last| fence > *last));
        fences.insert(fence);
    }
}
