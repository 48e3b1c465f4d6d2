//! What every way of telling does.

use std::time::Duration;

use async_trait::async_trait;

use crate::Message;

/// A way to tell people something.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Tells it. May be called again with the same message, whose id stays the same.
    ///
    /// # Errors
    /// When it was not told, or nobody knows.
    async fn tell(&self, message: &Message) -> Result<(), Failed>;
}

/// It was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// Later it may be.
    #[error("{reason}")]
    ForNow {
        /// Why, in words. What a receiver has chosen of them is bounded and can be seen.
        reason: String,
        /// How long the receiver asks to be left alone.
        rest: Option<Duration>,
    },
    /// It never will be.
    #[error("{reason}")]
    ForGood {
        /// Why, in words.
        reason: String,
    },
}

impl Failed {
    pub(crate) fn for_now(reason: impl Into<String>) -> Self {
        Self::ForNow { reason: reason.into(), rest: None }
    }
}
