//! WebSockets once they are open (RFC 6455): what the program says is followed frame by frame, and looked through like any other text that
//! leaves. What the host says passes as it is: no credential was sent to it.
//!
//! A message of up to [`SHORT`] bytes is looked through in all its readings, before its last frame leaves; one that is longer is looked through
//! as it passes, as is what lies over the borders of messages. There are no extensions: a compressed message would be looked at in vain.

use std::{io, sync::Arc};

use bytes::Bytes;
use cofferdam_domain::{
    SandboxId,
    egress::{Operation, Refusal},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split};

use super::pass::Errand;
use crate::{
    decide::Denied,
    door::Shared,
    refuse::denied,
    watchlist::{Passing, SHORT},
};

/// Bytes that are read at once.
const BUFFER: usize = 32 << 10;
/// The most bytes of a frame that says something about the connection (RFC 6455, section 5.5).
const LONGEST_CONTROL: u64 = 125;

/// Listens to what one program says.
pub(super) struct Listener {
    door: Arc<Shared>,
    sandbox: SandboxId,
    operation: Operation,
    errand: Errand,
    frames: Frames,
    passing: Passing,
    /// The message so far, as far as it is short.
    message: Vec<u8>,
    /// The same for a frame about the connection, which may come in the middle of a message.
    control: Vec<u8>,
}

/// Why no more of it is carried.
enum End {
    /// By a decision of the door, which has been written down.
    Refused,
    /// By one of the two sides.
    Broken,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Carries what is said until both sides have ended, one has failed, or something was said that may not leave.
pub(super) async fn converse(inside: OnUpgrade, outside: OnUpgrade, mut listener: Listener) {
    let (Ok(inside), Ok(outside)) = tokio::join!(inside, outside) else { return };
    let (mut said, mut program) = split(TokioIo::new(inside));
    let (mut answered, mut host) = split(TokioIo::new(outside));
    let there = async {
        listener.carry(&mut said, &mut host).await?;
        Ok::<_, End>(host.shutdown().await?)
    };
    let back = async {
        copy(&mut answered, &mut program).await?;
        Ok::<_, End>(program.shutdown().await?)
    };
    // However it ended, it has ended.
    tokio::try_join!(there, back).ok();
}

impl Listener {
    pub(super) fn new(door: Arc<Shared>, sandbox: SandboxId, operation: Operation, errand: Errand) -> Self {
        let passing = door.watchlist.passing(door.credentials.known());
        let (frames, message, control) = Default::default();
        Self { door, sandbox, operation, errand, frames, passing, message, control }
    }

    async fn carry(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), End> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            let bytes = buffer.get(..length).unwrap_or_default();
            if let Err(denied) = self.hear(bytes).await {
                self.door.ledger.refuse(self.sandbox, self.operation.clone(), &denied);
                return Err(End::Refused);
            }
            to.write_all(bytes).await?;
            to.flush().await?;
        }
    }

    /// Looks through the next bytes before they leave.
    async fn hear(&mut self, mut bytes: &[u8]) -> Result<(), Denied> {
        self.errand.still_permitted()?;
        while !bytes.is_empty() {
            let Some(piece) = self.frames.next(&mut bytes).map_err(malformed)? else { continue };
            if piece.control {
                self.control.extend_from_slice(&piece.text);
                if piece.last {
                    let whole = std::mem::take(&mut self.control);
                    self.look(whole).await?;
                }
                continue;
            }
            let room = SHORT.saturating_sub(self.message.len()).min(piece.text.len());
            self.message.extend_from_slice(piece.text.get(..room).unwrap_or_default());
            self.passing.pass(Bytes::from(piece.text))?;
            if piece.last {
                let whole = std::mem::take(&mut self.message);
                self.look(whole).await?;
            }
        }
        Ok(())
    }

    async fn look(&self, text: Vec<u8>) -> Result<(), Denied> {
        self.door.watchlist.whole(text, self.door.credentials.known()).await
    }
}

fn malformed(what: &'static str) -> Denied {
    denied(Refusal::Protocol, &format!("what was said over the WebSocket is not one's language: {what}"))
}

/// Reads what a client says, frame by frame (RFC 6455, section 5.2).
#[derive(Debug, Default)]
struct Frames {
    state: State,
    /// A message has begun and not ended.
    open: bool,
    /// The client has said its last.
    closed: bool,
}

#[derive(Debug)]
enum State {
    /// In the head of a frame, of which this much has been seen.
    Head(Vec<u8>),
    /// In its payload.
    Payload { left: u64, mask: [u8; 4], at: usize, last: bool, control: bool },
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

/// Some bytes of a message, or of a frame about the connection, as they were before they were masked.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    text: Vec<u8>,
    /// It ends with them.
    last: bool,
    control: bool,
}

impl Frames {
    /// Takes some of these bytes, at least one.
    fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Piece>, &'static str> {
        match &mut self.state {
            State::Head(seen) => {
                let Some((byte, rest)) = bytes.split_first() else { return Ok(None) };
                *bytes = rest;
                seen.push(*byte);
                let Some(state) = self.head()? else { return Ok(None) };
                self.state = state;
                // Nothing more may come of an empty one.
                Ok(if self.is_empty() { Some(self.payload(&mut &[][..])) } else { None })
            }
            State::Payload { .. } => Ok(Some(self.payload(bytes))),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self.state, State::Payload { left: 0, .. })
    }

    /// What a whole head says; `None` as long as it is not whole.
    fn head(&mut self) -> Result<Option<State>, &'static str> {
        let State::Head(seen) = &self.state else { return Ok(None) };
        let [first, second, extended @ ..] = seen.as_slice() else { return Ok(None) };
        let (last, opcode, short) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
        if self.closed {
            return Err("there is something behind its end");
        }
        if first & 0x70 != 0 {
            return Err("an extension is used that was not agreed on");
        }
        if second & 0x80 == 0 {
            return Err("a frame is not masked");
        }
        let digits = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((length, mask)) = extended.split_at_checked(digits) else { return Ok(None) };
        let Ok(mask) = <[u8; 4]>::try_from(mask) else { return Ok(None) };
        let left = match digits {
            0 => u64::from(short),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        if (digits == 2 && left < 126) || (digits == 8 && left <= u64::from(u16::MAX)) || left >> 63 != 0 {
            return Err("a length is not written in the shortest way");
        }
        let control = opcode & 0x08 != 0;
        let fits = match opcode {
            0x0 => self.open,
            0x1 | 0x2 => !self.open,
            0x8..=0xa => last && left <= LONGEST_CONTROL,
            _ => false,
        };
        if !fits {
            return Err("a frame is of a kind that has no place here");
        }
        self.closed = opcode == 0x8;
        if !control {
            self.open = !last;
        }
        Ok(Some(State::Payload { left, mask, at: 0, last, control }))
    }

    /// The next bytes of a payload.
    fn payload(&mut self, bytes: &mut &[u8]) -> Piece {
        let State::Payload { left, mask, at, last, control } = &mut self.state else {
            return Piece { text: Vec::new(), last: false, control: false };
        };
        let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        let (taken, rest) = bytes.split_at(length);
        *bytes = rest;
        let text = taken.iter().enumerate().map(|(place, byte)| byte ^ mask[(*at + place) % 4]).collect();
        *at = (*at + length) % 4;
        *left -= length as u64;
        let ended = *left == 0;
        let piece = Piece { text, last: *last && ended, control: *control };
        if ended {
            self.state = State::default();
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, text: &[u8]) -> Vec<u8> {
        let mask = [0x11, 0x22, 0x33, 0x44];
        let mut frame = vec![first];
        match text.len() {
            short @ 0..126 => frame.push(0x80 | short as u8),
            long @ 126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend((long as u16).to_be_bytes());
            }
            long => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(text.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        frame
    }

    /// The messages, and whether each is about the connection.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<(Vec<u8>, bool)>, &'static str> {
        let (mut frames, mut messages) = (Frames::default(), Vec::new());
        let (mut message, mut control) = (Vec::new(), Vec::new());
        for mut bytes in bytes.chunks(piece) {
            while !bytes.is_empty() {
                let Some(piece) = frames.next(&mut bytes)? else { continue };
                let into = if piece.control { &mut control } else { &mut message };
                into.extend(piece.text);
                if piece.last {
                    messages.push((std::mem::take(into), piece.control));
                }
            }
        }
        Ok(messages)
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let long = vec![b'x'; 70_000];
        let all = [
            frame(0x81, b"hello"),
            frame(0x01, b"one "),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, b"two"),
            frame(0x82, &long),
            frame(0x82, b""),
            frame(0x88, b""),
        ]
        .concat();
        let expected: Vec<(Vec<u8>, bool)> = vec![
            (b"hello".to_vec(), false),
            (b"ping".to_vec(), true),
            (b"one two".to_vec(), false),
            (long.clone(), false),
            (Vec::new(), false),
            (Vec::new(), true),
        ];
        for piece in [1, 2, 3, 7, 4096, all.len()] {
            assert_eq!(read(&all, piece).as_ref(), Ok(&expected), "{piece}");
        }
    }

    #[test]
    fn what_is_no_client_of_a_web_socket_is_refused() {
        let unmasked = vec![0x81, 2, b'h', b'i'];
        let long_way = [&[0x81, 0x80 | 126, 0, 5, 1, 2, 3, 4][..], b"xxxxx"].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            unmasked,
            long_way,
            frame(0xc1, b"compressed"),
            frame(0x80, b"the rest of nothing"),
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
            frame(0x83, b"unknown"),
            frame(0x09, b"in pieces"),
            frame(0x89, &[0; 126]),
            [frame(0x88, b""), frame(0x81, b"more")].concat(),
        ] {
            assert!(read(&bytes, 3).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1_usize..50) {
            prop_assert_eq!(read(&bytes, piece).is_ok(), read(&bytes, 200).is_ok());
        }
    }
}
