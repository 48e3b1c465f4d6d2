//! The program as people use it: run from outside, judged by what it prints, leaves and returns.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look at the few events that they are about")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says so")]

mod attach;
mod attack;
mod attempts; // of which one is delivered
mod audit;
mod bad_input;
mod browser;
mod commands;
mod connected;
mod demo;
mod display;
mod egress;
mod forges;
mod front;
mod harness;
mod kept;
mod lab;
mod labels; // what came together in a session, and models that may be asked
mod large;
mod llama;
mod long; // compactions, and what checkpoints differ in
mod mcp; // tools of MCP servers
mod mcp_real; // the same of servers that others have made
mod memory; // what is noted for later sessions
mod playbooks;
mod policy;
mod polled;
mod private;
mod real_projects;
mod retention;
mod self_review; // a fresh look before delivery
mod service;
mod several;
mod skills;
mod slack;
mod submodules; // other repositories in a repository
mod telemetry;
mod ways;
