//! The agent driven through whole sessions by a worker, a model and tools that live in memory.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, in the functions that it calls too"
)]
#![expect(clippy::print_stderr, reason = "a test that cannot run says so, and sizes are told")]

mod access;
mod advice;
mod attempts; // of which one is chosen
mod crashes;
mod delivery;
mod history;
mod labels; // what came together, and who decides then
mod limits;
mod logs; // written by earlier versions
mod long; // compactions, and what survives them
mod memory; // what was noted before
mod people;
mod properties;
mod remarks; // reviews, failed checks, and which remarks are to be answered
mod replay;
mod requests;
mod review;
mod script;
mod self_review; // a fresh look before delivery
mod steps;
mod subagents; // work handed to other sessions
mod together; // several repositories in one session
mod window;
mod world;
