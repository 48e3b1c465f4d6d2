//! What people outside are told.

use std::collections::BTreeSet;

use cofferdam_domain::{
    CallId, EventBody, LetterId, NoticeKind, Outcome, SandboxId, Seq, SessionId, Timestamp,
};
use cofferdam_store::{Delivery, Everything, Letter, Placement, Release, Sent, Ticket, Writer};
use futures_util::{StreamExt as _, future::join_all};

use crate::{
    contract::Subject,
    events::{accepted, answered, message, now, owner, queued, session, soon},
    queue::{enter, shares},
};

const LONG: u64 = 60_000;

fn frozen() -> EventBody {
    EventBody::SandboxFrozen { sandbox: SandboxId::from_u128(1), reason: "a canary was touched".into() }
}

fn question() -> EventBody {
    EventBody::QuestionAsked { call: CallId { step: 1, index: 0 }, question: "Which?".into() }
}

fn failed() -> EventBody {
    EventBody::SessionEnded { outcome: Outcome::Failed { reason: "no".into() } }
}

async fn append(store: &dyn Everything, session: SessionId, bodies: Vec<EventBody>) {
    store.append(session, Writer::Anybody, Timestamp(5000), bodies).await.unwrap();
}

async fn take(store: &dyn Everything, channel: &str) -> Option<Delivery> {
    let channels = [channel.to_owned()];
    let channels = if channel.is_empty() { &[] } else { &channels[..] };
    store.take("me", channels, LONG).await.unwrap()
}

/// Takes what nobody has addressed, and addresses it to one channel.
async fn addressed(store: &dyn Everything, channel: &str) -> Vec<Letter> {
    let mut letters = Vec::new();
    while let Some(delivery) = take(store, "").await {
        assert_eq!(delivery.channel, None);
        store.address(&delivery, &[channel.to_owned()]).await.unwrap();
        letters.push(delivery.letter);
    }
    letters
}

pub(crate) async fn a_letter_is_there_if_and_only_if_its_event_is(subject: &impl Subject) {
    let store = subject.open().await;
    let ann = owner(1, 1);
    let waits = queued(&*store, ann, 0).await;
    append(&*store, waits, vec![message("hello"), answered(1, 1, 1), question(), frozen()]).await;
    let letters = addressed(&*store, "a").await;
    let kinds: BTreeSet<_> = letters.iter().map(|letter| letter.kind).collect();
    assert_eq!(kinds, BTreeSet::from([NoticeKind::Question, NoticeKind::Frozen]));
    let letter = letters.iter().find(|letter| letter.kind == NoticeKind::Question).unwrap();
    assert_eq!((letter.session, letter.seq, letter.owner), (Some(waits), Seq(4), ann));
    assert_eq!((letter.title.as_str(), letter.text.as_deref()), ("Fix the parser", Some("Which?")));
    assert_eq!(letter.at, Timestamp(5000));
    // What is refused is not told.
    let claim = store.claim(waits, "old").await.unwrap();
    drop(store.claim(waits, "new").await);
    let writer = Writer::Worker { claim: &claim, after: Seq(1) };
    store.append(waits, writer, Timestamp(1), vec![frozen()]).await.unwrap_err();
    store.append(SessionId::generate(), Writer::Anybody, Timestamp(1), vec![frozen()]).await.unwrap_err();
    // Who began a session at a terminal sees it there.
    let direct = session(&*store).await;
    append(&*store, direct, vec![frozen()]).await;
    // What a fork has copied was told before.
    let forked =
        EventBody::Forked { from: waits, at: Seq(4), by: "ann".into(), model: None, instruction: None };
    let ticket = Ticket { owner: ann, placement: Placement::Queued { priority: 0 } };
    let copies = vec![question(), forked, frozen()];
    store.enqueue(ticket, SessionId::generate(), Timestamp(9), accepted("Fix it"), copies).await.unwrap();
    let letters = addressed(&*store, "a").await;
    assert_eq!(letters.iter().map(|letter| letter.kind).collect::<Vec<_>>(), [NoticeKind::Frozen]);
}

pub(crate) async fn a_letter_goes_to_all_who_are_to_be_told(subject: &impl Subject) {
    let store = subject.open().await;
    let waits = queued(&*store, owner(1, 1), 0).await;
    append(&*store, waits, vec![question()]).await;
    let delivery = take(&*store, "").await.unwrap();
    assert_eq!(take(&*store, "a").await, None, "somebody addresses it");
    let both = ["a".to_owned(), "b".to_owned()];
    store.address(&delivery, &both).await.unwrap();
    let first = take(&*store, "a").await.unwrap();
    assert_eq!((first.letter.id, first.tries, first.channel.as_deref()), (delivery.letter.id, 1, Some("a")));
    store.sent(&first, Sent::Told).await.unwrap();
    // Whoever addressed it too, and was slow.
    store.address(&delivery, &both).await.unwrap();
    assert_eq!(take(&*store, "a").await, None);
    assert_eq!(take(&*store, "b").await.unwrap().letter, first.letter);
    let listed = store.letters(owner(1, 1).org, None, 10).await.unwrap();
    let told: Vec<_> =
        listed.iter().map(|posted| (posted.channel.as_deref().unwrap(), posted.told)).collect();
    assert_eq!(told, [("a", true), ("b", false)]);
    assert_eq!(store.letters(owner(2, 2).org, None, 10).await.unwrap(), []);
    assert_eq!(store.letters(owner(1, 1).org, Some(first.letter.id), 10).await.unwrap(), []);
    // Nobody is to be told.
    append(&*store, waits, vec![frozen()]).await;
    store.address(&take(&*store, "").await.unwrap(), &[]).await.unwrap();
    assert_eq!(take(&*store, "a").await, None);
}

pub(crate) async fn who_dies_with_a_letter_keeps_it_for_a_while_only(subject: &impl Subject) {
    let store = subject.open().await;
    let waits = queued(&*store, owner(1, 1), 0).await;
    append(&*store, waits, vec![question()]).await;
    addressed(&*store, "a").await;
    let channels = ["a".to_owned()];
    let first = store.take("dies", &channels, 200).await.unwrap().unwrap();
    assert_eq!(store.take("other", &channels, LONG).await.unwrap(), None);
    let mut posted = store.posted(&channels).await.unwrap();
    let again = soon(async {
        loop {
            posted.next().await.unwrap();
            if let Some(again) = store.take("other", &channels, LONG).await.unwrap() {
                return again;
            }
        }
    })
    .await;
    assert_eq!((again.letter.clone(), again.tries), (first.letter.clone(), 2), "the same letter");
    // It was only slow; what it says now does not count.
    store.sent(&first, Sent::GivenUp { reason: "slow".into() }).await.unwrap();
    assert_eq!(store.letters(owner(1, 1).org, None, 1).await.unwrap()[0].done, None);
    store.sent(&again, Sent::Told).await.unwrap();
    let listed = store.letters(owner(1, 1).org, None, 1).await.unwrap();
    assert!(listed[0].told && listed[0].done.is_some() && listed[0].tries == 2);
    assert_eq!(store.audited(owner(1, 1).org, None, 10).await.unwrap(), []);
}

pub(crate) async fn who_lives_holds_on_to_a_letter(subject: &impl Subject) {
    let store = subject.open().await;
    let waits = queued(&*store, owner(1, 1), 0).await;
    append(&*store, waits, vec![question()]).await;
    addressed(&*store, "a").await;
    let channels = ["a".to_owned()];
    let first = store.take("one", &channels, 1).await.unwrap().unwrap();
    assert!(store.hold(&first, LONG).await.unwrap());
    assert_eq!(take(&*store, "a").await, None, "it is held for longer than it was taken for");
    subject.tamper("UPDATE letters SET due = 0").await;
    let second = take(&*store, "a").await.unwrap();
    assert!(!store.hold(&first, LONG).await.unwrap(), "somebody else has it");
    store.sent(&second, Sent::Told).await.unwrap();
    assert!(!store.hold(&second, LONG).await.unwrap(), "it was told");
}

/// Many want the letters of one session at once: none of them gets one while another is being told.
pub(crate) async fn one_letter_at_a_time_however_many_want_one(subject: &impl Subject) {
    let stores = [subject.open().await, subject.open().await];
    let session = queued(&*stores[0], owner(1, 1), 0).await;
    for _ in 0..8 {
        append(&*stores[0], session, vec![question()]).await;
    }
    addressed(&*stores[0], "a").await;
    let channels = ["a".to_owned()];
    for left in (0..8).rev() {
        let tries = (0..12).map(|who| stores[who % 2].take("one", &channels, LONG));
        let taken: Vec<Delivery> = join_all(tries).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(taken.len(), 1, "with {left} left");
        stores[0].sent(&taken[0], Sent::Told).await.unwrap();
    }
}

pub(crate) async fn what_failed_comes_back_in_its_time_or_is_given_up(subject: &impl Subject) {
    let store = subject.open().await;
    let waits = queued(&*store, owner(1, 1), 0).await;
    append(&*store, waits, vec![question()]).await;
    addressed(&*store, "a").await;
    let first = take(&*store, "a").await.unwrap();
    let later = Timestamp(now().0 + 3_600_000);
    store.sent(&first, Sent::Again { at: later, reason: "503".into() }).await.unwrap();
    assert_eq!(take(&*store, "a").await, None);
    let listed = store.letters(owner(1, 1).org, None, 1).await.unwrap();
    assert_eq!((listed[0].reason.as_deref(), listed[0].done), (Some("503"), None));
    append(&*store, waits, vec![frozen()]).await;
    addressed(&*store, "a").await;
    let other = take(&*store, "a").await.unwrap();
    assert_ne!(other.letter.id, first.letter.id, "one that waits holds nothing up");
    store.sent(&other, Sent::GivenUp { reason: "x".repeat(9_000) }).await.unwrap();
    assert_eq!(take(&*store, "a").await, None);
    let [entry] = store.audited(owner(1, 1).org, None, 10).await.unwrap().try_into().unwrap();
    assert_eq!((entry.action.as_str(), entry.subject), ("letter.given_up", waits.to_string()));
    assert!(entry.detail.contains(&other.letter.id.to_string()) && entry.detail.len() < 1_000);
    // What is soon due is heard of without anybody saying so.
    append(&*store, waits, vec![question()]).await;
    addressed(&*store, "a").await;
    let third = take(&*store, "a").await.unwrap();
    let mut posted = store.posted(&["a".to_owned()]).await.unwrap();
    store.sent(&third, Sent::Again { at: Timestamp(now().0 + 150), reason: "503".into() }).await.unwrap();
    soon(async {
        while take(&*store, "a").await.is_none() {
            posted.next().await.unwrap();
        }
    })
    .await;
}

pub(crate) async fn letters_are_heard_of_from_elsewhere(subject: &impl Subject) {
    let (here, there) = (subject.open().await, subject.open().await);
    let waits = queued(&*here, owner(1, 1), 0).await;
    let mut posted = there.posted(&[]).await.unwrap();
    soon(posted.next()).await.unwrap();
    assert_eq!(take(&*there, "").await, None);
    append(&*here, waits, vec![question()]).await;
    soon(async {
        while take(&*there, "").await.is_none() {
            posted.next().await.unwrap();
        }
    })
    .await;
}

pub(crate) async fn each_letter_is_taken_once_however_many_want_it(subject: &impl Subject) {
    let stores = [subject.open().await, subject.open().await];
    let waits = queued(&*stores[0], owner(1, 1), 0).await;
    append(&*stores[0], waits, vec![question(); 24]).await;
    assert_eq!(addressed(&*stores[0], "a").await.len(), 24);
    let channels = ["a".to_owned()];
    let takers = (0..8).map(|number| {
        let (store, channels) = (&stores[number % 2], &channels);
        async move {
            let mut taken: Vec<LetterId> = Vec::new();
            while let Some(delivery) = store.take(&number.to_string(), channels, LONG).await.unwrap() {
                store.sent(&delivery, Sent::Told).await.unwrap();
                taken.push(delivery.letter.id);
            }
            taken
        }
    });
    let mut taken: Vec<LetterId> = soon(join_all(takers)).await.concat();
    // On PostgreSQL a taker passes over what another one has locked and may find nothing at the end: what is left is taken now.
    while let Some(delivery) = take(&*stores[0], "a").await {
        stores[0].sent(&delivery, Sent::Told).await.unwrap();
        taken.push(delivery.letter.id);
    }
    let different: BTreeSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), different.len()), (24, 24));
}

pub(crate) async fn one_letter_of_a_session_is_told_at_a_time(subject: &impl Subject) {
    let store = subject.open().await;
    let (one, other) = (queued(&*store, owner(1, 1), 0).await, queued(&*store, owner(1, 1), 0).await);
    append(&*store, one, vec![question(), frozen()]).await;
    append(&*store, other, vec![question()]).await;
    while let Some(delivery) = take(&*store, "").await {
        store.address(&delivery, &["a".to_owned(), "b".to_owned()]).await.unwrap();
    }
    let taken = [take(&*store, "a").await.unwrap(), take(&*store, "a").await.unwrap()];
    let sessions: BTreeSet<_> = taken.iter().map(|delivery| delivery.letter.session.unwrap()).collect();
    assert_eq!((sessions, take(&*store, "a").await), (BTreeSet::from([one, other]), None));
    assert!(take(&*store, "b").await.is_some(), "by another channel it may be");
    let first = taken.iter().find(|delivery| delivery.letter.session == Some(one)).unwrap();
    // One that failed holds nothing up.
    let later = Timestamp(now().0 + 3_600_000);
    store.sent(first, Sent::Again { at: later, reason: "503".into() }).await.unwrap();
    let channels = ["a".to_owned()];
    let second = store.take("dies", &channels, 200).await.unwrap().unwrap();
    assert!(second.letter.session == Some(one) && second.letter.id != first.letter.id);
    // Whoever dies with one holds the others up until it is taken from them.
    append(&*store, one, vec![question()]).await;
    addressed(&*store, "a").await;
    let mut posted = store.posted(&channels).await.unwrap();
    let taken = soon(async {
        loop {
            posted.next().await.unwrap();
            if let Some(delivery) = store.take("other", &channels, LONG).await.unwrap() {
                return delivery;
            }
        }
    })
    .await;
    assert_eq!(taken.letter.session, Some(one));
}

pub(crate) async fn a_session_that_is_given_up_for_its_workers_is_a_dead_letter(subject: &impl Subject) {
    let store = subject.open().await;
    let doomed = queued(&*store, owner(1, 1), 0).await;
    let presence = enter(&*store).await;
    for _ in 0..5 {
        let taken = soon(async {
            loop {
                if let Some(taken) = store.next(&presence, shares(9)).await.unwrap() {
                    return taken;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let release = Release::TryAgain { not_before: Timestamp(1), reason: "it died".into() };
        store.release(taken, release).await.unwrap();
    }
    append(&*store, doomed, vec![failed()]).await;
    let well = queued(&*store, owner(1, 1), 0).await;
    append(&*store, well, vec![failed()]).await;
    let kinds: BTreeSet<_> = addressed(&*store, "a")
        .await
        .into_iter()
        .map(|letter| (letter.session.unwrap(), letter.kind))
        .collect();
    assert_eq!(kinds, BTreeSet::from([(doomed, NoticeKind::DeadLetter), (well, NoticeKind::Failed)]));
}

pub(crate) async fn a_forgotten_session_is_told_of_no_more(subject: &impl Subject) {
    let store = subject.open().await;
    let waits = queued(&*store, owner(1, 1), 0).await;
    append(&*store, waits, vec![question(), frozen()]).await;
    let first = take(&*store, "").await.unwrap();
    store.forget(waits).await.unwrap();
    assert_eq!(take(&*store, "").await, None);
    store.address(&first, &["a".to_owned()]).await.unwrap();
    assert_eq!(take(&*store, "a").await, None, "also for whoever had it");
    assert_eq!(store.letters(owner(1, 1).org, None, 10).await.unwrap(), []);
    let letter = Letter { session: None, kind: NoticeKind::Test, title: "x".into(), ..first.letter };
    store.post(letter.clone(), &["a".to_owned()]).await.unwrap();
    assert_eq!(take(&*store, "a").await.unwrap().letter, letter);
}
