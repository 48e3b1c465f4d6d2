//! A started command: its output as it comes, its end, its limits in time.
//!
//! One task per command reads its output as it comes, waits for the hand's word that the command has ended, takes the
//! rest that is in the pipe by then, and goes on reading for what the command left running. The hand's word about the exit status is taken for what
//! it is: the status of an untrusted program.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use cofferdam_domain::evidence::Exit;
use cofferdam_hand::protocol::message::{Exited, ReplyBody, RequestBody, RequestId, Status};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{Notify, oneshot, watch},
    time::{sleep, sleep_until, timeout},
};

use super::{
    cgroup::OutOfMemory,
    connection::{ANSWER, Connection, Replies, wrong_reply},
    output::Bounded,
    ready::register,
};
use crate::{Command, Finished, Process, SandboxError};

/// How long killing a process tree may take.
const KILLING: Duration = Duration::from_secs(20);
/// Bytes that one read takes.
const PIECE: usize = 64 << 10;
/// Bytes that are read of one command without a pause, and the pause: whoever prints without end does so at this pace, and what others print
/// is read meanwhile. The writer waits with a full pipe, and takes no processor time either.
const TURN: usize = 512 << 10;
const PAUSE: Duration = Duration::from_millis(2);
/// What can be in a pipe or terminal when a command ends; more than this is from what it left running.
const REST: usize = 1 << 20;
/// Exit status of a command whose watcher was killed together with it, as for any killed process.
const SIGKILL: i32 = 9;

/// How a started command is to be watched.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) timeout: Duration,
    pub(super) output_limit: u64,
    pub(super) terminal: bool,
    pub(super) memory: OutOfMemory,
}

impl Watch {
    /// What a command asks for itself.
    pub(super) const fn of(command: &Command, memory: OutOfMemory) -> Self {
        let Command { timeout, output_limit, terminal, .. } = command;
        Self { timeout: *timeout, output_limit: *output_limit, terminal: *terminal, memory }
    }
}

/// A command in a sandbox.
#[derive(Debug)]
pub(super) struct NativeProcess {
    connection: Arc<Connection>,
    id: RequestId,
    shared: Arc<Mutex<Shared>>,
    more: Arc<Notify>,
    stage: watch::Receiver<Stage>,
    host: Arc<AsyncFd<OwnedFd>>,
    terminal: bool,
    /// Whether something of it may still run.
    left: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Shared {
    all: Bounded,
    untaken: Bounded,
}

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Running,
    /// It has ended, so long after its start; what it started may still run.
    Ended {
        exit: Exit,
        elapsed: Duration,
        out_of_memory: bool,
    },
    /// The sandbox went first.
    Gone,
}

impl NativeProcess {
    /// Watches a command that the hand has been told to start. The other value is the hand's first answer, which says whether it did.
    pub(super) fn watch(
        connection: Arc<Connection>,
        replies: Replies,
        host: OwnedFd,
        watch: Watch,
    ) -> io::Result<(Self, oneshot::Receiver<Answer>)> {
        let Watch { timeout, output_limit, terminal, memory } = watch;
        let interest = if terminal { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let host = Arc::new(register(host, interest)?);
        let shared = Arc::new(Mutex::new(Shared {
            all: Bounded::new(output_limit),
            untaken: Bounded::new(output_limit),
        }));
        let (more, left) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
        let (sender, stage) = watch::channel(Stage::Running);
        let id = replies.id;
        let (answer, answered) = oneshot::channel();
        let reader = Reader {
            host: Arc::clone(&host),
            shared: Arc::clone(&shared),
            more: Arc::clone(&more),
            turn: 0,
            since: Instant::now(),
        };
        let follow = Follow {
            connection: Arc::clone(&connection),
            replies,
            timeout,
            memory,
            reader,
            stage: sender,
            left: Arc::clone(&left),
        };
        // There already when the command starts, so that it does not take time from it.
        tokio::spawn(follow.run(answer));
        Ok((Self { connection, id, shared, more, stage, host, terminal, left }, answered))
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the hand says when it is told to start a command.
pub(super) type Answer = Result<ReplyBody, SandboxError>;

/// Follows a command: what the hand says of it, and what it prints.
struct Follow {
    connection: Arc<Connection>,
    replies: Replies,
    timeout: Duration,
    memory: OutOfMemory,
    reader: Reader,
    stage: watch::Sender<Stage>,
    left: Arc<AtomicBool>,
}

impl Follow {
    async fn run(mut self, answer: oneshot::Sender<Answer>) {
        let first = self.replies.next(ANSWER).await;
        let runs = matches!(first, Ok(ReplyBody::Started));
        self.left.store(runs, Ordering::Relaxed);
        // Fails when nobody wants to know any more.
        answer.send(first).ok();
        if !runs {
            return;
        }
        let (last, mut open) = self.until_it_ends().await;
        if open {
            open = self.reader.read_rest();
        }
        self.stage.send(last).ok();
        let Self { mut replies, mut reader, stage, left, .. } = self;
        let mut more_replies = true;
        while open {
            tokio::select! {
                () = stage.closed() => break,
                more = reader.read_some() => open = more,
                reply = replies.wait(), if more_replies => more_replies = reply.is_some(),
            }
        }
        // Whoever still writes learns that nobody reads.
        drop(reader);
        // The last reply: that nothing of it is left.
        while more_replies {
            more_replies = replies.wait().await.is_some();
        }
        left.store(false, Ordering::Relaxed);
    }

    /// Reads what it prints until it has ended; says how, and whether there may be more to read.
    async fn until_it_ends(&mut self) -> (Stage, bool) {
        let started = Instant::now();
        let mut deadline = pin!(until(started.checked_add(self.timeout)));
        let mut open = true;
        let exit = loop {
            tokio::select! {
                reply = self.replies.wait() => match reply {
                    Some(ReplyBody::Exited(exited)) => break exit(exited),
                    Some(_) => {
                        wrong_reply(&self.connection);
                        return (Stage::Gone, open);
                    }
                    None => return (Stage::Gone, open),
                },
                () = &mut deadline => match kill(&self.connection, self.replies.id).await {
                    Ok(()) => break Exit::TimedOut,
                    Err(_) => return (Stage::Gone, open),
                },
                more = self.reader.read_some(), if open => open = more,
            }
        };
        let out_of_memory = exit != Exit::Code(0) && self.memory.happened();
        (Stage::Ended { exit, elapsed: started.elapsed(), out_of_memory }, open)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        // Further away than the clock counts.
        None => std::future::pending().await,
    }
}

fn exit(exited: Exited) -> Exit {
    match exited.status {
        Status::Code(code) => Exit::Code(code.into()),
        Status::Signal(signal) => Exit::Signal(signal.into()),
        Status::Lost => Exit::Signal(SIGKILL),
    }
}

/// Kills a command's whole tree, once the sandbox is not frozen; if the hand cannot, the whole sandbox.
async fn kill(connection: &Arc<Connection>, id: RequestId) -> Result<(), SandboxError> {
    connection.thawed().await;
    let reply = connection.ask(RequestBody::Kill { target: id }, &[], KILLING).await?;
    let ReplyBody::Killed { survivors } = reply else { return Err(wrong_reply(connection)) };
    if survivors == 0 {
        return Ok(());
    }
    connection.end(&format!("{survivors} processes could not be killed"));
    Err(connection.gone())
}

/// Reads output.
struct Reader {
    host: Arc<AsyncFd<OwnedFd>>,
    shared: Arc<Mutex<Shared>>,
    more: Arc<Notify>,
    /// Bytes that have been read since the last pause, or since there was nothing to read for as long as one.
    turn: usize,
    since: Instant,
}

impl Reader {
    /// Reads a piece when there is one; false at the end of the output.
    async fn read_some(&mut self) -> bool {
        if self.turn >= TURN {
            sleep(PAUSE).await;
            self.turn = 0;
        }
        let Ok(mut ready) = self.host.readable().await else { return false };
        match self.read() {
            Read::Piece(length) => {
                let now = Instant::now();
                let quiet = now.duration_since(std::mem::replace(&mut self.since, now)) >= PAUSE;
                self.turn = if quiet { length } else { self.turn + length };
                true
            }
            Read::NothingYet => {
                ready.clear_ready();
                true
            }
            Read::End => false,
        }
    }

    /// Reads what there is right now, within reason; false at the end of the output.
    fn read_rest(&self) -> bool {
        let mut rest = 0;
        while rest < REST {
            match self.read() {
                Read::Piece(length) => rest += length,
                Read::NothingYet => return true,
                Read::End => return false,
            }
        }
        true
    }

    fn read(&self) -> Read {
        let mut piece = vec![0; PIECE];
        match rustix::io::retry_on_intr(|| rustix::io::read(self.host.get_ref(), &mut piece)) {
            // A terminal whose other side is closed says EIO.
            Ok(0) | Err(rustix::io::Errno::IO) => Read::End,
            Ok(length) => {
                let piece = piece.get(..length).unwrap_or_default();
                let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.all.push(piece);
                shared.untaken.push(piece);
                self.more.notify_one();
                Read::Piece(length)
            }
            Err(rustix::io::Errno::AGAIN) => Read::NothingYet,
            Err(_) => Read::End,
        }
    }
}

/// What a read brought.
enum Read {
    Piece(usize),
    NothingYet,
    End,
}

#[async_trait]
impl Process for NativeProcess {
    fn take_output(&mut self) -> Vec<u8> {
        self.shared().untaken.take().joined()
    }

    async fn stir(&mut self, patience: Duration) {
        if !self.shared().untaken.is_empty() {
            return;
        }
        let stirred = async {
            tokio::select! {
                () = self.more.notified() => {}
                // An error means that nobody is left who could say more.
                _ = self.stage.wait_for(|stage| *stage != Stage::Running) => {}
            }
        };
        timeout(patience, stirred).await.ok();
    }

    async fn write_input(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        let closed = |source| SandboxError::Setup { step: "write to the command's input".to_owned(), source };
        if !self.terminal {
            let why = "it was started without a terminal; give its input when starting it";
            return Err(closed(io::Error::new(io::ErrorKind::Unsupported, why)));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let ready = timeout(ANSWER, self.host.writable()).await;
            let mut ready = ready.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(closed)?;
            match rustix::io::write(self.host.get_ref().as_fd(), rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(closed(errno.into())),
            }
        }
        Ok(())
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        if self.terminal {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            // A terminal that nobody has any more needs no size.
            tcsetwinsize(self.host.get_ref(), size).ok();
        }
    }

    async fn wait(&mut self, patience: Duration) -> Result<Option<Finished>, SandboxError> {
        let ended = timeout(patience, self.stage.wait_for(|stage| *stage != Stage::Running)).await;
        let stage = match ended.map(|stage| stage.map(|stage| stage.clone())) {
            Ok(Ok(stage)) => stage,
            Ok(Err(_)) => Stage::Gone,
            Err(_) => return Ok(None),
        };
        match stage {
            Stage::Ended { exit, elapsed, out_of_memory } => {
                Ok(Some(Finished { exit, output: self.shared().all.output(), elapsed, out_of_memory }))
            }
            Stage::Gone => Err(self.connection.gone()),
            Stage::Running => Ok(None),
        }
    }

    async fn kill(&mut self) -> Result<(), SandboxError> {
        if self.connection.is_frozen() {
            return Err(SandboxError::Frozen);
        }
        kill(&self.connection, self.id).await
    }
}

impl Drop for NativeProcess {
    fn drop(&mut self) {
        if !self.left.load(Ordering::Relaxed) {
            return;
        }
        let (connection, id) = (Arc::clone(&self.connection), self.id);
        // Without a runtime the worker is ending, and every sandbox with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                kill(&connection, id).await.ok();
            });
        }
    }
}
