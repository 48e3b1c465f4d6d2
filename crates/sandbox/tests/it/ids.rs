//! User ids: each sandbox has its own, whatever it started from, and its files are the session's.

use std::{fs, os::unix::fs::MetadataExt as _};

use cofferdam_sandbox::{
    Driver as _, HostEnvironment, LimitLevel, NativeDriver, NativeOptions, workspace_upper,
};

use crate::support::{Place, eventually, host_processes, is_root, marker, sh, shell};

/// The host's user of a process whose arguments contain `marker`.
async fn host_user(marker: &str) -> u32 {
    let mut user = None;
    eventually("it runs", || {
        let owner = |pid: u32| fs::metadata(format!("/proc/{pid}")).ok().map(|found| found.uid());
        user = host_processes(marker).into_iter().filter_map(owner).find(|uid| *uid != 0);
        user.is_some()
    })
    .await;
    user.unwrap()
}

#[tokio::test]
async fn sandboxes_that_live_at_the_same_time_are_different_users() {
    if !is_root() {
        eprintln!("SKIPPED: an ordinary user has one id");
        return;
    }
    let Some(place) = Place::new().await else { return };
    // A worker of its own, which knows nothing of the first one.
    let options = NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed);
    let other = NativeDriver::new(options).await.unwrap();
    let mut users = Vec::new();
    let mut alive = Vec::new();
    for number in 0..6 {
        let spec = place.spec(&format!("layer{number}"));
        let sandbox = if number % 2 == 0 { &place.driver } else { &other }.create(spec).await.unwrap();
        let marker = marker();
        let process = sandbox.start(shell(&format!("exec sleep {marker}"))).await.unwrap();
        users.push(host_user(&marker).await);
        alive.push((sandbox, process));
    }
    let blocks: std::collections::BTreeSet<u32> = users.iter().map(|user| (user - 1000) / 65536).collect();
    assert_eq!(blocks.len(), users.len(), "{users:?}");
    assert!(users.iter().all(|user| *user % 65536 == 1000 && *user > 1_900_000_000), "{users:?}");
    for (sandbox, process) in alive {
        drop(process);
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn a_layer_is_its_sandboxs_own_under_whatever_user() {
    let Some(place) = Place::new().await else { return };
    let sandbox = place.sandbox("layer").await;
    sh(&*sandbox, "echo one > file; mkdir d; echo h > ~/note").await;
    sandbox.destroy().await.unwrap();
    let upper = workspace_upper(&place.path("layer"));
    let on_disk = fs::symlink_metadata(upper.join("file")).unwrap().uid();
    // The first block is somebody else's meanwhile, so that the layer is seen from another one.
    let in_between = place.sandbox("other").await;
    let again = place.sandbox("layer").await;
    let look = "stat -c '%U %G' file d ~/note | sort -u; echo two >> file; cat file; mv d e; rm ~/note; ls -A ~ | grep -v -e cargo -e '^go$'";
    assert_eq!(sh(&*again, look).await, "agent agent\none\ntwo\n");
    let mut third = place.spec("third");
    third.lower.push(upper.clone());
    in_between.destroy().await.unwrap();
    again.destroy().await.unwrap();
    assert_eq!(
        fs::symlink_metadata(upper.join("file")).unwrap().uid(),
        on_disk,
        "on disk nothing has changed"
    );
    let fork = place.create(third).await;
    assert_eq!(
        sh(&*fork, "stat -c %U file e; echo three >> file; tail -1 file").await,
        "agent\nagent\nthree\n"
    );
    fork.destroy().await.unwrap();
}

#[tokio::test]
async fn what_is_counted_for_a_user_is_not_counted_for_its_neighbours() {
    if !is_root() {
        eprintln!("SKIPPED: an ordinary user shares its counters with its sandboxes");
        return;
    }
    let Some(place) = Place::new().await else { return };
    let (greedy, modest) = (place.sandbox("greedy").await, place.sandbox("modest").await);
    if sh(&*greedy, "command -v python3").await.is_empty() {
        eprintln!("SKIPPED: no python3 to take kernel objects with");
        return;
    }
    // Timers are counted as pending signals of the user.
    let script = "import ctypes, time\n\
                  libc = ctypes.CDLL(None)\n\
                  timer = ctypes.c_void_p()\n\
                  made = 0\n\
                  while made < 100000 and libc.timer_create(1, None, ctypes.byref(timer)) == 0: made += 1\n\
                  print(made, flush=True)\n";
    greedy.write("/tmp/take.py", format!("{script}time.sleep(100)\n").as_bytes(), None).await.unwrap();
    modest.write("/tmp/take.py", script.as_bytes(), None).await.unwrap();
    let mut process = greedy.start(shell("exec python3 /tmp/take.py")).await.unwrap();
    let mut taken = String::new();
    while !taken.ends_with('\n') {
        process.stir(crate::support::LONG).await;
        taken.push_str(&String::from_utf8_lossy(&process.take_output()));
    }
    let number = |printed: String| printed.trim().parse::<u32>().unwrap();
    let (first, second) = (number(taken), number(sh(&*modest, "python3 /tmp/take.py").await));
    // A signal that is on its way to one of a sandbox's own processes is counted as well, for a moment.
    assert!(first.abs_diff(second) <= 16, "as many as if it were alone: {second} beside {first}");
    assert!((1000..=4096).contains(&first), "{first}");
    greedy.destroy().await.unwrap();
    modest.destroy().await.unwrap();
}

#[tokio::test]
async fn what_is_counted_for_the_maker_of_a_namespace_is_not_the_same_for_all() {
    if !is_root() {
        eprintln!("SKIPPED: an ordinary user shares its counters with its sandboxes");
        return;
    }
    let Some(place) = Place::new().await else { return };
    let host = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap();
    let host: usize = host.trim().parse().unwrap();
    let script = "import ctypes, time\n\
                  libc = ctypes.CDLL(None)\n\
                  made = 0\n\
                  while libc.inotify_init1(0) >= 0: made += 1\n\
                  print(made, flush=True)\n\
                  time.sleep(100)\n";
    let (mut alive, mut taken) = (Vec::new(), Vec::new());
    // Together more than one user may have.
    while taken.iter().sum::<usize>() <= host && taken.len() < 32 {
        let sandbox = place.sandbox(&format!("layer{}", taken.len())).await;
        if sh(&*sandbox, "command -v python3").await.is_empty() {
            eprintln!("SKIPPED: no python3 to take kernel objects with");
            return;
        }
        sandbox.write("/tmp/take.py", script.as_bytes(), None).await.unwrap();
        let mut process = sandbox.start(shell("exec python3 /tmp/take.py")).await.unwrap();
        let mut printed = String::new();
        while !printed.ends_with('\n') {
            process.stir(crate::support::LONG).await;
            printed.push_str(&String::from_utf8_lossy(&process.take_output()));
        }
        taken.push(printed.trim().parse().unwrap());
        alive.push((sandbox, process));
    }
    assert!(taken.iter().all(|each| *each > 0 && *each == taken[0]), "each as many as the first: {taken:?}");
    for (sandbox, process) in alive {
        drop(process);
        sandbox.destroy().await.unwrap();
    }
}
