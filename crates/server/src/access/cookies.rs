//! The cookies that the server gives to browsers (RFC 6265bis).

use axum::http::{HeaderMap, HeaderValue, header};

use crate::{origin::Origin, problem::Problem};

/// Which cookie. Scripts see neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Of a browser that is signed in. It comes with requests from the server's own pages alone.
    Stay,
    /// Of a browser that has begun to sign in by OpenID Connect. It comes when the provider sends the browser back, too; all that it opens is
    /// that one sign-in.
    Attempt,
}

impl Cookie {
    /// Its name. Under `__Host-` (RFC 6265bis, section 4.1.3.2) no other host and no unencrypted answer can set it; browsers only take it over
    /// an encrypted connection.
    pub(super) const fn name(self, origin: &Origin) -> &'static str {
        match (self, origin.is_secure()) {
            (Self::Stay, true) => "__Host-cofferdam",
            (Self::Stay, false) => "cofferdam",
            (Self::Attempt, true) => "__Host-cofferdam-openid",
            (Self::Attempt, false) => "cofferdam-openid",
        }
    }

    /// The field that gives it to a browser for this many seconds; none take it away.
    pub(super) fn set(self, origin: &Origin, value: &str, seconds: u64) -> Result<HeaderValue, Problem> {
        let name = self.name(origin);
        let site = match self {
            Self::Stay => "Strict",
            Self::Attempt => "Lax",
        };
        let secure = if origin.is_secure() { "; Secure" } else { "" };
        HeaderValue::from_str(&format!(
            "{name}={value}; Path=/; HttpOnly; SameSite={site}; Max-Age={seconds}{secure}"
        ))
        .map_err(|error| Problem::internal(&error))
    }

    /// Its value. Of two with one name neither is believed.
    pub(super) fn of<'h>(self, headers: &'h HeaderMap, origin: &Origin) -> Option<&'h str> {
        let name = self.name(origin);
        let mut found = None;
        for field in headers.get_all(header::COOKIE) {
            for pair in field.to_str().ok()?.split(';') {
                match pair.trim().split_once('=') {
                    Some((key, value)) if key == name => {
                        if found.replace(value).is_some() {
                            return None;
                        }
                    }
                    Some(_) | None => {}
                }
            }
        }
        found
    }
}
