//! Sandboxes come, many at once and many after each other, and go without a trace, also when the worker is killed.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    limits::group_directories,
    support::{Place, eventually, host_processes, marker, sh, shell},
};

/// Makes this test binary play a worker that will be killed.
const PLAY_WORKER: &str = "COFFERDAM_TEST_PLAY_WORKER";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once() {
    let Some(place) = Place::new().await else { return };
    let mut tasks = tokio::task::JoinSet::new();
    let place = std::sync::Arc::new(place);
    for number in 0..50 {
        let place = std::sync::Arc::clone(&place);
        tasks.spawn(async move {
            let sandbox = place.sandbox(&format!("layer{number}")).await;
            assert_eq!(
                sh(&*sandbox, &format!("echo {number} > own; cat own; ls /proc | grep -c '^1$'")).await,
                format!("{number}\n0\n")
            );
            sandbox
        });
    }
    let mut sandboxes = Vec::new();
    while let Some(sandbox) = tasks.join_next().await {
        sandboxes.push(sandbox.unwrap());
    }
    for sandbox in sandboxes {
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn a_hundred_after_each_other_leave_nothing() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    sandbox.destroy().await.unwrap();
    let zygote = place.driver.zygote_pid().unwrap();
    let before = (zygote_descriptors(zygote), mounts());
    for _ in 0..100 {
        let sandbox = place.sandbox("layer").await;
        let process = sandbox.start(shell("true")).await.unwrap();
        sandbox.destroy().await.unwrap();
        drop(process);
    }
    // The zygote forgets ended sandboxes when it makes the next.
    place.sandbox("layer").await.destroy().await.unwrap();
    let after = (zygote_descriptors(zygote), mounts());
    // What it has ready for the next one takes a few, and may not have been there before. One lost for each sandbox would be a hundred.
    assert!(after.0 <= before.0 + 20, "descriptors of the zygote: {} before, {} after", before.0, after.0);
    assert_eq!(after.1, before.1, "mounts");
}

fn zygote_descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn mounts() -> usize {
    std::fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .filter(|line| line.contains("workspace") || line.contains("overlay"))
        .count()
}

#[tokio::test]
async fn sandboxes_end_with_their_zygote_and_the_next_comes_from_another() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    let marker = marker();
    let _process = sandbox.start(shell(&format!("sleep {marker}"))).await.unwrap();
    let zygote =
        place.driver.zygote_pid().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())).unwrap();
    rustix::process::kill_process(zygote, rustix::process::Signal::KILL).unwrap();
    eventually("its sandboxes have ended", || host_processes(&marker).is_empty()).await;
    sandbox.destroy().await.unwrap();
    let next = place.sandbox("other").await;
    assert_eq!(sh(&*next, "echo here").await, "here\n");
    next.destroy().await.unwrap();
}

/// Not a test of its own: what [`a_killed_worker_leaves_nothing`] starts.
#[tokio::test]
async fn play_worker() {
    let Ok(marker) = std::env::var(PLAY_WORKER) else { return };
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    let mut process = sandbox.start(shell(&format!("setsid sleep {marker} & sleep {marker}"))).await.unwrap();
    println!("\nready {} {} {}", place.driver.zygote_pid().unwrap(), sandbox.id(), place.path("").display());
    process.wait(Duration::from_secs(3600)).await.unwrap();
}

#[tokio::test]
async fn a_killed_worker_leaves_nothing() {
    let Some(place) = Place::new().await else { return };
    let marker = marker();
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::play_worker", "--nocapture"])
        .env(PLAY_WORKER, &marker)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let ready = lines
        .map_while(Result::ok)
        .find(|line| line.starts_with("ready "))
        .expect("the worker made a sandbox");
    let fields: Vec<&str> = ready.split(' ').collect();
    let (zygote, id, directory) = (fields[1], fields[2], fields[3]);
    eventually("its sandbox runs", || host_processes(&marker).len() == 3).await;
    assert_eq!(group_directories(id).is_empty(), !place.limits_are_strong());
    worker.kill().unwrap();
    worker.wait().unwrap();
    eventually("its processes have ended", || host_processes(&marker).is_empty()).await;
    eventually("its zygote has ended", || !Path::new(&format!("/proc/{zygote}")).exists()).await;
    eventually("its control groups are gone", || group_directories(id).is_empty()).await;
    assert!(
        !std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(directory),
        "no mount is left"
    );
    cofferdam_sandbox::remove_layer(Path::new(directory)).unwrap();
}
