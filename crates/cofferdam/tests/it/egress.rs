//! Sessions whose sandboxes have an egress door: what passes, what does not, who is told, and what a person can decide.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use cofferdam_domain::{
    Event, EventBody, Outcome, SessionId,
    egress::{Operation, Passed, Refusal, Refused},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{call, finish, shell},
    harness::{Output, Repository, World, skip},
    lab::Lab,
};

/// What no sandbox may ever see.
const SECRET: &str = "lab-6f1c2e7d90ab4c55";
/// The step that makes a change.
const CHANGE: &str = "echo changed > README.md";

fn repository(world: &World) -> Repository {
    world.repository("project", &[("README.md", "A project.\n"), ("test.sh", "echo ok 1 - all\n")])
}

/// Lets `/open/**` of `lab.example` be read, which is this server, and with a credential `/private/**`.
fn permit(world: &World, lab: &Lab, more: &str) {
    permit_from("env = \"LAB_SECRET\"", world, lab, more);
}

/// The same with the credential from this source.
pub(crate) fn permit_from(source: &str, world: &World, lab: &Lab, more: &str) {
    let address = lab.address();
    world.add_to_configuration(&format!(
        r#"
[egress]
registries = "off"
[[policy.egress.rules]]
name = "open"
scheme = "http"
host = "lab.example"
paths = ["/open/**"]
addresses = {{ at = "{address}" }}
[[policy.egress.rules]]
name = "private"
scheme = "http"
host = "lab.example"
paths = ["/private/**"]
addresses = {{ at = "{address}" }}
credential = "lab"
[[credentials]]
name = "lab"
scheme = "http"
host = "lab.example"
paths = ["/private/**"]
placeholder = ["LAB_TOKEN"]
source = {{ {source} }}
{more}"#
    ));
}

fn run<'a>(repository: &'a Repository, model: &'a str) -> Vec<&'a str> {
    vec!["run", "--repo", repository.address(), "--model", model, "--test", "sh test.sh", "Change it."]
}

/// Whether a directory has these bytes in a file, however deep.
pub(crate) fn holds(directory: &Path, needle: &[u8]) -> Option<PathBuf> {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        let found = if path.is_dir() {
            holds(&path, needle)
        } else {
            let content = fs::read(&path).unwrap_or_default();
            content.windows(needle.len()).any(|window| window == needle).then_some(path)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn passed(events: &[Event]) -> Vec<Passed> {
    let passed = events.iter().filter_map(|event| match &event.body {
        EventBody::EgressAllowed(passed) => Some(passed.clone()),
        _ => None,
    });
    passed.collect()
}

fn refused(events: &[Event]) -> Vec<Refused> {
    let refused = events.iter().filter_map(|event| match &event.body {
        EventBody::EgressRefused(refused) => Some(Refused::clone(refused)),
        _ => None,
    });
    refused.collect()
}

/// What the model was told of each call, in order.
fn told(events: &[Event]) -> Vec<String> {
    let told = events.iter().filter_map(|event| match &event.body {
        EventBody::ToolFinished { outcome, .. } => Some(outcome.text.clone()),
        _ => None,
    });
    told.collect()
}

fn path_of(operation: &Operation) -> &str {
    match operation {
        Operation::Http { path, .. } => path,
        Operation::Connection { host, .. } => host,
        Operation::Name { name } => name,
    }
}

#[test]
fn what_is_permitted_passes_and_the_rest_is_told_to_everybody() {
    let Some(world) = World::with_sandboxes() else { return };
    let lab = Lab::http(|asked| Some((200, format!("answer to {}", asked.target).into_bytes())));
    permit(&world, &lab, "");
    let repository = repository(&world);
    let look = format!(
        "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; grep -rsl {}'{}' /run /tmp /home /etc /workspace; true",
        &SECRET[..8],
        &SECRET[8..]
    );
    let model = world.recording(&json!([
        shell("curl -sS http://lab.example/open/a; curl -sS -H 'authorization: mine' http://lab.example/private/b"),
        shell("curl -s http://lab.example/elsewhere/c >/dev/null 2>&1; true"),
        shell("curl -s http://lab.example/elsewhere/c http://other.example/ http://192.0.2.7/ >/dev/null 2>&1; true"),
        shell(&look),
        shell(CHANGE),
        finish("done"),
    ]));
    let output = world.cofferdam(&run(&repository, &model)).env("LAB_SECRET", SECRET).run();
    assert_eq!(output.status, 0, "{output}");

    let asked = lab.asked();
    let seen: Vec<_> =
        asked.iter().map(|asked| (asked.target.as_str(), asked.headers.get("authorization"))).collect();
    assert_eq!(seen, [("/open/a", None), ("/private/b", Some(&format!("Bearer {SECRET}")))]);

    let events = world.events(None);
    let passed = passed(&events);
    let by: Vec<_> =
        passed.iter().map(|passed| (passed.rule.as_str(), passed.credential.as_deref())).collect();
    assert_eq!(by, [("open", None), ("private", Some("lab"))]);
    assert!(passed.iter().all(|passed| passed.calls.len() == 1), "{passed:?}");
    let refused = refused(&events);
    for (path, code) in
        [("/elsewhere/c", Refusal::Path), ("other.example", Refusal::Name), ("192.0.2.7", Refusal::Address)]
    {
        let one =
            refused.iter().find(|refused| path_of(&refused.operation).contains(path) || path == "192.0.2.7");
        assert!(one.is_some_and(|one| !one.calls.is_empty()), "{path} {code:?}: {refused:?}");
    }
    let told = told(&events);
    assert!(told[0].contains("answer to /open/a") && !told[0].contains("egress refused"), "{}", told[0]);
    for hidden in [&told[1], &told[2]] {
        assert!(hidden.contains("egress refused: GET http://lab.example/elsewhere/c (path)"), "{hidden}");
    }
    assert!(told[2].contains("other.example (name)"), "{}", told[2]);
    assert!(told[3].contains("LAB_TOKEN=placeholder"), "the stand-in is there: {}", told[3]);

    let body = world.pull_request().body;
    assert!(body.contains("### Network") && body.contains("2 requests let out by policy"), "{body}");
    assert!(
        body.contains("curl -s http://lab.example/elsewhere/c >/dev/null"),
        "the command that caused it: {body}"
    );
    let shown = world.ok(&["show", "--egress"]).stdout;
    assert!(
        shown.contains("let out: GET http://lab.example/private/b") && shown.contains("192.0.2.7"),
        "{shown}"
    );
    for text in [&output.stdout, &output.stderr, &shown, &body] {
        assert!(!text.contains(SECRET), "{text}");
    }
    assert_eq!(holds(&world.data(), SECRET.as_bytes()), None);
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_person_grants_what_the_agent_asked_for_while_it_works() {
    let Some(world) = World::with_sandboxes() else { return };
    let lab = Lab::http(|_| Some((200, b"let in".to_vec())));
    permit(&world, &lab, "");
    let configuration = fs::read_to_string(world.path("cofferdam.toml")).unwrap();
    world.file("cofferdam.toml", &format!("{configuration}[policy.egress]\naccess = \"ask\"\n"));
    let repository = repository(&world);
    let ask = |paths: &str| {
        call(
            "request_access",
            &json!({ "host": "lab.example", "scheme": "http", "paths": paths, "reason": "the task names it" }),
        )
    };
    // As long as it takes somebody to decide.
    let wait = "until curl -sf http://lab.example/more/x; do sleep 0.1; done";
    let model = world.recording(&json!([
        { "call": [ask("/more/**")["call"][0], ask("/never/**")["call"][0]] },
        shell(wait),
        shell("curl -s http://lab.example/never/x >/dev/null; true"),
        shell(CHANGE),
        finish("done"),
    ]));
    let mut running = world.cofferdam(&run(&repository, &model)).env("LAB_SECRET", SECRET).start();
    let session = running.until("session ses_").trim().trim_start_matches("session ").to_owned();
    running.until("asks for access (call_1_1)");
    let listed = world.ok(&["access", "list", &session, "--json"]).stdout;
    let requests: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(requests.len(), 2, "{listed}");
    let grant = |more: &[&str]| world.run(&[&["access", "grant", &session], more].concat());
    assert!(grant(&[]).stderr.contains("several open requests"));
    let other = requests[1]["digest"].as_str().unwrap();
    let refused = grant(&["call_1_0", "--rule", other]);
    assert!(refused.status == 1 && refused.stderr.contains("another rule"), "{refused}");
    assert!(grant(&["call_9_0"]).stderr.contains("no request call_9_0"));
    world.ok(&["access", "deny", &session, "call_1_1"]);
    let digest = requests[0]["digest"].as_str().unwrap();
    let granted = grant(&["call_1_0", "--for", "1h", "--rule", digest]);
    assert_eq!(granted.status, 0, "{granted}");
    let output = running.finish();
    assert_eq!(output.status, 0, "{output}");

    assert_eq!(lab.asked().iter().map(|asked| asked.target.as_str()).collect::<Vec<_>>(), ["/more/x"]);
    let events = world.events(None);
    let decided = events.iter().filter(|event| matches!(event.body, EventBody::AccessDecided(_))).count();
    assert_eq!(decided, 2);
    assert_eq!(passed(&events)[0].rule, "access-call_1_0");
    let body = world.pull_request().body;
    assert!(
        body.contains("granted by `tester`, for a limited time") && body.contains("denied by `tester`"),
        "{body}"
    );
    let late = grant(&["call_1_0"]);
    assert!(late.stderr.contains("is over"), "{late}");
    world.ok(&["replay"]);
}

#[test]
fn a_worker_that_dies_between_the_record_and_the_answer_doubles_nothing() {
    let Some(world) = World::with_sandboxes() else { return };
    static ANSWERS: AtomicBool = AtomicBool::new(false);
    let lab = Lab::http(|_| ANSWERS.load(Ordering::SeqCst).then(|| (200, b"late".to_vec())));
    permit(&world, &lab, "");
    let repository = repository(&world);
    let again = json!({
        "expect": { "contains": ["unknown"] },
        "call": [{ "tool": "shell", "args": { "command": format!("{CHANGE}; curl -s http://lab.example/open/again") } }],
    });
    let model =
        world.recording(&json!([shell("curl -s http://lab.example/open/first"), again, finish("done")]));
    let mut running = world.cofferdam(&run(&repository, &model)).env("LAB_SECRET", SECRET).start();
    running.until("let out: GET http://lab.example/open/first");
    running.signal(Signal::KILL);
    assert_eq!(running.finish().status, 137);
    ANSWERS.store(true, Ordering::SeqCst);
    let resumed = world.cofferdam(&["resume"]).env("LAB_SECRET", SECRET).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    let events = world.events(None);
    let paths: Vec<_> = passed(&events).iter().map(|passed| path_of(&passed.operation).to_owned()).collect();
    assert_eq!(paths, ["/open/first", "/open/again"]);
    let opened = events.iter().filter(|event| matches!(event.body, EventBody::PullRequestOpened(_))).count();
    assert_eq!(opened, 1);
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

/// A session that is frozen at its third refusal, after it has left a file.
fn frozen(world: &World) -> (SessionId, Output) {
    let lab = Lab::http(|_| Some((200, Vec::new())));
    permit(world, &lab, "[policy.egress.limits]\nrefusals_before_freeze = 3\n");
    let repository = repository(world);
    let model = world.recording(&json!([
        shell("echo kept > left.txt; for n in 1 2 3 4 5 6 7 8; do curl -s http://n$n.example/; done; sleep 100"),
        { "expect": { "contains": ["unknown"] }, "call": [{ "tool": "shell", "args": { "command": CHANGE } }] },
        finish("done"),
    ]));
    let output = world.cofferdam(&run(&repository, &model)).env("LAB_SECRET", SECRET).run();
    (output.session(), output)
}

#[test]
fn a_burst_of_refusals_freezes_the_sandbox_until_a_person_has_looked() {
    let Some(world) = World::with_sandboxes() else { return };
    let (session, output) = frozen(&world);
    assert_eq!(output.status, 5, "{output}");
    let id = session.to_string();
    let events = world.events(None);
    assert!(events.iter().any(|event| matches!(event.body, EventBody::SandboxFrozen { .. })));
    let held = events.iter().find_map(|event| match &event.body {
        EventBody::SessionEnded { outcome: Outcome::Held { reason } } => Some(reason.as_str()),
        _ => None,
    });
    assert!(held.is_some_and(|reason| reason.contains("refused by the egress door")), "{held:?}");
    let again = world.run(&["resume", &id]);
    assert_eq!(again.status, 5, "nobody has released it: {again}");
    let looked = world.ok(&["sandbox", "run", "--session", &id, "--", "cat", "left.txt"]);
    assert_eq!(looked.stdout, "kept\n");
    world.ok(&["sandbox", "release", &id]);
    let resumed = world.cofferdam(&["resume", &id]).env("LAB_SECRET", SECRET).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_frozen_session_can_be_given_up() {
    let Some(world) = World::with_sandboxes() else { return };
    let (session, output) = frozen(&world);
    assert_eq!(output.status, 5, "{output}");
    let id = session.to_string();
    world.ok(&["sandbox", "destroy", &id]);
    let looked = world.run(&["sandbox", "run", "--session", &id, "--", "true"]);
    assert!(looked.stderr.contains("nothing is left"), "{looked}");
    assert_eq!(world.run(&["sandbox", "release", &id]).status, 1);
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_policy_that_does_not_mean_what_it_says_starts_nothing() {
    let world = World::new();
    let repository = repository(&world);
    world.add_to_configuration(
        "[[policy.egress.rules]]\nname = \"a\"\nhost = \"a.example\"\ncredential = \"nobody\"\nmethods = []\n",
    );
    let model = world.recording(&json!([finish("done")]));
    let output = world.run(&run(&repository, &model));
    assert_eq!(output.status, 1, "{output}");
    for wanted in ["there is no credential \"nobody\"", "the list is empty", "cofferdam policy check"] {
        assert!(output.stderr.contains(wanted), "{wanted}: {output}");
    }
    assert!(world.ok(&["sessions"]).stdout.contains("no sessions yet"));
}

/// Whether a program is here; loudly if not.
fn installed(program: &str) -> bool {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// A rule file that lets everything of `lab.example` be read, which is this server with TLS.
fn rules(world: &World, lab: &Lab, root: &str) -> PathBuf {
    let root = world.file("lab.pem", root);
    let text = format!(
        "[egress]\nroots = [{root:?}]\nregistries = \"off\"\n[[policy.egress.rules]]\nname = \"lab\"\nhost = \"lab.example\"\n\
         paths = [\"/open/**\", \"/project.git/**\"]\nquery = true\naddresses = {{ at = \"{}\" }}\n",
        lab.address()
    );
    world.file("rules.toml", &text)
}

#[test]
fn usual_programs_work_through_the_door_unchanged() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = repository(&world);
    repository.git(&["update-server-info"]);
    let files = repository.path.join(".git");
    let (lab, root) = Lab::https("lab.example", move |asked| {
        let path = asked.target.split('?').next().unwrap_or_default();
        if let Some(file) = path.strip_prefix("/project.git/") {
            return Some(fs::read(files.join(file)).map_or((404, Vec::new()), |content| (200, content)));
        }
        Some((200, b"from the lab\n".to_vec()))
    });
    let rules = rules(&world, &lab, &root);
    let inside = |script: &str| {
        world.run(&["sandbox", "run", "--policy", rules.to_str().unwrap(), "--", "sh", "-c", script])
    };
    let url = "https://lab.example/open/x";
    let python = format!(
        "python3 -c 'import urllib.request as r; print(r.urlopen(\"{url}\").read().decode(), end=\"\")'"
    );
    let node = format!("node -e 'fetch(\"{url}\").then(a => a.text()).then(t => process.stdout.write(t))'");
    for (program, script) in [
        ("curl", format!("curl -sS {url}")),
        ("wget", format!("wget -qO- {url}")),
        ("python3", python),
        ("node", node),
        ("git", "git clone -q https://lab.example/project.git /tmp/p && cat /tmp/p/README.md".to_owned()),
    ] {
        if !installed(program) {
            continue;
        }
        let output = inside(&script);
        let wanted = if program == "git" { "A project.\n" } else { "from the lab\n" };
        assert_eq!((output.status, output.stdout.as_str()), (0, wanted), "{program}: {output}");
        assert!(!output.stderr.contains("egress refused"), "{program}: {output}");
    }
    if installed("curl") {
        let output = inside("curl -s https://lab.example/elsewhere; curl -s https://other.example/; exit 7");
        assert_eq!(output.status, 7, "the status is the command's: {output}");
        assert!(output.stdout.contains("urn:cofferdam:refused:path"), "{output}");
        for wanted in ["egress refused: GET https://lab.example/elsewhere (path", "other.example (name"] {
            assert!(output.stderr.contains(wanted), "{wanted}: {output}");
        }
    }
    world.assert_nothing_is_left();
    assert_eq!(fs::read_dir(world.data().join("sandboxes")).unwrap().count(), 0, "nothing is left");
}
