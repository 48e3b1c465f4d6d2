//! What is on the machine: processes, mounts, control groups, network namespaces. Only what this run can have made is looked at: other people
//! work here too.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    program::{all, command, descendants, is_first, is_hand},
    world::World,
};

/// What ends with a process may take a moment to do so.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
/// Groups of groups that are looked into.
const DEEPEST: usize = 8;

/// What was seen while the service worked.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Network namespaces of sandboxes. They are held: the number of one that is gone is soon another's, which need not be ours.
    networks: BTreeMap<u64, File>,
}

impl Census {
    /// Looks around.
    pub(crate) fn look(&mut self) {
        let seen = descendants(std::process::id().cast_signed());
        // The process that makes sandboxes is where its worker is.
        let inside = seen.into_iter().filter(|process| is_hand(*process) && is_first(*process));
        self.networks.extend(inside.filter_map(|process| {
            let file = File::open(network(process)).ok()?;
            Some((file.metadata().ok()?.ino(), file))
        }));
    }

    /// That nothing is left of what these processes of the product have made.
    pub(crate) fn nothing_is_left(&self, world: &World, processes: &[i32]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.left(world.folder(), processes);
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "left on the machine: {}", left.join("; "));
            thread::sleep(LOOK);
        }
    }

    fn left(&self, place: &Path, processes: &[i32]) -> Vec<String> {
        let mut left = Vec::new();
        let place = place.to_string_lossy().into_owned();
        let own = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        // The mount with the data directory is made, and removed, by the test itself.
        left.extend(
            own.lines().filter(|line| line.contains(&place) && line.contains("overlay")).map(str::to_owned),
        );
        for process in all() {
            if process == std::process::id().cast_signed() {
                continue;
            }
            let read = |file: &str| fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
            let mounts = String::from_utf8_lossy(&read("mountinfo")).into_owned();
            let strange =
                mounts.lines().any(|line| line.contains(&place) && !own.lines().any(|ours| ours == line));
            let number = fs::metadata(network(process)).map(|network| network.ino());
            if strange || number.is_ok_and(|number| self.networks.contains_key(&number)) {
                left.push(format!("process {process} {}, {}", command(process), standing(process)));
            }
        }
        left.extend(groups(Path::new("/sys/fs/cgroup"), processes, 0));
        left
    }
}

fn network(process: i32) -> PathBuf {
    format!("/proc/{process}/ns/net").into()
}

/// Whose a process is, and what it does, as far as the kernel tells.
fn standing(process: i32) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
    let status = read("status");
    let lines =
        status.lines().filter(|line| ["State:", "PPid:", "NSpid:"].iter().any(|name| line.starts_with(name)));
    let lines: Vec<String> = lines.map(|line| line.replace('\t', " ")).collect();
    format!("{}, waits in {:?}", lines.join(", "), read("wchan"))
}

/// The control groups of these processes' workers.
fn groups(directory: &Path, processes: &[i32], depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if depth >= DEEPEST || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let of = name.strip_prefix("cofferdam-").and_then(|rest| rest.split('-').next()?.parse::<i32>().ok());
        if of.is_some_and(|process| processes.contains(&process)) {
            found.push(format!("control group {}", entry.path().display()));
        }
        found.extend(groups(&entry.path(), processes, depth + 1));
    }
    found
}
