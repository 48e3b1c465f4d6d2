//! What the worker and its zygote say to each other, over one socket that keeps message boundaries
//! (`SOCK_SEQPACKET`).
//!
//! The worker asks, the zygote answers once per request, in order. Both are trusted and always of the same
//! build: the worker starts the zygote from the bytes that it carries, so there is no version to agree on.
//! Descriptors travel with the messages (`SCM_RIGHTS`, unix(7)). Paths are raw bytes: nothing says that a
//! path on Linux is text.

use serde::{Deserialize, Serialize};

use super::frame::Message;

/// Who every process in a sandbox is, as seen from inside: user and group id of `agent`.
pub const AGENT_ID: u32 = 1000;

/// The argument that makes the hand program a zygote.
pub const ZYGOTE_ROLE: &str = "zygote";

/// What the worker asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// What sandboxes need of this host, tried one by one in a process of its own; makes nothing that stays.
    Probe(Owner),
    /// Once, before any sandbox. With it come directories of control groups: when the worker ends, every
    /// `sbx_` group in them is removed, and then they themselves are, from their own parents. Descriptors:
    /// pairs of (parent directory, directory).
    Prepare(Prepare),
    /// Make a sandbox. Descriptors, in this order: the control socket of its process 1, the writing end of
    /// its status pipe, and one for each of [`Create::groups`].
    Create(Create),
}

/// What holds for all sandboxes of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// The ids on the host that [`AGENT_ID`] inside stands for.
    pub owner: Owner,
    /// What every sandbox finds in its root directory.
    pub root: Vec<RootEntry>,
    /// The names, in the parents that came as descriptors, of the directories of control groups that came
    /// after them.
    pub groups: Vec<Vec<u8>>,
}

/// A user and a group of the host. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// One thing in the root directory of every sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootEntry {
    /// Absolute path inside. Missing parents are made as empty directories.
    pub path: Vec<u8>,
    /// What is there.
    pub kind: RootKind,
}

/// What a [`RootEntry`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootKind {
    /// An empty directory.
    Directory,
    /// A symbolic link with this target.
    Symlink(Vec<u8>),
    /// A file with this content.
    File(Vec<u8>),
    /// A file with the content that this file of the host has now.
    Copy(Vec<u8>),
    /// This directory or file of the host, read-only, with what is mounted in it.
    Bind(Vec<u8>),
}

/// One sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// Its host name.
    pub name: String,
    /// The workspace.
    pub workspace: Overlay,
    /// The directory of the host that is the home directory.
    pub home: Vec<u8>,
    /// Caches in the home directory.
    pub caches: Vec<Cache>,
    /// How its process 1 joins control groups, for each that there is.
    pub groups: Vec<Join>,
    /// More of the host to be read.
    pub read_only: Vec<ReadOnlyBind>,
    /// Bytes that all files in `/tmp`, `/var/tmp`, `/run` and `/dev/shm` may take together.
    pub scratch_bytes: u64,
    /// Limits of each process.
    pub limits: ProcessLimits,
}

/// A directory made of layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Read-only layers, lowest first. May be empty: then it is just the upper layer.
    pub lower: Vec<Vec<u8>>,
    /// The directory of the host that holds the writable layer as `upper`, and the kernel's working directory
    /// as `work`.
    pub own: Vec<u8>,
}

/// A directory of the host that appears in the home directory; what is written to it stays in the sandbox's
/// own layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Path below the home directory, whose parents are made if missing.
    pub inside: Vec<u8>,
    /// Where it comes from.
    pub layers: Overlay,
}

/// A path of the host to be seen inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOnlyBind {
    /// On the host.
    pub host: Vec<u8>,
    /// Inside, absolute.
    pub inside: Vec<u8>,
}

/// How a process joins a control group, by a descriptor of which file. Moving a process from outside waits
/// for all processors (an RCU grace period, milliseconds on a busy machine); these two ways do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Join {
    /// Version 1: its file `tasks`, to which the process itself writes.
    Tasks,
    /// Version 2: its directory, in which the process is made (`CLONE_INTO_CGROUP`, clone(2)). At most one.
    Directory,
}

/// Limits that hold for each process by itself (setrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Bytes of the largest file.
    pub file_bytes: u64,
    /// Processes and threads of the sandbox's user, where no control group counts them.
    pub processes: Option<u32>,
    /// Open files.
    pub open_files: u32,
}

/// What the zygote answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Request::Probe`].
    Probed(Probed),
    /// To [`Request::Prepare`].
    Prepared,
    /// To [`Request::Create`]: process 1 exists and builds the rest by itself. With it comes its pidfd.
    Created {
        /// Its process id on the host.
        pid: u32,
    },
    /// To either.
    Failed(Failure),
}

/// What came of trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Error numbers, 0 for success. What could not be tried because something before it failed is not there.
    pub attempts: Vec<(Attempt, i32)>,
    /// The version of Landlock that the kernel offers; 0 for none.
    pub landlock: u32,
}

/// Something that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Attempt {
    /// A process in new namespaces of all kinds.
    Namespaces,
    /// Mapping the agent's user id.
    IdMaps,
    /// Mounting an empty filesystem there.
    Mounts,
    /// Copying a mount, changing the copy, and attaching it elsewhere.
    DetachedMounts,
    /// An overlay with `userxattr`.
    Overlay,
    /// A `/proc` of its own.
    Proc,
    /// Bringing its loopback interface up.
    Loopback,
    /// A system call filter.
    Filter,
}

/// What process 1 writes, once, to its status pipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Everything is in place; from now on the control socket is served.
    Built,
    /// Something is not; the process has ended.
    Failed(Failure),
}

/// Why something did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was tried.
    pub step: String,
    /// The error number.
    pub errno: i32,
}

impl Message for Request {
    const KIND: [u8; 4] = *b"zgRq";
    const MAX_FRAME: usize = 160 * 1024;
    const MAX_DESCRIPTORS: usize = 24;
}

impl Message for Reply {
    const KIND: [u8; 4] = *b"zgRp";
    const MAX_FRAME: usize = 4096;
    const MAX_DESCRIPTORS: usize = 1;
}

impl Message for Status {
    const KIND: [u8; 4] = *b"zgSt";
    const MAX_FRAME: usize = 4096;
    const MAX_DESCRIPTORS: usize = 0;
}
