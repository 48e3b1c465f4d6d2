//! The worker's side of its zygote: starting it, asking it for sandboxes.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Child,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError, Received},
    zygote::{
        Begin, Create, Failure, Finish, Ids, MountPoint, Network, Prepare, Probed, Reply, Request, Status,
        System, ZYGOTE_ROLE,
    },
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::sockopt::{Timeout, set_socket_timeout},
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::timeout,
};

use super::{
    cgroup::SandboxGroup,
    hand, network,
    probe::namespaces_remedy,
    ready::{register, room},
};
use crate::{DoorListeners, SandboxError};

/// How long the zygote may take for one answer. It does a few dozen system calls.
const ANSWER: Duration = Duration::from_secs(20);

/// A process that makes sandboxes. It ends, and with it all that it made, when this is dropped.
#[derive(Debug)]
pub(super) struct Zygote {
    socket: OwnedFd,
    /// Readable once its process has ended (pidfd_open(2)).
    process: OwnedFd,
    child: Launched,
    next: AtomicU64,
    /// What came of trying to capture connections: an error number, 0 for success.
    capture: i32,
    /// The version of Landlock that is in force in sandboxes; 0 for none.
    landlock: u32,
}

/// What must be known of a sandbox to begin it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// The places in its root directory for what is to be read.
    pub(super) points: Vec<MountPoint>,
    /// What of a network it has.
    pub(super) network: Network,
    /// Whether its system can be changed.
    pub(super) system: crate::System,
    /// Whether it has to share its user with others.
    pub(super) shared: bool,
}

/// A zygote's process. It is waited for when this is dropped, so its socket must be closed before that.
#[derive(Debug)]
struct Launched(Option<Child>);

/// A sandbox that has been begun. Its process 1 ends when this is dropped.
#[derive(Debug)]
pub(super) struct Begun {
    number: u64,
    network: Network,
    control: OwnedFd,
    status: StatusSocket,
    process: Option<Process1>,
}

/// What is known of a process 1 once it exists: its id, its descriptor, and the sockets of its door.
type Process1 = (u32, OwnedFd, Option<DoorListeners>);

/// What the zygote and then process 1 tell of a sandbox.
#[derive(Debug)]
pub(super) struct StatusSocket(AsyncFd<OwnedFd>);

/// Process 1 of a sandbox that is being finished: it serves its control socket when that is done.
#[derive(Debug)]
pub(super) struct Made {
    /// Readable once every process of the sandbox has ended (pidfd_open(2)).
    pub(super) pidfd: OwnedFd,
    /// Its process id on the host.
    pub(super) pid: u32,
    /// The host's end of its control socket.
    pub(super) control: OwnedFd,
    /// The sockets of its egress door, if it has one.
    pub(super) door: Option<DoorListeners>,
    /// Tells if it cannot be finished.
    pub(super) status: StatusSocket,
}

impl Zygote {
    /// Starts a zygote that knows nothing yet.
    fn launch() -> Result<(Launched, OwnedFd), SandboxError> {
        let start = || -> io::Result<_> {
            let program: File = hand::sealed_copy()?;
            let (ours, theirs) = channel::pair()?;
            set_socket_timeout(&ours, Timeout::Recv, Some(ANSWER))?;
            set_socket_timeout(&ours, Timeout::Send, Some(ANSWER))?;
            Ok((hand::start(&program, ZYGOTE_ROLE, theirs)?, ours))
        };
        let (child, socket) =
            start().map_err(|source| SandboxError::Setup { step: "start the zygote".to_owned(), source })?;
        Ok((Launched(Some(child)), socket))
    }

    /// Tries what sandboxes need of this host.
    pub(super) fn probe(ids: Ids) -> Result<Probed, SandboxError> {
        // In this order: the process waits for the end of the connection.
        let (_child, socket) = Self::launch()?;
        let answer = exchange(&socket, &Request::Probe(ids), &[]);
        drop(socket);
        match answer? {
            Reply::Probed(probed) => Ok(probed),
            Reply::Prepared { .. } | Reply::Failed(_) => Err(out_of_order()),
        }
    }

    /// Starts a zygote and has it prepare itself. Blocks.
    pub(super) fn start(prepare: Prepare, groups: &[BorrowedFd<'_>]) -> Result<Self, SandboxError> {
        let (child, socket) = Self::launch()?;
        let (capture, landlock) = match exchange(&socket, &Request::Prepare(prepare), groups)? {
            Reply::Prepared { capture, landlock } => (capture, landlock),
            Reply::Failed(failure) => return Err(host_problem(&failure)),
            Reply::Probed(_) => return Err(out_of_order()),
        };
        rustix::io::ioctl_fionbio(&socket, true).map_err(|errno| setup("watch the zygote")(errno.into()))?;
        let process = child.handle().map_err(setup("watch the zygote"))?;
        Ok(Self { socket, process, child, next: AtomicU64::new(0), capture, landlock })
    }

    /// Has a sandbox begun: its process 1 made, with all that does not depend on whom it is for. Does not wait for that. `tasks` are files of
    /// the control groups that it joins at once.
    pub(super) async fn begin(
        &self,
        kind: Kind,
        group: &SandboxGroup,
        tasks: Vec<OwnedFd>,
    ) -> Result<Begun, SandboxError> {
        let Kind { points, network, system, shared } = kind;
        let system = match system {
            crate::System::ReadOnly => System::ReadOnly,
            crate::System::Writable => System::Writable,
        };
        let (control, theirs) = channel::pair().map_err(setup("make a control socket"))?;
        let (status, status_in) = channel::pair().map_err(setup("make a status socket"))?;
        let directory = group.directory().map_err(setup("open a control group"))?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let begin = Begin { number, points, in_group: directory.is_some(), network, system, shared };
        let sent: Vec<BorrowedFd<'_>> =
            [&theirs, &status_in].into_iter().chain(&directory).chain(&tasks).map(AsFd::as_fd).collect();
        self.tell(&Request::Begin(begin), &sent).await?;
        rustix::io::ioctl_fionbio(&status, true)
            .map_err(|errno| setup("watch a status socket")(errno.into()))?;
        let status = register(status, Interest::READABLE).map_err(setup("watch a status socket"))?;
        Ok(Begun { number, network, control, status: StatusSocket(status), process: None })
    }

    /// Has a sandbox that was begun finished, and waits until its process 1 is known. `tasks` are files of the control groups that it joins
    /// now.
    pub(super) async fn finish(
        &self,
        begun: Begun,
        create: Create,
        tasks: Vec<OwnedFd>,
    ) -> Result<Made, SandboxError> {
        let Begun { number, network, control, status, process } = begun;
        let sent: Vec<BorrowedFd<'_>> = tasks.iter().map(AsFd::as_fd).collect();
        self.tell(&Request::Finish(Finish { number, create }), &sent).await?;
        let (pid, pidfd, door) = match process {
            Some(process) => process,
            None => status.made(network, true).await?,
        };
        Ok(Made { pidfd, pid, control, door, status })
    }

    /// Sends a request that is answered elsewhere, if at all.
    async fn tell(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
        let send = async {
            loop {
                match channel::send(&self.socket, request, descriptors) {
                    Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                        room(self.socket.as_fd()).await?;
                    }
                    done => return done.map_err(io::Error::other),
                }
            }
        };
        let sent = timeout(ANSWER, send).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        sent.map_err(setup("talk to the zygote"))
    }

    /// What came of trying to capture connections: an error number, 0 for success.
    pub(super) const fn capture(&self) -> i32 {
        self.capture
    }

    /// The version of Landlock that is in force in sandboxes; 0 for none.
    pub(super) const fn landlock(&self) -> u32 {
        self.landlock
    }

    /// Whether its process has not ended, as far as is known.
    pub(super) fn lives(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(&now)), Ok(0))
    }

    /// The zygote's process id.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.0.as_ref().map(Child::id)
    }
}

impl Zygote {
    /// Has it end, and with it all that it made. The other end sees the end of the connection, clears up and exits.
    pub(super) fn shut_down(&self) {
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both).ok();
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // Then the process is waited for.
        self.shut_down();
    }
}

impl Launched {
    fn handle(&self) -> io::Result<OwnedFd> {
        let child = self.0.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?)
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.wait().ok();
        }
    }
}

fn exchange(
    socket: &OwnedFd,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
) -> Result<Reply, SandboxError> {
    let sent = channel::send(socket, request, descriptors);
    let answer = sent.and_then(|()| channel::receive::<Reply>(socket));
    answer.map(|received| received.message).map_err(io::Error::other).map_err(setup("talk to the zygote"))
}

fn setup(step: &str) -> impl FnOnce(io::Error) -> SandboxError {
    let step = step.to_owned();
    move |source| SandboxError::Setup { step, source }
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
    // Ids are given by user namespaces, and what is used up there is those, not the disk: see unshare(2).
    if failure.errno == Errno::NOSPC.raw_os_error() && failure.step.contains("user ids") {
        let missing = "no further user namespace may be made (user.max_user_namespaces)".to_owned();
        return SandboxError::Host { missing, remedy: namespaces_remedy() };
    }
    SandboxError::Setup { step: failure.step, source: io::Error::from_raw_os_error(failure.errno) }
}

impl Begun {
    /// Waits until its process 1 has done all that it can without knowing what it is for.
    pub(super) async fn ready(&mut self) -> Result<(), SandboxError> {
        self.process = Some(self.status.made(self.network, false).await?);
        Ok(())
    }

    /// Whether its process 1 has not ended, as far as is known.
    pub(super) fn lives(&self) -> bool {
        let Some((_, pidfd, _)) = &self.process else { return true };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&now)), Ok(0))
    }
}

impl StatusSocket {
    /// Waits until process 1 exists, and, unless `early` is enough, has done all that it can without knowing what it is for. The two are told
    /// by different processes, in either order.
    async fn made(&self, network: Network, early: bool) -> Result<Process1, SandboxError> {
        let (mut process, mut begun) = (None, early);
        loop {
            let received = timeout(ANSWER, self.next()).await;
            let received = received.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let Received { message, descriptors } =
                received.map_err(setup("make the first process of a sandbox"))?;
            match message {
                Status::Made { pid } => {
                    let mut descriptors = descriptors.into_iter();
                    let pidfd = descriptors.next().ok_or_else(out_of_order)?;
                    process = Some((pid, pidfd, network::listeners(network, descriptors.collect())?));
                }
                Status::Begun => begun = true,
                Status::Failed(failure) => return Err(setup_failure(failure)),
            }
            if let Some(process) = process.take_if(|_| begun) {
                return Ok(process);
            }
        }
    }

    /// Waits until process 1 has failed, or can no longer fail to build its sandbox; `None` then.
    pub(super) async fn failure(&self) -> Option<SandboxError> {
        loop {
            match self.next().await {
                Ok(Received { message: Status::Failed(failure), .. }) => return Some(setup_failure(failure)),
                Ok(Received { message: Status::Begun | Status::Made { .. }, .. }) => {}
                Err(_) => return None,
            }
        }
    }

    async fn next(&self) -> io::Result<Received<Status>> {
        loop {
            let mut ready = self.0.readable().await?;
            match channel::receive(self.0.get_ref()) {
                Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                }
                done => return done.map_err(io::Error::other),
            }
        }
    }
}
