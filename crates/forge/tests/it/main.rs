//! Everything against the real git, on repositories made for the test.

#![expect(clippy::unwrap_used, reason = "a helper that meets an error has failed its test")]

/// Repositories, workspaces and sessions for the other modules.
mod fixture;

/// What users get wrong, and repositories that lack something.
mod bad_input;
/// What GitHub publishes of its deliveries.
mod deliveries;
/// The part of a forge's API that keeps pull requests, in memory.
mod desk;
/// The real Gitea.
mod gitea;
/// GitHub, as an emulator has it.
mod github;
/// GitLab, as a stand-in has it.
mod gitlab;
/// What a hijacked agent may hand out in place of its change.
mod hostile_bundle;
/// Repositories whose configuration wants to run something.
mod hostile_repository;
/// Work cut short anywhere and done again.
mod interrupted;
/// Contents that Git LFS keeps.
mod lfs;
/// Branches, pull requests, merging and closing.
mod local_forge;
/// Mirrors and seeds.
mod mirror;
/// Mirrors of large repositories.
mod partial;
/// Commits under the platform's name.
mod recreate;
/// Forges that are asked over HTTP, with the real git behind a password.
mod remote_forge;
/// The scripts that run inside a sandbox, and what they leave for the quarantine.
mod scripts;
/// Workspaces with only some directories.
mod sparse;
/// What repositories say of their submodules.
mod submodules;
/// What every forge that is asked over HTTP must do.
mod talk;
/// Forges that answer badly.
mod wire;
