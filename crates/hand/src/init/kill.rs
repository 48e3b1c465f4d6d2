//! Ends everything below a process, whatever it has done to get away: new sessions, process groups, double
//! forks.
//!
//! A watcher and process 1 are subreapers, so "below" in the process table is exact at any instant: an orphan
//! becomes the child of its nearest ancestor of the two. But the table changes while it is read, and a
//! process that does nothing but fork and end can be missed by any one reading. So this goes on until
//! somebody who knows says that nothing is left: a watcher ends when the kernel tells it that it has no
//! children any more.
//!
//! Whole process groups are killed at once, also that of a member which has just ended: the kernel holds the
//! list of processes meanwhile, so that members which fork at this moment go too. A group cannot span two
//! commands, because each command begins its own session. The newest processes are looked at first, since
//! those are the ones that run away.
//!
//! Reading `/proc` is sound here: no process inside can mount, and its `stat` files are readable whoever owns
//! them.

use std::{
    collections::BTreeSet,
    fs, io,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};

/// How long to go on. Only a swarm that outruns the reading of the table needs longer; the host then destroys
/// the whole sandbox.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest pause between two rounds; dying takes processes a moment.
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// Kills every process below `root`, but not `root`, nor `spared` and what is below those, until `is_done`.
/// Returns how many were still there when patience was over.
pub(super) fn below(root: Pid, spared: &[Pid], mut is_done: impl FnMut(&Round) -> bool) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(20);
    let hunt = Hunt { root: number(root), own_group: number(getpid()), spared };
    loop {
        // Without the table nothing can be found, and the host has to know that this was no success.
        let Ok(round) = hunt.round() else { return u32::MAX };
        if is_done(&round) {
            return 0;
        }
        if Instant::now() >= deadline {
            return u32::try_from(round.alive.max(1)).unwrap_or(u32::MAX);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What one reading of the process table has shown, and killed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// How many were alive.
    pub(super) alive: usize,
    /// Those below the root that had ended, but were not reaped yet.
    pub(super) zombies: Vec<Pid>,
    /// Whether some process of the table ended before it could be looked at. What it may have forked was not
    /// in the table.
    pub(super) vanished: bool,
}

/// Whom to kill.
struct Hunt<'a> {
    root: i32,
    /// The group of process 1 itself, whose leader it is.
    own_group: i32,
    spared: &'a [Pid],
}

impl Hunt<'_> {
    fn round(&self) -> io::Result<Round> {
        let mut round = Round::default();
        let mut table = Vec::new();
        for pid in processes()? {
            let stat = fs::read(format!("/proc/{pid}/stat"));
            let Some(process) = stat.ok().and_then(|stat| parse(pid, &stat)) else {
                round.vanished = true;
                continue;
            };
            // At once: by the end of the table it could be elsewhere.
            if process.parent == self.root && !self.spares(process.pid) {
                self.kill(process);
            }
            table.push(process);
        }
        for process in self.descendants(&table) {
            if process.parent != self.root {
                self.kill(process);
            }
            if process.zombie {
                round.zombies.extend(Pid::from_raw(process.pid));
            } else {
                round.alive += 1;
            }
        }
        Ok(round)
    }

    /// Those of the table that are below the root.
    fn descendants(&self, table: &[Process]) -> Vec<Process> {
        let mut below = BTreeSet::from([self.root]);
        // Children may stand before their parents in the table, so look until nothing is added.
        loop {
            let before = below.len();
            for process in table {
                if below.contains(&process.parent) && !self.spares(process.pid) {
                    below.insert(process.pid);
                }
            }
            if below.len() == before {
                break;
            }
        }
        below.remove(&self.root);
        table.iter().filter(|process| below.contains(&process.pid)).copied().collect()
    }

    fn spares(&self, pid: i32) -> bool {
        self.spared.iter().any(|spared| number(*spared) == pid)
    }

    fn kill(&self, process: Process) {
        let Process { pid, group, .. } = process;
        // A watcher is the leader of its own group, which its command is in for a moment.
        let alone = group <= 1 || group == self.own_group || group == self.root;
        // That it is gone already is what was wanted.
        let _ = if alone {
            Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL))
        } else {
            Pid::from_raw(group).map(|group| kill_process_group(group, Signal::KILL))
        };
    }
}

fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

/// One line of the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    /// Ended, but not yet reaped by its parent.
    zombie: bool,
}

/// The ids of all processes, the newest first.
fn processes() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    pids.sort_unstable_by(|one, other| other.cmp(one));
    Ok(pids)
}

/// Parses `/proc/PID/stat` (proc_pid_stat(5)): `PID (NAME) STATE PARENT GROUP …`, where NAME may hold
/// anything, also parentheses.
fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = str::from_utf8(stat.get(after_name..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Process {
        pid,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        zombie: matches!(state, "Z" | "X"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> Process {
        Process { pid, parent, group: pid, zombie: false }
    }

    fn pids_below(root: i32, spared: &[i32], table: &[Process]) -> Vec<i32> {
        let spared: Vec<Pid> = spared.iter().filter_map(|pid| Pid::from_raw(*pid)).collect();
        let hunt = Hunt { root, own_group: root, spared: &spared };
        hunt.descendants(table).iter().map(|process| process.pid).collect()
    }

    #[test]
    fn a_name_cannot_forge_fields() {
        let stat = b"7 (evil) S 1 1 (x) R 42 43 44 0 -1";
        assert_eq!(parse(7, stat), Some(Process { pid: 7, parent: 42, group: 43, zombie: false }));
        assert_eq!(parse(7, b"7 (cut"), None);
        assert_eq!(parse(7, b"7 (cut) Z 1"), None);
        assert!(parse(7, b"7 (gone) Z 1 7 7 0").is_some_and(|process| process.zombie));
    }

    #[test]
    fn finds_all_below_in_any_order_of_the_table() {
        let table =
            [process(9, 8), process(8, 5), process(5, 2), process(2, 1), process(3, 1), process(4, 3)];
        assert_eq!(pids_below(2, &[], &table), [9, 8, 5]);
        assert_eq!(pids_below(1, &[5], &table), [2, 3, 4]);
        assert_eq!(pids_below(4, &[], &table), Vec::<i32>::new());
    }

    #[test]
    fn the_table_of_this_system_holds_this_process() {
        assert!(processes().unwrap().contains(&number(getpid())));
    }
}
