//! The worker: carries out what the agent decides, and delivers what comes of it.
//!
//! What this crate is for: [`work()`] takes one session from wherever its log stands to its end. It owns the session's sandbox, prepares
//! base trees, asks models, runs tools, takes the agent's objects into quarantine, has them examined, runs the tests, and publishes.
//!
//! What it never does: decide. What happens next is the agent's answer to the log; every effect's intent is durable before the effect
//! starts. It knows no SQL, no wire format and no terminal.
//!
//! Where to start reading: `log.rs` (write, then do, then write), then `run.rs` (the loop), then `stages.rs`.

#![forbid(unsafe_code)]

mod advice;
mod apart;
mod attempts;
mod base;
mod branch;
mod carry;
mod checkpoint;
mod collect;
mod compare;
mod delegate;
mod door;
mod effects;
mod error;
mod evidence;
mod layers;
mod leftovers;
mod lfs;
mod log;
mod memory;
mod parts;
mod patience;
mod planted;
mod publish;
mod purses;
mod recorder;
mod restore;
mod run;
mod script;
mod self_review;
mod servers;
mod service;
mod sparse;
mod stage;
mod stages;
mod submodules;
mod visit;
mod watch;
mod work;

pub use attempts::{attempts, conclude};
pub use collect::patch;
pub use compare::{Compared, compare};
pub use door::{Doorways, OpenDoor, Way};
pub use error::WorkerError;
pub use layers::{erase, erase_forgotten, erase_forgotten_after, expire, forget, left_by};
pub use log::now;
pub use parts::{Models, OwnPolicy, Parts, Policies, Screens, Sparse, Tests};
pub use servers::{Approvals, Approved, Found, Mcp, NothingApproved, Trouble, inspect};
pub use service::{Service, ServiceNews, ServiceOptions};
pub use visit::{Entrance, Entrances, NoEntrance, Visitor};
pub use watch::{Live, Nobody, Watch};
pub use work::{Ended, StopSignal, fix, settle, work};
