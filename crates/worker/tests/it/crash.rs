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

use cofferdam_agent::replay;
use cofferdam_domain::{CallId, Event, EventBody, Outcome, Seq, SessionId};
use cofferdam_forge::Forge;
use cofferdam_store::Store;
use cofferdam_worker::{Ended, Nobody, work};
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
        let store = FatalStore { inner: scene.store().await, fate: fate.clone() };
        let forge = FatalForge { inner: Arc::new(scene.forge()), fate };
        let parts = scene.parts(Arc::new(store), Arc::new(forge)).await.unwrap();
        let (_ask, stop) = watch::channel(false);
        let ended = Box::pin(work(parts, session, None, Arc::new(Nobody), stop)).await.unwrap();
        assert_eq!(ended, Ended::Over(Outcome::Succeeded));
    });
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
    let requests = scene.forge().list().await.unwrap();
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
