//! Asking the keeper of a sandbox for something.

use std::{io, os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::{net::UnixStream, task::spawn_blocking, time::timeout};

use super::{
    keeper::is_ours,
    kept::Kept,
    wire::{self, Answer, Request},
};

/// How long a look may take.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// How long anything else may take: a sandbox may have to be made, or its files removed.
pub(super) const LONG: Duration = Duration::from_secs(300);
/// How many seconds a keeper may take to end.
const ENDING: i64 = 30;

/// A connection to a keeper.
pub(super) struct Line {
    /// The connection.
    pub(super) stream: UnixStream,
    /// The keeper's process id.
    pub(super) pid: u32,
}

/// Connects to the keeper of a sandbox; `None` if it has none.
pub(super) fn connect(kept: &Kept) -> Result<Option<Line>> {
    let connected = kept.with_socket(|socket| {
        let stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    });
    let stream = match connected {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            return Ok(None);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("failed to reach the keeper of {}", kept.id));
        }
    };
    ensure!(is_ours(&stream), "the keeper of {} is another user's: nothing was asked of it", kept.id);
    let pid = stream.peer_cred().ok().and_then(|peer| u32::try_from(peer.pid()?).ok());
    Ok(Some(Line { stream, pid: pid.context("the keeper has no process id")? }))
}

/// Connects to the keeper of a sandbox, which must have one.
pub(super) fn connect_to_living(kept: &Kept) -> Result<Line> {
    connect(kept)?.ok_or_else(|| {
        let id = kept.id;
        let reason = kept.about().ok().and_then(|about| about.ended);
        let reason = reason.unwrap_or_else(|| "its keeper has died".to_owned());
        anyhow!(
            "{id} no longer runs: {reason}. `cofferdam sandbox fork {id}` makes another one with its files, `cofferdam sandbox destroy {id}` removes them"
        )
    })
}

impl Line {
    /// Asks for something that has one answer.
    pub(super) async fn ask(&mut self, request: &Request, patience: Duration) -> Result<Answer> {
        let asked = async {
            wire::send(&mut self.stream, request).await?;
            let frame = wire::read(&mut self.stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            frame.message::<Answer>()
        };
        match timeout(patience, asked).await {
            Ok(Ok(Answer::Refused(reason))) => bail!("{reason}"),
            Ok(answer) => answer.context("the keeper did not answer"),
            Err(_) => bail!("the keeper, process {}, does not answer", self.pid),
        }
    }

    /// The keeper's process.
    pub(super) fn process(&self) -> Option<OwnedFd> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw)?;
        pidfd_open(pid, PidfdFlags::empty()).ok()
    }
}

/// Asks the keeper of a sandbox for something that has one answer.
pub(super) async fn ask(kept: &Kept, request: &Request) -> Result<Answer> {
    connect_to_living(kept)?.ask(request, LONG).await
}

/// Has a snapshot taken, and gives its id.
pub(super) async fn snapshot(kept: &Kept, name: Option<String>) -> Result<String> {
    match ask(kept, &Request::Snapshot { name }).await? {
        Answer::Snapshot(id) => Ok(id),
        Answer::Seen(_) | Answer::Ended(_) | Answer::Done | Answer::Refused(_) => bail!(OUT_OF_PLACE),
    }
}

/// What is said of an answer to something else.
pub(super) const OUT_OF_PLACE: &str = "the keeper gave another answer than was asked for";

/// Waits until a process has ended.
pub(super) async fn ended(process: OwnedFd) -> Result<()> {
    let poll = move || {
        let patience = Timespec { tv_sec: ENDING, tv_nsec: 0 };
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience))
    };
    match spawn_blocking(poll).await.context("waiting for the keeper failed")? {
        Ok(0) => bail!("the keeper does not end"),
        Ok(_) => Ok(()),
        Err(errno) => Err(errno).context("failed to wait for the keeper"),
    }
}
