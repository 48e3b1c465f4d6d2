//! What goes wrong with a browser.

use std::time::Duration;

/// Why something could not be done, in words from which a model can go on. Whatever a page says in them is quoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrowserError {
    /// The browser is gone, or what comes from it is no protocol.
    #[error("the browser has ended: {0}")]
    Gone(String),
    /// The page does not answer.
    #[error("the page did not answer within {} s ({what})", .after.as_secs())]
    Silent {
        /// What was asked.
        what: &'static str,
        /// For how long it was waited.
        after: Duration,
    },
    /// A call has taken as long as calls may take.
    #[error("the call took more than {} s: the page is too slow", .0.as_secs())]
    Overdue(Duration),
    /// The page goes to an address that is not shown, however often it is put back.
    #[error("the page goes again and again to an address that is not shown")]
    Astray,
    /// The page's process died.
    #[error("the page has crashed: its process died")]
    Crashed,
    /// The tab is not there any more.
    #[error("the tab was closed meanwhile")]
    Closed,
    /// The browser would not.
    #[error("the browser would not do it ({what}): {message}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The browser's words, quoted.
        message: String,
    },
    /// The answer is longer than is taken.
    #[error(
        "the answer is too long ({0}): the page is too large to be looked at as a whole; look at a part of it"
    )]
    TooLong(&'static str),
    /// The answer is none.
    #[error("the browser's answer makes no sense ({0})")]
    Nonsense(&'static str),
    /// It cannot be done; the words say what to do instead.
    #[error("{0}")]
    Cannot(String),
}

impl BrowserError {
    pub(crate) fn cannot(words: impl Into<String>) -> Self {
        Self::Cannot(words.into())
    }

    /// Whether nothing more can be asked of this browser.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Gone(_))
    }

    /// Whether nothing more can be asked of the page.
    #[must_use]
    pub const fn page_is_lost(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Overdue(_) | Self::Astray | Self::Crashed | Self::Gone(_))
    }
}
