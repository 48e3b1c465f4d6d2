//! Control groups, as far as the zygote has to do with them: it puts process 1 into its groups, and clears up
//! after a worker that could not do so itself.

use std::{
    io::{self, ErrorKind},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat},
    process::{Signal, pidfd_send_signal},
};

use crate::sys::namespace::{self, Cloned, Namespaces, c_string};

/// What the names of sandboxes' groups begin with.
const SANDBOX_PREFIX: &[u8] = b"sbx_";
/// How often, and how far apart, removal of a group is tried again: the kernel empties groups a moment after
/// the processes are gone.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);
/// No time at all.
pub(super) const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// How long all sandboxes together may take to end.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Clones process 1, into its control group of version 2 if there is one.
pub(super) fn clone_process(directory: Option<&OwnedFd>) -> io::Result<Cloned> {
    let Some(directory) = directory else { return namespace::clone_process(Namespaces::PROCESS_1, None) };
    let into = namespace::clone_process(Namespaces::PROCESS_1, Some(directory.as_fd()));
    let Err(error) = into else { return into };
    // Some groups can be joined later only: where a write decides, let it decide.
    let file = openat(directory, "cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    let file = file.map_err(|_| error)?;
    let cloned = namespace::clone_process(Namespaces::PROCESS_1, None)?;
    if let Cloned::Parent(pid, _) = &cloned {
        rustix::io::write(&file, pid.as_raw_nonzero().to_string().as_bytes())?;
    }
    Ok(cloned)
}

/// In process 1: joins groups of version 1 by their files `tasks`. These have been opened by the worker, and it
/// is the worker's rights that count.
pub(super) fn join(tasks: impl Iterator<Item = OwnedFd>) -> io::Result<()> {
    for file in tasks {
        rustix::io::write(&file, b"0")?;
    }
    Ok(())
}

/// The worker's groups and the sandboxes that may be in them.
pub(super) struct Groups {
    owned: Vec<OwnedGroup>,
    sandboxes: Vec<OwnedFd>,
}

/// A directory of a control group hierarchy, with all that is needed to remove it without any path.
struct OwnedGroup {
    parent: OwnedFd,
    directory: OwnedFd,
    name: Vec<u8>,
}

impl Groups {
    /// Takes pairs of (parent, directory) with the directories' names.
    pub(super) fn new(names: Vec<Vec<u8>>, descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let mut descriptors = descriptors.into_iter();
        let mut owned = Vec::new();
        for name in names {
            let (Some(parent), Some(directory)) = (descriptors.next(), descriptors.next()) else {
                return Err(ErrorKind::InvalidInput.into());
            };
            owned.push(OwnedGroup { parent, directory, name });
        }
        Ok(Self { owned, sandboxes: Vec::new() })
    }

    /// Remembers a sandbox, by its process 1, until it has ended.
    pub(super) fn watch(&mut self, pidfd: OwnedFd) {
        self.sandboxes.retain(|pidfd| !has_ended(pidfd, NOW));
        self.sandboxes.push(pidfd);
    }

    /// Kills every sandbox and removes the groups. What cannot be removed is left for the next worker's
    /// start.
    pub(super) fn clear(self) {
        for sandbox in &self.sandboxes {
            // Has ended by itself otherwise.
            pidfd_send_signal(sandbox, Signal::KILL).ok();
        }
        for sandbox in &self.sandboxes {
            has_ended(sandbox, PATIENCE);
        }
        for group in &self.owned {
            group.remove();
        }
    }
}

/// Whether the process that `pidfd` stands for ends within `patience`.
pub(super) fn has_ended(pidfd: &OwnedFd, patience: Timespec) -> bool {
    poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&patience)).is_ok_and(|ready| ready > 0)
}

impl OwnedGroup {
    fn remove(&self) {
        let names: Vec<_> = Dir::read_from(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_owned())
            .filter(|name| name.as_bytes().starts_with(SANDBOX_PREFIX))
            .collect();
        for name in names {
            remove_directory(&self.directory, &name);
        }
        if let Ok(name) = c_string(&self.name) {
            remove_directory(&self.parent, &name);
        }
    }
}

fn remove_directory(parent: &OwnedFd, name: &std::ffi::CStr) {
    for _ in 0..ATTEMPTS {
        match unlinkat(parent.as_fd(), name, AtFlags::REMOVEDIR) {
            Err(rustix::io::Errno::BUSY) => std::thread::sleep(PAUSE),
            Ok(()) | Err(_) => return,
        }
    }
}
