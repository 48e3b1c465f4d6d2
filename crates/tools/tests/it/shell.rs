//! `shell` and `process`.

use cofferdam_domain::ToolStatus;
use serde_json::json;

use crate::suite::{Bench, timeless};

pub(crate) async fn runs_commands(bench: Bench) {
    assert_eq!(
        bench.ok("shell", json!({"command": "echo hi; echo there >&2"})).await,
        "[exit 0 after T]\nhi\nthere"
    );
    assert_eq!(bench.ok("shell", json!({"command": "true"})).await, "[exit 0 after T]\n[no output]");
    assert_eq!(
        bench.ok("shell", json!({"command": "mkdir sub && touch sub/x"})).await,
        "[exit 0 after T]\n[no output]"
    );
    assert_eq!(bench.ok("shell", json!({"command": "ls", "workdir": "sub"})).await, "[exit 0 after T]\nx");
    assert_eq!(bench.ok("shell", json!({"command": "test -t 1; echo $?"})).await, "[exit 0 after T]\n1");
    assert_eq!(
        bench.ok("shell", json!({"command": "test -t 1; echo $?", "terminal": true})).await,
        "[exit 0 after T]\n0"
    );
    assert_eq!(
        bench.ok("shell", json!({"command": "cat"})).await,
        "[exit 0 after T]\n[no output]",
        "reads nothing"
    );
    assert_eq!(
        bench.error("shell", json!({"command": "ls", "workdir": "subs"})).await,
        "subs: no such file or directory. Did you mean sub?"
    );
    assert_eq!(
        bench.ok("shell", json!({"command": "echo $BASH_VERSION | cut -c 2"})).await,
        "[exit 0 after T]\n."
    );
    assert_eq!(bench.error("shell", json!({"command": " "})).await, "The command is empty.");
    let long = format!("echo {}", "x".repeat(200_000));
    insta::assert_snapshot!("long_command", bench.error("shell", json!({"command": long})).await);
}

pub(crate) async fn long_output_is_cut_and_kept(bench: Bench) {
    let outcome = bench.call("shell", json!({"command": "seq 1 200000"})).await;
    assert!(outcome.text.len() < 32_000, "{}", outcome.text.len());
    let shown: Vec<&str> = outcome.text.lines().collect();
    assert!(shown[1].starts_with("[1.2 MB in 200000 lines]"), "{}", shown[1]);
    assert_eq!(
        shown[2],
        "[Whole output: /home/agent/.cofferdam/outputs/call_1_0.txt (page it with `read`, search it with `grep`).]"
    );
    assert_eq!((shown[3], shown.last().copied()), ("1", Some("200000")));
    let note = shown.iter().find(|line| line.contains("left out")).unwrap();
    assert!(note.starts_with("[… 19"), "{note}");
    let whole: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    let blob = outcome.whole.unwrap();
    assert_eq!(bench.blobs.0.lock().unwrap()[&blob.digest], whole.as_bytes());
    assert_eq!(bench.text("/home/agent/.cofferdam/outputs/call_1_0.txt").await, whole);
}

pub(crate) async fn says_how_it_ended(bench: Bench) {
    assert_eq!(bench.ok("shell", json!({"command": "echo no; exit 3"})).await, "[exit 3 after T]\nno");
    assert_eq!(
        bench.ok("shell", json!({"command": "kill -9 $$"})).await,
        "[killed by signal 9 (SIGKILL) after T]\n[no output]"
    );
    let missing = bench.ok("shell", json!({"command": "no-such-program-here"})).await;
    assert!(
        missing.starts_with("[exit 127 after T]\n") && missing.contains("no-such-program-here"),
        "{missing}"
    );
}

pub(crate) async fn times_out_with_its_tree(bench: Bench) {
    // A grandchild in the background writes its number, by which it can be asked for afterwards.
    let line = "echo begun; (sh -c 'echo $$ > number; exec sleep 600') & sleep 600";
    let outcome = bench.call("shell", json!({"command": line, "timeout_ms": 1000})).await;
    assert_eq!(outcome.status, ToolStatus::TimedOut);
    insta::assert_snapshot!("timed_out", timeless(&outcome.text));
    // Killed at the latest when the call returned; the kernel may take a moment to carry it out.
    let gone = "n=$(cat number); while kill -0 $n 2>/dev/null && ! grep -q '^State:.Z' /proc/$n/status; do sleep 0.02; done; echo gone";
    assert_eq!(
        bench.ok("shell", json!({"command": gone, "timeout_ms": 20000})).await,
        "[exit 0 after T]\ngone"
    );
}

pub(crate) async fn cleans_what_terminals_show(bench: Bench) {
    let line = r"printf '\033[31mred\033[0m\n10%%\r100%%\n\377\376\n'";
    assert_eq!(
        bench.ok("shell", json!({"command": line})).await,
        "[exit 0 after T]\n[2 bytes not text, shown as \u{fffd}]\nred\n100%\n\u{fffd}\u{fffd}"
    );
}

pub(crate) async fn understands_foreign_arguments(bench: Bench) {
    let hello = "[exit 0 after T]\nhello";
    for arguments in [
        json!({"cmd": "echo hello"}),
        json!({"command": ["bash", "-lc", "echo hello"], "timeout": 10}),
        json!({"command": ["echo", "hello"], "timeout": 60000, "description": "Greets"}),
        json!({"command": "echo hello", "cwd": "/workspace", "run_in_background": "false"}),
    ] {
        assert_eq!(bench.ok("shell", arguments.clone()).await, hello, "{arguments}");
    }
}

pub(crate) async fn background_commands_live_on(bench: Bench) {
    // Each part goes on when the test says so: no clock is involved.
    let line = "echo one; until [ -e go ]; do sleep 0.02; done; echo two; until [ -e end ]; do sleep 0.02; done; exit 4";
    let begun = bench.ok("shell", json!({"command": line, "background": true})).await;
    assert_eq!(begun, "[p1 running for T]\none");
    assert_eq!(bench.ok("process", json!({"id": "p1"})).await, "[p1 running for T]\n[no output]");
    let list = bench.ok("process", json!({"action": "list"})).await;
    assert!(list.starts_with("p1  started T ago  echo one;"), "{list}");
    bench.put("go", "").await;
    bench.put("end", "").await;
    let end = bench.ok("process", json!({"id": "1", "action": "wait", "timeout_ms": 60000})).await;
    assert_eq!(end, "[p1 exit 4 after T]\ntwo");
    insta::assert_snapshot!("process_gone", bench.error("process", json!({"id": "p1"})).await);
    assert_eq!(bench.ok("process", json!({"action": "list"})).await, "No background commands.");

    bench.ok("shell", json!({"command": "sleep 600", "background": true})).await;
    assert_eq!(
        bench.error("process", json!({"id": "p2", "input": "x"})).await,
        "p2 takes no input: it has ended, or was not started with terminal: true."
    );
    let killed = bench.ok("process", json!({"action": "kill"})).await;
    assert_eq!(killed, "[p2 killed by signal 9 (SIGKILL) after T]\n[no output]");
}

pub(crate) async fn background_commands_take_input(bench: Bench) {
    let line = "read name; echo hello $name; until [ -e end ]; do sleep 0.02; done";
    let begun = bench.ok("shell", json!({"command": line, "background": true, "terminal": true})).await;
    assert_eq!(begun, "[p1 running for T]\n[no output]");
    bench.ok("process", json!({"id": "p1", "input": "you\n"})).await;
    bench.put("end", "").await;
    let end = bench.ok("process", json!({"id": "p1", "action": "wait"})).await;
    let seen = String::from_utf8(bench.watched.lock().unwrap().clone()).unwrap();
    assert!(end.starts_with("[p1 exit 0"), "{end}");
    assert!(seen.contains("hello you"), "{seen}");
    assert_eq!(
        bench.error("process", json!({"id": "p7", "input": "x"})).await,
        "No background command p7. Running: none. A command whose end was reported is gone."
    );
}

pub(crate) async fn background_failures_show_at_once(bench: Bench) {
    let outcome = bench.ok("shell", json!({"command": "echo in use >&2; exit 98", "background": true})).await;
    assert_eq!(outcome, "[p1 exit 98 after T]\nin use");
}

pub(crate) async fn output_is_watched_as_it_comes(bench: Bench) {
    let watch = async {
        // The command ends only after its first output was seen.
        while !bench.watched.lock().unwrap().starts_with(b"first\n") {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        bench.put("seen", "").await;
    };
    let line = "echo first; until [ -e seen ]; do sleep 0.02; done; echo last";
    let (text, ()) = tokio::join!(bench.ok("shell", json!({"command": line})), watch);
    assert_eq!(text, "[exit 0 after T]\nfirst\nlast");
    assert_eq!(*bench.watched.lock().unwrap(), b"first\nlast\n");
}

pub(crate) async fn side_by_side(bench: Bench) {
    // Each waits for the other's file: one after the other, neither would end.
    let line = |own: &str, other: &str| {
        format!("touch {own}; until [ -e {other} ]; do sleep 0.02; done; echo {own}")
    };
    let (a, b) = tokio::join!(
        bench.ok("shell", json!({"command": line("a", "b"), "timeout_ms": 60000})),
        bench.ok("shell", json!({"command": line("b", "a"), "timeout_ms": 60000})),
    );
    assert_eq!((a.as_str(), b.as_str()), ("[exit 0 after T]\na", "[exit 0 after T]\nb"));
}
