//! Git and the forge: mirrors of repositories, the quarantine that takes in what a sandbox made, and pull
//! requests.
//!
//! What this crate is for: a repository comes in ([`RepositoryAddress`] → [`Mirrors`] → [`Mirror::resolve`] →
//! [`Mirror::seed`]), the agent's objects come out ([`Quarantine::receive`] → [`Quarantine::change`] →
//! [`Quarantine::recreate`]), and a branch with its pull request stands ([`Forge`]). It is the git door:
//! nothing else moves objects between a sandbox and the outside.
//!
//! What it never does: write a work tree on the host, run a hook, filter, helper or command that a repository
//! names, force a push, touch a reference other than the session's own branch (and the base branch, when a
//! person merges), or read a clock, but for [`remote`], which must know when a forge may be asked again.
//! Repositories, bundles and what forges answer are hostile input; see [`Git`] for what every command is run
//! with.
//!
//! Everything can be killed at any instant and done again: each operation first looks at what is there.
//!
//! Where to start reading: [`Git`], then [`Mirror`], [`Quarantine`] and [`Forge`].

#![forbid(unsafe_code)]

mod access;
mod address;
mod advice;
mod base;
mod branch;
mod bundle;
mod call;
mod census;
mod change;
mod cones;
mod durable;
mod error;
mod forge;
mod forges;
mod git;
pub mod hook;
mod lfs;
mod local;
mod lock;
mod message;
mod mirror;
mod object_id;
mod objects;
mod partial;
mod quarantine;
mod recreate;
pub mod remote;
mod remote_forge;
mod rendered;
mod scripts;
mod seed;
mod signing;
mod submodules;
mod working_copy;

pub use access::Access;
pub use address::{AddressError, LocalRepository, RemoteRepository, RepositoryAddress};
pub use advice::{LastChange, TreeFile};
pub use base::{Base, History, ResolveError};
pub use bundle::MalformedBundle;
pub use change::ChangeError;
pub use durable::FileError;
pub use error::ForgeError;
pub use forge::{Forge, NewPullRequest, Push, branch_of};
pub use forges::Forges;
pub use git::{Git, GitError, GitVersion};
pub use lfs::{Arriving, Brought, Contents, LfsError, LfsPointer, LfsRules, LfsShelf, with_contents};
pub use local::{LocalForge, PublishError};
pub use lock::LockError;
pub use mirror::{Mirror, MirrorError, Mirrors};
pub use object_id::{InvalidObjectId, ObjectId};
pub use quarantine::{Quarantine, ReceiveError, ReceiveLimits};
pub use recreate::{Authorship, Identity, Joined};
pub use remote_forge::RemoteForge;
pub use rendered::{Concealed, Concealment, MOST_CHARACTERS, Rendered, rendered, rendered_line};
pub use scripts::{
    Collected, UnknownOutput, changed_submodules, checkout_script, collect_script, new_contents,
    submodule_script, submodules_script,
};
pub use seed::Seed;
pub use signing::{SigningError, SigningKey};
pub use submodules::{
    Gitlink, InvalidBeginning, ModuleName, NamedSubmodule, SubmoduleRules, SubmoduleSource, joined_url,
};
