//! Waiting for a child with a limit.

use std::{
    io,
    process::{Child, ExitStatus},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

/// Waits for a child that leads a process group of its own. `None`: it took too long, and it and its group were killed.
pub(crate) fn wait_for(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let pid = Pid::from_child(child);
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    let patience = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
    let ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&patience))? == 1;
    if !ended {
        kill_process_group(pid, Signal::KILL)?;
    }
    let status = child.wait()?;
    Ok(ended.then_some(status))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt as _, process::Command};

    use super::*;

    #[test]
    fn a_child_ends_by_itself_or_is_ended() {
        let start = |seconds: &str| Command::new("sleep").arg(seconds).process_group(0).spawn().unwrap();
        let ended = wait_for(&mut start("0"), Duration::from_secs(60)).unwrap();
        assert!(ended.unwrap().success());
        assert!(wait_for(&mut start("600"), Duration::from_millis(1)).unwrap().is_none());
    }
}
