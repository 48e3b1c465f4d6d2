//! Isolated machines in which tools run.
//!
//! What this crate is for: [`Driver`] and [`Sandbox`] are all that the rest of Cofferdam knows of isolation; the native driver makes
//! them real on Linux from namespaces, overlay, seccomp and control groups, with no daemon and with or without root.
//!
//! What it never does: run anything of the repository on the host, hand a secret to a sandbox, or give weaker isolation than asked for.
//! It knows nothing of models, agents or forges. Everything that comes back from inside is hostile until its length and form are checked.
//!
//! Where to start reading: `driver.rs` (the interface), then `native/mod.rs`.

#![forbid(unsafe_code)]

mod carry;
mod driver;
mod environment;
mod error;
mod native;

pub use carry::carry;
pub use driver::{
    Capture, Command, Console, DoorListeners, Driver, Entry, EntryKind, FileData, Finished, FoundFile,
    FoundLine, HOME, Listing, Network, Output, Process, ReadOnly, Sandbox, SandboxSpec, Search, SearchResult,
    System, User, Version, WORKSPACE,
};
pub use environment::{HostEnvironment, HostFiles, Seen, ThisHost};
pub use error::{FileProblem, SandboxError};
pub use native::{
    Archive, ArchiveBounds, CaptureLevel, CopyBounds, Finding, HostReport, IsolationLevel, Kernel,
    LayerCopies, LayerError, LayerStack, LimitLevel, MountedLayer, NativeDriver, NativeOptions, RemoteHand,
    RemoteSpec, SnapshotId, Stacked, State, Users, agent_on_disk, deleted, files, relay_arguments,
    remote_variables, remove_layer, workspace_upper, write_hand,
};
