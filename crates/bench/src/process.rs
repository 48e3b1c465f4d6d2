//! Processes as `/proc` shows them: memory, processor time, children.

use std::{fs, path::PathBuf};

/// Clock ticks a second in `/proc` (`USER_HZ`, the same on every architecture that Linux has today).
pub(crate) const TICKS: f64 = 100.0;

/// A file of a process.
pub(crate) fn path(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// A number of kB in a file of a process; 0 when the process has ended.
pub(crate) fn field(pid: u32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path(pid, file)).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The children of all threads of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(path(pid, "task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// A process and all that descend from it.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(process) = all.get(next).copied() {
        all.extend(children(process));
        next += 1;
    }
    all
}

/// Resident memory of a process, in kB.
pub(crate) fn resident(pid: u32) -> u64 {
    field(pid, "status", "VmRSS:")
}

/// Memory of a process in kB, where pages that several processes share are divided among them.
pub(crate) fn proportional(pid: u32) -> u64 {
    field(pid, "smaps_rollup", "Pss:")
}

/// Processor seconds of a process, without its children (proc_pid_stat(5), `utime` and `stime`).
pub(crate) fn processor(pid: u32) -> f64 {
    let stat = fs::read_to_string(path(pid, "stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    // After the name in brackets comes field 3.
    let ticks = fields.split_whitespace().skip(14 - 3).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there() {
        let pid = std::process::id();
        assert!(resident(pid) > 0 && proportional(pid) > 0);
        assert!(tree(pid).contains(&pid));
        assert!(processor(pid) >= 0.0);
        assert_eq!(resident(u32::MAX), 0);
    }
}
