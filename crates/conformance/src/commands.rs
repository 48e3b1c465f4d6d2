//! Starting commands, their output, their end.

use std::{io::Write as _, time::Duration};

use cofferdam_domain::evidence::Exit;
use cofferdam_sandbox::{Console, SandboxError};

use crate::{LONG, Scene, command, eventually, host_processes, marker, run, sh, shell, text};

pub async fn a_command_has_its_arguments_directory_variables_and_input(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let mut asked =
        command(&["sh", "-c", "printf '%s|' \"$@\" \"$PWD\" \"$COLOUR\"; cat; exit 7", "sh", "a b", "ü\n"]);
    asked.cwd = "src".to_owned();
    asked.env = vec![("COLOUR".to_owned(), "blue".to_owned())];
    asked.stdin = b"typed".to_vec();
    let finished = run(&*sandbox, asked).await;
    assert_eq!(text(&finished), "a b|ü\n|/workspace/src|blue|typed");
    assert_eq!(finished.exit, Exit::Code(7));
    assert!(!finished.out_of_memory && finished.elapsed > Duration::ZERO);
    assert_eq!(run(&*sandbox, shell("kill -TERM $$")).await.exit, Exit::Signal(15));
    assert_eq!(
        text(&run(&*sandbox, command(&["cat"])).await),
        "",
        "nothing on standard input unless it is given"
    );
    sandbox.destroy().await.unwrap();
}

pub async fn what_cannot_be_started_says_why(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let mut nowhere = command(&["true"]);
    nowhere.cwd = "/nowhere".to_owned();
    let mut nul = command(&["true"]);
    nul.env = vec![("A=B".to_owned(), String::new())];
    for (asked, word) in [
        (command(&["no-such-program"]), "no such program"),
        (command(&["./README"]), "not executable"),
        (nowhere, "working directory"),
        (command(&[]), "no program"),
        (command(&["a\0b"]), "NUL"),
        (nul, "name"),
    ] {
        match sandbox.start(asked).await {
            Err(SandboxError::Start { problem, .. }) => assert!(problem.contains(word), "{problem}"),
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("{word}"),
        }
    }
    sandbox.destroy().await.unwrap();
}

pub async fn arguments_that_are_too_long_are_refused_and_the_sandbox_lives(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let long = "x".repeat(1 << 20);
    let Err(error) = sandbox.start(command(&["echo", &long])).await else { panic!("started") };
    assert!(matches!(error, SandboxError::Start { .. }), "{error:?}");
    assert_eq!(sh(&*sandbox, "echo alive").await, "alive\n");
    sandbox.destroy().await.unwrap();
}

pub async fn output_can_be_taken_as_it_comes(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let mut process = sandbox.start(shell("echo one; read line; echo two")).await.unwrap();
    // Nothing to read: it goes on at once.
    let finished = process.wait(LONG).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(process.take_output()).unwrap(), "one\ntwo\n");
    assert_eq!(process.take_output(), b"");
    assert_eq!(text(&finished), "one\ntwo\n", "what was taken is in the whole output as well");
    sandbox.destroy().await.unwrap();
}

pub async fn a_flood_of_output_is_bounded_and_its_ends_are_kept(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let mut asked = shell("echo begin; head -c 300000000 /dev/zero; echo; echo end");
    asked.output_limit = 1000;
    let finished = run(&*sandbox, asked).await;
    assert_eq!((finished.output.head.len(), finished.output.tail.len()), (500, 500));
    assert_eq!(finished.output.dropped, 300_000_000 + 11 - 1000);
    assert!(finished.output.head.starts_with(b"begin\n") && finished.output.tail.ends_with(b"\nend\n"));
    sandbox.destroy().await.unwrap();
}

pub async fn a_console_is_a_pipe_or_a_terminal_of_its_size(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let (theirs, ours) = std::io::pipe().unwrap();
    let mut reading = sandbox
        .start_at(shell("read a; echo \"<$a>\"; cat; echo end"), Console::Pipe(theirs.into()))
        .await
        .unwrap();
    let mut printed = Vec::new();
    (&ours).write_all(b"one\n").unwrap();
    while !printed.ends_with(b"<one>\n") {
        reading.stir(LONG).await;
        printed.extend(reading.take_output());
    }
    (&ours).write_all(b"two\n").unwrap();
    drop(ours);
    assert_eq!(text(&reading.wait(LONG).await.unwrap().unwrap()), "<one>\ntwo\nend\n");

    let script = "stty size; trap 'stty size; exit' WINCH; while :; do sleep 0.01; done";
    let console = Console::Terminal { columns: 132, rows: 43 };
    let mut shown = sandbox.start_at(shell(script), console).await.unwrap();
    shown.stir(LONG).await;
    // Until the trap is set the signal says nothing to anybody.
    let mut rows = 50;
    let finished = loop {
        shown.resize(100, rows);
        rows += 1;
        if let Some(finished) = shown.wait(Duration::from_millis(50)).await.unwrap() {
            break finished;
        }
    };
    let sizes = text(&finished);
    assert!(sizes.starts_with("43 132\r\n5") && sizes.trim_end().ends_with(" 100"), "{sizes}");
}

pub async fn a_terminal_is_a_terminal(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let mut asked = shell(
        "test -t 0 && test -t 1 && test -t 2 && stty size && read line && echo \"got $line\" && echo > /dev/tty",
    );
    asked.terminal = true;
    let mut process = sandbox.start(asked).await.unwrap();
    process.write_input(b"hello\n").await.unwrap();
    let finished = process.wait(LONG).await.unwrap().unwrap();
    assert_eq!(finished.exit, Exit::Code(0), "{}", text(&finished));
    let printed = text(&finished).replace('\r', "");
    assert!(printed.contains("24 80\n") && printed.contains("got hello\n"), "{printed}");
    assert!(sandbox.start(shell("true")).await.unwrap().write_input(b"x").await.is_err());
    sandbox.destroy().await.unwrap();
}

pub async fn a_command_that_takes_too_long_is_killed_with_everything_it_started(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let marker = marker();
    let mut asked = shell(&format!(
        "echo before; setsid sleep {marker} & (setsid setsid sleep {marker} &); sleep {marker}"
    ));
    asked.timeout = Duration::from_millis(300);
    let finished = run(&*sandbox, asked).await;
    assert_eq!(finished.exit, Exit::TimedOut);
    assert_eq!(text(&finished), "before\n");
    assert_eq!(host_processes(&marker), Vec::<u32>::new());
    assert_eq!(sh(&*sandbox, "echo alive").await, "alive\n");
    sandbox.destroy().await.unwrap();
}

pub async fn what_runs_in_the_background_lives_until_its_command_is_dropped(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let marker = marker();
    let mut process = sandbox
        .start(shell(&format!("(sleep 0.3; echo later; exec sleep {marker}) & echo now")))
        .await
        .unwrap();
    let finished = process.wait(LONG).await.unwrap().unwrap();
    assert_eq!(text(&finished), "now\n", "the command itself has ended");
    let mut printed = Vec::new();
    eventually("output of the background", || {
        printed.extend(process.take_output());
        printed.ends_with(b"later\n")
    })
    .await;
    eventually("the background runs", || host_processes(&marker).len() == 1).await;
    drop(process);
    eventually("the background is killed", || host_processes(&marker).is_empty()).await;
    sandbox.destroy().await.unwrap();
}

pub async fn killing_one_command_leaves_its_neighbours(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let (first, second) = (marker(), marker());
    let mut process =
        sandbox.start(shell(&format!("sleep {first} & setsid sleep {first} & sleep {first}"))).await.unwrap();
    let mut neighbour = sandbox.start(shell(&format!("setsid sleep {second} & wait"))).await.unwrap();
    // The shells have the marker among their arguments too.
    eventually("all run", || host_processes(&first).len() == 4 && host_processes(&second).len() == 2).await;
    assert_eq!(process.wait(Duration::from_millis(1)).await.unwrap(), None, "it still runs");
    process.kill().await.unwrap();
    assert_eq!(host_processes(&first), Vec::<u32>::new());
    assert_eq!(process.wait(LONG).await.unwrap().unwrap().exit, Exit::Signal(9));
    assert_eq!(host_processes(&second).len(), 2);
    neighbour.kill().await.unwrap();
    sandbox.destroy().await.unwrap();
}

pub async fn many_commands_run_at_once(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let mut processes = Vec::new();
    for number in 0..40 {
        processes.push(sandbox.start(shell(&format!("sleep 0.2; echo {number}"))).await.unwrap());
    }
    for (number, process) in processes.iter_mut().enumerate() {
        let finished = process.wait(LONG).await.unwrap().unwrap();
        assert_eq!(text(&finished), format!("{number}\n"));
    }
    sandbox.destroy().await.unwrap();
}
