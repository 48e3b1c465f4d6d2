//! `cofferdam demo`, which is the first thing that anybody sees.

use cofferdam_domain::{Event, EventBody};

use crate::harness::{Output, Repository, World};

const FIXED: &str = "seconds::a_number_without_a_unit_is_an_error";

/// Everything about one demo. The repository may have seen others before.
fn check(world: &World, output: &Output) {
    assert_eq!(output.status, 0, "{output}");
    assert_eq!(output.stderr, "");
    for said in [
        "The model is a recording, so no key and no network are needed.",
        "evidence on base: `cargo test --offline --no-fail-fast` failed with status 101, 2 passed, 1 failed",
        "evidence on head: `cargo test --offline --no-fail-fast` passed, 3 passed, 0 failed",
        "The pull request, as a reviewer reads it:",
        "**The tests failed before the change and pass with it.**",
        "**The model is a recording:**",
        FIXED,
        "What the agent says (unverified)",
    ] {
        assert!(output.stdout.contains(said), "{said:?} is missing: {output}");
    }
    let session = output.session();
    let [base, head] = world.evidence(Some(session)).map(|run| run.tests.unwrap());
    assert_eq!(base.failed.iter().collect::<Vec<_>>(), [FIXED]);
    assert!(head.failed.is_empty() && head.passed.iter().any(|name| name == FIXED), "{head:?}");

    let repository = Repository::at(world.data().join("demo/tide-clock"));
    let branch = format!("cofferdam/{session}");
    let diff = repository.git(&["diff", "--stat", "--format=", &format!("main...{branch}")]);
    assert!(diff.contains("src/lib.rs") && diff.contains("1 file changed, 3 insertions(+)"), "{diff}");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    world.assert_nothing_is_left();
}

#[test]
fn ends_with_a_pull_request_and_touches_nothing_else() {
    let Some(world) = World::with_sandboxes() else { return };
    check(&world, &world.run(&["demo"]));
    let repository = Repository::at(world.data().join("demo/tide-clock"));
    let (refs, contents) = (repository.refs(), repository.contents());
    assert_eq!(refs.len(), 2);

    // Again, with what the first one left.
    let second = world.run(&["demo"]);
    check(&world, &second);
    let mut after = repository.refs();
    assert!(after.remove(&format!("refs/heads/cofferdam/{}", second.session())).is_some());
    assert_eq!(after, refs, "one branch is new, no other ref is touched");
    assert_eq!(
        repository.contents(),
        contents,
        "working copy, index, HEAD and configuration are as they were"
    );
}

#[test]
fn prints_its_events_for_programs() {
    let Some(world) = World::with_sandboxes() else { return };
    let output = world.run(&["demo", "--json"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    let printed: Vec<Event> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(printed == world.events(None), "what is printed live is the log: {}", output.stdout);
    assert!(matches!(printed.first().unwrap().body, EventBody::TaskAccepted { .. }));
    assert!(matches!(printed.last().unwrap().body, EventBody::SessionEnded { .. }));
}
