//! The tools from the outside: calls as a model writes them, against a sandbox that really runs commands and
//! keeps files.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking and say aloud what they skip"
)]

mod apply_patch;
mod browser;
mod display;
mod edit;
mod files;
mod local;
mod native;
mod recorded;
mod search;
mod session;
mod shell;
mod specs;
mod suite;
