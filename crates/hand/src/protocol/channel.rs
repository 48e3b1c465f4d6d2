//! The socket that carries frames, and descriptors with them: unix domain, `SOCK_SEQPACKET`, so that one send
//! is one receive.
//!
//! The calls do not wait on a non-blocking socket: [`ChannelError::System`] then holds `WouldBlock`. Received
//! descriptors close on exec.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};

use super::frame::{self, FrameError, Message};

/// Why nothing could be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other side has closed its end.
    #[error("the other side has closed the connection")]
    Closed,
    /// A packet was longer than the bound of what is expected here; its rest is lost.
    #[error("a packet was over the bound of {0} bytes")]
    TooLong(usize),
    /// More descriptors came with a packet than may come. All of them are closed.
    #[error("more than {0} descriptors came with one packet")]
    TooManyDescriptors(usize),
    /// The packet is no frame, or the message does not fit in one.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The system's answer.
    #[error("the control socket failed")]
    System(#[from] io::Error),
}

/// A message that has arrived, with its descriptors.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// The descriptors, in the order in which they were sent.
    pub descriptors: Vec<OwnedFd>,
}

/// Makes the two ends of a channel. Both close on exec and wait by default.
///
/// # Errors
/// When the system has no more descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends a message with descriptors. The receiver gets copies of them.
///
/// # Errors
/// When the message does not fit in a frame, there are more descriptors than its kind allows, or the socket
/// fails.
pub fn send<M: Message>(
    socket: impl AsFd,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), ChannelError> {
    if descriptors.len() > M::MAX_DESCRIPTORS {
        return Err(ChannelError::TooManyDescriptors(M::MAX_DESCRIPTORS));
    }
    let bytes = frame::encode(message)?;
    let mut space = ancillary_space::<M>();
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(ChannelError::TooManyDescriptors(M::MAX_DESCRIPTORS));
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::PIPE) => return Err(ChannelError::Closed),
            Err(errno) => return Err(ChannelError::System(errno.into())),
        }
    }
}

/// Receives one message. Whatever is wrong with a packet, its descriptors are closed and the packet is used
/// up.
///
/// # Errors
/// When the packet is not exactly one frame of the expected kind, or the socket fails or is closed.
pub fn receive<M: Message>(socket: impl AsFd) -> Result<Received<M>, ChannelError> {
    // Most messages are far shorter than they may be, and memory that is not touched costs nothing: in a process that has
    // just been forked each page of it is copied.
    let length = waiting_bytes(&socket)?.clamp(1, M::MAX_FRAME);
    let mut buffer = vec![0; length];
    let mut space = ancillary_space::<M>();
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let flags = RecvFlags::CMSG_CLOEXEC;
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags) {
            Ok(received) => break received,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(errno) => return Err(ChannelError::System(errno.into())),
        }
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() > M::MAX_DESCRIPTORS {
        return Err(ChannelError::TooManyDescriptors(M::MAX_DESCRIPTORS));
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(ChannelError::TooLong(M::MAX_FRAME));
    }
    if received.bytes == 0 {
        return Err(ChannelError::Closed);
    }
    let message = frame::decode(buffer.get(..received.bytes).unwrap_or_default())?;
    Ok(Received { message, descriptors })
}

/// Waits for a packet, and says how long it is; 0 at the end of the connection. The packet stays where it is.
fn waiting_bytes(socket: impl AsFd) -> Result<usize, ChannelError> {
    loop {
        match recv(&socket, &mut [0_u8; 0], RecvFlags::PEEK | RecvFlags::TRUNC) {
            Ok((_, length)) => return Ok(length),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Err(ChannelError::Closed),
            Err(errno) => return Err(ChannelError::System(errno.into())),
        }
    }
}

fn ancillary_space<M: Message>() -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(M::MAX_DESCRIPTORS))]
}
