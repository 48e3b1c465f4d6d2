//! What can go wrong with the store.

use std::{io, path::Path};

use cofferdam_domain::{Digest, SessionId, WorkerId};

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such session.
    #[error("there is no session {0}: `cofferdam sessions` lists them")]
    UnknownSession(SessionId),
    /// There is no such blob.
    #[error("the content {0} is not in the store: put a copy of the data directory back")]
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
    /// The log has moved on since the writer last read it.
    #[error("session {session} has new events up to {last}: read them first")]
    Behind {
        /// Which.
        session: SessionId,
        /// The place of the last event.
        last: u64,
    },
    /// What is stored is not what was written.
    #[error(
        "the store is damaged: {what} (put a copy of the data directory back, or begin a new one elsewhere)"
    )]
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
    /// More than the store accepts in one piece.
    #[error("{what} is {size} bytes long, the store accepts {limit}: split it, or keep only what is needed")]
    TooLarge {
        /// The content.
        what: &'static str,
        /// Its length in bytes.
        size: usize,
        /// The longest accepted.
        limit: usize,
    },
    /// An event has no text.
    #[error("failed to write the event {event} as JSON")]
    Encode {
        /// Its name.
        event: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The store is being shut down, or its writer died.
    #[error("the store is closed: open it again")]
    Closed,
    /// Another process keeps the database to itself.
    #[error(
        "another process has kept the store at {path} locked for too long: end it if it hangs, then `cofferdam resume` goes on"
    )]
    Busy {
        /// Where.
        path: String,
    },
    /// The database cannot be reached, or does not take requests now.
    #[error(
        "the database at {address} cannot be used now: start it, or mend the way to it; everything goes on when it is back"
    )]
    Unavailable {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// The database does not prove who it is.
    #[error(
        "the database at {address} does not prove who it is: look at sslrootcert and the host's name in [store] url, or at the server's certificate"
    )]
    Untrusted {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// The store cannot be opened by this address.
    #[error("{address:?} is not the address of a store: {reason}")]
    Address {
        /// As it was given, without what is secret in it.
        address: String,
        /// What is wrong, and what would do.
        reason: &'static str,
    },
    /// An object is not what was stored.
    #[error(
        "the content {digest} is damaged: the object {object} is not what was stored. It is never used; whatever stores the same content again mends it"
    )]
    DamagedObject {
        /// The content.
        digest: Digest,
        /// Which object, and where.
        object: String,
    },
    /// The content is in a bucket, and none is configured.
    #[error("the content {0} is in an object store: set [store] blobs as where it was stored")]
    NoBucket(Digest),
    /// The object store cannot be reached, or does not take requests now.
    #[error(
        "the object store {address} cannot be used now: start it, or mend the way to it; everything goes on when it is back"
    )]
    BucketAway {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The object store refuses.
    #[error("the object store {address} refuses: {reason}")]
    BucketRefuses {
        /// Where.
        address: String,
        /// What it means, and what to do.
        reason: &'static str,
        /// Its answer.
        #[source]
        source: Box<object_store::Error>,
    },
    /// Nothing can be heard of new events any more.
    #[error("new events can no longer be heard of: open the store again")]
    Deaf,
    /// The name is used.
    #[error("{name:?} is taken: choose another name")]
    Taken {
        /// Which.
        name: String,
    },
    /// The organisation would have nobody to administer it.
    #[error("this is the organisation's last admin: make somebody else one first")]
    LastAdmin,
    /// The user does not belong to the organisation.
    #[error("the user is no member of the organisation: invite them first")]
    NotMember,
    /// There is no such organisation or project.
    #[error("there is no {what}: ask an admin which there are")]
    Missing {
        /// What, with its id.
        what: String,
    },
    /// The worker was silent for too long.
    #[error(
        "worker {worker} was silent for too long: others have its sessions; it must enter the queue anew"
    )]
    Absent {
        /// Which.
        worker: WorkerId,
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
        source: io::Error,
    },
}

impl StoreError {
    /// The same once more, for another one whom it befell as well.
    pub(crate) fn repeated(&self) -> Self {
        if let Self::Full { path } = self {
            return Self::Full { path: path.clone() };
        }
        if let Self::Busy { path } = self {
            return Self::Busy { path: path.clone() };
        }
        if let Self::Corrupt { what } = self {
            return Self::Corrupt { what: what.clone() };
        }
        let cause = std::error::Error::source(self).unwrap_or(self).to_string();
        Self::Database { operation: "use the database", source: sqlx::Error::Protocol(cause) }
    }

    /// What a failure with a file means.
    pub(crate) fn file(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::Full { path }
        } else {
            Self::File { operation, path, source }
        }
    }
}
