//! A running sandbox of the native driver.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::SandboxId;
use cofferdam_hand::protocol::message::{ReplyBody, RequestBody};
use tokio::{
    io::Interest,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use super::{
    cgroup::{KillCounter, OutOfMemory, SandboxGroup},
    command::{self, Ends},
    connection::{ANSWER, Connection, wrong_reply},
    files,
    freeze::Freezer,
    isolation::Walls,
    launch::launch,
    layer::Held,
    process::{NativeProcess, Watch},
    ready::register,
    zygote::Made,
};
use crate::{
    Command, Console, DoorListeners, FileData, Listing, Process, Sandbox, SandboxError, Search, SearchResult,
    System, Version,
};

/// How long process 1 may take to build its sandbox, on a machine that is very busy.
const BUILDING: Duration = Duration::from_secs(60);
/// How long the processes of a sandbox may take to end once they are killed.
const ENDING: Duration = Duration::from_secs(30);

/// A sandbox. Dropping it kills it as well, but does not wait for that.
#[derive(Debug)]
pub(super) struct NativeSandbox {
    id: SandboxId,
    level: String,
    connection: Arc<Connection>,
    pidfd: Arc<OwnedFd>,
    door: Mutex<Option<DoorListeners>>,
    variables: BTreeMap<String, String>,
    counters: Vec<KillCounter>,
    group: Option<SandboxGroup>,
    watchdogs: JoinSet<()>,
    held: Held,
    freezer: Freezer,
    freezing: tokio::sync::Mutex<()>,
}

/// What a sandbox is made of, besides its process 1.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) id: SandboxId,
    pub(super) level: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) group: SandboxGroup,
    pub(super) layer: PathBuf,
    pub(super) held: Held,
    pub(super) disk: u64,
    /// The memory limit, where the watchdog has to hold it.
    pub(super) watched_memory: Option<u64>,
}

impl NativeSandbox {
    /// Opens the connection to a sandbox that is being finished, and waits until it stands.
    pub(super) async fn open(made: Made, parts: Parts) -> Result<Self, SandboxError> {
        let Made { pidfd, pid, control, door, status } = made;
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
        let Parts { id, level, variables, group, held, .. } = parts;
        let (freezer, freezing) = (Freezer::new(group.freezer(), pid), tokio::sync::Mutex::default());
        let (door, group) = (Mutex::new(door), Some(group));
        let sandbox = Self {
            id,
            level,
            connection,
            pidfd,
            door,
            variables,
            counters,
            group,
            watchdogs,
            held,
            freezer,
            freezing,
        };
        // The greeting waits in the socket until process 1 has become the hand: its answer is the sign that all is in place.
        match sandbox.connection.ask(RequestBody::Hello, &[], BUILDING).await {
            Ok(ReplyBody::Hello) => Ok(sandbox),
            Ok(_) => Err(wrong_reply(&sandbox.connection)),
            // Before it ended it has said why.
            Err(gone) => Err(timeout(ANSWER, status.failure()).await.ok().flatten().unwrap_or(gone)),
        }
    }

    /// Has it try its own walls, if none of its kind has yet.
    pub(super) async fn test(&mut self, walls: &Walls, system: System) -> Result<(), SandboxError> {
        let passed = walls.test(system, &self.connection).await?;
        self.level = format!("{}; {passed} probes passed", self.level);
        Ok(())
    }

    /// Starts a command, at the console if there is one.
    async fn begin(&self, command: Command, console: Option<Console>) -> Result<NativeProcess, SandboxError> {
        let reads = matches!(console, Some(Console::Pipe(_))) || !command.stdin.is_empty();
        let start = command::start(&command, &self.variables, reads)?;
        let program = command.argv.first().map_or("", String::as_str);
        let setup = |source| SandboxError::Setup { step: format!("prepare the output of {program}"), source };
        let ends = Ends::make(&command, console).map_err(setup)?;
        let memory = OutOfMemory::since_now(self.counters.clone());
        let id = self.connection.next_id();
        launch(&self.connection, id, start, ends, Watch::of(&command, memory)).await
    }

    /// Waits until no process of it is left. Process 1 of a pid namespace is the last to go.
    async fn ended(&self) -> std::io::Result<()> {
        wait_for_end(self.pidfd.try_clone()?).await
    }
}

fn setup(step: &str) -> impl FnOnce(std::io::Error) -> SandboxError {
    let step = step.to_owned();
    move |source| SandboxError::Setup { step, source }
}

async fn wait_for_end(pidfd: OwnedFd) -> std::io::Result<()> {
    let pidfd = register(pidfd, Interest::READABLE)?;
    match timeout(ENDING, pidfd.readable()).await {
        Ok(ready) => ready.map(drop),
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
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

    fn take_listeners(&self) -> Option<DoorListeners> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn start(&self, command: Command) -> Result<Box<dyn Process>, SandboxError> {
        Ok(Box::new(self.begin(command, None).await?))
    }

    async fn start_at(&self, command: Command, console: Console) -> Result<Box<dyn Process>, SandboxError> {
        let terminal = matches!(console, Console::Terminal { .. });
        let command = Command { terminal, stdin: Vec::new(), ..command };
        Ok(Box::new(self.begin(command, Some(console)).await?))
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

    async fn freeze(&self) -> Result<(), SandboxError> {
        let _one_at_a_time = self.freezing.lock().await;
        if !self.connection.lives() {
            return Err(self.connection.gone());
        }
        // Before it is: requests that come now must not wait for a hand that is being stopped.
        self.connection.set_frozen(true);
        self.freezer.freeze().await.map_err(setup("freeze the sandbox"))
    }

    async fn thaw(&self) -> Result<(), SandboxError> {
        let _one_at_a_time = self.freezing.lock().await;
        if !self.connection.lives() {
            return Err(self.connection.gone());
        }
        if self.connection.is_frozen() {
            self.freezer.thaw().map_err(setup("release the sandbox"))?;
            self.connection.set_frozen(false);
        }
        Ok(())
    }

    async fn destroy(mut self: Box<Self>) -> Result<(), SandboxError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| SandboxError::Cleanup { what, source }
        };
        self.connection.end("it was destroyed");
        self.watchdogs.abort_all();
        // While its processes end.
        let swept = self.held.sweeping().map(spawn_blocking);
        self.ended().await.map_err(failed("its processes"))?;
        if let Some(swept) = swept {
            swept.await.ok();
        }
        self.held.release();
        match self.group.take() {
            Some(group) => group.remove().await.map_err(failed("its control group")),
            None => Ok(()),
        }
    }
}

impl Drop for NativeSandbox {
    fn drop(&mut self) {
        self.connection.end("it was dropped");
        let (held, pidfd) = (std::mem::take(&mut self.held), self.pidfd.try_clone());
        // Its last processes may still write. Without a runtime the worker is ending, and what it locked is free.
        if let (false, Ok(pidfd), Ok(runtime)) =
            (held.is_released(), pidfd, tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move {
                wait_for_end(pidfd).await.ok();
                drop(held);
            });
        }
    }
}
