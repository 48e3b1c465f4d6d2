//! System calls for making sandboxes that `rustix` has no safe function for.

use std::{
    ffi::CString,
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::process::Pid;

/// Namespaces for a new process, as a union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Namespaces(u64);

impl Namespaces {
    /// All that a sandbox is made of.
    pub(crate) const SANDBOX: Self = Self(
        (libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP) as u64,
    );
    /// Those of them that process 1 is made with: it is born into the others ([`unshare_surroundings`]).
    pub(crate) const PROCESS_1: Self = Self(Self::SANDBOX.0 & !(SURROUNDINGS as u64));
    /// Only a user namespace: a carrier for id maps.
    pub(crate) const USER: Self = Self(libc::CLONE_NEWUSER as u64);
    /// A network with all rights over it.
    pub(crate) const NETWORK: Self = Self((libc::CLONE_NEWUSER | libc::CLONE_NEWNET) as u64);
}

/// Moves this process into new mount, or user and mount, namespaces.
///
/// # Errors
/// The system's answer.
pub(crate) fn unshare_mounts(with_user: bool) -> io::Result<()> {
    let flags = libc::CLONE_NEWNS | if with_user { libc::CLONE_NEWUSER } else { 0 };
    // SAFETY: these flags change only what paths and ids mean to this process, not its memory or descriptors.
    if unsafe { libc::unshare(flags) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What can be made ahead of a sandbox, because it is the same for all.
const SURROUNDINGS: libc::c_int = libc::CLONE_NEWNET | libc::CLONE_NEWIPC;

/// Moves this process into new network and IPC namespaces.
///
/// # Errors
/// The system's answer.
pub(crate) fn unshare_surroundings() -> io::Result<()> {
    // SAFETY: these flags change only which network and which message queues there are for this process.
    if unsafe { libc::unshare(SURROUNDINGS) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of [`clone_process`] this is.
#[derive(Debug)]
pub(crate) enum Cloned {
    /// The caller, with the new process and its descriptor (pidfd_open(2)).
    Parent(Pid, OwnedFd),
    /// The new process.
    Child,
}

/// Makes a new process in new namespaces, a copy of this one, by clone3(2); in the control group `group` (a
/// directory of version 2) if one is given. The child gets no signal at the parent's end by itself.
///
/// # Errors
/// The system's answer: usually that namespaces are not permitted here.
pub(crate) fn clone_process(namespaces: Namespaces, group: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain old data, for which all zeros is a valid value ("not used").
    let mut arguments: libc::clone_args = unsafe { mem::zeroed() };
    arguments.flags = namespaces.0 | libc::CLONE_PIDFD as u64;
    arguments.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(group) = group {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = group.as_raw_fd().unsigned_abs().into();
    }
    // SAFETY: without CLONE_VM the child has its own copy of memory and returns on its own copy of this
    // stack, as with fork(2). The zygote has one thread, so no lock can be held by a thread that the child
    // lacks. The pointers are valid for the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            mem::size_of::<libc::clone_args>(),
        )
    };
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        pid => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
            // SAFETY: the call succeeded, so the kernel has put a new descriptor, owned by nobody else, into
            // `pidfd`.
            Ok(Cloned::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
        }
    }
}

/// What to change of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MountChange {
    /// Make it read-only.
    pub(crate) read_only: bool,
    /// Ignore set-user-id bits and device nodes.
    pub(crate) untrusted: bool,
    /// Also everything mounted below it.
    pub(crate) recursive: bool,
}

/// Changes a mount (or a tree of mounts that is not attached yet), by mount_setattr(2).
///
/// # Errors
/// The system's answer.
pub(crate) fn change_mount(mount: BorrowedFd<'_>, change: MountChange) -> io::Result<()> {
    let mut set = 0;
    if change.read_only {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    if change.untrusted {
        set |= libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    }
    mount_setattr(mount, change.recursive, set, None)
}

/// Shows the owners of files in a detached mount as `map`, a user namespace, says.
///
/// # Errors
/// The system's answer: `EINVAL` when the filesystem cannot do that.
pub(crate) fn map_mount_owners(mount: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<()> {
    mount_setattr(mount, false, libc::MOUNT_ATTR_IDMAP, Some(map))
}

fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    map: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: map.map_or(0, |map| map.as_raw_fd().unsigned_abs().into()),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, the structure is valid for the call and its true size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&attributes),
            mem::size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes every descriptor but standard input, output and error and those given.
///
/// The caller must not use any other descriptor that it still owns, except to forget it: this is for a
/// process that is about to become something else.
///
/// # Errors
/// The system's answer.
pub(crate) fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().filter(|fd| *fd > 2) {
        close_range(first, fd - 1)?;
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: closing descriptors touches no memory; that nobody uses them afterwards is the documented duty
    // of the caller.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One instruction of a system call filter (the kernel's `struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    /// Operation.
    pub(crate) code: u16,
    /// Instructions to skip if the comparison holds.
    pub(crate) if_true: u8,
    /// Instructions to skip if it does not.
    pub(crate) if_false: u8,
    /// Operand.
    pub(crate) operand: u32,
}

/// Puts this process and all its future children under a system call filter, by seccomp(2). It cannot be
/// taken off again.
///
/// # Errors
/// The system's answer; `EACCES` when neither `no_new_privs` is set nor the process may administer the
/// system.
pub(crate) fn load_filter(filter: &[Instruction]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        length: libc::c_ushort,
        instructions: *const Instruction,
    }
    let length = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { length, instructions: filter.as_ptr() };
    // SAFETY: `Program` and `Instruction` have the layout of `sock_fprog` and `sock_filter`; the kernel
    // copies them during the call.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, std::ptr::from_ref(&program))
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets the system reap children by itself, or (`false`) turns back to the normal state, in which they wait
/// to be asked for.
///
/// # Errors
/// The system's answer.
pub(crate) fn reap_automatically(on: bool) -> io::Result<()> {
    let handler = if on { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither disposition runs any code of this program.
    let result = unsafe { libc::signal(libc::SIGCHLD, handler) };
    if result == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A path or name as a C string.
///
/// # Errors
/// When there is a NUL in it.
pub(crate) fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}
