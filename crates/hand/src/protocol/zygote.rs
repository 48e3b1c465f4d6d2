//! What the worker and its zygote say to each other, over one socket that keeps message boundaries
//! (`SOCK_SEQPACKET`).
//!
//! The worker asks. What concerns the zygote itself is answered on the same socket, in order; what becomes of a
//! sandbox is told on a socket of that sandbox's own ([`Status`]), so that many can be made at once and a worker
//! that has lost interest in one simply closes it. Both are trusted and always of the same build: the worker
//! starts the zygote from the bytes that it carries, so there is no version to agree on. Descriptors travel with
//! the messages (`SCM_RIGHTS`, unix(7)). Paths are raw bytes: nothing says that a path on Linux is text.
//!
//! A sandbox is made in two steps. [`Request::Begin`] makes its process 1, its namespaces and all that does not
//! depend on whom it is for; that can be done ahead of time, or while the worker still prepares the rest.
//! [`Request::Finish`] tells what it is for: the zygote opens the layers and hands them on ([`Order`]).

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
    Probe(Ids),
    /// Once, before any sandbox. With it come directories of control groups: when the worker ends, every
    /// `sbx_` group in them is removed, and then they themselves are, from their own parents. Descriptors: the
    /// file whose bytes are locked for blocks of ids, if there are any; then pairs of (parent directory,
    /// directory).
    Prepare(Prepare),
    /// Begin a sandbox. Descriptors, in this order: the control socket of its process 1, its status socket, the directory of its
    /// control group of version 2 if [`Begin::in_group`] says so, and the file `tasks` of each group of version 1 that is there already.
    Begin(Begin),
    /// Finish a sandbox that was begun. Descriptors: the file `tasks` of each control group of version 1 that
    /// its process 1 is to be in and is not yet.
    Finish(Finish),
}

/// The part of a sandbox that does not depend on whom it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Chosen by the worker, never used twice.
    pub number: u64,
    /// The places in its root directory for [`Create::read_only`], sorted.
    pub points: Vec<MountPoint>,
    /// Whether its process 1 is made in a control group of version 2 (`CLONE_INTO_CGROUP`, clone(2)). Moving a
    /// process from outside waits for all processors (an RCU grace period, milliseconds on a busy machine); this
    /// does not, and neither does a process that writes itself to the file `tasks` of version 1.
    pub in_group: bool,
    /// What of a network it has besides its own loopback interface.
    pub network: Network,
    /// Whether its system can be changed.
    pub system: System,
    /// Whether it may be the same user as others, even if there are blocks of ids.
    pub shared: bool,
}

/// Whether the system in a sandbox can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum System {
    /// It cannot, and there is no root.
    ReadOnly,
    /// By commands that run as root.
    Writable,
}

/// What of a network a sandbox has besides its own loopback interface. The sockets of its egress door are made in
/// its network namespace and sent to the worker with [`Status::Made`]; no copy of them stays inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// Nothing. No sockets.
    Off,
    /// Every connection is redirected to the door, and so is every question for a name. Sockets for each family of
    /// addresses that there is, IPv4 first: a listener on [`DOOR_PORT`] and a socket for datagrams on [`DNS_PORT`],
    /// both of the loopback address.
    Captured,
    /// The door is a proxy, which programs must ask for. One socket: a listener on [`PROXY_PORT`] of 127.0.0.1.
    ProxyOnly,
}

/// Where captured connections end inside. Nobody has a server there, and nobody takes it for a port where there is
/// none: it is unassigned (RFC 6335), and neither the first nor the last of anything.
pub const DOOR_PORT: u16 = 1015;
/// Where questions for names end inside.
pub const DNS_PORT: u16 = 53;
/// Where the proxy is inside. The usual port of proxies.
pub const PROXY_PORT: u16 = 3128;

/// A place in the root directory where something will be mounted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MountPoint {
    /// Absolute path inside.
    pub path: Vec<u8>,
    /// Whether that is a directory rather than a file.
    pub directory: bool,
}

/// What a sandbox that was begun is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// Which one.
    pub number: u64,
    /// What it is for.
    pub create: Create,
}

/// What holds for all sandboxes of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// Who sandboxes are on the host.
    pub ids: Ids,
    /// What every sandbox finds in its root directory.
    pub root: Vec<RootEntry>,
    /// What sandboxes whose system can be changed find there instead or in addition.
    pub system: Vec<RootEntry>,
    /// The names, in the parents that came as descriptors, of the directories of control groups that came
    /// after them.
    pub groups: Vec<Vec<u8>>,
}

/// Who sandboxes are on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ids {
    /// All of them this one user, and so is the owner of their files.
    Shared(Owner),
    /// Each of them has a block of ids to itself.
    Blocks(Blocks),
}

/// Blocks of ids of the host, for users and groups alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// The first id of the first one.
    pub first: u32,
    /// How many there are.
    pub count: u32,
    /// Ids in each: all that a system may use ([`WHOLE_BLOCK`]), or 1, which is the agent's.
    pub size: u32,
    /// The first id of the block to which files on disk belong. It is not among the others: no process runs as any
    /// of it.
    pub disk: u32,
}

/// Ids in a block that has a root, an agent and whatever users packages bring.
pub const WHOLE_BLOCK: u32 = 1 << 16;

impl Blocks {
    /// The agent, as the owner of files on disk.
    #[must_use]
    pub const fn agent_on_disk(&self) -> Owner {
        let id = if self.size == 1 { self.disk } else { self.disk + AGENT_ID };
        Owner { uid: id, gid: id }
    }
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
    /// A copy of this directory or file of the host as far as everybody may read it there; nothing if it does not
    /// exist.
    CopyAll(Vec<u8>),
}

/// What one sandbox is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// Its host name.
    pub name: String,
    /// The workspace.
    pub workspace: Overlay,
    /// The home directory.
    pub home: Overlay,
    /// Caches in the home directory.
    pub caches: Vec<Cache>,
    /// Directories of the system that can be changed, each after those that it lies in.
    pub system: Vec<SystemLayer>,
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

/// A directory of the system that can be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemLayer {
    /// Absolute path inside.
    pub inside: Vec<u8>,
    /// The directory of the host that lies below, with its owners; else what the root directory has there.
    pub host: Option<Vec<u8>>,
    /// What was frozen of the own layer, lowest first.
    pub frozen: Vec<Vec<u8>>,
    /// See [`Overlay::own`].
    pub own: Vec<u8>,
}

/// A path of the host to be seen inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOnlyBind {
    /// On the host.
    pub host: Vec<u8>,
    /// Inside, absolute.
    pub inside: Vec<u8>,
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
    Prepared {
        /// What came of trying to capture connections ([`Network::Captured`]): an error number, 0 for success.
        capture: i32,
        /// The version of Landlock that is in force in sandboxes; 0 for none.
        landlock: u32,
    },
    /// To [`Request::Prepare`], when that could not be done.
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
    /// Redirecting all of its connections to one listener.
    Capture,
    /// A system call filter.
    Filter,
}

/// What the zygote and then process 1 tell of a sandbox on its status socket. That it is complete is not among
/// it: then the control socket is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// From the zygote: process 1 exists and does its part of [`Request::Begin`]. With it come its pidfd, and then the
    /// sockets of its [`Network`].
    Made {
        /// Its process id on the host.
        pid: u32,
    },
    /// From process 1: it has done so, and waits for [`Request::Finish`].
    Begun,
    /// From either: something does not work; process 1 has ended, or does not exist.
    Failed(Failure),
}

/// What the zygote tells a process 1 that has been begun. Descriptors are handed on in the order in which
/// [`Build`] names them, as many at a time as fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Some of the descriptors; more will come.
    Take,
    /// The last of them. This is what they are.
    Build(Build),
}

/// What process 1 builds in the second step. What it needs of the host has been opened by the zygote; the
/// descriptors are those of the layers of each overlay (lowest first, its own last), of each path to be read, and
/// of files by which control groups are joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its host name.
    pub name: String,
    /// How many layers lie below the workspace's own.
    pub workspace: u32,
    /// How many below the home directory's own.
    pub home: u32,
    /// Paths of caches below the home directory, and how many layers lie below each one's own.
    pub caches: Vec<(Vec<u8>, u32)>,
    /// Directories of the system that can be changed, each after those that it lies in.
    pub system: Vec<(Vec<u8>, u32)>,
    /// Where paths of the host appear.
    pub read_only: Vec<MountPoint>,
    /// See [`Create::scratch_bytes`].
    pub scratch_bytes: u64,
    /// See [`Create::limits`].
    pub limits: ProcessLimits,
}

/// The step of a [`Failure`] whose reason is that the filesystem with a sandbox's own layer cannot show its files as
/// belonging to a block of ids. With a user that is shared it would work.
pub const SHOW_LAYER: &str = "show the layer's files as the sandbox's own";

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
    const MAX_DESCRIPTORS: usize = 0;
}

impl Message for Status {
    const KIND: [u8; 4] = *b"zgSt";
    const MAX_FRAME: usize = 4096;
    const MAX_DESCRIPTORS: usize = 8;
}

impl Message for Order {
    const KIND: [u8; 4] = *b"zgOr";
    const MAX_FRAME: usize = 64 * 1024;
    // The kernel takes no more than 253 at a time (SCM_MAX_FD, unix(7)).
    const MAX_DESCRIPTORS: usize = 200;
}
