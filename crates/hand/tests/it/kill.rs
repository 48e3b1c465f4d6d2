//! Killing: nothing that a command does keeps one of its processes alive.

use std::{fs, io::Read, process::Command};

use cofferdam_hand::protocol::message::{ReplyBody, RequestBody, RequestId, Status};

use crate::host::{Gate, Host};

const ALL_GONE: ReplyBody = ReplyBody::Killed { survivors: 0 };

/// Says so if the program `setsid` (util-linux) is missing.
fn has_setsid() -> bool {
    let has = Command::new("setsid").arg("true").status().is_ok_and(|status| status.success());
    if !has {
        eprintln!("SKIPPED: the program setsid is not installed");
    }
    has
}

fn sleeps(alive: &[String]) -> usize {
    alive.iter().filter(|line| line.starts_with("sleep")).count()
}

#[test]
fn daemons_go_with_their_command() {
    if !has_setsid() {
        return;
    }
    let mut host = Host::new();
    let daemon = "(setsid sh -c 'trap \"\" TERM HUP INT; sleep 1001 & (setsid sleep 1002 &) ; wait' &)";
    let (id, _output) = host.shell(&format!("{daemon}; {daemon}; exec sleep 1003"));
    assert_eq!(host.reply(id), ReplyBody::Started);
    host.wait_until_alive(|alive| sleeps(alive) == 5);
    assert_eq!(host.ask(RequestBody::Kill { target: id }, &[]), ALL_GONE);
    assert_eq!(host.alive(), Vec::<String>::new());
    assert_eq!(host.exited(id).status, Status::Signal(9));
    assert_eq!(host.reply(id), ReplyBody::Emptied);
    assert_eq!(host.children(), Vec::<String>::new());
}

#[test]
fn other_commands_live_on() {
    let mut host = Host::new();
    let (one, _output_one) = host.shell("sleep 1001 & exec sleep 1001");
    let (two, _output_two) = host.shell("sleep 1002 & exec sleep 1002");
    host.wait_until_alive(|alive| sleeps(alive) == 4);
    assert_eq!(host.ask(RequestBody::Kill { target: one }, &[]), ALL_GONE);
    assert_eq!(host.alive(), ["sleep 1002 "; 2]);
    assert_eq!(host.ask(RequestBody::Kill { target: two }, &[]), ALL_GONE);
}

#[test]
fn processes_that_move_on_all_the_time_are_caught() {
    let mut host = Host::new();
    // Each process forks the next and ends.
    let (id, _output) = host.shell("hop() { ( hop & ) ; } ; hop");
    assert_eq!(host.reply(id), ReplyBody::Started);
    assert_eq!(host.exited(id).status, Status::Code(0));
    assert_eq!(host.ask(RequestBody::Kill { target: id }, &[]), ALL_GONE);
    assert_eq!(host.alive(), Vec::<String>::new());
}

#[test]
fn processes_that_move_on_in_new_sessions_are_caught() {
    if !has_setsid() {
        return;
    }
    let mut host = Host::new();
    let directory = tempfile::tempdir().unwrap();
    let hop = directory.path().join("hop");
    fs::write(&hop, "setsid sh \"$0\" &\n").unwrap();
    let (id, _output) = host.shell(&format!("exec sh {}", hop.display()));
    assert_eq!(host.reply(id), ReplyBody::Started);
    assert_eq!(host.exited(id).status, Status::Code(0));
    assert_eq!(host.ask(RequestBody::Kill { target: id }, &[]), ALL_GONE);
    assert_eq!(host.alive(), Vec::<String>::new());
}

#[test]
fn killing_the_watcher_is_the_end_of_the_command() {
    if !has_setsid() {
        return;
    }
    let mut host = Host::new();
    let (other, _output_other) = host.shell("exec sleep 1001");
    assert_eq!(host.reply(other), ReplyBody::Started);
    let (id, mut output) = host.shell("(setsid sleep 1002 &) ; sleep 1003 & kill -KILL $PPID; wait");
    assert_eq!(host.reply(id), ReplyBody::Started);
    assert_eq!(host.exited(id).status, Status::Lost);
    assert_eq!(host.reply(id), ReplyBody::Emptied);
    // Nobody holds the output any more.
    assert_eq!(output.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_eq!(host.alive(), ["sleep 1001 "]);
}

#[test]
fn signals_that_can_be_blocked_do_not_reach_the_watcher() {
    let mut host = Host::new();
    let (exited, _) =
        host.run("for s in HUP INT QUIT TERM USR1 USR2 ALRM PIPE; do kill -$s $PPID; done; exit 7");
    assert_eq!(exited.status, Status::Code(7));
}

#[test]
fn a_stopped_watcher_does_not_save_its_command() {
    let mut host = Host::new();
    let gate = Gate::new();
    let (id, _output) = host.shell(&format!("{}; kill -STOP $PPID; exec sleep 1001", gate.wait()));
    assert_eq!(host.reply(id), ReplyBody::Started);
    gate.open();
    host.wait_until_alive(|alive| sleeps(alive) == 1);
    assert_eq!(host.ask(RequestBody::Kill { target: id }, &[]), ALL_GONE);
    assert_eq!(host.alive(), Vec::<String>::new());
    assert_eq!(host.exited(id).status, Status::Signal(9));
}

#[test]
fn a_kill_right_behind_the_start_is_in_time() {
    let mut host = Host::new();
    for _ in 0..50 {
        let (id, _output) = host.shell("exec sleep 1001");
        let kill = host.send(RequestBody::Kill { target: id }, &[]);
        assert_eq!(host.reply(kill), ALL_GONE);
        assert_eq!(host.alive(), Vec::<String>::new());
        let reply = host.reply(id);
        if reply == ReplyBody::Started {
            host.exited(id);
            assert_eq!(host.reply(id), ReplyBody::Emptied);
        } else {
            assert!(matches!(reply, ReplyBody::NotStarted(_)), "{reply:?}");
        }
    }
    assert_eq!(host.children(), Vec::<String>::new());
}

#[test]
fn what_has_ended_or_never_was_counts_as_killed() {
    let mut host = Host::new();
    assert_eq!(host.ask(RequestBody::Kill { target: RequestId(4711) }, &[]), ALL_GONE);
    let (id, _output) = host.shell("exit 0");
    assert_eq!(host.reply(id), ReplyBody::Started);
    host.exited(id);
    assert_eq!(host.reply(id), ReplyBody::Emptied);
    assert_eq!(host.ask(RequestBody::Kill { target: id }, &[]), ALL_GONE);
}

#[test]
fn shutdown_and_hanging_up_end_everything() {
    for hang_up in [false, true] {
        let mut host = Host::new();
        for _ in 0..5 {
            let (id, _output) = host.shell("sleep 1001 & exec sleep 1001");
            assert_eq!(host.reply(id), ReplyBody::Started);
        }
        if hang_up {
            host.hang_up();
        } else {
            assert_eq!(host.ask(RequestBody::Shutdown, &[]), ReplyBody::Bye);
        }
        assert_eq!(host.ended().code(), Some(0));
        assert_eq!(host.alive(), Vec::<String>::new());
    }
}

#[test]
fn as_process_one_it_cannot_be_killed_and_keeps_its_promises() {
    const UNSHARE: [&str; 2] = ["-Urpf", "--mount-proc"];
    let can = Command::new("unshare").args(UNSHARE).arg("true").status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("SKIPPED: this host does not let unshare make user and process namespaces");
        return;
    }
    let mut host = Host::silent(&format!("exec unshare {} \"$0\" init 3<&0 0</dev/null;", UNSHARE.join(" ")));
    assert_eq!(host.ask(RequestBody::Hello, &[]), ReplyBody::Hello);
    let gate = Gate::new();
    let attack = "kill -KILL 1; (setsid sleep 1001 &) ; kill -KILL $PPID; exec sleep 1002";
    let (id, _output) = host.shell(&format!("{}; {attack}", gate.wait()));
    assert_eq!(host.reply(id), ReplyBody::Started);
    gate.open();
    assert_eq!(host.exited(id).status, Status::Lost);
    assert_eq!(host.reply(id), ReplyBody::Emptied);
    assert_eq!(host.alive(), Vec::<String>::new());
    assert_eq!(host.run("exit 5").0.status, Status::Code(5));
    assert_eq!(host.ask(RequestBody::Shutdown, &[]), ReplyBody::Bye);
    assert_eq!(host.ended().code(), Some(0));
}

#[test]
fn the_next_commands_watcher_may_be_killed_or_stopped() {
    for signal in ["KILL", "STOP"] {
        let mut host = Host::new();
        // It is the only other child of the hand.
        let script = format!(
            "while [ -z \"$found\" ]; do for stat in /proc/[0-9]*/stat; do \
               read -r pid name state parent rest 2>/dev/null < $stat || continue; \
               if [ \"$parent\" = {} ] && [ \"$pid\" != \"$PPID\" ]; then kill -{signal} $pid; found=$pid; fi; \
             done; done; echo found",
            host.pid()
        );
        assert_eq!(host.run(&script).1, "found\n");
        for _ in 0..3 {
            assert_eq!(host.run("echo done").1, "done\n", "{signal}");
        }
    }
}
