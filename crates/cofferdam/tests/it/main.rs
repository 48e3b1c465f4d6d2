//! The program as people use it: run from outside, judged by what it prints, leaves and returns.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look at the few events that they are about")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says so")]

mod attach;
mod attack;
mod audit;
mod bad_input;
mod commands;
mod connected;
mod demo;
mod egress;
mod forges;
mod front;
mod harness;
mod kept;
mod lab;
mod large;
mod llama;
mod long; // compactions, and what checkpoints differ in
mod mcp; // tools of MCP servers
mod policy;
mod polled;
mod private;
mod real_projects;
mod retention;
mod service;
mod several;
mod skills;
mod slack;
mod telemetry;
mod ways;
