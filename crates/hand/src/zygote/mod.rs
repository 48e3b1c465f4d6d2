//! The zygote: the small process, without secrets and with one thread, that makes sandboxes for one worker.
//!
//! Why there is one: a fork of the worker would copy its secrets into the sandbox's first process, is not
//! safe in a program with threads, and takes longer the more memory the worker uses. The worker starts the
//! zygote from a sealed copy of this program, with no environment and one descriptor, its control socket;
//! whatever the zygote is cloned into can know nothing more.
//!
//! How it makes a sandbox. [`root`] keeps, in a mount namespace of the zygote's own, a finished read-only root
//! directory for each kind of sandbox. To begin a sandbox the zygote clones process 1 into new namespaces, from one in which nothing of
//! the host is mounted ([`birthplace`]), and writes its id maps; [`build`] then runs in process 1, attaches a copy of the root directory and mounts what is
//! its own. Its network is there already ([`surroundings`]). To finish it the zygote opens its layers and hands them to
//! process 1, which mounts them, gives up every privilege, and goes on as the role `init`. Between the two it may wait,
//! as long as the worker likes: nothing that belongs to anybody is in it yet.
//!
//! As root, the zygote opens layers with its privileges and hands them on as detached mounts, so that the
//! sandbox's user needs no way to them. As an ordinary user it first makes a user namespace for itself, in
//! which it may do the same with that user's files. Host mounts that come and go later do so here too;
//! nothing that is mounted here is ever seen by the host.
//!
//! How it ends: its socket is closed when the worker ends, however that happens. It then kills every sandbox,
//! waits for their ends and removes the worker's control groups. If the zygote is killed, the kernel kills
//! every process 1 (`PR_SET_PDEATHSIG`).

mod birthplace;
mod build;
mod copies;
mod fence;
mod groups;
mod ids;
mod mounts;
mod network;
mod owner;
mod probe;
mod root;
mod seccomp;
mod secrets;
mod step;
mod surroundings;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitCode,
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError, Received},
    frame::Message as _,
    zygote::{
        Begin, Failure, Finish, Ids, MountPoint, Order, Owner, Prepare, Reply, Request, Status, System,
    },
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use self::{
    birthplace::Birthplace,
    fence::Fencing,
    groups::{Groups, NOW, has_ended},
    ids::Identities,
    owner::{GroupChanges, IdMap},
    root::Roots,
    step::{Step as _, failure},
    surroundings::Surroundings,
};
use crate::{
    init,
    sys::{
        namespace::{self, Cloned, Instruction},
        process::{exit_now, reset_signals},
    },
};

/// Exit status for a system call that failed, as in BSD's `sysexits.h` (`EX_OSERR`).
const SYSTEM_FAILED: u8 = 71;
/// When nothing has been asked for so long, there is time to make things ready for the next sandbox.
const QUIET: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Puts up around this process those walls that a process can put up by itself: the fence and the filter. Says which
/// version of Landlock is in force; 0 for none.
///
/// # Errors
/// The system's answer.
pub(crate) fn wall_in() -> std::io::Result<u32> {
    rustix::thread::set_no_new_privs(true)?;
    let fencing = Fencing::new();
    fencing.put_up(std::iter::empty())?;
    namespace::load_filter(&seccomp::filter()?)?;
    Ok(fencing.version())
}

/// Serves the control socket, which is standard input, until the worker closes it.
pub(crate) fn run() -> ExitCode {
    let Ok(socket) = take_socket() else { return ExitCode::from(SYSTEM_FAILED) };
    // Every process 1 is a copy.
    reset_signals();
    let mut zygote: Option<Zygote> = None;
    while let Ok(received) = next_request(&socket, zygote.as_mut()) {
        let reply = match (received.message, &mut zygote) {
            (Request::Probe(ids), _) => Reply::Probed(probe::probe(ids)),
            (Request::Prepare(prepare), None) => match Zygote::prepare(prepare, received.descriptors) {
                Ok(prepared) => {
                    let landlock = zygote.insert(prepared).fencing.version();
                    Reply::Prepared { capture: probe::capture(), landlock }
                }
                Err(failure) => Reply::Failed(failure),
            },
            (Request::Begin(begin), Some(zygote)) => {
                zygote.begin(begin, received.descriptors);
                continue;
            }
            (Request::Finish(finish), Some(zygote)) => {
                zygote.finish(finish, received.descriptors);
                continue;
            }
            (Request::Prepare(_), Some(_)) | (Request::Begin(_) | Request::Finish(_), None) => {
                Reply::Failed(failure("take requests in order", Errno::PROTO))
            }
        };
        match channel::send(&socket, &reply, &[]) {
            Ok(()) => {}
            Err(ChannelError::Closed) => break,
            Err(_) => return ExitCode::from(SYSTEM_FAILED),
        }
    }
    if let Some(zygote) = zygote {
        zygote.groups.clear();
    }
    ExitCode::SUCCESS
}

/// Waits for a request. If there is none for a while, nobody waits for what is done meanwhile.
fn next_request(socket: &OwnedFd, zygote: Option<&mut Zygote>) -> Result<Received<Request>, ChannelError> {
    if let Some(zygote) = zygote
        && zygote.is_behind
        && matches!(poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&QUIET)), Ok(0))
    {
        zygote.get_ready();
    }
    channel::receive(socket)
}

/// Moves the control socket off standard input, and leaves the worker's process group, whose signals are not
/// meant for sandboxes.
fn take_socket() -> Result<OwnedFd, Errno> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // Fails only when the worker has made it a session leader already.
    rustix::process::setsid().ok();
    Ok(socket)
}

/// A zygote that knows what its sandboxes look like.
struct Zygote {
    roots: Roots,
    identities: Identities,
    groups: Groups,
    surroundings: Surroundings,
    birthplace: Birthplace,
    begun: Vec<Begun>,
    /// Whether there is something to be made ready for the next sandbox.
    is_behind: bool,
    fencing: Fencing,
    filter: Vec<Instruction>,
    /// Its other end is open only in the zygote: how a process 1 sees that the zygote is gone.
    alive: OwnedFd,
    /// Never written to.
    _life: OwnedFd,
}

impl Zygote {
    fn prepare(prepare: Prepare, descriptors: Vec<OwnedFd>) -> Result<Self, Failure> {
        let Prepare { ids, root, system, groups } = prepare;
        let mut descriptors = descriptors;
        let lock = match ids {
            Ids::Blocks(_) if !descriptors.is_empty() => Some(descriptors.remove(0)),
            Ids::Blocks(_) | Ids::Shared(_) => None,
        };
        let identities = Identities::new(ids, lock).step("take the lock file for user ids")?;
        let groups = Groups::new(groups, descriptors).step("take control groups")?;
        let privileged = rustix::process::geteuid().is_root();
        if privileged {
            rustix::thread::set_thread_groups(&[]).step("drop supplementary groups")?;
            namespace::unshare_mounts(false).step("make a mount namespace")?;
        } else {
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            namespace::unshare_mounts(true).step("make a user namespace")?;
            let own = Owner { uid, gid };
            owner::write_maps(
                "/proc/self",
                IdMap { inside: own, outside: own, count: 1 },
                GroupChanges::Denied,
            )
            .step("map the own user id")?;
        }
        let roots = Roots::new(root, system)?;
        let birthplace = Birthplace::new()?;
        namespace::reap_automatically(true).step("ignore ends of children")?;
        let (alive, life) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
        let filter = seccomp::filter().step("make the system call filter")?;
        let fencing = Fencing::new();
        let surroundings = Surroundings::new().step("open the own namespaces")?;
        Ok(Self {
            roots,
            identities,
            groups,
            surroundings,
            birthplace,
            begun: Vec::new(),
            is_behind: true,
            fencing,
            filter,
            alive,
            _life: life,
        })
    }

    /// Starts process 1 of a sandbox. What comes of it is told on the sandbox's own status socket.
    fn begin(&mut self, begin: Begin, descriptors: Vec<OwnedFd>) {
        let mut descriptors = descriptors.into_iter();
        // Without them there is nobody to tell: the worker sees that the other ends are closed.
        let (Some(control), Some(status)) = (descriptors.next(), descriptors.next()) else { return };
        let directory = if begin.in_group { descriptors.next() } else { None };
        let began = self.try_begin(begin, control, &status, directory, descriptors.collect());
        tell(&status, began.map(|(begun, door)| begun.made(status.as_fd(), &door)));
        self.is_behind = true;
    }

    /// Makes ready what the next sandbox needs, and lets go of what none needs any more.
    fn get_ready(&mut self) {
        self.is_behind = false;
        self.roots.prepare_copy();
        self.identities.get_ready();
        self.surroundings.get_ready();
        self.begun.retain(|begun| !has_ended(&begun.pidfd, NOW));
    }

    fn try_begin(
        &mut self,
        begin: Begin,
        control: OwnedFd,
        status: &OwnedFd,
        group: Option<OwnedFd>,
        tasks: Vec<OwnedFd>,
    ) -> Result<(&Begun, Vec<OwnedFd>), Failure> {
        if begin.in_group != group.is_some() {
            return Err(failure("take the directory of a control group", Errno::BADF));
        }
        let identity =
            self.identities.take(begin.shared).step("find a block of user ids that is not in use")?;
        let root = self.roots.copy(&begin.points, begin.system)?;
        let door = self.surroundings.enter(begin.network)?;
        let (go, start) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
        let (orders, commands) = channel::pair().step("make a socket for process 1")?;
        self.birthplace.enter()?;
        let cloned = identity.clone_process(group.as_ref());
        if !matches!(cloned, Ok(Cloned::Child)) {
            self.birthplace.leave()?;
        }
        match cloned.step("clone process 1")? {
            Cloned::Parent(pid, pidfd) => {
                let raw = pid.as_raw_nonzero().get();
                let groups = match begin.system {
                    System::Writable if !identity.is_shared() => GroupChanges::Permitted,
                    System::Writable | System::ReadOnly => GroupChanges::Denied,
                };
                owner::write_maps(&format!("/proc/{raw}"), identity.ids(), groups)
                    .step("map the sandbox's user id")?;
                let kept = pidfd.try_clone().step("duplicate a descriptor")?;
                let settled = pidfd.try_clone().step("duplicate a descriptor")?;
                self.identities.settle(begin.number, identity, settled);
                let status = status.try_clone().step("duplicate a descriptor")?;
                // Process 1 does nothing before this; if we fail before it, the end of the pipe tells it to
                // exit.
                rustix::io::write(&start, b"g").step("let process 1 go on")?;
                self.groups.watch(kept);
                let Begin { number, points, .. } = begin;
                let pid = raw.unsigned_abs();
                self.begun.push(Begun { number, points, pid, pidfd, commands, status });
                let begun = self.begun.last().ok_or_else(|| failure("remember process 1", Errno::NOMEM))?;
                Ok((begun, door))
            }
            Cloned::Child => {
                drop((start, commands));
                let go_on = build::wait_for_go(&go);
                drop(go);
                let (alive, filter, fencing) = (&self.alive, &self.filter, &self.fencing);
                let sandbox = build::Sandbox {
                    system: begin.system,
                    control: &control,
                    status,
                    orders: &orders,
                    alive,
                    root: &root,
                    fencing,
                    filter,
                };
                // Nothing of this frame is dropped any more: all of its other descriptors have been closed.
                if go_on && sandbox.build(tasks) {
                    // The end of the control socket is the only end of this role.
                    let _ended: ExitCode = init::serve(control);
                }
                exit_now(0)
            }
        }
    }

    /// Tells process 1 of a sandbox what it is for.
    fn finish(&mut self, finish: Finish, tasks: Vec<OwnedFd>) {
        let Finish { number, create } = finish;
        // It has ended, and the worker has seen that.
        let Some(at) = self.begun.iter().position(|begun| begun.number == number) else { return };
        let Begun { commands, status, points, .. } = self.begun.swap_remove(at);
        // Its process 1 has ended.
        let Some(identity) = self.identities.of(number) else { return };
        let layers = mounts::Layers::open(&create, &points, &mut self.roots, identity);
        let handed = layers.and_then(|layers| {
            if layers.mount_points() != points {
                return Err(failure("find a place for each path to be read", Errno::NOTDIR));
            }
            let (build, mut descriptors) = layers.split(create);
            descriptors.extend(tasks);
            hand_on(&commands, Order::Build(build), &descriptors)
        });
        tell(&status, handed);
        self.is_behind = true;
    }
}

/// A sandbox whose process 1 waits to be told what it is for.
struct Begun {
    number: u64,
    points: Vec<MountPoint>,
    pid: u32,
    pidfd: OwnedFd,
    /// To its process 1, which ends with it.
    commands: OwnedFd,
    status: OwnedFd,
}

impl Begun {
    /// Tells the worker that it exists.
    fn made(&self, status: BorrowedFd<'_>, door: &[OwnedFd]) {
        let sent: Vec<BorrowedFd<'_>> = [&self.pidfd].into_iter().chain(door).map(AsFd::as_fd).collect();
        // The worker may have lost interest; then process 1 ends with the control socket.
        channel::send(status, &Status::Made { pid: self.pid }, &sent).ok();
    }
}

/// Tells the worker of a failure.
fn tell(status: &OwnedFd, result: Result<(), Failure>) {
    if let Err(failure) = result {
        // The worker may have lost interest.
        channel::send(status, &Status::Failed(failure), &[]).ok();
    }
}

/// Sends descriptors to process 1, as many at a time as one message may have, and then the order itself.
fn hand_on(commands: &OwnedFd, order: Order, descriptors: &[OwnedFd]) -> Result<(), Failure> {
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let last = borrowed.len().saturating_sub(1) / Order::MAX_DESCRIPTORS * Order::MAX_DESCRIPTORS;
    let (early, last) = borrowed.split_at(last);
    let sent = early
        .chunks(Order::MAX_DESCRIPTORS)
        .try_for_each(|some| channel::send(commands, &Order::Take, some))
        .and_then(|()| channel::send(commands, &order, last));
    sent.map_err(std::io::Error::other).step("hand layers to process 1")
}
