//! The native driver: sandboxes made of what Linux has, with no daemon, as root or as an ordinary user.
//!
//! Parts, from the inside out: the hand (another crate, carried here as bytes) is process 1 of each sandbox; [`zygote`] is the client of the process
//! that makes them; [`connection`] talks to one hand and believes nothing it says; [`process`] collects what a command prints; [`cgroup`]
//! holds the limits; [`layer`] is what remains on disk.

mod cgroup;
mod command;
mod connection;
mod driver;
mod files;
mod freeze;
mod hand;
#[cfg(test)]
mod hostile;
mod isolation;
mod launch;
mod layer;
mod network;
mod nursery;
mod output;
mod owner;
mod pool;
mod probe;
mod process;
mod ready;
mod remote;
mod sandbox;
mod watchdog;
mod zygote;

pub use self::{
    cgroup::LimitLevel,
    driver::{CaptureLevel, NativeDriver, NativeOptions},
    isolation::IsolationLevel,
    layer::{
        Archive, ArchiveBounds, CopyBounds, LayerCopies, LayerError, LayerStack, SnapshotId, deleted, files,
        remove_layer, workspace_upper,
    },
    probe::{Finding, HostReport, State},
    remote::{
        Kernel, MountedLayer, RemoteHand, RemoteSpec, Stacked, Users, agent_on_disk, relay_arguments,
        remote_variables, write_hand,
    },
};
