//! What a forge did not tell is found by asking it, and done once.

use std::time::Duration;

use cofferdam_domain::{EventBody, Outcome, Owner, Subject, Timestamp};
use cofferdam_forge::{
    hook::{Delivery, ForgeKind, Occasion, Pull, PullChange, PullState, What},
    remote::Happened,
};
use cofferdam_intake::{Answer, Refused, Way as _, now};
use cofferdam_store::{TakenArrival, Writer};
use tokio::sync::watch;

use super::scene::{World, labelled, pull_of, what};
use crate::desk::person;

/// That somebody gave the issue a label, found by asking.
fn found(name: &str, at: u64, by: (&str, u64), unsure: bool) -> Happened {
    let body = labelled(by.0, by.1).to_string();
    let occasion = Delivery::kept(ForgeKind::Gitea, name.to_owned(), "issues".to_owned());
    let occasion = occasion.read(body.as_bytes()).unwrap();
    Happened { name: name.to_owned(), at: Timestamp(at), unsure, occasion }
}

/// Whether all that has happened has arrived.
async fn all_kept(world: &World) -> bool {
    let arrived = world.store.arrived(Owner::LOCAL.org, None, 200).await.unwrap();
    let happened = world.desk.happened.lock().unwrap();
    happened.iter().all(|one| arrived.iter().any(|arrived| arrived.arrival.id == one.name))
}

/// Asks once, as a server does when it begins.
async fn look(world: &World) {
    let (stop, stopped) = watch::channel(false);
    let way = world.way.clone();
    let watching = tokio::spawn(async move { way.watch(stopped).await });
    let looks = world.desk.looked.lock().unwrap().len();
    tokio::time::timeout(Duration::from_secs(60), async {
        // Looking is over once all that was found is kept, and it is written down until when was looked.
        while world.desk.looked.lock().unwrap().len() == looks
            || !all_kept(world).await
            || world.store.watched("work").await.unwrap().is_empty()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    stop.send_replace(true);
    watching.await.unwrap();
}

#[tokio::test]
async fn what_was_not_told_is_found_and_what_was_told_is_not_done_again() {
    let world = World::new().await;
    // Nothing is known of any repository yet: one is by what arrives.
    world.keep("first", "issues", &labelled("bob", 2)).await;
    assert_eq!(what(&world.deal().await).len(), 1);
    assert!(world.sessions().await.is_empty());
    let at = now().0;
    world.desk.happened.lock().unwrap().push(found("issue-5-7-1", at, ("ann", 1), false));
    look(&world).await;
    assert_eq!(what(&world.deal().await), ["a session begins"]);
    let looked = world.desk.looked.lock().unwrap()[0].clone();
    assert!(looked.1 < Timestamp(at), "it is looked a little earlier than it is known: {looked:?}");
    assert_eq!(world.store.watched("work").await.unwrap()[0].1, Timestamp(at));
    // The same again, and a webhook that comes late.
    look(&world).await;
    assert!(world.deal().await.is_empty());
    world.keep("late", "issues", &labelled("ann", 1)).await;
    assert_eq!(what(&world.deal().await), ["a session works on it already"]);
    assert_eq!(world.sessions().await.len(), 1);
    // Of two that say the same, the other one was asked before the session began.
    world.desk.happened.lock().unwrap().push(found("issue-5-7-2", at, ("cleo", 3), false));
    look(&world).await;
    assert_eq!(what(&world.deal().await), ["it was asked for already"]);
}

/// That ann gave the issue a label, as it was changed at a time.
fn labelled_at(updated: &str) -> serde_json::Value {
    let mut body = labelled("ann", 1);
    body["issue"]["updated_at"] = updated.into();
    body
}

#[tokio::test]
async fn a_webhook_that_comes_after_all_is_over_begins_nothing_again() {
    let world = World::new().await;
    world.keep("first", "issues", &labelled("bob", 2)).await;
    world.deal().await;
    let told = labelled_at("2026-11-22T10:00:00Z");
    let occasion = Delivery::kept(ForgeKind::Gitea, "1".to_owned(), "issues".to_owned());
    let occasion = occasion.read(told.to_string().as_bytes()).unwrap();
    let at = Timestamp(now().0);
    world.desk.happened.lock().unwrap().push(Happened {
        name: "issue-5-7-1".into(),
        at,
        unsure: false,
        occasion,
    });
    look(&world).await;
    assert_eq!(what(&world.deal().await), ["a session begins"]);
    let [session] = world.sessions().await[..] else { panic!() };
    let over = EventBody::SessionEnded { outcome: Outcome::NothingToDo };
    world.store.append(session, Writer::Anybody, now(), vec![over]).await.unwrap();
    for (id, updated) in [("late", "2026-11-22T10:00:00Z"), ("later", "2026-11-22T09:59:59Z")] {
        world.keep(id, "issues", &labelled_at(updated)).await;
        assert_eq!(what(&world.deal().await), ["it was asked for already"], "{updated}");
    }
    // Who gives it the label once more asks for it once more.
    world.keep("anew", "issues", &labelled_at("2026-11-22T10:00:01Z")).await;
    assert_eq!(what(&world.deal().await), ["a session begins"]);
    assert_eq!(world.sessions().await.len(), 2);
}

#[tokio::test]
async fn a_text_that_may_have_been_changed_asks_for_nothing() {
    let world = World::new().await;
    world.keep("first", "issues", &labelled("bob", 2)).await;
    world.deal().await;
    world.desk.happened.lock().unwrap().push(found("issue-5-7-1", now().0, ("cleo", 3), true));
    look(&world).await;
    let dealt = what(&world.deal().await).concat();
    assert!(dealt.contains("changed since"), "{dealt}");
    assert!(world.sessions().await.is_empty());
}

#[tokio::test]
async fn no_webhook_passes_for_what_was_found_by_asking() {
    let world = World::new().await;
    let body = serde_json::to_value(found("issue-5-7-1", now().0, ("ann", 1), false)).unwrap();
    let answer = world.post("x", "cofferdam.poll", &body).await;
    assert!(matches!(answer, Answer::Refused(Refused::Malformed(_))), "{answer:?}");
    assert!(world.deal().await.is_empty());
}

#[tokio::test]
async fn a_conflict_that_is_found_is_told_of_with_the_words_that_help() {
    let world = World::new().await;
    let session = world.published().await;
    let pull = Pull { conflicts: true, ..pull_of(session, PullState::Open) };
    let (wanted, nobody) = (What::Pull(pull.clone(), PullChange::Conflicts), person(0, ""));
    let repository = found("x", 0, ("ann", 1), false).occasion.repository;
    let occasion = Occasion { repository, installation: None, actor: nobody, what: wanted };
    let happened = Happened { name: "pull-5-8-conflicts-1".into(), at: now(), unsure: false, occasion };
    world.desk.happened.lock().unwrap().push(happened.clone());
    look(&world).await;
    let taken = world.take().await.unwrap();
    let deal = async |tries| {
        let taken = TakenArrival { tries, ..taken.clone() };
        what(&[world.way.deal(&taken).await.unwrap()]).concat()
    };
    // It may be that the forge only has not found out yet.
    *world.desk.pull.lock().unwrap() = Some(pull.clone());
    assert_eq!(deal(1).await, "again");
    assert!(world.desk.said.lock().unwrap().is_empty());
    *world.desk.pull.lock().unwrap() = Some(pull_of(session, PullState::Open));
    assert_eq!(deal(2).await, "it can be merged");
    *world.desk.pull.lock().unwrap() = Some(pull);
    for _ in 0..2 {
        assert_eq!(deal(3).await, "the pull request conflicts: people were told");
    }
    let said = world.desk.said.lock().unwrap().clone();
    let [(Subject::Pull(8), mark, body)] = &said[..] else { panic!("{said:?}") };
    assert!(mark.what.starts_with("conflict-") && body.contains("`@agent merge main`"), "{body}");
}
