//! The egress door over real sockets: programs on one side, hosts on the other, the door between them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests fail by panicking and say aloud what they skip"
)]

mod canaries;
mod clients;
mod credentials;
mod debian_maven_sums;
// What the rules decide, without a socket.
mod decisions;
mod ech;
mod framing;
mod go_sums;
mod host;
mod hosts;
mod inside;
mod kept;
mod limits;
mod lookups;
mod mismatches;
// Registries that tests make up.
// Package managers as they are on this host, and the registries that they are configured to use.
mod real_clients;
// Requests that others collected.
mod recorded;
// What policies say about packages.
mod registries;
mod requests;
mod resolving;
mod scene;
// Services that give credentials out.
mod secrets;
mod tunnels;
