//! What the host asks of a hand, and what the hand answers.
//!
//! The host chooses a [`RequestId`] for each request; every reply names the request that it belongs to. A
//! request has one reply, except
//! [`RequestBody::Start`]: [`ReplyBody::Started`] is followed by [`ReplyBody::Exited`] when the command itself has ended and by
//! [`ReplyBody::Emptied`] when nothing that it started is left. Replies to different requests come in any
//! order.
//!
//! The first request must be [`RequestBody::Hello`]. After a frame that breaks the protocol the hand sends
//! [`ReplyBody::Broken`], kills everything and ends.

use serde::{Deserialize, Serialize};

use super::{
    frame::Message,
    text::{KernelString, Notice, SandboxPath, VariableName},
};

/// The most bytes of content that one read or write moves.
pub const MAX_CONTENT: u64 = 64 << 20;
/// The most entries that one listing keeps.
pub const MAX_ENTRIES: u32 = 100_000;
/// The most lines or files that one search keeps.
pub const MAX_FOUND: u32 = 100_000;
/// The most lines of context around a match.
pub const MAX_CONTEXT: u32 = 100;

/// Names a request, and the command or search that it started. Chosen by the host, never used twice on one
/// connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

impl RequestId {
    /// Names no request: the reply concerns the whole connection.
    pub const CONNECTION: Self = Self(0);
}

/// From the host to the hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// What is asked.
    pub body: RequestBody,
}

impl Message for Request {
    const KIND: [u8; 4] = *b"CofQ";
    // One argument of the longest that Linux takes (128 KiB) and room beside it, yet below the usual send
    // buffer of a socket (208 KiB).
    const MAX_FRAME: usize = 192 << 10;
    const MAX_DESCRIPTORS: usize = 2;
}

/// What the host can ask. Each variant says which descriptors come with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestBody {
    /// Opens the connection. Answered with [`ReplyBody::Hello`].
    Hello,
    /// Starts a command. Descriptors: see [`Streams`].
    Start(Start),
    /// Kills a command and everything that it started, or a search. Answered with [`ReplyBody::Killed`], also
    /// when it has ended already. That is the last word: a reply to the killed request itself usually comes
    /// before it, but do not wait for one after it.
    Kill {
        /// The request that started it.
        target: RequestId,
    },
    /// Copies a part of a regular file. Symbolic links are followed. Descriptor: a memfd that receives the
    /// bytes.
    Read {
        /// The file.
        path: SandboxPath,
        /// Where to start, in bytes.
        offset: u64,
        /// The most bytes to copy; [`MAX_CONTENT`] if that is less.
        limit: u64,
    },
    /// Replaces a file atomically. Descriptor: a memfd whose first `length` bytes are the content.
    Write {
        /// The file.
        path: SandboxPath,
        /// Bytes of content, at most [`MAX_CONTENT`].
        length: u64,
        /// Refuse unless the file is still as it was then.
        expected: Option<Version>,
    },
    /// Removes a file or symbolic link.
    Remove {
        /// The file.
        path: SandboxPath,
    },
    /// Says what is at a path, not following a symbolic link at its end.
    Stat {
        /// The path.
        path: SandboxPath,
    },
    /// Lists a directory. Descriptor: a memfd that receives [`super::records::Entry`] records, sorted by
    /// name.
    List {
        /// The directory.
        path: SandboxPath,
        /// The most entries; [`MAX_ENTRIES`] if that is less.
        limit: u32,
    },
    /// Searches files. Descriptor: a pipe or memfd that receives [`super::records::Found`] records until the
    /// reply.
    Search(Search),
    /// Asks for a sign of life.
    Ping,
    /// Tries, as a command would, what commands must not be able to do.
    SelfTest(Profile),
    /// Kills everything and ends. Answered with [`ReplyBody::Bye`] when nothing is left.
    Shutdown,
}

/// A command to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The program: a path if it has a slash (from `cwd` if relative), else a name to look for in `PATH`.
    pub program: KernelString,
    /// Its arguments, without the program itself.
    pub args: Vec<KernelString>,
    /// Its whole environment. `PATH` in it is also where the program is looked for.
    pub env: Vec<Variable>,
    /// Where it starts.
    pub cwd: SandboxPath,
    /// What its standard streams are.
    pub streams: Streams,
    /// Limits on each of its processes.
    pub limits: ProcessLimits,
    /// Who it runs as.
    pub user: User,
}

/// Who a command runs as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum User {
    /// The agent, who has no privilege at all.
    #[default]
    Agent,
    /// Root of the sandbox, which is nobody outside of it. Only where the system can be written to.
    Root,
}

/// What a sandbox was built to be, as far as the self-test has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Landlock is in force.
    pub landlock: bool,
    /// It is in a user namespace of its own, in which the kernel lets nobody make others.
    pub own_users: bool,
    /// It is on a kernel of its own: what that tells of the machine is not the host's, and need not be covered as long as nobody inside may
    /// use it.
    pub own_kernel: bool,
}

/// What the self-test has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// How many things were as they should be.
    pub passed: u32,
    /// The first that was not, and what it was.
    pub failed: Option<Notice>,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: VariableName,
    /// Its value.
    pub value: KernelString,
}

/// What a command's standard streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Streams {
    /// Nothing to read. Descriptor: output and error.
    Output,
    /// Descriptors: input; output and error.
    InputOutput,
    /// Descriptor: a terminal, for all three; it becomes the controlling terminal.
    Terminal,
}

impl Streams {
    /// How many descriptors come with the request.
    #[must_use]
    pub const fn descriptors(self) -> usize {
        match self {
            Self::Output | Self::Terminal => 1,
            Self::InputOutput => 2,
        }
    }
}

/// Limits on each process of a command (setrlimit(2)); `None` leaves what the sandbox has. Core dumps are
/// always off. A limit above the sandbox's own is taken as the sandbox's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Open descriptors.
    pub open_files: Option<u64>,
    /// Bytes of a file that it writes.
    pub file_size: Option<u64>,
    /// Processes and threads of the sandbox's user together.
    pub processes: Option<u64>,
    /// Bytes of address space.
    pub address_space: Option<u64>,
}

/// What to search for. The fields mean what they mean in the driver interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Directory or file to start from.
    pub root: SandboxPath,
    /// A regular expression to find in files; `None` lists the files themselves, newest first.
    pub pattern: Option<String>,
    /// Only files whose path below the root matches; without a slash in it, only whose name matches.
    pub glob: Option<String>,
    /// Take the pattern as plain text.
    pub literal: bool,
    /// Ignore case.
    pub ignore_case: bool,
    /// Let the pattern match across lines.
    pub multiline: bool,
    /// Lines of context before and after each match; [`MAX_CONTEXT`] if that is less.
    pub context: u32,
    /// Also hidden and ignored files. `.git` is never searched.
    pub hidden: bool,
    /// Stop after this many matching lines, or files; [`MAX_FOUND`] if that is less.
    pub limit: u32,
    /// Stop after this many milliseconds.
    pub timeout_ms: u32,
}

/// From the hand to the host. The host takes every word of it as untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The request that it answers, or [`RequestId::CONNECTION`].
    pub id: RequestId,
    /// The answer.
    pub body: ReplyBody,
}

impl Message for Reply {
    const KIND: [u8; 4] = *b"CofA";
    const MAX_FRAME: usize = 2 << 10;
    const MAX_DESCRIPTORS: usize = 0;
}

/// What the hand can answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplyBody {
    /// The connection is open.
    Hello,
    /// The command runs.
    Started,
    /// The command could not be started.
    NotStarted(StartProblem),
    /// The command itself has ended; what it started may still run.
    Exited(Exited),
    /// Nothing that the command started is left.
    Emptied,
    /// What was to be killed is gone.
    Killed {
        /// Processes that were still there when the hand gave up: destroy the sandbox if this is not zero.
        survivors: u32,
    },
    /// A part of a file has been copied.
    Read(FilePart),
    /// A file has been replaced; this is its new state.
    Written(Version),
    /// A file has been removed.
    Removed,
    /// What is at a path.
    Stat(Stat),
    /// A directory has been listed.
    Listed {
        /// Entries in the records.
        entries: u32,
        /// Entries left out because of the limit.
        more: u64,
    },
    /// A search has ended; its records are complete.
    Searched {
        /// Whether the limit or the time cut it short.
        cut: bool,
    },
    /// A search could not be done.
    NotSearched(SearchProblem),
    /// A file operation failed.
    File(FileProblem),
    /// A sign of life.
    Pong,
    /// The self-test has ended.
    Tested(Tested),
    /// Everything has been killed.
    Bye,
    /// The request makes no sense as it was sent: wrong descriptors, an id in use.
    Refused(Notice),
    /// The host broke the protocol; the hand ends.
    Broken(Notice),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Its status.
    pub status: Status,
    /// What it used, with the descendants that it waited for.
    pub usage: Usage,
}

/// A command's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It ended by itself.
    Code(u8),
    /// A signal ended it.
    Signal(u8),
    /// It was killed together with the process that watches it, so that its own status is unknown.
    Lost,
}

/// Resources that a command used (getrusage(2)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in user mode, in microseconds.
    pub user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub system_us: u64,
    /// The largest resident set of one process, in KiB.
    pub max_rss_kib: u64,
}

/// Why a command could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StartProblem {
    /// No such program.
    #[error("no such program in the sandbox; check its name, PATH, or install it")]
    NotFound,
    /// There is a file, but it may not be run.
    #[error("the file is not executable; chmod +x it, or run it with its interpreter")]
    NotExecutable,
    /// There is a file, but it is no program.
    #[error("the file is not a program of this machine and has no #! line; run it with its interpreter")]
    NotProgram,
    /// The `#!` line names an interpreter that is not there, or the dynamic loader is missing.
    #[error("the interpreter that its first line names does not exist in the sandbox")]
    NoInterpreter,
    /// Arguments and environment are too long for the kernel.
    #[error("the arguments are too long; put them in a file")]
    TooLong,
    /// It is to run as root, and there is none.
    #[error("this sandbox has a system that cannot be changed, and therefore no root; run it as the agent")]
    NoRoot,
    /// The working directory cannot be used.
    #[error("its working directory cannot be used: {0}")]
    Cwd(FileProblem),
    /// Anything else.
    #[error("{0}")]
    Other(Notice),
}

/// What is wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FileProblem {
    /// There is nothing there.
    #[error("no such file or directory")]
    Missing,
    /// It is a directory.
    #[error("is a directory")]
    IsDirectory,
    /// It, or something on the way to it, is not a directory.
    #[error("is not a directory")]
    NotDirectory,
    /// It is a pipe, socket or device.
    #[error("is not a regular file")]
    Special,
    /// Permission denied, or a read-only place.
    #[error("permission denied")]
    Denied,
    /// It changed since it was read.
    #[error("has changed since it was read")]
    Changed,
    /// The disk or its limit is full.
    #[error("no space left")]
    NoSpace,
    /// Anything else.
    #[error("{0}")]
    Other(Notice),
}

/// Why a search could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SearchProblem {
    /// The root cannot be searched.
    #[error("{0}")]
    Root(FileProblem),
    /// The pattern does not parse; says where.
    #[error("the pattern does not parse: {0}")]
    Pattern(Notice),
    /// The glob does not parse; says where.
    #[error("the glob does not parse: {0}")]
    Glob(Notice),
    /// The searching process was killed, by the sandbox's limits or by [`RequestBody::Kill`].
    #[error("the search was killed; search a smaller directory or a simpler pattern")]
    Killed,
}

/// A part of a file that has been copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    /// Bytes copied.
    pub length: u64,
    /// The state of the file: its whole size is in there.
    pub version: Version,
}

/// One state of a file: changes whenever its content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of content or metadata, in nanoseconds since 1970.
    pub changed_ns: i128,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits (chmod(1)).
    pub mode: u32,
    /// Its state.
    pub version: Version,
}

/// Kinds of directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
