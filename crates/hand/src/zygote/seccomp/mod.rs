//! The system call filter of every sandbox.
//!
//! It is an allow-list: a call that is not named in [`calls`] does not exist. Where that matters, arguments
//! are compared as well. What is left out, compared with the usual profile of container engines: everything
//! that makes or enters namespaces or mounts, `io_uring` (a second way to do what is filtered here), `bpf`,
//! `userfaultfd`, keyrings, performance events, access to other processes' memory and descriptors, file
//! handles, sockets of other families than local, internet and routing information, raw sockets, and other
//! processes' limits. A program can still be debugged by its own user (`ptrace`): process 1 cannot be, as it
//! is not dumpable.
//!
//! The kernel runs the filter for each call, so it is a balanced tree of number ranges ([`tree`]) rather than
//! a list: a fifth of the time to load, and at most eight comparisons.

mod calls;
mod tree;

use std::io;

use crate::sys::namespace::Instruction;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// It is carried out.
    Allow,
    /// It fails with this error number.
    Refuse(u16),
    /// The process is killed: no honest program does this.
    Kill,
    /// It depends on an argument.
    Check(Check),
}

/// Rules that look at arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// `clone`: no new namespaces.
    Clone,
    /// `socket`, `socketpair`: few families, and of the internet's only what carries TCP and UDP.
    Socket,
    /// `ioctl`: nothing that types into a terminal or changes what drives it.
    Ioctl,
    /// `prctl`: nothing about the layout of memory or the treatment of user 0.
    Prctl,
    /// `prlimit64`: only of the process itself.
    OwnLimits,
    /// `personality`: nothing that weakens memory protection.
    Personality,
    /// `seccomp`: more filters, but none that hands calls to another process.
    Seccomp,
}

/// The filter for this machine's architecture.
///
/// # Errors
/// When it would be longer than the kernel takes.
pub(super) fn filter() -> io::Result<Vec<Instruction>> {
    tree::compile(&calls::rules())
}

#[cfg(test)]
mod tests;
