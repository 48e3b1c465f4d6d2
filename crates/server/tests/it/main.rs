//! The server over real HTTP, on a store of its own for each test: on SQLite, and what does not need a browser on PostgreSQL too.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]
#![expect(clippy::expect_used, reason = "a test fails by panicking, in the functions that it calls too")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says so")]

#[macro_use]
mod harness;

mod access;
mod attempts;
mod audit;
mod bad_input;
mod browser;
mod chromium;
mod contract;
mod family;
mod foreign;
mod forges;
mod hooks;
mod live;
mod memories;
mod openid;
mod pages;
mod playbooks;
#[expect(dead_code, reason = "the pages' own tests use the rest")]
#[path = "../../src/pages/sample.rs"]
mod sample;
mod screenshots;
mod sessions;
mod skills;
mod told;
