//! A running sandbox of the native driver.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::SandboxId;
use cofferdam_hand::protocol::message::{ReplyBody, RequestBody};
use tokio::{io::Interest, task::JoinSet, time::timeout};

use super::{
    cgroup::{KillCounter, OutOfMemory, SandboxGroup},
    command::{self, Ends},
    connection::{ANSWER, Connection, wrong_reply},
    files,
    process::{NativeProcess, Watch},
    ready::register,
    zygote::Built,
};
use crate::{Command, FileData, Listing, Process, Sandbox, SandboxError, Search, SearchResult, Version};

/// How long the processes of a sandbox may take to end once they are killed.
const ENDING: Duration = Duration::from_secs(30);

/// A sandbox. Dropping it kills it as well, but does not wait for that.
#[derive(Debug)]
pub(super) struct NativeSandbox {
    id: SandboxId,
    level: String,
    connection: Arc<Connection>,
    pidfd: Arc<OwnedFd>,
    variables: Arc<BTreeMap<String, String>>,
    counters: Vec<KillCounter>,
    group: Option<SandboxGroup>,
    watchdogs: JoinSet<()>,
}

/// What a sandbox is made of, besides its process 1.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) id: SandboxId,
    pub(super) level: String,
    pub(super) variables: Arc<BTreeMap<String, String>>,
    pub(super) group: SandboxGroup,
    pub(super) layer: PathBuf,
    pub(super) disk: u64,
    /// The memory limit, where the watchdog has to hold it.
    pub(super) watched_memory: Option<u64>,
}

impl NativeSandbox {
    /// Opens the connection to a sandbox that has just been built.
    pub(super) async fn open(built: Built, parts: Parts) -> Result<Self, SandboxError> {
        let Built { pidfd, pid, control } = built;
        let pidfd = Arc::new(pidfd);
        let connection = Connection::open(control, Arc::clone(&pidfd))
            .map_err(|source| SandboxError::Setup { step: "connect to the hand".to_owned(), source })?;
        let mut watchdogs = JoinSet::new();
        watchdogs.spawn(super::watchdog::watch_disk(Arc::clone(&connection), pid, parts.layer, parts.disk));
        let mut counters: Vec<KillCounter> = parts.group.kill_counter().into_iter().collect();
        if let Some(limit) = parts.watched_memory {
            let kills = Arc::new(AtomicU64::new(0));
            counters.push(KillCounter::Watchdog(Arc::clone(&kills)));
            watchdogs.spawn(super::watchdog::watch_memory(Arc::clone(&connection), pid, limit, kills));
        }
        let Parts { id, level, variables, group, .. } = parts;
        let sandbox =
            Self { id, level, connection, pidfd, variables, counters, group: Some(group), watchdogs };
        let reply = sandbox.connection.ask(RequestBody::Hello, &[], ANSWER).await?;
        if reply == ReplyBody::Hello { Ok(sandbox) } else { Err(wrong_reply(&sandbox.connection)) }
    }

    /// Waits until no process of it is left. Process 1 of a pid namespace is the last to go.
    async fn ended(&self) -> std::io::Result<()> {
        let pidfd = register(self.pidfd.try_clone()?, Interest::READABLE)?;
        match timeout(ENDING, pidfd.readable()).await {
            Ok(ready) => ready.map(drop),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }
}

#[async_trait]
impl Sandbox for NativeSandbox {
    fn id(&self) -> SandboxId {
        self.id
    }

    fn level(&self) -> &str {
        &self.level
    }

    async fn start(&self, command: Command) -> Result<Box<dyn Process>, SandboxError> {
        let start = command::start(&command, &self.variables)?;
        let program = command.argv.first().map_or("", String::as_str);
        let setup = |source| SandboxError::Setup { step: format!("prepare the output of {program}"), source };
        let ends = Ends::make(&command).map_err(setup)?;
        let memory = OutOfMemory::since_now(self.counters.clone());
        let sent: Vec<BorrowedFd<'_>> = ends.command.iter().map(AsFd::as_fd).collect();
        let asked = self.connection.request(RequestBody::Start(start), &sent).await;
        let mut replies = asked.map_err(|error| {
            // The one thing about a request that is the caller's doing.
            if let SandboxError::Setup { source, .. } = &error {
                command::problem(program, &source.to_string())
            } else {
                error
            }
        })?;
        drop(sent);
        let Ends { host, command: theirs } = ends;
        // Or the end of the output would never come.
        drop(theirs);
        let reply = replies.next(ANSWER).await?;
        if let ReplyBody::NotStarted(problem) = reply {
            return Err(command::problem(program, &problem.to_string()));
        } else if let ReplyBody::Refused(notice) = reply {
            return Err(command::problem(program, notice.as_str()));
        } else if reply != ReplyBody::Started {
            return Err(wrong_reply(&self.connection));
        }
        let Command { terminal, timeout, output_limit, .. } = command;
        let watch = Watch { timeout, output_limit, terminal, memory };
        let process =
            NativeProcess::watch(Arc::clone(&self.connection), replies, host, watch).map_err(setup)?;
        Ok(Box::new(process))
    }

    async fn read(&self, path: &str, offset: u64, limit: u64) -> Result<FileData, SandboxError> {
        files::read(&self.connection, path, offset, limit).await
    }

    async fn write(
        &self,
        path: &str,
        content: &[u8],
        expected: Option<Version>,
    ) -> Result<Version, SandboxError> {
        files::write(&self.connection, path, content, expected).await
    }

    async fn remove(&self, path: &str) -> Result<(), SandboxError> {
        files::remove(&self.connection, path).await
    }

    async fn list(&self, path: &str, limit: usize) -> Result<Listing, SandboxError> {
        files::list(&self.connection, path, limit).await
    }

    async fn search(&self, search: Search) -> Result<SearchResult, SandboxError> {
        files::search(&self.connection, search).await
    }

    async fn destroy(mut self: Box<Self>) -> Result<(), SandboxError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| SandboxError::Cleanup { what, source }
        };
        self.connection.end("it was destroyed");
        self.watchdogs.abort_all();
        self.ended().await.map_err(failed("its processes"))?;
        match self.group.take() {
            Some(group) => group.remove().await.map_err(failed("its control group")),
            None => Ok(()),
        }
    }
}

impl Drop for NativeSandbox {
    fn drop(&mut self) {
        self.connection.end("it was dropped");
    }
}
