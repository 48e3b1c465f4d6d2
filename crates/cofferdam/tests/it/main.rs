//! The program as people use it: run from outside, judged by what it prints, leaves and returns.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look at the few events that they are about")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says so")]

mod attach;
mod attack;
mod bad_input;
mod commands;
mod demo;
mod egress;
mod forges;
mod harness;
mod kept;
mod lab;
mod llama;
mod policy;
mod private;
mod real_projects;
mod service;
mod telemetry;
mod ways;
