//! The worker is killed at every moment of a session, and the session ends as if it had not been.
//!
//! The moments are all before and after every append (so: after every event that ever becomes durable, and after every effect whose result did
//! not), and after every write to the forge. A worker that has been killed leaves nothing running.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Command, ExitStatus},
    sync::Arc,
};

use cofferdam_agent::{Agent, replay};
use cofferdam_domain::{
    CallId, Digest, Event, EventBody, Label, Outcome, Seq, SessionId, WaitingFor, Wishes,
    effective::checkpoints, event::PlanDecision, policy::Questions,
};
use cofferdam_store::{Store, Writer};
use cofferdam_worker::{Ended, Nobody, now, work};
use tokio::sync::watch;

use crate::{
    fatal::{FatalForge, FatalStore, Fate},
    scene::Scene,
};

const ROOT: &str = "WORKER_TEST_ROOT";
const SESSION: &str = "WORKER_TEST_SESSION";
const LAST: &str = "WORKER_TEST_LAST_MOMENT";
/// More than any session of the scene has.
const MOST_MOMENTS: u32 = 200;

/// A session in which people approve a plan, have it pause and go on, answer, take it back, write after its end, and merge. What counts is done twice, should it be
/// cut short once.
const STORY: &str = r#"
name = "with people"
after = "repeat"

[[step]]
call = [{ tool = "propose_plan", args = { plan = "Change the sign." } }]

[[step]]
call = [{ tool = "shell", args = { command = "echo one > note" } }]

[[step]]
call = [{ tool = "ask", args = { question = "Plus?" } }]

[[step]]
call = [{ tool = "ask", args = { question = "Really plus?" } }]

[[step]]
call = [{ tool = "shell", args = { command = "rm -f note; sed -i 's/- [$]2/+ $2/' sum.sh; sh test.sh" } }]

[[step]]
call = [{ tool = "shell", args = { command = "rm -f note; sed -i 's/- [$]2/+ $2/' sum.sh; sh test.sh; true" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add", summary = "The sign." } }]

[[step]]
call = [{ tool = "shell", args = { command = "sh test.sh; echo more > more" } }]

[[step]]
call = [{ tool = "shell", args = { command = "sh test.sh; echo more > more; true" } }]

[[step]]
call = [{ tool = "finish", args = { outcome = "done", title = "Add", summary = "The sign, and more." } }]
"#;
const PEOPLE: &str = "WORKER_TEST_PEOPLE";
/// How often a fresh look is taken at the change.
pub(crate) const LOOKS: &str = "WORKER_TEST_LOOKS";
/// Set to try every moment of that session rather than one in so many.
pub(crate) const EVERY: &str = "WORKER_TEST_EVERY_MOMENT";
const STRIDE: u32 = 13;
/// What a role says when it stops: how many moments it has lived through.
const LIVED: &str = "moments lived through: ";

/// What runs in the processes that are killed. Told by its environment what to do.
#[test]
#[ignore = "a role for processes that other tests start"]
fn role() {
    let variable = |name| std::env::var(name).unwrap();
    let scene = Scene { root: PathBuf::from(variable(ROOT)) };
    let session: SessionId = variable(SESSION).parse().unwrap();
    let fate = Fate::new(variable(LAST).parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let pauses = std::env::var_os(PEOPLE).is_some();
        let store = FatalStore { inner: scene.store().await, fate: fate.clone(), pauses };
        let forge = FatalForge { inner: Arc::new(scene.forge()), fate: fate.clone() };
        let mut parts = scene.own_parts(Arc::new(store), Arc::new(forge)).await.unwrap();
        if pauses {
            parts.policy.questions = Questions::Wait;
        }
        if let Ok(rounds) = std::env::var(LOOKS) {
            parts.policy.self_review = rounds.parse().unwrap();
        }
        let (_ask, stop) = watch::channel(false);
        let ended = Box::pin(work(Arc::new(parts), session, None, Arc::new(Nobody), stop)).await.unwrap();
        assert!(pauses || ended == Ended::Over(Outcome::Succeeded), "{ended:?}");
        println!("{LIVED}{}", fate.lived());
    });
}

/// Works on the session once, with people about. How many moments that took, unless it was killed.
fn live(scene: &Scene, session: SessionId, last_moment: u32) -> Option<u32> {
    lived(worker(scene, session, last_moment).env(PEOPLE, "1"))
}

/// The same with nobody about.
pub(crate) fn live_alone(scene: &Scene, session: SessionId, last_moment: u32) -> Option<u32> {
    lived(&mut worker(scene, session, last_moment))
}

pub(crate) fn worker(scene: &Scene, session: SessionId, last_moment: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::role", "--ignored", "--nocapture"])
        .env(ROOT, &scene.root)
        .env(SESSION, session.to_string())
        .env(LAST, last_moment.to_string());
    command
}

pub(crate) fn lived(command: &mut Command) -> Option<u32> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.signal() == Some(9) {
        return None;
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let lived = said.lines().find_map(|line| line.split_once(LIVED)?.1.parse().ok());
    Some(lived.unwrap_or_else(|| panic!("{said}")))
}

/// What people do next, if they still want something.
fn people(session: SessionId, events: &[Event]) -> Option<EventBody> {
    let agent = Agent::of(session, events);
    let count = |name: &str| events.iter().filter(|event| event.body.name() == name).count();
    let by = || "ann".to_owned();
    match agent.waiting() {
        Some(WaitingFor::Plan) => {
            let digest = Digest::of(b"Change the sign.");
            let decision = PlanDecision::Approved { text: None };
            return Some(EventBody::PlanDecided { digest, by: by(), decision });
        }
        Some(WaitingFor::Pause | WaitingFor::Budget) => return Some(EventBody::ContinueAsked { by: by() }),
        Some(WaitingFor::Answer) => {
            // Once they think better of it.
            if count("rolled_back") == 0 {
                // A worker may have died before it could keep the files: then to where there were none.
                let begun = events.iter().find(|event| event.body.name() == "plan_decided").unwrap();
                let to = checkpoints(events).first().map_or(begun.seq, |kept| kept.at);
                return Some(EventBody::RolledBack { to, by: by(), instruction: None });
            }
            let call = events.iter().rev().find_map(|event| match event.body {
                EventBody::QuestionAsked { call, .. } => Some(call),
                _ => None,
            });
            return Some(EventBody::QuestionAnswered {
                call: call.unwrap(),
                by: by(),
                text: "Yes.".to_owned(),
            });
        }
        Some(WaitingFor::Choice) | None => {}
    }
    agent.outcome()?;
    match (count("message_received"), count("pull_request_closed")) {
        (0, _) => Some(EventBody::MessageReceived {
            from: by(),
            text: "And more.".to_owned(),
            label: Label::REQUESTER,
            about: None,
        }),
        (_, 0) => {
            let commit = agent.pull_request()?.head_commit.clone();
            Some(EventBody::MergeAsked { by: by(), commit })
        }
        (_, _) => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_do_outlives_every_worker() {
    let folder = tempfile::tempdir().unwrap();
    let probe = Scene::make(&folder.path().join("probe"));
    if let Err(error) = probe.parts(probe.store().await, Arc::new(probe.forge())).await {
        eprintln!("SKIPPED: this host makes no sandboxes: {error}");
        return;
    }
    let stride = if std::env::var_os(EVERY).is_some() { 1 } else { STRIDE as usize };
    for moment in (1..MOST_MOMENTS).step_by(stride) {
        let scene = Scene::with(&folder.path().join(moment.to_string()), STORY);
        scene.git(&["switch", "--quiet", "--detach"]);
        let store = scene.store().await;
        let wishes = Wishes { plan_first: true, ..Wishes::default() };
        let session = scene.enqueue(&*store, wishes).await;
        let mut left = Some(moment);
        loop {
            match (left, live(&scene, session, left.unwrap_or(0))) {
                // It was killed at its moment; from now on nobody is.
                (_, None) => {
                    left = None;
                    continue;
                }
                (Some(more), Some(lived)) => left = Some(more - lived),
                (None, Some(_)) => {}
            }
            let events = store.read(session, Seq::START, 1000).await.unwrap();
            let Some(body) = people(session, &events) else { break };
            store.append(session, Writer::Anybody, now(), vec![body]).await.unwrap();
        }
        check_story(&scene, &*store, session, moment).await;
        if left.is_some() {
            assert!(moment > 60, "a whole session has more than {moment} moments");
            return;
        }
        fs::remove_dir_all(&scene.root).ok();
    }
    panic!("the session never ended by itself");
}

async fn check_story(scene: &Scene, store: &dyn Store, session: SessionId, moment: u32) {
    let events = store.read(session, Seq::START, 1000).await.unwrap();
    store.verify(session).await.unwrap_or_else(|error| panic!("moment {moment}: {error}"));
    replay(&events).unwrap_or_else(|error| panic!("moment {moment}: {error}"));
    let count = |name: &str| events.iter().filter(|event| event.body.name() == name).count();
    for (name, times) in [
        ("session_ended", 2),
        ("rolled_back", 1),
        ("plan_decided", 1),
        ("pause_asked", 1),
        ("pull_request_closed", 1),
    ] {
        assert_eq!(count(name), times, "moment {moment}: {name}");
    }
    assert_eq!(scene.forge().list().unwrap().len(), 1, "moment {moment}");
    let files = scene.git(&["ls-tree", "--name-only", "main"]);
    assert_eq!(files, "more\nsum.sh\ntest.sh\n", "moment {moment}");
    assert_eq!(scene.git(&["show", "main:sum.sh"]), "echo $(( $1 + $2 ))\n", "moment {moment}");
    assert_eq!(
        scene.git(&["rev-list", "--count", "main"]),
        "3\n",
        "moment {moment}: one commit for each turn"
    );
}

fn run(scene: &Scene, session: SessionId, last_moment: u32) -> ExitStatus {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::role", "--ignored"])
        .env(ROOT, &scene.root)
        .env(SESSION, session.to_string())
        .env(LAST, last_moment.to_string())
        .output()
        .unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    output.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_the_same_wherever_its_worker_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let probe = Scene::make(&folder.path().join("probe"));
    if let Err(error) = probe.parts(probe.store().await, Arc::new(probe.forge())).await {
        eprintln!("SKIPPED: this host makes no sandboxes: {error}");
        return;
    }
    for moment in 1..MOST_MOMENTS {
        let scene = Scene::make(&folder.path().join(moment.to_string()));
        let store = scene.store().await;
        let session = scene.accept(&*store).await;
        drop(store);
        let killed = run(&scene, session, moment).signal().is_some();
        if killed {
            assert!(run(&scene, session, 0).success(), "killed at moment {moment}");
        }
        check(&scene, session, moment).await;
        if !killed {
            assert!(moment > 30, "a whole session has more than {moment} moments");
            return;
        }
        fs::remove_dir_all(&scene.root).ok();
    }
    panic!("the session never ended by itself");
}

async fn check(scene: &Scene, session: SessionId, moment: u32) {
    let store = scene.store().await;
    let events = store.read(session, Seq::START, 1000).await.unwrap();
    store.verify(session).await.unwrap_or_else(|error| panic!("moment {moment}: {error}"));
    replay(&events).unwrap_or_else(|error| panic!("moment {moment}: {error}"));
    let ends = events.iter().filter(|event| matches!(event.body, EventBody::SessionEnded { .. })).count();
    assert_eq!(ends, 1, "moment {moment}");

    let branches = scene.git(&["for-each-ref", "--format=%(refname)", "refs/heads"]);
    assert_eq!(branches, format!("refs/heads/cofferdam/{session}\nrefs/heads/main\n"), "moment {moment}");
    let requests = scene.forge().list().unwrap();
    assert_eq!(requests.len(), 1, "moment {moment}");
    let head = scene.git(&["rev-parse", &format!("cofferdam/{session}")]);
    assert_eq!(head.trim(), requests[0].head_commit, "moment {moment}");
    let change = scene.git(&["diff", "--numstat", "main", &requests[0].head_commit]);
    assert_eq!(change, "1\t1\tsum.sh\n", "moment {moment}");

    no_call_runs_again(&events, moment);
    for left in ["layer", "evidence-base", "evidence-head"] {
        let place = scene.data().join("sessions").join(session.to_string()).join(left);
        assert!(!place.exists(), "moment {moment}: {} is left", place.display());
    }
}

/// No call starts a second time, and one with a recorded result has exactly one.
fn no_call_runs_again(events: &[Event], moment: u32) {
    let mut counts: BTreeMap<CallId, (u32, u32)> = BTreeMap::new();
    for event in events {
        match &event.body {
            EventBody::ToolStarted { call, .. } => counts.entry(*call).or_default().0 += 1,
            EventBody::ToolFinished { call, .. } | EventBody::ToolLost { call } => {
                counts.entry(*call).or_default().1 += 1;
            }
            _ => {}
        }
    }
    assert!(counts.values().all(|count| *count == (1, 1)), "moment {moment}: {counts:?}");
}
