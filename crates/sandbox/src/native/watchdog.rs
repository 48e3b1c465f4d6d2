//! The watchdog: limits that the kernel does not hold for a sandbox as a whole.
//!
//! Disk space is always one of them. Quotas of filesystems need set-up by an administrator that most hosts do not have, so the watchdog adds
//! up what a layer uses, again and again, more rarely the longer that takes. Between two looks a sandbox can go over its limit by what it can
//! write in that time; one file alone never gets larger than the limit (`RLIMIT_FSIZE`). Files that are deleted but still open are looked for
//! among the descriptors of its processes. What can be hidden even so (in a message that nobody takes, in a directory that the worker's user
//! may not read) does not fill the host: a sandbox ends before its filesystem is full.
//!
//! Memory is another where no control group counts it: the watchdog adds up what the sandbox's processes have for themselves and kills the
//! largest when that is over the limit, as the kernel would.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    fs::{FileType, StatVfs},
    process::{Pid, Signal, kill_process},
};
use tokio::{task::spawn_blocking, time::sleep};

use super::connection::Connection;

/// The shortest time between two looks at the disk, and at memory.
const DISK_PAUSE: Duration = Duration::from_secs(2);
const FIRST_DISK_PAUSE: Duration = Duration::from_millis(500);
const MEMORY_PAUSE: Duration = Duration::from_millis(250);
/// Looking takes at most one part in so many of the time.
const SHARE: u32 = 20;
/// Deeper directories are not looked into: nobody makes them but to hide something, and they count as over the limit.
const DEEPEST: usize = 2000;

/// The least that an entry counts, whatever its size: inodes are limited too, and an empty file takes one.
const SMALLEST: u64 = 4096;
/// Descriptors that one look at open files goes through.
const MOST_DESCRIPTORS: usize = 100_000;
/// What is left of the filesystem for others: so many bytes and files, or a hundredth of it if that is less.
const SPARE_BYTES: u64 = 1 << 30;
const SPARE_FILES: u64 = 100_000;
/// Filesystems in memory (`linux/magic.h`): temporary files and what has no name. They count as memory.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Ends the sandbox whose process 1 is `first` when it takes more than `limit` bytes on disk, or has nearly filled it. Runs until the
/// sandbox ends.
pub(super) async fn watch_disk(connection: Arc<Connection>, first: u32, layer: PathBuf, limit: u64) {
    // A sandbox that has just been made has written nothing, and somebody waits for its first command.
    sleep(FIRST_DISK_PAUSE).await;
    while connection.lives() {
        let started = Instant::now();
        let path = layer.clone();
        let problem = spawn_blocking(move || disk_problem(&path, first, limit)).await;
        if let Ok(Some(problem)) = problem {
            connection.end(&problem);
        }
        sleep((started.elapsed() * SHARE).max(DISK_PAUSE)).await;
    }
}

/// What is wrong with a sandbox's use of the disk, if anything is.
fn disk_problem(layer: &Path, first: u32, limit: u64) -> Option<String> {
    if used(layer, limit).saturating_add(deleted(first)) > limit {
        return Some(format!("it used more disk than the limit of {limit} bytes"));
    }
    let full = rustix::fs::statvfs(layer).is_ok_and(|system| nearly_full(&system));
    full.then(|| format!("the filesystem of {} is nearly full: make room there", layer.display()))
}

/// Whether so little is left that the rest belongs to the host.
fn nearly_full(system: &StatVfs) -> bool {
    let block = system.f_frsize.max(1);
    let bytes = system.f_bavail.saturating_mul(block);
    // Some filesystems have no number of files.
    bytes < SPARE_BYTES.min(system.f_blocks.saturating_mul(block) / 100)
        || (system.f_files > 0 && system.f_favail < SPARE_FILES.min(system.f_files / 100))
}

/// Bytes on disk of files that have no name any more, but are open in a process below `first`.
fn deleted(first: u32) -> u64 {
    let mut seen = HashSet::new();
    let processes = descendants(first).into_iter();
    let open =
        processes.flat_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten());
    open.take(MOST_DESCRIPTORS).filter_map(|entry| nameless(&entry.path(), &mut seen)).sum()
}

/// Bytes on disk of an open file without a name that is not among `seen`; adds it.
fn nameless(descriptor: &Path, seen: &mut HashSet<(u64, u64)>) -> Option<u64> {
    let file = rustix::fs::stat(descriptor).ok()?;
    let is_one = FileType::from_raw_mode(file.st_mode) == FileType::RegularFile
        && file.st_nlink == 0
        && seen.insert((file.st_dev, file.st_ino));
    if !is_one || is_in_memory(descriptor) {
        return None;
    }
    u64::try_from(file.st_blocks).ok()?.checked_mul(512)
}

fn is_in_memory(descriptor: &Path) -> bool {
    let kind = rustix::fs::statfs(descriptor).map(|system| u64::try_from(system.f_type).unwrap_or(0));
    kind.is_ok_and(|kind| IN_MEMORY.contains(&kind))
}

/// Bytes that a tree takes on disk, or some number over `enough` once that is reached. Symbolic links are not followed. What cannot be
/// read (the kernel's working directories) is small and is left out.
fn used(path: &Path, enough: u64) -> u64 {
    let mut total = 0;
    let mut waiting = vec![(path.to_owned(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        if depth > DEEPEST {
            return u64::MAX;
        }
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            total += (metadata.blocks() * 512 / metadata.nlink().max(1)).max(SMALLEST);
            if total > enough {
                return total;
            }
            if metadata.is_dir() {
                waiting.push((entry.path(), depth + 1));
            }
        }
    }
    total
}

/// Kills the largest process of a sandbox whenever all of them together take more than `limit` bytes of memory, and counts that in
/// `kills`. Runs until the sandbox ends.
pub(super) async fn watch_memory(connection: Arc<Connection>, first: u32, limit: u64, kills: Arc<AtomicU64>) {
    let page = rustix::param::page_size() as u64;
    while connection.lives() {
        let processes = descendants(first);
        let sizes: Vec<(i32, u64)> =
            processes.iter().filter_map(|pid| Some((*pid, private_pages(*pid).ok()? * page))).collect();
        let total: u64 = sizes.iter().map(|(_, size)| size).sum();
        if total > limit
            && let Some((pid, _)) = sizes.iter().max_by_key(|(_, size)| *size)
            && let Some(pid) = Pid::from_raw(*pid)
            && kill_process(pid, Signal::KILL).is_ok()
        {
            kills.fetch_add(1, Ordering::Relaxed);
        }
        sleep(MEMORY_PAUSE).await;
    }
}

/// All processes below `first`, by the kernel's lists of children.
pub(super) fn descendants(first: u32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut waiting = vec![first.to_string()];
    while let Some(pid) = waiting.pop() {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_ascii_whitespace() {
                found.extend(child.parse::<i32>().ok());
                waiting.push(child.to_owned());
            }
        }
    }
    found
}

/// Resident pages that a process shares with no file (proc_pid_statm(5)).
fn private_pages(pid: i32) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let mut fields = statm.split_ascii_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
    Ok(resident.saturating_sub(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_counts_blocks_not_lengths_and_stops_when_it_has_enough() {
        let directory = tempfile::tempdir().unwrap();
        let sparse = fs::File::create(directory.path().join("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let deep = directory.path().join("a/b/c");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), vec![1; 300_000]).unwrap();
        fs::hard_link(deep.join("file"), deep.join("again")).unwrap();
        let all = used(directory.path(), u64::MAX);
        assert!((300_000..400_000).contains(&all), "{all}");
        assert!(used(directory.path(), 10) > 10);
        assert_eq!(used(&directory.path().join("none"), 10), 0);
    }

    #[test]
    fn what_is_empty_takes_room_too() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..100 {
            std::os::unix::fs::symlink("x", directory.path().join(number.to_string())).unwrap();
        }
        assert!(used(directory.path(), u64::MAX) >= 100 * SMALLEST);
    }

    #[test]
    fn a_filesystem_is_nearly_full_before_it_is_full() {
        let mut system = rustix::fs::statvfs(Path::new("/proc/self")).unwrap();
        (system.f_frsize, system.f_blocks, system.f_files) = (4096, 1 << 20, 1 << 20);
        for (blocks, files, full) in
            [(1 << 19, 1 << 19, false), (100, 1 << 19, true), (1 << 19, 100, true), (0, 0, true)]
        {
            (system.f_bavail, system.f_favail) = (blocks, files);
            assert_eq!(nearly_full(&system), full, "{blocks} blocks, {files} files");
        }
        (system.f_bavail, system.f_files, system.f_favail) = (1 << 19, 0, 0);
        assert!(!nearly_full(&system), "no number of files is no shortage of them");
    }

    #[test]
    fn a_process_has_memory_and_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(descendants(std::process::id()).contains(&pid));
        assert!(private_pages(i32::try_from(std::process::id()).unwrap()).unwrap() > 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
