//! What must hold whatever happens: crashes, forgeries, a forge that is away, ten thousand comments, several processes.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cofferdam_domain::{Owner, Timestamp};
use cofferdam_forge::hook::LARGEST_DELIVERY;
use cofferdam_intake::{Answer, Processor, Refused, Way, now};
use cofferdam_store::{Dealt, TakenArrival};
use http::HeaderValue;
use tokio::sync::watch;

use super::scene::{SECRET, World, around, comment, headers, labelled, what};
use crate::desk::Away;

#[tokio::test]
async fn whoever_dies_in_between_leaves_nothing_half_done_or_doubled() {
    let world = World::new().await;
    world.keep("1", "issues", &labelled("ann", 1)).await;
    let first = world.take().await.unwrap();
    // Dealt with, and not written down: the next one finds it done.
    for expected in ["a session begins", "it was done before", "it was done before"] {
        let dealt = world.way.deal(&first).await.unwrap();
        assert_eq!(what(&[dealt]), [expected]);
    }
    let [session] = world.sessions().await[..] else { panic!() };
    // Bound, and not begun.
    let other = World::new().await;
    other.keep("1", "issues", &labelled("ann", 1)).await;
    let taken = other.take().await.unwrap();
    let id = cofferdam_intake::begin::session_id(taken.arrival.at, &["forge", "work", "1"]);
    other.store.bind("forge/work/5/issue/7", id, None).await.unwrap();
    let dealt = other.way.deal(&taken).await.unwrap();
    assert_eq!(dealt, Dealt::Done { session: Some(id), what: "a session begins".into() });
    assert_eq!(other.sessions().await, [id]);
    // Messages too are heard once.
    world.store.dealt(&first, dealt).await.unwrap();
    world.keep("2", "issue_comment", &comment(("dan", 3), 70, "@agent the tests too", false)).await;
    let taken = world.take().await.unwrap();
    for expected in ["heard", "it was done before"] {
        let dealt = world.way.deal(&taken).await.unwrap();
        assert_eq!(what(&[dealt]), [expected]);
    }
    assert_eq!(world.messages(session).await.len(), 1);
}

#[tokio::test]
async fn what_is_forged_giant_or_malformed_is_refused_without_a_trace_of_secrets() {
    let world = World::new().await;
    let body = labelled("ann", 1).to_string().into_bytes();
    let good = headers("1", "issues", &body);
    let change = |name: &'static str, value: &str| {
        let mut headers = good.clone();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    };
    let mut unsigned = good.clone();
    unsigned.remove("x-gitea-signature");
    let junk = b"{\"issue\":7}".to_vec();
    let giant = vec![b' '; LARGEST_DELIVERY + 1];
    for (headers, body, status) in [
        (unsigned, body.clone(), 401),
        (change("x-gitea-signature", &"0".repeat(64)), body.clone(), 401),
        (change("x-gitea-signature", "no"), body.clone(), 401),
        (good.clone(), b"{}".to_vec(), 401),
        (change("content-type", "application/x-www-form-urlencoded"), body.clone(), 415),
        (change("x-gitea-delivery", &"x".repeat(200)), body.clone(), 400),
        (super::scene::headers("1", "issues", &junk), junk, 400),
        (good.clone(), giant, 413),
    ] {
        let answer = world.door.take("work", &headers, body).await;
        let Answer::Refused(refused) = answer else { panic!("{answer:?}") };
        let found = match refused {
            Refused::Unproved(_) => 401,
            Refused::Malformed(_) => 400,
            Refused::TooLarge(_) => 413,
            Refused::MediaType(_) => 415,
        };
        assert_eq!(found, status, "{refused}");
        let text = refused.to_string();
        assert!(!text.contains(SECRET) && !text.contains("Always") && text.len() < 400, "{text}");
    }
    assert!(matches!(world.door.take("play", &good, body).await, Answer::Unknown));
    let ping = around("ann", 1, "started");
    assert!(matches!(world.post("9", "star", &ping).await, Answer::Said { .. }));
    assert!(world.take().await.is_none(), "nothing of all that was kept");
}

#[tokio::test]
async fn a_forge_that_is_away_delays_and_one_that_forbids_ends_it() {
    let world = World::new().await;
    let later = Timestamp(now().0 + 3_600_000);
    world.keep("1", "issues", &labelled("ann", 1)).await;
    *world.desk.away.lock().unwrap() = Some(Away::Until(later));
    let taken = world.take().await.unwrap();
    let dealt = world.way.deal(&taken).await.unwrap();
    assert!(matches!(&dealt, Dealt::Again { at, .. } if *at == later), "{dealt:?}");
    *world.desk.away.lock().unwrap() = Some(Away::Babbles);
    assert_eq!(what(&[world.way.deal(&taken).await.unwrap()]), ["again"]);
    let tried = TakenArrival { tries: 6, ..taken.clone() };
    assert_eq!(what(&[world.way.deal(&tried).await.unwrap()]), ["given up"]);
    // Its token was revoked: somebody gives it another one in the course of a day, and nothing is lost.
    *world.desk.away.lock().unwrap() = Some(Away::Forbids);
    assert_eq!(what(&[world.way.deal(&taken).await.unwrap()]), ["again"]);
    let tried = TakenArrival { tries: 300, ..taken.clone() };
    assert_eq!(what(&[world.way.deal(&tried).await.unwrap()]), ["given up"]);
    *world.desk.away.lock().unwrap() = Some(Away::Forgets);
    assert_eq!(what(&[world.way.deal(&taken).await.unwrap()]), ["given up"]);
    let dealt = world.way.deal(&taken).await.unwrap();
    world.store.dealt(&taken, dealt).await.unwrap();
    let audited = world.store.audited(Owner::LOCAL.org, None, 10).await.unwrap();
    assert!(
        audited.iter().any(|entry| entry.detail.contains("work") || entry.subject.contains("work")),
        "{audited:?}"
    );
    *world.desk.away.lock().unwrap() = None;
    assert_eq!(
        world.way.deal(&taken).await.map(|dealt| what(&[dealt]).concat()).unwrap(),
        "a session begins"
    );
}

#[tokio::test]
async fn ten_thousand_comments_cost_the_forge_nothing() {
    let world = World::new().await;
    world.published().await;
    let asked = world.desk.asked.load(Ordering::Relaxed);
    for number in 0..10_000_u32 {
        let body = comment(("bob", 2), u64::from(number), "> @agent\n\n`@agent` me too", true);
        world.keep(&format!("c{number}"), "pull_request_comment", &body).await;
        if number % 500 == 499 {
            assert_eq!(world.deal().await.len(), 500);
        }
    }
    assert_eq!(world.desk.asked.load(Ordering::Relaxed), asked);
    assert_eq!(world.sessions().await.len(), 1);
}

#[tokio::test]
async fn a_processor_deals_with_what_arrives_as_it_arrives() {
    let world = World::new().await;
    let (stop, stopped) = watch::channel(false);
    let ways: Vec<Arc<dyn Way>> = vec![world.way.clone()];
    let running = tokio::spawn(Processor::new(world.store.clone(), ways.clone()).run(stopped.clone()));
    // Two processes may do it.
    let other = tokio::spawn(Processor::new(world.store.clone(), ways).run(stopped));
    let mut changes = world.store.changes(Owner::LOCAL.org).await.unwrap();
    world.keep("1", "issues", &labelled("ann", 1)).await;
    let began = tokio::time::timeout(Duration::from_secs(30), async {
        use futures_util::StreamExt as _;
        changes.next().await
    });
    let session = began.await.unwrap().unwrap();
    assert_eq!(world.sessions().await, [session]);
    stop.send_replace(true);
    running.await.unwrap();
    other.await.unwrap();
}
