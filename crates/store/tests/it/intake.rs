//! What forges, chats and other programs sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use cofferdam_domain::{SessionId, Timestamp};
use cofferdam_store::{Arrival, Arrived, Dealt, Everything, Retention, TakenArrival, expiry, upkeep};
use futures_util::{StreamExt as _, future::join_all, stream};

use crate::{
    child::{Process, tell},
    contract::Subject,
    events::{now, owner, queued, soon},
};

const LONG: u64 = 60_000;
const SOURCE: &str = "forge";

fn arrival(id: &str, line: &str) -> Arrival {
    Arrival {
        source: SOURCE.into(),
        id: id.into(),
        event: "issues".into(),
        line: line.into(),
        org: owner(1, 1).org,
        at: now(),
        body: format!("body of {id} \0").into_bytes(),
    }
}

fn sources() -> [String; 1] {
    [SOURCE.to_owned()]
}

async fn arrive(store: &dyn Everything, id: &str, line: &str) {
    assert!(store.arrive(arrival(id, line)).await.unwrap(), "{id} is new");
}

async fn take(store: &dyn Everything, lease: u64) -> Option<TakenArrival> {
    store.take_arrival("me", &sources(), lease).await.unwrap()
}

/// Takes what is next, as soon as there is something.
async fn taken(store: &dyn Everything) -> TakenArrival {
    let mut arrivals = store.arrivals(&sources()).await.unwrap();
    soon(async {
        loop {
            arrivals.next().await.unwrap();
            if let Some(taken) = take(store, LONG).await {
                return taken;
            }
        }
    })
    .await
}

fn done(what: &str) -> Dealt {
    Dealt::Done { session: None, what: what.into() }
}

async fn list(store: &dyn Everything) -> Vec<Arrived> {
    store.arrived(owner(1, 1).org, None, 200).await.unwrap()
}

pub(crate) async fn what_is_sent_again_is_kept_once(subject: &impl Subject) {
    let stores = [subject.open().await, subject.open().await];
    let copies = (0..24).map(|number| {
        let (store, line) = (&stores[number % 2], ["a", "b"][number % 3 % 2]);
        async move { store.arrive(arrival("1", line)).await.unwrap() }
    });
    assert_eq!(soon(join_all(copies)).await.into_iter().filter(|is_new| *is_new).count(), 1);
    let first = taken(&*stores[0]).await;
    assert_eq!((first.arrival.id.as_str(), first.tries), ("1", 1));
    assert_eq!(first.arrival.body, b"body of 1 \0");
    assert!(!stores[1].arrive(arrival("1", "a")).await.unwrap(), "while it is dealt with");
    stores[0].dealt(&first, done("begins")).await.unwrap();
    assert!(!stores[1].arrive(arrival("1", "a")).await.unwrap(), "and after");
    assert_eq!(stores[1].seen(SOURCE, "1").await.unwrap(), Some(first.arrival.at));
    assert_eq!(stores[1].seen("other", "1").await.unwrap(), None);
    assert_eq!(take(&*stores[1], LONG).await, None);
    let elsewhere = Arrival { source: "other".into(), ..arrival("1", "a") };
    assert!(stores[1].arrive(elsewhere.clone()).await.unwrap(), "another source has ids of its own");
    assert_eq!(take(&*stores[1], LONG).await, None, "and takers of its own");
    assert_eq!(stores[1].take_arrival("me", &[], LONG).await.unwrap(), None);
    let both = [SOURCE.to_owned(), "other".to_owned()];
    let other = stores[1].take_arrival("me", &both, LONG).await.unwrap().unwrap();
    assert_eq!(other.arrival, elsewhere);
}

pub(crate) async fn a_line_is_dealt_with_in_order(subject: &impl Subject) {
    let store = subject.open().await;
    for (id, line) in [("1", "a"), ("2", "a"), ("3", "b"), ("4", "a")] {
        arrive(&*store, id, line).await;
    }
    let first = taken(&*store).await;
    let beside = taken(&*store).await;
    assert_eq!((first.arrival.id.as_str(), beside.arrival.id.as_str()), ("1", "3"), "lines are side by side");
    assert_eq!(take(&*store, LONG).await, None, "what comes after waits");
    let later = Timestamp(now().0 + 3_600_000);
    store.dealt(&first, Dealt::Again { at: later, reason: "503".into() }).await.unwrap();
    assert_eq!(take(&*store, LONG).await, None, "also when the first waits for another try");
    let listed = list(&*store).await;
    assert_eq!(listed.iter().map(|one| one.arrival.id.as_str()).collect::<Vec<_>>(), ["4", "3", "2", "1"]);
    assert_eq!((listed[3].what.as_deref(), listed[3].done, listed[3].tries), (Some("503"), None, 1));
    // Whoever has dealt with it has nothing more to say of it.
    store.dealt(&first, done("late")).await.unwrap();
    assert_eq!(take(&*store, LONG).await, None);
    store.dealt(&beside, Dealt::Again { at: Timestamp(now().0 + 150), reason: "503".into() }).await.unwrap();
    let again = taken(&*store).await;
    assert_eq!((again.arrival.id.as_str(), again.tries), ("3", 2), "it is heard of when it is due");
    subject.tamper("UPDATE arrival_lines SET due = 0 WHERE line = 'a'").await;
    for (id, tries) in [("1", 2), ("2", 1), ("4", 1)] {
        let next = taken(&*store).await;
        assert_eq!((next.arrival.id.as_str(), next.tries), (id, tries));
        store.dealt(&next, done("begins")).await.unwrap();
    }
    arrive(&*store, "5", "a").await;
    assert_eq!(taken(&*store).await.arrival.id, "5", "a line that was empty goes on");
}

pub(crate) async fn who_dies_with_an_arrival_keeps_its_line_for_a_while_only(subject: &impl Subject) {
    let store = subject.open().await;
    arrive(&*store, "1", "a").await;
    arrive(&*store, "2", "a").await;
    let first = take(&*store, 200).await.unwrap();
    assert_eq!(take(&*store, LONG).await, None);
    let again = taken(&*store).await;
    assert_eq!((&again.arrival, again.tries), (&first.arrival, 2), "the same, and nothing that came after");
    // It was only slow; what it says now does not count.
    store.dealt(&first, Dealt::GivenUp { reason: "slow".into() }).await.unwrap();
    assert_eq!(list(&*store).await[1].done, None);
    assert_eq!(take(&*store, LONG).await, None);
    let session = queued(&*store, owner(1, 1), 0).await;
    store.dealt(&again, Dealt::Done { session: Some(session), what: "begins".into() }).await.unwrap();
    let listed = list(&*store).await.pop().unwrap();
    assert_eq!((listed.session, listed.what.as_deref(), listed.tries), (Some(session), Some("begins"), 2));
    assert!(listed.done.is_some() && !listed.given_up && listed.arrival.body.is_empty());
    assert_eq!(store.audited(owner(1, 1).org, None, 10).await.unwrap(), []);
}

pub(crate) async fn who_lives_holds_on_to_an_arrival(subject: &impl Subject) {
    let store = subject.open().await;
    arrive(&*store, "1", "a").await;
    let first = take(&*store, 1).await.unwrap();
    assert!(store.hold_arrival(&first, LONG).await.unwrap());
    assert_eq!(take(&*store, LONG).await, None, "it is held for longer than it was taken for");
    subject.tamper("UPDATE arrival_lines SET due = 0").await;
    let second = take(&*store, LONG).await.unwrap();
    assert!(!store.hold_arrival(&first, LONG).await.unwrap(), "somebody else has it");
    assert!(store.hold_arrival(&second, LONG).await.unwrap());
    store.dealt(&second, done("begins")).await.unwrap();
    assert!(!store.hold_arrival(&second, LONG).await.unwrap(), "it was dealt with");
}

pub(crate) async fn what_is_given_up_is_accounted_for_and_holds_nothing_up(subject: &impl Subject) {
    let store = subject.open().await;
    arrive(&*store, "1", "a").await;
    arrive(&*store, "2", "a").await;
    let first = taken(&*store).await;
    store.dealt(&first, Dealt::GivenUp { reason: "x".repeat(9_000) }).await.unwrap();
    let [entry] = store.audited(owner(1, 1).org, None, 10).await.unwrap().try_into().unwrap();
    assert_eq!((entry.action.as_str(), entry.subject.as_str()), ("delivery.given_up", SOURCE));
    assert!(entry.detail.contains(r#""id":"1""#) && entry.detail.len() < 1_000);
    let listed = list(&*store).await;
    assert!(listed[1].given_up && listed[1].done.is_some() && !listed[0].given_up);
    assert_eq!(taken(&*store).await.arrival.id, "2");
    let page = store.arrived(owner(1, 1).org, Some(listed[0].number), 10).await.unwrap();
    assert_eq!(page, listed[1..]);
    assert_eq!(store.arrived(owner(2, 2).org, None, 10).await.unwrap(), []);
}

pub(crate) async fn arrivals_are_heard_of_from_elsewhere(subject: &impl Subject) {
    let (here, there) = (subject.open().await, subject.open().await);
    let mut arrivals = there.arrivals(&sources()).await.unwrap();
    soon(arrivals.next()).await.unwrap();
    assert_eq!(take(&*there, LONG).await, None);
    arrive(&*here, "1", "a").await;
    soon(async {
        while take(&*there, LONG).await.is_none() {
            arrivals.next().await.unwrap();
        }
    })
    .await;
}

/// Several takers over two openings, some of which fail now and then or die with what they took.
pub(crate) async fn nothing_is_lost_doubled_or_reordered(subject: &impl Subject) {
    const ARRIVALS: usize = 3_000;
    const LINES: usize = 300;
    let stores = [subject.open().await, subject.open().await];
    let sending = stream::iter(0..LINES).for_each_concurrent(16, |line| {
        let store = &stores[line % 2];
        async move {
            // One after the other in a line: the next is sent when the one before is acknowledged.
            for place in 0..ARRIVALS / LINES {
                arrive(&**store, &format!("{line}/{place:02}"), &line.to_string()).await;
            }
        }
    });
    let dealt: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());
    let left = Mutex::new(ARRIVALS);
    let takers = (0..8).map(|number: usize| {
        let (store, dealt, left) = (&stores[number % 2], &dealt, &left);
        async move {
            let mut arrivals = store.arrivals(&sources()).await.unwrap();
            while *left.lock().unwrap() > 0 {
                // Others may deal with the last one while this one waits.
                drop(tokio::time::timeout(Duration::from_millis(200), arrivals.next()).await);
                while let Some(taken) =
                    store.take_arrival(&number.to_string(), &sources(), LONG).await.unwrap()
                {
                    let Arrival { id, line, .. } = taken.arrival.clone();
                    if taken.tries == 1 && id.ends_with("7/03") {
                        let again = Dealt::Again { at: now(), reason: "503".into() };
                        store.dealt(&taken, again).await.unwrap();
                        continue;
                    }
                    // Noted before it is said: if another had the line at the same time it would show here.
                    dealt.lock().unwrap().entry(line).or_default().push(id);
                    store.dealt(&taken, done("begins")).await.unwrap();
                    *left.lock().unwrap() -= 1;
                }
            }
        }
    });
    let all = async { tokio::join!(sending, join_all(takers)) };
    tokio::time::timeout(Duration::from_secs(300), all).await.unwrap();
    let dealt = dealt.into_inner().unwrap();
    assert_eq!(dealt.len(), LINES);
    for (line, ids) in dealt {
        let expected: Vec<_> = (0..ARRIVALS / LINES).map(|place| format!("{line}/{place:02}")).collect();
        assert_eq!(ids, expected);
    }
    assert_eq!(take(&*stores[0], LONG).await, None);
}

/// A process that is killed after it was acknowledged, and one that is killed before it has dealt with what it took.
pub(crate) async fn a_killed_process_loses_nothing(subject: &impl Subject) {
    let (address, session) = (subject.address(), SessionId::generate());
    let folder = Path::new(&address);
    let mut acknowledged = Vec::new();
    for _ in 0..4 {
        let mut sender = Process::start("arrive", folder, session);
        acknowledged.extend((0..5).map(|_| sender.report("kept ").unwrap()));
        sender.kill();
        // It may have got further than we have read.
        acknowledged.extend(std::iter::from_fn(|| sender.report("kept ")));
    }
    let store = subject.open().await;
    let mut taker = Process::start("take an arrival", folder, session);
    let held = taker.report("taken ").unwrap();
    taker.kill();
    let mut dealt = Vec::new();
    let mut lines: BTreeMap<String, u32> = BTreeMap::new();
    while list(&*store).await.iter().any(|one| one.done.is_none()) {
        let next = taken(&*store).await;
        assert_eq!(next.tries, if next.arrival.id == held { 2 } else { 1 });
        let number: u32 = next.arrival.id.split_once('-').unwrap().1.parse().unwrap();
        if let Some(before) = lines.insert(next.arrival.line.clone(), number) {
            assert!(before < number, "in the order in which they came");
        }
        store.dealt(&next, done("begins")).await.unwrap();
        dealt.push(next.arrival.id);
    }
    let dealt_with: BTreeSet<_> = dealt.iter().collect();
    assert_eq!(dealt.len(), dealt_with.len());
    assert!(acknowledged.iter().all(|id| dealt_with.contains(id)), "{acknowledged:?} {dealt:?}");
}

/// What a child does: keeps one after another, and says so, until it is killed.
pub(crate) async fn send(store: &dyn Everything) {
    for number in 0.. {
        let (id, line) = (format!("{}-{number}", std::process::id()), format!("line {}", number % 3));
        let line = format!("{} {line}", std::process::id());
        assert!(store.arrive(arrival(&id, &line)).await.unwrap());
        tell(&format!("kept {id}"));
    }
}

/// What a child does: takes one for a short time, says so, and never deals with it.
pub(crate) async fn hold(store: &dyn Everything) {
    let taken = take(store, 500).await.unwrap();
    tell(&format!("taken {}", taken.arrival.id));
    std::future::pending::<()>().await;
}

pub(crate) async fn what_was_dealt_with_is_dropped_in_its_time(subject: &impl Subject) {
    const DAY: u64 = 24 * 3600 * 1000;
    let store = subject.open().await;
    for id in ["1", "2", "3"] {
        arrive(&*store, id, id).await;
    }
    let before = upkeep(&*store, Retention::default(), now()).await.unwrap();
    let first = taken(&*store).await;
    store.dealt(&first, done("begins")).await.unwrap();
    store.dealt(&taken(&*store).await, Dealt::GivenUp { reason: "no".into() }).await.unwrap();
    let dealt = list(&*store).await[2].done.unwrap();
    assert!(before.next.0 >= dealt.0, "there is nothing to drop");
    let week = expiry(dealt, 7.try_into().unwrap());
    // The next round is a day later at the latest, whatever is due.
    let early = upkeep(&*store, Retention::default(), Timestamp(week.0 - DAY / 2)).await.unwrap();
    assert_eq!(early.next, week);
    assert_eq!(bodies(subject).await, 3);
    upkeep(&*store, Retention::default(), Timestamp(week.0 + 60_000)).await.unwrap();
    assert_eq!(bodies(subject).await, 1, "what waits keeps its body");
    assert!(!store.arrive(arrival("1", "1")).await.unwrap(), "it is still known");
    let month = expiry(dealt, 30.try_into().unwrap());
    upkeep(&*store, Retention::default(), Timestamp(month.0 + 60_000)).await.unwrap();
    assert_eq!(list(&*store).await.len(), 1);
    assert!(store.arrive(arrival("1", "1")).await.unwrap());
    let left = (taken(&*store).await, taken(&*store).await);
    assert!(!left.0.arrival.body.is_empty() && !left.1.arrival.body.is_empty());
}

/// How many arrivals have a body: each that has none is made to show it in the list.
async fn bodies(subject: &impl Subject) -> usize {
    subject.tamper("UPDATE arrivals SET event = 'dropped' WHERE body IS NULL").await;
    list(&*subject.open().await).await.iter().filter(|one| one.arrival.event != "dropped").count()
}

pub(crate) async fn a_thread_has_one_session(subject: &impl Subject) {
    let stores = [subject.open().await, subject.open().await];
    let thread = "forge/work/7/issue/1";
    assert_eq!(stores[0].session_of(thread).await.unwrap(), None);
    let sessions: Vec<SessionId> = (0..8).map(|_| SessionId::generate()).collect();
    let binding = sessions.iter().enumerate().map(|(number, session)| {
        let store = &stores[number % 2];
        async move { store.bind(thread, *session, None).await.unwrap() }
    });
    let bound: BTreeSet<SessionId> = soon(join_all(binding)).await.into_iter().collect();
    let [first] = bound.into_iter().collect::<Vec<_>>().try_into().unwrap();
    assert!(sessions.contains(&first));
    assert_eq!(stores[1].session_of(thread).await.unwrap(), Some(first));
    assert_eq!(stores[1].bind(thread, first, None).await.unwrap(), first, "a second try finds it");
    // The next one, in the place of the one that is known; and one that is behind.
    let binding =
        sessions.iter().enumerate().filter(|(_, session)| **session != first).map(|(number, session)| {
            let store = &stores[number % 2];
            async move { store.bind(thread, *session, Some(first)).await.unwrap() }
        });
    let bound: BTreeSet<SessionId> = soon(join_all(binding)).await.into_iter().collect();
    let [second] = bound.into_iter().collect::<Vec<_>>().try_into().unwrap();
    assert_ne!(second, first);
    assert_eq!(stores[0].session_of("forge/work/7/issue/10").await.unwrap(), None);
}

pub(crate) async fn what_was_sent_for_a_forgotten_session_goes_with_it(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued(&*store, owner(1, 1), 0).await;
    arrive(&*store, "1", "a").await;
    let first = taken(&*store).await;
    let what = "begins".to_owned();
    store.dealt(&first, Dealt::Done { session: Some(session), what }).await.unwrap();
    store.bind("thread", session, None).await.unwrap();
    store.forget(session).await.unwrap();
    assert_eq!(store.session_of("thread").await.unwrap(), None);
    assert_eq!(bodies(subject).await, 0);
    assert!(!store.arrive(arrival("1", "a")).await.unwrap(), "it begins nothing again");
}
