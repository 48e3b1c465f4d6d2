//! What can go wrong between the command line and a server.

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not the address of a server.
    #[error(
        "{address:?} is not the address of a server: give scheme and host, such as https://cofferdam.example.com"
    )]
    Address {
        /// What was given.
        address: String,
    },
    /// The token could be read on the way.
    #[error("a token must not travel unencrypted to {address}: use https://")]
    Plain {
        /// Where to.
        address: String,
    },
    /// There was no answer, or not a whole one.
    #[error("no answer from the server {address}: is it running, and is that its address?")]
    Unreachable {
        /// Which.
        address: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The server said no.
    #[error("the server {address} refused ({status}): {detail}")]
    Refused {
        /// Which.
        address: String,
        /// The status of its answer.
        status: u16,
        /// Its own words. Text from outside.
        detail: String,
    },
    /// The answer was not what such a server answers.
    #[error(
        "the server {address} answered something else than expected: is it another version of Cofferdam?"
    )]
    Strange {
        /// Which.
        address: String,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// The answer was too long.
    #[error("the server {address} answered with more than {limit} bytes")]
    TooMuch {
        /// Which.
        address: String,
        /// The most that is read.
        limit: usize,
    },
}

impl ClientError {
    /// Whether the same request may have a better answer in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::Address { .. } | Self::Plain { .. } | Self::Strange { .. } | Self::TooMuch { .. } => false,
        }
    }

    /// Whether there is no such thing, or not for whoever asked.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}
