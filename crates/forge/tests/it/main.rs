//! Everything against the real git, on repositories made for the test.

#![expect(clippy::unwrap_used, reason = "a helper that meets an error has failed its test")]

/// Repositories, workspaces and sessions for the other modules.
mod fixture;

/// What users get wrong, and repositories that lack something.
mod bad_input;
/// What GitHub publishes of its deliveries.
mod deliveries;
/// What a hijacked agent may hand out in place of its change.
mod hostile_bundle;
/// Repositories whose configuration wants to run something.
mod hostile_repository;
/// Work cut short anywhere and done again.
mod interrupted;
/// Branches, pull requests, merging and closing.
mod local_forge;
/// Mirrors and seeds.
mod mirror;
/// Commits under the platform's name.
mod recreate;
/// The scripts that run inside a sandbox, and what they leave for the quarantine.
mod scripts;
