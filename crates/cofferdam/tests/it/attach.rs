//! Somebody works in the sandbox of a session while its agent waits.

use cofferdam_domain::EventBody;
use serde_json::json;

use crate::{
    commands::{finish, shell},
    harness::World,
};

#[test]
fn a_person_works_in_the_sandbox_and_is_recorded() {
    let Some(world) = World::with_sandboxes() else { return };
    let files = [("README.md", "A project.\n"), ("test.sh", "echo ok 1 - all\n")];
    let repository = world.repository("project", &files);
    // Time to come in before the model answers.
    let mut slow = finish("done");
    slow["delay_ms"] = json!(5_000);
    let model = world.recording(&json!([shell("echo agent > by-agent"), slow]));
    let arguments = [
        "run",
        "--json",
        "--repo",
        repository.address(),
        "--model",
        &model,
        "--test",
        "sh test.sh",
        "Change it.",
    ];
    let mut running = world.cofferdam(&arguments).start();
    let line: serde_json::Value = serde_json::from_str(&running.until("tool_finished")).unwrap();
    let session = line["session"].as_str().unwrap();
    let script = "cat by-agent; echo person > by-person; echo seen; exit 3";
    let visit = world.run(&["attach", session, "--", "sh", "-c", script]);
    assert_eq!((visit.status, visit.stdout.as_str()), (3, "agent\nseen\n"), "{visit}");
    let ended = running.finish();
    assert_eq!(ended.status, 0, "{ended}");

    let branch = format!("cofferdam/{session}");
    assert_eq!(repository.git(&["show", &format!("{branch}:by-person")]), "person\n");
    let events = world.events(None);
    let recording = events.iter().find_map(|event| match &event.body {
        EventBody::TerminalClosed { by, recording } => {
            assert_eq!(by, "tester");
            Some(recording.digest.hex())
        }
        _ => None,
    });
    let digits = recording.unwrap();
    let cast =
        std::fs::read_to_string(world.data().join("blobs").join(&digits[..2]).join(&digits[2..])).unwrap();
    assert!(cast.starts_with("{") && cast.contains("\"version\":2") && cast.contains("seen"), "{cast}");
    let late = world.run(&["attach", session]);
    assert!(late.status != 0 && late.stderr.contains("no worker on this machine has"), "{late}");
    world.assert_nothing_is_left();
}
