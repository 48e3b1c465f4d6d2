//! The worker: carries out what the agent decides, and delivers what comes of it.
//!
//! What this crate is for: [`work`] takes one session from wherever its log stands to its end. It owns the session's sandbox, prepares
//! base trees, asks models, runs tools, takes the agent's objects into quarantine, has them examined, runs the tests, and publishes.
//!
//! What it never does: decide. What happens next is the agent's answer to the log; every effect's intent is durable before the effect
//! starts. It knows no SQL, no wire format and no terminal.
//!
//! Where to start reading: `log.rs` (write, then do, then write), then `run.rs` (the loop), then `stages.rs`.

#![forbid(unsafe_code)]

mod base;
mod collect;
mod door;
mod effects;
mod error;
mod evidence;
mod layers;
mod log;
mod parts;
mod publish;
mod recorder;
mod run;
mod script;
mod stage;
mod stages;
mod watch;

pub use collect::patch;
pub use door::{Doorways, OpenDoor, Way};
pub use error::WorkerError;
pub use layers::{forget, left_by};
pub use log::now;
pub use parts::{Models, Parts};
pub use run::{Ended, StopSignal, fix, settle, work};
pub use watch::{Live, Nobody, Watch};
