//! The watcher that waits for its command.
//!
//! Making a copy of process 1 is a good part of what the start of a command takes. So one watcher is forked ahead, while nobody
//! waits, and told its command when there is one. Until then it holds nothing but the socket for that and the one to report on; like any
//! watcher it can be killed from inside, and then the next command gets a new one, also where it was killed before it heard of the command.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError},
    message::{Request, RequestBody, RequestId, Start},
};
use rustix::process::{Pid, Signal, kill_process};

use super::command::{self, Standard};
use crate::sys::process::{self, Fork};

/// A watcher without a command.
#[derive(Debug)]
pub(super) struct Spare {
    /// Its process.
    pub(super) pid: Pid,
    orders: OwnedFd,
}

impl Spare {
    /// Forks one. What becomes of its command is reported on `report`.
    ///
    /// # Errors
    /// When there is no room for another process.
    pub(super) fn fork(report: BorrowedFd<'_>) -> io::Result<Self> {
        let (orders, theirs) = channel::pair()?;
        match process::fork()? {
            Fork::Parent(pid) => Ok(Self { pid, orders }),
            Fork::Child => process::exit_now(u8::from(wait(&theirs, report).is_err())),
        }
    }

    /// Tells it its command; gives that back if it is no longer there.
    pub(super) fn employ(
        self,
        id: RequestId,
        start: Start,
        streams: Standard,
    ) -> Result<Employed, Box<Unheard>> {
        let request = Request { id, body: RequestBody::Start(start.clone()) };
        // Somebody may have stopped it.
        let told = kill_process(self.pid, Signal::CONT).is_ok()
            && channel::send(&self.orders, &request, &streams.descriptors()).is_ok();
        let unheard = Unheard { id, start, streams };
        if told {
            Ok(Employed { pid: self.pid, orders: self.orders, unheard })
        } else {
            Err(Box::new(unheard))
        }
    }
}

/// A command that no watcher has.
pub(super) struct Unheard {
    pub(super) id: RequestId,
    pub(super) start: Start,
    pub(super) streams: Standard,
}

/// A watcher that was told its command and has not reported yet.
pub(super) struct Employed {
    pub(super) pid: Pid,
    orders: OwnedFd,
    unheard: Unheard,
}

impl Employed {
    /// Which request it works for.
    pub(super) const fn id(&self) -> RequestId {
        self.unheard.id
    }

    /// Once it has ended: its command, if it did not come to hear of that. A socket whose other end was closed with something unread in it is
    /// reset, and ends otherwise (unix(7)).
    pub(super) fn unheard(self) -> Option<Unheard> {
        let reset = rustix::net::recv(&self.orders, &mut [0_u8; 1][..], rustix::net::RecvFlags::DONTWAIT);
        (reset.err() == Some(rustix::io::Errno::CONNRESET)).then_some(self.unheard)
    }
}

/// The whole life of one.
fn wait(orders: &OwnedFd, report: BorrowedFd<'_>) -> io::Result<()> {
    process::close_all_but(&[orders.as_fd(), report])?;
    command::become_watcher()?;
    let received = match channel::receive::<Request>(orders) {
        Ok(received) => received,
        // Nobody needs it.
        Err(ChannelError::Closed) => return Ok(()),
        Err(error) => return Err(io::Error::other(error)),
    };
    let mut descriptors = received.descriptors.into_iter();
    let (Request { id, body: RequestBody::Start(start) }, Some(first)) =
        (received.message, descriptors.next())
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let streams = Standard::new(first, descriptors.next(), start.streams);
    command::watch_over(id, &start, &streams, report)
}
