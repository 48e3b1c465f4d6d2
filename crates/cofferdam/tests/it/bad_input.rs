//! What people, hosts and providers get wrong: each ends with a status and one message that says what to do, leaves nothing behind and
//! loses nothing.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Command, Stdio},
};

use cofferdam_domain::{Event, EventBody, event::Stage, message::Family};
use cofferdam_model::Transcript;
use cofferdam_store::SqliteStore;
use cofferdam_testkit::{FakeProvider, Fault};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    commands::{call, finish, shell},
    harness::{Invocation, Output, Repository, World, skip},
};

/// Longer than a task may be.
const FIVE_MEGABYTES: usize = 5 << 20;

/// A repository in which anything can be done.
fn notes(world: &World) -> Repository {
    world.repository("notes", &[("notes.txt", "one\n")])
}

/// The arguments of a run, and more of them.
fn run<'a>(repository: &'a str, model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--repo", repository, "--model", model], more].concat()
}

/// The model that finds nothing to do.
fn idle(world: &World) -> String {
    world.recording(&json!([finish("nothing_to_do")]))
}

/// Sees to it that the program refused with one message that has all these words, and began nothing.
fn refused(world: &World, invocation: Invocation, words: &[&str]) {
    let output = invocation.run();
    says(&output, 1, words);
    assert_eq!(output.stdout, "", "{output}");
    assert_eq!(sessions(world), 0, "{output}");
}

/// Sees to it that the program ended so, with one message that has all these words.
fn says(output: &Output, status: i32, words: &[&str]) {
    assert_eq!(output.status, status, "{output}");
    assert!(output.stderr.starts_with("cofferdam: ") && output.stderr.ends_with('\n'), "{output}");
    assert_eq!(output.stderr.matches("cofferdam: ").count(), 1, "{output}");
    for word in words {
        assert!(output.stderr.contains(word), "{word:?} is not said: {output}");
    }
}

fn sessions(world: &World) -> usize {
    world.ok(&["sessions", "--json"]).stdout.lines().count()
}

/// Runs git, which must succeed.
fn git(arguments: &[&str]) {
    let done = Command::new("git").args(arguments).stderr(Stdio::null()).status().unwrap();
    assert!(done.success(), "git {arguments:?}");
}

#[test]
fn repositories_that_cannot_be_named() {
    let world = World::new();
    fs::create_dir(world.path("folder")).unwrap();
    let (folder, file) = (world.path("folder"), world.file("file", ""));
    let (folder, file) = (folder.to_str().unwrap(), file.to_str().unwrap());
    for (repository, words) in [
        ("/no/such/place", &["/no/such/place", "does not exist", "https://"][..]),
        (folder, &["is not a git repository", "git init"]),
        (file, &["is not a git repository"]),
        ("", &["it is empty"]),
        ("--upload-pack=touch owned", &["starts with a dash"]),
        ("ext::sh -c 'touch owned'", &["not allowed", "give a local path"]),
        ("git://example.org/a", &["git://", "not allowed", "https:// or ssh://"]),
        ("http://example.org/a", &["http://", "not allowed"]),
        ("file://elsewhere/a", &["may not name another host"]),
        ("https://example.org/a/../b", &["the path"]),
        ("https://ann:hunter2@example.org/a", &["password", "leave it out"]),
    ] {
        let arguments = [&["run", "--model", "scripted:x", "Do it"][..], &["--repo", repository]].concat();
        let arguments = if repository.starts_with('-') {
            vec!["run", "Do it", "--repo=--upload-pack=touch owned"]
        } else {
            arguments
        };
        refused(&world, world.cofferdam(&arguments), words);
        assert!(!world.run(&arguments).stderr.contains("hunter2"), "passwords are not repeated");
    }
    assert!(!world.path("owned").exists());
}

#[test]
fn tasks_that_cannot_be_accepted() {
    let world = World::new();
    let repository = notes(&world);
    let long = "x".repeat(FIVE_MEGABYTES);
    let task = |task: &str| world.cofferdam(&run(repository.address(), "scripted:x", &[task]));
    let file = |name: &str, content: &[u8]| {
        fs::write(world.path(name), content).unwrap();
        world.cofferdam(&run(repository.address(), "scripted:x", &["--task-file", name]))
    };
    let too_long = &["longer than 524288 bytes", "in a file of the repository"][..];
    for (invocation, words) in [
        (task(""), &["the task is empty", "--task-file"][..]),
        (task(" \n\t"), &["the task is empty"]),
        (task("-").input(b""), &["the task is empty"]),
        (task("-").input(long.as_bytes()), too_long),
        (file("long", long.as_bytes()), too_long),
        (file("bytes", b"\xff\xfe"), &["bytes is not UTF-8 text"]),
        (file("nul", b"a\0b"), &["NUL"]),
        (world.cofferdam(&["run", "--task-file", "no-such-file"]), &["no-such-file", "No such file"]),
        (world.cofferdam(&["run", "--task-file", "."]), &["Is a directory"]),
    ] {
        refused(&world, invocation, words);
    }
    for limit in [
        "--max-cost=nan",
        "--max-cost=-1",
        "--max-cost=inf",
        "--max-steps=0",
        "--max-minutes=0",
        "--max-minutes=-5",
    ] {
        let output = world.run(&run(repository.address(), "scripted:x", &[limit, "Do it"]));
        let name = limit.split('=').next().unwrap();
        assert!(output.status == 2 && output.stderr.contains(name), "{output}");
    }
    assert_eq!(sessions(&world), 0);
}

#[test]
fn sessions_that_are_none() {
    let world = World::new();
    let unknown = "ses_00000000000000000000000000";
    for command in ["show", "diff", "pr", "merge", "close", "replay", "resume", "cancel"] {
        for wrong in
            ["ses_1", "evt_00000000000000000000000000", "../../etc/passwd", "SES_00000000000000000000000000"]
        {
            let output = world.run(&[command, wrong]);
            assert!(output.status == 2 && output.stderr.contains("is not an id of this kind"), "{output}");
        }
        let words = ["there is no session ses_00000000000000000000000000", "`cofferdam sessions` lists them"];
        refused(&world, world.cofferdam(&[command, unknown]), &words);
    }
    assert_eq!(world.ok(&["sessions", "--before", unknown]).stdout, "There are no earlier sessions.\n");
}

#[test]
fn configurations_that_mean_nothing() {
    let world = World::new();
    for (text, words) in [
        ("[policy]\nstep = 3\n", &["step", "line 2", "budget"][..]),
        ("[policy.budget]\nsteps = \"many\"\n", &["many", "line 2"]),
        ("[policy\n", &["line 1"]),
        ("data = 3\n", &["data", "line 1"]),
        ("[models.providers.mine]\nkey = \"k\"\n", &["key", "key_env"]),
    ] {
        let path = world.file("broken.toml", text);
        let output = world.run(&["--config", path.to_str().unwrap(), "sessions"]);
        says(&output, 1, &[&["broken.toml is not valid"], words].concat());
    }
    fs::write(world.path("broken.toml"), b"\xff").unwrap();
    says(&world.run(&["--config", "broken.toml", "sessions"]), 1, &["broken.toml", "UTF-8"]);
    says(&world.run(&["--config", "/no/such/file", "sessions"]), 1, &["/no/such/file", "No such file"]);

    let file = world.file("file", "");
    for place in [file.clone(), file.join("below"), Path::new("/proc/no-such-place").to_owned()] {
        let output = world.run(&["--data", place.to_str().unwrap(), "sessions"]);
        says(&output, 1, &[place.to_str().unwrap(), "--data", "COFFERDAM_DATA"]);
    }
}

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

#[test]
fn models_that_cannot_be_had() {
    let Some(world) = World::with_sandboxes() else { return };
    // Nobody answers at the first port.
    let local = ["ollama", "llamacpp"]
        .map(|name| format!("[models.providers.{name}]\nbase_url = \"http://127.0.0.1:1\"\n"));
    world.add_to_configuration(&local.concat());
    let repository = notes(&world);
    let transcript = world.transcript("name = \"x\"\n[[step]]\ntexts = \"a\"\n");
    let empty = world.transcript("name = \"x\"\n");
    for (model, words) in [
        ("no-such-model", &["no-such-model", "PROVIDER/MODEL", "`cofferdam models` lists"][..]),
        ("openai/gpt-5", &["no key for openai", "OPENAI_API_KEY"]),
        ("ollama/x", &["no ollama server answers at http://127.0.0.1:1", "start it"]),
        ("scripted:/no/such/file", &["the transcript /no/such/file", "No such file"]),
        (&transcript, &["cannot be played", "unknown field `texts`", "line 3"]),
        (&empty, &["has no [[step]]"]),
    ] {
        refused(&world, world.cofferdam(&run(repository.address(), model, &["Do it"])), words);
    }
    let ways = ["no model is at hand", "ANTHROPIC_API_KEY", "Ollama", "`cofferdam demo`"];
    refused(&world, world.cofferdam(&["run", "--repo", repository.address(), "Do it"]), &ways);
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

/// What a log says about the repository, or why it cannot be worked on.
fn about_the_repository(events: &[Event]) -> String {
    let said = events.iter().find_map(|event| match &event.body {
        EventBody::RepositoryReady(repository) => Some(repository.notes.join("\n")),
        EventBody::StageFailed { stage: Stage::Repository, reason } => Some(reason.clone()),
        _ => None,
    });
    said.unwrap_or_else(|| panic!("{events:?}"))
}

#[test]
fn repositories_of_every_kind() {
    let Some(world) = World::with_sandboxes() else { return };
    let plain = notes(&world);
    plain.replace("notes.txt", "one", "two");
    plain.commit("Go on");
    let clone = |name: &str, options: &[&str]| {
        let to = Repository::at(world.path(name));
        git(&[&["clone", "--quiet"], options, &[&format!("file://{}", plain.address()), to.address()]]
            .concat());
        to
    };
    let dirty = clone("dirty", &[]);
    dirty.replace("notes.txt", "two", "three");
    fs::write(dirty.path.join("new"), "").unwrap();
    dirty.git(&["add", "new"]);
    let lfs = world.repository(
        "lfs",
        &[
            (".gitattributes", "*.bin filter=lfs -text\n"),
            (
                "a.bin",
                &format!(
                    "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n",
                    "0".repeat(64)
                ),
            ),
        ],
    );
    let link = format!("160000,{},inner", plain.refs()["refs/heads/main"]);
    let submodule = world
        .repository("outer", &[(".gitmodules", "[submodule \"inner\"]\n\tpath = inner\n\turl = ../inner\n")]);
    submodule.git(&["update-index", "--add", "--cacheinfo", &link]);
    submodule.git(&["commit", "--quiet", "--no-gpg-sign", "--message=Add"]);
    let hostile = world.repository("hostile", &[(
        ".gitmodules",
        "[submodule \"../../x\"]\n\tpath = -u./owned\n\turl = ext::sh -c touch% owned\n\tupdate = !touch owned\n",
    )]);
    let empty = Repository::at(world.path("empty"));
    git(&["init", "--quiet", empty.address()]);

    let model = idle(&world);
    for (repository, status, words) in [
        (&dirty, 3, &["Uncommitted changes", "are not included (2 paths)"][..]),
        (&clone("shallow", &["--depth=1"]), 3, &["shallow clone"]),
        (&clone("bare.git", &["--bare"]), 3, &[]),
        (&clone("mirror.git", &["--mirror"]), 3, &[]),
        (&lfs, 3, &["1 file is kept by Git LFS", "only pointers"]),
        (&submodule, 3, &["1 submodule is left out"]),
        (&hostile, 1, &["dangerous object", "gitmodules", "git fsck"]),
        (&empty, 1, &["has no commits yet", "make a first commit"]),
    ] {
        let before = repository.contents();
        let output = world.run(&run(repository.address(), &model, &["Do it"]));
        assert_eq!(output.status, status, "{output}");
        let said = about_the_repository(&world.events(None));
        for word in words {
            assert!(said.contains(word) && output.stdout.contains(word), "{word:?}: {output}");
        }
        assert!(!words.is_empty() || said.is_empty(), "{said}");
        assert_eq!(repository.contents(), before, "{output}");
    }
    let output = world.run(&run(plain.address(), &model, &["--base", "mian", "Do it"]));
    assert!(output.status == 1 && output.stdout.contains("did you mean main?"), "{output}");
    assert!(!world.path("owned").exists() && !hostile.path.join("owned").exists());

    // What cannot be reached now may be reached later: the session waits for that.
    let output = world.run(&run("https://127.0.0.1:1/a", &model, &["Do it"]));
    says(&output, 1, &["failed to fetch https://127.0.0.1:1/a", "address is right", "cofferdam resume"]);
    world.ok(&["cancel"]);
    world.assert_nothing_is_left();
}

#[test]
fn names_and_output_that_are_no_text() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = notes(&world);
    for name in [&b"caf\xe9.txt"[..], b"new\nline", b"esc\x1b[31m", b"\xf0\x9f\xa6\x80", b"-rf", b" "] {
        fs::write(repository.path.join(std::ffi::OsStr::from_bytes(name)), "one\n").unwrap();
    }
    repository.commit("Odd names");
    let look = json!({ "call": [
        { "tool": "shell", "args": { "command": "ls; printf '\\377\\033]0;owned\\007\\n'; for f in *; do echo two >> \"./$f\"; done" } },
        { "tool": "list", "args": {} },
        { "tool": "glob", "args": { "pattern": "**" } },
        { "tool": "grep", "args": { "pattern": "two" } },
    ] });
    // The gate refuses changes under names that no reviewer can read: those are undone.
    let undo = shell("git checkout --quiet . && printf two > notes.txt && rm -f -- -rf");
    let model = world.recording(&json!([look, finish("done"), undo, finish("done")]));
    let test = "cat *; printf '\\377\\033]0;owned\\007'";
    let output = world.run(&run(repository.address(), &model, &["--test", test, "Do it"]));
    assert_eq!(output.status, 0, "{output}");
    assert!(output.stdout.contains("caf\\xe9.txt"), "{output}");
    for shown in [&["show", "--full"][..], &["pr"], &["sessions"]] {
        let output = world.ok(shown);
        let acts = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
        assert!(!output.stdout.contains(acts), "{shown:?}: {output}");
    }
    world.ok(&["replay"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_hundred_thousand_files() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = Repository::at(world.path("large.git"));
    git(&["init", "--quiet", "--bare", "--initial-branch=main", repository.address()]);
    let mut import = String::from(
        "blob\nmark :1\ndata 2\nx\n\ncommit refs/heads/main\ncommitter a <a@b> 1 +0000\ndata 1\nx\n",
    );
    for file in 0..100_000 {
        import.push_str(&format!("M 100644 :1 {}/{}/{file}\n", file / 10_000, file / 100));
    }
    fs::write(world.path("import"), import).unwrap();
    let input = fs::File::open(world.path("import")).unwrap();
    let imported = Command::new("git")
        .args(["-C", repository.address(), "fast-import", "--quiet"])
        .stdin(input)
        .status();
    assert!(imported.unwrap().success());

    let model = idle(&world);
    let work = || {
        let output = world.run(&run(repository.address(), &model, &["Do it"]));
        assert!(output.status == 3 && output.stdout.contains("100000 files"), "{output}");
        let events = world.events(Some(output.session()));
        let at = |wanted: fn(&EventBody) -> bool| events.iter().find(|event| wanted(&event.body)).unwrap().at;
        let ready = at(|body| matches!(body, EventBody::SandboxReady { .. }));
        ready.millis_since(at(|body| matches!(body, EventBody::TaskAccepted { .. })))
    };
    // The base tree is prepared once; a second session on the same commit does not wait for it.
    let (first, second) = (work(), work());
    assert!(second < 10_000 && second * 2 < first, "{first} ms, then {second} ms");
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
