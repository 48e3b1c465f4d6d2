//! Frames: how one message is laid out in one packet of a `SOCK_SEQPACKET` socket.
//!
//! A frame is four bytes that name the kind of message, the protocol version (two bytes, little endian), and
//! the message in postcard encoding (<https://postcard.jamesmunns.com/wire-format>) up to the end of the
//! packet. Decoding is strict: another kind, another version, a byte left over, a packet over the kind's
//! bound, or an encoding that is not the one [`encode`] would have chosen is an error. So a decoded message
//! always encodes to the very bytes that it came from.

use serde::{Serialize, de::DeserializeOwned};

/// The version of the protocol. Both sides come from one build, so only equal versions talk.
pub const VERSION: u16 = 1;

/// Bytes before the message: kind and version.
const HEADER: usize = 6;

/// A kind of message that travels in frames.
pub trait Message: Serialize + DeserializeOwned {
    /// Names the kind. Distinct for each kind and direction, so that no frame can be taken for another.
    const KIND: [u8; 4];
    /// The most bytes that a frame of this kind may have.
    const MAX_FRAME: usize;
    /// The most descriptors that may come with a frame of this kind.
    const MAX_DESCRIPTORS: usize;
}

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// More bytes than the kind allows.
    #[error("a frame of {length} bytes is over the bound of {bound}")]
    TooLong {
        /// Bytes of the frame.
        length: usize,
        /// The kind's bound.
        bound: usize,
    },
    /// Too short for a header, or the header names another kind.
    #[error("not a frame of the expected kind")]
    Kind,
    /// The other side speaks another version.
    #[error(
        "the other side speaks protocol version {0}, this side {VERSION}; use the hand and the host of one build"
    )]
    Version(u16),
    /// The message does not parse.
    #[error("the message does not parse")]
    Malformed(#[source] postcard::Error),
    /// The message parses but is not what an encoder writes.
    #[error("the message is not in canonical form")]
    NotCanonical,
}

/// Encodes a message as a frame.
///
/// # Errors
/// [`FrameError::TooLong`] when the frame would exceed the kind's bound.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::with_capacity(128);
    frame.extend_from_slice(&M::KIND);
    frame.extend_from_slice(&VERSION.to_le_bytes());
    let frame = postcard::to_extend(message, frame).map_err(FrameError::Malformed)?;
    within_bound::<M>(frame.len())?;
    Ok(frame)
}

/// Decodes a frame.
///
/// # Errors
/// When the bytes are anything but one whole canonical frame of this kind and version.
pub fn decode<M: Message>(frame: &[u8]) -> Result<M, FrameError> {
    within_bound::<M>(frame.len())?;
    let Some((header, body)) = frame.split_first_chunk::<HEADER>() else { return Err(FrameError::Kind) };
    let [k0, k1, k2, k3, v0, v1] = *header;
    if [k0, k1, k2, k3] != M::KIND {
        return Err(FrameError::Kind);
    }
    let version = u16::from_le_bytes([v0, v1]);
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let message = postcard::from_bytes(body).map_err(FrameError::Malformed)?;
    // Covers bytes left over and over-long integers alike.
    if encode(&message)? == frame { Ok(message) } else { Err(FrameError::NotCanonical) }
}

fn within_bound<M: Message>(length: usize) -> Result<(), FrameError> {
    if length > M::MAX_FRAME {
        return Err(FrameError::TooLong { length, bound: M::MAX_FRAME });
    }
    Ok(())
}
