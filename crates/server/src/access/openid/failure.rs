//! Why a sign-in by OpenID Connect came to nothing. Nothing that the provider or anybody else wrote is part of it, except error codes of a
//! strict form.

use super::{provider::MAX_ANSWER, token::Refused};
use crate::problem::{Kind, Problem};

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// It does not answer.
    #[error("the sign-in service's {what} cannot be had: {reason}")]
    Unreachable { what: &'static str, reason: &'static str },
    /// It answers that it does not.
    #[error("the sign-in service's {what} answers with status {status} ({code})")]
    Status { what: &'static str, status: u16, code: String },
    /// It sends more than there can be.
    #[error("the sign-in service's {what} has more than {MAX_ANSWER} bytes")]
    TooLong { what: &'static str },
    /// It sends something else.
    #[error("the sign-in service's {what} is not what OpenID Connect says: {reason}")]
    Malformed { what: &'static str, reason: &'static str },
    /// The browser did not come from it.
    #[error("the answer comes from another sign-in service than the one that was asked")]
    MixedUp,
    /// It did not let somebody in.
    #[error("the sign-in service did not sign you in ({0})")]
    Denied(String),
    /// Its word cannot be believed.
    #[error("the id token is refused: {0}")]
    Token(#[from] Refused),
    /// Too many sign in at this moment.
    #[error("too many sign in at once")]
    Busy,
}

impl Failure {
    /// Whether it may be different in a moment, without anybody doing anything.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TooLong { .. } | Self::Malformed { .. } | Self::Busy => true,
            // Of the code: it was used before, or was never given.
            Self::Status { status, .. } => *status >= 500,
            Self::MixedUp | Self::Denied(_) | Self::Token(_) => false,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        tracing::warn!(reason = %failure, "a sign-in by OpenID Connect failed");
        if failure.is_passing() {
            return Self::new(Kind::Unavailable, format!("{failure}: try again in a moment"));
        }
        Self::new(Kind::Forbidden, format!("{failure}: begin again, and ask an administrator if it stays so"))
    }
}

/// An error code as OAuth has them (RFC 6749, section 5.2), if a text is one.
pub(super) fn code(text: &str) -> String {
    let fits = (1..=80).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.'));
    if fits { text.to_owned() } else { "no error code".to_owned() }
}
