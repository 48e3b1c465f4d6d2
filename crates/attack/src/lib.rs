//! The hostile suite: attacks on the real product, on the machine where it is to run.
//!
//! What this crate is for: [`run`] carries out the cases of the catalogue (`cases`) against an executable of the product, in worlds that
//! it makes in temporary directories, and says of each where it was stopped. The attacker is a model that has been taken over
//! (`session`), a program in the sandbox, also as its root (`probe`), somebody who asks the service (`service`), or somebody
//! who writes on a forge (`forge`, `scene`). What it would like to reach is a lab on loopback (`lab`); what must not get there are canaries
//! (`canary`). Every group has benign twins, so that safety is not bought by breaking users.
//!
//! What it never does: look into the product. It knows what a user knows: the command line, the configuration, the log, the pull request, the
//! service's answers. And it attacks nothing but what it started.
//!
//! Where to start reading: any file under `cases/`; then the family that its cases are of, under `family/`. A new case is a few lines there.

#![forbid(unsafe_code)]

mod canary;
mod case;
mod cases;
mod family;
mod forge;
mod lab;
mod probe;
mod problem;
mod scene;
mod service;
mod session;
mod suite;
mod waiting;
mod world;

pub use canary::{Canaries, Canary, Place};
pub use case::{Driver, Report, Verdict};
pub use probe::probe;
pub use suite::{Options, Selection, SuiteError, run};
