//! Many sandboxes, ended in every way there is, leave nothing: seen from the host, by what the kernel says.
//!
//! `COFFERDAM_TEST_SANDBOXES=1000 cargo test -p cofferdam-sandbox --test it leaks` does it a thousand times.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cofferdam_sandbox::{
    Driver as _, HostEnvironment, LayerStack, LimitLevel, NativeOptions, ReadOnly, Sandbox, remove_layer,
};

use crate::support::{LONG, Place, eventually, run, shell};

/// How many sandboxes.
const COUNT: &str = "COFFERDAM_TEST_SANDBOXES";
/// Makes this test binary do the work, in a process of its own: others share nothing with it then.
const PLAY: &str = "COFFERDAM_TEST_PLAY_LEAKS";
const USUAL: usize = 60;
/// Ways to end.
const WAYS: usize = 11;

/// What the host sees of a driver and its sandboxes.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    descriptors: usize,
    zygote_descriptors: usize,
    zygote_mounts: usize,
    processes: BTreeSet<u32>,
    namespaces: BTreeSet<PathBuf>,
    groups: usize,
    directories: BTreeSet<PathBuf>,
}

impl Seen {
    fn now(place: &Place) -> Self {
        let zygote = place.driver.zygote_pid().unwrap();
        let processes = children(zygote);
        let namespaces = processes.iter().flat_map(|pid| namespaces(*pid)).collect();
        Self {
            descriptors: count(Path::new("/proc/self/fd")),
            zygote_descriptors: count(Path::new(&format!("/proc/{zygote}/fd"))),
            zygote_mounts: fs::read_to_string(format!("/proc/{zygote}/mountinfo")).unwrap().lines().count(),
            processes,
            namespaces,
            groups: groups(),
            directories: fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().path()).collect(),
        }
    }

    /// Whether nothing has come in addition. What waits in the pool is always another, so it counts only.
    fn is_no_more_than(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors
            // It forgets those that have ended when it makes the next.
            && self.zygote_descriptors <= before.zygote_descriptors + 6
            && self.zygote_mounts <= before.zygote_mounts
            && self.processes.len() <= before.processes.len()
            && self.namespaces.len() <= before.namespaces.len()
            && self.groups <= before.groups
            && self.directories == before.directories
    }
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

fn children(pid: u32) -> BTreeSet<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children: Vec<u32> = text.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect();
    children.iter().copied().chain(children.iter().flat_map(|child| self::children(*child))).collect()
}

fn namespaces(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// Control groups of this process's sandboxes.
fn groups() -> usize {
    fn walk(directory: &Path, own: &str, inside: bool, depth: u32) -> usize {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let counts = directories.map(|entry| {
            let inside = inside || entry.file_name().to_string_lossy().starts_with(own);
            usize::from(inside) + if depth < 8 { walk(&entry.path(), own, inside, depth + 1) } else { 0 }
        });
        counts.sum()
    }
    walk(Path::new("/sys/fs/cgroup"), &format!("cofferdam-{}-", std::process::id()), false, 0)
}

async fn warm_place() -> Option<Place> {
    let options = NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed);
    Place::with(NativeOptions { pool: 2, ..options }).await
}

/// Makes a sandbox and ends it in one of the ways.
async fn once(place: &Place, number: usize) {
    let layer = format!("layer{number}");
    match number % WAYS {
        // Creation that fails: before anything is made, and after most of it is.
        0 => {
            let mut spec = place.spec(&layer);
            spec.lower.push(place.path("nowhere"));
            assert!(place.driver.create(spec).await.is_err());
        }
        1 => {
            let mut spec = place.spec(&layer);
            spec.read_only = vec![ReadOnly { host: place.base(), inside: "/mnt/../etc".into() }];
            assert!(place.driver.create(spec).await.is_err());
        }
        // Creation that somebody loses interest in, at any moment.
        2 => {
            let patience = Duration::from_micros(200 * (number as u64 / WAYS as u64 % 30));
            tokio::time::timeout(patience, place.driver.create(place.spec(&layer))).await.ok();
        }
        10 => end(place, place.sandbox("forked").await, 10).await,
        way => end(place, place.sandbox(&layer).await, way).await,
    }
    // Its last process may be ending.
    let started = Instant::now();
    while remove_layer(&place.path(&layer)).is_err() {
        assert!(started.elapsed() < LONG, "{layer} cannot be removed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn end(place: &Place, sandbox: Box<dyn Sandbox>, way: usize) {
    match way {
        3 => sandbox.destroy().await.unwrap(),
        4 => drop(sandbox),
        5 => {
            let _background = sandbox.start(shell("setsid sleep 1000 & sleep 1000")).await.unwrap();
            sandbox.destroy().await.unwrap();
        }
        6 => {
            // It may be killed before it has said that it runs.
            if let Ok(mut killer) = sandbox.start(shell("kill -9 -1")).await {
                killer.wait(LONG).await.ok();
            }
            drop(sandbox);
        }
        7 => {
            let mut limited = shell("sleep 1000");
            limited.timeout = Duration::from_millis(20);
            run(&*sandbox, limited).await;
            sandbox.destroy().await.unwrap();
        }
        8 => {
            let _running = sandbox.start(shell("while :; do /bin/true; done")).await.unwrap();
            sandbox.freeze().await.unwrap();
            sandbox.destroy().await.unwrap();
        }
        9 => {
            sandbox.freeze().await.unwrap();
            drop(sandbox);
        }
        _ => {
            run(&*sandbox, shell("echo x > file")).await;
            sandbox.destroy().await.unwrap();
            let (stack, fork) = (LayerStack::at(&place.path("forked")), place.path("fork"));
            stack.snapshot().and_then(|snapshot| stack.fork(snapshot, &fork)).unwrap();
            remove_layer(&place.path("forked")).unwrap();
            remove_layer(&fork).unwrap();
        }
    }
}

/// Not a test of its own: what the tests below start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn play() {
    let Ok(count) = std::env::var(PLAY) else { return };
    let count: usize = count.parse().unwrap();
    let Some(place) = warm_place().await else { return };
    // Each way once first: what is kept for good is there then.
    for number in 0..WAYS {
        once(&place, number).await;
    }
    // So that the pool is filled again.
    place.sandbox("last").await.destroy().await.unwrap();
    eventually("the pool is full", || place.driver.ready() == 2).await;
    let before = Seen::now(&place);
    println!("\nready {}", place.driver.zygote_pid().unwrap());
    for number in 0..count {
        once(&place, number).await;
    }
    place.sandbox("last").await.destroy().await.unwrap();
    let started = Instant::now();
    loop {
        let after = Seen::now(&place);
        if after.is_no_more_than(&before) {
            break;
        }
        assert!(started.elapsed() < LONG, "before: {before:#?}\nafter: {after:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let zygote = place.driver.zygote_pid().unwrap();
    drop(place);
    eventually("the zygote has ended", || !Path::new(&format!("/proc/{zygote}")).exists()).await;
    eventually("every control group is gone", || groups() == 0).await;
    println!("nothing is left of {count}");
}

fn play_process(count: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "leaks::play", "--nocapture"]).env(PLAY, count.to_string());
    command
}

#[test]
fn nothing_is_left_of_any() {
    let count = std::env::var(COUNT).map_or(USUAL, |count| count.parse().expect("a number of sandboxes"));
    let output = play_process(count).output().unwrap();
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if errors.contains("SKIPPED:") {
        eprint!("{errors}");
        return;
    }
    assert!(output.status.success() && printed.contains("nothing is left of"), "{printed}\n{errors}");
}

#[test]
fn nothing_is_left_of_a_killed_worker() {
    use std::io::BufRead as _;
    // What it cannot remove itself once it is killed.
    let directory = tempfile::tempdir().unwrap();
    let mut worker = play_process(100_000)
        .env("TMPDIR", directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(worker.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
    let Some(zygote) = ready else {
        eprintln!("SKIPPED: this host cannot run sandboxes");
        worker.wait().unwrap();
        return;
    };
    // In the midst of it.
    std::thread::sleep(Duration::from_millis(150));
    let zygote: u32 = zygote.parse().unwrap();
    let sandboxes = children(zygote);
    let pid = worker.id();
    worker.kill().unwrap();
    worker.wait().unwrap();
    let gone = |pid: u32| !Path::new(&format!("/proc/{pid}")).exists();
    let started = Instant::now();
    let left = || group_prefix(&format!("cofferdam-{pid}-"));
    while !(gone(zygote) && sandboxes.iter().all(|pid| gone(*pid)) && !left()) {
        assert!(started.elapsed() < LONG, "zygote {zygote}, sandboxes {sandboxes:?}, groups {}", left());
        std::thread::sleep(Duration::from_millis(20));
    }
    remove_layer(directory.path()).unwrap();
}

/// Whether there is a control group whose name begins so.
fn group_prefix(prefix: &str) -> bool {
    fn walk(directory: &Path, prefix: &str, depth: u32) -> bool {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.any(|entry| {
            entry.file_name().to_string_lossy().starts_with(prefix)
                || (depth < 8 && walk(&entry.path(), prefix, depth + 1))
        })
    }
    walk(Path::new("/sys/fs/cgroup"), prefix, 0)
}
