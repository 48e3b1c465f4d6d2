//! Signatures of webhooks, as the Standard Webhooks specification has them
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>): `v1`, HMAC-SHA256 over
//! `id.timestamp.body`, in base64.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;

/// What secrets begin with when they are written down.
const PREFIX: &str = "whsec_";

/// The secret that a receiver shares.
#[derive(Clone)]
pub struct SigningSecret(hmac::Key);

/// The text is no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signing secret is whsec_ and then 24 to 64 random bytes in base64: `echo whsec_$(openssl rand -base64 32)` makes one"
)]
pub struct InvalidSecret;

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl FromStr for SigningSecret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(digits).map_err(|_| InvalidSecret)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(InvalidSecret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl SigningSecret {
    /// The header `webhook-signature`. `timestamp` is in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        let tag = hmac::sign(&self.0, &signed(id, timestamp, body.as_bytes()));
        format!("v1,{}", STANDARD.encode(tag))
    }

    /// Whether one of the signatures in the header `webhook-signature`, of which only the first few are looked at, is made with it.
    #[must_use]
    pub fn proves(&self, id: &str, timestamp: u64, body: &[u8], signatures: &str) -> bool {
        const MOST: usize = 8;
        let signed = signed(id, timestamp, body);
        signatures.split(' ').take(MOST).any(|signature| {
            let tag = signature.strip_prefix("v1,").and_then(|digits| STANDARD.decode(digits).ok());
            tag.is_some_and(|tag| hmac::verify(&self.0, &signed, &tag).is_ok())
        })
    }
}

/// What a signature is about.
fn signed(id: &str, timestamp: u64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_example() {
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "****");
        let proves = |body: &str| {
            secret.proves(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                body.as_bytes(),
                &format!("v1a,x {signature}"),
            )
        };
        assert!(proves(r#"{"test": 2432232314}"#) && !proves("{}"));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***"] {
            assert_eq!(text.parse::<SigningSecret>().err(), Some(InvalidSecret), "{text}");
        }
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        assert!(long.parse::<SigningSecret>().is_err());
    }
}
