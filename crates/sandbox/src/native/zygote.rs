//! The worker's side of its zygote: starting it, asking it for sandboxes.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Child,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cofferdam_hand::protocol::{
    channel, frame,
    zygote::{Create, Failure, Owner, Prepare, Probed, Reply, Request, Status, ZYGOTE_ROLE},
};
use rustix::{
    net::sockopt::{Timeout, set_socket_timeout},
    process::{Signal, pidfd_send_signal},
};
use tokio::{io::Interest, task::spawn_blocking, time::timeout};

use super::{hand, probe::namespaces_remedy, ready::register};
use crate::SandboxError;

/// How long the zygote may take for one answer. It does a few dozen system calls.
const ANSWER: Duration = Duration::from_secs(20);
/// How long process 1 may take to build its sandbox, on a machine that is very busy.
const BUILDING: Duration = Duration::from_secs(30);

/// A process that makes sandboxes. It ends, and with it all that it made, when this is dropped.
#[derive(Debug)]
pub(super) struct Zygote {
    socket: Arc<Mutex<OwnedFd>>,
    child: Option<Child>,
}

/// Process 1 of a sandbox, built.
#[derive(Debug)]
pub(super) struct Built {
    /// Readable once every process of the sandbox has ended (pidfd_open(2)).
    pub(super) pidfd: OwnedFd,
    /// Its process id on the host.
    pub(super) pid: u32,
    /// The host's end of its control socket.
    pub(super) control: OwnedFd,
}

impl Zygote {
    /// Starts a zygote that knows nothing yet.
    fn launch() -> Result<Self, SandboxError> {
        let start = || -> io::Result<_> {
            let program: File = hand::sealed_copy()?;
            let (ours, theirs) = channel::pair()?;
            set_socket_timeout(&ours, Timeout::Recv, Some(ANSWER))?;
            set_socket_timeout(&ours, Timeout::Send, Some(ANSWER))?;
            Ok((hand::start(&program, ZYGOTE_ROLE, theirs)?, ours))
        };
        let (child, socket) =
            start().map_err(|source| SandboxError::Setup { step: "start the zygote".to_owned(), source })?;
        Ok(Self { socket: Arc::new(Mutex::new(socket)), child: Some(child) })
    }

    /// Tries what sandboxes need of this host.
    pub(super) fn probe(owner: Owner) -> Result<Probed, SandboxError> {
        let zygote = Self::launch()?;
        match exchange(&zygote.socket, &Request::Probe(owner), &[])?.0 {
            Reply::Probed(probed) => Ok(probed),
            Reply::Prepared | Reply::Created { .. } | Reply::Failed(_) => Err(out_of_order()),
        }
    }

    /// Starts a zygote and has it prepare itself.
    pub(super) fn start(prepare: Prepare, groups: &[BorrowedFd<'_>]) -> Result<Self, SandboxError> {
        let zygote = Self::launch()?;
        match exchange(&zygote.socket, &Request::Prepare(prepare), groups)?.0 {
            Reply::Prepared => Ok(zygote),
            Reply::Failed(failure) => Err(host_problem(&failure)),
            Reply::Created { .. } | Reply::Probed(_) => Err(out_of_order()),
        }
    }

    /// Makes a sandbox and waits until it stands. `groups` are descriptors for [`Create::groups`].
    pub(super) async fn create(&self, create: Create, groups: Vec<OwnedFd>) -> Result<Built, SandboxError> {
        let setup = |step: &str| {
            let step = step.to_owned();
            move |source: io::Error| SandboxError::Setup { step, source }
        };
        let (control, theirs) = channel::pair().map_err(setup("make a control socket"))?;
        let (status, status_in) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK)
                .map_err(|errno| setup("make a status pipe")(errno.into()))?;
        let socket = Arc::clone(&self.socket);
        let (reply, mut descriptors) = spawn_blocking(move || {
            let sent: Vec<BorrowedFd<'_>> =
                [&theirs, &status_in].into_iter().chain(&groups).map(AsFd::as_fd).collect();
            exchange(&socket, &Request::Create(create), &sent)
        })
        .await
        .map_err(|error| setup("ask the zygote")(io::Error::other(error)))??;
        let pid = match reply {
            Reply::Created { pid } => pid,
            Reply::Failed(failure) => return Err(setup_failure(failure)),
            Reply::Prepared | Reply::Probed(_) => return Err(out_of_order()),
        };
        let pidfd = descriptors.pop().ok_or_else(out_of_order)?;
        let failed = match timeout(BUILDING, read_status(status)).await {
            Ok(Ok(Status::Built)) => return Ok(Built { pidfd, pid, control }),
            Ok(Ok(Status::Failed(failure))) => setup_failure(failure),
            Ok(Err(source)) => setup("build the sandbox; its first process ended")(source),
            Err(_) => setup("build the sandbox in time")(io::ErrorKind::TimedOut.into()),
        };
        // It has ended by itself in all cases but the last.
        pidfd_send_signal(&pidfd, Signal::KILL).ok();
        Err(failed)
    }

    /// The zygote's process id.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        // The other end sees the end of the connection, clears up and exits.
        rustix::net::shutdown(&*socket, rustix::net::Shutdown::Both).ok();
        child.wait().ok();
    }
}

fn exchange(
    socket: &Mutex<OwnedFd>,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(Reply, Vec<OwnedFd>), SandboxError> {
    let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = channel::send(&*socket, request, descriptors);
    match sent.and_then(|()| channel::receive::<Reply>(&*socket)) {
        Ok(received) => Ok((received.message, received.descriptors)),
        Err(error) => {
            // An answer that comes too late must not be taken for the answer to the next question.
            rustix::net::shutdown(&*socket, rustix::net::Shutdown::Both).ok();
            Err(SandboxError::Setup {
                step: "talk to the zygote".to_owned(),
                source: io::Error::other(error),
            })
        }
    }
}

fn out_of_order() -> SandboxError {
    SandboxError::Protocol("the zygote answered another question".to_owned())
}

/// The zygote's own preparation fails only for what the host does not permit.
fn host_problem(failure: &Failure) -> SandboxError {
    let source = io::Error::from_raw_os_error(failure.errno);
    SandboxError::Host {
        missing: format!("failed to {}: {source}", failure.step),
        remedy: if failure.step.contains("user namespace") {
            namespaces_remedy()
        } else {
            "Run `cofferdam doctor` to see what this host lacks and how to mend it".to_owned()
        },
    }
}

fn setup_failure(failure: Failure) -> SandboxError {
    SandboxError::Setup { step: failure.step, source: io::Error::from_raw_os_error(failure.errno) }
}

async fn read_status(pipe: OwnedFd) -> io::Result<Status> {
    let pipe = register(pipe, Interest::READABLE)?;
    let mut bytes = [0_u8; 4096];
    loop {
        let mut ready = pipe.readable().await?;
        match ready.try_io(|pipe| Ok(rustix::io::read(pipe, &mut bytes)?)) {
            Ok(Ok(length)) => {
                let bytes = bytes.get(..length).unwrap_or_default();
                return frame::decode(bytes).map_err(|_| io::ErrorKind::UnexpectedEof.into());
            }
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
}
