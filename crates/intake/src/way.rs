//! What a way in is.

use async_trait::async_trait;
use cofferdam_domain::OrgId;
use cofferdam_store::{Dealt, StoreError, TakenArrival};
use http::HeaderMap;

/// A way in: a forge, a chat, another program, a schedule.
///
/// Notes for implementors. [`Self::accept`] looks at the proof before anything else looks at the body, and says nothing of secrets.
/// [`Self::deal`] may be the second try, after a crash at any instant: it looks first, then does. It takes at most as long as the
/// processor's patience, and its answers are in words for the organisation's people.
#[async_trait]
pub trait Way: Send + Sync {
    /// Names it: the name in the configuration, under which it is reached at `/hooks/`, and the source of what arrives by it.
    fn source(&self) -> &str;

    /// Whose it is.
    fn org(&self) -> OrgId;

    /// Looks at the proof of something that was posted, and says what is to be kept of it.
    ///
    /// # Errors
    /// When it is not proved, or not what is sent this way.
    fn accept(&self, headers: &HeaderMap, body: &[u8]) -> Result<Accepted, Refused>;

    /// Deals with something that arrived.
    ///
    /// # Errors
    /// When the store fails: it is tried again.
    async fn deal(&self, taken: &TakenArrival) -> Result<Dealt, StoreError>;
}

/// What becomes of something that was posted and is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is kept, and acknowledged then.
    Keep(Kept),
    /// It is answered at once, and nothing is kept.
    Say {
        /// The answer's content type.
        content_type: &'static str,
        /// The answer.
        body: String,
    },
}

/// What is kept of something that was posted, beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What the sender calls it: the same when it is sent again.
    pub id: String,
    /// What kind of thing it is, in the sender's words.
    pub event: String,
    /// What must be dealt with in order, among what arrives this way.
    pub line: String,
}

/// Why something that was posted is not taken. In words for whoever set the sender up; without anything of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not proved, or not by whom it should be.
    #[error("{0}")]
    Unproved(String),
    /// It is not what is sent this way.
    #[error("{0}")]
    Malformed(String),
    /// It has too many bytes.
    #[error("{0}")]
    TooLarge(String),
    /// It is of another type than is taken.
    #[error("{0}")]
    MediaType(String),
}
