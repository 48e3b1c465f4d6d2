//! The client against servers that others have made. One binary; a file for each behaviour.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says loudly when it cannot run"
)]

mod conformance; // the official suite's scenarios for clients
mod reference; // the reference servers
