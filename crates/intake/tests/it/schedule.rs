//! Schedules, by a clock of the test's own.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_domain::{Digest, EventBody, Origin, Source, Timestamp};
use cofferdam_intake::{Clock, ScheduleSettings, ScheduleWay, Timekeeper, Way as _};
use cofferdam_store::{Dealt, Everything};
use serde::Deserialize;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::ways::{Home, append, at, begun, deal, end, local, log, playbook, sessions, take, task};

#[derive(Deserialize)]
struct File {
    schedule: Vec<ScheduleSettings>,
}

/// The way of a schedule that is due every hour.
async fn hourly(store: &Arc<dyn Everything>, rest: &str) -> Arc<ScheduleWay> {
    let text = format!(
        "[[schedule]]\nname = 'tidy'\ncron = '0 * * * *'\nrepository = '/srv/git/a'\n{}{rest}",
        if rest.contains("playbook = ") { "" } else { "prompt = 'Tidy up.'\n" }
    );
    let file: File = toml::from_str(&text).unwrap();
    let now = at("2026-11-22T00:00:00Z");
    let schedule = ScheduleSettings::schedules(&file.schedule, now).unwrap().swap_remove(0);
    Arc::new(ScheduleWay::new(store.clone(), schedule, local(&**store).await, None))
}

/// A clock that the test sets.
struct SetClock {
    time: watch::Sender<Timestamp>,
    /// Has the time of each wait that begins.
    waits: mpsc::UnboundedSender<Timestamp>,
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.time.borrow()
    }

    async fn until(&self, at: Timestamp) {
        self.waits.send(at).ok();
        self.time.subscribe().wait_for(|now| *now >= at).await.unwrap();
    }
}

/// A server that keeps a schedule, as long as this lives.
struct Server {
    clock: Arc<SetClock>,
    waits: mpsc::UnboundedReceiver<Timestamp>,
    _stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Server {
    /// Starts at a time, and returns when it sleeps.
    async fn start(store: &Arc<dyn Everything>, way: &Arc<ScheduleWay>, time: &str, next: &str) -> Self {
        let (waits, waiting) = mpsc::unbounded_channel();
        let clock = Arc::new(SetClock { time: watch::Sender::new(at(time)), waits });
        let (stop, stopped) = watch::channel(false);
        let running = Timekeeper::new(store.clone(), vec![way.clone()], clock.clone()).run(stopped);
        let mut server = Self { clock, waits: waiting, _stop: stop, running: tokio::spawn(running) };
        server.sleeps_until(next).await;
        server
    }

    /// Sets the clock, and returns when it sleeps again.
    async fn set(&mut self, time: &str, next: &str) {
        self.clock.time.send_replace(at(time));
        self.sleeps_until(next).await;
    }

    async fn sleeps_until(&mut self, next: &str) {
        assert_eq!(self.waits.recv().await.unwrap().utc(), at(next).utc());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// What has arrived, the latest first.
async fn arrived(store: &dyn Everything, way: &ScheduleWay) -> Vec<String> {
    let arrived = store.arrived(way.org(), None, 100).await.unwrap();
    arrived.into_iter().filter(|one| one.arrival.event == "due").map(|one| one.arrival.id).collect()
}

#[tokio::test]
async fn each_time_begins_one_session_however_many_servers_there_are() {
    for home in Home::each() {
        let stores = [home.open().await, home.open().await];
        let ways = [hourly(&stores[0], "base = 'main'").await, hourly(&stores[1], "base = 'main'").await];
        let (first, next, then) = ("2026-11-22T06:30:00Z", "2026-11-22T07:00:00Z", "2026-11-22T08:00:00Z");
        let mut one = Server::start(&stores[0], &ways[0], first, next).await;
        let mut two = Server::start(&stores[1], &ways[1], first, next).await;
        assert_eq!(arrived(&*stores[0], &ways[0]).await, <[String; 0]>::default(), "nothing was due before");
        tokio::join!(one.set(next, then), two.set("2026-11-22T07:00:02Z", then));
        assert_eq!(arrived(&*stores[1], &ways[1]).await, [next]);

        let (_, kept) = deal(&*stores[1], &*ways[1]).await;
        assert!(matches!(kept, Dealt::Done { session: None, .. }), "{kept:?}");
        let taken = take(&*stores[0], &*ways[0]).await;
        let dealt = ways[0].deal(&taken).await.unwrap();
        let session = begun(&dealt);
        // Whoever dealt with it did not live to say so.
        assert_eq!(ways[1].deal(&taken).await.unwrap(), dealt);
        stores[0].dealt(&taken, dealt).await.unwrap();
        assert_eq!(sessions(&*stores[1]).await, [session]);
        let (task, origin) = task(&*stores[1], session).await;
        assert_eq!(origin, Origin::Schedule { schedule: "tidy".into(), due: at(next) });
        assert_eq!((task.prompt.as_str(), task.base.as_deref()), ("Tidy up.", Some("main")));
        assert_eq!((task.requester.as_str(), task.source), ("schedule tidy", Source::Schedule));

        assert_eq!(task.title.as_deref(), Some("Tidy up. (Sun 2026-11-22 07:00:00 UTC)"));

        // A clock that is set back is due again for nothing.
        one.set("2026-11-22T08:00:00Z", "2026-11-22T09:00:00Z").await;
        drop(two);
        let again = Server::start(&stores[1], &ways[1], "2026-11-22T07:00:30Z", then).await;
        assert_eq!(arrived(&*stores[1], &ways[1]).await, [then, next]);
        drop(again);
    }
}

#[tokio::test]
async fn what_was_due_while_nobody_was_there_is_left_out_or_made_up_for_once() {
    for (missed, expected) in [("skip", vec![]), ("once", vec!["2026-11-22T09:00:00Z"])] {
        for home in Home::each() {
            let store = home.open().await;
            let way = hourly(&store, &format!("missed = '{missed}'")).await;
            let first = Server::start(&store, &way, "2026-11-22T06:30:00Z", "2026-11-22T07:00:00Z").await;
            drop(first);
            for _ in 0..2 {
                let later = "2026-11-22T09:20:00Z";
                let server = Server::start(&store, &way, later, "2026-11-22T10:00:00Z").await;
                assert_eq!(arrived(&*store, &way).await, expected, "{missed}");
                drop(server);
            }
        }
    }
}

#[tokio::test]
async fn a_machine_that_slept_makes_up_for_the_latest() {
    let home = Home::here();
    let store = home.open().await;
    let way = hourly(&store, "missed = 'once'").await;
    let mut server = Server::start(&store, &way, "2026-11-22T06:30:00Z", "2026-11-22T07:00:00Z").await;
    server.set("2026-11-23T05:30:00Z", "2026-11-23T06:00:00Z").await;
    assert_eq!(arrived(&*store, &way).await, ["2026-11-23T05:00:00Z"]);
}

/// A schedule whose first run has begun, and whose second is due.
async fn overlapping(home: &Home, overlap: &str) -> (Arc<dyn Everything>, Arc<ScheduleWay>, Dealt) {
    let store = home.open().await;
    let way = hourly(&store, &format!("overlap = '{overlap}'")).await;
    let mut server = Server::start(&store, &way, "2026-11-22T06:30:00Z", "2026-11-22T07:00:00Z").await;
    server.set("2026-11-22T07:00:00Z", "2026-11-22T08:00:00Z").await;
    deal(&*store, &*way).await;
    let (_, first) = deal(&*store, &*way).await;
    server.set("2026-11-22T08:00:00Z", "2026-11-22T09:00:00Z").await;
    (store, way, first)
}

#[tokio::test]
async fn a_run_is_left_out_while_the_one_before_goes_on() {
    for home in Home::each() {
        let (store, way, first) = overlapping(&home, "skip").await;
        let (id, second) = deal(&*store, &*way).await;
        assert_eq!(id, "2026-11-22T08:00:00Z");
        let what = "left out: the session before has not ended".to_owned();
        assert_eq!(second, Dealt::Done { session: Some(begun(&first)), what });
        assert_eq!(sessions(&*store).await.len(), 1);
    }
}

#[tokio::test]
async fn a_run_waits_for_the_end_of_the_one_before() {
    for home in Home::each() {
        let (store, way, first) = overlapping(&home, "queue").await;
        let taken = take(&*store, &*way).await;
        let waits = way.deal(&taken).await.unwrap();
        let Dealt::Again { reason, .. } = &waits else { panic!("{waits:?}") };
        assert!(reason.contains(&begun(&first).to_string()), "{reason}");
        end(&*store, begun(&first)).await;
        let second = way.deal(&taken).await.unwrap();
        assert_ne!(begun(&second), begun(&first));
        assert_eq!(sessions(&*store).await.len(), 2);
    }
}

#[tokio::test]
async fn a_run_takes_the_place_of_the_one_before() {
    for home in Home::each() {
        let (store, way, first) = overlapping(&home, "cancel").await;
        let (_, second) = deal(&*store, &*way).await;
        let first = begun(&first);
        assert_ne!(begun(&second), first);
        let cancelled = log(&*store, first).await.pop().unwrap().body;
        assert_eq!(cancelled, EventBody::CancelAsked { by: "schedule tidy".into() });
    }
}

#[tokio::test]
async fn a_run_whose_policy_is_not_there_is_given_up_with_the_reason() {
    let home = Home::here();
    let store = home.open().await;
    let way = hourly(&store, "policy = 'narrow'").await;
    let mut server = Server::start(&store, &way, "2026-11-22T06:30:00Z", "2026-11-22T07:00:00Z").await;
    server.set("2026-11-22T07:00:00Z", "2026-11-22T08:00:00Z").await;
    deal(&*store, &*way).await;
    let (_, dealt) = deal(&*store, &*way).await;
    let Dealt::GivenUp { reason } = dealt else { panic!("{dealt:?}") };
    assert!(reason.contains("no policy \"narrow\""), "{reason}");
    store.put_policy(way.org(), "narrow", Some("{}"), at("2026-11-22T07:30:00Z")).await.unwrap();
    server.set("2026-11-22T08:00:00Z", "2026-11-22T09:00:00Z").await;
    let (_, dealt) = deal(&*store, &*way).await;
    let (task, _) = task(&*store, begun(&dealt)).await;
    assert_eq!(task.wishes.policy.as_deref(), Some("narrow"));
    append(&*store, begun(&dealt), EventBody::CancelAsked { by: "ann".into() }).await;
}

const TIDY: &str = "---\nname: tidy-up\ndescription: Tidies one folder.\nparameters:\n  - name: folder\n    pattern: '[a-z/]+'\n  - name: how\n    one_of: [gently, well]\n    default: well\npolicy: narrow\nbase: next\n---\nTidy {{folder}} {{how}}.\n";

/// What came of the run that is due next, at an hour of that day.
async fn run(server: &mut Server, store: &Arc<dyn Everything>, way: &ScheduleWay, hour: u32) -> Dealt {
    server.set(&format!("2026-11-22T{hour:02}:00:00Z"), &format!("2026-11-22T{:02}:00:00Z", hour + 1)).await;
    deal(&**store, way).await.1
}

#[tokio::test]
async fn a_playbook_says_what_is_run_as_it_is_at_that_time() {
    let home = Home::here();
    let store = home.open().await;
    let way = hourly(&store, "playbook = 'tidy-up'\nvalues = { folder = 'src/web' }").await;
    assert_eq!(way.schedule().playbook(), Some("tidy-up"));
    let mut server = Server::start(&store, &way, "2026-11-22T06:30:00Z", "2026-11-22T07:00:00Z").await;
    deal(&*store, &*way).await;
    let given_up = |dealt: Dealt| match dealt {
        Dealt::GivenUp { reason } => reason,
        Dealt::Done { .. } | Dealt::Again { .. } => panic!("{dealt:?}"),
    };
    // It is looked up when it is due, and held against everything that a person's is.
    let reason = given_up(run(&mut server, &store, &way, 7).await);
    assert!(reason.contains("the playbook tidy-up: the organisation has none of that name"), "{reason}");
    let first = playbook(&*store, way.org(), TIDY).await;
    let reason = given_up(run(&mut server, &store, &way, 8).await);
    assert!(reason.contains("no policy \"narrow\""), "{reason}");
    store.put_policy(way.org(), "narrow", Some("{}"), at("2026-11-22T07:30:00Z")).await.unwrap();
    let session = begun(&run(&mut server, &store, &way, 9).await);
    let (task, origin) = task(&*store, session).await;
    assert!(matches!(origin, Origin::Schedule { .. }));
    assert_eq!((task.prompt.as_str(), task.base.as_deref()), ("Tidy src/web well.", Some("next")));
    assert_eq!(task.wishes.policy.as_deref(), Some("narrow"));
    let used = task.playbook.unwrap();
    assert_eq!((used.name.as_str(), used.digest), ("tidy-up", first));
    append(&*store, session, EventBody::SessionEnded { outcome: cofferdam_domain::Outcome::NothingToDo })
        .await;
    // Its next version counts from then on, and what does not fit it any more begins nothing.
    playbook(&*store, way.org(), &TIDY.replace("[a-z/]+", "[0-9]+")).await;
    let reason = given_up(run(&mut server, &store, &way, 10).await);
    assert!(reason.contains("the value of folder"), "{reason}");
    assert_eq!(sessions(&*store).await.len(), 1);
}

#[tokio::test]
async fn a_version_that_was_pinned_stays_and_the_table_is_not_overruled() {
    let plain = TIDY.replace("policy: narrow\n", "");
    let first = Digest::of(plain.as_bytes());
    let rest =
        format!("playbook = 'tidy-up'\ndigest = '{first}'\nvalues = {{ folder = 'a', how = 'gently' }}\n");
    for (rest, told) in [
        (rest.clone(), None),
        (format!("{rest}base = 'main'\n"), Some("says another `base` than the table")),
        (rest.replace("'a'", "'../A'"), Some("the value of folder")),
        (rest.replace("folder =", "folders ="), Some("no parameter \"folders\"")),
    ] {
        let home = Home::here();
        let store = home.open().await;
        let way = hourly(&store, &rest).await;
        playbook(&*store, way.org(), &plain).await;
        playbook(&*store, way.org(), &plain.replace("Tidy {{", "Remove {{")).await;
        let mut server = Server::start(&store, &way, "2026-11-22T06:30:00Z", "2026-11-22T07:00:00Z").await;
        deal(&*store, &*way).await;
        match (run(&mut server, &store, &way, 7).await, told) {
            (Dealt::GivenUp { reason }, Some(told)) => assert!(reason.contains(told), "{reason}"),
            (dealt, None) => {
                let (task, _) = task(&*store, begun(&dealt)).await;
                assert_eq!(task.prompt, "Tidy a gently.");
            }
            (dealt, Some(told)) => panic!("{told}: {dealt:?}"),
        }
    }
}
