//! Starting commands: what they get, and what is told of them.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
};

use cofferdam_hand::protocol::{
    message::{
        FileProblem, ProcessLimits, Profile, ReplyBody, RequestBody, Start, StartProblem, Status, Streams,
        Tested, User,
    },
    text::SandboxPath,
};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::host::{Gate, Host, memory, path};

#[test]
fn output_and_error_are_one_pipe_and_the_status_is_told() {
    let mut host = Host::new();
    let (exited, output) = host.run("echo out; echo err >&2; exit 3");
    assert_eq!((exited.status, output.as_str()), (Status::Code(3), "out\nerr\n"));
    let (exited, _) = host.run("kill -TERM $$");
    assert_eq!(exited.status, Status::Signal(15));
}

#[test]
fn usage_is_of_the_command() {
    let (exited, _) = Host::new().run("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
    assert!(exited.usage.user_us + exited.usage.system_us > 0);
    assert!(exited.usage.max_rss_kib > 0);
}

#[test]
fn input_is_what_was_passed_or_nothing() {
    let mut host = Host::new();
    let (output, write_end) = io::pipe().unwrap();
    let start = Start { streams: Streams::InputOutput, ..host.start("cat", &[]) };
    let id = host.send(RequestBody::Start(start), &[memory(b"from the host").as_fd(), write_end.as_fd()]);
    drop(write_end);
    assert_eq!(host.reply(id), ReplyBody::Started);
    assert_eq!(io::read_to_string(output).unwrap(), "from the host");
    assert_eq!(host.exited(id).status, Status::Code(0));
    assert_eq!(host.run("cat").1, "");
}

#[test]
fn a_command_gets_its_own_environment_and_nothing_else() {
    let mut host = Host::new();
    let (_, env) = host.run("exec env");
    let names: Vec<&str> = env.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(names.contains(&"PATH"));
    let own = ["COFFERDAM_HAND_TEST", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| own.contains(name)), "{env}");
    // `ls` itself opens the directory.
    assert_eq!(host.run("exec ls /proc/self/fd").1, "0\n1\n2\n3\n");
    let (_, signals) = host.run("exec grep -E '^Sig(Blk|Ign)' /proc/self/status");
    assert_eq!(signals, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    // pid, group and session are one: fields 1, 5 and 6 of proc_pid_stat(5).
    let (_, stat) =
        host.run("read pid name state parent group session rest </proc/self/stat; echo $pid $group $session");
    let ids: Vec<&str> = stat.split_whitespace().collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{stat}");
}

#[test]
fn the_working_directory_and_limits_are_set() {
    let mut host = Host::new();
    let directory = tempfile::tempdir().unwrap();
    let (output, write_end) = io::pipe().unwrap();
    let limits = ProcessLimits { open_files: Some(33), file_size: Some(1024), ..ProcessLimits::default() };
    let script = "pwd; ulimit -n; ulimit -c; head -c 4096 /dev/zero >big 2>/dev/null; wc -c <big";
    let start = Start { cwd: path(directory.path()), limits, ..host.start("sh", &["-c", script]) };
    let id = host.send(RequestBody::Start(start), &[write_end.as_fd()]);
    drop(write_end);
    assert_eq!(host.reply(id), ReplyBody::Started);
    let expected = format!("{}\n33\n0\n1024\n", directory.path().display());
    assert_eq!(io::read_to_string(output).unwrap(), expected);
}

#[test]
fn a_limit_above_the_sandboxes_own_is_taken_as_that() {
    let mut host = Host::silent("ulimit -n 100;");
    assert_eq!(host.ask(RequestBody::Hello, &[]), ReplyBody::Hello);
    let (output, write_end) = io::pipe().unwrap();
    let limits = ProcessLimits { open_files: Some(1 << 40), ..ProcessLimits::default() };
    let start = Start { limits, ..host.start("sh", &["-c", "ulimit -n"]) };
    let id = host.send(RequestBody::Start(start), &[write_end.as_fd()]);
    drop(write_end);
    assert_eq!(host.reply(id), ReplyBody::Started);
    assert_eq!(io::read_to_string(output).unwrap(), "100\n");
}

#[test]
fn what_cannot_start_says_why() {
    let mut host = Host::new();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str, content: &[u8], mode: u32| {
        let file = directory.path().join(name);
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file.display().to_string()
    };
    let plain = place("plain", b"#!/bin/sh\n", 0o644);
    let data = place("data", b"\x01\x02\x03", 0o755);
    let lost = place("lost", b"#!/no/such/interpreter\n", 0o755);
    for (program, expected) in [
        ("no-such-program", StartProblem::NotFound),
        ("/no/such/program", StartProblem::NotFound),
        (plain.as_str(), StartProblem::NotExecutable),
        ("/", StartProblem::NotExecutable),
        (data.as_str(), StartProblem::NotProgram),
        (lost.as_str(), StartProblem::NoInterpreter),
    ] {
        assert_eq!(not_started(&mut host, |start| start.program = text(program)), expected, "{program}");
    }
    let nowhere = |start: &mut Start| start.cwd = SandboxPath::new("/no/such/directory").unwrap();
    assert_eq!(not_started(&mut host, nowhere), StartProblem::Cwd(FileProblem::Missing));
    let long = |start: &mut Start| start.args = vec![text(&"x".repeat(140_000))];
    assert_eq!(not_started(&mut host, long), StartProblem::TooLong);
}

fn text(text: &str) -> cofferdam_hand::protocol::text::KernelString {
    cofferdam_hand::protocol::text::KernelString::new(text).unwrap()
}

fn not_started(host: &mut Host, change: impl FnOnce(&mut Start)) -> StartProblem {
    let (_output, write_end) = io::pipe().unwrap();
    let mut start = host.start("true", &[]);
    change(&mut start);
    let reply = host.ask(RequestBody::Start(start), &[write_end.as_fd()]);
    let ReplyBody::NotStarted(problem) = reply else { panic!("{reply:?}") };
    problem
}

/// Starts `script` on a new terminal, and returns the host's end of it.
fn on_terminal(host: &mut Host, script: &str) -> (cofferdam_hand::protocol::message::RequestId, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let slave: OwnedFd = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    let start = Start { streams: Streams::Terminal, ..host.start("sh", &["-c", script]) };
    let id = host.send(RequestBody::Start(start), &[slave.as_fd()]);
    assert_eq!(host.reply(id), ReplyBody::Started);
    (id, File::from(master))
}

/// Reads from a terminal up to `end`.
fn read_up_to(terminal: &mut File, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut byte = [0];
        terminal.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_terminal_is_the_controlling_one() {
    let mut host = Host::new();
    let script = "test -t 0 && test -t 1 && test -t 2 && echo all >/dev/tty; read line; echo got $line; exec sleep 1000";
    let (id, mut terminal) = on_terminal(&mut host, script);
    assert_eq!(read_up_to(&mut terminal, "\n"), "all\r\n");
    terminal.write_all(b"word\n").unwrap();
    assert!(read_up_to(&mut terminal, "got word\r\n").starts_with("word"));
    host.wait_until_alive(|alive| alive.iter().any(|line| line.starts_with("sleep")));
    terminal.write_all(b"\x03").unwrap();
    assert_eq!(host.exited(id).status, Status::Signal(2));
}

#[test]
fn much_output_goes_past_the_hand() {
    const BYTES: u64 = 50 << 20;
    let mut host = Host::new();
    let (id, mut output) = host.shell(&format!("exec head -c {BYTES} /dev/zero"));
    assert_eq!(host.reply(id), ReplyBody::Started);
    // The pipe is full by now or soon; the hand does not care.
    assert_eq!(host.ask(RequestBody::Ping, &[]), ReplyBody::Pong);
    assert_eq!(io::copy(&mut output, &mut io::sink()).unwrap(), BYTES);
    assert_eq!(host.exited(id).status, Status::Code(0));
}

#[test]
fn many_commands_leave_no_zombie_and_no_descriptor() {
    // A single descriptor lost per command would not fit.
    let mut host = Host::silent("ulimit -n 40;");
    assert_eq!(host.ask(RequestBody::Hello, &[]), ReplyBody::Hello);
    for _ in 0..200 {
        let (_output, write_end) = io::pipe().unwrap();
        let start = host.start("true", &[]);
        let id = host.send(RequestBody::Start(start), &[write_end.as_fd()]);
        assert_eq!(host.reply(id), ReplyBody::Started);
        assert_eq!(host.exited(id).status, Status::Code(0));
        assert_eq!(host.reply(id), ReplyBody::Emptied);
    }
    assert_eq!(host.children(), Vec::<String>::new());
}

#[test]
fn a_command_in_the_background_outlives_the_call() {
    let mut host = Host::new();
    let (id, mut output) = host.shell("sleep 1000 >/dev/null 2>&1 & echo started");
    assert_eq!(host.reply(id), ReplyBody::Started);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "started\n");
    assert_eq!(host.exited(id).status, Status::Code(0));
    assert_eq!(host.ask(RequestBody::Ping, &[]), ReplyBody::Pong);
    assert_eq!(host.alive().len(), 1);
    assert_eq!(host.ask(RequestBody::Kill { target: id }, &[]), ReplyBody::Killed { survivors: 0 });
    assert_eq!(host.reply(id), ReplyBody::Emptied);
}

#[test]
fn several_run_at_once() {
    let mut host = Host::new();
    let gate = Gate::new();
    let (waiting, _output) = host.shell(&gate.wait());
    assert_eq!(host.reply(waiting), ReplyBody::Started);
    let (exited, _) = host.run(&format!("echo open >{}", gate.path().display()));
    assert_eq!(exited.status, Status::Code(0));
    assert_eq!(host.exited(waiting).status, Status::Code(0));
}

#[test]
fn the_self_test_fails_where_there_are_no_walls() {
    let mut host = Host::new();
    // It stops at the first thing that is not as it should be, so nothing is tried that could be possible here.
    let profile = Profile { landlock: true, own_users: true, own_kernel: true };
    let reply = host.ask(RequestBody::SelfTest(profile), &[]);
    let ReplyBody::Tested(Tested { failed: Some(found), .. }) = reply else { panic!("{reply:?}") };
    assert!(
        ["capabilities:", "no new privileges:"].iter().any(|probe| found.as_str().starts_with(probe)),
        "{found}"
    );
    assert_eq!(host.ask(RequestBody::Ping, &[]), ReplyBody::Pong);
}

#[test]
fn outside_of_a_sandbox_with_a_root_nothing_starts_as_root() {
    let mut host = Host::new();
    let (_output, write_end) = io::pipe().unwrap();
    let start = Start { user: User::Root, ..host.start("true", &[]) };
    let reply = host.ask(RequestBody::Start(start), &[write_end.as_fd()]);
    assert_eq!(reply, ReplyBody::NotStarted(StartProblem::NoRoot));
}
