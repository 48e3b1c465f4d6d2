//! What processes of a sandbox may do beyond what anybody may: capabilities, and how they are given up.
//!
//! In most sandboxes nobody may do anything. Where root may change the system, process 1 keeps what it takes
//! to start both kinds of command and to kill them, and holds nearly all of it in reserve: it acts as the
//! agent. All of this is worth something inside the sandbox's user namespace only: on the host, its root is
//! an unknown user without any capability.

use std::io;

use rustix::{
    io::Errno,
    process::{DumpableBehavior, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, Gid, Uid, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

/// What root may do inside: with files whatever their owner and mode, become others, and signal anybody. Not
/// among it: mounts, networks, devices, tracing, and everything that concerns the machine.
const ROOT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP);
/// What process 1 keeps where there is a root: the same, and what it takes to give up more for good.
const RESERVE: CapabilitySet = ROOT.union(CapabilitySet::SETPCAP);
/// The group that sees all processes in `/proc`; only process 1 is in it. Not the last id of all, which
/// stands for "no change" in old calls.
pub(crate) const OVERSEER_GROUP: u32 = 65_533;

/// What process 1 keeps of its privileges when its sandbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing: there is no root.
    Nothing,
    /// What it takes to start commands as root.
    ToStartRoot,
}

/// In process 1, which goes on with all privileges for now: makes sure that no program that it runs can ever get more than is to be kept.
///
/// # Errors
/// The system's answer.
pub(crate) fn bound(keep: Keep) -> rustix::io::Result<()> {
    clear_ambient_capability_set()?;
    limit(match keep {
        Keep::Nothing => CapabilitySet::empty(),
        Keep::ToStartRoot => RESERVE,
    })
}

/// In process 1, after [`bound`]: gives up all privileges but what is to be kept.
///
/// # Errors
/// The system's answer.
pub(crate) fn give_up(keep: Keep) -> rustix::io::Result<()> {
    let (permitted, effective) = match keep {
        Keep::Nothing => (CapabilitySet::empty(), CapabilitySet::empty()),
        Keep::ToStartRoot => {
            set_thread_groups(&[Gid::from_raw(OVERSEER_GROUP)])?;
            (RESERVE, CapabilitySet::KILL)
        }
    };
    set(permitted, effective)?;
    set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Whether this process 1 can start commands as root: whether it has kept exactly what that takes.
///
/// # Errors
/// Never, on Linux.
pub(crate) fn can_start_root() -> io::Result<bool> {
    Ok(capabilities(None)?.permitted == RESERVE)
}

/// In a fork of process 1: becomes the agent for good. Where there is no root, process 1 is nothing else
/// anyway.
///
/// # Errors
/// The system's answer.
pub(crate) fn become_agent() -> io::Result<()> {
    if can_start_root()? {
        set(RESERVE, RESERVE)?;
        set_thread_groups(&[])?;
        limit(CapabilitySet::empty())?;
        set(CapabilitySet::empty(), CapabilitySet::empty())?;
    }
    Ok(())
}

/// In a fork of process 1: becomes root for good, if there is one.
///
/// # Errors
/// `EPERM` when there is none.
pub(crate) fn become_root() -> io::Result<()> {
    if !can_start_root()? {
        return Err(Errno::PERM.into());
    }
    set(RESERVE, RESERVE)?;
    set_thread_groups(&[])?;
    limit(ROOT)?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    set(ROOT, ROOT)?;
    // Taken back by the change of user, or not, as a setting of the host says.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Bounds what this process and its descendants can ever have.
fn limit(most: CapabilitySet) -> rustix::io::Result<()> {
    for capability in CapabilitySet::all().difference(most).iter() {
        match remove_capability_from_bounding_set(capability) {
            // A kernel that does not know it does not have it either.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn set(permitted: CapabilitySet, effective: CapabilitySet) -> rustix::io::Result<()> {
    set_capabilities(None, CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() })
}
