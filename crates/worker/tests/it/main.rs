//! The worker against real sandboxes, git and store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in the functions that it calls too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look at the few events that they are about")]

mod advice;
mod attempts;
mod branch;
mod budgets;
mod crash;
mod deleted;
#[expect(dead_code, reason = "the forge's own tests use all of it")]
#[path = "../../../forge/tests/it/desk.rs"]
mod desk;
mod fatal;
mod kinds;
mod scene;
mod self_review; // a fresh look before delivery
mod service;
mod several; // repositories in one session
mod subagents;
mod visits;
