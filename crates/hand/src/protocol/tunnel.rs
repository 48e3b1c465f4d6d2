//! The tunnel: how a host talks to a hand when only two streams of bytes lie between them, as with a container
//! engine or a virtual machine.
//!
//! The hand itself knows nothing of it. Inside, a relay holds the other end of the hand's control socket; outside,
//! the host's end does the same for whoever asks. Between them travel the very requests and replies of
//! [`super::message`], and, as descriptors cannot, what passes through them: input, output, content, and the
//! connections of an egress door. Each of these is a stream of its own with a window, so that one that nobody reads
//! holds up no other.
//!
//! On the wire each message is its length (four bytes, little endian) and a frame ([`super::frame`]). The first
//! message of the relay is [`Up::Ready`].

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    frame::{self, FrameError, Message},
    message::{Reply, Request, RequestId},
    text::Bytes,
};

/// The argument that makes the hand program a relay.
pub const RELAY_ROLE: &str = "relay";
/// The argument after that which gives a relay an egress door: see [`Up::Connected`].
pub const RELAY_DOOR: &str = "door";

/// The most bytes of one piece of a stream.
pub const PIECE: usize = 64 << 10;
/// Bytes of one stream that may be on their way in one direction, before the other side has given credit for more.
pub const WINDOW: u64 = 1 << 20;
/// The most connections at a time.
pub const MAX_CONNECTIONS: usize = 512;

/// What a piece belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StreamId {
    /// A request: its input or content on the way in, its output or results on the way out.
    Request(RequestId),
    /// A connection, by its number.
    Connection(u64),
}

/// Characters of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// In a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// What happens to a stream, in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flow {
    /// Some more of it, at most [`PIECE`] bytes.
    Piece(Bytes),
    /// There is no more of it.
    End,
    /// So many bytes of it have been taken; as many more may come.
    Credit(u32),
    /// Nobody reads or writes it any more.
    Close,
}

/// From the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Down {
    /// Asks the hand.
    Ask {
        /// What. The content of a [`super::message::RequestBody::Write`] follows as its stream.
        request: Request,
        /// The size of its terminal, if it starts a command at one.
        size: Option<Size>,
    },
    /// Changes the size of a command's terminal.
    Resize {
        /// The request that started the command.
        id: RequestId,
        /// The new size.
        size: Size,
    },
    /// Of a stream.
    Stream(StreamId, Flow),
}

/// From the relay. The host takes every word of it as untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Up {
    /// The hand can be asked.
    Ready {
        /// The version of Landlock that is in force; 0 for none.
        landlock: u32,
    },
    /// The hand has answered. What belongs to the answer has come before it.
    Answer(Reply),
    /// Somebody has connected to the door ([`super::zygote::PROXY_PORT`] of 127.0.0.1). Numbers are never used
    /// twice.
    Connected(u64),
    /// Of a stream.
    Stream(StreamId, Flow),
}

impl Message for Down {
    const KIND: [u8; 4] = *b"CofD";
    const MAX_FRAME: usize = Request::MAX_FRAME + 64;
    const MAX_DESCRIPTORS: usize = 0;
}

impl Message for Up {
    const KIND: [u8; 4] = *b"CofU";
    const MAX_FRAME: usize = PIECE + 64;
    const MAX_DESCRIPTORS: usize = 0;
}

/// Why bytes are not what comes through a tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// A message is longer than any may be.
    #[error("a message of {0} bytes is over its bound")]
    TooLong(usize),
    /// A message is no frame of its kind.
    #[error("{0}")]
    Frame(#[from] FrameError),
}

/// Appends a message to `out`.
///
/// # Errors
/// [`TunnelError::Frame`] when it is over its bound; `out` is then as it was.
pub fn append<M: Message>(message: &M, out: &mut Vec<u8>) -> Result<(), TunnelError> {
    let frame = frame::encode(message)?;
    // No bound is near what this number holds.
    out.extend_from_slice(&u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&frame);
    Ok(())
}

/// Takes messages out of bytes as they come in.
#[derive(Debug, Default)]
pub struct Splitter {
    pending: Vec<u8>,
    taken: usize,
}

impl Splitter {
    /// Adds bytes. Take all messages out with [`Self::next_message`] before adding more: what is pending is not
    /// bounded otherwise.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.taken);
        self.taken = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole message; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not messages of this kind. The splitter is of no use after that.
    pub fn next_message<M: Message + DeserializeOwned>(&mut self) -> Result<Option<M>, TunnelError> {
        let rest = self.pending.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > M::MAX_FRAME {
            return Err(TunnelError::TooLong(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = frame::decode(frame)?;
        self.taken += 4 + length;
        Ok(Some(message))
    }
}
