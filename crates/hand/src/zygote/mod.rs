//! The zygote: the small process, without secrets and with one thread, that makes sandboxes for one worker.
//!
//! Why there is one: a fork of the worker would copy its secrets into the sandbox's first process, is not
//! safe in a program with threads, and takes longer the more memory the worker uses. The worker starts the
//! zygote from a sealed copy of this program, with no environment and one descriptor, its control socket;
//! whatever the zygote is cloned into can know nothing more.
//!
//! How it makes a sandbox, in two steps. [`root`] keeps, in a mount namespace of the zygote's own, a finished
//! read-only root directory for each kind of sandbox. For each request the zygote opens the sandbox's layers,
//! clones process 1 into new namespaces, writes its id maps, puts it into its control groups, and is done.
//! [`build`] then runs in process 1: it copies the root directory (one call, however many mounts), mounts
//! what is its own, gives up every privilege, and goes on as the role `init`.
//!
//! As root, the zygote opens layers with its privileges and hands them on as detached mounts, so that the
//! sandbox's user needs no way to them. As an ordinary user it first makes a user namespace for itself, in
//! which it may do the same with that user's files. Host mounts that come and go later do so here too;
//! nothing that is mounted here is ever seen by the host.
//!
//! How it ends: its socket is closed when the worker ends, however that happens. It then kills every sandbox,
//! waits for their ends and removes the worker's control groups. If the zygote is killed, the kernel kills
//! every process 1 (`PR_SET_PDEATHSIG`).

mod build;
mod groups;
mod mounts;
mod owner;
mod probe;
mod root;
mod seccomp;
mod step;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitCode,
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError},
    zygote::{Create, Failure, Owner, Prepare, Reply, Request},
};
use rustix::{
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use self::{
    groups::{Groups, ToJoin},
    owner::OwnerMaps,
    root::Roots,
    step::{Step as _, failure},
};
use crate::{
    init,
    sys::{
        namespace::{self, Cloned, Instruction},
        process::exit_now,
    },
};

/// Exit status for a system call that failed, as in BSD's `sysexits.h` (`EX_OSERR`).
const SYSTEM_FAILED: u8 = 71;

/// Serves the control socket, which is standard input, until the worker closes it.
pub(crate) fn run() -> ExitCode {
    let Ok(socket) = take_socket() else { return ExitCode::from(SYSTEM_FAILED) };
    let mut zygote: Option<Zygote> = None;
    while let Ok(received) = channel::receive::<Request>(&socket) {
        let (reply, pidfd) = match (received.message, &mut zygote) {
            (Request::Probe(owner), _) => (Reply::Probed(probe::probe(owner)), None),
            (Request::Prepare(prepare), None) => match Zygote::prepare(prepare, received.descriptors) {
                Ok(prepared) => {
                    zygote = Some(prepared);
                    (Reply::Prepared, None)
                }
                Err(failure) => (Reply::Failed(failure), None),
            },
            (Request::Create(create), Some(zygote)) => match zygote.create(&create, received.descriptors) {
                Ok((pid, pidfd)) => (Reply::Created { pid }, Some(pidfd)),
                Err(failure) => (Reply::Failed(failure), None),
            },
            (Request::Prepare(_), Some(_)) | (Request::Create(_), None) => {
                (Reply::Failed(failure("take requests in order", Errno::PROTO)), None)
            }
        };
        let descriptors: Vec<BorrowedFd<'_>> = pidfd.iter().map(AsFd::as_fd).collect();
        match channel::send(&socket, &reply, &descriptors) {
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
    owner: Owner,
    roots: Roots,
    owners: OwnerMaps,
    groups: Groups,
    filter: Vec<Instruction>,
    /// Its other end is open only in the zygote: how a process 1 sees that the zygote is gone.
    alive: OwnedFd,
    /// Never written to.
    _life: OwnedFd,
}

impl Zygote {
    fn prepare(prepare: Prepare, descriptors: Vec<OwnedFd>) -> Result<Self, Failure> {
        let Prepare { owner, root, groups } = prepare;
        let groups = Groups::new(groups, descriptors).step("take control groups")?;
        let privileged = rustix::process::geteuid().is_root();
        if privileged {
            rustix::thread::set_thread_groups(&[]).step("drop supplementary groups")?;
            namespace::unshare_mounts(false).step("make a mount namespace")?;
        } else {
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            namespace::unshare_mounts(true).step("make a user namespace")?;
            owner::write_maps("/proc/self", (uid, gid), Owner { uid, gid }).step("map the own user id")?;
        }
        let roots = Roots::new(root)?;
        namespace::reap_automatically(true).step("ignore ends of children")?;
        let (alive, life) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
        let filter = seccomp::filter().step("make the system call filter")?;
        Ok(Self {
            owner,
            roots,
            owners: OwnerMaps::new(privileged, owner),
            groups,
            filter,
            alive,
            _life: life,
        })
    }

    /// Starts process 1 of a sandbox.
    fn create(&mut self, create: &Create, descriptors: Vec<OwnedFd>) -> Result<(u32, OwnedFd), Failure> {
        let mut descriptors = descriptors.into_iter();
        let (Some(control), Some(status)) = (descriptors.next(), descriptors.next()) else {
            return Err(failure("take the descriptors of a sandbox", Errno::BADF));
        };
        let layers = mounts::Layers::open(create, &mut self.owners)?;
        let root = self.roots.with_mount_points(&layers.mount_points())?;
        let (go, start) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
        let groups = ToJoin::new(&create.groups, descriptors.collect())
            .step("take the descriptors of control groups")?;
        let cloned = groups.clone_process().step("clone process 1 into its control group")?;
        match cloned {
            Cloned::Parent(pid, pidfd) => {
                let raw = pid.as_raw_nonzero().get();
                owner::write_maps(&format!("/proc/{raw}"), (namespace_id(), namespace_id()), self.owner)
                    .step("map the sandbox's user id")?;
                let kept = pidfd.try_clone().step("duplicate a descriptor")?;
                self.groups.watch(kept);
                // Process 1 does nothing before this; if we fail before it, the end of the pipe tells it to
                // exit.
                rustix::io::write(&start, b"g").step("let process 1 go on")?;
                Ok((raw.unsigned_abs(), pidfd))
            }
            Cloned::Child => {
                drop(start);
                let sandbox = build::Sandbox { create, layers, groups, root: &root, filter: &self.filter };
                let go_on = build::wait_for_go(&go);
                drop(go);
                let stands = go_on && sandbox.build(&control, &status, &self.alive);
                drop(status);
                if stands {
                    // The end of the control socket is the only end of this role.
                    let _ended: ExitCode = init::run(control);
                }
                exit_now(0)
            }
        }
    }
}

/// The id of the user and group that all of a sandbox runs as, inside.
const fn namespace_id() -> u32 {
    cofferdam_hand::protocol::zygote::AGENT_ID
}
