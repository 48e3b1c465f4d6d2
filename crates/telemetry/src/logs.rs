//! Where sessions' logs are read.

use std::error::Error;

use async_trait::async_trait;
use cofferdam_domain::{Event, Seq, SessionId};

/// Where sessions' logs are read: the store, as far as it is of interest here.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Events after `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn read(&self, session: SessionId, after: Seq, limit: u32) -> Result<Vec<Event>, Unread>;
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// There is no such session, or no more.
    #[error("there is no such session")]
    Gone,
    /// It may be read later.
    #[error("the log cannot be read at present")]
    Later(#[source] Box<dyn Error + Send + Sync>),
}
