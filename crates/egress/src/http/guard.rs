//! Stands before the HTTP/1 library and follows what a program sends, message by message: bytes reach the library only
//! when there is one way to read them.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    head::{Framing, LONGEST_HEAD, MalformedHead, read_head},
    pace::Pace,
};

/// What a guard and the one who answers the requests tell each other.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    problem: OnceLock<Problem>,
    told: AtomicBool,
    upgrade: AtomicU8,
    /// How fast answers go.
    pub(super) pace: Pace,
}

/// What was wrong, and whether anything had been answered before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    pub(crate) what: MalformedHead,
    /// It was in the first head: nothing has been answered, nor will be by others.
    pub(crate) first: bool,
}

const UNDECIDED: u8 = 0;
const AGREED: u8 = 1;
const DECLINED: u8 = 2;

impl Verdict {
    /// What was malformed, if anything was; once, to whoever writes it down.
    pub(crate) fn tell(&self) -> Option<Problem> {
        self.problem.get().copied().filter(|_| !self.told.swap(true, Ordering::AcqRel))
    }

    /// The request to change the protocol has been decided about.
    pub(crate) fn upgrade(&self, agreed: bool) {
        self.upgrade.store(if agreed { AGREED } else { DECLINED }, Ordering::Release);
    }
}

/// Where in the stream of messages a connection is.
#[derive(Debug)]
enum State {
    /// In a head, of which this much has been seen.
    Head(Vec<u8>),
    /// In a body with this many bytes to come.
    Body(u64),
    /// In a body of chunks.
    Chunks(Chunks),
    /// Behind a request to change the protocol.
    Asked,
    /// Something else than HTTP is spoken, as agreed.
    Changed,
}

/// Where in a body of chunks.
#[derive(Debug, Clone, Copy)]
enum Chunks {
    /// In the line with a size.
    Size { digits: u8, size: u64 },
    /// Behind the CR of that line.
    SizeEnd { size: u64 },
    /// In a chunk.
    Data { left: u64 },
    /// Behind a chunk: CR, then LF.
    DataEnd { seen: bool },
    /// Behind the last size: CR, then LF, no trailers.
    Last { seen: bool },
}

/// A connection that a program's HTTP/1 messages come from.
#[derive(Debug)]
pub(crate) struct Guarded<IO> {
    io: IO,
    state: State,
    /// Heads that were read to their end.
    heads: u64,
    verdict: Arc<Verdict>,
}

impl<IO> Guarded<IO> {
    pub(crate) fn new(io: IO, verdict: Arc<Verdict>) -> Self {
        Self { io, state: State::Head(Vec::new()), heads: 0, verdict }
    }

    pub(crate) fn into_inner(self) -> IO {
        self.io
    }

    /// Follows these bytes.
    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), MalformedHead> {
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::Head(seen) => {
                    let before = seen.len();
                    // What cannot be of this head need not be copied.
                    let room = (LONGEST_HEAD + 2).saturating_sub(before).min(bytes.len());
                    let new = bytes.get(..room).unwrap_or_default();
                    seen.extend_from_slice(new);
                    // A head ends with a line; byte by byte, it would be read as often as it has bytes.
                    if !new.contains(&b'\n') && seen.len() <= LONGEST_HEAD {
                        return Ok(());
                    }
                    let Some(head) = read_head(seen)? else { return Ok(()) };
                    let used = head.length - before;
                    let next = match head.framing {
                        _ if head.upgrade => State::Asked,
                        Framing::Length(0) => State::Head(Vec::new()),
                        Framing::Length(length) => State::Body(length),
                        Framing::Chunked => State::Chunks(Chunks::Size { digits: 0, size: 0 }),
                    };
                    if head.upgrade {
                        self.verdict.upgrade.store(UNDECIDED, Ordering::Release);
                    }
                    self.heads += 1;
                    self.state = next;
                    bytes.get(used..).unwrap_or_default()
                }
                State::Body(left) => {
                    let rest = skip(left, bytes);
                    if *left == 0 {
                        self.state = State::Head(Vec::new());
                    }
                    rest
                }
                State::Chunks(chunks) => {
                    let (next, rest) = chunks.follow(bytes)?;
                    self.state = next.map_or_else(|| State::Head(Vec::new()), State::Chunks);
                    rest
                }
                State::Asked => {
                    self.state = match self.verdict.upgrade.load(Ordering::Acquire) {
                        AGREED => State::Changed,
                        DECLINED => State::Head(Vec::new()),
                        _ => return Err(MalformedHead::Early),
                    };
                    bytes
                }
                State::Changed => return Ok(()),
            };
        }
        Ok(())
    }
}

/// What is behind the next `left` bytes, or as many of them as there are.
fn skip<'a>(left: &mut u64, bytes: &'a [u8]) -> &'a [u8] {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= u64::try_from(length).unwrap_or_default();
    bytes.get(length..).unwrap_or_default()
}

impl Chunks {
    /// Where it is after some of these bytes, at least one, and the rest of them; `None` behind the body.
    fn follow(self, bytes: &[u8]) -> Result<(Option<Self>, &[u8]), MalformedHead> {
        if let Self::Data { mut left } = self {
            let rest = skip(&mut left, bytes);
            let next = if left == 0 { Self::DataEnd { seen: false } } else { Self::Data { left } };
            return Ok((Some(next), rest));
        }
        let (byte, rest) = bytes.split_first().ok_or(MalformedHead::Chunk)?;
        let next = match (self, *byte) {
            (Self::Size { digits, size }, byte) if byte.is_ascii_hexdigit() && digits < 8 => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Self::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
            }
            (Self::Size { digits: 1.., size }, b'\r') => Self::SizeEnd { size },
            (Self::SizeEnd { size: 0 }, b'\n') => Self::Last { seen: false },
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataEnd { seen: false }, b'\r') => Self::DataEnd { seen: true },
            (Self::DataEnd { seen: true }, b'\n') => Self::Size { digits: 0, size: 0 },
            (Self::Last { seen: false }, b'\r') => Self::Last { seen: true },
            (Self::Last { seen: true }, b'\n') => return Ok((None, rest)),
            _ => return Err(MalformedHead::Chunk),
        };
        Ok((Some(next), rest))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let refused = || io::Error::new(io::ErrorKind::InvalidData, "the request is malformed");
        if this.verdict.problem.get().is_some() {
            return Poll::Ready(Err(refused()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        match this.follow(new) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(what) => {
                buf.set_filled(before);
                this.verdict.problem.get_or_init(|| Problem { what, first: this.heads == 0 });
                Poll::Ready(Err(refused()))
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// The HTTP/1 library asks for this once it has written everything.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        this.verdict.pace.written();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The program is yet to be told.
        if self.verdict.problem.get().is_some_and(|problem| problem.first) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// Follows the text in pieces of this size; gives what was wrong and the count of heads.
    fn follow(text: &str, piece: usize) -> Result<u64, MalformedHead> {
        let mut guarded = Guarded::new((), Arc::default());
        for piece in text.as_bytes().chunks(piece) {
            guarded.follow(piece)?;
        }
        Ok(guarded.heads)
    }

    #[test]
    fn messages_are_followed_however_they_are_cut() {
        let text = format!(
            "{CHUNKED}5\r\nhello\r\n0A\r\n0123456789\r\n0\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        for piece in 1..text.len() {
            assert_eq!(follow(&text, piece), Ok(3), "{piece}");
        }
    }

    #[test]
    fn chunks_have_one_form() {
        for body in [
            "5;a=b\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "000000005\r\nhello\r\n0\r\n\r\n",
            "fffffffffffffffff\r\n",
            "0\r\nTrailer: x\r\n\r\n",
            "0\r\n\nGET",
        ] {
            assert_eq!(follow(&format!("{CHUNKED}{body}"), 3), Err(MalformedHead::Chunk), "{body:?}");
        }
    }

    #[test]
    fn nothing_may_follow_a_request_for_another_protocol_before_it_is_answered() {
        let ask = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(follow(&format!("{ask}GET / HTTP/1.1\r\n"), 4096), Err(MalformedHead::Early));
        for (agreed, next, result) in [
            (true, "anything\n", Ok(())),
            (false, "anything\n", Err(MalformedHead::Line)),
            (false, ask, Ok(())),
        ] {
            let mut guarded = Guarded::new((), Arc::default());
            guarded.follow(ask.as_bytes()).unwrap();
            guarded.verdict.upgrade(agreed);
            assert_eq!(guarded.follow(next.as_bytes()), result, "{agreed} {next:?}");
        }
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(text in "[0-9a-f;\r\n]{0,40}", piece in 1_usize..50) {
            let text = format!("{CHUNKED}{text}");
            prop_assert_eq!(follow(&text, piece), follow(&text, text.len()));
        }
    }
}
