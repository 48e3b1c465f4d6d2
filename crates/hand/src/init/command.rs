//! Commands, and the watcher that each of them has.
//!
//! A watcher is a fork of process 1 that forks the command, reports how that went and how the command ended,
//! and lives on until nothing that the command started is left. It is there for two reasons. It is the
//! subreaper of its command, so that whatever a command does to detach a process, the process stays below the
//! watcher and is known as that command's (a control group would do as well, but a sandbox has none that it
//! may write to). And it is the command's parent, so that the command's own status and usage arrive at once,
//! whatever else still runs.
//!
//! A watcher holds no descriptor but the one to report on, is not dumpable, and blocks every signal, so that
//! from inside it can be killed or stopped but nothing else. Process 1 does not rely on its being alive: see
//! [`super::kill`].

use std::{
    convert::Infallible,
    ffi::{CString, OsStr},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, process::ExitStatusExt},
    },
    path::Path,
};

use cofferdam_hand::protocol::{
    channel,
    message::{
        Exited, ProcessLimits, Reply, ReplyBody, RequestId, Start, StartProblem, Status, Streams, Usage, User,
    },
    text::Notice,
};
use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit, getrlimit, setrlimit},
};

use super::{files, program};
use crate::{
    privilege,
    sys::{
        self,
        process::{Ended, Fork},
    },
};

/// What a command gets as its standard streams.
pub(super) enum Standard {
    /// No input.
    Output(OwnedFd),
    /// Input; output and error.
    InputOutput(OwnedFd, OwnedFd),
    /// A terminal for all three.
    Terminal(OwnedFd),
}

impl Standard {
    /// From the descriptors of a request, of which [`Streams::descriptors`] has told how many there are.
    pub(super) fn new(first: OwnedFd, second: Option<OwnedFd>, streams: Streams) -> Self {
        match (streams, second) {
            (Streams::Terminal, _) => Self::Terminal(first),
            (Streams::InputOutput, Some(output)) => Self::InputOutput(first, output),
            (Streams::InputOutput | Streams::Output, _) => Self::Output(first),
        }
    }

    /// As they came.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Output(only) | Self::Terminal(only) => vec![only.as_fd()],
            Self::InputOutput(input, output) => vec![input.as_fd(), output.as_fd()],
        }
    }

    /// Makes them this process's own.
    fn install(&self) -> rustix::io::Result<()> {
        let (input, output) = match self {
            // Process 1 and its forks have /dev/null there already.
            Self::Output(output) => (None, output),
            Self::InputOutput(input, output) => (Some(input), output),
            Self::Terminal(terminal) => (Some(terminal), terminal),
        };
        if let Some(input) = input {
            rustix::stdio::dup2_stdin(input)?;
        }
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(output)?;
        if let Self::Terminal(terminal) = self {
            rustix::process::ioctl_tiocsctty(terminal)?;
        }
        Ok(())
    }
}

/// Forks a watcher for a command. What becomes of both is reported on `report`.
///
/// # Errors
/// When there is no room for another process.
pub(super) fn watch(
    id: RequestId,
    start: &Start,
    streams: &Standard,
    report: BorrowedFd<'_>,
) -> io::Result<Pid> {
    match sys::process::fork()? {
        Fork::Parent(watcher) => Ok(watcher),
        Fork::Child => {
            let lived = become_watcher().and_then(|()| watch_over(id, start, streams, report));
            sys::process::exit_now(u8::from(lived.is_err()))
        }
    }
}

/// In a fork of process 1: what makes it a watcher.
pub(super) fn become_watcher() -> io::Result<()> {
    // A group of its own, so that process 1 is in no group that a command's kill could name.
    rustix::process::setpgid(None, None)?;
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// What a watcher is there for: starts a command, and lives as long as anything of it does.
pub(super) fn watch_over(
    id: RequestId,
    start: &Start,
    streams: &Standard,
    report: BorrowedFd<'_>,
) -> io::Result<()> {
    let tell = |body| channel::send(report, &Reply { id, body }, &[]).map_err(io::Error::other);
    let command = match become_user(start.user).and_then(|()| spawn(start, streams, report)) {
        Ok(command) => command,
        Err(problem) => return tell(ReplyBody::NotStarted(problem)),
    };
    tell(ReplyBody::Started)?;
    loop {
        match sys::process::wait_any() {
            Ok(ended) if ended.pid == command => tell(ReplyBody::Exited(exited(&ended)))?,
            Ok(_descendant) => {}
            Err(error) if error.raw_os_error() == Some(Errno::CHILD.raw_os_error()) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Becomes the user that the command runs as. A watcher is what its command is, so that only root can kill
/// root's.
fn become_user(user: User) -> Result<(), StartProblem> {
    match user {
        User::Agent => privilege::become_agent().map_err(|error| other("becoming the agent", &error)),
        User::Root if privilege::can_start_root().unwrap_or(false) => {
            privilege::become_root().map_err(|error| other("becoming root", &error))
        }
        User::Root => Err(StartProblem::NoRoot),
    }
}

/// Forks the command and waits until its program runs, or says why it does not.
fn spawn(start: &Start, streams: &Standard, report: BorrowedFd<'_>) -> Result<Pid, StartProblem> {
    let mut problem = None;
    let command = sys::process::fork_borrowing(&mut || {
        let Err(found) = become_command(start, streams);
        problem = Some(found);
        127
    });
    let command = command.map_err(|error| other("clone", &error))?;
    if let Some(problem) = problem {
        return Err(problem);
    }
    // The host waits for the end of the output: only the command and what it starts may hold it.
    sys::process::close_all_but(&[report]).map_err(|error| other("close_range", &error))?;
    Ok(command)
}

/// Turns this forked child into the command.
fn become_command(start: &Start, streams: &Standard) -> Result<Infallible, StartProblem> {
    rustix::process::setsid().map_err(|errno| failed("setsid", errno))?;
    streams.install().map_err(|errno| failed("standard streams", errno))?;
    set_limits(&start.limits).map_err(|errno| failed("setrlimit", errno))?;
    rustix::process::chdir(start.cwd.as_path())
        .map_err(|errno| StartProblem::Cwd(files::problem(errno.into())))?;
    let env = start.env.iter().map(|variable| (variable.name.as_os_str(), variable.value.as_os_str()));
    let path = program::variable(env.clone(), "PATH");
    let file = program::find(start.program.as_os_str(), path.as_deref())?;
    let args = std::iter::once(&start.program).chain(&start.args).map(|arg| c_string(arg.as_os_str()));
    let env = env.map(|(name, value)| {
        let mut variable = name.to_owned();
        variable.push("=");
        variable.push(value);
        c_string(&variable)
    });
    let (args, env) = (args.collect::<Result<Vec<_>, _>>()?, env.collect::<Result<Vec<_>, _>>()?);
    sys::process::close_on_exec().map_err(|error| other("close_range", &error))?;
    sys::process::unblock_signals().map_err(|error| other("sigprocmask", &error))?;
    let error = sys::process::execute(&c_string(file.as_os_str())?, &args, &env);
    let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
    Err(program::explain(errno, Path::new(&file)))
}

fn c_string(text: &OsStr) -> Result<CString, StartProblem> {
    CString::new(text.as_bytes()).map_err(|error| other("arguments", &error.into()))
}

fn set_limits(limits: &ProcessLimits) -> rustix::io::Result<()> {
    let ProcessLimits { open_files, file_size, processes, address_space } = *limits;
    let wanted = [
        (Resource::Core, Some(0)),
        (Resource::Nofile, open_files),
        (Resource::Fsize, file_size),
        (Resource::Nproc, processes),
        (Resource::As, address_space),
    ];
    for (resource, value) in wanted {
        let Some(value) = value else { continue };
        let most = getrlimit(resource).maximum.map_or(value, |most| value.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

fn exited(ended: &Ended) -> Exited {
    // Both fit by wait(2): eight bits, and seven.
    let status = match (ended.status.code().map(u8::try_from), ended.status.signal().map(u8::try_from)) {
        (Some(Ok(code)), _) => Status::Code(code),
        (_, Some(Ok(signal))) => Status::Signal(signal),
        (_, _) => Status::Lost,
    };
    let Ended { user_us, system_us, max_rss_kib, .. } = *ended;
    Exited { status, usage: Usage { user_us, system_us, max_rss_kib } }
}

/// A step of the start that the system refused.
pub(super) fn failed(step: &str, errno: Errno) -> StartProblem {
    other(step, &errno.into())
}

fn other(step: &str, error: &io::Error) -> StartProblem {
    StartProblem::Other(Notice::new(format!("{step} failed: {error}")))
}
