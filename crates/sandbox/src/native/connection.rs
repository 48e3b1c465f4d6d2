//! Talking to one hand, which is hostile until proven otherwise: each reply is bounded, decoded strictly, belongs to a request that was
//! made, and comes in time; at the first that does not, the sandbox is killed and every caller hears why.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError},
    message::{Reply, ReplyBody, Request, RequestBody, RequestId},
};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, watch},
    time::timeout,
};

use super::ready::{register, room};
use crate::SandboxError;

/// How long a hand may take to answer what it can do at once. Generous, because the machine may be very busy.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// Replies that may wait for a caller; no request has more.
const REPLIES: usize = 4;
/// After so many replies in a row the reader lets others run.
const TURN: u32 = 64;

/// How a sandbox is ended from here.
#[derive(Debug)]
pub(super) enum Life {
    /// By killing its process 1.
    Process(Arc<OwnedFd>),
    /// By whoever waits for this to become true.
    Elsewhere(watch::Sender<bool>),
}

impl From<Arc<OwnedFd>> for Life {
    fn from(pidfd: Arc<OwnedFd>) -> Self {
        Self::Process(pidfd)
    }
}

/// One hand.
#[derive(Debug)]
pub(super) struct Connection {
    socket: AsyncFd<OwnedFd>,
    life: Life,
    next: AtomicU64,
    waiting: Mutex<HashMap<RequestId, mpsc::Sender<ReplyBody>>>,
    ended: OnceLock<String>,
    /// Whether the sandbox's processes are stopped.
    frozen: watch::Sender<bool>,
}

/// The replies to one request.
#[derive(Debug)]
pub(super) struct Replies {
    pub(super) id: RequestId,
    receiver: mpsc::Receiver<ReplyBody>,
    connection: Arc<Connection>,
}

impl Connection {
    /// Takes over the host's end of a control socket. Must be called in a tokio runtime.
    pub(super) fn open(socket: OwnedFd, life: impl Into<Life>) -> io::Result<Arc<Self>> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let connection = Arc::new(Self {
            socket: register(socket, Interest::READABLE)?,
            life: life.into(),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            ended: OnceLock::new(),
            frozen: watch::Sender::new(false),
        });
        tokio::spawn(read_replies(Arc::clone(&connection)));
        Ok(connection)
    }

    /// Asks for something that has one reply.
    pub(super) async fn ask(
        self: &Arc<Self>,
        body: RequestBody,
        descriptors: &[BorrowedFd<'_>],
        patience: Duration,
    ) -> Result<ReplyBody, SandboxError> {
        self.request(body, descriptors).await?.next(patience).await
    }

    /// Asks for something; the replies come one by one.
    pub(super) async fn request(
        self: &Arc<Self>,
        body: RequestBody,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Replies, SandboxError> {
        self.request_as(self.next_id(), body, descriptors).await
    }

    /// The name of a request that is going to be made, for [`Self::request_as`].
    pub(super) fn next_id(&self) -> RequestId {
        RequestId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The same, with the name that [`Self::next_id`] has given for it.
    pub(super) async fn request_as(
        self: &Arc<Self>,
        id: RequestId,
        body: RequestBody,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Replies, SandboxError> {
        if self.is_frozen() && self.lives() {
            return Err(SandboxError::Frozen);
        }
        let (sender, receiver) = mpsc::channel(REPLIES);
        self.lock().insert(id, sender);
        let replies = Replies { id, receiver, connection: Arc::clone(self) };
        if self.ended.get().is_some() {
            return Err(self.gone());
        }
        match timeout(ANSWER, self.send(&Request { id, body }, descriptors)).await {
            Ok(Ok(())) => Ok(replies),
            Ok(Err(ChannelError::Frame(error))) => {
                self.lock().remove(&id);
                Err(SandboxError::Setup {
                    step: "send a request to the hand".to_owned(),
                    source: io::Error::other(error),
                })
            }
            Ok(Err(_)) => {
                self.end("its control socket is closed");
                Err(self.gone())
            }
            Err(_) => {
                self.end("it takes no requests");
                Err(self.gone())
            }
        }
    }

    async fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        loop {
            match channel::send(self.socket.get_ref(), request, descriptors) {
                Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    room(self.socket.get_ref().as_fd()).await?;
                }
                done => return done,
            }
        }
    }

    /// Kills the sandbox for what the hand did.
    pub(super) fn end(&self, why: &str) {
        // The first reason is the one that counts.
        self.ended.set(why.to_owned()).ok();
        match &self.life {
            // It has ended by itself otherwise.
            Life::Process(pidfd) => drop(pidfd_send_signal(pidfd.as_fd(), Signal::KILL)),
            Life::Elsewhere(end) => drop(end.send_replace(true)),
        }
        self.lock().clear();
        self.set_frozen(false);
    }

    /// Takes note of whether the sandbox's processes are stopped.
    pub(super) fn set_frozen(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// Whether they are.
    pub(super) fn is_frozen(&self) -> bool {
        *self.frozen.borrow()
    }

    /// Waits until they are not, or the sandbox has ended.
    pub(super) async fn thawed(&self) {
        // The sender lives as long as this.
        self.frozen.subscribe().wait_for(|frozen| !frozen).await.ok();
    }

    /// Turns true when the sandbox that is elsewhere is to be ended.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        match &self.life {
            Life::Elsewhere(end) => end.subscribe(),
            Life::Process(_) => watch::Sender::new(false).subscribe(),
        }
    }

    /// Whether the sandbox has not ended.
    pub(super) fn lives(&self) -> bool {
        self.ended.get().is_none()
    }

    /// What to tell callers now that the sandbox has ended.
    pub(super) fn gone(&self) -> SandboxError {
        SandboxError::Gone(self.ended.get().cloned().unwrap_or_else(|| "it has ended".to_owned()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, mpsc::Sender<ReplyBody>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a reply to whoever waits for it.
    fn deliver(&self, reply: Reply) -> Result<(), String> {
        let Reply { id, body } = reply;
        if let ReplyBody::Broken(notice) = &body {
            return Err(format!("the hand ended: {}", notice.as_str()));
        }
        let last = !matches!(body, ReplyBody::Started | ReplyBody::Exited(_));
        let mut waiting = self.lock();
        let Some(sender) = waiting.get(&id) else {
            return Err("the hand answered a question that nobody asked".to_owned());
        };
        match sender.try_send(body) {
            // A caller that has gone away asks no more.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err("the hand answered too often".to_owned()),
        }
        if last {
            waiting.remove(&id);
        }
        Ok(())
    }
}

async fn read_replies(connection: Arc<Connection>) {
    let mut turn = 0;
    let why = loop {
        let mut ready = match connection.socket.readable().await {
            Ok(ready) => ready,
            Err(error) => break error.to_string(),
        };
        match channel::receive::<Reply>(connection.socket.get_ref()) {
            Ok(received) => {
                if let Err(why) = connection.deliver(received.message) {
                    break why;
                }
            }
            Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                ready.clear_ready()
            }
            Err(ChannelError::Closed) => break "its first process ended".to_owned(),
            Err(error) => break error.to_string(),
        }
        turn += 1;
        if turn % TURN == 0 {
            tokio::task::yield_now().await;
        }
    };
    connection.end(&why);
}

impl Replies {
    /// The next reply. A hand that does not give it in time is killed.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<ReplyBody, SandboxError> {
        loop {
            match timeout(patience, self.receiver.recv()).await {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => return Err(self.connection.gone()),
                // It cannot answer; once it can, it has as long again.
                Err(_) if self.connection.is_frozen() => self.connection.thawed().await,
                Err(_) => {
                    self.connection.end("the hand did not answer in time");
                    return Err(self.connection.gone());
                }
            }
        }
    }

    /// The next reply, whenever it comes; `None` when there is none any more.
    pub(super) async fn wait(&mut self) -> Option<ReplyBody> {
        self.receiver.recv().await
    }
}

/// For a reply that does not answer the question.
pub(super) fn wrong_reply(connection: &Connection) -> SandboxError {
    connection.end("the hand answered another question");
    SandboxError::Protocol("it answered another question".to_owned())
}
