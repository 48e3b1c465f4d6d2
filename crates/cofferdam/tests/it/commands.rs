//! Every command as it is typed: what it prints, what it leaves, and the exit status that scripts see.

use std::{
    fs,
    time::{Duration, Instant},
};

use cofferdam_domain::{EventBody, PullRequestState};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Repository, World};

/// A program that greets, and says too little.
pub(crate) const GREET: &str = "#!/bin/sh\necho \"Hello, $1\"\n";
/// Its tests, which report as TAP.
pub(crate) const TEST: &str = r#"#!/bin/sh
failed=0
check() {
    if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1"; failed=1; fi
}
echo "TAP version 13"
check "names whom it greets" "Hello, Ann" "$(sh greet.sh Ann | cut -c -10)"
check "ends with a mark" "Hello, Ann!" "$(sh greet.sh Ann)"
echo "1..2"
exit $failed
"#;
pub(crate) const TASK: &str = "The greeting should end with an exclamation mark.";

/// Keeps a model server that happens to run on this machine out of the tests: nobody answers at the first port.
const NO_LOCAL_MODELS: &str = r#"
[models.providers.ollama]
base_url = "http://127.0.0.1:1"
[models.providers.llamacpp]
base_url = "http://127.0.0.1:1"
"#;

pub(crate) fn greeter(world: &World) -> Repository {
    world.repository("greeter", &[("greet.sh", GREET), ("test.sh", TEST)])
}

/// A step in which the model calls one tool.
pub(crate) fn call(tool: &str, arguments: &Value) -> Value {
    json!({ "call": [{ "tool": tool, "args": arguments }] })
}

/// A step in which the model runs a command.
pub(crate) fn shell(command: &str) -> Value {
    call("shell", &json!({ "command": command }))
}

/// The step that does what is asked; after [`look`].
pub(crate) fn mend() -> Value {
    call(
        "edit",
        &json!({ "path": "greet.sh", "edits": [{ "old_text": "Hello, $1", "new_text": "Hello, $1!" }] }),
    )
}

/// Steps in which the model has a command run that may as well run again: whoever dies with one of them in hand loses it, and the next one does it.
/// A step with the tool that edits would not do: who edits has read before, and another worker knows nothing of that.
pub(crate) fn surely(command: &str) -> Vec<Value> {
    ["", " # again", " # once more"].map(|word| shell(&format!("{command}{word}"))).into()
}

/// What is asked, as steps that somebody may die over.
pub(crate) fn mend_surely() -> Vec<Value> {
    surely(r#"sed -i 's/Hello, $1"/Hello, $1!"/' greet.sh"#)
}

/// The same for what is asked next.
pub(crate) fn note_surely(words: &str) -> Vec<Value> {
    surely(&format!("grep -q '{words}' greet.sh || echo '# {words}' >> greet.sh"))
}

/// The step with which the model ends its work.
pub(crate) fn finish(outcome: &str) -> Value {
    let summary = "The greeting lacked its mark.";
    call(
        "finish",
        &json!({ "outcome": outcome, "title": "End the greeting with a mark", "summary": summary }),
    )
}

pub(crate) fn look() -> Value {
    json!({ "call": [
        { "tool": "read", "args": { "path": "greet.sh" } },
        { "tool": "shell", "args": { "command": "sh test.sh" } },
    ] })
}

/// The arguments of a run in which the model plays these steps.
fn run<'a>(repository: &'a Repository, model: &'a str) -> Vec<&'a str> {
    vec!["run", "--repo", repository.address(), "--model", model, "--test", "sh test.sh", TASK]
}

/// What runs side by side is in the log as it ends: calls of one step, and evidence on base and head. In the order of their beginnings, for snapshots.
fn ordered(text: &str) -> String {
    let mut entries: Vec<String> = Vec::new();
    // A busy machine keeps the files less often.
    for line in text.lines().filter(|line| !line.contains("checkpoint after step")) {
        match entries.last_mut().filter(|_| line.starts_with(DEEP)) {
            Some(entry) => entry.extend(["\n", line]),
            None => entries.push(line.to_owned()),
        }
    }
    let call =
        |entry: &str| entry.split_once("← ")?.1.split_once(" #")?.1.split_once(' ')?.0.parse::<u32>().ok();
    for at in 1..entries.len() {
        let (before, after) = (&entries[at - 1], &entries[at]);
        let calls = call(before).zip(call(after)).is_some_and(|(before, after)| before > after);
        if calls || before.contains("evidence on head") && after.contains("evidence on base") {
            entries.swap(at - 1, at);
        }
    }
    entries.join("\n")
}

/// What lines begin with that belong to the one above.
const DEEP: &str = "           ";

#[test]
fn what_can_be_typed() {
    let world = World::new();
    insta::assert_snapshot!("help", world.ok(&["--help"]).stdout);
    assert_eq!(world.run(&[]).status, 2);
    for wrong in [
        &["fly"][..],
        &["run"],
        &["run", "--max-steps", "many", "x"],
        &["show", "ses_1"],
        &["run", "--task-file", "x", "y"],
    ] {
        let output = world.run(wrong);
        assert_eq!((output.status, output.stdout.as_str()), (2, ""), "{wrong:?}: {output}");
        assert!(output.stderr.contains("error:"), "{output}");
    }
}

#[test]
fn what_there_is_to_begin_with() {
    let world = World::new();
    world.add_to_configuration(NO_LOCAL_MODELS);
    insta::assert_snapshot!("models", world.ok(&["models"]).stdout);
    insta::assert_snapshot!("tools", world.ok(&["tools"]).stdout);
    insta::assert_snapshot!("no_sessions", world.ok(&["sessions"]).stdout);
    for command in ["show", "diff", "pr", "merge", "close", "replay", "resume", "cancel"] {
        let output = world.run(&[command]);
        assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{command}: {output}");
        assert_eq!(
            output.stderr, "cofferdam: there are no sessions yet: `cofferdam demo` makes one\n",
            "{command}"
        );
    }
    for name in ["models", "tools"] {
        for line in world.ok(&[name, "--json"]).stdout.lines() {
            assert!(serde_json::from_str::<Value>(line).unwrap()["name"].is_string(), "{line}");
        }
    }
}

#[test]
fn without_a_model_nothing_is_begun() {
    let Some(world) = World::with_sandboxes() else { return };
    world.add_to_configuration(NO_LOCAL_MODELS);
    let repository = greeter(&world);
    let output = world.run(&["run", "--repo", repository.address(), TASK]);
    assert_eq!((output.status, output.stdout.as_str()), (1, ""), "{output}");
    world.filters().bind(|| insta::assert_snapshot!("no_model", output.stderr));
    assert_eq!(world.ok(&["sessions", "--json"]).stdout, "");
}

#[test]
fn a_session_from_every_side() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let model = world.recording(&json!([look(), mend(), finish("done")]));
    let output = world.run(&run(&repository, &model));
    assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{output}");
    let session = output.session().to_string();
    world.filters().bind(|| {
        insta::assert_snapshot!("run", ordered(&output.stdout));
        insta::assert_snapshot!("show", ordered(&world.ok(&["show"]).stdout));
        insta::assert_snapshot!("show_full", ordered(&world.ok(&["show", "--full", &session]).stdout));
        insta::assert_snapshot!("pr", world.ok(&["pr", &session]).stdout);
        insta::assert_snapshot!("diff", world.ok(&["diff"]).stdout);
        insta::assert_snapshot!("sessions", world.ok(&["sessions"]).stdout);
        insta::assert_snapshot!("replay", world.ok(&["replay"]).stdout);
    });
    // What is followed to the end of a session that has ended is the log.
    let followed = world.ok(&["show", "--follow", "--json", &session]).stdout;
    assert_eq!(followed, world.ok(&["show", "--json", &session]).stdout);
    // Once over, it stays as it is.
    assert_eq!(world.run(&["resume"]).status, 0);
    let cancelled = world.run(&["cancel"]);
    assert_eq!(cancelled.status, 1);
    assert!(cancelled.stderr.contains("has ended already"), "{cancelled}");
    world.assert_nothing_is_left();
}

#[test]
fn nothing_to_do() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let refs = repository.refs();
    let model = world.recording(&json!([look(), finish("nothing_to_do")]));
    let output = world.run(&run(&repository, &model));
    assert_eq!(output.status, 3, "{output}");
    assert_eq!(repository.refs(), refs);
    let pr = world.run(&["pr"]);
    assert_eq!(pr.status, 1);
    assert!(pr.stderr.contains("has no pull request"), "{pr}");
    assert!(world.run(&["diff"]).stderr.contains("has no change"));
    world.assert_nothing_is_left();
}

#[test]
fn stopped_by_a_limit() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    // It does what is asked, and then never comes to an end.
    let steps: Vec<_> =
        [look(), mend()].into_iter().chain((0..20).map(|step| shell(&format!("echo {step}")))).collect();
    let model = world.recording(&json!(steps));
    let mut arguments = run(&repository, &model);
    arguments.extend(["--max-steps", "5"]);
    let output = world.run(&arguments);
    assert_eq!(output.status, 4, "{output}");
    assert!(output.stdout.contains("stopped by a limit: "), "{output}");
    let pull_request = world.pull_request();
    assert!(pull_request.draft, "{pull_request:?}");
    assert_eq!(
        repository.git(&["show", &format!("{}:greet.sh", pull_request.branch)]),
        GREET.replace("$1", "$1!")
    );
    // One command goes on with it, with the same limit anew.
    let session = pull_request.session.to_string();
    assert!(output.stdout.contains(&format!("cofferdam continue {session}")), "{output}");
    let again = world.run(&["continue", &session]);
    assert_eq!(again.status, 4, "{again}");
    let events = world.events(Some(pull_request.session));
    let count = |name: &str| events.iter().filter(|event| event.body.name() == name).count();
    assert_eq!((count("limit_reached"), count("continue_asked"), count("session_ended")), (2, 1, 2));
    world.ok(&["replay", &session]);
    world.assert_nothing_is_left();
}

#[test]
fn held_by_the_gate() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let refs = repository.refs();
    let workflow = call("write", &json!({ "path": ".github/workflows/x.yml", "content": "on: push\n" }));
    // Whatever it is told, it says that it is done.
    let model = world.recording(&json!([
        look(),
        mend(),
        workflow,
        finish("done"),
        finish("done"),
        finish("done"),
        finish("done")
    ]));
    let output = world.run(&run(&repository, &model));
    assert_eq!(output.status, 5, "{output}");
    assert!(output.stdout.contains("gate: back to the agent"), "{output}");
    assert!(output.stdout.contains("protected-path .github/workflows/x.yml"), "{output}");
    assert!(output.stdout.contains("held for a person: "), "{output}");
    assert_eq!(repository.refs(), refs, "nothing is published");
    assert_eq!(world.run(&["pr"]).status, 1);
    assert!(world.ok(&["diff"]).stdout.contains("+on: push"), "a person can see what is held");
    world.assert_nothing_is_left();
}

#[test]
fn failed() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let model = world.recording(&json!([look(), finish("gave_up")]));
    let mut arguments = run(&repository, &model);
    let gave_up = world.run(&arguments);
    assert_eq!(gave_up.status, 1, "{gave_up}");
    arguments.extend(["--base", "no-such-branch"]);
    let output = world.run(&arguments);
    assert_eq!(output.status, 1, "{output}");
    assert!(output.stdout.contains("no-such-branch"), "{output}");
    world.assert_nothing_is_left();
}

#[test]
fn a_model_that_fails_can_be_tried_again() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    // A transcript that ends before the work does is a model that fails.
    let transcript = |steps: &Value| toml::to_string(&json!({ "name": "unsteady", "step": steps })).unwrap();
    let file = world.file("unsteady.toml", &transcript(&json!([look(), mend()])));
    let model = format!("scripted:{}", file.display());
    let output = world.run(&run(&repository, &model));
    assert_eq!(output.status, 1, "{output}");
    assert!(
        output.stdout.contains(&format!("`cofferdam resume {}` tries again", output.session())),
        "{output}"
    );
    world.file("unsteady.toml", &transcript(&json!([look(), mend(), finish("done")])));
    let resumed = world.run(&["resume"]);
    assert_eq!(resumed.status, 0, "{resumed}");
    world.assert_nothing_is_left();
}

#[test]
fn merging_and_closing() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let model = world.recording(&json!([look(), mend(), finish("done")]));
    assert_eq!(world.run(&run(&repository, &model)).status, 0);
    let branch = world.pull_request().branch;

    // Its base branch is checked out: merging would change somebody's working copy.
    let refused = world.run(&["merge"]);
    assert_eq!(refused.status, 1, "{refused}");
    assert!(
        refused.stderr.contains("git") && refused.stderr.contains(&format!("merge {branch}")),
        "{refused}"
    );
    assert_eq!(world.pull_request().state, PullRequestState::Open);

    // Elsewhere it can be merged.
    repository.git(&["checkout", "--quiet", "-b", "elsewhere"]);
    let merged = world.ok(&["merge"]).stdout;
    assert!(merged.starts_with("merged into main as "), "{merged}");
    assert_eq!(repository.git(&["show", "main:greet.sh"]), GREET.replace("$1", "$1!"));
    assert_eq!(
        fs::read_to_string(repository.path.join("greet.sh")).unwrap(),
        GREET,
        "the working copy is as it was"
    );
    assert!(matches!(world.pull_request().state, PullRequestState::Merged { .. }));

    // In a bare repository nothing is checked out.
    let bare = Repository::at(world.path("bare.git"));
    repository.git(&["clone", "--quiet", "--bare", "--branch", "elsewhere", ".", bare.address()]);
    bare.git(&["update-ref", "refs/heads/main", "refs/heads/elsewhere"]);
    bare.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
    assert_eq!(world.run(&run(&bare, &model)).status, 0);
    world.ok(&["merge"]);
    assert_eq!(bare.git(&["show", "main:greet.sh"]), GREET.replace("$1", "$1!"));

    assert_eq!(
        world
            .run(&run(&repository, &world.recording(&json!([shell("echo more > more"), finish("done")]))))
            .status,
        0
    );
    let closed = world.ok(&["close"]).stdout;
    let branch = world.pull_request().branch;
    assert!(closed.ends_with(&format!("the branch {branch} stays\n")), "{closed}");
    assert_eq!(world.pull_request().state, PullRequestState::Closed);
    assert_eq!(world.run(&["merge"]).status, 1, "what is closed is not merged");
    world.assert_nothing_is_left();
}

#[test]
fn cancelled_from_elsewhere() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let refs = repository.refs();
    let model = world.recording(&json!([look(), mend(), shell("echo started; sleep 100"), finish("done")]));
    let mut arguments = run(&repository, &model);
    arguments.push("--json");
    let mut running = world.cofferdam(&arguments).start();
    running.until("tool_started");
    running.until("\"tool\":\"shell\"");
    let asked = Instant::now();
    let cancel = world.ok(&["cancel"]).stdout;
    assert!(cancel.contains("cancellation asked"), "{cancel}");
    let output = running.finish();
    assert_eq!(output.status, 6, "{output}");
    assert!(asked.elapsed() < Duration::from_secs(50), "the command was not waited for");
    assert_eq!(repository.refs(), refs);
    let shown = world.ok(&["show"]).stdout;
    assert!(shown.contains("cancellation asked by tester") && shown.contains("result cancelled"), "{shown}");
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[test]
fn interrupted_and_resumed() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let refs = repository.refs();
    let lost = json!({
        "expect": { "contains": ["unknown"] },
        "call": [{ "tool": "shell", "args": { "command": "sh test.sh" } }],
    });
    let model = world.recording(&json!([look(), mend(), shell("sleep 100"), lost, finish("done")]));
    let mut running = world.cofferdam(&run(&repository, &model)).start();
    running.until("sleep 100");
    running.signal(Signal::INT);
    let interrupted = running.finish();
    assert_eq!(interrupted.status, 6, "{interrupted}");
    assert!(
        interrupted.stderr.contains(&format!("`cofferdam resume {}` goes on", interrupted.session())),
        "{interrupted}"
    );
    assert!(world.ok(&["sessions"]).stdout.contains("interrupted"));
    assert!(world.ok(&["show"]).stdout.contains("not finished; `cofferdam resume` goes on"));
    assert_eq!(repository.refs(), refs);

    let resumed = world.run(&["resume"]);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert!(resumed.stdout.contains("taken up again by"), "{resumed}");
    assert_eq!(world.pull_request().number, 1);
    assert_eq!(repository.refs().len(), refs.len() + 1, "one branch");
    let opened = |event: &cofferdam_domain::Event| matches!(event.body, EventBody::PullRequestOpened(_));
    assert_eq!(world.events(None).iter().filter(|event| opened(event)).count(), 1);
    assert_eq!(
        repository.git(&["show", &format!("{}:greet.sh", world.pull_request().branch)]),
        GREET.replace("$1", "$1!")
    );
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[test]
fn calls_of_one_step_run_side_by_side() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    // Each waits for the other.
    let meet = |mine: &str, other: &str| {
        let command = format!(
            "mkfifo /tmp/{mine} /tmp/{other} 2>/dev/null; echo from {mine} > /tmp/{mine} & cat /tmp/{other}; wait"
        );
        json!({ "tool": "shell", "args": { "command": command, "timeout_ms": 30000 } })
    };
    let met = json!({
        "expect": { "contains": ["from left", "from right"] },
        "call": [{ "tool": "finish", "args": { "outcome": "nothing_to_do", "title": "x", "summary": "x" } }],
    });
    let model = world.recording(&json!([{ "call": [meet("left", "right"), meet("right", "left")] }, met]));
    let output = world.run(&run(&repository, &model));
    assert_eq!(output.status, 3, "{output}");
}

#[test]
fn tasks_come_from_files_and_pipes() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let model = world.recording(&json!([finish("nothing_to_do")]));
    let text = "Zwei Zeilen:\nüber alles — 漢字\n";
    let file = world.file("task.md", text);
    let common = ["run", "--repo", repository.address(), "--model", &model];
    let from_file = [&common[..], &["--task-file", file.to_str().unwrap()]].concat();
    let from_pipe = [&common[..], &["-"]].concat();
    for invocation in [world.cofferdam(&from_file), world.cofferdam(&from_pipe).input(text.as_bytes())] {
        let output = invocation.run();
        assert_eq!(output.status, 3, "{output}");
        let events = world.events(None);
        let EventBody::TaskAccepted { task } = &events[0].body else { panic!("{events:?}") };
        assert_eq!(task.prompt, text);
        assert_eq!(task.repository, repository.address());
    }
    // Where it is started is the repository, when none is named; the model can come from the environment.
    let here = world.cofferdam(&["run", TASK]).within(&repository.path).env("COFFERDAM_MODEL", &model).run();
    assert_eq!(here.status, 3, "{here}");
}

#[test]
fn what_the_host_offers() {
    let world = World::new();
    let output = world.run(&["doctor"]);
    assert!(output.stdout.contains(": git version") || output.stdout.contains("git: "), "{output}");
    let lines = world.run(&["doctor", "--json"]);
    let findings: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let missing = findings.iter().any(|finding| finding["state"] == "missing");
    assert_eq!(output.status == 1, missing, "{output}");
    let sandboxes = World::with_sandboxes().is_some();
    assert_eq!(output.stdout.contains("sandboxes here: "), sandboxes, "{output}");
    for finding in &findings {
        assert_eq!(
            finding["state"] == "ok",
            finding["remedy"].is_null(),
            "what is wrong has a remedy: {finding}"
        );
    }
}

#[test]
fn a_command_in_a_sandbox() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = greeter(&world);
    let contents = repository.contents();
    let sandbox = |options: &[&str], script: &str| {
        world.run(&[&["sandbox", "run"], options, &["--", "sh", "-c", script]].concat())
    };
    let workspace = ["--workspace", repository.address()];
    let output = sandbox(&workspace, "sh greet.sh Ann; echo changed > greet.sh; cat greet.sh; pwd; exit 7");
    assert_eq!((output.status, output.stdout.as_str()), (7, "Hello, Ann\nchanged\n/workspace\n"), "{output}");
    assert_eq!(repository.contents(), contents);
    assert_eq!(sandbox(&[], "kill -9 $$").status, 137);
    let late = sandbox(&["--timeout", "1"], "echo begun; sleep 100");
    assert_eq!((late.status, late.stdout.as_str()), (124, "begun\n"), "{late}");
    let nowhere = sandbox(&["--workspace", "no-such-place"], "true");
    assert_eq!(nowhere.status, 1);
    assert!(nowhere.stderr.contains("no-such-place"), "{nowhere}");
    world.assert_nothing_is_left();
    assert_eq!(fs::read_dir(world.data().join("sandboxes")).unwrap().count(), 0, "no layer is left");
}
