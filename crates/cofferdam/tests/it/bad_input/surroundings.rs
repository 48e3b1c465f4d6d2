//! Hosts, providers, disks and stores that are not as they should be, and others that get in between.

use super::*;

#[test]
fn a_host_without_git() {
    let world = World::new();
    let repository = notes(&world);
    for arguments in [&run(repository.address(), "scripted:x", &["Do it"])[..], &["demo"]] {
        refused(
            &world,
            world.cofferdam(arguments).env("PATH", "/no/such/place"),
            &["git was not found in PATH", "install git"],
        );
    }
    let old = world.file("old/git", "#!/bin/sh\necho git version 1.8.3\n");
    Command::new("chmod").arg("+x").arg(&old).status().unwrap();
    let path = old.parent().unwrap().to_str().unwrap();
    let arguments = run(repository.address(), "scripted:x", &["Do it"]);
    refused(
        &world,
        world.cofferdam(&arguments).env("PATH", path),
        &["git version 1.8.3", "or later is needed"],
    );
}

#[test]
fn a_host_without_user_namespaces() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = notes(&world);
    // A user namespace in which no other may be made.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let none =
        ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "sh", "-c", script, "sh"];
    if !Command::new(none[0])
        .args(&none[1..])
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return skip("user namespaces cannot be switched off in a user namespace here");
    }
    let model = idle(&world);
    let words = ["user namespace", "sysctl -w user.max_user_namespaces", "cofferdam doctor"];
    refused(&world, world.cofferdam(&run(repository.address(), &model, &["Do it"])).under(&none), &words);
    refused(&world, world.cofferdam(&["sandbox", "run", "--", "true"]).under(&none), &words);
    world.assert_nothing_is_left();
}

/// A provider of our own that speaks a real wire format, and its name as a model.
fn provider(world: &World, runtime: &tokio::runtime::Runtime, steps: &Value) -> FakeProvider {
    let transcript = toml::to_string(&json!({ "name": "fake", "step": steps })).unwrap();
    let fake = FakeProvider::start(Family::Anthropic, Transcript::parse(&transcript).unwrap());
    let fake = runtime.block_on(fake).unwrap();
    world.add_to_configuration(&format!(
        "[models.retry]\ntries = 3\nfirst_delay_ms = 10\n\
         [models.providers.fake]\nkind = \"anthropic\"\nbase_url = {:?}\nkey_env = \"FAKE_KEY\"\ndefault = \"fake\"\n",
        fake.base_url()
    ));
    fake
}

#[test]
fn a_provider_that_fails() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = notes(&world);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = provider(&world, &runtime, &json!([shell("echo two >> notes.txt"), finish("done")]));
    let arguments = run(repository.address(), "fake", &["Add a line"]);
    let work = || world.cofferdam(&arguments).env("FAKE_KEY", "sk-canary-1").run();
    let before = repository.refs();

    // Tried once: another try would not help. The session waits for a person who mends it.
    fake.inject([Fault::Unauthorised]);
    let wrong_key = work();
    assert_eq!(wrong_key.status, 1, "{wrong_key}");
    assert!(wrong_key.stdout.contains("FAKE_KEY"), "the message names what to set: {wrong_key}");
    assert!(!wrong_key.to_string().contains("sk-canary-1"), "{wrong_key}");
    fake.inject([Fault::NoSuchModel]);
    let unknown = work();
    assert_eq!(unknown.status, 1, "{unknown}");
    assert!(
        unknown.stdout.contains("no-such-model") || unknown.stdout.contains("cofferdam models"),
        "{unknown}"
    );
    assert_eq!((fake.requests().len(), repository.refs()), (2, before.clone()));

    // Nothing was lost with the wrong key.
    let session = wrong_key.session().to_string();
    let resumed = world.cofferdam(&["resume", &session]).env("FAKE_KEY", "sk-canary-2").run();
    assert_eq!(resumed.status, 0, "{resumed}");

    // What passes by itself is waited for, and shown.
    for faults in
        [[Fault::Overloaded, Fault::RateLimited("0".to_owned())], [Fault::Cut, Fault::ErrorInStream]]
    {
        fake.inject(faults);
        let output = work();
        assert_eq!(output.status, 0, "{output}");
        assert_eq!(output.stdout.matches("trying again").count(), 2, "{output}");
        world.ok(&["replay"]);
    }
    assert_eq!(repository.refs().len(), before.len() + 3, "one branch for each that was finished");

    // What does not pass ends the session so that it can be taken up again.
    fake.inject(vec![Fault::Overloaded; 3]);
    let overloaded = work();
    assert_ne!(overloaded.status, 0, "{overloaded}");
    assert!(overloaded.to_string().contains("cofferdam resume"), "{overloaded}");
    let resumed = world.cofferdam(&["resume"]).env("FAKE_KEY", "sk-canary-2").run();
    assert_eq!(resumed.status, 0, "{resumed}");
    fake.assert_clean();
    world.assert_nothing_is_left();
}

/// A slip of whoever types it is told before anybody is paid.
#[test]
fn a_base_that_is_not_there_costs_no_request() {
    let Some(world) = World::with_sandboxes() else { return };
    let (repository, other) = (notes(&world), world.repository("other", &[("a", "b")]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = provider(&world, &runtime, &json!([shell("echo two >> notes.txt"), finish("done")]));
    let work = |more: &[&str]| {
        let arguments = run(repository.address(), "fake", &[more, &["Add a line"]].concat());
        world.cofferdam(&arguments).env("FAKE_KEY", "sk-canary-1").run()
    };
    let beside = format!("{}#mian", other.address());
    for more in [["--base", "mian"], ["--also", &beside]] {
        let output = work(&more);
        assert!(output.status == 1 && output.stdout.contains("did you mean main?"), "{output}");
        assert_eq!(fake.requests().len(), 0, "{output}");
        world.ok(&["replay"]);
    }
    let output = work(&["--base", "main"]);
    assert_eq!((output.status, fake.requests().len()), (0, 2), "{output}");
    world.assert_nothing_is_left();
}

#[test]
fn a_disk_that_is_full() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = notes(&world);
    let here = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=24m", "none", "/mnt"];
    if !Command::new(here[0]).args(&here[1..]).output().is_ok_and(|output| output.status.success()) {
        return skip("a small file system cannot be mounted here");
    }
    let fill = shell("echo two >> notes.txt; head -c 100m /dev/urandom > large; rm -f large");
    let keep = shell("head -c 100m /dev/urandom > large; true");
    let model = world.recording(&json!([fill, keep, shell("rm -f large"), finish("done")]));
    // Full at first: nothing begins. Then with room to begin, which the agent uses up: it stops, and goes on when there is room again.
    let script = r#"
        mkdir -p "$COFFERDAM_DATA" && mount -t tmpfs -o size=24m none "$COFFERDAM_DATA"
        head -c 100m /dev/zero > "$COFFERDAM_DATA/filler" 2> /dev/null
        "$@"; echo "full: $?"
        truncate -s 12m "$COFFERDAM_DATA/filler"
        "$@"; echo "filled: $?"
        rm "$COFFERDAM_DATA/filler"
        "$1" resume; echo "resumed: $?"
        "$1" replay; echo "replayed: $?"
        "$1" sessions --json; "$1" pr > /dev/null; echo "pull request: $?"
    "#;
    let arguments = run(repository.address(), &model, &["--test", "true", "Do it"]);
    let output = world.cofferdam(&arguments).under(&["unshare", "--mount", "sh", "-c", script, "sh"]).run();
    for line in ["full: 1", "resumed: 0", "replayed: 0", "pull request: 0"] {
        assert!(output.stdout.lines().any(|said| said == line), "{line:?} is not there: {output}");
    }
    assert!(
        output.stderr.contains("no space left for the store") && output.stderr.contains("free some space"),
        "{output}"
    );
    assert_eq!(output.stdout.matches("\"id\":\"ses_").count(), 1, "{output}");
    assert_eq!(repository.refs().len(), 2, "one branch");
    let branch = repository.refs().into_keys().find(|name| name.contains("cofferdam/")).unwrap();
    assert_eq!(repository.git(&["show", &format!("{branch}:notes.txt")]), "one\ntwo\n");
    world.assert_nothing_is_left();
}

#[test]
fn two_workers_for_one_session() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = notes(&world);
    let model =
        world.recording(&json!([shell("echo two >> notes.txt; sleep 30"), shell("true"), finish("done")]));
    let mut first = world.cofferdam(&run(repository.address(), &model, &["--json", "Do it"])).start();
    first.until("\"event\":\"tool_started\"");
    let second = world.run(&["resume"]);
    says(&second, 1, &["is being worked on by", "wait for it, or end that process"]);
    assert!(!second.stderr.contains("goes on with it"), "{second}");

    // A request to end is not a failure, and the session goes on from where it was.
    first.signal(Signal::TERM);
    let ended = first.finish();
    assert!(ended.status == 6 && ended.stderr.contains("cofferdam resume ses_"), "{ended}");
    let mut two = [world.cofferdam(&["resume"]).start(), world.cofferdam(&["resume"]).start()]
        .map(|run| run.finish().status);
    two.sort_unstable();
    assert!(two == [0, 1] || two == [0, 0], "{two:?}");
    assert_eq!(repository.refs().len(), 2, "one branch");
    let opened = world
        .events(None)
        .iter()
        .filter(|event| matches!(event.body, EventBody::PullRequestOpened(_)))
        .count();
    assert_eq!(opened, 1);
    let before = world.ok(&["show", "--json"]).stdout;
    world.ok(&["resume"]);
    assert_eq!(world.ok(&["show", "--json"]).stdout, before, "what has ended stays as it is");
    world.assert_nothing_is_left();
}

#[test]
fn a_reader_that_goes_away() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = notes(&world);
    let model = world.recording(&json!([shell("echo two >> notes.txt"), finish("done")]));
    let arguments = run(repository.address(), &model, &["--test", "true", "Do it"]);
    let script = "{ \"$@\"; echo \"ended: $?\" >&2; } | head -n 1";
    let output = world.cofferdam(&arguments).under(&["sh", "-c", script, "sh"]).run();
    assert!(output.stderr.contains("ended: 0"), "{output}");
    assert_eq!((output.stdout.lines().count(), repository.refs().len()), (1, 2), "{output}");
    let output = world.cofferdam(&["show", "--full"]).under(&["sh", "-c", script, "sh"]).run();
    assert!(output.stderr.contains("ended: 0") && output.stdout.lines().count() == 1, "{output}");
    world.assert_nothing_is_left();
}

/// Brings everything into the database file itself, which is what the last to leave does.
fn without_write_ahead_log(world: &World) {
    let close = async { SqliteStore::open(&world.data()).await?.close().await };
    tokio::runtime::Runtime::new().unwrap().block_on(close).unwrap();
}

#[test]
fn stores_that_are_damaged() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = notes(&world);
    let model =
        world.recording(&json!([call("read", &json!({ "path": "notes.txt" })), finish("nothing_to_do")]));
    assert_eq!(world.run(&run(repository.address(), &model, &["Do it"])).status, 3);
    let session = world.events(None)[0].session.to_string();
    let path = world.data().join("cofferdam.db");
    without_write_ahead_log(&world);
    let good = fs::read(&path).unwrap();
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
    };

    // One letter of what the model answered, wherever a page has it.
    damaged(&|bytes| {
        let text = b"notes.txt\\\"}";
        let places: Vec<_> =
            (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at] = b'v');
    });
    for command in ["show", "replay", "resume", "diff"] {
        says(&world.run(&[command]), 1, &["the store is damaged", &session]);
    }
    // The schema of a later version: at byte 60 of the header is the application's own number (sqlite.org/fileformat.html).
    damaged(&|bytes| bytes[63] = 99);
    for command in [&["show"][..], &["sessions"], &run(repository.address(), &model, &["Do it"])] {
        says(&world.run(command), 1, &["newer version of Cofferdam", "schema 99", "upgrade"]);
    }
    damaged(&|bytes| bytes.truncate(5_000));
    says(&world.run(&["sessions"]), 1, &["the store is damaged", "cofferdam.db"]);
    damaged(&|bytes| {
        *bytes = b"not a database at all, and never was one: only text of some length".repeat(10)
    });
    says(&world.run(&["sessions"]), 1, &["the store is damaged", "cofferdam.db"]);

    damaged(&|_| ());
    world.ok(&["replay"]);
    assert_eq!(sessions(&world), 1);
    world.assert_nothing_is_left();
}
