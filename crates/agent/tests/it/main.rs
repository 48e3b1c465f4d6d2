//! The agent driven through whole sessions by a worker, a model and tools that live in memory.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, in the functions that it calls too"
)]

mod access;
mod crashes;
mod delivery;
mod history;
mod limits;
mod people;
mod properties;
mod remarks; // reviews, failed checks, and which remarks are to be answered
mod replay;
mod requests;
mod script;
mod steps;
mod window;
mod world;
