//! What a sandbox is, whoever makes it: the interface between the worker and tools on one side and a driver on the other.
//!
//! Notes for implementors: a driver is small. It makes sandboxes from a [`SandboxSpec`] and promises, for each: no network but what the
//! spec's door offers (here: none), no secret, no path of the host but the spec's layers and the environment's, limits that hold, and
//! that dropping or destroying it leaves no process, mount or control group behind. Everything that comes back from inside is untrusted
//! and bounded by the driver.

use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use cofferdam_domain::{SandboxId, evidence::Exit, policy::Limits};
use tokio::sync::mpsc;

use crate::SandboxError;

/// Makes sandboxes.
#[async_trait]
pub trait Driver: Send + Sync {
    /// The driver's name, as configured: `native`.
    fn name(&self) -> &'static str;

    /// Makes a sandbox and waits until commands can run in it.
    ///
    /// # Errors
    /// When the host cannot give the isolation that the driver stands for (it never gives less instead), or the spec's layers are missing.
    async fn create(&self, spec: SandboxSpec) -> Result<Box<dyn Sandbox>, SandboxError>;
}

/// What a sandbox starts from.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// Its id; also the name of its control group.
    pub id: SandboxId,
    /// Read-only layers of the workspace, lowest first: directories on the host whose content appears in [`WORKSPACE`].
    pub lower: Vec<PathBuf>,
    /// Where its own layer is kept on the host: all that it writes to [`WORKSPACE`] and [`HOME`]. Made if missing; if it has content
    /// from an earlier sandbox of the same session, that content is there again. Not removed by the driver.
    pub layer: PathBuf,
    /// More directories or files of the host, to be seen read-only at the given absolute path inside (a seed repository, a cache).
    pub read_only: Vec<ReadOnly>,
    /// Hard limits.
    pub limits: Limits,
    /// What of a network it has besides its own loopback interface.
    pub network: Network,
    /// Whether its system can be changed.
    pub system: System,
    /// Variables for every command, in addition to the environment's own, over which they win.
    pub variables: Vec<(String, String)>,
}

impl SandboxSpec {
    /// A sandbox with an empty workspace, a read-only system, no network and nothing else to read.
    #[must_use]
    pub const fn new(id: SandboxId, layer: PathBuf, limits: Limits) -> Self {
        Self {
            id,
            lower: Vec::new(),
            layer,
            read_only: Vec::new(),
            limits,
            network: Network::Off,
            system: System::ReadOnly,
            variables: Vec::new(),
        }
    }
}

/// Whether the system of a sandbox (`/usr`, `/etc`, `/var` and the like) can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum System {
    /// By nobody: there is no root inside.
    #[default]
    ReadOnly,
    /// By commands that run as [`User::Root`]: they may install packages, and what they change is kept in the sandbox's own layer, for later
    /// sandboxes with that layer.
    Writable,
}

/// Who a command runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum User {
    /// The agent, who has no privilege at all.
    #[default]
    Agent,
    /// Root of the sandbox, who may change its files whatever their owner, and become others inside. Outside of it that is an unknown user
    /// without any rights. Needs [`System::Writable`].
    Root,
}

/// What of a network a sandbox has besides its own loopback interface. There is no third kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Nothing: there is no route to anywhere.
    #[default]
    Off,
    /// Every TCP connection and every question for a name ends at sockets that [`Sandbox::take_listeners`] gives to an egress door outside.
    /// All else goes nowhere.
    Door,
}

/// The sockets at which the connections of one sandbox end. They were made in its network namespace and exist nowhere else, so what comes
/// in at them is that sandbox's, whatever it says. None of them blocks.
#[derive(Debug)]
pub struct DoorListeners {
    /// For connections: one for IPv4 and, where the host has it, one for IPv6.
    pub tcp: Vec<TcpListener>,
    /// For questions for names (port 53), of the same families. An answer that is sent back to where a question came from arrives there as
    /// from the server that was asked.
    pub dns: Vec<UdpSocket>,
    /// Connections that come one by one instead, from sandboxes in whose network no socket of this host can be.
    pub streams: Option<mpsc::Receiver<TcpStream>>,
    /// What comes in at them.
    pub capture: Capture,
}

/// Which connections end at the door's listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// All that do not stay on the sandbox's loopback interface, to whatever address and port; the socket option `SO_ORIGINAL_DST` tells
    /// which (a connection straight to the listener has the listener's own address there).
    All,
    /// Only those of programs that take it for their proxy, as the usual variables tell them to; others have no network at all. So on
    /// hosts that lack nf_tables.
    ProxyOnly {
        /// The proxy's address inside.
        address: SocketAddr,
    },
}

/// A host path that a sandbox may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOnly {
    /// On the host.
    pub host: PathBuf,
    /// Inside.
    pub inside: PathBuf,
}

/// Where the repository is, inside every sandbox.
pub const WORKSPACE: &str = "/workspace";
/// The home directory inside every sandbox.
pub const HOME: &str = "/home/agent";

/// One running sandbox.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Its id.
    fn id(&self) -> SandboxId;

    /// The driver and the level of isolation in force, in words for the log and for people.
    fn level(&self) -> &str;

    /// The sockets for the egress door, once: `None` when they have been taken, or [`SandboxSpec::network`] is not [`Network::Door`].
    /// Until somebody accepts, connections wait; once the sockets are dropped, connections are refused.
    fn take_listeners(&self) -> Option<DoorListeners> {
        None
    }

    /// Starts a command. Output is collected by the host on descriptors that the host made.
    ///
    /// # Errors
    /// When the program does not exist or the sandbox is gone. A command that starts and fails is no error.
    async fn start(&self, command: Command) -> Result<Box<dyn Process>, SandboxError>;

    /// The same with a console, which takes the place of [`Command::stdin`] and [`Command::terminal`].
    ///
    /// # Errors
    /// As [`Self::start`], and where the driver cannot.
    async fn start_at(&self, command: Command, console: Console) -> Result<Box<dyn Process>, SandboxError> {
        drop(console);
        Err(SandboxError::Start {
            program: command.argv.into_iter().next().unwrap_or_default(),
            problem: "its driver has no consoles".to_owned(),
        })
    }

    /// Reads a file, from `offset`, at most `limit` bytes. `path` is absolute, or relative to [`WORKSPACE`].
    ///
    /// # Errors
    /// [`SandboxError::File`] when it is missing, not a regular file, or unreadable.
    async fn read(&self, path: &str, offset: u64, limit: u64) -> Result<FileData, SandboxError>;

    /// Replaces a file's content atomically (a temporary file beside it, then a rename), keeping its mode; makes it and its
    /// parent directories if they are missing.
    ///
    /// # Errors
    /// [`SandboxError::File`] when it cannot be written, or when `expected` is given and the file is no longer as it was read.
    async fn write(
        &self,
        path: &str,
        content: &[u8],
        expected: Option<Version>,
    ) -> Result<Version, SandboxError>;

    /// Removes a file (not a directory).
    ///
    /// # Errors
    /// [`SandboxError::File`] when it is missing or not a file.
    async fn remove(&self, path: &str) -> Result<(), SandboxError>;

    /// Lists a directory, sorted by name, at most `limit` entries.
    ///
    /// # Errors
    /// [`SandboxError::File`] when it is missing or not a directory.
    async fn list(&self, path: &str, limit: usize) -> Result<Listing, SandboxError>;

    /// Searches files for a pattern, or lists files by glob. Runs inside, as untrusted as any command.
    ///
    /// # Errors
    /// [`SandboxError::Search`] when pattern or glob do not parse; says where.
    async fn search(&self, search: Search) -> Result<SearchResult, SandboxError>;

    /// Stops every process in it where it stands, until [`Self::thaw`]. It can still be looked at from outside and destroyed; time limits
    /// of commands that run out meanwhile take effect when it goes on. Other requests fail with [`SandboxError::Frozen`].
    ///
    /// # Errors
    /// When something in it could not be stopped; then it may be partly frozen, and should be destroyed.
    async fn freeze(&self) -> Result<(), SandboxError> {
        Err(SandboxError::Host {
            missing: "its driver cannot freeze a sandbox".to_owned(),
            remedy: "Destroy it, or use the native driver".to_owned(),
        })
    }

    /// Lets a frozen sandbox go on. Does nothing if it is not frozen.
    ///
    /// # Errors
    /// When it is gone, or the system refuses.
    async fn thaw(&self) -> Result<(), SandboxError> {
        Ok(())
    }

    /// Ends every process in it and gives back all that it held on the host, except its layer. Waits until that is done.
    ///
    /// # Errors
    /// When something could not be given back; says what.
    async fn destroy(self: Box<Self>) -> Result<(), SandboxError>;
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments. The program is looked for in the sandbox's `PATH` unless it has a slash.
    pub argv: Vec<String>,
    /// Added to the sandbox's own few variables (`PATH`, `HOME`, `LANG`, `USER`, `TERM`, …).
    pub env: Vec<(String, String)>,
    /// Working directory: absolute, or relative to [`WORKSPACE`].
    pub cwd: String,
    /// What it reads on standard input; nothing if empty.
    pub stdin: Vec<u8>,
    /// Whether standard output and error are one terminal (80 columns and 24 rows until [`Process::resize`]) rather than one pipe.
    pub terminal: bool,
    /// Who it runs as.
    pub user: User,
    /// After this time its whole process tree is killed.
    pub timeout: Duration,
    /// Bytes of output that are kept: the first half and the last half of the bound when there is more.
    pub output_limit: u64,
}

/// Where a person, or another program, sits who runs a command.
#[derive(Debug)]
pub enum Console {
    /// At the other end of this pipe, which the command reads its standard input from. It must be the reading end of a new pipe: whatever it
    /// is, the sandbox can use it as it likes.
    Pipe(OwnedFd),
    /// At a terminal of this size.
    Terminal {
        /// Characters in a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
}

/// A started command. Dropping it kills its whole process tree.
#[async_trait]
pub trait Process: Send {
    /// The output so far that has not been taken yet. Does not wait.
    fn take_output(&mut self) -> Vec<u8>;

    /// Waits until there is output that has not been taken, the command has ended, or `patience` is over.
    async fn stir(&mut self, patience: Duration);

    /// Writes to its standard input, for a command started with `terminal`.
    ///
    /// # Errors
    /// When it no longer reads.
    async fn write_input(&mut self, bytes: &[u8]) -> Result<(), SandboxError>;

    /// Changes the size of its terminal, if it has one, and tells it so. Where the driver cannot, the size stays.
    fn resize(&mut self, columns: u16, rows: u16) {
        let (_, _) = (columns, rows);
    }

    /// Waits until it has ended or `patience` is over, whichever comes first; `None` means that it still runs. Descendants that
    /// it left in the background keep running as long as the process is not dropped or killed.
    async fn wait(&mut self, patience: Duration) -> Result<Option<Finished>, SandboxError>;

    /// Kills it and everything that it started, also what has moved to sessions or process groups of its own.
    ///
    /// # Errors
    /// When the sandbox is gone (and the process with it).
    async fn kill(&mut self) -> Result<(), SandboxError>;
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its status.
    pub exit: Exit,
    /// All output that was kept, also what [`Process::take_output`] has given already. Standard output and error as they came.
    pub output: Output,
    /// How long it ran.
    pub elapsed: Duration,
    /// Whether the sandbox's memory limit killed it or one of its descendants.
    pub out_of_memory: bool,
}

/// The bounded output of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The beginning, or all of it.
    pub head: Vec<u8>,
    /// Bytes that were dropped between head and tail.
    pub dropped: u64,
    /// The end, if there was more than fits in the head.
    pub tail: Vec<u8>,
}

impl Output {
    /// Head and tail in one piece, with a line that tells how much is missing between them.
    #[must_use]
    pub fn joined(&self) -> Vec<u8> {
        let mut all = self.head.clone();
        if self.dropped > 0 {
            all.extend_from_slice(format!("\n[… {} bytes dropped …]\n", self.dropped).as_bytes());
        }
        all.extend_from_slice(&self.tail);
        all
    }
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileData {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The size of the whole file.
    pub size: u64,
    /// Which state of the file this is.
    pub version: Version,
}

/// One state of a file: changes whenever its content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of content or metadata, in nanoseconds since 1970.
    pub changed_ns: i128,
}

/// The entries of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sorted by name.
    pub entries: Vec<Entry>,
    /// Entries left out because of the limit.
    pub more: u64,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name as raw bytes.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Size in bytes, for files.
    pub size: u64,
}

/// Kinds of directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A socket, pipe or device.
    Other,
}

/// What to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Directory or file to start from: absolute, or relative to [`WORKSPACE`].
    pub root: String,
    /// A regular expression (syntax of the `regex` crate) to find in files; `None` lists the files themselves.
    pub pattern: Option<String>,
    /// Only files whose path matches this glob (`**/*.rs`, `*.{ts,tsx}`); all if `None`.
    pub glob: Option<String>,
    /// Take the pattern as plain text.
    pub literal: bool,
    /// Ignore case.
    pub ignore_case: bool,
    /// Let the pattern match across lines.
    pub multiline: bool,
    /// Lines of context before and after each match.
    pub context: u32,
    /// Also hidden files and files that ignore rules name. `.git` is never searched.
    pub hidden: bool,
    /// Stop after this many matching lines, or files.
    pub limit: u32,
    /// Stop after this time.
    pub timeout: Duration,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchResult {
    /// Files in the order of their paths; without a pattern, newest first.
    pub files: Vec<FoundFile>,
    /// Whether the limit or the time cut it short.
    pub cut: bool,
}

/// A file with its matching lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Its path as raw bytes, relative to the search's root if that is a directory.
    pub path: Vec<u8>,
    /// Matching lines and their context; empty when files were listed.
    pub lines: Vec<FoundLine>,
}

/// One line of a search result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLine {
    /// Counted from 1.
    pub number: u64,
    /// The line without its end, cut at 1,000 bytes.
    pub text: Vec<u8>,
    /// A match, or context.
    pub is_match: bool,
}
