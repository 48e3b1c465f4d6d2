//! The second wall around a sandbox's files: Landlock.
//!
//! The first wall is what is mounted there at all, and read-only. Should that ever have a hole, this one
//! still says where a process of the sandbox may write, that it may mount nothing, and that it may neither
//! signal nor connect to anybody outside by an abstract name.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};

use crate::sys::landlock::{Access, Fence, version};

/// Where everybody may make and change files.
const CHANGED: [&str; 6] = ["/workspace", "/home/agent", "/tmp", "/var/tmp", "/run", "/dev/shm"];
/// Where there are files to be written to, but none to be made. Most of `/proc` cannot be written to for
/// other reasons.
const USED: [&str; 2] = ["/dev", "/proc"];

/// What the fences of all sandboxes of a zygote need.
pub(super) struct Fencing {
    version: u32,
    /// The host's terminals. A command on one of them opens it anew by names like `/dev/stdout`; others it
    /// cannot name, and they are not its own.
    terminals: Option<OwnedFd>,
}

impl Fencing {
    pub(super) fn new() -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self { version: version(), terminals: open("/dev/pts", flags, Mode::empty()).ok() }
    }

    /// The version of Landlock; 0 if there is none.
    pub(super) const fn version(&self) -> u32 {
        self.version
    }

    /// What must stay open for [`Self::put_up`].
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.terminals.as_ref().map(AsFd::as_fd)
    }

    /// In process 1, in its final root directory: puts the fence up, if the kernel has any. `system` are
    /// directories of the system that can be changed.
    pub(super) fn put_up<'a>(&self, system: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        if self.version == 0 {
            return Ok(());
        }
        let fence = Fence::new(self.version)?;
        let allow = |path: &[u8], access| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match open(path, flags, Mode::empty()) {
                Ok(directory) => fence.allow(directory.as_fd(), access),
                Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(errno.into()),
            }
        };
        allow(b"/", Access::Read)?;
        USED.iter().try_for_each(|path| allow(path.as_bytes(), Access::Use))?;
        let changed = CHANGED.iter().map(|path| path.as_bytes());
        changed.chain(system).try_for_each(|path| allow(path, Access::Change))?;
        if let Some(terminals) = &self.terminals {
            fence.allow(terminals.as_fd(), Access::Use)?;
        }
        fence.close()
    }
}
