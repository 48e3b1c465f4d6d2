//! Who files and processes belong to: id maps of user namespaces, and mounts that show other owners.
//!
//! Exactly one user and one group are mapped in a sandbox, so everything in it is either the agent's or
//! nobody's. A layer that belongs to another user (root's working copy, say) would be nobody's, and the agent
//! could not change a file of it even in its own layer. As root such a layer is mounted with its one owner
//! shown as the agent; for all others nothing changes. Nothing is changed on disk.

use std::{
    fs,
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
};

use cofferdam_hand::protocol::zygote::Owner;
use rustix::{
    fs::{Mode, OFlags},
    pipe::{PipeFlags, pipe_with},
};

use crate::sys::{
    namespace::{self, Cloned, Namespaces},
    process::exit_now,
};

/// Writes the maps of a process that has just got a user namespace: `inside` ids stand for those of
/// `outside`.
pub(super) fn write_maps(process: &str, inside: (u32, u32), outside: Owner) -> io::Result<()> {
    // As an ordinary user a group may be mapped only after groups can no longer be dropped
    // (user_namespaces(7)).
    write(&format!("{process}/setgroups"), "deny")?;
    write(&format!("{process}/uid_map"), &format!("{} {} 1", inside.0, outside.uid))?;
    write(&format!("{process}/gid_map"), &format!("{} {} 1", inside.1, outside.gid))
}

fn write(path: &str, content: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(content.as_bytes())
}

/// User namespaces that serve as maps for mounts, made when first needed.
pub(super) struct OwnerMaps {
    privileged: bool,
    agent: Owner,
    made: Vec<(Owner, OwnedFd)>,
}

/// More different owners of layers than this are not kept.
const MOST_MAPS: usize = 16;

impl OwnerMaps {
    pub(super) const fn new(privileged: bool, agent: Owner) -> Self {
        Self { privileged, agent, made: Vec::new() }
    }

    /// Shows `mount`'s files as the agent's own if they belong to somebody else. Does nothing where the
    /// system or the filesystem cannot: then the files are nobody's, which is less useful and as safe.
    pub(super) fn show_as_agent(&mut self, mount: &OwnedFd) -> io::Result<()> {
        let status = rustix::fs::fstat(mount)?;
        let owner = Owner { uid: status.st_uid, gid: status.st_gid };
        if !self.privileged || owner.uid == self.agent.uid {
            return Ok(());
        }
        match namespace::map_mount_owners(mount.as_fd(), self.map(owner)?.as_fd()) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM)) => {
                Ok(())
            }
            done => done,
        }
    }

    fn map(&mut self, owner: Owner) -> io::Result<&OwnedFd> {
        let known = self.made.iter().position(|(known, _)| *known == owner);
        let made = match known {
            Some(position) => self.made.remove(position),
            None => (owner, make_map(owner, self.agent)?),
        };
        self.made.truncate(MOST_MAPS - 1);
        self.made.insert(0, made);
        Ok(&self.made[0].1)
    }
}

/// Makes a user namespace in which `owner` stands for `agent`, by way of a process that does nothing else.
fn make_map(owner: Owner, agent: Owner) -> io::Result<OwnedFd> {
    let (wait, hold) = pipe_with(PipeFlags::CLOEXEC)?;
    match namespace::clone_process(Namespaces::USER, None)? {
        Cloned::Parent(pid, _pidfd) => {
            drop(wait);
            let process = format!("/proc/{}", pid.as_raw_nonzero());
            write_maps(&process, (owner.uid, owner.gid), agent)?;
            let map = rustix::fs::open(
                format!("{process}/ns/user"),
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            drop(hold);
            Ok(map)
        }
        Cloned::Child => {
            drop(hold);
            // Ends when the parent has dropped its end, whatever has happened there.
            rustix::io::read(&wait, &mut [0_u8; 1]).ok();
            exit_now(0)
        }
    }
}
