//! What expires: by the configuration, sooner for one organisation, removed by a service that runs.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cofferdam_domain::{SessionId, Timestamp};

use crate::{audit::ended, harness::World, service::Service};

const DAY: u64 = 24 * 60 * 60 * 1000;

fn days_ago(days: u64) -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Timestamp(u64::try_from(now).unwrap() - days * DAY)
}

/// What a session leaves on its worker's disk: files that expire, and what `diff` reads.
fn leave_files(world: &World, session: SessionId) -> PathBuf {
    let directory = world.data().join("sessions").join(session.to_string());
    for left in ["checkpoints/snap/upper", "quarantine.git/objects"] {
        fs::create_dir_all(directory.join(left)).unwrap();
        fs::write(directory.join(left).join("file"), "left").unwrap();
    }
    directory
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_service_removes_what_has_expired() {
    let Some(world) = World::with_sandboxes() else { return };
    world.add_to_configuration(
        "[retention]\nsessions = 30\nfiles = 7\n[server]\nmodels = [\"scripted/demo\"]\n",
    );
    let (long_ago, days, just_now) = (
        ended(&world, "Long ago", days_ago(31)).await,
        ended(&world, "Some days ago", days_ago(8)).await,
        ended(&world, "Just now", days_ago(0)).await,
    );
    let [gone, empty, whole] = [long_ago, days, just_now].map(|session| leave_files(&world, session));
    let service = Service::start(&world);
    eventually("what has expired is removed", || !gone.exists() && !empty.join("checkpoints").exists());
    let listed = service.ok(&["sessions"]);
    assert!(!listed.contains("Long ago"), "{listed}");
    assert!(listed.contains("Some days ago") && listed.contains("Just now"), "{listed}");
    assert!(empty.join("quarantine.git/objects/file").exists(), "what `diff` reads stays");
    for left in ["checkpoints/snap/upper/file", "quarantine.git/objects/file"] {
        assert!(whole.join(left).exists(), "{left}");
    }
    let admin = world.ok(&["admin", "token", "local", "--rank", "admin"]).stdout.trim().to_owned();
    let (_, audit) = service.ask(&admin, "GET", "/audit", "");
    assert!(audit.contains("session.expired") && audit.contains(&long_ago.to_string()), "{audit}");
    assert_eq!(service.end().status, 0);
    world.ok(&["audit", "verify"]);

    // One organisation keeps less, from the next round on: there is one at every start.
    let said = world.ok(&["admin", "retention", "--sessions", "5"]).stdout;
    assert_eq!(said.trim(), "local: after its end a session is kept for 5 days, its files for 7 days");
    let service = Service::start(&world);
    eventually("an organisation's own time counts", || !empty.exists());
    assert!(!service.ok(&["sessions"]).contains("Some days ago"));
    assert!(whole.join("checkpoints/snap/upper/file").exists());
    assert_eq!(service.end().status, 0);
}

#[test]
fn an_organisation_only_keeps_less() {
    let world = World::new();
    world.add_to_configuration("[retention]\nsessions = 30\nfiles = 7\n");
    let said = |arguments: &[&str]| {
        let arguments: Vec<&str> = ["admin", "retention"].iter().chain(arguments).copied().collect();
        world.ok(&arguments).stdout.trim().to_owned()
    };
    assert_eq!(said(&[]), "local: after its end a session is kept for 30 days, its files for 7 days");
    for wider in [["--sessions", "31"], ["--files", "8"]] {
        let refused = world.run(&["admin", "retention", wider[0], wider[1]]);
        assert!(refused.status == 1 && refused.stderr.contains("for less time than"), "{refused}");
    }
    world.ok(&["admin", "org", "elsewhere", "--admin", "Dora"]);
    let narrowed = said(&["--sessions", "10", "--files", "1", "--org", "elsewhere"]);
    assert_eq!(narrowed, "elsewhere: after its end a session is kept for 10 days, its files for 1 day");
    assert_eq!(said(&[]), "local: after its end a session is kept for 30 days, its files for 7 days");
    let again = said(&["--sessions", "0", "--org", "elsewhere"]);
    assert_eq!(again, "elsewhere: after its end a session is kept for 30 days, its files for 1 day");
    let nowhere = world.run(&["admin", "retention", "--org", "nowhere"]);
    assert!(nowhere.status == 1 && nowhere.stderr.contains("there is no organisation nowhere"), "{nowhere}");
    let bad = world.run(&["admin", "retention", "--sessions", "soon"]);
    assert_eq!(bad.status, 2, "{bad}");
}
