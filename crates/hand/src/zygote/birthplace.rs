//! The mount namespace that sandboxes are born from.
//!
//! A clone copies every mount of the namespace that it comes from, and process 1 of a sandbox takes all of them away again. So
//! the zygote has a second namespace with nothing in it but what process 1 needs until it has a root directory of its
//! own, and is there while it clones. It also means that no process of a sandbox has ever had the host's files under any path.

use std::os::fd::{AsFd as _, OwnedFd};

use cofferdam_hand::protocol::zygote::Failure;
use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, open},
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    process::{chdir, pivot_root},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{
    mounts::{attach, open_host},
    root::STAGE,
    step::Step as _,
};
use crate::sys::namespace::{self, MountChange, change_mount};

/// Where process 1, in its own copy of the namespace, attaches its copy of a root directory.
pub(super) const NEW_ROOT: &str = "/root";
/// Where it mounts the filesystem for temporary files.
pub(super) const SCRATCH: &str = "/scratch";
/// The kernel lets a process of a user namespace mount a `/proc` only where it can see one already.
const PROC: &str = "/proc";

/// The two mount namespaces of the zygote.
pub(super) struct Birthplace {
    /// With everything of the host.
    home: OwnedFd,
    /// With nothing of it.
    bare: OwnedFd,
}

impl Birthplace {
    /// Makes the second one. The zygote is in the first one again then.
    pub(super) fn new() -> Result<Self, Failure> {
        let home = current().step("open the own mount namespace")?;
        namespace::unshare_mounts(false).step("make a mount namespace for sandboxes to be born from")?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .step("separate mounts from the host's")?;
        clear().step("empty a mount namespace")?;
        let bare = current().step("open a new mount namespace")?;
        let birthplace = Self { home, bare };
        birthplace.leave()?;
        Ok(birthplace)
    }

    /// Moves the zygote there.
    pub(super) fn enter(&self) -> Result<(), Failure> {
        enter(&self.bare).step("enter the mount namespace that sandboxes are born from")
    }

    /// Moves it back to where paths are the host's.
    pub(super) fn leave(&self) -> Result<(), Failure> {
        enter(&self.home).step("return to the own mount namespace")
    }
}

fn current() -> rustix::io::Result<OwnedFd> {
    open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn enter(namespace: &OwnedFd) -> rustix::io::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
}

/// Puts an empty root directory with a `/proc` in the place of everything.
fn clear() -> std::io::Result<()> {
    mount("tmpfs", STAGE, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755,size=64k")?;
    for directory in [NEW_ROOT, SCRATCH, PROC] {
        mkdirat(CWD, format!("{STAGE}{directory}"), Mode::from_raw_mode(0o755))?;
    }
    let directory =
        |path: &str| open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    attach(&open_host(PROC.as_bytes())?, &directory(&format!("{STAGE}{PROC}"))?)?;
    // All sandboxes share what is in it.
    let root = directory(STAGE)?;
    change_mount(root.as_fd(), MountChange { read_only: true, ..MountChange::default() })?;
    chdir(STAGE)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}
