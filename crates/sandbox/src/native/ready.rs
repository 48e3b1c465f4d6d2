//! Descriptors that tokio waits for.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor with the current runtime. It must not block.
///
/// Tokio has deprecated the safe way to do this, as the type of a descriptor in general does not promise that it stays open and the same;
/// an [`OwnedFd`] does promise that, and the new way is not for a crate without unsafe code.
#[expect(
    deprecated,
    reason = "an owned descriptor stays what it is, which is all that the replacement asks for"
)]
pub(super) fn register(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// Waits until there is room in a socket, which there nearly always is. Whoever keeps one registered for that is woken whenever the other side
/// has taken something from it, and that takes time on both sides.
pub(super) async fn room(socket: BorrowedFd<'_>) -> io::Result<()> {
    let socket = register(socket.try_clone_to_owned()?, Interest::WRITABLE)?;
    socket.writable().await.map(drop)
}
