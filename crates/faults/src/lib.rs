//! Fault tests: the real program, taken apart while it works.
//!
//! What this crate is for: it starts the service as people do, from the built executable and with a PostgreSQL of its own, gives it tasks over
//! HTTP, and meanwhile kills, freezes, cuts off and fills up what it has started, at moments drawn from a seed. Afterwards it looks at
//! what must hold whatever happened: every accepted task has ended once, with one branch and one pull request; no event is missing; nothing
//! is left on the machine.
//!
//! What it never does: touch a process, a mount or a file that it has not made, or know of the product more than a user does: the command line,
//! the API, the log, the repository.
//!
//! Where to start reading: `wave.rs`, which is one test from its first task to its last check; then `fault.rs` and `checks.rs`. The short
//! version is a test of the crate `cofferdam`; the long one is `cargo run -p xtask -- faults`.

#![forbid(unsafe_code)]

mod alone;
mod books;
mod checks;
mod client;
mod disk;
mod fault;
mod machine;
mod passage;
mod program;
mod report;
mod service;
mod site;
mod wave;
mod world;

pub use report::Report;
pub use site::Options;
pub use {alone::alone, service::service};
