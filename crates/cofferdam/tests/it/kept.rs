//! Sandboxes that stay: what is done in one is there for the next command, and nothing is left of one that is destroyed.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    commands::{finish, shell},
    harness::{Output, World, skip},
};

/// A sandbox that stays for the test's time.
struct Kept<'a> {
    world: &'a World,
    id: String,
}

impl<'a> Kept<'a> {
    fn start(world: &'a World, options: &[&str]) -> Self {
        let output = world.ok(&[&["sandbox", "start"], options].concat());
        Self::printed(world, &output)
    }

    fn printed(world: &'a World, output: &Output) -> Self {
        let id = output.stdout.trim().to_owned();
        assert!(id.starts_with("sbx_") && id.len() == 30, "{output}");
        Self { world, id }
    }

    fn sh(&self, script: &str) -> Output {
        self.world.run(&["sandbox", "exec", &self.id, "--", "sh", "-c", script])
    }

    /// What a script prints, which must succeed.
    fn says(&self, script: &str) -> String {
        let output = self.sh(script);
        assert_eq!(output.status, 0, "{script}: {output}");
        output.stdout
    }

    fn listed(&self) -> Value {
        let all = listed(self.world);
        all.into_iter().find(|one| one["id"] == self.id.as_str()).unwrap_or(Value::Null)
    }

    fn snapshot(&self, options: &[&str]) -> String {
        let output = self.world.ok(&[&["sandbox", "snapshot", &self.id], options].concat());
        output.stdout.trim().to_owned()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.listed()["pid"].as_u64().unwrap()).unwrap()).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.world.data().join("sandboxes").join(format!("{}.kept/control", self.id))
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.world.run(&["sandbox", "destroy", &self.id]);
    }
}

fn listed(world: &World) -> Vec<Value> {
    let output = world.ok(&["sandbox", "ls", "--json"]);
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asserts that nothing is left of any sandbox.
fn assert_nothing_is_left(world: &World) {
    world.assert_nothing_is_left();
    let left: Vec<_> = fs::read_dir(world.data().join("sandboxes")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

fn refused(output: &Output, wanted: &str) {
    assert_eq!(output.status, 1, "{output}");
    assert!(output.stderr.contains(wanted), "{wanted}: {output}");
}

#[test]
fn commands_see_what_others_have_left() {
    let Some(world) = World::with_sandboxes() else { return };
    let workspace = world.path("project");
    world.file("project/README.md", "hello\n");
    let kept = Kept::start(&world, &["--workspace", workspace.to_str().unwrap()]);
    assert_eq!(kept.says("cat README.md; echo one > made; echo two > ~/home"), "hello\n");
    assert_eq!(kept.says("cat made ~/home"), "one\ntwo\n");
    assert!(!workspace.join("made").exists(), "the original is not touched");
    let listed = kept.listed();
    assert_eq!((&listed["state"], &listed["commands"]), (&"running".into(), &0.into()), "{listed}");
    assert_eq!(listed["workspace"], fs::canonicalize(&workspace).unwrap().to_str().unwrap());
    assert!(listed["level"].as_str().unwrap().starts_with("native: "), "{listed}");
    let shown = world.ok(&["sandbox", "ls"]).stdout;
    assert!(shown.contains(&format!("{}  running", kept.id)), "{shown}");
    assert_eq!(fs::metadata(kept.socket().parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    world.ok(&["sandbox", "destroy", &kept.id]);
    assert_eq!(kept.listed(), Value::Null);
    refused(&kept.sh("true"), "there is no sandbox");
    refused(&world.run(&["sandbox", "destroy", &kept.id]), "there is no sandbox");
    assert_nothing_is_left(&world);
}

#[test]
fn a_command_has_its_input_its_output_and_its_status() {
    let Some(world) = World::with_sandboxes() else { return };
    let kept = Kept::start(&world, &[]);
    assert_eq!(kept.sh("exit 7").status, 7);
    assert_eq!(kept.sh("kill -9 $$").status, 137);
    let late = world.run(&["sandbox", "exec", "--timeout", "1", &kept.id, "--", "sleep", "100"]);
    assert_eq!(late.status, 124, "{late}");
    assert!(late.stderr.contains("the time limit was reached"), "{late}");
    refused(&world.run(&["sandbox", "exec", &kept.id, "--", "no-such-program"]), "no-such-program");
    refused(&world.run(&["sandbox", "exec", "-t", &kept.id, "--", "true"]), "-t needs a terminal");
    refused(&world.run(&["sandbox", "exec", "--root", &kept.id, "--", "true"]), "root");

    // More than any pipe or frame holds.
    let line = b"0123456789abcde\n";
    let input: Vec<u8> = line.iter().copied().cycle().take(3 << 20).collect();
    let cat = world.cofferdam(&["sandbox", "exec", &kept.id, "--", "cat"]).input(&input).run();
    assert_eq!((cat.status, cat.stdout.len()), (0, input.len()));
    assert!(cat.stdout.as_bytes() == input, "every byte comes back");
    // A command need not read what it is given.
    let head = world.cofferdam(&["sandbox", "exec", &kept.id, "--", "head", "-c", "3"]).input(&input).run();
    assert_eq!((head.status, head.stdout.as_str()), (0, "012"));
    let none = world.cofferdam(&["sandbox", "exec", &kept.id, "--", "true"]).input(&input).run();
    assert_eq!(none.status, 0, "{none}");

    // Output comes while the command runs, and whoever goes away ends it.
    let mut slow = world
        .cofferdam(&["sandbox", "exec", &kept.id, "--", "sh", "-c", "echo begun; exec sleep 1000"])
        .start();
    slow.until("begun");
    assert_eq!(kept.listed()["commands"], 1);
    refused(&world.run(&["sandbox", "snapshot", &kept.id]), "a command is running in it");
    slow.signal(Signal::INT);
    assert_eq!(slow.finish().status, 6);
    while kept.listed()["commands"] != 0 {}
    assert_eq!(
        kept.says("grep -c sleep /proc/[0-9]*/comm | grep -c ':1$'; true"),
        "0\n",
        "nothing is left of it"
    );
}

#[test]
fn a_fork_sees_a_snapshot_and_not_what_came_later() {
    let Some(world) = World::with_sandboxes() else { return };
    let kept = Kept::start(&world, &[]);
    kept.says("echo first > a; echo x > ~/b");
    let snapshot = kept.snapshot(&["--name", "before"]);
    assert!(snapshot.starts_with("snp_"), "{snapshot}");
    kept.says("echo second > a; rm ~/b; echo more > c");
    refused(&world.run(&["sandbox", "snapshot", &kept.id, "--name", "before"]), "is called before already");
    refused(&world.run(&["sandbox", "snapshot", &kept.id, "--name", "snp_x"]), "cannot be the name");

    let fork = Kept::printed(&world, &world.ok(&["sandbox", "fork", "before"]));
    assert_eq!(fork.says("cat a ~/b; ls"), "first\nx\na\n");
    fork.says("echo fork > a");
    assert_eq!(
        kept.says("cat a; ls ~ | sed '/^go$/d'; ls"),
        "second\na\nc\n",
        "neither sees what the other does"
    );
    let now = Kept::printed(&world, &world.ok(&["sandbox", "fork", &kept.id]));
    assert_eq!(now.says("cat a c"), "second\nmore\n");
    let snapshots = kept.listed()["snapshots"].as_array().unwrap().clone();
    assert_eq!(snapshots.len(), 2, "{snapshots:?}");
    assert_eq!((&snapshots[0]["id"], &snapshots[0]["name"]), (&snapshot.as_str().into(), &"before".into()));

    world.ok(&["sandbox", "rollback", &kept.id, "before"]);
    assert_eq!(kept.says("cat a ~/b; ls"), "first\nx\na\n");
    assert_eq!(kept.listed()["snapshots"].as_array().unwrap().len(), 1);
    refused(&world.run(&["sandbox", "fork", "nothing"]), "there is no snapshot nothing");

    // A fork needs nothing of a sandbox that is gone.
    world.ok(&["sandbox", "destroy", &kept.id]);
    assert_eq!(now.says("cat a c"), "second\nmore\n");
    assert_eq!(fork.says("cat a ~/b"), "fork\nx\n");
    let all = world.ok(&["sandbox", "destroy", "--all"]).stdout;
    assert!(all.contains(&fork.id) && all.contains(&now.id), "{all}");
    assert_nothing_is_left(&world);
}

#[test]
fn a_snapshot_can_leave_and_come_back() {
    let Some(world) = World::with_sandboxes() else { return };
    let kept = Kept::start(&world, &[]);
    kept.says("echo carried > a");
    let snapshot = kept.snapshot(&[]);
    let place = world.path("archives");
    fs::create_dir(&place).unwrap();
    let exported = world.ok(&["sandbox", "export", &snapshot, "--to", place.to_str().unwrap()]);
    world.ok(&["sandbox", "destroy", &kept.id]);
    let back = Kept::printed(&world, &world.ok(&["sandbox", "import", exported.stdout.trim()]));
    assert_eq!(back.says("cat a"), "carried\n");
    world.ok(&["sandbox", "destroy", &back.id]);
    fs::write(place.join("x.layer.tar.gz"), "no archive").unwrap();
    let wrong = place.join("x.layer.tar.gz");
    refused(&world.run(&["sandbox", "import", wrong.to_str().unwrap()]), "the archive is refused");
    assert_nothing_is_left(&world);
}

#[test]
fn a_frozen_sandbox_waits() {
    let Some(world) = World::with_sandboxes() else { return };
    let kept = Kept::start(&world, &[]);
    kept.says("echo kept > a");
    let mut running = world
        .cofferdam(&["sandbox", "exec", &kept.id, "--", "sh", "-c", "echo begun; cat; echo done"])
        .start();
    running.until("begun");
    world.ok(&["sandbox", "freeze", &kept.id]);
    assert_eq!(kept.listed()["state"], "frozen");
    refused(&kept.sh("true"), "frozen");
    refused(&world.run(&["sandbox", "snapshot", &kept.id]), "it is frozen");
    world.ok(&["sandbox", "thaw", &kept.id]);
    let output = running.finish();
    assert_eq!((output.status, output.stdout.as_str()), (0, "begun\ndone\n"), "{output}");
    assert_eq!(kept.says("cat a"), "kept\n");
    world.ok(&["sandbox", "freeze", &kept.id]);
    world.ok(&["sandbox", "destroy", &kept.id]);
    assert_nothing_is_left(&world);
}

#[test]
fn a_sandbox_dies_with_its_keeper_and_its_files_stay() {
    let Some(world) = World::with_sandboxes() else { return };
    let kept = Kept::start(&world, &[]);
    kept.says("echo kept > a");
    let mut running = world
        .cofferdam(&["sandbox", "exec", &kept.id, "--", "sh", "-c", "echo begun; exec sleep 1000"])
        .start();
    running.until("begun");
    kill_process(kept.pid(), Signal::KILL).unwrap();
    let output = running.finish();
    assert_eq!(output.status, 1, "{output}");
    world.assert_nothing_is_left();
    let listed = kept.listed();
    assert_eq!(
        (&listed["state"], &listed["reason"]),
        (&"ended".into(), &"its keeper has died".into()),
        "{listed}"
    );
    refused(&kept.sh("true"), "its keeper has died");
    refused(&world.run(&["sandbox", "freeze", &kept.id]), "no longer runs");
    let fork = Kept::printed(&world, &world.ok(&["sandbox", "fork", &kept.id]));
    assert_eq!(fork.says("cat a"), "kept\n");
    // Told to end, it says why it has.
    kill_process(fork.pid(), Signal::TERM).unwrap();
    world.assert_nothing_is_left();
    assert_eq!(fork.listed()["reason"], "it was told to end");
    world.ok(&["sandbox", "destroy", "--all"]);
    assert_nothing_is_left(&world);
}

#[test]
fn nobody_wants_it_for_long() {
    let Some(world) = World::with_sandboxes() else { return };
    let kept = Kept::start(&world, &["--idle", "1s"]);
    world.assert_nothing_is_left();
    assert_eq!(kept.listed()["reason"], "nobody wanted anything of it for long");
}

#[test]
fn what_cannot_be_started_leaves_nothing() {
    let Some(world) = World::with_sandboxes() else { return };
    refused(&world.run(&["sandbox", "start", "--workspace", "no-such-place"]), "no-such-place");
    let rules = world.file("rules.toml", "[policy.egres]\n");
    refused(&world.run(&["sandbox", "start", "--policy", rules.to_str().unwrap()]), "egres");
    let unknown = "[[policy.egress.rules]]\nname = \"a\"\nhost = \"a.example\"\npaths = [\"/**\"]\ncredential = \"none\"\n";
    let rules = world.file("rules.toml", unknown);
    refused(&world.run(&["sandbox", "start", "--policy", rules.to_str().unwrap()]), "none");
    assert_nothing_is_left(&world);
    for wrong in
        [["exec", "sbx_1"], ["snapshot", "x"], ["freeze", "x"], ["destroy", "sbx_"], ["fork", "sbx_1"]]
    {
        let output = world.run(&[&["sandbox"], &wrong[..], &["--", "true"]].concat());
        assert_eq!(output.status, 2, "{wrong:?}: {output}");
    }
    assert!(world.ok(&["sandbox", "ls"]).stdout.contains("There are no sandboxes"));
}

#[test]
fn strangers_and_nonsense_are_refused() {
    let Some(world) = World::with_sandboxes() else { return };
    let kept = Kept::start(&world, &[]);
    for said in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"m\xff\xff\xff\xff", b"m\0\0\0\x02{}", b"d\0\0\0\x01x", b"m\0"]
    {
        let mut stream = UnixStream::connect(kept.socket()).unwrap();
        stream.write_all(said).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // Closed with something unread, it is reset.
        stream.read_to_end(&mut answer).ok();
        assert!(answer.is_empty() || String::from_utf8_lossy(&answer).contains("refused"), "{answer:?}");
    }
    assert_eq!(kept.says("echo still there"), "still there\n");
    if !rustix::process::geteuid().is_root() {
        return skip("another user can be played only by root");
    }
    // Even where the directories let him in.
    let mut place = kept.socket();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o666)).unwrap();
    while place.pop() && place != std::env::temp_dir() {
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(b'm\\0\\0\\0\\x06\"look\"')\nprint(len(s.recv(100)))\n";
    let asked = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c", script])
        .arg(kept.socket())
        .stdin(Stdio::null())
        .output();
    let Ok(asked) = asked else { return skip("setpriv is missing") };
    let (stdout, stderr) = (String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    if stderr.contains("No such file") && stderr.contains("python3") {
        return skip("python3 is missing");
    }
    let reset = stderr.contains("ConnectionResetError") || stderr.contains("BrokenPipeError");
    assert!(stdout == "0\n" || reset, "{stdout} {stderr}");
}

#[test]
fn a_root_of_its_own() {
    let Some(world) = World::with_sandboxes() else { return };
    let output = world.run(&["sandbox", "start", "--root"]);
    if output.status != 0 {
        return skip(&format!("this host gives sandboxes no root: {}", output.stderr.trim()));
    }
    let kept = Kept::printed(&world, &output);
    let root = |script| world.ok(&["sandbox", "exec", "--root", &kept.id, "--", "sh", "-c", script]).stdout;
    assert_eq!(root("id -u; echo changed > /usr/by-root; cat /usr/by-root"), "0\nchanged\n");
    assert_eq!(kept.says("cat /usr/by-root; touch /usr/x 2>/dev/null || echo no"), "changed\nno\n");
    kept.snapshot(&["--name", "installed"]);
    let fork = Kept::printed(&world, &world.ok(&["sandbox", "fork", "installed"]));
    assert_eq!(fork.says("cat /usr/by-root"), "changed\n");
}

#[test]
fn a_terminal_is_handed_on() {
    let Some(world) = World::with_sandboxes() else { return };
    let kept = Kept::start(&world, &[]);
    let line = format!(
        "stty cols 132 rows 43; {} sandbox exec -t {} -- sh -c 'stty size; test -t 0 && echo terminal; exit 9'",
        env!("CARGO_BIN_EXE_cofferdam"),
        kept.id
    );
    let played = world.cofferdam(&[]).instead(&["script", "-qec", &line, "/dev/null"]);
    let Some(played) = played else { return skip("script is missing") };
    let output = played.run();
    assert_eq!(output.status, 9, "{output}");
    assert!(output.stdout.contains("43 132") && output.stdout.contains("terminal"), "{output}");
}

#[test]
fn what_sandboxes_cost_is_measured() {
    let Some(world) = World::with_sandboxes() else { return };
    let output = world.ok(&["sandbox", "bench", "--rounds", "2"]);
    assert_eq!(output.stdout.lines().count(), 8, "{output}");
    for what in ["warm pool", "fork", "in a sandbox that runs"] {
        assert!(output.stdout.contains(what), "{what}: {output}");
    }
    assert_nothing_is_left(&world);
}

#[test]
fn what_its_door_refuses_is_told_and_written_down() {
    let Some(world) = World::with_sandboxes() else { return };
    let rules = "[[policy.egress.rules]]\nname = \"docs\"\nhost = \"docs.example\"\npaths = [\"/**\"]\n";
    let rules = world.file("rules.toml", rules);
    let kept = Kept::start(&world, &["--policy", rules.to_str().unwrap()]);
    let ask = |name: &str| {
        let script =
            format!("import socket\ntry: print(socket.gethostbyname('{name}'))\nexcept OSError: print('no')");
        world.run(&["sandbox", "exec", &kept.id, "--", "/usr/bin/python3", "-c", &script])
    };
    if ask("docs.example").status != 0 {
        return skip("python3 is missing");
    }
    let told = ask("other.example");
    assert!(told.stdout == "no\n" && told.stderr.contains("egress refused"), "{told}");
    assert!(!kept.sh("true").stderr.contains("egress refused"), "only what happened meanwhile");
    kept.snapshot(&[]);
    assert!(ask("another.example").stderr.contains("another.example"), "the door is there again");
    let log = fs::read_to_string(kept.socket().with_file_name("log")).unwrap();
    assert!(log.contains("other.example") && log.contains("another.example"), "{log}");
    assert_eq!(kept.listed()["policy"], rules.to_str().unwrap());
}

#[test]
fn the_sandbox_of_a_session_is_listed_and_can_be_frozen() {
    let Some(world) = World::with_sandboxes() else { return };
    let repository = world.repository("repository", &[("README.md", "hello\n")]);
    let model =
        world.recording(&json!([shell("echo left > left.txt; echo started; sleep 100"), finish("done")]));
    let arguments = ["run", "--json", "--model", &model, "--repo", repository.address(), "Wait"];
    let mut running = world.cofferdam(&arguments).start();
    running.until("\"tool\":\"shell\"");
    let all = listed(&world);
    let (id, session) = (all[0]["id"].as_str().unwrap(), all[0]["session"].as_str().unwrap());
    assert_eq!((all.len(), &all[0]["state"]), (1, &"running".into()));
    assert!(world.ok(&["sandbox", "ls"]).stdout.contains(session));
    refused(&world.run(&["sandbox", "exec", id, "--", "true"]), "which alone uses it");
    refused(&world.run(&["sandbox", "fork", id]), session);
    world.ok(&["sandbox", "freeze", id]);
    assert_eq!(running.finish().status, 5);
    let frozen = listed(&world);
    assert_eq!(
        (&frozen[0]["state"], &frozen[0]["session"]),
        (&"frozen".into(), &session.into()),
        "{frozen:?}"
    );
    world.ok(&["sandbox", "destroy", session]);
    assert_eq!(listed(&world), Vec::<Value>::new());
    world.assert_nothing_is_left();
}

#[test]
fn a_sandbox_in_which_a_canary_is_touched_stands_still_until_a_person_has_looked() {
    let Some(world) = World::with_sandboxes() else { return };
    let rules = "[[policy.egress.rules]]\nname = \"docs\"\nhost = \"docs.example\"\npaths = [\"/**\"]\n\
                 [[policy.egress.canaries]]\nname = \"wiki\"\nvalue = \"planted-9f2c71d04be8\"\n";
    let rules = world.file("rules.toml", rules);
    let touch = "curl -s -m 20 -o /dev/null http://docs.example/planted-9f2c71d04be8; echo went on > after; sleep 1000";
    let kept = Kept::start(&world, &["--policy", rules.to_str().unwrap()]);
    if kept.sh("command -v curl").status != 0 {
        return skip("sandboxes here have no curl");
    }
    kept.says("echo kept > a");
    refused(&kept.sh(touch), "a canary was touched");
    let listed = kept.listed();
    assert_eq!((&listed["state"], &listed["reason"]), (&"frozen".into(), &"a canary was touched".into()));
    refused(&kept.sh("true"), "frozen");
    world.ok(&["sandbox", "thaw", &kept.id]);
    assert_eq!(kept.says("cat a"), "kept\n");
    assert_eq!(kept.listed()["reason"], Value::Null);
    // Whoever said so beforehand.
    let other = Kept::start(&world, &["--policy", rules.to_str().unwrap(), "--keep-running"]);
    let touch = touch.replace("sleep 1000", "cat after");
    assert_eq!(other.says(&touch), "went on\n");
    assert_eq!(other.listed()["state"], "running");
    world.ok(&["sandbox", "destroy", "--all"]);
    assert_nothing_is_left(&world);
}
