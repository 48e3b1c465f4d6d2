//! A GitHub App: it proves with its private key that it is itself, with a JSON web token (RFC 7519) signed by RS256 (RFC 7518, section 3.3).
//!
//! Source: <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use cofferdam_domain::{Secret, Timestamp};
use ring::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{self, RSA_PKCS1_SHA256},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};

/// GitHub's advice, for clocks that differ a little.
const BEFORE: u64 = 60;
/// GitHub takes ten minutes at most, counted by its own clock.
const LASTS: u64 = 8 * 60;

/// An app and its key.
pub(super) struct App {
    id: String,
    key: KeyPair,
}

/// Why a key is not one that an app has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("it is no PEM file with a private key: give the whole file that GitHub made, from BEGIN to END")]
    Pem,
    #[error(
        "it is no RSA key of 2048 bits or more: give the key that GitHub made for the app, without a passphrase"
    )]
    Rsa,
}

impl App {
    /// The app with this number or client id. Its key is in PKCS#1, as GitHub gives it, or in PKCS#8.
    pub(super) fn new(id: &str, key: &Secret) -> Result<Self, KeyError> {
        // Where a variable cannot hold line breaks, they are often written so.
        let pem = key.expose().replace("\\n", "\n");
        let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Pem)? {
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(_) | _ => return Err(KeyError::Rsa),
        };
        Ok(Self { id: id.to_owned(), key: key.map_err(|_| KeyError::Rsa)? })
    }

    /// What says that it is the app, for some minutes. `None` where the machine has no random numbers.
    pub(super) fn proof(&self, now: Timestamp) -> Option<Secret> {
        let now = now.0 / 1000;
        let claims =
            serde_json::json!({ "iat": now.saturating_sub(BEFORE), "exp": now + LASTS, "iss": self.id });
        let encode = |text: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(text);
        let signed = format!(
            "{}.{}",
            encode(br#"{"alg":"RS256","typ":"JWT"}"#),
            encode(claims.to_string().as_bytes())
        );
        let mut proof = vec![0; self.key.public().modulus_len()];
        let padding: &'static dyn signature::RsaEncoding = &RSA_PKCS1_SHA256;
        self.key.sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut proof).ok()?;
        Some(Secret::new(format!("{signed}.{}", encode(&proof))))
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        let wrong = |pem: &str| App::new("1", &Secret::new(pem)).unwrap_err();
        for bad in [
            "",
            "secret",
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert_eq!(wrong(bad), KeyError::Pem, "{bad}");
        }
        for kind in ["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY"] {
            let pem = format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
            assert_eq!(wrong(&pem), KeyError::Rsa, "{kind}");
            assert_eq!(wrong(&pem.replace('\n', "\\n")), KeyError::Rsa, "{kind}");
        }
    }
}
