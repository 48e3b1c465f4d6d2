//! Those who follow a log, or hear of changes, miss nothing.

use cofferdam_domain::Seq;
use futures_util::{StreamExt as _, future::ready};
use tokio::sync::mpsc;

use crate::{
    contract::Subject,
    events::{owner, queued, say, session, soon},
};

pub(crate) async fn followers_see_what_was_and_what_comes(subject: &impl Subject) {
    let store = subject.open().await;
    let (session, other) = (session(&*store).await, session(&*store).await);
    say(&*store, session, "2").await;
    let mut from_start = store.follow(session, Seq::START).await.unwrap();
    let mut from_two = store.follow(session, Seq(2)).await.unwrap();
    assert_eq!(from_start.next().await.unwrap().unwrap().seq, Seq(1));
    assert_eq!(from_start.next().await.unwrap().unwrap().seq, Seq(2));
    say(&*store, other, "of another session").await;
    let third = say(&*store, session, "3").await;
    assert_eq!(soon(from_start.next()).await.unwrap().unwrap(), third);
    assert_eq!(soon(from_two.next()).await.unwrap().unwrap(), third);
    // The last follower gone, the next one starts from nothing.
    drop((from_start, from_two));
    let mut later = store.follow(session, Seq(3)).await.unwrap();
    let fourth = say(&*store, session, "4").await;
    assert_eq!(soon(later.next()).await.unwrap().unwrap(), fourth);
}

pub(crate) async fn followers_miss_nothing_at_the_seam(subject: &impl Subject) {
    const EVENTS: u64 = 200;
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let writing = tokio::spawn(async move {
        for number in 1..EVENTS {
            say(&*other, session, &number.to_string()).await;
        }
    });
    // New followers join all the time while events are appended.
    let mut joined = 0;
    while joined < EVENTS {
        let events = store.follow(session, Seq(joined / 2)).await.unwrap();
        let places: Vec<u64> = events
            .take(20.min((EVENTS - joined / 2) as usize))
            .map(|event| event.unwrap().seq.0)
            .collect()
            .await;
        let expected: Vec<u64> = (joined / 2 + 1..).take(places.len()).collect();
        assert_eq!(places, expected);
        joined += 20;
    }
    writing.await.unwrap();
}

pub(crate) async fn a_follower_hears_of_appends_through_another_opening(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = session(&*store).await;
    let events = store.follow(session, Seq(1)).await.unwrap();
    // On a task of its own, so that it already waits when the next event is written.
    let (seen, mut heard) = mpsc::unbounded_channel();
    let follower = tokio::spawn(events.for_each(move |event| {
        seen.send(event.unwrap()).unwrap();
        ready(())
    }));
    for number in 0..100 {
        let written = say(&*other, session, &number.to_string()).await;
        assert_eq!(soon(heard.recv()).await.unwrap(), written);
    }
    follower.abort();
}

pub(crate) async fn changes_are_heard_by_their_organisation_alone(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let (ann, ben) = (owner(1, 1), owner(2, 2));
    let (hers, his) = (queued(&*store, ann, 0).await, queued(&*store, ben, 0).await);
    let mut changes = store.changes(ann.org).await.unwrap();
    say(&*other, his, "not hers").await;
    say(&*other, hers, "hers").await;
    assert_eq!(soon(changes.next()).await, Some(hers));
    let new = queued(&*other, ann, 0).await;
    let heard = async { while changes.next().await != Some(new) {} };
    soon(heard).await;
}
