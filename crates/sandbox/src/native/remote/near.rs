//! The host's end of the tunnel: carries what goes over a control socket, descriptors included, through two streams of bytes.
//!
//! One side of it is as trusted as the rest of this program, the other is not at all: what the relay says is bounded, decoded strictly, and
//! must be about something that was asked, within the credit that was given; at the first word that is not, the sandbox is ended.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::{AsFd as _, OwnedFd},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError, Received},
    message::{MAX_CONTENT, Reply, ReplyBody, Request, RequestBody, RequestId, Streams},
    tunnel::{self, Down, Flow, MAX_CONNECTIONS, Size, Splitter, StreamId, Up},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest, unix::AsyncFd},
    sync::{mpsc, watch},
};

use super::{
    super::{connection::Connection, ready::register},
    stream::{Item, Lines, Sink, Source, Stream},
};
use crate::Network;

/// Bytes that one read takes from the relay.
const TAKE: usize = 64 << 10;
/// Bytes that are sent to the relay at once.
const AT_ONCE: usize = 256 << 10;
/// Messages that may wait to be sent.
const WAITING: usize = 64;
/// Answers that may wait for the rest of this program: far more than it ever asks at once.
const ANSWERS: usize = 8192;

/// Other processes of this host that may get in the way of a connection of this one with itself.
const STRANGERS: usize = 1000;

/// The host's end.
#[derive(Debug)]
pub(super) struct Near {
    connection: Arc<Connection>,
    /// The other end of the connection's control socket.
    socket: AsyncFd<OwnedFd>,
    out: mpsc::Sender<Down>,
    answers: mpsc::Sender<Reply>,
    streams: Mutex<HashMap<StreamId, Stream>>,
    sizes: Mutex<HashMap<RequestId, Size>>,
    door: Option<mpsc::Sender<TcpStream>>,
    last_connection: AtomicU64,
    ended: watch::Receiver<bool>,
}

/// A tunnel that is open.
pub(super) struct Opened {
    pub(super) near: Arc<Near>,
    pub(super) landlock: u32,
    /// The connections to the door, if there is one.
    pub(super) streams: Option<mpsc::Receiver<TcpStream>>,
    /// To be run for as long as the tunnel is to be used.
    pub(super) work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Near {
    /// Waits until the relay is ready.
    pub(super) async fn open(
        connection: Arc<Connection>,
        socket: OwnedFd,
        network: Network,
        mut from: impl AsyncRead + Send + Unpin + 'static,
        to: impl AsyncWrite + Send + Unpin + 'static,
    ) -> io::Result<Opened> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let socket = register(socket, Interest::READABLE | Interest::WRITABLE)?;
        let mut splitter = Splitter::default();
        let landlock = match next(&mut from, &mut splitter).await {
            Ok(Up::Ready { landlock }) => landlock,
            Ok(_) => return Err(io::Error::other("it did not begin as a relay does")),
            Err(why) => return Err(io::Error::other(why)),
        };
        let (out, sending) = mpsc::channel(WAITING);
        let (answers, answering) = mpsc::channel(ANSWERS);
        let (door, streams) = match network {
            Network::Off => (None, None),
            Network::Door => {
                let (door, streams) = mpsc::channel(MAX_CONNECTIONS);
                (Some(door), Some(streams))
            }
        };
        let ended = connection.ended();
        let near = Arc::new(Self {
            connection,
            socket,
            out,
            answers,
            streams: Mutex::default(),
            sizes: Mutex::default(),
            door,
            last_connection: AtomicU64::new(0),
            ended,
        });
        let work = Box::pin(Arc::clone(&near).work(from, splitter, to, sending, answering));
        Ok(Opened { near, landlock, streams, work })
    }

    /// Says how large the terminal of a request is that is going to be made.
    pub(super) fn set_size(&self, id: RequestId, size: Size) {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).insert(id, size);
    }

    /// Changes the size of a command's terminal.
    pub(super) fn resize(&self, id: RequestId, size: Size) {
        // Whoever drags the edge of a window sends many of these; when none fits, another will.
        self.out.try_send(Down::Resize { id, size }).ok();
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamId, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(
        self: Arc<Self>,
        from: impl AsyncRead + Send + Unpin,
        splitter: Splitter,
        to: impl AsyncWrite + Send + Unpin,
        sending: mpsc::Receiver<Down>,
        answering: mpsc::Receiver<Reply>,
    ) {
        let mut ended = self.ended.clone();
        let why = tokio::select! {
            why = self.hear(from, splitter) => why,
            why = speak(to, sending) => why,
            why = self.answer(answering) => why,
            why = self.ask() => why,
            // Somebody has said why.
            _ = ended.wait_for(|ended| *ended) => String::new(),
        };
        self.connection.end(&why);
        self.streams().clear();
    }

    /// Takes what the relay says, until it says something wrong.
    async fn hear(self: &Arc<Self>, mut from: impl AsyncRead + Unpin, mut splitter: Splitter) -> String {
        loop {
            let heard = match next(&mut from, &mut splitter).await {
                Ok(up) => self.take(up),
                Err(why) => return why,
            };
            if let Err(why) = heard {
                return why.to_owned();
            }
        }
    }

    fn take(self: &Arc<Self>, up: Up) -> Result<(), &'static str> {
        match up {
            Up::Ready { .. } => Err("the relay began twice"),
            Up::Answer(reply) => self.take_answer(reply),
            Up::Connected(number) => self.connect(number),
            Up::Stream(id, flow) => self.flow(id, flow),
        }
    }

    fn take_answer(&self, reply: Reply) -> Result<(), &'static str> {
        let id = StreamId::Request(reply.id);
        let last = !matches!(reply.body, ReplyBody::Started | ReplyBody::Exited(_));
        let mut streams = self.streams();
        // Nobody reads a command's output before it is known to have started.
        let Some(stream) = streams.get_mut(&id).filter(|_| reply.body != ReplyBody::Started) else {
            return self.answers.try_send(reply).map_err(|_| "the relay answered too often");
        };
        stream.pass(Item::Answer(reply))?;
        stream.answered |= last;
        if stream.answered && stream.ended {
            streams.remove(&id);
        }
        Ok(())
    }

    /// What is said of a stream that has ended meanwhile is nobody's business any more.
    fn flow(&self, id: StreamId, flow: Flow) -> Result<(), &'static str> {
        let mut streams = self.streams();
        let Some(stream) = streams.get_mut(&id) else { return Ok(()) };
        match flow {
            Flow::Piece(bytes) => stream.pass(Item::Piece(bytes.0))?,
            Flow::Credit(bytes) => stream.add_credit(bytes)?,
            Flow::End => {
                stream.pass(Item::End)?;
                stream.ended = true;
                if stream.answered {
                    streams.remove(&id);
                }
            }
            Flow::Close => drop(streams.remove(&id)),
        }
        Ok(())
    }

    /// Takes a connection to the door.
    fn connect(self: &Arc<Self>, number: u64) -> Result<(), &'static str> {
        let Some(door) = &self.door else { return Err("the relay has no door") };
        if self.last_connection.swap(number, Ordering::AcqRel) >= number {
            return Err("the relay counted connections wrong");
        }
        let id = StreamId::Connection(number);
        let open = self.streams().keys().filter(|id| matches!(id, StreamId::Connection(_))).count();
        if open >= MAX_CONNECTIONS {
            return Err("the relay made too many connections");
        }
        let joined = connected().and_then(|(ours, theirs)| {
            let ours = OwnedFd::from(ours);
            Ok((Source::waiting(ours.try_clone()?)?, Sink::waiting(ours)?, theirs))
        });
        let handed = joined.and_then(|(source, sink, theirs)| {
            door.try_send(theirs).map_err(io::Error::other).map(|()| (source, sink))
        });
        match handed {
            Ok((source, sink)) => {
                let mut stream = self.open_stream(id, sink);
                stream.set_source(self.open_source(id, source, &stream));
                self.streams().insert(id, stream);
            }
            // Nobody takes them any more, or there are no descriptors left.
            Err(_) => drop(self.out.try_send(Down::Stream(id, Flow::Close))),
        }
        Ok(())
    }

    /// Takes what is asked of the hand, and passes it on.
    async fn ask(self: &Arc<Self>) -> String {
        loop {
            let mut ready = match self.socket.readable().await {
                Ok(ready) => ready,
                Err(error) => return error.to_string(),
            };
            let asked = match channel::receive::<Request>(self.socket.get_ref()) {
                Ok(Received { message, descriptors }) => self.pass(message, descriptors).await,
                Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    continue;
                }
                Err(error) => return error.to_string(),
            };
            if let Err(error) = asked {
                return format!("a request could not be passed on: {error}");
            }
        }
    }

    async fn pass(self: &Arc<Self>, request: Request, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let id = StreamId::Request(request.id);
        let size = self.sizes.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.id);
        let ends = Ends::of(&request.body, descriptors)?;
        let mut waiting = None;
        if let Some(Ends { source, sink, comes }) = ends {
            let mut stream = self.open_stream(id, sink);
            stream.ended = !comes;
            waiting = source;
            self.streams().insert(id, stream);
        }
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.out.send(Down::Ask { request, size }).await.map_err(gone)?;
        // What follows a request must not overtake it.
        if let (Some(source), Some(stream)) = (waiting, self.streams().get_mut(&id)) {
            let opened = self.open_source(id, source, stream);
            stream.set_source(opened);
        }
        Ok(())
    }

    fn lines(&self, id: StreamId) -> Lines {
        Lines { id, out: self.out.clone(), answers: self.answers.clone() }
    }

    fn open_stream(&self, id: StreamId, sink: Sink) -> Stream {
        let (stream, items) = Stream::new();
        let (lines, untaken, mut ended) = (self.lines(id), stream.untaken(), self.ended.clone());
        drop(tokio::spawn(async move {
            tokio::select! {
                () = lines.sink(sink, items, untaken) => {}
                _ = ended.wait_for(|ended| *ended) => {}
            }
        }));
        stream
    }

    fn open_source(&self, id: StreamId, source: Source, stream: &Stream) -> tokio::task::AbortHandle {
        tokio::spawn(self.lines(id).send(source, stream.credit())).abort_handle()
    }

    /// Gives answers to whoever has asked.
    async fn answer(&self, mut answers: mpsc::Receiver<Reply>) -> String {
        while let Some(reply) = answers.recv().await {
            loop {
                let mut ready = match self.socket.writable().await {
                    Ok(ready) => ready,
                    Err(error) => return error.to_string(),
                };
                match channel::send(self.socket.get_ref(), &reply, &[]) {
                    Ok(()) => break,
                    Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready.clear_ready();
                    }
                    Err(error) => return error.to_string(),
                }
            }
        }
        String::new()
    }
}

/// The two ends of a new connection of this process with itself. Doors read connections, so nothing else would do; nobody else's is taken
/// for it, and nobody else's is left waiting.
fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let address = ours.local_addr()?;
    for _ in 0..STRANGERS {
        let (theirs, from) = listener.accept()?;
        if from == address {
            return Ok((ours, theirs));
        }
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// The next thing that the relay says.
async fn next(from: &mut (impl AsyncRead + Unpin), splitter: &mut Splitter) -> Result<Up, String> {
    let mut bytes = vec![0; TAKE];
    loop {
        match splitter.next_message() {
            Ok(Some(up)) => return Ok(up),
            Ok(None) => {}
            Err(error) => return Err(format!("the relay broke the protocol: {error}")),
        }
        match from.read(&mut bytes).await {
            Ok(0) => return Err("its first process ended".to_owned()),
            Ok(length) => splitter.push(bytes.get(..length).unwrap_or_default()),
            Err(error) => return Err(format!("the connection to its first process failed: {error}")),
        }
    }
}

/// Says to the relay what is to be said.
async fn speak(mut to: impl AsyncWrite + Unpin, mut sending: mpsc::Receiver<Down>) -> String {
    let mut bytes = Vec::new();
    while let Some(down) = sending.recv().await {
        let mut next = Some(down);
        while let Some(down) = next {
            if let Err(error) = tunnel::append(&down, &mut bytes) {
                return error.to_string();
            }
            next = if bytes.len() < AT_ONCE { sending.try_recv().ok() } else { None };
        }
        let sent = async {
            to.write_all(&bytes).await?;
            to.flush().await
        };
        if let Err(error) = sent.await {
            return format!("the connection to its first process failed: {error}");
        }
        bytes.clear();
    }
    String::new()
}

/// What is at this end of the descriptors of a request.
struct Ends {
    source: Option<Source>,
    sink: Sink,
    /// Whether the relay will say when there is no more to come.
    comes: bool,
}

impl Ends {
    /// By what is asked; `None` for what comes without descriptors.
    fn of(body: &RequestBody, descriptors: Vec<OwnedFd>) -> io::Result<Option<Self>> {
        let mut descriptors = descriptors.into_iter();
        let mut take = || descriptors.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
        let ends = match body {
            RequestBody::Start(start) => match start.streams {
                Streams::Output => Self { source: None, sink: Sink::waiting(take()?)?, comes: true },
                Streams::InputOutput => {
                    let source = Source::of(take()?, u64::MAX)?;
                    Self { source: Some(source), sink: Sink::waiting(take()?)?, comes: true }
                }
                Streams::Terminal => {
                    let terminal = take()?;
                    let source = Source::waiting(terminal.as_fd().try_clone_to_owned()?)?;
                    Self { source: Some(source), sink: Sink::waiting(terminal)?, comes: true }
                }
            },
            RequestBody::Read { .. } | RequestBody::List { .. } => {
                Self { source: None, sink: Sink::Memory(take()?.into()), comes: true }
            }
            RequestBody::Search(_) => Self { source: None, sink: Sink::waiting(take()?)?, comes: true },
            RequestBody::Write { length, .. } => {
                let source = Source::of(take()?, (*length).min(MAX_CONTENT))?;
                Self { source: Some(source), sink: Sink::Nowhere, comes: false }
            }
            RequestBody::Hello
            | RequestBody::Kill { .. }
            | RequestBody::Remove { .. }
            | RequestBody::Stat { .. }
            | RequestBody::Ping
            | RequestBody::SelfTest(_)
            | RequestBody::Shutdown => return Ok(None),
        };
        Ok(Some(ends))
    }
}
