//! Fakes that speak the real protocol and assert its invariants.
//!
//! What this crate is for: tests and benchmarks that need a model provider. [`FakeProvider`] is a server on
//! this machine that speaks one of the four wire formats, plays a [`cofferdam_model::Transcript`], misbehaves
//! when told to, and holds every request against the rules that the real provider enforces. And tests that need a database: [`Postgres`] is a
//! real server with data of its own; or an object store: [`Objects`]; or a forge: [`Gitea`] itself, or
//! [`GitHub`], an emulator that others have made, or [`GitLab`], a stand-in of our own;
//! or git over HTTP: [`GitServer`]; or a chat: [`Slack`], a stand-in of our own.
//!
//! What it never does: share code with the encoders that it checks. It reads requests by the providers'
//! documentation.
//!
//! Where to start reading: `fake.rs`, `postgres.rs`, `objects.rs`, `gitea.rs`, `github.rs`.

#![forbid(unsafe_code)]

mod fake;
mod fault;
mod git_lfs;
mod git_server;
mod gitea;
mod github;
mod gitlab;
mod kept;
mod objects;
mod port;
mod postgres;
mod rules;
mod slack;
mod wire;

pub use fake::{FakeProvider, Recorded};
pub use fault::Fault;
pub use git_lfs::git_lfs;
pub use git_server::{GitServer, Manner};
pub use gitea::{Gitea, GiteaAccount};
pub use github::{Exchange, GitHub};
pub use gitlab::GitLab;
pub use kept::{kept, kept_node, kept_python, node};
pub use objects::Objects;
pub use postgres::Postgres;
pub use slack::{Slack, SlackAsked, SlackFault, SlackMessage};
