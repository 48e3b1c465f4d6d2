//! Freezing: stopping every process of a sandbox at once, from outside, so that nothing in it can object.
//!
//! Where the kernel has a control group of version 2 for the sandbox (it needs no controllers for that), the group is frozen: the kernel stops
//! also what is being forked at that moment, and frozen processes can still be killed. Elsewhere every process is sent `SIGSTOP`, again and
//! again until a look at all of them shows nothing else; the first process too, which takes that signal only from outside. A program that was
//! stopped by itself before goes on after such a thaw. The freezer of version 1 is not used: what it has frozen cannot be killed.

use std::{
    collections::HashSet,
    fs, io,
    os::fd::AsFd as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::time::sleep;

use super::watchdog::descendants;

/// How long it may take. A process in the midst of reading from a disk stops when that is done.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How a sandbox is stopped.
#[derive(Debug)]
pub(super) struct Freezer {
    /// The file `cgroup.freeze` of its group.
    group: Option<PathBuf>,
    /// Its process 1, on the host.
    first: u32,
}

impl Freezer {
    pub(super) const fn new(group: Option<PathBuf>, first: u32) -> Self {
        Self { group, first }
    }

    /// Stops all, and waits until that is so.
    pub(super) async fn freeze(&self) -> io::Result<()> {
        if let Some(group) = &self.group {
            fs::write(group, "1")?;
        }
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        while !self.is_frozen()? {
            if started.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// Lets all go on.
    pub(super) fn thaw(&self) -> io::Result<()> {
        match &self.group {
            Some(group) => fs::write(group, "0"),
            None => {
                // The first process last: it would take a stopped child for one to be continued.
                for pid in self.processes().into_iter().rev() {
                    signal(pid, Signal::CONT)?;
                }
                Ok(())
            }
        }
    }

    /// Whether all are stopped; sends the signal to those that are not.
    fn is_frozen(&self) -> io::Result<bool> {
        if let Some(group) = &self.group {
            let events = fs::read_to_string(group.with_file_name("cgroup.events"))?;
            return Ok(events.lines().any(|line| line == "frozen 1"));
        }
        let mut seen = HashSet::new();
        // Until a second look shows nobody new, somebody may have been forked in between.
        loop {
            let running: Vec<i32> = self.processes().into_iter().filter(|pid| !is_stopped(*pid)).collect();
            if running.is_empty() {
                return Ok(true);
            }
            let mut new = false;
            for pid in running {
                new |= seen.insert(pid);
                signal(pid, Signal::STOP)?;
            }
            if !new {
                return Ok(false);
            }
        }
    }

    fn processes(&self) -> Vec<i32> {
        i32::try_from(self.first).into_iter().chain(descendants(self.first)).collect()
    }
}

/// Sends a signal to a process of the sandbox; that it is gone is fine.
fn signal(pid: i32, signal: Signal) -> io::Result<()> {
    let Some(process) = Pid::from_raw(pid) else { return Ok(()) };
    let sent =
        pidfd_open(process, PidfdFlags::empty()).and_then(|pidfd| pidfd_send_signal(pidfd.as_fd(), signal));
    match sent {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a process is stopped, or has ended, or will stop before it does anything more: one that waits in the kernel for what cannot be
/// interrupted (a disk; a child that has not replaced its program yet, and may itself be stopped) keeps the signal until then
/// (proc_pid_status(5)).
fn is_stopped(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match field("State:").and_then(|state| state.chars().next()) {
        Some('R' | 'S' | 'I') => false,
        Some('D') => {
            let pending = field("ShdPnd:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
            pending.is_some_and(|mask| mask & STOP_BIT != 0)
        }
        Some(_) | None => true,
    }
}

/// The place of `SIGSTOP` in a mask of signals.
const STOP_BIT: u64 = 1 << 18;
