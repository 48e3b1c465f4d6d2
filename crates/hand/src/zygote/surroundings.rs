//! The network and IPC namespaces of sandboxes to come, made ahead of them.
//!
//! A network namespace takes the kernel longer than all other namespaces together, and nothing in it depends on whom it
//! is for. So the zygote makes it while nobody waits, and goes there when the sandbox is begun, so that its process 1 is born
//! there. Each is one sandbox's and is never used again. As it belongs to the zygote's user namespace, whoever
//! might get hold of every privilege in the sandbox's own has none over the network that he is in.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use cofferdam_hand::protocol::zygote::{Failure, Network};
use rustix::{
    fs::{Mode, OFlags, open},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{network, step::Step as _};
use crate::sys::namespace;

/// What the zygote knows of places where sandboxes can be.
pub(super) struct Surroundings {
    /// Where the zygote itself belongs.
    home: Place,
    /// What has been wanted so far.
    kinds: Vec<Network>,
    /// For some of those one that no sandbox has been in.
    unused: Vec<Made>,
}

/// A network namespace and an IPC namespace.
struct Place {
    network: OwnedFd,
    ipc: OwnedFd,
}

/// A place for a sandbox, with the sockets of its door.
struct Made {
    kind: Network,
    place: Place,
    door: Vec<OwnedFd>,
}

impl Surroundings {
    /// The zygote is where it belongs.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { home: Place::current()?, kinds: Vec::new(), unused: Vec::new() })
    }

    /// Moves the zygote to a place of this kind; whoever is cloned next has that to himself. The sockets of the
    /// sandbox's door.
    pub(super) fn enter(&mut self, kind: Network) -> Result<Vec<OwnedFd>, Failure> {
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
        let Some(at) = self.unused.iter().position(|made| made.kind == kind) else { return make(kind) };
        let Made { place, door, .. } = self.unused.swap_remove(at);
        place.enter().step("enter network and IPC namespaces")?;
        Ok(door)
    }

    /// Moves the zygote back to where it belongs.
    pub(super) fn leave(&self) -> Result<(), Failure> {
        self.home.enter().step("leave network and IPC namespaces")
    }

    /// Makes one of each kind ahead of time. What cannot be made is tried again when it is needed, and then the error is
    /// told.
    pub(super) fn get_ready(&mut self) {
        for kind in self.kinds.clone() {
            if self.unused.iter().all(|made| made.kind != kind)
                && let Ok(door) = make(kind)
                && let Ok(place) = Place::current()
            {
                self.unused.push(Made { kind, place, door });
            }
        }
        // As it was before: otherwise it is done before the next sandbox.
        self.leave().ok();
    }
}

/// Moves the zygote to a new place.
fn make(kind: Network) -> Result<Vec<OwnedFd>, Failure> {
    namespace::unshare_surroundings().step("make network and IPC namespaces")?;
    network::open(kind)
}

impl Place {
    /// Where this process is.
    fn current() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let open = |name: &str| open(format!("/proc/self/ns/{name}"), flags, Mode::empty());
        Ok(Self { network: open("net")?, ipc: open("ipc")? })
    }

    fn enter(&self) -> rustix::io::Result<()> {
        move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network))?;
        let ipc = Some(LinkNameSpaceType::InterProcessCommunication);
        move_into_link_name_space(self.ipc.as_fd(), ipc)
    }
}
