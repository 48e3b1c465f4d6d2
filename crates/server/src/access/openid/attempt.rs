//! One sign-in that a browser has begun.
//!
//! All that must be known again when the browser comes back is derived from one secret that only this browser has, in a cookie: the `state` that
//! ties the answer to the browser (nobody can have somebody else sign in as themselves), the `nonce` that ties the id token to this
//! sign-in, and the verifier that ties the code to it (RFC 7636). Nothing is kept here, so any of several servers can go on with it, and
//! beginning costs nothing that could be used up.

use std::time::Duration;

use axum::http::HeaderMap;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use cofferdam_domain::{Secret, Timestamp};
use ring::{digest, hmac};

use crate::{
    access::cookies::Cookie,
    origin::Origin,
    problem::Problem,
    proof::{self, Purpose},
};

/// How long somebody may take at the provider.
pub(super) const TIME: Duration = Duration::from_secs(10 * 60);

/// One sign-in.
pub(super) struct Attempt {
    begun: Timestamp,
    secret: Secret,
}

impl Attempt {
    /// Begins one.
    pub(super) fn begin(now: Timestamp) -> Result<Self, Problem> {
        let (secret, _) = proof::generate(Purpose::Attempt)?;
        Ok(Self { begun: now, secret })
    }

    /// The one that this browser has begun, unless that is too long ago.
    pub(super) fn of(headers: &HeaderMap, origin: &Origin, now: Timestamp) -> Option<Self> {
        let (begun, secret) = Cookie::Attempt.of(headers, origin)?.split_once('.')?;
        proof::read(Purpose::Attempt, secret)?;
        let begun: u64 = begun.parse().ok()?;
        let age = now.0.checked_sub(begun)?;
        let fits = u128::from(age) <= TIME.as_millis();
        fits.then(|| Self { begun: Timestamp(begun), secret: Secret::new(secret) })
    }

    /// What the cookie holds.
    pub(super) fn kept(&self) -> String {
        format!("{}.{}", self.begun.0, self.secret.expose())
    }

    /// When it was begun.
    pub(super) const fn begun(&self) -> Timestamp {
        self.begun
    }

    /// Ties the provider's answer to this browser.
    pub(super) fn state(&self) -> String {
        self.derived("state")
    }

    /// Whether the answer is to this.
    pub(super) fn has_state(&self, state: &str) -> bool {
        let given = BASE64_URL_SAFE_NO_PAD.decode(state).unwrap_or_default();
        hmac::verify(&self.key(), &self.label("state"), &given).is_ok()
    }

    /// Ties the id token to this.
    pub(super) fn nonce(&self) -> String {
        self.derived("nonce")
    }

    /// Ties the code to this: what the provider is told at the end.
    pub(super) fn verifier(&self) -> Secret {
        Secret::new(self.derived("verifier"))
    }

    /// The same at the beginning (`S256`, RFC 7636, section 4.2).
    pub(super) fn challenge(&self) -> String {
        let verifier = self.verifier();
        BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.expose().as_bytes()))
    }

    fn derived(&self, purpose: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.key(), &self.label(purpose)))
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes())
    }

    /// The time is part of it, so that nobody makes an old one young.
    fn label(&self, purpose: &str) -> Vec<u8> {
        format!("{purpose} {}", self.begun.0).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_goes_on_with_its_own_for_ten_minutes() {
        let origin = Origin::parse("https://a.example").unwrap();
        let begun = Timestamp(1_000_000);
        let attempt = Attempt::begin(begun).unwrap();
        let at = |value: String, now: u64| {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", format!("__Host-cofferdam-openid={value}").parse().unwrap());
            Attempt::of(&headers, &origin, Timestamp(now))
        };
        let again = at(attempt.kept(), begun.0 + 600_000).unwrap();
        assert!(again.has_state(&attempt.state()));
        assert_eq!((again.nonce(), again.challenge()), (attempt.nonce(), attempt.challenge()));
        assert_eq!(again.verifier().expose(), attempt.verifier().expose());
        assert!(at(attempt.kept(), begun.0 + 600_001).is_none(), "too old");
        assert!(at(attempt.kept(), begun.0 - 1).is_none(), "from the future");
        let younger = at(attempt.kept().replacen("1000000", "1500000", 1), 1_600_000).unwrap();
        assert!(!younger.has_state(&attempt.state()), "made younger");
        let other = Attempt::begin(begun).unwrap();
        assert!(!other.has_state(&attempt.state()), "another browser's");
        for wrong in ["", "x", "AAAA", &attempt.nonce()] {
            assert!(!attempt.has_state(wrong), "{wrong}");
        }
        assert!(at("1000000.cfo_1".to_owned(), 1_000_000).is_none());
    }

    #[test]
    fn what_is_derived_is_different_and_of_the_right_form() {
        let attempt = Attempt::begin(Timestamp(1)).unwrap();
        let verifier = attempt.verifier();
        let all = [attempt.state(), attempt.nonce(), verifier.expose().to_owned(), attempt.challenge()];
        for (at, one) in all.iter().enumerate() {
            // RFC 7636, section 4.1: 43 to 128 unreserved characters.
            assert_eq!(one.len(), 43);
            assert!(!all[..at].contains(one));
        }
    }
}
