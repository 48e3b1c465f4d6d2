//! Why a server could not be used.

use std::time::Duration;

/// Why a server could not be used. Texts in it may be the server's own: untrusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum McpError {
    /// It did not begin to speak the protocol.
    #[error("it does not speak the protocol: {0}")]
    NoProtocol(String),
    /// The connection is over: it died, or sent what no server may send.
    #[error("the connection to it has ended: {0}")]
    Ended(String),
    /// It did not answer in time.
    #[error("it did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It answered that it will not; the connection is as good as before.
    #[error("it answered with an error ({code}): {message}")]
    Server {
        /// The JSON-RPC code.
        code: i32,
        /// Its words, cut where they are long.
        message: String,
    },
    /// Its answer is none to what was asked.
    #[error("its answer makes no sense: {0}")]
    Nonsense(String),
    /// It wants something before it answers that is not offered.
    #[error("it asked for {0}, which is not offered to servers")]
    Wants(&'static str),
}

impl McpError {
    /// Whether nothing more can be asked over this connection.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::NoProtocol(_) | Self::Ended(_))
    }
}
