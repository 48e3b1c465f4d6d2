//! Limits hold, are told, and hurt nobody else.

use std::{path::Path, time::Duration};

use cofferdam_domain::evidence::Exit;
use cofferdam_sandbox::{HostEnvironment, LimitLevel, NativeDriver, NativeOptions, SandboxError};

use crate::support::{LONG, Place, eventually, run, sh, shell};

#[tokio::test]
async fn temporary_files_are_bounded_together() {
    let Some(place) = Place::new().await else { return };
    let mut spec = place.spec("layer");
    spec.limits.memory = 64 << 20;
    let sandbox = place.create(spec).await;
    let printed = sh(
        &*sandbox,
        "head -c 20000000 /dev/zero > /tmp/a; head -c 30000000 /dev/zero > /dev/shm/b; stat -c %s /tmp/a; \
                                 test $(stat -c %s /dev/shm/b) -lt 20000000 && echo bounded",
    )
    .await;
    assert!(printed.contains("No space left") && printed.ends_with("20000000\nbounded\n"), "{printed}");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn what_is_deleted_or_empty_takes_disk_too() {
    let Some(place) = Place::new().await else { return };
    let deleted = "exec 3>a 4>b 5>c; rm a b c; for fd in 3 4 5; do head -c 9000000 /dev/urandom >&$fd; done";
    let empty = "mkdir d; cd d; i=0; while [ $i -lt 8000 ]; do : > $i; i=$((i + 1)); done";
    for (name, script) in [("deleted", deleted), ("empty", empty)] {
        for directory in ["/workspace", "/home/agent"] {
            let mut spec = place.spec(&format!("{name}{}", directory.len()));
            spec.limits.disk = 20 << 20;
            let sandbox = place.create(spec).await;
            let script = format!("cd {directory}; {script}; sleep 1000");
            let error = sandbox.start(shell(&script)).await.unwrap().wait(LONG).await.unwrap_err();
            assert!(error.to_string().contains("disk"), "{name} in {directory}: {error}");
            sandbox.destroy().await.unwrap();
        }
    }
}

/// What the kernel counts for a user it also counts for the user that made the namespace: root, or the worker's.
#[tokio::test]
async fn nothing_of_the_hosts_users_can_be_used_up() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    let limits = sh(&*sandbox, "cat /proc/self/limits").await;
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    assert!(limit("Max pending signals") <= 4096 && limit("Max msgqueue size") <= 160 << 10, "{limits}");
    let most = sh(&*sandbox, "cd /proc/sys/user; cat max_inotify_instances max_inotify_watches").await;
    let host = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap();
    let most: Vec<u64> = most.lines().map(|line| line.parse().unwrap()).collect();
    assert!(most[0] <= 16 && most[1] <= (host.trim().parse::<u64>().unwrap() / 16).max(1024), "{most:?}");
    assert_ne!(sh(&*sandbox, "echo 1000 2>&1 > /proc/sys/user/max_inotify_instances").await, "");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn processor_time_is_shared() {
    let Some(place) = Place::new().await else { return };
    if !place.driver.level().contains("cpu (") {
        eprintln!("SKIPPED: processor time cannot be limited here");
        return;
    }
    let mut spec = place.spec("layer");
    spec.limits.cpu_milli = 100;
    let sandbox = place.create(spec).await;
    let mut busy = shell("while :; do :; done");
    busy.timeout = Duration::from_secs(2);
    assert_eq!(run(&*sandbox, busy).await.exit, Exit::TimedOut);
    let times = sh(&*sandbox, "cat /proc/uptime").await;
    assert!(!times.is_empty());
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn weak_limits_must_be_asked_for() {
    let Some(place) = Place::new().await else { return };
    let options = NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::Enforced);
    match NativeDriver::new(options).await {
        Ok(driver) => assert!(place.limits_are_strong() && !driver.level().contains("weak")),
        Err(SandboxError::Host { missing, remedy }) => {
            assert!(
                !place.limits_are_strong() && missing.contains("limited") && remedy.contains("Delegate=yes")
            );
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn control_groups_are_given_back() {
    let Some(place) = Place::new().await else { return };
    if !place.limits_are_strong() {
        eprintln!("SKIPPED: no control groups to write to here");
        return;
    }
    let sandbox = place.sandbox("layer").await;
    let name = sandbox.id().to_string();
    let groups = group_directories(&name);
    assert!(!groups.is_empty(), "there are groups while it lives");
    let other = place.sandbox("other").await;
    let dropped = other.id().to_string();
    sandbox.destroy().await.unwrap();
    assert!(groups.iter().all(|group| !group.exists()));
    drop(other);
    eventually("groups of a dropped sandbox", || group_directories(&dropped).is_empty()).await;
}

/// Every control group of this name.
pub(crate) fn group_directories(name: &str) -> Vec<std::path::PathBuf> {
    fn walk(directory: &Path, name: &str, depth: u32, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name() == name {
                    found.push(entry.path());
                } else if depth < 12 {
                    walk(&entry.path(), name, depth + 1, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), name, 0, &mut found);
    found
}
