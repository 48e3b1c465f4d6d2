//! Who works on what, and in which order.

use std::{num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use cofferdam_domain::{EventBody, Owner, Seq, SessionId, Timestamp};
use cofferdam_store::{
    DayBudget, Depth, Everything, Presence, Purse, Release, Shares, Standing, StoreError, Taken, Writer,
};
use futures_util::{StreamExt as _, future::join_all};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rustix::process::Signal;

use crate::{
    child::Process,
    contract::{Subject, free},
    events::{ended, message, now, owner, queued, queued_with, say, session, soon},
};

/// Longer than any test: nobody counts as gone by its silence.
const PATIENCE: Duration = Duration::from_secs(3600);

/// So many of each.
pub(crate) fn shares(each: u32) -> Shares {
    let each = NonZeroU32::new(each).unwrap();
    Shares { per_user: each, per_org: each, per_repository: each }
}

pub(crate) async fn enter(store: &dyn Everything) -> Presence {
    store.enter("worker", PATIENCE).await.unwrap()
}

/// The sessions that are given out one after the other until there is none.
async fn all_next(store: &dyn Everything, presence: &Presence, shares: Shares) -> Vec<SessionId> {
    let mut taken = Vec::new();
    while let Some(next) = store.next(presence, shares).await.unwrap() {
        taken.push(next.claim.session);
    }
    taken
}

pub(crate) async fn take(store: &dyn Everything, presence: &Presence) -> Taken {
    store.next(presence, shares(99)).await.unwrap().unwrap()
}

pub(crate) async fn whoever_has_least_goes_first_and_their_oldest(subject: &impl Subject) {
    let store = subject.open().await;
    let (ann, ben, cat) = (owner(1, 1), owner(1, 2), owner(2, 3));
    let mut made = Vec::new();
    for whose in [ann, ann, ben, ann, cat, ben] {
        made.push(queued(&*store, whose, 0).await);
    }
    let direct = session(&*store).await;
    let presence = enter(&*store).await;
    let taken = all_next(&*store, &presence, shares(9)).await;
    assert_eq!(taken, [0, 2, 4, 1, 5, 3].map(|place: usize| made[place]));
    assert!(!taken.contains(&direct));
    let depth = store.depth().await.unwrap();
    assert_eq!(depth, Depth { waiting: 0, running: 6, workers: 1 });
    let Standing { oldest, states } = store.standing().await.unwrap();
    assert_eq!(oldest, None, "none waits");
    assert_eq!(states.iter().map(|(_, count)| count).sum::<u64>(), 7);
    let row = store.session(None, made[0]).await.unwrap().unwrap();
    assert_eq!((row.claimed, row.holder.as_deref()), (true, Some("worker")));
    assert_eq!(store.holder(made[0]).await.unwrap().as_deref(), Some("worker"));
}

pub(crate) async fn higher_priorities_go_first(subject: &impl Subject) {
    let store = subject.open().await;
    let mut made = Vec::new();
    for priority in [0, -5, 7, i16::MAX, 0, i16::MIN] {
        made.push(queued(&*store, owner(1, 1), priority).await);
    }
    let presence = enter(&*store).await;
    let taken = all_next(&*store, &presence, shares(9)).await;
    assert_eq!(taken, [3, 2, 0, 4, 1, 5].map(|place: usize| made[place]));
}

pub(crate) async fn shares_hold(subject: &impl Subject) {
    let store = subject.open().await;
    for (org, user, repository) in [(1, 1, "/a"), (1, 1, "/b"), (1, 2, "/a"), (1, 2, "/c"), (2, 3, "/a")] {
        queued_with(&*store, owner(org, user), 0, "x", repository).await;
    }
    let two = NonZeroU32::new(2).unwrap();
    let one = NonZeroU32::MIN;
    for (shares, expected) in [
        (Shares { per_user: one, per_org: two, per_repository: two }, 3),
        (Shares { per_user: two, per_org: one, per_repository: two }, 2),
        (Shares { per_user: two, per_org: NonZeroU32::new(9).unwrap(), per_repository: one }, 4),
        (Shares { per_user: two, per_org: two, per_repository: two }, 3),
    ] {
        let presence = enter(&*store).await;
        assert_eq!(all_next(&*store, &presence, shares).await.len(), expected, "{shares:?}");
        store.leave(presence).await.unwrap();
    }
}

pub(crate) async fn budgets_limit_how_many_run(subject: &impl Subject) {
    let store = subject.open().await;
    let (ann, ben) = (owner(1, 1), owner(1, 2));
    for whose in [ann, ann, ben, ben] {
        queued(&*store, whose, 0).await;
    }
    let at_once = |concurrent| DayBudget { concurrent: Some(concurrent), ..DayBudget::default() };
    for (purse, limit, expected) in [
        (Purse::User(ann.user), 1, 3),
        (Purse::Project(ann.project), 2, 2),
        (Purse::Org, 1, 1),
        (Purse::Org, 0, 0),
    ] {
        store.set_budget(ann.org, purse, at_once(limit)).await.unwrap();
        let presence = enter(&*store).await;
        assert_eq!(all_next(&*store, &presence, shares(9)).await.len(), expected, "{purse:?}");
        store.leave(presence).await.unwrap();
    }
}

pub(crate) async fn each_session_is_taken_by_one_worker(subject: &impl Subject) {
    let stores = [subject.open().await, subject.open().await];
    let mut made = Vec::new();
    for number in 0..30 {
        made.push(queued(&*stores[0], owner(1, number % 7), 0).await);
    }
    let workers = (0..6_usize).map(|worker| {
        let store = Arc::clone(&stores[worker % 2]);
        tokio::spawn(async move {
            let presence = enter(&*store).await;
            let taken = all_next(&*store, &presence, shares(99)).await;
            (taken, presence)
        })
    });
    let (taken, _presences): (Vec<_>, Vec<_>) =
        join_all(workers).await.into_iter().map(Result::unwrap).unzip();
    let mut taken = taken.concat();
    taken.sort_unstable();
    assert_eq!(taken, made);
}

pub(crate) async fn a_silent_workers_sessions_come_first_and_it_is_fenced(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = queued(&*store, owner(1, 1), -3).await;
    let (frozen, well) = (enter(&*store).await, enter(&*other).await);
    let first = take(&*store, &frozen).await;
    assert_eq!((first.claim.session, first.crashes), (session, 0));
    queued(&*store, owner(1, 2), 9).await;
    subject.silence(frozen.worker).await;
    let second = take(&*other, &well).await;
    assert_eq!((second.claim.session, second.crashes), (session, 1));
    assert!(second.claim.fence > first.claim.fence);
    let late = Writer::Worker { claim: &first.claim, after: Seq(1) };
    let refused = store.append(session, late, Timestamp(9), vec![message("late")]).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    let refused = store.next(&frozen, shares(9)).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Absent { worker }) if worker == frozen.worker), "{refused:?}");
    let refused = store.release(first, Release::HandOver).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    let writer = Writer::Worker { claim: &second.claim, after: Seq(1) };
    other.append(session, writer, Timestamp(9), vec![message("in time")]).await.unwrap();
    // One good stay, and the deaths before it are forgotten.
    other.release(second, Release::HandOver).await.unwrap();
    take(&*other, &well).await;
    assert_eq!(take(&*other, &well).await.crashes, 0);
}

pub(crate) async fn a_worker_that_leaves_gives_back_at_once(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued(&*store, owner(1, 1), 0).await;
    let (leaving, dropped, last) = (enter(&*store).await, enter(&*store).await, enter(&*store).await);
    take(&*store, &leaving).await;
    store.leave(leaving).await.unwrap();
    assert!(!store.session(None, session).await.unwrap().unwrap().claimed);
    assert_eq!(take(&*store, &dropped).await.crashes, 0);
    let mut stirred = store.stirred().await.unwrap();
    drop(dropped);
    let taken = loop {
        soon(stirred.next()).await.unwrap();
        if let Some(taken) = store.next(&last, shares(9)).await.unwrap() {
            break taken;
        }
    };
    assert_eq!(taken.claim.session, session);
}

pub(crate) async fn what_is_done_is_not_taken_again_until_something_happens(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued(&*store, owner(1, 1), 0).await;
    let presence = enter(&*store).await;
    // The worker knows of all there is: whatever the store makes of it, there is nothing to do.
    let taken = take(&*store, &presence).await;
    store.release(taken, Release::Done { seen: Seq(1) }).await.unwrap();
    assert!(store.next(&presence, shares(9)).await.unwrap().is_none());
    // A follow-up after the end.
    store.append(session, Writer::Anybody, Timestamp(9), vec![ended()]).await.unwrap();
    assert!(store.next(&presence, shares(9)).await.unwrap().is_none());
    say(&*store, session, "one more thing").await;
    let taken = take(&*store, &presence).await;
    // Something that the worker does not know of yet came in at the last moment.
    say(&*store, session, "and another").await;
    store.release(taken, Release::Done { seen: Seq(3) }).await.unwrap();
    let taken = take(&*store, &presence).await;
    store.append(session, Writer::Anybody, Timestamp(9), vec![ended()]).await.unwrap();
    store.release(taken, Release::Done { seen: Seq(5) }).await.unwrap();
    let merge = EventBody::MergeAsked { by: "ann".into(), commit: "c".into() };
    store.append(session, Writer::Anybody, Timestamp(9), vec![merge]).await.unwrap();
    assert_eq!(take(&*store, &presence).await.claim.session, session);
}

pub(crate) async fn what_is_put_off_comes_back_by_itself(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued(&*store, owner(1, 1), 0).await;
    let presence = enter(&*store).await;
    let taken = take(&*store, &presence).await;
    let mut stirred = store.stirred().await.unwrap();
    let not_before = Timestamp(now().0 + 300);
    store.release(taken, Release::TryAgain { not_before, reason: "no disk".into() }).await.unwrap();
    assert_eq!(store.depth().await.unwrap().waiting, 1);
    let taken = loop {
        soon(stirred.next()).await.unwrap();
        if let Some(taken) = store.next(&presence, shares(9)).await.unwrap() {
            break taken;
        }
    };
    assert!(now() >= not_before);
    assert_eq!((taken.claim.session, taken.crashes), (session, 1));
}

pub(crate) async fn who_waits_for_a_person_is_not_taken(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued(&*store, owner(1, 1), 0).await;
    let presence = enter(&*store).await;
    let append = async |body| store.append(session, Writer::Anybody, now(), vec![body]).await.unwrap();
    let by = || "ann".to_owned();
    append(EventBody::PauseAsked { by: by() }).await;
    assert!(store.next(&presence, shares(9)).await.unwrap().is_none());
    append(EventBody::ContinueAsked { by: by() }).await;
    let taken = take(&*store, &presence).await;
    // The day's budget is used up: it goes on the next day, or when somebody says so.
    append(EventBody::BudgetExceeded { what: "all".into() }).await;
    store.release(taken, Release::Done { seen: Seq(4) }).await.unwrap();
    assert!(store.next(&presence, shares(9)).await.unwrap().is_none());
    append(EventBody::ContinueAsked { by: by() }).await;
    store.leave(presence).await.unwrap();

    let earlier = queued(&*store, owner(1, 2), 5).await;
    let yesterday = vec![EventBody::BudgetExceeded { what: "all".into() }];
    store.append(earlier, Writer::Anybody, Timestamp(5), yesterday).await.unwrap();
    let presence = enter(&*store).await;
    assert_eq!(take(&*store, &presence).await.claim.session, earlier);
    assert_eq!(take(&*store, &presence).await.claim.session, session);
}

pub(crate) async fn who_waits_for_a_budget_is_taken_when_it_is_raised(subject: &impl Subject) {
    let store = subject.open().await;
    let ann = owner(1, 1);
    let (session, other) = (queued(&*store, ann, 0).await, queued(&*store, owner(1, 2), 0).await);
    let budget = |pull_requests| DayBudget { pull_requests, ..DayBudget::default() };
    let (org, purse) = (ann.org, Purse::User(ann.user));
    store.set_budget(org, purse, budget(Some(1))).await.unwrap();
    let presence = enter(&*store).await;
    let broke = || vec![EventBody::BudgetExceeded { what: "all".into() }];
    for _ in 0..2 {
        let taken = take(&*store, &presence).await;
        let session = taken.claim.session;
        store.append(session, Writer::Anybody, now(), broke()).await.unwrap();
        store.release(taken, Release::Done { seen: Seq(1) }).await.unwrap();
    }
    assert!(store.next(&presence, shares(9)).await.unwrap().is_none());
    let mut stirred = store.stirred().await.unwrap();
    store.set_budget(org, purse, budget(Some(1))).await.unwrap();
    store.set_budget(org, purse, budget(Some(0))).await.unwrap();
    assert!(store.next(&presence, shares(9)).await.unwrap().is_none(), "it was not raised");
    store.set_budget(org, purse, budget(Some(2))).await.unwrap();
    soon(stirred.next()).await.unwrap();
    let taken = take(&*store, &presence).await;
    assert_eq!(taken.claim.session, session, "and not {other}, which is another's");
    // That is not enough after all: it waits on, until tomorrow or until more is said.
    store.release(taken, Release::Done { seen: Seq(9) }).await.unwrap();
    assert!(store.next(&presence, shares(9)).await.unwrap().is_none());
    // Raised while a worker is about to give it back.
    store.set_budget(org, purse, budget(None)).await.unwrap();
    let taken = take(&*store, &presence).await;
    store.append(session, Writer::Anybody, now(), broke()).await.unwrap();
    store.set_budget(org, purse, budget(Some(3))).await.unwrap();
    store.set_budget(org, purse, budget(Some(4))).await.unwrap();
    store.release(taken, Release::Done { seen: Seq(9) }).await.unwrap();
    assert_eq!(take(&*store, &presence).await.claim.session, session);
}

pub(crate) async fn a_claim_by_id_and_the_queue_keep_off_each_other(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let session = queued(&*store, owner(1, 1), 0).await;
    let presence = enter(&*store).await;
    let claim = other.claim(session, "by hand").await.unwrap();
    assert!(store.next(&presence, shares(9)).await.unwrap().is_none());
    assert_eq!(store.holder(session).await.unwrap().as_deref(), Some("by hand"));
    let mut stirred = store.stirred().await.unwrap();
    drop(claim);
    let taken = loop {
        soon(stirred.next()).await.unwrap();
        if let Some(taken) = store.next(&presence, shares(9)).await.unwrap() {
            break taken;
        }
    };
    let refused = other.claim(session, "by hand").await;
    assert!(matches!(&refused, Err(StoreError::Claimed { worker, .. }) if worker == "worker"), "{refused:?}");
    store.release(taken, Release::HandOver).await.unwrap();
    free(&*store, session).await;
    other.claim(session, "by hand").await.unwrap();
}

pub(crate) async fn the_queue_is_heard_from_elsewhere(subject: &impl Subject) {
    let (store, other) = (subject.open().await, subject.open().await);
    let presence = enter(&*store).await;
    let mut stirred = store.stirred().await.unwrap();
    for number in 0..20 {
        let session = queued(&*other, owner(1, number), 0).await;
        let taken = loop {
            soon(stirred.next()).await.unwrap();
            if let Some(taken) = store.next(&presence, shares(99)).await.unwrap() {
                break taken;
            }
        };
        assert_eq!(taken.claim.session, session);
    }
}

pub(crate) async fn many_lanes_are_walked_when_the_oldest_may_not_run(subject: &impl Subject) {
    let store = subject.open().await;
    let busy = owner(1, 1);
    for _ in 0..90 {
        queued_with(&*store, busy, 0, "x", "/one").await;
    }
    let elsewhere = queued_with(&*store, busy, 0, "x", "/two").await;
    let (second, third) = (queued(&*store, owner(1, 2), 0).await, queued(&*store, owner(2, 3), 0).await);
    let lower = queued(&*store, owner(3, 4), -1).await;
    let presence = enter(&*store).await;
    let shares =
        Shares { per_repository: NonZeroU32::MIN, per_user: NonZeroU32::new(2).unwrap(), ..shares(9) };
    let taken = all_next(&*store, &presence, shares).await;
    assert_eq!(taken[1..], [second, third, elsewhere, lower]);
}

/// Two workers, one frozen past its patience and woken: what it writes then is refused.
pub(crate) async fn a_frozen_process_comes_back_to_nothing(subject: &impl Subject) {
    let store = subject.open().await;
    let session = queued(&*store, owner(1, 1), 0).await;
    let mut child = Process::start("work", Path::new(&subject.address()), session);
    let fence: u64 = child.report("taken ").unwrap().parse().unwrap();
    let presence = enter(&*store).await;
    let mut stirred = store.stirred().await.unwrap();
    child.report("written").unwrap();
    child.signal(Signal::STOP);
    let taken = loop {
        soon(stirred.next()).await.unwrap();
        match store.next(&presence, shares(9)).await {
            Ok(Some(taken)) => break taken,
            Ok(None) => {}
            // It was stopped in the middle of a transaction, which in SQLite keeps everybody out: it is to stop elsewhere.
            Err(StoreError::Busy { .. }) => {
                child.signal(Signal::CONT);
                child.report("written").unwrap();
                child.signal(Signal::STOP);
            }
            Err(error) => panic!("{error:?}"),
        }
    };
    assert!(taken.claim.fence > fence && taken.crashes == 1);
    let last = store.session(None, session).await.unwrap().unwrap().last;
    child.signal(Signal::CONT);
    let refusal = child.report("refused ").unwrap();
    assert!(refusal.starts_with("Fenced"), "{refusal}");
    child.report("lost").unwrap();
    assert_eq!(store.session(None, session).await.unwrap().unwrap().last, last, "nothing was written");
    let writer = Writer::Worker { claim: &taken.claim, after: last };
    store.append(session, writer, Timestamp(9), vec![ended()]).await.unwrap();
    store.verify(session).await.unwrap();
}

/// What happens next to the queue.
#[derive(Debug, Clone, Copy)]
enum Move {
    Make { user: u128, priority: i16, repository: usize },
    Next { worker: usize },
    HandOver { worker: usize },
    Done { worker: usize },
    Die { worker: usize },
}

const WORKERS: usize = 3;
const REPOSITORIES: [&str; 2] = ["/a", "/b"];

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let worker = || 0..WORKERS;
    let one = prop_oneof![
        3 => (0..4_u128, 0..2_i16, 0..2_usize)
            .prop_map(|(user, priority, repository)| Move::Make { user, priority, repository }),
        4 => worker().prop_map(|worker| Move::Next { worker }),
        1 => worker().prop_map(|worker| Move::HandOver { worker }),
        1 => worker().prop_map(|worker| Move::Done { worker }),
        1 => worker().prop_map(|worker| Move::Die { worker }),
    ];
    proptest::collection::vec(one, 1..60)
}

/// A session as it must be.
struct Known {
    session: SessionId,
    owner: Owner,
    repository: usize,
    priority: i32,
    place: i32,
    wanted: bool,
    holder: Option<usize>,
    fence: u64,
    crashes: u32,
}

/// The queue as it must be, played beside the store.
struct Model {
    sessions: Vec<Known>,
    taken: [Vec<Taken>; WORKERS],
    presences: Vec<Presence>,
    dead: Vec<(Taken, Presence)>,
}

const LIMITS: (usize, usize, usize) = (2, 3, 2);

impl Model {
    fn running(&self, is: impl Fn(&Known) -> bool) -> usize {
        self.sessions.iter().filter(|known| known.holder.is_some() && is(known)).count()
    }

    /// The session that must be next.
    fn expected(&self) -> Option<usize> {
        let (per_user, per_org, per_repository) = LIMITS;
        let lane = |known: &Known| self.running(|other| other.owner == known.owner);
        let may_run = |known: &Known| {
            let org = self.running(|other| other.owner.org == known.owner.org);
            let repository = self
                .running(|other| other.owner.org == known.owner.org && other.repository == known.repository);
            lane(known) < per_user && org < per_org && repository < per_repository
        };
        let free = |known: &Known| known.wanted && known.holder.is_none();
        (0..self.sessions.len())
            .filter(|place| free(&self.sessions[*place]) && may_run(&self.sessions[*place]))
            .min_by_key(|place| {
                let known = &self.sessions[*place];
                (std::cmp::Reverse(known.place), lane(known), known.session)
            })
    }

    fn of(&mut self, session: SessionId) -> &mut Known {
        self.sessions.iter_mut().find(|known| known.session == session).unwrap()
    }

    async fn play(&mut self, subject: &impl Subject, store: &dyn Everything, step: Move) {
        match step {
            Move::Make { user, priority, repository } => {
                let owner = owner(user / 2, user);
                let name = REPOSITORIES[repository];
                let session = queued_with(store, owner, priority, "x", name).await;
                let place = i32::from(priority);
                let known = Known {
                    session,
                    owner,
                    repository,
                    priority: place,
                    place,
                    wanted: true,
                    holder: None,
                    fence: 0,
                    crashes: 0,
                };
                self.sessions.push(known);
            }
            Move::Next { worker } => self.next(store, worker).await,
            Move::HandOver { worker } => self.release(store, worker, Release::HandOver).await,
            Move::Done { worker } => self.release(store, worker, Release::Done { seen: Seq(1) }).await,
            Move::Die { worker } => {
                subject.silence(self.presences[worker].worker).await;
                let lost = std::mem::replace(&mut self.presences[worker], enter(store).await);
                let mut lost = Some(lost);
                for taken in std::mem::take(&mut self.taken[worker]) {
                    let known = self.of(taken.claim.session);
                    (known.holder, known.place, known.crashes) = (None, 1 << 16, known.crashes + 1);
                    if let Some(lost) = lost.take() {
                        self.dead.push((taken, lost));
                    }
                }
                // Somebody looks at the queue, so that it shows.
                self.next(store, (worker + 1) % WORKERS).await;
            }
        }
    }

    async fn next(&mut self, store: &dyn Everything, worker: usize) {
        let each = |count: usize| NonZeroU32::new(count as u32).unwrap();
        let (per_user, per_org, per_repository) = LIMITS;
        let shares =
            Shares { per_user: each(per_user), per_org: each(per_org), per_repository: each(per_repository) };
        let expected = self.expected();
        let taken = store.next(&self.presences[worker], shares).await.unwrap();
        assert_eq!(
            taken.as_ref().map(|taken| taken.claim.session),
            expected.map(|place| self.sessions[place].session)
        );
        let Some(taken) = taken else { return };
        let known = self.of(taken.claim.session);
        assert!(taken.claim.fence > known.fence && taken.crashes == known.crashes);
        (known.holder, known.fence, known.place) = (Some(worker), taken.claim.fence, known.priority);
        self.taken[worker].push(taken);
    }

    async fn release(&mut self, store: &dyn Everything, worker: usize, release: Release) {
        let Some(taken) = self.taken[worker].pop() else { return };
        let known = self.of(taken.claim.session);
        (known.holder, known.crashes, known.place) = (None, 0, known.priority);
        known.wanted = release == Release::HandOver;
        store.release(taken, release).await.unwrap();
    }

    /// What has died writes nothing; what is at work does; nothing is lost.
    async fn check(self, store: &dyn Everything) {
        for (taken, _) in &self.dead {
            let late = Writer::Worker { claim: &taken.claim, after: Seq(1) };
            let refused = store.append(taken.claim.session, late, Timestamp(9), vec![message("late")]).await;
            assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
        }
        for taken in self.taken.iter().flatten() {
            let writer = Writer::Worker { claim: &taken.claim, after: Seq(1) };
            store.append(taken.claim.session, writer, Timestamp(9), vec![message("well")]).await.unwrap();
        }
        let running = self.running(|_| true) as u64;
        let wanted =
            self.sessions.iter().filter(|known| known.wanted && known.holder.is_none()).count() as u64;
        let depth = store.depth().await.unwrap();
        assert_eq!((depth.running, depth.waiting), (running, wanted));
        for known in &self.sessions {
            store.verify(known.session).await.unwrap();
        }
    }
}

async fn play(subject: &impl Subject, moves: &[Move]) {
    let stores = [subject.open().await, subject.open().await];
    let mut presences = Vec::new();
    for worker in 0..WORKERS {
        presences.push(enter(&*stores[worker % 2]).await);
    }
    let mut model = Model { sessions: Vec::new(), taken: Default::default(), presences, dead: Vec::new() };
    for (turn, step) in moves.iter().enumerate() {
        model.play(subject, &*stores[turn % 2], *step).await;
    }
    model.check(&*stores[0]).await;
}

/// Any order of making, taking, giving back and dying.
pub(crate) async fn any_history_keeps_one_holder<S: Subject + 'static>(_: &S) {
    let cases = tokio::task::spawn_blocking(|| {
        let mut runner =
            TestRunner::new(Config { cases: 16, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&moves(), |moves| {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            runtime.block_on(async {
                if let Some(subject) = S::fresh().await {
                    play(&subject, &moves).await;
                }
            });
            Ok(())
        });
        outcome.map_err(|failure| failure.to_string())
    });
    cases.await.unwrap().unwrap();
}
