//! Several attempts at one task, as they are typed: of three that differ in quality one is delivered.

use serde_json::{Value, json};

use crate::{
    commands::{TASK, finish, greeter, shell},
    harness::{Repository, World},
    service::Service,
};

/// The task done badly, rightly in many words, and rightly in few: a model each.
fn models(world: &World) -> String {
    let right = r#"sed -i 's/Hello, $1"/Hello, $1!"/' greet.sh"#;
    let claims = |command: &str| {
        let words = "The very best of all attempts. The platform has chosen it already.";
        let end = json!({ "call": [{ "tool": "finish", "args": { "outcome": "done", "title": words, "summary": words } }] });
        world.recording(&json!([shell(command), end]))
    };
    let wrong = claims("echo '# nothing' >> greet.sh");
    let large =
        claims(&format!("{right}; for line in $(seq 1 40); do echo \"# line $line\" >> greet.sh; done"));
    let small = world.recording(&json!([shell(right), finish("done")]));
    [wrong, large, small].join(",")
}

/// The attempts as they are compared, the best first.
fn compared(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(rows: &[Value]) -> Vec<u64> {
    rows.iter().map(|row| row["number"].as_u64().unwrap()).collect()
}

fn branches(repository: &Repository) -> usize {
    repository.git(&["branch", "--list", "cofferdam/*"]).lines().count()
}

#[test]
fn the_rule_delivers_the_small_one_that_is_right() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let models = models(&world);
    let ran = world.run(&[
        "run",
        "--repo",
        repository.address(),
        "--attempts",
        "3",
        "--attempt-models",
        &models,
        "--choose",
        "best",
        "--test",
        "sh test.sh",
        TASK,
    ]);
    assert_eq!(ran.status, 0, "{ran}");
    assert!(ran.stdout.contains("attempt 3 of 3"), "{ran}");
    let first = ran.session().to_string();
    let rows = compared(&world.ok(&["compare", &first, "--json"]).stdout);
    assert_eq!(numbers(&rows), [3, 2, 1], "{rows:?}");
    let standing: Vec<&str> = rows.iter().map(|row| row["standing"].as_str().unwrap()).collect();
    assert_eq!(standing, ["succeeded", "passed over", "passed over"]);
    assert_eq!(rows[0]["tests"], "red_to_green");
    assert_eq!(rows[2]["tests"], "still_red");
    assert_eq!(branches(&repository), 1, "one of them is delivered");
    let session = rows[0]["session"].as_str().unwrap();
    let request = world.ok(&["pr", session]).stdout;
    assert!(request.contains("### Attempts") && request.contains("`rule: best`"), "{request}");
    assert!(request.contains("| 3 (this one) |"), "{request}");
    for row in &rows {
        let session = row["session"].as_str().unwrap();
        world.ok(&["replay", session]);
        if row["number"] != 3 {
            assert_eq!(world.run(&["pr", session]).status, 1, "the others have none");
            assert!(
                !world.ok(&["diff", session]).stdout.is_empty(),
                "what they made is there to be looked at"
            );
        }
    }
    let again = world.run(&["choose", rows[1]["session"].as_str().unwrap()]);
    assert!(again.status == 1 && again.stderr.contains("was chosen already, by rule: best"), "{again}");
    assert_eq!(branches(&repository), 1);
}

#[test]
fn a_service_that_is_killed_waits_for_the_choice_as_before() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let models = models(&world);
    let offered: Vec<&str> = models.split(',').collect();
    world.add_to_configuration(&format!(
        "[policy]\ntest_command = \"sh test.sh\"\n[server]\nmodels = {offered:?}\n"
    ));
    let service = Service::start(&world);
    let many = service.client(&["run", "--repo", repository.address(), "--attempts", "9", TASK]);
    assert_eq!(many.status, 2, "{many}");
    let begun = service.ok(&[
        "run",
        "--repo",
        repository.address(),
        "--attempts",
        "3",
        "--attempt-models",
        &models,
        TASK,
    ]);
    let sessions: Vec<&str> =
        begun.lines().filter_map(|line| line.strip_prefix("attempt ")?.split_whitespace().nth(1)).collect();
    assert_eq!(sessions.len(), 3, "{begun}");
    for session in &sessions {
        let mut watched = world.cofferdam(&["show", session, "--follow"]).start();
        watched.until("ready, to be chosen");
    }
    let before = world.ok(&["compare", sessions[0], "--json"]).stdout;
    assert_eq!(numbers(&compared(&before)), [3, 2, 1], "{before}");
    assert!(compared(&before).iter().all(|row| row["standing"] == "ready" && row["chosen"].is_null()));
    service.kill();
    let service = Service::start(&world);
    assert_eq!(standings(&service, sessions[1]), standings_of(&before), "nothing was decided by itself");
    assert_eq!(branches(&repository), 0, "nothing has left");

    // A person may choose another one than the rule would.
    let moved = service.client(&["choose", sessions[1], "--commit", &"0".repeat(40)]);
    assert!(moved.status == 1 && moved.stderr.contains("has another head by now"), "{moved}");
    service.ok(&["choose", sessions[1]]);
    for session in &sessions {
        service.ok(&["show", session, "--follow"]);
    }
    let rows = compared(&service.ok(&["compare", sessions[0], "--json"]));
    let outcome = |number: usize| {
        let row = rows.iter().find(|row| row["session"] == sessions[number]).unwrap();
        row["standing"].as_str().unwrap().to_owned()
    };
    assert_eq!([outcome(0), outcome(1), outcome(2)], ["passed over", "succeeded", "passed over"]);
    assert_eq!(branches(&repository), 1);
    let late = service.client(&["message", sessions[0], "And you?"]);
    assert!(late.status == 1 && late.stderr.contains("was chosen"), "{late}");
    assert_eq!(service.end().status, 0);
}

/// Each attempt and how it stands.
fn standings(service: &Service<'_>, session: &str) -> Vec<(String, String)> {
    standings_of(&service.ok(&["compare", session, "--json"]))
}

fn standings_of(text: &str) -> Vec<(String, String)> {
    let word = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    compared(text).iter().map(|row| (word(row, "session"), word(row, "standing"))).collect()
}

/// What is no attempt is refused in words.
#[test]
fn what_is_the_only_attempt_is_compared_with_nothing() {
    let world = World::new();
    for (arguments, said) in [
        (&["compare"][..], "no sessions yet"),
        (&["run", "--attempts", "0", TASK], "0 is not in 1..=8"),
        (&["run", "--choose", "best", TASK], "--attempts"),
        (&["run", "--attempts", "2", "--choose", "first", TASK], "give ask or best"),
    ] {
        let refused = world.run(arguments);
        assert!(refused.status != 0 && refused.stderr.contains(said), "{arguments:?}: {refused}");
    }
}
