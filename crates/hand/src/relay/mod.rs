//! The relay: process 1 of a sandbox that something else has made, a container engine or a virtual machine, and that
//! the host reaches through two streams of bytes only.
//!
//! It puts up the walls that a process can put up around itself, starts a hand as its child, and passes on what the
//! host and the hand say to each other ([`cofferdam_hand::protocol::tunnel`]). Descriptors that the host would send
//! with a request are made here, and what passes through them is sent as streams. One thread, one loop, and nothing in
//! it waits for anybody: what cannot be written yet is kept, within the windows of the streams.
//!
//! What holds, and why:
//! * The host's streams exist in this process only. It is not dumpable, and as process 1 it gets no signal from inside.
//! * The hand is a process like any other, and commands run as its user, so they can kill it. Then everything below this
//!   process is killed, what was asked is answered accordingly, and another hand takes its place.
//! * When the host closes its stream this process ends, and with process 1 everything else.

mod asked;
mod stream;

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::CString,
    io,
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError},
    message::{Reply, ReplyBody, Request, RequestBody, RequestId},
    tunnel::{self, Down, Flow, MAX_CONNECTIONS, Size, Splitter, StreamId, Up},
    zygote::PROXY_PORT,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::DumpableBehavior,
};

use self::{
    asked::Asked,
    stream::{Given, Stream},
};
use crate::{init, sys, sys::process::Fork, zygote};

/// Exit status when the host broke the protocol, as in BSD's `sysexits.h` (`EX_PROTOCOL`).
const PROTOCOL_BROKEN: u8 = 76;
/// Exit status when the system refused something that must work (`EX_OSERR`).
const SYSTEM_FAILED: u8 = 71;
/// Bytes that may wait to be taken by the host before no more are read from streams.
const ROOM: usize = 1 << 20;
/// Bytes that one read takes from the host.
const TAKE: usize = 128 << 10;
/// Hands that one sandbox may use up.
const MOST_HANDS: u32 = 1000;
/// The relay's own greeting to a hand that takes the place of another; the host has greeted the first.
const GREETING: RequestId = RequestId(u64::MAX);

/// Serves the host on standard input and output until it closes the former; with a door if there is to be one.
pub(crate) fn run(door: bool) -> ExitCode {
    if std::env::vars_os().next().is_some() {
        // Only when it could not be.
        drop(run_anew());
        return ExitCode::from(SYSTEM_FAILED);
    }
    match Relay::new(door).and_then(|mut relay| relay.serve()) {
        Ok(End::HostGone) => ExitCode::SUCCESS,
        Ok(End::ProtocolBroken) => ExitCode::from(PROTOCOL_BROKEN),
        Err(_) => ExitCode::from(SYSTEM_FAILED),
    }
}

/// Replaces this program by itself without an environment: engines give one to process 1, and not every kernel keeps it from being read.
fn run_anew() -> io::Error {
    let args =
        std::env::args_os().map(|arg| CString::new(arg.into_encoded_bytes())).collect::<Result<Vec<_>, _>>();
    args.map_or_else(io::Error::from, |args| sys::process::execute(c"/proc/self/exe", &args, &[]))
}

/// Why the relay ends.
enum End {
    /// The host closed its stream.
    HostGone,
    /// The host sent what it may not send.
    ProtocolBroken,
}

/// Something that is ready.
#[derive(Debug, Clone, Copy)]
enum Ready {
    /// The host has sent something.
    Host,
    /// The host takes something.
    HostTakes,
    /// The hand has answered, or ended.
    Hand,
    /// The hand takes something.
    HandTakes,
    /// Somebody connects to the door.
    Door,
    /// A stream's source has something.
    Source(StreamId),
    /// A stream's sink takes something.
    Sink(StreamId),
}

/// The state of the relay.
struct Relay {
    /// The control socket of the hand.
    hand: OwnedFd,
    hands: u32,
    /// What the hand has not taken yet, with its descriptors.
    for_hand: VecDeque<(Request, Vec<OwnedFd>)>,
    /// What it has not answered to the end.
    asked: BTreeMap<RequestId, Asked>,
    streams: BTreeMap<StreamId, Stream>,
    door: Option<TcpListener>,
    last_connection: u64,
    incoming: Splitter,
    /// For the host.
    out: Vec<u8>,
}

impl Relay {
    fn new(door: bool) -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        let door = if door { Some(open_door()?) } else { None };
        let landlock = zygote::wall_in()?;
        rustix::io::ioctl_fionbio(rustix::stdio::stdin(), true)?;
        rustix::io::ioctl_fionbio(rustix::stdio::stdout(), true)?;
        let mut relay = Self {
            hand: start_hand()?,
            hands: 1,
            for_hand: VecDeque::new(),
            asked: BTreeMap::new(),
            streams: BTreeMap::new(),
            door,
            last_connection: 0,
            incoming: Splitter::default(),
            out: Vec::new(),
        };
        relay.say(&Up::Ready { landlock })?;
        Ok(relay)
    }

    fn serve(&mut self) -> io::Result<End> {
        loop {
            self.settle()?;
            for ready in self.wait()? {
                match ready {
                    Ready::Host => {
                        if let Some(end) = self.hear()? {
                            return Ok(end);
                        }
                    }
                    Ready::HostTakes => match write(rustix::stdio::stdout(), &mut self.out) {
                        Ok(_) => {}
                        Err(Errno::PIPE) => return Ok(End::HostGone),
                        Err(errno) => return Err(errno.into()),
                    },
                    Ready::Hand => self.hear_hand()?,
                    Ready::HandTakes => self.ask_hand()?,
                    Ready::Door => self.accept()?,
                    Ready::Source(id) => self.pump(id)?,
                    Ready::Sink(id) => self.drain(id)?,
                }
            }
        }
    }

    /// Waits for something to do, and says what there is.
    fn wait(&self) -> io::Result<Vec<Ready>> {
        let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        let mut whats = vec![Ready::Host, Ready::Hand];
        let mut fds = vec![PollFd::new(&stdin, PollFlags::IN), PollFd::new(&self.hand, PollFlags::IN)];
        let mut add = |what, fd, flags| {
            whats.push(what);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        if !self.out.is_empty() {
            add(Ready::HostTakes, stdout, PollFlags::OUT);
        }
        if !self.for_hand.is_empty() {
            add(Ready::HandTakes, self.hand.as_fd(), PollFlags::OUT);
        }
        if let Some(door) = self.door.as_ref().filter(|_| self.connections() < MAX_CONNECTIONS) {
            add(Ready::Door, door.as_fd(), PollFlags::IN);
        }
        for (id, stream) in &self.streams {
            if let Some(source) = stream.source_to_wait_for().filter(|_| self.out.len() < ROOM) {
                add(Ready::Source(*id), source, PollFlags::IN);
            }
            if let Some(sink) = stream.sink_to_wait_for() {
                add(Ready::Sink(*id), sink, PollFlags::OUT);
            }
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = fds.iter().zip(whats).filter(|(fd, _)| !fd.revents().is_empty());
        Ok(ready.map(|(_, what)| what).collect())
    }

    fn connections(&self) -> usize {
        self.streams.keys().filter(|id| matches!(id, StreamId::Connection(_))).count()
    }

    fn say(&mut self, message: &Up) -> io::Result<()> {
        tunnel::append(message, &mut self.out).map_err(io::Error::other)
    }

    /// Takes what the host has sent.
    fn hear(&mut self) -> io::Result<Option<End>> {
        let mut bytes = vec![0; TAKE];
        let length = match rustix::io::read(rustix::stdio::stdin(), &mut bytes) {
            Ok(0) => return Ok(Some(End::HostGone)),
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        self.incoming.push(bytes.get(..length).unwrap_or_default());
        loop {
            match self.incoming.next_message::<Down>() {
                Ok(Some(Down::Ask { request, size })) => self.ask(request, size)?,
                Ok(Some(Down::Resize { id, size })) => {
                    if let Some(stream) = self.streams.get(&StreamId::Request(id)) {
                        stream.resize(size);
                    }
                }
                Ok(Some(Down::Stream(id, flow))) => self.flow(id, flow)?,
                Ok(None) => return Ok(None),
                Err(_) => return Ok(Some(End::ProtocolBroken)),
            }
        }
    }

    /// Takes a request, and makes what must come with it.
    fn ask(&mut self, request: Request, size: Option<Size>) -> io::Result<()> {
        let id = request.id;
        self.asked.insert(id, Asked::new(&request.body));
        let given = match Given::make(&request.body, size) {
            Ok(given) => given,
            Err(error) => {
                let why = format!("the sandbox has no room for it: {error}");
                let answers = self.asked.remove(&id).map(|asked| asked.lost(&why));
                for body in answers.into_iter().flatten() {
                    self.say(&Up::Answer(Reply { id, body }))?;
                }
                return self.say(&Up::Stream(StreamId::Request(id), Flow::End));
            }
        };
        let Given { stream, descriptors } = given;
        if let Some(stream) = stream {
            let stream = stream.with_request(request.clone());
            let waits = stream.waits_for_content();
            self.streams.insert(StreamId::Request(id), stream);
            if waits {
                return Ok(());
            }
        }
        self.for_hand.push_back((request, descriptors));
        self.ask_hand()
    }

    /// Does what the host says of a stream. One that has ended meanwhile is nobody's business any more.
    fn flow(&mut self, id: StreamId, flow: Flow) -> io::Result<()> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        match flow {
            Flow::Piece(bytes) => {
                let taken = stream.take(&bytes.0)?;
                if let Some(whole) = stream.whole_content()? {
                    self.for_hand.push_back(whole);
                }
                self.credit(id, taken)?;
                self.ask_hand()?;
                self.drain(id)
            }
            Flow::End => {
                stream.end_input();
                self.drain(id)
            }
            Flow::Credit(bytes) => {
                stream.credit(bytes);
                self.pump(id)
            }
            Flow::Close => {
                self.streams.remove(&id);
                Ok(())
            }
        }
    }

    fn credit(&mut self, id: StreamId, taken: usize) -> io::Result<()> {
        match u32::try_from(taken) {
            Ok(taken @ 1..) => self.say(&Up::Stream(id, Flow::Credit(taken))),
            Ok(0) | Err(_) => Ok(()),
        }
    }

    /// Gives the hand what it takes.
    fn ask_hand(&mut self) -> io::Result<()> {
        while let Some((request, descriptors)) = self.for_hand.front() {
            let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            match channel::send(&self.hand, request, &descriptors) {
                Ok(()) => self.for_hand.pop_front(),
                Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Its end shows on the next receive.
                Err(_) => break,
            };
        }
        Ok(())
    }

    /// Takes the hand's answers.
    fn hear_hand(&mut self) -> io::Result<()> {
        loop {
            match channel::receive::<Reply>(&self.hand) {
                Ok(received) if received.message.id == GREETING => {}
                Ok(received) => self.answer(received.message)?,
                Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(());
                }
                Err(_) => return self.replace_hand(),
            }
        }
    }

    /// Passes an answer on, after what belongs to it.
    fn answer(&mut self, reply: Reply) -> io::Result<()> {
        let id = reply.id;
        let goes_on = self.asked.get_mut(&id).is_some_and(|asked| asked.goes_on_after(&reply.body));
        if !goes_on {
            self.asked.remove(&id);
        }
        match self.streams.get_mut(&StreamId::Request(id)) {
            Some(stream) if reply.body != ReplyBody::Started => stream.hold(reply),
            Some(_) | None => self.say(&Up::Answer(reply)),
        }
    }

    /// Passes on what is held back, where all that belongs to it has been read.
    fn settle(&mut self) -> io::Result<()> {
        let held: Vec<StreamId> =
            self.streams.iter().filter(|(_, stream)| stream.holds()).map(|(id, _)| *id).collect();
        held.into_iter().try_for_each(|id| self.pump(id))
    }

    /// Reads from a stream as much as there is, and as may be sent.
    fn pump(&mut self, id: StreamId) -> io::Result<()> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let pumped = stream.pump(|piece| {
            tunnel::append(&Up::Stream(id, Flow::Piece(piece)), &mut self.out).map_err(io::Error::other)?;
            Ok(self.out.len() < ROOM)
        })?;
        let answers = if pumped.settled { stream.release() } else { Vec::new() };
        answers.into_iter().try_for_each(|reply| self.say(&Up::Answer(reply)))?;
        if let Some(last) = pumped.last {
            self.say(&Up::Stream(id, last))?;
        }
        self.forget(id)
    }

    /// Writes to a stream what it takes.
    fn drain(&mut self, id: StreamId) -> io::Result<()> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        match stream.drain() {
            Ok(taken) => self.credit(id, taken)?,
            Err(_) if matches!(id, StreamId::Connection(_)) => {
                self.streams.remove(&id);
                self.say(&Up::Stream(id, Flow::Close))?;
            }
            // The command reads no more; the rest is for nobody.
            Err(_) => {}
        }
        self.forget(id)
    }

    /// Forgets a stream that has come to its end: that of a request when it has been answered, whatever is left of its input.
    fn forget(&mut self, id: StreamId) -> io::Result<()> {
        let Some(stream) = self.streams.get(&id) else { return Ok(()) };
        match id {
            StreamId::Request(request) if !self.asked.contains_key(&request) && stream.is_read() => {
                self.streams.remove(&id);
            }
            StreamId::Connection(_) if stream.is_read() && stream.is_written() => {
                self.streams.remove(&id);
                self.say(&Up::Stream(id, Flow::Close))?;
            }
            StreamId::Request(_) | StreamId::Connection(_) => {}
        }
        Ok(())
    }

    /// Takes a connection to the door.
    fn accept(&mut self) -> io::Result<()> {
        let Some(door) = &self.door else { return Ok(()) };
        // Whoever has gone away again, or has to wait for room, is no trouble of this process.
        let Ok((connection, _)) = door.accept() else { return Ok(()) };
        let Ok(stream) = Stream::connection(connection) else { return Ok(()) };
        self.last_connection += 1;
        self.streams.insert(StreamId::Connection(self.last_connection), stream);
        self.say(&Up::Connected(self.last_connection))
    }

    /// After the end of the hand: ends everything, answers what was asked, and starts another.
    fn replace_hand(&mut self) -> io::Result<()> {
        self.hands += 1;
        if self.hands > MOST_HANDS {
            return Err(io::Error::other("too many hands were killed"));
        }
        init::end_all();
        self.hand = start_hand()?;
        self.for_hand = VecDeque::from([(Request { id: GREETING, body: RequestBody::Hello }, Vec::new())]);
        for (id, asked) in std::mem::take(&mut self.asked) {
            for body in asked.lost("the sandbox's first process was killed with it") {
                self.answer(Reply { id, body })?;
            }
        }
        self.ask_hand()
    }
}

/// Writes as much as is taken; says how much that was.
fn write(to: impl AsFd, bytes: &mut Vec<u8>) -> rustix::io::Result<usize> {
    let mut written = 0;
    let done = loop {
        match rustix::io::write(&to, bytes.get(written..).unwrap_or_default()) {
            Ok(0) | Err(Errno::AGAIN) => break Ok(written),
            Ok(length) => written += length,
            Err(Errno::INTR) => {}
            Err(errno) => break Err(errno),
        }
        if written == bytes.len() {
            break Ok(written);
        }
    };
    bytes.drain(..written);
    done
}

/// Forks a hand; gives the other end of its control socket, which does not block.
fn start_hand() -> io::Result<OwnedFd> {
    let (ours, theirs) = channel::pair()?;
    match sys::process::fork()? {
        Fork::Parent(_) => {
            rustix::io::ioctl_fionbio(&ours, true)?;
            Ok(ours)
        }
        Fork::Child => {
            if sys::process::close_all_but(&[theirs.as_fd()]).is_ok() {
                let _ = init::run(theirs);
            }
            sys::process::exit_now(0)
        }
    }
}

fn open_door() -> io::Result<TcpListener> {
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT))?;
    door.set_nonblocking(true)?;
    Ok(door)
}
