//! Who a sandbox is on the host.
//!
//! Where there are ids to give away, each sandbox has a block of them that no other sandbox alive has, so
//! that none can use up what the kernel counts for a user, nor signal or trace another's processes if it ever
//! saw them. Files on disk do not belong to blocks: they all belong to one range that no process ever runs
//! as, and every layer is mounted with that range shown as the sandbox's block. So a layer goes with any
//! block: to a later sandbox of its session, and to many at a time as a lower layer. (A block that is bound
//! to a layer would have to be kept for as long as the layer is, and two sandboxes on one base would still
//! need a map.)
//!
//! Which blocks are in use on this machine is known to the kernel alone, as locks on single bytes of a file.
//! They vanish with the processes that hold them, whatever ends those.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, OwnedFd},
};

use cofferdam_hand::protocol::zygote::{AGENT_ID, Blocks, Ids, Owner};
use rustix::{
    io::Errno,
    thread::{Uid, set_thread_res_uid},
};

use super::{
    groups::{NOW, clone_process, has_ended},
    owner::{IdMap, make_namespace},
};
use crate::sys::{
    namespace::{self, Cloned},
    process,
};

/// Blocks that are kept, with their maps, for sandboxes to come.
const MOST_IDLE: usize = 16;
/// Maps for the layers of other users that are kept with a block.
const MOST_OTHERS: usize = 8;

/// The ids of one sandbox, and maps that show files as its own.
pub(super) struct Identity {
    /// The number of its block; `None` for the user that all sandboxes share.
    number: Option<u32>,
    ids: IdMap,
    /// Shows what is on disk; not needed by those who run as the owner on disk.
    layers: Option<OwnedFd>,
    /// The first id on disk.
    disk: u32,
    /// Shows what belongs to the host's system users, root first.
    system: Option<OwnedFd>,
    /// Show what belongs to one other user as the agent's.
    others: Vec<(Owner, OwnedFd)>,
}

impl Identity {
    const fn shared(owner: Owner) -> Self {
        let ids = IdMap { inside: Owner { uid: AGENT_ID, gid: AGENT_ID }, outside: owner, count: 1 };
        Self { number: None, ids, layers: None, disk: owner.uid, system: None, others: Vec::new() }
    }

    fn block(blocks: Blocks, number: u32) -> io::Result<Self> {
        let ids = blocks.map(number);
        let disk = Owner { uid: blocks.disk, gid: blocks.disk };
        let layers = make_namespace(IdMap { inside: disk, ..ids })?;
        let number = Some(number);
        Ok(Self { number, ids, layers: Some(layers), disk: blocks.disk, system: None, others: Vec::new() })
    }

    /// The map of the sandbox's own user namespace.
    pub(super) const fn ids(&self) -> IdMap {
        self.ids
    }

    /// Clones process 1, in its control group if there is one. Its user namespace belongs to the agent: what
    /// the kernel counts for a user in a namespace it counts once more for whoever made that, and it should
    /// not be the same for all sandboxes (user_namespaces(7)).
    pub(super) fn clone_process(&self, group: Option<&OwnedFd>) -> io::Result<Cloned> {
        if self.is_shared() {
            return clone_process(group);
        }
        set_thread_res_uid(Uid::ROOT, Uid::from_raw(self.agent().uid), Uid::ROOT)?;
        process::use_files_as_root();
        let cloned = clone_process(group);
        match &cloned {
            // The new process has no root that it could be.
            Ok(Cloned::Child) => {}
            Ok(Cloned::Parent(..)) | Err(_) => set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?,
        }
        cloned
    }

    /// Whether other sandboxes may run as the same user.
    pub(super) const fn is_shared(&self) -> bool {
        self.number.is_none()
    }

    /// Shows a layer of the sandbox's own as belonging to it.
    pub(super) fn show_own(&self, mount: &OwnedFd) -> io::Result<()> {
        self.layers.as_ref().map_or(Ok(()), |map| namespace::map_mount_owners(mount.as_fd(), map.as_fd()))
    }

    /// Shows a layer that somebody else has made: what sandboxes have written as it was, anything else with
    /// the owner of its topmost directory as the agent. Where the system or the filesystem cannot, the files
    /// are nobody's, which is less useful and as safe.
    pub(super) fn show(&mut self, mount: &OwnedFd) -> io::Result<()> {
        let status = rustix::fs::fstat(mount)?;
        let owner = Owner { uid: status.st_uid, gid: status.st_gid };
        let shown = if (self.disk..self.disk.saturating_add(self.ids.count)).contains(&owner.uid) {
            self.show_own(mount)
        } else if rustix::process::geteuid().is_root() {
            self.other(owner).and_then(|map| namespace::map_mount_owners(mount.as_fd(), map.as_fd()))
        } else {
            return Ok(());
        };
        match shown {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EPERM)) => {
                Ok(())
            }
            done => done,
        }
    }

    /// Shows a directory of the host's system with the same owners inside: root's is root's.
    pub(super) fn show_system(&mut self, mount: &OwnedFd) -> io::Result<()> {
        if self.ids.inside.uid != 0 {
            // There is nobody inside who could be root.
            return Err(Errno::PERM.into());
        }
        let map = match &self.system {
            Some(map) => map,
            None => self.system.insert(make_namespace(self.ids)?),
        };
        namespace::map_mount_owners(mount.as_fd(), map.as_fd())
    }

    /// A map that shows one user as the agent.
    fn other(&mut self, owner: Owner) -> io::Result<&OwnedFd> {
        let known = self.others.iter().position(|(known, _)| *known == owner);
        let made = match known {
            Some(position) => self.others.remove(position),
            None => (owner, make_namespace(IdMap { inside: owner, outside: self.agent(), count: 1 })?),
        };
        self.others.truncate(MOST_OTHERS - 1);
        self.others.insert(0, made);
        Ok(&self.others[0].1)
    }

    /// Who the agent is on the host.
    const fn agent(&self) -> Owner {
        let IdMap { inside, outside, .. } = self.ids;
        Owner { uid: outside.uid + (AGENT_ID - inside.uid), gid: outside.gid + (AGENT_ID - inside.gid) }
    }
}

/// The identities of all sandboxes of one zygote.
pub(super) struct Identities {
    /// Who sandboxes are that share a user.
    shared: Owner,
    /// The blocks that there are, if any, and the file whose bytes stand for them.
    blocks: Option<(Blocks, OwnedFd)>,
    /// Locked, and not used now.
    idle: Vec<Identity>,
    used: Vec<Used>,
}

/// The identity of a sandbox.
struct Used {
    /// The sandbox's number.
    number: u64,
    /// Its process 1, whose end is the sandbox's.
    pidfd: OwnedFd,
    identity: Identity,
}

impl Identities {
    /// `lock` is the file that has a byte for each block, if there are blocks.
    pub(super) fn new(ids: Ids, lock: Option<OwnedFd>) -> io::Result<Self> {
        let (shared, blocks) = match (ids, lock) {
            (Ids::Shared(owner), _) => (owner, None),
            (Ids::Blocks(blocks), Some(lock)) => (blocks.agent_on_disk(), Some((blocks, lock))),
            (Ids::Blocks(_), None) => return Err(Errno::BADF.into()),
        };
        Ok(Self { shared, blocks, idle: Vec::new(), used: Vec::new() })
    }

    /// An identity that no sandbox alive has; or, where that is asked for or there is no other, the one that
    /// all share. If it is dropped rather than [settled](Self::settle), its block is free again.
    pub(super) fn take(&mut self, shared: bool) -> io::Result<Identity> {
        self.reclaim();
        let shared = shared || self.blocks.is_none();
        let idle = self.idle.iter().rposition(|identity| identity.is_shared() == shared);
        match idle {
            Some(at) => Ok(self.idle.remove(at)),
            None if shared => Ok(Identity::shared(self.shared)),
            None => self.claim(),
        }
    }

    /// The identity is that of this sandbox until its process 1 has ended.
    pub(super) fn settle(&mut self, number: u64, identity: Identity, pidfd: OwnedFd) {
        self.used.push(Used { number, pidfd, identity });
    }

    /// The identity of a sandbox.
    pub(super) fn of(&mut self, number: u64) -> Option<&mut Identity> {
        let used = self.used.iter_mut().find(|used| used.number == number);
        used.map(|used| &mut used.identity)
    }

    /// Makes ready what the next sandbox needs, while nobody waits.
    pub(super) fn get_ready(&mut self) {
        self.reclaim();
        if self.blocks.is_none() || !self.idle.is_empty() {
            return;
        }
        // Whatever is wrong will show when it is needed.
        let Ok(mut identity) = self.claim() else { return };
        let last = self.used.last().map_or(&[][..], |used| &used.identity.others);
        for (owner, _) in last.iter().rev() {
            identity.other(*owner).ok();
        }
        self.idle.push(identity);
    }

    /// Locks a block that nobody on this machine has.
    fn claim(&self) -> io::Result<Identity> {
        let Some((blocks, lock)) = &self.blocks else { return Err(Errno::BADF.into()) };
        // A lock does not keep us out of our own.
        let ours = self.idle.iter().chain(self.used.iter().map(|used| &used.identity));
        let ours: BTreeSet<u32> = ours.filter_map(|identity| identity.number).collect();
        for number in (0..blocks.count).filter(|number| !ours.contains(number)) {
            if process::lock_byte(lock.as_fd(), number)? {
                return Identity::block(*blocks, number);
            }
        }
        Err(Errno::DQUOT.into())
    }

    /// Takes back the identities of sandboxes that have ended.
    fn reclaim(&mut self) {
        let (ended, used) = std::mem::take(&mut self.used)
            .into_iter()
            .partition::<Vec<_>, _>(|used| has_ended(&used.pidfd, NOW));
        self.used = used;
        for Used { identity, .. } in ended {
            if self.idle.len() < MOST_IDLE {
                self.idle.push(identity);
            } else if let (Some(number), Some((_, lock))) = (identity.number, &self.blocks) {
                // If that cannot be done, it is ours for longer than it need be.
                process::unlock_byte(lock.as_fd(), number).ok();
            }
        }
    }
}

/// What a block of this number is mapped to.
trait Numbered {
    fn map(&self, number: u32) -> IdMap;
}

impl Numbered for Blocks {
    fn map(&self, number: u32) -> IdMap {
        let first = self.first.saturating_add(number.saturating_mul(self.size));
        let inside = if self.size == 1 { AGENT_ID } else { 0 };
        IdMap {
            inside: Owner { uid: inside, gid: inside },
            outside: Owner { uid: first, gid: first },
            count: self.size,
        }
    }
}

/// The map that the first sandbox would have.
pub(super) fn first_map(ids: Ids) -> IdMap {
    match ids {
        Ids::Shared(owner) => Identity::shared(owner).ids,
        Ids::Blocks(blocks) => blocks.map(0),
    }
}
