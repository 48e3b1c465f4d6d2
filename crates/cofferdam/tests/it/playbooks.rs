//! `cofferdam playbook`: a text with places becomes a task, here and on a server, and says in the log and the pull request which one it was.

use cofferdam_domain::{Digest, EventBody, Task};
use serde_json::{Value, json};

use crate::{
    commands::{finish, greeter, look, mend},
    harness::World,
    service::Service,
};

const GREET: &str = "---\nname: greet\ndescription: Ends the greeting in another way.\nparameters:\n  - name: mark\n    description: What it should end with\n    max_length: 20\n  - name: why\n    required: false\n    multiline: true\n---\nEnd the greeting with {{mark}}\n\n{{why}}\n";

fn task(world: &World) -> Task {
    let first = world.events(None).remove(0);
    let EventBody::TaskAccepted { task } = first.body else { panic!("{first:?}") };
    task
}

#[test]
fn a_playbook_is_added_shown_and_removed() {
    let world = World::new();
    world.file("greet.md", GREET);
    assert!(world.ok(&["playbook", "list"]).stdout.contains("There are no playbooks"));
    let digest = Digest::of(GREET.as_bytes()).to_string();
    assert!(world.ok(&["playbook", "add", "greet.md"]).stdout.contains(&digest));
    assert!(world.ok(&["playbook", "add", "greet.md"]).stdout.contains("was there already"));
    world.file("greet.md", &format!("{GREET}Really.\u{200b}\n"));
    let added = world.ok(&["playbook", "add", "greet.md"]).stdout;
    assert!(added.contains("1 characters in it cannot be seen"), "{added}");
    let listed = world.ok(&["playbook", "list", "--json"]).stdout;
    let versions: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let latest: Vec<(u64, bool)> = versions
        .iter()
        .map(|line| (line["version"].as_u64().unwrap(), line["latest"].as_bool().unwrap()))
        .collect();
    assert_eq!(latest, [(2, true), (1, false)]);
    let shown = world.ok(&["playbook", "show", "greet"]).stdout;
    assert!(
        shown.contains("mark  What it should end with") && shown.contains("why [may be left out]"),
        "{shown}"
    );
    assert!(shown.contains("\\u{200b}") && !shown.contains('\u{200b}'), "{shown}");
    assert!(!world.ok(&["playbook", "show", "greet", "--digest", &digest]).stdout.contains("Really."));
    world.ok(&["playbook", "remove", "greet"]);
    assert_ne!(world.run(&["playbook", "remove", "greet"]).status, 0);
}

#[test]
fn what_is_wrong_is_said_before_anything_begins() {
    let world = World::new();
    for (text, wanted) in [
        ("Do as I say.", "no front matter"),
        ("---\nname: a\ndescription: b\n---\n{{c}}", "which is no parameter"),
        ("---\nname: a\ndescription: b\nhooks: c\n---\nd", "which means nothing"),
    ] {
        world.file("odd.md", text);
        let output = world.run(&["playbook", "add", "odd.md"]);
        assert!(output.status != 0 && output.stderr.contains(wanted), "{text}: {output}");
    }
    world.file("greet.md", GREET);
    world.ok(&["playbook", "add", "greet.md"]);
    for (arguments, wanted) in [
        (vec!["none", "--set", "mark=!"], "there is no playbook none"),
        (vec!["../x", "--set", "mark=!"], "there is no playbook ../x"),
        (vec!["greet"], "mark has no value"),
        (vec!["greet", "--set", "mark=!", "--set", "mark=?"], "gives mark twice"),
        (vec!["greet", "--set", "mark=!", "--set", "how=x"], "no parameter \"how\""),
        (vec!["greet", "--set", "mark"], "PARAMETER=VALUE"),
        (vec!["greet", "--set", "mark=a\u{1b}[2J"], "control character"),
        (vec!["greet", "--set", "mark=!", "--plan-first"], "takes a server"),
    ] {
        let output = world.run(&[&["playbook", "run"], &arguments[..]].concat());
        assert!(output.status != 0 && output.stderr.contains(wanted), "{wanted}: {output}");
    }
    assert!(world.ok(&["sessions"]).stdout.contains("no sessions yet"));
}

#[test]
fn a_playbook_is_run_and_named_in_the_pull_request() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    world.file("greet.md", GREET);
    world.ok(&["playbook", "add", "greet.md"]);
    let model = world.recording(&json!([look(), mend(), finish("done")]));
    // What looks like a place or a head stays what somebody wrote.
    let why = "why={{mark}} = a\n---\nname: other\n---";
    let ran = world.run(&[
        "playbook",
        "run",
        "greet",
        "--repo",
        repository.address(),
        "--model",
        &model,
        "--set",
        "mark=a mark",
        "--set",
        why,
    ]);
    assert_eq!(ran.status, 0, "{ran}");
    let task = task(&world);
    assert_eq!(task.prompt, "End the greeting with a mark\n\n{{mark}} = a\n---\nname: other\n---");
    let used = task.playbook.unwrap();
    assert_eq!((used.name.as_str(), used.digest), ("greet", Digest::of(GREET.as_bytes())));
    assert!(world.ok(&["show"]).stdout.contains(&format!("by the playbook greet, {}", used.digest)));
    let pull_request = world.ok(&["pr"]).stdout;
    assert!(
        pull_request.contains("by the playbook") && pull_request.contains(&used.digest.short()),
        "{pull_request}"
    );
}

#[test]
fn a_playbook_of_a_server_is_run_by_a_member() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let model = world.recording(&json!([look(), mend(), finish("done")]));
    world.add_to_configuration(&format!("[server]\nmodels = [{model:?}]\n"));
    world.file("greet.md", GREET);
    let service = Service::start(&world);
    let refused = service.client(&["playbook", "add", "greet.md"]);
    assert!(refused.status != 0 && refused.stderr.contains("takes the rank admin"), "{refused}");
    world.ok(&["playbook", "add", "greet.md"]);
    assert!(service.ok(&["playbook", "list"]).contains("Ends the greeting in another way."));
    assert!(service.ok(&["playbook", "show", "greet"]).contains("End the greeting with {{mark}}"));
    let ran =
        service.client(&["playbook", "run", "greet", "--repo", repository.address(), "--set", "mark=!"]);
    assert_eq!(ran.status, 0, "{ran}");
    let task = task(&world);
    assert_eq!(
        (task.prompt.trim_end(), task.playbook.unwrap().name.as_str()),
        ("End the greeting with !", "greet")
    );
    let missing = service.client(&["playbook", "run", "greet", "--repo", repository.address()]);
    assert!(missing.status != 0 && missing.stderr.contains("mark has no value"), "{missing}");
    assert_eq!(service.end().status, 0);
}
