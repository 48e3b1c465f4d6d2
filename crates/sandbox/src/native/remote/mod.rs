//! Sandboxes that something else makes: a container engine, a virtual machine. What the native driver knows of hands serves them as it is.
//!
//! All that such a driver needs is to start the hand's program in its sandbox as a relay, as process 1, and two streams of bytes to it: its
//! standard input and output. [`RemoteHand`] then is nearly a [`Sandbox`](crate::Sandbox). In between, [`near`] holds the other end of the
//! control socket that the rest of this crate talks to, and carries what goes over it through the streams, descriptors included.

#[cfg(test)]
mod hostile;
mod layer;
mod near;
mod process;
mod stream;

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use cofferdam_domain::policy::Limits;
use cofferdam_hand::protocol::{
    channel,
    message::{ProcessLimits, Profile, ReplyBody, RequestBody},
    tunnel::{RELAY_DOOR, RELAY_ROLE, Size},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

pub use self::layer::{MountedLayer, Stacked, agent_on_disk};
use self::{near::Near, process::RemoteProcess};
use super::{
    cgroup::{KillCounter, OutOfMemory},
    command::{self, Ends},
    connection::{ANSWER, Connection, Life, wrong_reply},
    files, hand,
    isolation::try_walls,
    launch::launch,
    network::PROXY,
    process::Watch,
};
use crate::{
    Capture, Command, Console, DoorListeners, FileData, HOME, Listing, Network, Process, SandboxError,
    Search, SearchResult, Version, environment::network,
};

/// Open files of one process inside.
const OPEN_FILES: u64 = 65_536;

/// What is known of a sandbox when its relay has been started.
#[derive(Debug)]
pub struct RemoteSpec {
    /// Whether its relay was started with a door.
    pub network: Network,
    /// Variables of every command; see [`remote_variables`].
    pub variables: BTreeMap<String, String>,
    /// Its limits, of which those for one process are held by the hand.
    pub limits: Limits,
    /// Where its own layer is on this host, so that its use of the disk can be watched.
    pub layer: PathBuf,
    /// The id of its process 1 on this host, if it has one here.
    pub first: Option<u32>,
    /// The file of its control group in which the kernel counts kills for lack of memory (`oom_kill N`), if it can be read here.
    pub kills: Option<PathBuf>,
}

/// Whether a sandbox is in a user namespace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Users {
    /// It is, and the kernel lets nobody make others in it.
    Own,
    /// Its users are the host's, or nothing is known of them.
    Shared,
}

/// Whose kernel a sandbox runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// The host's.
    Hosts,
    /// One of its own, which stands between it and the host's (gVisor, Kata): what that tells of its machine is not the host's.
    Own,
}

/// The hand of a sandbox that something else has made. When it is dropped, whoever made the sandbox is told by [`Self::ended`].
#[derive(Debug)]
pub struct RemoteHand {
    connection: Arc<Connection>,
    near: Arc<Near>,
    ended: watch::Receiver<bool>,
    variables: BTreeMap<String, String>,
    limits: ProcessLimits,
    counters: Vec<KillCounter>,
    door: Mutex<Option<DoorListeners>>,
    landlock: u32,
    _tasks: JoinSet<()>,
}

/// Writes the hand's program to a file that everybody may run and nobody may write to.
///
/// # Errors
/// When the file exists, or cannot be written.
pub fn write_hand(to: &Path) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o555).open(to)?;
    file.write_all(hand::PROGRAM)?;
    // Whatever this process takes away from modes.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o555))
}

/// What the hand's program is started with as process 1 of a sandbox.
#[must_use]
pub fn relay_arguments(network: Network) -> Vec<String> {
    let door = (network == Network::Door).then_some(RELAY_DOOR);
    std::iter::once(RELAY_ROLE).chain(door).map(str::to_owned).collect()
}

/// The variables of every command: those of the sandbox's image, then what every sandbox has, then its own.
#[must_use]
pub fn remote_variables(
    image: impl IntoIterator<Item = (String, String)>,
    network: Network,
    own: &[(String, String)],
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]);
    variables.extend(image);
    let always = [("HOME", HOME), ("USER", "agent"), ("LOGNAME", "agent"), ("GIT_TERMINAL_PROMPT", "0")];
    variables.extend(always.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables.extend(match network {
        Network::Off => network::offline(),
        Network::Door => network::proxy(PROXY),
    });
    variables.extend(own.iter().cloned());
    variables
}

impl RemoteHand {
    /// Talks to a relay, and waits until commands can run. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When the relay does not come up in time, or says what it may not say.
    pub async fn open(
        from: impl AsyncRead + Send + Unpin + 'static,
        to: impl AsyncWrite + Send + Unpin + 'static,
        spec: RemoteSpec,
    ) -> Result<Self, SandboxError> {
        let setup = |source| SandboxError::Setup { step: "connect to the hand".to_owned(), source };
        let (ours, theirs) = channel::pair().map_err(setup)?;
        let end = watch::Sender::new(false);
        let ended = end.subscribe();
        let connection = Connection::open(ours, Life::Elsewhere(end)).map_err(setup)?;
        let opened = Near::open(Arc::clone(&connection), theirs, spec.network, from, to);
        let opened = timeout(ANSWER, opened).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let near::Opened { near, landlock, streams, work } = opened
            .inspect_err(|error| {
                connection.end(&format!("its relay did not come up: {error}"));
            })
            .map_err(setup)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(work);
        let (first, disk) = (spec.first.unwrap_or(0), spec.limits.disk);
        tasks.spawn(super::watchdog::watch_disk(Arc::clone(&connection), first, spec.layer, disk));
        let door = streams.map(|streams| DoorListeners {
            tcp: Vec::new(),
            dns: Vec::new(),
            streams: Some(streams),
            capture: Capture::ProxyOnly { address: PROXY },
        });
        let limits = ProcessLimits {
            open_files: Some(OPEN_FILES),
            file_size: Some(disk),
            processes: None,
            address_space: None,
        };
        let counters = spec.kills.and_then(KillCounter::kernel).into_iter().collect();
        let (variables, door) = (spec.variables, Mutex::new(door));
        let hand =
            Self { connection, near, ended, variables, limits, counters, door, landlock, _tasks: tasks };
        let greeting = hand.connection.ask(RequestBody::Hello, &[], ANSWER).await?;
        if greeting == ReplyBody::Hello { Ok(hand) } else { Err(wrong_reply(&hand.connection)) }
    }

    /// The version of Landlock that is in force; 0 for none.
    #[must_use]
    pub const fn landlock(&self) -> u32 {
        self.landlock
    }

    /// Has it try its walls; gives how many probes have passed.
    ///
    /// # Errors
    /// When something is possible inside that must not be; names it.
    pub async fn test(&self, users: Users, kernel: Kernel) -> Result<u32, SandboxError> {
        let profile = Profile {
            landlock: self.landlock > 0,
            own_users: users == Users::Own,
            own_kernel: kernel == Kernel::Own,
        };
        try_walls(&self.connection, profile).await
    }

    /// Waits until the sandbox is to be ended, by [`Self::end`] or for what the hand did. Independent of this hand's life.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.clone();
        // An error means that nobody is left who could say so.
        async move { drop(ended.wait_for(|ended| *ended).await) }
    }

    /// Asks for the sandbox's end; the first reason is what callers hear.
    pub fn end(&self, why: &str) {
        self.connection.end(why);
    }

    /// Takes note of whether the sandbox's processes are stopped.
    ///
    /// # Errors
    /// [`SandboxError::Gone`] when it has ended.
    pub fn set_frozen(&self, frozen: bool) -> Result<(), SandboxError> {
        if !self.connection.lives() {
            return Err(self.connection.gone());
        }
        self.connection.set_frozen(frozen);
        Ok(())
    }

    /// Whether they are.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.connection.is_frozen()
    }

    /// See [`Sandbox::take_listeners`](crate::Sandbox::take_listeners).
    pub fn take_listeners(&self) -> Option<DoorListeners> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// See [`Sandbox::start`](crate::Sandbox::start) and [`Sandbox::start_at`](crate::Sandbox::start_at).
    ///
    /// # Errors
    /// As there.
    pub async fn start(
        &self,
        command: Command,
        console: Option<Console>,
    ) -> Result<Box<dyn Process>, SandboxError> {
        let command = match &console {
            Some(console) => {
                let terminal = matches!(console, Console::Terminal { .. });
                Command { terminal, stdin: Vec::new(), ..command }
            }
            None => command,
        };
        let reads = matches!(console, Some(Console::Pipe(_))) || !command.stdin.is_empty();
        let mut start = command::start(&command, &self.variables, reads)?;
        start.limits = self.limits;
        let id = self.connection.next_id();
        let ends = match console {
            Some(Console::Terminal { columns, rows }) => {
                self.near.set_size(id, Size { columns, rows });
                stream::terminal(&command.stdin)
            }
            None if command.terminal => stream::terminal(&command.stdin),
            console => Ends::make(&command, console),
        };
        let step = "prepare the output of a command".to_owned();
        let ends = ends.map_err(|source| SandboxError::Setup { step, source })?;
        let watch = Watch::of(&command, OutOfMemory::since_now(self.counters.clone()));
        let process = launch(&self.connection, id, start, ends, watch).await?;
        Ok(Box::new(RemoteProcess { process, id, near: Arc::clone(&self.near) }))
    }

    /// See [`Sandbox::read`](crate::Sandbox::read).
    ///
    /// # Errors
    /// As there.
    pub async fn read(&self, path: &str, offset: u64, limit: u64) -> Result<FileData, SandboxError> {
        files::read(&self.connection, path, offset, limit).await
    }

    /// See [`Sandbox::write`](crate::Sandbox::write).
    ///
    /// # Errors
    /// As there.
    pub async fn write(
        &self,
        path: &str,
        content: &[u8],
        expected: Option<Version>,
    ) -> Result<Version, SandboxError> {
        files::write(&self.connection, path, content, expected).await
    }

    /// See [`Sandbox::remove`](crate::Sandbox::remove).
    ///
    /// # Errors
    /// As there.
    pub async fn remove(&self, path: &str) -> Result<(), SandboxError> {
        files::remove(&self.connection, path).await
    }

    /// See [`Sandbox::list`](crate::Sandbox::list).
    ///
    /// # Errors
    /// As there.
    pub async fn list(&self, path: &str, limit: usize) -> Result<Listing, SandboxError> {
        files::list(&self.connection, path, limit).await
    }

    /// See [`Sandbox::search`](crate::Sandbox::search).
    ///
    /// # Errors
    /// As there.
    pub async fn search(&self, search: Search) -> Result<SearchResult, SandboxError> {
        files::search(&self.connection, search).await
    }
}

impl Drop for RemoteHand {
    fn drop(&mut self) {
        self.connection.end("it was dropped");
    }
}
