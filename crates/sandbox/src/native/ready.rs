//! Descriptors that tokio waits for.

use std::{io, os::fd::OwnedFd};

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
