//! Landlock: which files a process and its descendants may use at all, whatever the permissions of the files
//! say (landlock(7)).

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// What may be done with everything below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read it, and run it.
    Read,
    /// That, and write to the files that are there already: for devices, and for `/proc`.
    Use,
    /// Everything but making device nodes.
    Change,
}

/// Rights on files (`linux/landlock.h`), and the version that brought those that were not in the first one.
const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_BLOCK: u64 = 1 << 11;
const FIRST: u64 = (1 << 13) - 1;
const REFER: (u32, u64) = (2, 1 << 13);
const TRUNCATE: (u32, u64) = (3, 1 << 14);
const IOCTL_DEV: (u32, u64) = (5, 1 << 15);
/// What can be confined besides files: abstract unix sockets, and signals.
const SCOPES: (u32, u64) = (6, 1 << 0 | 1 << 1);

/// `struct landlock_ruleset_attr`. Older kernels take it as long as what they do not know is zero.
#[repr(C)]
struct Handled {
    files: u64,
    network: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which has no padding.
#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    parent: RawFd,
}

/// Rules that are being collected.
#[derive(Debug)]
pub(crate) struct Fence {
    rules: OwnedFd,
    known: u64,
}

impl Fence {
    /// A fence that forbids every use of files, and signals and abstract sockets to whoever is outside of it,
    /// as far as this version of Landlock knows of it. The network is left alone.
    ///
    /// # Errors
    /// The system's answer.
    pub(crate) fn new(version: u32) -> io::Result<Self> {
        let known = [REFER, TRUNCATE, IOCTL_DEV]
            .into_iter()
            .filter(|(since, _)| version >= *since)
            .fold(FIRST, |known, (_, right)| known | right);
        let scoped = if version >= SCOPES.0 { SCOPES.1 } else { 0 };
        let handled = Handled { files: known, network: 0, scoped };
        // SAFETY: the structure is valid for the call and its true size is given; no flag is set.
        let rules = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::from_ref(&handled),
                mem::size_of::<Handled>(),
                0,
            )
        };
        let rules = RawFd::try_from(rules).map_err(|_| io::ErrorKind::InvalidData)?;
        if rules < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
        Ok(Self { rules: unsafe { OwnedFd::from_raw_fd(rules) }, known })
    }

    /// Permits something below a directory.
    ///
    /// # Errors
    /// The system's answer.
    pub(crate) fn allow(&self, directory: BorrowedFd<'_>, access: Access) -> io::Result<()> {
        const RULE_PATH_BENEATH: libc::c_int = 1;
        let read = EXECUTE | READ_FILE | READ_DIR;
        let allowed = match access {
            Access::Read => read,
            Access::Use => read | WRITE_FILE | TRUNCATE.1 | IOCTL_DEV.1,
            Access::Change => FIRST & !(MAKE_CHAR | MAKE_BLOCK) | REFER.1 | TRUNCATE.1 | IOCTL_DEV.1,
        };
        let beneath = Beneath { allowed: allowed & self.known, parent: directory.as_raw_fd() };
        // SAFETY: the structure has the layout that this kind of rule asks for and is valid for the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.rules.as_raw_fd(),
                RULE_PATH_BENEATH,
                std::ptr::from_ref(&beneath),
                0,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Puts this process and all its future children behind the fence. It cannot be taken off again.
    ///
    /// # Errors
    /// The system's answer; `EPERM` when neither `no_new_privs` is set nor the process may administer its
    /// user namespace.
    pub(crate) fn close(self) -> io::Result<()> {
        // SAFETY: takes a descriptor and flags, of which none is set.
        let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.rules.as_raw_fd(), 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Which version of Landlock the kernel offers; 0 for none.
#[must_use]
pub(crate) fn version() -> u32 {
    const CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no structure and only returns a number
    // (landlock_create_ruleset(2)).
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0,
            CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(result).unwrap_or(0)
}
