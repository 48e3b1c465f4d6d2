//! Processes: fork, signals, descriptors by number, status with usage.

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus,
};

use rustix::process::Pid;

/// Which side of a [`fork`] this is.
#[derive(Debug)]
pub(crate) enum Fork {
    /// The new process.
    Child,
    /// The old one; holds the new one's id.
    Parent(Pid),
}

/// Takes over a descriptor that the parent left open for this program under an agreed number.
///
/// # Errors
/// When there is no such descriptor.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes no pointer; it fails with EBADF if the descriptor is not open, which is what is
    // tested here.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and by agreement with the parent nothing else in this program owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Forks. Only for a process with a single thread; with more, the child could find locks that nobody will
/// ever release.
///
/// # Errors
/// When the system has no room for another process.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: every caller is a role of this program before it starts any thread, so the child may run any
    // code.
    match unsafe { libc::fork() } {
        0 => Ok(Fork::Child),
        id => process_id(id).map(Fork::Parent),
    }
}

/// Bytes of stack for the child of [`fork_borrowing`].
const BORROWER_STACK: usize = 256 << 10;

/// Makes a child that borrows this process's memory, and waits until the child has replaced its program or
/// ended. Nothing is copied, which is most of what a fork costs. `child` must call [`execute`]; what it
/// returns is an exit status. What it writes to memory stays written. Only for a process with a single thread
/// and without signal handlers.
///
/// # Errors
/// When the system has no room for another process.
pub(crate) fn fork_borrowing(mut child: &mut dyn FnMut() -> u8) -> io::Result<Pid> {
    extern "C" fn run(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the caller's reference is alive and used by nobody else: with CLONE_VFORK the caller is
        // suspended as long as this runs.
        let child = unsafe { &mut *argument.cast::<&mut dyn FnMut() -> u8>() };
        exit_now(child())
    }
    let mut stack = vec![0_u128; BORROWER_STACK / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child has a stack of its own, aligned as the platform wants it, which outlives it in this
    // memory, as does `child`. There is one thread, and no handler that could run on the wrong one of the
    // two.
    let id = unsafe { libc::clone(run, stack.as_mut_ptr_range().end.cast(), flags, (&raw mut child).cast()) };
    process_id(id)
}

/// Ends this process at once, without running anything that the parent of a [`fork`] has registered.
pub(crate) fn exit_now(status: u8) -> ! {
    // SAFETY: _exit takes no pointer and does not return.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Closes every descriptor above standard error but those in `keep`. What still owns one of the closed ones
/// in this process must be forgotten, not dropped: this is for forked children, which never return to their
/// parent's code.
///
/// # Errors
/// When the kernel is older than 5.9.
pub(crate) fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = keep.iter().filter_map(|fd| fd.as_raw_fd().try_into().ok()).collect();
    kept.sort_unstable();
    let mut first = FIRST_ABOVE_STANDARD;
    for number in kept {
        if number > first {
            close_range(first, number - 1, 0)?;
        }
        first = first.max(number + 1);
    }
    close_range(first, u32::MAX, 0)
}

/// Lets every descriptor above standard error close on exec.
///
/// # Errors
/// When the kernel is older than 5.11.
pub(crate) fn close_on_exec() -> io::Result<()> {
    close_range(FIRST_ABOVE_STANDARD, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// The first descriptor that is not a standard stream.
const FIRST_ABOVE_STANDARD: u32 = 3;

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: no pointer is passed. That nothing uses the closed numbers afterwards is what the callers above
    // ask for.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) })
}

/// Gives every signal its default action: a parent may have left some ignored, and that is inherited, even
/// through exec.
pub(crate) fn reset_signals() {
    // The kernel's `struct sigaction` is four words at most; all zero is the default action without flags.
    // The C library's own call would refuse the two signals that it keeps for itself.
    let default = [0_u64; 4];
    for signal in 1..=HIGHEST_SIGNAL {
        // SAFETY: `default` is readable for the call, the old action is not asked for, and a set of signals
        // has eight bytes. The default action runs no code of ours. SIGKILL and SIGSTOP are refused, which is
        // fine.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8_usize,
            );
        }
    }
}

/// The highest signal on the machines that this runs on (signal(7)).
const HIGHEST_SIGNAL: libc::c_int = 64;

/// Blocks every signal that can be blocked, and makes the one that tells of ended children readable from a
/// descriptor instead. Forked children inherit the block.
///
/// # Errors
/// When the system has no more descriptors.
pub(crate) fn child_signal() -> io::Result<OwnedFd> {
    set_mask(&signal_set(|set| {
        // SAFETY: the pointer comes from a live reference to an initialised set.
        unsafe { libc::sigfillset(set) };
    }))?;
    let set = signal_set(|set| {
        // SAFETY: as above.
        unsafe { libc::sigaddset(set, libc::SIGCHLD) };
    });
    // SAFETY: `set` is an initialised signal set; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    check(fd.into())?;
    // SAFETY: signalfd returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets every signal through again.
///
/// # Errors
/// Never, on Linux.
pub(crate) fn unblock_signals() -> io::Result<()> {
    set_mask(&signal_set(|_| {}))
}

fn signal_set(fill: impl FnOnce(&mut libc::sigset_t)) -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    fill(&mut set);
    set
}

fn set_mask(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is an initialised signal set; the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) }.into())
}

/// Replaces this process's program. `args` begins with the program's own name.
///
/// Returns only the error.
pub(crate) fn execute(program: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let args = pointers(args);
    let env = pointers(env);
    // SAFETY: all three point to NUL-terminated strings, the arrays end with a null pointer, and all of them
    // outlive the call.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// A child that has ended, and what it used.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Which one.
    pub(crate) pid: Pid,
    /// How.
    pub(crate) status: ExitStatus,
    /// Processor time in user mode, in microseconds.
    pub(crate) user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub(crate) system_us: u64,
    /// The largest resident set, in KiB.
    pub(crate) max_rss_kib: u64,
}

/// Waits until any child has ended, and reaps it.
///
/// # Errors
/// `ECHILD` when there is no child.
pub(crate) fn wait_any() -> io::Result<Ended> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are valid for writes for the time of the call.
        let id = unsafe { libc::wait4(-1, &raw mut status, 0, usage.as_mut_ptr()) };
        let pid = match process_id(id) {
            Ok(pid) => pid,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        // SAFETY: zero is a valid value for every field, and wait4 has filled them in.
        let usage = unsafe { usage.assume_init() };
        return Ok(Ended {
            pid,
            status: ExitStatus::from_raw(status),
            user_us: microseconds(usage.ru_utime),
            system_us: microseconds(usage.ru_stime),
            max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        });
    }
}

/// What a call has returned: an id, or -1 for an error.
fn process_id(returned: libc::pid_t) -> io::Result<Pid> {
    if returned > 0 { Pid::from_raw(returned) } else { None }.ok_or_else(io::Error::last_os_error)
}

fn microseconds(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// Lets files be used with the rights of root while another user is the effective one. That is undone with
/// the next change of the effective user.
pub(crate) fn use_files_as_root() {
    // SAFETY: takes no pointer, and changes only what this thread may do with files.
    unsafe { libc::syscall(libc::SYS_setfsuid, 0) };
}

/// Locks one byte of a file, which must be open for writing, against everybody who has opened it anew; false
/// if somebody has it. The lock goes with the last descriptor of this opening, in whatever process
/// (`F_OFD_SETLK` of fcntl_locking(2)).
///
/// # Errors
/// The system's answer.
pub(crate) fn lock_byte(file: BorrowedFd<'_>, byte: u32) -> io::Result<bool> {
    match set_lock(file, byte, libc::F_WRLCK) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        done => done.map(|()| true),
    }
}

/// Gives a lock back.
///
/// # Errors
/// The system's answer.
pub(crate) fn unlock_byte(file: BorrowedFd<'_>, byte: u32) -> io::Result<()> {
    set_lock(file, byte, libc::F_UNLCK)
}

fn set_lock(file: BorrowedFd<'_>, byte: u32, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: `flock` is plain old data, for which all zeros is a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    // All of these constants fit.
    lock.l_type = libc::c_short::try_from(kind).unwrap_or_default();
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    lock.l_start = byte.into();
    lock.l_len = 1;
    // SAFETY: the structure is valid for the call, which only reads it.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, std::ptr::from_ref(&lock)) }.into())
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn a_byte_is_locked_for_one_opening_of_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || OpenOptions::new().write(true).open(file.path()).unwrap();
        let (one, other) = (open(), open());
        assert!(lock_byte(one.as_fd(), 7).unwrap());
        assert!(lock_byte(one.as_fd(), 7).unwrap(), "it has it already");
        assert!(!lock_byte(other.as_fd(), 7).unwrap());
        assert!(lock_byte(other.as_fd(), 8).unwrap(), "its neighbour is free");
        unlock_byte(one.as_fd(), 7).unwrap();
        assert!(lock_byte(other.as_fd(), 7).unwrap());
        let copy = other.try_clone().unwrap();
        drop(other);
        assert!(!lock_byte(one.as_fd(), 8).unwrap(), "a copy keeps it");
        drop(copy);
        assert!(lock_byte(one.as_fd(), 8).unwrap());
    }
}
