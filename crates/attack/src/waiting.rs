//! Starting a child, and waiting for it, with a limit.

use std::{
    io,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

/// How long a program that has just been written may be held open by others.
const WRITTEN: Duration = Duration::from_secs(5);

/// Starts a program that this process has just written. A child that another thread starts meanwhile has the file open for writing until it
/// runs its own program, and so long the system refuses (`ETXTBSY`, execve(2)).
pub(crate) fn start_written(command: &mut Command) -> io::Result<Child> {
    let began = Instant::now();
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && began.elapsed() < WRITTEN => {
                std::thread::sleep(Duration::from_millis(2));
            }
            started => return started,
        }
    }
}

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
    use std::{
        fs,
        os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    };

    use super::*;

    #[test]
    fn a_program_that_is_still_written_to_starts_a_little_later() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("program");
        fs::copy("/bin/true", &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let writer = fs::File::options().append(true).open(&path).unwrap();
        let busy = Command::new(&path).spawn().unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ExecutableFileBusy);
        let closing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            drop(writer);
        });
        assert!(start_written(&mut Command::new(&path)).unwrap().wait().unwrap().success());
        closing.join().unwrap();
    }

    #[test]
    fn a_child_ends_by_itself_or_is_ended() {
        let start = |seconds: &str| Command::new("sleep").arg(seconds).process_group(0).spawn().unwrap();
        let ended = wait_for(&mut start("0"), Duration::from_secs(60)).unwrap();
        assert!(ended.unwrap().success());
        assert!(wait_for(&mut start("600"), Duration::from_millis(1)).unwrap().is_none());
    }
}
