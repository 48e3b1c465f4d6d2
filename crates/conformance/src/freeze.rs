//! Freezing a sandbox, letting it go on, and ending it as it is.

use std::{fs, time::Duration};

use cofferdam_domain::evidence::Exit;
use cofferdam_sandbox::{Sandbox, SandboxError};

use crate::{LONG, Scene, command, eventually, host_processes, marker, run, sh, shell};

/// What a process has done so far, in clock ticks (proc_pid_stat(5)).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // One that has ended does no more.
    let Some((_, fields)) = stat.rsplit_once(") ") else { return 0 };
    let fields: Vec<&str> = fields.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

async fn busy(sandbox: &dyn Sandbox, marker: &str) -> (Box<dyn cofferdam_sandbox::Process>, Vec<u32>) {
    // One that left its session and forks again and again, and one that just runs.
    let script = format!(
        "setsid sh -c 'while :; do /bin/true {marker}; done' {marker} & while :; do :; done # {marker}"
    );
    let process = sandbox.start(shell(&script)).await.unwrap();
    eventually("they run", || host_processes(marker).len() >= 2).await;
    let pids = host_processes(marker);
    (process, pids)
}

pub async fn a_frozen_sandbox_does_nothing_until_it_is_released(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let marker = marker();
    let (mut process, pids) = busy(&*sandbox, &marker).await;
    sandbox.freeze().await.unwrap();
    sandbox.freeze().await.unwrap();
    let is_shell =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sh\n");
    let lasting: Vec<u32> = pids.into_iter().filter(is_shell).collect();
    let before: Vec<u64> = lasting.iter().map(|pid| ticks(*pid)).collect();
    let seen = host_processes(&marker);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(lasting.iter().map(|pid| ticks(*pid)).collect::<Vec<_>>(), before, "no time was spent");
    assert_eq!(host_processes(&marker), seen, "nothing was started");

    for refused in [
        sandbox.start(command(&["true"])).await.err(),
        sandbox.read("README", 0, 10).await.err(),
        sandbox.write("README", b"x", None).await.err(),
        sandbox.list("", 10).await.err(),
        process.kill().await.err(),
    ] {
        assert!(matches!(refused, Some(SandboxError::Frozen)), "{refused:?}");
    }
    sandbox.thaw().await.unwrap();
    sandbox.thaw().await.unwrap();
    assert_eq!(sh(&*sandbox, "cat README").await, "original\n");
    eventually("they go on", || lasting.iter().map(|pid| ticks(*pid)).sum::<u64>() > before.iter().sum())
        .await;
    process.kill().await.unwrap();
    sandbox.destroy().await.unwrap();
}

pub async fn a_frozen_sandbox_can_be_ended(place: &Scene) {
    for dropped in [false, true] {
        let sandbox = place.sandbox("layer").await;
        let marker = marker();
        let (_process, _) = busy(&*sandbox, &marker).await;
        sandbox.freeze().await.unwrap();
        if dropped {
            drop(sandbox);
        } else {
            sandbox.destroy().await.unwrap();
        }
        eventually("nothing of it is left", || host_processes(&marker).is_empty()).await;
    }
}

pub async fn a_time_limit_takes_effect_when_it_goes_on(place: &Scene) {
    let sandbox = place.sandbox("layer").await;
    let mut limited = shell("sleep 1000");
    limited.timeout = Duration::from_millis(200);
    let mut process = sandbox.start(limited).await.unwrap();
    sandbox.freeze().await.unwrap();
    assert_eq!(process.wait(Duration::from_millis(400)).await.unwrap(), None);
    sandbox.thaw().await.unwrap();
    assert_eq!(process.wait(LONG).await.unwrap().unwrap().exit, Exit::TimedOut);
    assert_eq!(run(&*sandbox, command(&["true"])).await.exit, Exit::Code(0));
    sandbox.destroy().await.unwrap();
}
