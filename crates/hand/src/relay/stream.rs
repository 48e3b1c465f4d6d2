//! One stream of the relay: where its bytes come from and go to in the sandbox, and how many may be on their way.

use std::{
    fs::File,
    io::{self, Seek as _, Write as _},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use cofferdam_hand::protocol::{
    message::{Reply, Request, RequestBody, Streams},
    text::Bytes,
    tunnel::{Flow, PIECE, Size, WINDOW},
};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

/// What can be in a pipe or terminal when a command ends; more than this is from what it left running.
const REST: usize = 1 << 20;
/// A terminal whose size nobody has said.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// What the host will read.
    source: Option<Source>,
    /// Where goes what the host sends.
    sink: Option<Sink>,
    /// What the hand writes its results to, until it has answered.
    results: Option<OwnedFd>,
    /// What the host is still sending of the content of a file.
    content: Option<Content>,
    /// Answers that come after what is in the source now.
    held: Vec<Reply>,
    /// Bytes read since there is something to hold.
    since: usize,
    /// Bytes that may still be sent to the host.
    credit: u64,
    kind: Kind,
}

/// What kind of thing a stream's ends are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// Pipes, or a file in memory.
    #[default]
    Plain,
    /// A terminal.
    Terminal,
    /// A connection.
    Connection,
}

#[derive(Debug)]
struct Source {
    from: OwnedFd,
    /// Whether it is complete, so that its end is all there is to wait for.
    complete: bool,
}

#[derive(Debug)]
struct Sink {
    to: OwnedFd,
    pending: Vec<u8>,
    ending: bool,
}

#[derive(Debug)]
struct Content {
    memory: File,
    left: u64,
    request: Option<Request>,
}

/// What came of reading from a stream.
#[derive(Debug)]
pub(super) struct Pumped {
    /// Whether all has been read that answers have to wait for.
    pub(super) settled: bool,
    /// What to tell of its end, if it has ended.
    pub(super) last: Option<Flow>,
}

/// What comes with a request: descriptors for the hand, and the stream at their other ends.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) stream: Option<Stream>,
    pub(super) descriptors: Vec<OwnedFd>,
}

impl Given {
    /// Makes what a request needs.
    pub(super) fn make(body: &RequestBody, size: Option<Size>) -> io::Result<Self> {
        match body {
            RequestBody::Start(start) => match start.streams {
                Streams::Output => Self::pipes(false),
                Streams::InputOutput => Self::pipes(true),
                Streams::Terminal => Self::terminal(size.unwrap_or(USUAL)),
            },
            RequestBody::Read { .. } | RequestBody::List { .. } | RequestBody::Search(_) => {
                let results = memory()?;
                let stream = Stream { results: Some(results.try_clone()?), ..Stream::new() };
                Ok(Self { stream: Some(stream), descriptors: vec![results] })
            }
            RequestBody::Write { length, .. } => {
                let memory = memory()?;
                let content = Content { memory: memory.try_clone()?.into(), left: *length, request: None };
                let stream = Stream { content: Some(content), ..Stream::new() };
                Ok(Self { stream: Some(stream), descriptors: vec![memory] })
            }
            RequestBody::Hello
            | RequestBody::Kill { .. }
            | RequestBody::Remove { .. }
            | RequestBody::Stat { .. }
            | RequestBody::Ping
            | RequestBody::SelfTest(_)
            | RequestBody::Shutdown => Ok(Self { stream: None, descriptors: Vec::new() }),
        }
    }

    fn pipes(input: bool) -> io::Result<Self> {
        let (ours, output) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let mut stream = Stream { source: Some(Source::open(ours)), ..Stream::new() };
        let mut descriptors = Vec::new();
        if input {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&ours, true)?;
            stream.sink = Some(Sink::to(ours));
            descriptors.push(theirs);
        }
        descriptors.push(output);
        Ok(Self { stream: Some(stream), descriptors })
    }

    fn terminal(size: Size) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags)?;
        unlockpt(&ours)?;
        resize(&ours, size)?;
        let theirs = ioctl_tiocgptpeer(&ours, flags)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let (source, sink) = (Some(Source::open(ours.try_clone()?)), Some(Sink::to(ours)));
        let stream = Stream { source, sink, kind: Kind::Terminal, ..Stream::new() };
        Ok(Self { stream: Some(stream), descriptors: vec![theirs] })
    }
}

impl Stream {
    fn new() -> Self {
        Self { credit: WINDOW, ..Self::default() }
    }

    /// That of a connection.
    pub(super) fn connection(connection: TcpStream) -> io::Result<Self> {
        connection.set_nonblocking(true)?;
        let connection = OwnedFd::from(connection);
        let (source, sink) = (Some(Source::open(connection.try_clone()?)), Some(Sink::to(connection)));
        Ok(Self { source, sink, kind: Kind::Connection, ..Self::new() })
    }

    /// Remembers the request that must wait for its content.
    pub(super) fn with_request(mut self, request: Request) -> Self {
        if let Some(content) = &mut self.content {
            content.request = Some(request);
        }
        self
    }

    /// Whether its request must wait for content.
    pub(super) fn waits_for_content(&self) -> bool {
        self.content.as_ref().is_some_and(|content| content.left > 0)
    }

    /// The request whose content is complete now.
    pub(super) fn whole_content(&mut self) -> io::Result<Option<(Request, Vec<OwnedFd>)>> {
        if self.waits_for_content() {
            return Ok(None);
        }
        let Some(Content { memory, request: Some(request), .. }) = self.content.take() else {
            return Ok(None);
        };
        Ok(Some((request, vec![memory.into()])))
    }

    /// What to wait for to read more.
    pub(super) fn source_to_wait_for(&self) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().filter(|_| self.credit > 0).map(|source| source.from.as_fd())
    }

    /// What to wait for to write more.
    pub(super) fn sink_to_wait_for(&self) -> Option<BorrowedFd<'_>> {
        self.sink.as_ref().filter(|sink| !sink.pending.is_empty()).map(|sink| sink.to.as_fd())
    }

    /// Takes bytes from the host; says how many of them make room at once.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(content) = &mut self.content {
            content.memory.write_all(bytes)?;
            content.left = content.left.saturating_sub(bytes.len() as u64);
            return Ok(bytes.len());
        }
        let Some(sink) = &mut self.sink else { return Ok(bytes.len()) };
        if (sink.pending.len() + bytes.len()) as u64 > WINDOW {
            return Err(io::Error::other("the host sent more than it had credit for"));
        }
        sink.pending.extend_from_slice(bytes);
        Ok(0)
    }

    /// The host will send no more.
    pub(super) fn end_input(&mut self) {
        if let Some(sink) = &mut self.sink {
            sink.ending = true;
        }
    }

    /// Writes what is taken; says how much that was.
    pub(super) fn drain(&mut self) -> rustix::io::Result<usize> {
        let Some(sink) = &mut self.sink else { return Ok(0) };
        let drained = super::write(&sink.to, &mut sink.pending);
        let over = drained.is_err() || (sink.ending && sink.pending.is_empty());
        if over && self.kind == Kind::Connection {
            // The other direction goes on; that it has ended already is fine.
            rustix::net::shutdown(&sink.to, rustix::net::Shutdown::Write).ok();
        }
        // Who closes a terminal hangs up.
        if over && (drained.is_err() || self.kind != Kind::Terminal) {
            self.sink = None;
        }
        drained
    }

    /// The host has taken so much.
    pub(super) fn credit(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(bytes.into()).min(WINDOW);
    }

    /// Keeps an answer until what belongs to it has been read.
    pub(super) fn hold(&mut self, reply: Reply) -> io::Result<()> {
        if let Some(results) = self.results.take() {
            let mut results = File::from(results);
            results.rewind()?;
            self.source = Some(Source { from: results.into(), complete: true });
        }
        self.held.push(reply);
        Ok(())
    }

    /// Whether an answer is kept.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Gives the answers that were kept.
    pub(super) fn release(&mut self) -> Vec<Reply> {
        self.since = 0;
        std::mem::take(&mut self.held)
    }

    /// Reads what there is and gives it to `send`, as long as there is credit and `send` says that there is room.
    pub(super) fn pump(&mut self, mut send: impl FnMut(Bytes) -> io::Result<bool>) -> io::Result<Pumped> {
        let Some(Source { from, complete }) = &self.source else {
            return Ok(Pumped { settled: true, last: None });
        };
        let last = loop {
            let most = usize::try_from(self.credit).unwrap_or(PIECE).min(PIECE);
            if most == 0 {
                return Ok(Pumped { settled: false, last: None });
            }
            let mut piece = vec![0; most];
            match rustix::io::read(from, &mut piece) {
                // A terminal whose other side is closed says EIO.
                Ok(0) | Err(Errno::IO) => break Flow::End,
                Ok(length) => {
                    piece.truncate(length);
                    self.credit = self.credit.saturating_sub(length as u64);
                    self.since = if self.held.is_empty() { 0 } else { self.since.saturating_add(length) };
                    let room = send(Bytes(piece))?;
                    let settled = !complete && self.since >= REST;
                    if settled || !room {
                        return Ok(Pumped { settled, last: None });
                    }
                }
                Err(Errno::AGAIN) => return Ok(Pumped { settled: true, last: None }),
                Err(Errno::INTR) => {}
                Err(_) => break Flow::Close,
            }
        };
        self.source = None;
        if last == Flow::Close || self.kind == Kind::Terminal {
            self.sink = None;
        }
        Ok(Pumped { settled: true, last: Some(last) })
    }

    /// Changes the size of its terminal, if it has one.
    pub(super) fn resize(&self, size: Size) {
        if let (Kind::Terminal, Some(sink)) = (self.kind, &self.sink) {
            // A terminal that nobody has any more needs no size.
            resize(&sink.to, size).ok();
        }
    }

    /// Whether nothing more comes from it.
    pub(super) const fn is_read(&self) -> bool {
        self.source.is_none() && self.results.is_none() && self.held.is_empty()
    }

    /// Whether nothing more goes to it.
    pub(super) const fn is_written(&self) -> bool {
        self.sink.is_none()
    }
}

impl Source {
    const fn open(from: OwnedFd) -> Self {
        Self { from, complete: false }
    }
}

impl Sink {
    const fn to(to: OwnedFd) -> Self {
        Self { to, pending: Vec::new(), ending: false }
    }
}

fn memory() -> io::Result<OwnedFd> {
    Ok(memfd_create("content", MemfdFlags::CLOEXEC)?)
}

fn resize(terminal: impl AsFd, size: Size) -> rustix::io::Result<()> {
    let Size { columns, rows } = size;
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
}
