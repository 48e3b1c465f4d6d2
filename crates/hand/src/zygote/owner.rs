//! Maps of user namespaces, also those that show the files of a mount as somebody else's. Nothing is changed
//! on disk.

use std::{
    fs,
    io::{self, Write as _},
    os::fd::OwnedFd,
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

/// As many ids from `inside` on stand for those from `outside` on, users and groups alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IdMap {
    pub(super) inside: Owner,
    pub(super) outside: Owner,
    pub(super) count: u32,
}

/// Whether processes of a namespace may change their supplementary groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupChanges {
    /// They may, given the capability for it.
    Permitted,
    /// They may not, whatever they are. As an ordinary user a group may be mapped only then
    /// (user_namespaces(7)).
    Denied,
}

/// Writes the maps of a process that has just got a user namespace.
pub(super) fn write_maps(process: &str, map: IdMap, groups: GroupChanges) -> io::Result<()> {
    let IdMap { inside, outside, count } = map;
    match groups {
        GroupChanges::Permitted => {}
        GroupChanges::Denied => write(&format!("{process}/setgroups"), "deny")?,
    }
    write(&format!("{process}/uid_map"), &format!("{} {} {count}", inside.uid, outside.uid))?;
    write(&format!("{process}/gid_map"), &format!("{} {} {count}", inside.gid, outside.gid))
}

fn write(path: &str, content: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(content.as_bytes())
}

/// Makes a user namespace that serves as a map for mounts, by way of a process that does nothing else.
pub(super) fn make_namespace(map: IdMap) -> io::Result<OwnedFd> {
    let (wait, hold) = pipe_with(PipeFlags::CLOEXEC)?;
    match namespace::clone_process(Namespaces::USER, None)? {
        Cloned::Parent(pid, _pidfd) => {
            drop(wait);
            let process = format!("/proc/{}", pid.as_raw_nonzero());
            write_maps(&process, map, GroupChanges::Denied)?;
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
