//! One stream through the tunnel, as seen from the host: what comes in goes to a descriptor, what comes out of one goes in, both within the
//! stream's window.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cofferdam_hand::protocol::{
    message::{Reply, ReplyBody},
    text::Bytes,
    tunnel::{Down, Flow, PIECE, StreamId, WINDOW},
};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{Semaphore, mpsc},
    task::AbortHandle,
};

use super::super::{command::Ends, ready::register};

/// A stream that is open.
#[derive(Debug)]
pub(super) struct Stream {
    items: mpsc::UnboundedSender<Item>,
    /// Bytes that have come and have not been taken yet.
    untaken: Arc<AtomicU64>,
    /// Bytes that may be sent.
    credit: Arc<Semaphore>,
    source: Option<AbortHandle>,
    /// Whether there is no more to come.
    pub(super) ended: bool,
    /// Whether the last answer to its request has come.
    pub(super) answered: bool,
}

/// What comes for a stream.
#[derive(Debug)]
pub(super) enum Item {
    Piece(Vec<u8>),
    /// An answer, to be passed on after what came before it.
    Answer(Reply),
    End,
}

/// Where a stream's bytes go.
#[derive(Debug)]
pub(super) enum Sink {
    /// A file in memory, which takes everything at once.
    Memory(File),
    /// A pipe or socket.
    Waiting(AsyncFd<OwnedFd>),
    Nowhere,
}

/// Where they come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A file in memory, of which so many bytes.
    Memory(io::Take<File>),
    /// A pipe or socket.
    Waiting(AsyncFd<OwnedFd>),
}

/// What the tasks of a stream need.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pub(super) id: StreamId,
    /// To the relay.
    pub(super) out: mpsc::Sender<Down>,
    /// Answers, to whoever has asked.
    pub(super) answers: mpsc::Sender<Reply>,
}

impl Stream {
    /// One without a source yet, and what [`Lines::sink`] needs.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Item>) {
        let (items, coming) = mpsc::unbounded_channel();
        let credit = Arc::new(Semaphore::new(usize::try_from(WINDOW).unwrap_or(PIECE)));
        let untaken = Arc::default();
        (Self { items, untaken, credit, source: None, ended: false, answered: false }, coming)
    }

    pub(super) fn untaken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.untaken)
    }

    pub(super) fn credit(&self) -> Arc<Semaphore> {
        Arc::clone(&self.credit)
    }

    /// Has its source end with it.
    pub(super) fn set_source(&mut self, source: AbortHandle) {
        self.source = Some(source);
    }

    /// Passes an item on to its sink. Bounded by the window, and by what has been asked.
    pub(super) fn pass(&self, item: Item) -> Result<(), &'static str> {
        if let Item::Piece(piece) = &item {
            let length = piece.len() as u64;
            if self.untaken.fetch_add(length, Ordering::AcqRel).saturating_add(length) > WINDOW {
                return Err("the relay sent more than it had credit for");
            }
        }
        // A sink that is gone takes nothing more.
        self.items.send(item).ok();
        Ok(())
    }

    /// More may be sent.
    pub(super) fn add_credit(&self, bytes: u32) -> Result<(), &'static str> {
        let (bytes, most) = (bytes as usize, usize::try_from(WINDOW).unwrap_or(PIECE));
        if self.credit.available_permits().saturating_add(bytes) > most {
            return Err("the relay gave credit that it had not taken");
        }
        self.credit.add_permits(bytes);
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(source) = &self.source {
            source.abort();
        }
    }
}

impl Sink {
    pub(super) fn waiting(descriptor: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        register(descriptor, Interest::WRITABLE).map(Self::Waiting)
    }

    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Memory(file) => file.write_all(bytes),
            Self::Waiting(descriptor) => {
                while !bytes.is_empty() {
                    let mut ready = descriptor.writable().await?;
                    match rustix::io::write(descriptor.get_ref(), bytes) {
                        Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                        Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                        Err(rustix::io::Errno::INTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Ok(())
            }
        }
    }

    /// There is no more to write. The other direction of a socket goes on.
    fn end(&mut self, id: StreamId) {
        match (&*self, id) {
            // That the other side has gone is fine.
            (Self::Waiting(socket), StreamId::Connection(_)) => {
                shutdown(socket.get_ref(), Shutdown::Write).unwrap_or(())
            }
            (_, _) => *self = Self::Nowhere,
        }
    }
}

impl Source {
    pub(super) fn waiting(descriptor: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        register(descriptor, Interest::READABLE).map(Self::Waiting)
    }

    /// A descriptor that a caller has made: a file in memory, or something to wait for.
    pub(super) fn of(descriptor: OwnedFd, most: u64) -> io::Result<Self> {
        let file = File::from(descriptor);
        if file.metadata()?.is_file() {
            Ok(Self::Memory(file.take(most)))
        } else {
            Self::waiting(file.into())
        }
    }

    async fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(file) => file.read(piece),
            Self::Waiting(descriptor) => loop {
                let mut ready = descriptor.readable().await?;
                match rustix::io::read(descriptor.get_ref(), &mut *piece) {
                    Ok(length) => return Ok(length),
                    Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                    Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            },
        }
    }
}

impl Lines {
    /// Sends what a source has, until it ends.
    pub(super) async fn send(self, mut source: Source, credit: Arc<Semaphore>) {
        let mut piece = vec![0; PIECE];
        let last = loop {
            let length = match source.read(&mut piece).await {
                Ok(0) => break Flow::End,
                Ok(length) => length,
                Err(_) => break Flow::Close,
            };
            let Ok(permits) = credit.acquire_many(u32::try_from(length).unwrap_or(u32::MAX)).await else {
                return;
            };
            permits.forget();
            let flow = Flow::Piece(Bytes(piece.get(..length).unwrap_or_default().to_vec()));
            if self.out.send(Down::Stream(self.id, flow)).await.is_err() {
                return;
            }
        };
        // Fails when there is nobody to tell any more.
        self.out.send(Down::Stream(self.id, last)).await.ok();
    }

    /// Takes what comes for a stream, until nothing more will.
    pub(super) async fn sink(
        self,
        mut sink: Sink,
        mut items: mpsc::UnboundedReceiver<Item>,
        untaken: Arc<AtomicU64>,
    ) {
        while let Some(item) = items.recv().await {
            let flow = match item {
                Item::Piece(piece) => {
                    let written = sink.write(&piece).await;
                    untaken.fetch_sub(piece.len() as u64, Ordering::AcqRel);
                    match (written, self.id) {
                        (Ok(()), _) => Flow::Credit(u32::try_from(piece.len()).unwrap_or(0)),
                        (Err(_), StreamId::Connection(_)) => Flow::Close,
                        // Whoever wanted a command's output has gone; the command is being killed.
                        (Err(_), StreamId::Request(_)) => {
                            sink = Sink::Nowhere;
                            Flow::Credit(u32::try_from(piece.len()).unwrap_or(0))
                        }
                    }
                }
                Item::Answer(answer) => {
                    // Or whoever reads the results would wait for more.
                    if !matches!(answer.body, ReplyBody::Started | ReplyBody::Exited(_)) {
                        sink.end(self.id);
                    }
                    if self.answers.send(answer).await.is_err() {
                        return;
                    }
                    continue;
                }
                Item::End => {
                    sink.end(self.id);
                    continue;
                }
            };
            let over = flow == Flow::Close;
            if self.out.send(Down::Stream(self.id, flow)).await.is_err() || over {
                return;
            }
        }
    }
}

/// What stands for a terminal here: the terminal itself is in the sandbox.
pub(super) fn terminal(stdin: &[u8]) -> io::Result<Ends> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (host, command) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    if !stdin.is_empty() {
        // As if typed before the program looked. What does not fit is not taken, as with typing.
        rustix::io::write(host.as_fd(), stdin)?;
    }
    Ok(Ends { host, command: vec![command] })
}
