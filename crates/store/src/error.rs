//! What can go wrong with the store.

use cofferdam_domain::{Digest, SessionId};

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such session.
    #[error("there is no session {0}: `cofferdam sessions` lists them")]
    UnknownSession(SessionId),
    /// There is no such blob.
    #[error("the content {0} is not in the store")]
    UnknownBlob(Digest),
    /// The session exists already.
    #[error("session {0} exists already")]
    Exists(SessionId),
    /// Another living process works on the session.
    #[error("session {session} is being worked on by {worker}: wait for it, or end that process")]
    Claimed {
        /// Which.
        session: SessionId,
        /// By whom.
        worker: String,
    },
    /// The writer's claim is no longer the latest.
    #[error("session {session} was taken over by another worker (fence {fence})")]
    Fenced {
        /// Which.
        session: SessionId,
        /// The fence in force.
        fence: u64,
    },
    /// What is stored is not what was written.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What does not fit.
        what: String,
    },
    /// The store was made by a newer version.
    #[error(
        "the store at {path} was made by a newer version of Cofferdam (schema {found}, this one knows {known}): upgrade"
    )]
    Newer {
        /// Where.
        path: String,
        /// Its schema.
        found: i64,
        /// The latest known here.
        known: i64,
    },
    /// The disk is full.
    #[error("no space left for the store at {path}: free some space, then `cofferdam resume` goes on")]
    Full {
        /// Where.
        path: String,
    },
    /// The database refused.
    #[error("failed to {operation}")]
    Database {
        /// What was being done.
        operation: &'static str,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// A file could not be read or written.
    #[error("failed to {operation} {path}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// With what.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}
