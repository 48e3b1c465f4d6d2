//! The hand: process 1 of a sandbox, which carries out what the host asks.
//!
//! One thread, one loop: it waits for a request, a report of one of its children, or the end of one, and
//! handles that to its end. File operations happen here, on memfds, so that nothing can make them wait;
//! everything that can take its time is a child: each command has a watcher (see [`command`]; the next one's is there already, [`spare`]),
//! each search is a forked copy of this program.
//!
//! What holds, and why:
//! * The control socket exists in this process only. It is not dumpable, so nobody in the sandbox can read
//!   its memory or take its descriptors; children close theirs first of all. As process 1 it gets no signal
//!   from inside.
//! * Every process of the sandbox is below one of its children. A watcher can be killed by a command (they
//!   share a user), and its descendants then become children of this process; as they are no child it knows,
//!   they are killed at once (see [`reap`](Hand::reap)). So no process escapes from the command that it
//!   belongs to.
//! * No zombies: whatever is reparented here is reaped.
//!
//! Outside a sandbox (in tests) it makes itself the subreaper of its descendants, and the same holds but for
//! signals.

mod children;
mod command;
mod files;
mod kill;
mod program;
mod selftest;
mod spare;
mod walk;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
};

use cofferdam_hand::protocol::{
    channel::{self, ChannelError, Received},
    message::{Reply, ReplyBody, Request, RequestBody, RequestId},
    text::Notice,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    process::{DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid},
};

pub(crate) use self::files::{open_regular, problem};
use self::{
    children::{Children, Task},
    command::Standard,
    spare::{Employed, Spare, Unheard},
};
use crate::sys;

/// Exit status when the host broke the protocol, as in BSD's `sysexits.h` (`EX_PROTOCOL`).
const PROTOCOL_BROKEN: u8 = 76;
/// No time at all.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// A command that runs for longer than this does not need the processor for its start any more.
const STARTED: Timespec = Timespec { tv_sec: 0, tv_nsec: 3_000_000 };
/// Exit status when the system refused something that must work (`EX_OSERR`).
const SYSTEM_FAILED: u8 = 71;

/// Serves the host on `socket` until it asks for the end or closes the socket; nothing that was started is
/// left then.
pub(crate) fn run(socket: OwnedFd) -> ExitCode {
    sys::process::reset_signals();
    serve(socket)
}

/// The same for a process in which every signal has its default action.
pub(crate) fn serve(socket: OwnedFd) -> ExitCode {
    let ended = Hand::new(socket).and_then(|mut hand| {
        let ended = hand.serve();
        Hand::end_all();
        ended
    });
    match ended {
        Ok(End::Asked | End::HostGone) => ExitCode::SUCCESS,
        Ok(End::ProtocolBroken) => ExitCode::from(PROTOCOL_BROKEN),
        Err(_) => ExitCode::from(SYSTEM_FAILED),
    }
}

/// Kills everything below this process, and reaps it.
pub(crate) fn end_all() {
    Hand::end_all();
}

/// Why the hand ends.
enum End {
    /// The host asked for it.
    Asked,
    /// The host closed the socket.
    HostGone,
    /// The host sent what it may not send.
    ProtocolBroken,
}

/// The state of process 1.
struct Hand {
    /// To the host.
    control: OwnedFd,
    /// Where children say what became of their task. They write replies, which go on to the host.
    reports: OwnedFd,
    /// The children's end.
    report: OwnedFd,
    /// Readable when a child has ended.
    child_signal: OwnedFd,
    /// The children that belong to a request.
    children: Children,
    /// One that will belong to the next command.
    spare: Option<Spare>,
    /// It is to be forked when there has been nothing else to do for so long.
    spare_due: Option<Timespec>,
    /// Those that have just been told of a command.
    employed: Vec<Employed>,
    /// Whether the host has said hello.
    greeted: bool,
}

impl Hand {
    fn new(control: OwnedFd) -> io::Result<Self> {
        let child_signal = sys::process::child_signal()?;
        // Refused only if it leads a group already; in either case the group has its own id then.
        let _ = rustix::process::setsid();
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        rustix::process::chdir(c"/")?;
        detach_standard_streams()?;
        let (reports, report) = channel::pair()?;
        rustix::io::ioctl_fionbio(&reports, true)?;
        let children = Children::default();
        let (spare, spare_due, greeted) = (None, None, false);
        let employed = Vec::new();
        Ok(Self { control, reports, report, child_signal, children, spare, spare_due, employed, greeted })
    }

    fn serve(&mut self) -> io::Result<End> {
        loop {
            let [request, report, ended] = self.wait()?;
            if report {
                self.forward_reports()?;
            }
            if ended {
                self.reap()?;
            }
            if request && let Some(end) = self.receive()? {
                return Ok(end);
            }
        }
    }

    /// Waits for something to do, and says what there is: a request, a report, the end of a child. While there is nothing, nobody waits for
    /// what is done ahead.
    fn wait(&mut self) -> io::Result<[bool; 3]> {
        if let Some(patience) = self.spare_due.take() {
            let ready = self.ready(Some(&patience))?;
            if ready.contains(&true) {
                self.spare_due = Some(patience);
                return Ok(ready);
            }
            self.fork_spare();
        }
        self.ready(None)
    }

    fn ready(&self, patience: Option<&Timespec>) -> io::Result<[bool; 3]> {
        let mut ready =
            [&self.control, &self.reports, &self.child_signal].map(|fd| PollFd::new(fd, PollFlags::IN));
        match poll(&mut ready, patience) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(ready.each_ref().map(|fd| !fd.revents().is_empty())),
            Err(errno) => Err(errno.into()),
        }
    }

    fn receive(&mut self) -> io::Result<Option<End>> {
        match channel::receive::<Request>(&self.control) {
            Ok(received) => self.handle(received),
            Err(ChannelError::Closed) => Ok(Some(End::HostGone)),
            Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(ChannelError::System(error)) => Err(error),
            Err(
                problem @ (ChannelError::TooLong(_)
                | ChannelError::TooManyDescriptors(_)
                | ChannelError::Frame(_)),
            ) => self.broken(&problem.to_string()),
        }
    }

    fn handle(&mut self, received: Received<Request>) -> io::Result<Option<End>> {
        let Received { message: Request { id, body }, descriptors } = received;
        if !self.greeted && body != RequestBody::Hello {
            return self.broken("the first request must be hello");
        }
        if descriptors.len() != descriptors_of(&body) {
            return self.refuse(id, "this request came with the wrong number of descriptors");
        }
        let mut descriptors = descriptors.into_iter();
        let reply = match (body, descriptors.next()) {
            (RequestBody::Hello, _) => {
                self.greeted = true;
                // The first command mostly comes at once.
                self.fork_spare();
                ReplyBody::Hello
            }
            (RequestBody::Ping, _) => ReplyBody::Pong,
            (RequestBody::Shutdown, _) => {
                Self::end_all();
                self.reply(id, ReplyBody::Bye)?;
                return Ok(Some(End::Asked));
            }
            (RequestBody::Kill { target }, _) => return self.kill(id, target),
            (RequestBody::Start(_) | RequestBody::Search(_) | RequestBody::SelfTest(_), _)
                if self.children.contains(id) =>
            {
                return self.refuse(id, "this id is in use");
            }
            (RequestBody::Start(start), Some(first)) => {
                let streams = Standard::new(first, descriptors.next(), start.streams);
                let child = self.watch(Unheard { id, start, streams });
                return self.started(id, child, Task::Starting);
            }
            (RequestBody::SelfTest(profile), _) => {
                let child = selftest::start(id, profile, self.report.as_fd());
                return self.started(id, child, Task::Testing);
            }
            (RequestBody::Search(search), Some(out)) => {
                let child = crate::search::start(id, &search, out, self.report.as_fd());
                return self.started(id, child, Task::Searching);
            }
            (body, descriptor) => files::answer(body, descriptor),
        };
        self.reply(id, reply)?;
        Ok(None)
    }

    /// Has a watcher start a command: the one that waits for that, or a new one.
    fn watch(&mut self, command: Unheard) -> io::Result<Pid> {
        let Unheard { id, start, streams } = match self.spare.take() {
            None => command,
            Some(spare) => match spare.employ(command.id, command.start, command.streams) {
                Ok(employed) => {
                    let pid = employed.pid;
                    self.employed.push(employed);
                    return Ok(pid);
                }
                Err(command) => *command,
            },
        };
        // First this one.
        self.spare_due = None;
        command::watch(id, &start, &streams, self.report.as_fd())
    }

    /// The next watcher is forked once a command has ended, or has run for a while: its start should not have to share the processor.
    fn note_due(&mut self, reported: &ReplyBody) {
        if *reported == ReplyBody::Started {
            self.spare_due = Some(STARTED);
        } else if matches!(reported, ReplyBody::Exited(_) | ReplyBody::NotStarted(_)) {
            self.spare_due = Some(NOW);
        }
    }

    /// Forks the watcher of the next command. If that cannot be done, it is forked when it is needed.
    fn fork_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = Spare::fork(self.report.as_fd()).ok();
        }
    }

    /// Takes note of a forked child, or says why there is none.
    fn started(&mut self, id: RequestId, child: io::Result<Pid>, task: Task) -> io::Result<Option<End>> {
        match child {
            Ok(pid) => self.children.insert(pid, id, task),
            Err(error) => self.reply(id, task.lost(&format!("the sandbox has no room for it: {error}")))?,
        }
        Ok(None)
    }

    fn kill(&mut self, id: RequestId, target: RequestId) -> io::Result<Option<End>> {
        // Its command is not to start any more.
        self.employed.retain(|employed| employed.id() != target);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let survivors = match self.children.find(target) {
            None => 0,
            Some((pid, Task::Running | Task::Exited)) => kill::below(pid, &[], |_| {
                // Somebody may have stopped the watcher.
                let _ = kill_process(pid, Signal::CONT);
                !matches!(waitid(WaitId::Pid(pid), ended | WaitIdOptions::NOHANG), Ok(None))
            }),
            // Not yet watching, or no watcher at all: it goes itself, and what it had forked becomes a stray.
            Some((pid, Task::Starting | Task::Searching | Task::Testing | Task::Done)) => {
                let _ = kill_process(pid, Signal::KILL);
                let _ = waitid(WaitId::Pid(pid), ended);
                0
            }
        };
        let strays = self.reap()?;
        self.reply(id, ReplyBody::Killed { survivors: survivors.saturating_add(strays) })?;
        Ok(None)
    }

    /// Passes on to the host what children have reported.
    fn forward_reports(&mut self) -> io::Result<()> {
        loop {
            match channel::receive::<Reply>(&self.reports) {
                Ok(Received { message, .. }) => {
                    self.children.note(&message);
                    self.employed.retain(|employed| employed.id() != message.id);
                    self.note_due(&message.body);
                    self.reply(message.id, message.body)?;
                }
                Err(ChannelError::System(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(());
                }
                Err(other) => return Err(io::Error::other(other)),
            }
        }
    }

    /// Reaps every child that has ended, and tells the host. If one of them was a watcher that did not end by
    /// itself, its descendants are now children of this process, without a request that they belong to: they
    /// are killed. Returns how many of them are left.
    fn reap(&mut self) -> io::Result<u32> {
        let mut signal = [0; 128];
        while rustix::io::read(&self.child_signal, &mut signal).is_ok() {}
        let mut ended = Vec::new();
        let mut strays = false;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if self.spare.take_if(|spare| spare.pid == pid).is_some() {
                // It had started nothing.
                continue;
            }
            strays |= status.signaled() || !self.children.knows(pid);
            ended.push(pid);
        }
        let survivors = if strays { self.kill_strays() } else { 0 };
        // Whatever they had to report is in the socket by now.
        self.forward_reports()?;
        ended.into_iter().try_for_each(|pid| self.child_ended(pid))?;
        Ok(survivors)
    }

    fn child_ended(&mut self, pid: Pid) -> io::Result<()> {
        let Some((id, task)) = self.children.remove(pid) else { return Ok(()) };
        let employed = self.employed.iter().position(|employed| employed.pid == pid);
        if let Some(command) = employed.and_then(|at| self.employed.swap_remove(at).unheard()) {
            let child = self.watch(command);
            return self.started(id, child, task).map(drop);
        }
        match task {
            Task::Done => Ok(()),
            Task::Exited => self.reply(id, ReplyBody::Emptied),
            Task::Running => {
                self.reply(id, task.lost(""))?;
                self.reply(id, ReplyBody::Emptied)
            }
            Task::Starting | Task::Searching | Task::Testing => {
                self.reply(id, task.lost("it was killed while it started"))
            }
        }
    }

    fn kill_strays(&self) -> u32 {
        let spared: Vec<Pid> =
            self.children.pids().into_iter().chain(self.spare.iter().map(|spare| spare.pid)).collect();
        kill::below(rustix::process::getpid(), &spared, |round| {
            for zombie in &round.zombies {
                let _ = rustix::process::waitpid(Some(*zombie), WaitOptions::NOHANG);
            }
            round.alive == 0 && round.zombies.is_empty() && !round.vanished
        })
    }

    /// Kills everything, and reaps it.
    fn end_all() -> u32 {
        kill::below(rustix::process::getpid(), &[], |_| {
            loop {
                match rustix::process::wait(WaitOptions::NOHANG) {
                    Ok(Some(_)) => {}
                    Ok(None) => return false,
                    Err(_no_child) => return true,
                }
            }
        })
    }

    fn refuse(&self, id: RequestId, problem: &str) -> io::Result<Option<End>> {
        self.reply(id, ReplyBody::Refused(Notice::new(problem)))?;
        Ok(None)
    }

    fn broken(&self, problem: &str) -> io::Result<Option<End>> {
        self.reply(RequestId::CONNECTION, ReplyBody::Broken(Notice::new(problem)))?;
        Ok(Some(End::ProtocolBroken))
    }

    /// Tells the host. That the host is gone shows on the next receive.
    fn reply(&self, id: RequestId, body: ReplyBody) -> io::Result<()> {
        match channel::send(&self.control, &Reply { id, body }, &[]) {
            Ok(()) | Err(ChannelError::Closed) => Ok(()),
            Err(other) => Err(io::Error::other(other)),
        }
    }
}

/// How many descriptors come with a request.
fn descriptors_of(body: &RequestBody) -> usize {
    match body {
        RequestBody::Start(start) => start.streams.descriptors(),
        RequestBody::Read { .. }
        | RequestBody::Write { .. }
        | RequestBody::List { .. }
        | RequestBody::Search(_) => 1,
        RequestBody::Hello
        | RequestBody::Kill { .. }
        | RequestBody::Remove { .. }
        | RequestBody::Stat { .. }
        | RequestBody::Ping
        | RequestBody::SelfTest(_)
        | RequestBody::Shutdown => 0,
    }
}

/// Nothing that this process or a watcher prints may go anywhere, and a command without input reads this.
fn detach_standard_streams() -> io::Result<()> {
    let null =
        rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
