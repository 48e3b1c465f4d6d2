//! System calls that nothing in a sandbox may be able to make, in forms that would do no harm if they could
//! be made: their arguments are invalid, name nothing, or change only the process that makes them. For the
//! self-test, in a process that is forked for it.

use std::{ffi::CStr, io};

use libc::{c_int, c_long};

use super::process::{self, Fork};

/// A call, and with which errors it may be refused.
pub(crate) struct Attempt {
    /// What a person would call it.
    pub(crate) name: &'static str,
    number: c_long,
    arguments: Arguments,
    refusals: &'static [c_int],
}

/// Arguments that are numbers only, or have a path among them.
#[derive(Clone, Copy)]
enum Arguments {
    Plain([c_long; 5]),
    /// The second one is this path.
    Path([c_long; 5], &'static CStr),
    /// The first one is this path.
    PathFirst(&'static CStr, [c_long; 4]),
}

const PERM: &[c_int] = &[libc::EPERM];
const NOSYS: &[c_int] = &[libc::ENOSYS];
const NO_FAMILY: &[c_int] = &[libc::EAFNOSUPPORT];
const NO_PROTOCOL: &[c_int] = &[libc::EPROTONOSUPPORT];
/// The capability that is missing; or there is no root to become.
const NO_ROOT: &[c_int] = &[libc::EPERM, libc::EINVAL];
/// Landlock and the capability that is missing.
const NO_DEVICE: &[c_int] = &[libc::EACCES, libc::EPERM];
const NOWHERE: c_long = libc::AT_FDCWD as c_long;
/// Process 1.
const FIRST: c_long = 1;
/// `linux/ptrace.h`: attaches without stopping.
const PTRACE_SEIZE: c_long = 0x4206;
/// `linux/personality.h`.
const READ_IMPLIES_EXEC: c_long = 0x0040_0000;
const NEW_LISTENER: c_long = 8;
/// Of the kernel's log: only its size is asked for (`SYSLOG_ACTION_SIZE_BUFFER`).
const LOG_SIZE: c_long = 10;
/// `linux/keyctl.h`: asks which the session's keyring is, without making one.
const KEYRING_ID: [c_long; 5] = [0, -3, 0, 0, 0];
/// The name of one of the attempts.
pub(crate) const DEVICE_NODES: &str = "device nodes";
/// Where a device node would be made.
const DEVICE: &CStr = c"/tmp/.cofferdam-self-test";

const fn call(
    name: &'static str,
    number: c_long,
    arguments: [c_long; 5],
    refusals: &'static [c_int],
) -> Attempt {
    Attempt { name, number, arguments: Arguments::Plain(arguments), refusals }
}

const fn at(name: &'static str, number: c_long, path: &'static CStr, arguments: [c_long; 5]) -> Attempt {
    Attempt { name, number, arguments: Arguments::Path(arguments, path), refusals: PERM }
}

const fn socket(name: &'static str, arguments: [c_int; 3], refusals: &'static [c_int]) -> Attempt {
    let [family, kind, protocol] = arguments;
    call(name, libc::SYS_socket, [family as c_long, kind as c_long, protocol as c_long, 0, 0], refusals)
}

/// All of them.
#[rustfmt::skip]
pub(crate) const ATTEMPTS: &[Attempt] = &[
    call("a user namespace", libc::SYS_unshare, [libc::CLONE_NEWUSER as c_long, 0, 0, 0, 0], PERM),
    call("a mount namespace", libc::SYS_unshare, [libc::CLONE_NEWNS as c_long, 0, 0, 0, 0], PERM),
    call("a network namespace", libc::SYS_unshare, [libc::CLONE_NEWNET as c_long, 0, 0, 0, 0], PERM),
    call("a cloned user namespace", libc::SYS_clone, [(libc::CLONE_NEWUSER | libc::SIGCHLD) as c_long, 0, 0, 0, 0], PERM),
    call("clone3", libc::SYS_clone3, [0; 5], NOSYS),
    call("entering a namespace", libc::SYS_setns, [-1, 0, 0, 0, 0], PERM),
    call("mount", libc::SYS_mount, [0; 5], PERM),
    call("umount", libc::SYS_umount2, [0; 5], PERM),
    call("pivot_root", libc::SYS_pivot_root, [0; 5], PERM),
    Attempt { name: "chroot", number: libc::SYS_chroot, arguments: Arguments::PathFirst(c"/", [0; 4]), refusals: PERM },
    at("open_tree", libc::SYS_open_tree, c"/", [NOWHERE, 0, 1, 0, 0]),
    call("fsopen", libc::SYS_fsopen, [0; 5], PERM),
    call("tracing process 1", libc::SYS_ptrace, [PTRACE_SEIZE, FIRST, 0, 0, 0], PERM),
    call("reading another process's memory", libc::SYS_process_vm_readv, [FIRST, 0, 0, 0, 0], PERM),
    call("taking another process's descriptors", libc::SYS_pidfd_getfd, [-1, 0, 0, 0, 0], PERM),
    call("process 1's limits", libc::SYS_prlimit64, [FIRST, libc::RLIMIT_CORE as c_long, 0, 0, 0], PERM),
    call("io_uring", libc::SYS_io_uring_setup, [0; 5], NOSYS),
    call("bpf", libc::SYS_bpf, [-1, 0, 0, 0, 0], PERM),
    call("userfaultfd", libc::SYS_userfaultfd, [-1, 0, 0, 0, 0], PERM),
    call("keyctl", libc::SYS_keyctl, KEYRING_ID, PERM),
    call("add_key", libc::SYS_add_key, [0; 5], PERM),
    call("performance events", libc::SYS_perf_event_open, [0, 0, -1, -1, 0], PERM),
    socket("AF_VSOCK", [libc::AF_VSOCK, libc::SOCK_STREAM, 0], NO_FAMILY),
    socket("AF_PACKET", [libc::AF_PACKET, libc::SOCK_RAW, 0], NO_FAMILY),
    socket("AF_ALG", [libc::AF_ALG, libc::SOCK_SEQPACKET, 0], NO_FAMILY),
    socket("raw sockets", [libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP], NO_PROTOCOL),
    socket("netfilter", [libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER], NO_FAMILY),
    socket("audit", [libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_AUDIT], NO_FAMILY),
    call("TIOCSTI", libc::SYS_ioctl, [-1, libc::TIOCSTI as c_long, 0, 0, 0], PERM),
    call("TIOCLINUX", libc::SYS_ioctl, [-1, libc::TIOCLINUX as c_long, 0, 0, 0], PERM),
    call("personality", libc::SYS_personality, [READ_IMPLIES_EXEC, 0, 0, 0, 0], PERM),
    call("a filter that asks a listener", libc::SYS_seccomp, [libc::SECCOMP_SET_MODE_FILTER as c_long, NEW_LISTENER, 0, 0, 0], PERM),
    call("file handles", libc::SYS_open_by_handle_at, [-1, 0, 0, 0, 0], PERM),
    call("kexec", libc::SYS_kexec_load, [0, 0, 0, -1, 0], PERM),
    call("kernel modules", libc::SYS_init_module, [0; 5], PERM),
    call("reboot", libc::SYS_reboot, [0; 5], PERM),
    call("the kernel's log", libc::SYS_syslog, [LOG_SIZE, 0, 0, 0, 0], PERM),
    call("fanotify", libc::SYS_fanotify_init, [-1, 0, 0, 0, 0], PERM),
    call("becoming root", libc::SYS_setuid, [0; 5], NO_ROOT),
    Attempt {
        name: DEVICE_NODES,
        number: libc::SYS_mknodat,
        // /dev/null's numbers, three bits of mode.
        arguments: Arguments::Path([NOWHERE, 0, (libc::S_IFCHR | 0o600) as c_long, 0x103, 0], DEVICE),
        refusals: NO_DEVICE,
    },
];

impl Attempt {
    /// Makes the call; says what came of it if that is not what should have.
    pub(crate) fn make(&self) -> Result<(), String> {
        let [one, two, three, four, five] = match self.arguments {
            Arguments::Plain(arguments) => arguments,
            Arguments::Path([one, _, three, four, five], path) => {
                [one, path.as_ptr() as c_long, three, four, five]
            }
            Arguments::PathFirst(path, [two, three, four, five]) => {
                [path.as_ptr() as c_long, two, three, four, five]
            }
        };
        // SAFETY: every row above passes null pointers, pointers to static strings, or numbers, to calls that
        // write to no memory then. The one that could make another process has no flag by which that would
        // share memory with this one.
        let result = unsafe { libc::syscall(self.number, one, two, three, four, five, 0) };
        let error = io::Error::last_os_error();
        if result == 0 && self.number == libc::SYS_clone {
            process::exit_now(0);
        }
        match error.raw_os_error().filter(|_| result < 0) {
            Some(errno) if self.refusals.contains(&errno) => Ok(()),
            Some(_) => Err(error.to_string()),
            None => Err("it is possible".to_owned()),
        }
    }
}

/// Ways to make a call that go round a filter for the machine's own way; each must be the end of the process
/// that tries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Detour {
    /// The calls of 32-bit programs.
    #[cfg(target_arch = "x86_64")]
    Interrupt,
    /// Numbers of the x32 interface.
    #[cfg(target_arch = "x86_64")]
    X32,
}

impl Detour {
    /// All that this machine has.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const ALL: &[(&'static str, Self)] =
        &[("system calls of 32-bit programs", Self::Interrupt), ("x32 system calls", Self::X32)];
    /// All that this machine has.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) const ALL: &[(&'static str, Self)] = &[];

    /// Tries it in a fork; the signal that this was killed with for it.
    pub(crate) fn killed_by(self) -> io::Result<Option<c_int>> {
        match process::fork()? {
            Fork::Child => {
                self.take();
                process::exit_now(0)
            }
            Fork::Parent(child) => {
                let ended = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())?;
                Ok(ended.and_then(|(_, status)| status.terminating_signal()))
            }
        }
    }

    /// Asks for the own process id, the long way round.
    fn take(self) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Interrupt => {
                // SAFETY: `getpid` of 32-bit programs takes nothing and changes no memory; the registers that
                // the kernel may change are named.
                unsafe {
                    std::arch::asm!(
                        "int 0x80",
                        inlateout("rax") 20_u64 => _,
                        lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
                    );
                }
            }
            #[cfg(target_arch = "x86_64")]
            Self::X32 => {
                // SAFETY: `getpid` takes nothing and changes no memory.
                unsafe { libc::syscall(0x4000_0000 | libc::SYS_getpid) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_walls_calls_fail_for_another_reason_or_not_at_all() {
        // In a thread of its own, which is all that any of these could change.
        let tried = std::thread::spawn(|| {
            let harmless =
                ["clone3", "taking another process's descriptors", "TIOCSTI", "personality", "io_uring"];
            let tried = ATTEMPTS.iter().filter(|attempt| harmless.contains(&attempt.name));
            tried.map(|attempt| (attempt.name, attempt.make())).collect::<Vec<_>>()
        });
        let tried = tried.join().unwrap();
        assert_eq!(tried.len(), 5);
        for (name, result) in tried {
            // A host may have switched it off for everybody.
            assert!(result.is_err() || name == "io_uring", "{name}");
        }
    }
}
