//! The session log, blobs and claims: the only SQL in Cofferdam.
//!
//! What this crate is for: [`Store`] keeps what must not be lost. Appends are durable when they return;
//! readers follow a log live without polling. [`SqliteStore`] is one directory on one machine, shared by any
//! number of processes; PostgreSQL will implement the same interface.
//!
//! What it never does: interpret events beyond their place in the chain and the line that they leave in a
//! list of sessions, or decide anything.
//!
//! Where to start reading: [`Store`], then `chain` (how events are linked), then `sqlite` (how they are
//! kept).

#![forbid(unsafe_code)]

mod blobs;
mod chain;
mod error;
mod sqlite;
mod store;
mod summary;

pub use error::StoreError;
pub use sqlite::SqliteStore;
pub use store::{Claim, SessionFilter, SessionRow, Store, Verified, Writer};
