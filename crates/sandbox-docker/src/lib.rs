//! The second sandbox driver: Docker and Podman, through the socket of their API.
//!
//! What this crate is for: sandboxes with the system of an image, in containers of an engine that somebody already runs, with any OCI runtime
//! that the engine has (gVisor and Kata put another kernel between). Everything inside is done by the same hand as in the native driver's
//! sandboxes: the engine starts it as process 1 and gives two streams of bytes to it, which is all that [`cofferdam_sandbox::RemoteHand`]
//! needs. So a command costs no call to the engine.
//!
//! What it never does: pull or build an image, give a container a network, a capability or anything of the host but the sandbox's layers and
//! what its specification names; or give less than asked for. What an engine cannot give must be asked for by name (`isolation`).
//!
//! Who may use an engine's socket may do anything on its host. It stays with the worker and is never seen in a sandbox.
//!
//! Where to start reading: `driver.rs`, then `container.rs` (what the engine is asked for).

#![forbid(unsafe_code)]

mod attach;
mod container;
mod driver;
mod engine;
mod isolation;
mod kills;
mod mounts;
mod place;
mod probe;
mod sandbox;

pub use driver::{DockerDriver, DockerOptions};
pub use probe::probe;
