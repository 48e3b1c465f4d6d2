//! How a sender proves that it shares a secret.
//!
//! Sources: [Standard Webhooks], [PagerDuty]; what Sentry, Linear, Jira and most others do is an HMAC-SHA256 of the body in a header.
//!
//! [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
//! [PagerDuty]: https://developer.pagerduty.com/docs/verifying-webhook-signatures

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cofferdam_domain::{Secret, Timestamp};
use cofferdam_forge::hook::HookSecrets;
use cofferdam_tell::{SecretPlace, SigningSecret};
use http::{HeaderMap, HeaderName};
use serde::Deserialize;

use crate::Refused;

/// How old a signature that names its time may be, or how far ahead its clock, in seconds.
const WINDOW: u64 = 5 * 60;
/// Bytes that a secret has at least: as many as nobody guesses.
const SHORTEST: usize = 16;
/// Signatures in one header that are looked at.
const MOST_SIGNATURES: usize = 8;

/// The `proof` of a `[[hook]]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProofSettings {
    /// A header has the HMAC-SHA256 of the body.
    HmacSha256 {
        /// The header.
        header: String,
        /// What stands before the digits, such as `sha256=`.
        #[serde(default)]
        prefix: String,
        /// How it is written.
        #[serde(default)]
        encoding: Encoding,
        /// The secret.
        secret: SecretPlace,
        /// Secrets from before, which are still taken.
        #[serde(default)]
        earlier: Vec<SecretPlace>,
    },
    /// As the Standard Webhooks specification has it.
    StandardWebhooks {
        /// The secret: `whsec_…`.
        secret: SecretPlace,
        /// Secrets from before, which are still taken.
        #[serde(default)]
        earlier: Vec<SecretPlace>,
    },
    /// As PagerDuty does: a list of `v1=` and the HMAC-SHA256 of the body in `X-PagerDuty-Signature`.
    Pagerduty {
        /// The secret.
        secret: SecretPlace,
        /// Secrets from before, which are still taken.
        #[serde(default)]
        earlier: Vec<SecretPlace>,
    },
    /// A header has the secret itself, for senders that cannot sign.
    Token {
        /// The header, such as `authorization`.
        header: String,
        /// What stands before it, such as `Bearer `.
        #[serde(default)]
        prefix: String,
        /// The secret.
        secret: SecretPlace,
        /// Secrets from before, which are still taken.
        #[serde(default)]
        earlier: Vec<SecretPlace>,
    },
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// In hexadecimal digits.
    #[default]
    Hex,
    /// In base64.
    Base64,
}

/// A proof cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProof {
    /// The secret.
    #[error("its secret {0}")]
    Secret(String),
    /// The header.
    #[error("{0:?} is no name of a header")]
    Header(String),
}

/// How a sender proves it.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    Hmac { header: HeaderName, prefix: String, encoding: Encoding, list: bool, secrets: HookSecrets },
    Standard(Vec<SigningSecret>),
    Token { header: HeaderName, prefix: String, secrets: HookSecrets },
}

impl ProofSettings {
    /// Reads the secrets.
    pub(super) fn open(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Proof, InvalidProof> {
        let read = |place: &SecretPlace| place.read(environment).map_err(InvalidProof::Secret);
        let secrets = |present, earlier: &[SecretPlace]| {
            let strong = |place| {
                let secret = read(place)?.trim().to_owned();
                if secret.len() < SHORTEST {
                    let why = format!("has {SHORTEST} characters at least: `openssl rand -hex 32` makes one");
                    return Err(InvalidProof::Secret(why));
                }
                Ok(Secret::new(secret))
            };
            let earlier = earlier.iter().map(strong).collect::<Result<_, _>>()?;
            HookSecrets::new(strong(present)?, earlier)
                .ok_or_else(|| InvalidProof::Secret("is empty".to_owned()))
        };
        let named = |name: &str| name.parse().map_err(|_| InvalidProof::Header(name.to_owned()));
        Ok(match self {
            Self::HmacSha256 { header, prefix, encoding, secret, earlier } => Proof::Hmac {
                header: named(header)?,
                prefix: prefix.clone(),
                encoding: *encoding,
                list: false,
                secrets: secrets(secret, earlier)?,
            },
            Self::Pagerduty { secret, earlier } => Proof::Hmac {
                header: HeaderName::from_static("x-pagerduty-signature"),
                prefix: "v1=".to_owned(),
                encoding: Encoding::Hex,
                list: true,
                secrets: secrets(secret, earlier)?,
            },
            Self::Token { header, prefix, secret, earlier } => Proof::Token {
                header: named(header)?,
                prefix: prefix.clone(),
                secrets: secrets(secret, earlier)?,
            },
            Self::StandardWebhooks { secret, earlier } => {
                let signing = |place| {
                    let secret = read(place)?;
                    secret.trim().parse().map_err(|_| {
                        let why = cofferdam_tell::InvalidSecret.to_string();
                        InvalidProof::Secret(format!("is none: {why}"))
                    })
                };
                Proof::Standard([secret].into_iter().chain(earlier).map(signing).collect::<Result<_, _>>()?)
            }
        })
    }
}

impl Proof {
    /// Looks at the proof. Nothing of the body is read before.
    pub(super) fn check(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Refused> {
        match self {
            Self::Hmac { header, prefix, encoding, list, secrets } => {
                let written = one(headers, header)?;
                let all = if *list { written.split(',').collect() } else { vec![written] };
                let proves = |signature: &&str| {
                    let digits = signature.trim().strip_prefix(prefix.as_str());
                    digits
                        .and_then(|digits| encoding.read(digits))
                        .is_some_and(|tag| secrets.sign(body, &tag))
                };
                proved(all.iter().take(MOST_SIGNATURES).any(proves), header)
            }
            Self::Token { header, prefix, secrets } => {
                let token = one(headers, header)?.strip_prefix(prefix.as_str());
                proved(token.is_some_and(|token| secrets.are(token.as_bytes())), header)
            }
            Self::Standard(secrets) => {
                let header = HeaderName::from_static("webhook-signature");
                let id = one(headers, &HeaderName::from_static("webhook-id"))?;
                let at = one(headers, &HeaderName::from_static("webhook-timestamp"))?;
                let signatures = one(headers, &header)?;
                let seconds = at.parse::<u64>().ok().filter(|at| at.abs_diff(now.0 / 1000) <= WINDOW);
                let Some(seconds) = seconds else {
                    return Err(Refused::Unproved(
                        "the delivery's `webhook-timestamp` is no time of the last five minutes: are both clocks right?".to_owned(),
                    ));
                };
                // All are looked at, so that the time taken does not tell which one it was.
                let any = secrets
                    .iter()
                    .fold(false, |found, secret| secret.proves(id, seconds, body, signatures) | found);
                proved(any, &header)
            }
        }
    }

    /// The header that says which delivery it is, and is covered by the proof.
    pub(super) fn id<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        match self {
            Self::Standard(_) => headers.get("webhook-id")?.to_str().ok(),
            Self::Hmac { .. } | Self::Token { .. } => None,
        }
    }
}

impl Encoding {
    fn read(self, digits: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex::decode(digits).ok(),
            Self::Base64 => STANDARD.decode(digits).ok(),
        }
    }
}

/// A header that is there once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Refused> {
    let mut all = headers.get_all(name).iter();
    let first = all.next().filter(|_| all.next().is_none()).and_then(|value| value.to_str().ok());
    first.ok_or_else(|| Refused::Unproved(format!("the delivery has no usable `{name}` header")))
}

fn proved(proved: bool, header: &HeaderName) -> Result<(), Refused> {
    if proved {
        return Ok(());
    }
    Err(Refused::Unproved(format!(
        "the delivery's `{header}` is not made with the secret that is configured here: set the same secret at the sender and here"
    )))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use ring::hmac;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const EARLIER: &str = "fedcba9876543210fedcba9876543210";
    const BODY: &[u8] = br#"{"a":1}"#;
    const NOW: Timestamp = Timestamp(1_614_265_330_000);

    #[derive(Deserialize)]
    struct Table {
        proof: ProofSettings,
    }

    fn open(text: &str) -> Result<Proof, String> {
        let text = format!("proof = {{ {text} }}");
        let table: Table = toml::from_str(&text).map_err(|error| error.to_string())?;
        let environment = |name: &str| match name {
            "SECRET" => Some(SECRET.to_owned()),
            "EARLIER" => Some(EARLIER.to_owned()),
            "SHORT" => Some("short".to_owned()),
            "WHSEC" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
            _ => None,
        };
        table.proof.open(&environment).map_err(|error| error.to_string())
    }

    fn tag(secret: &str, body: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body).as_ref().to_vec()
    }

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn check(proof: &Proof, pairs: &[(&'static str, String)]) -> bool {
        proof.check(&headers(pairs), BODY, NOW).is_ok()
    }

    #[test]
    fn a_signature_proves_in_the_way_that_is_configured_and_in_no_other() {
        let secrets = "secret = { env = 'SECRET' }, earlier = [{ env = 'EARLIER' }]";
        let plain = open(&format!("kind = 'hmac-sha256', header = 'X-Sig', {secrets}")).unwrap();
        let base64 = open(&format!(
            "kind = 'hmac-sha256', header = 'x-sig', prefix = 'v=', encoding = 'base64', {secrets}"
        ))
        .unwrap();
        let right = hex::encode(tag(SECRET, BODY));
        let in_base64 = format!("v={}", STANDARD.encode(tag(EARLIER, BODY)));
        assert!(check(&plain, &[("x-sig", right.clone())]));
        assert!(check(&plain, &[("x-sig", hex::encode(tag(EARLIER, BODY)))]));
        assert!(check(&base64, &[("x-sig", in_base64.clone())]));
        for wrong in [
            String::new(),
            "00".into(),
            right[..62].into(),
            format!("sha256={right}"),
            hex::encode(tag("another secret of this length", BODY)),
            hex::encode(tag(SECRET, b"{}")),
            in_base64,
        ] {
            assert!(!check(&plain, &[("x-sig", wrong.clone())]), "{wrong}");
        }
        assert!(!check(&plain, &[]));
        assert!(!check(&plain, &[("x-sig", right.clone()), ("x-sig", right)]), "twice is not once");
    }

    #[test]
    fn a_list_of_signatures_proves_by_one_of_them() {
        let proof = open("kind = 'pagerduty', secret = { env = 'SECRET' }").unwrap();
        let (right, other) = (hex::encode(tag(SECRET, BODY)), hex::encode(tag("other", BODY)));
        let name = "x-pagerduty-signature";
        assert!(check(&proof, &[(name, format!("v1={right}"))]));
        assert!(check(&proof, &[(name, format!("v1={other},v1={right}"))]));
        for wrong in [right.clone(), format!("v0={right}"), format!("v1={other}")] {
            assert!(!check(&proof, &[(name, wrong)]));
        }
        let many = vec![format!("v1={other}"); MOST_SIGNATURES].join(",");
        assert!(!check(&proof, &[(name, format!("{many},v1={right}"))]), "not for ever");
    }

    #[test]
    fn a_token_proves_when_it_is_the_whole() {
        let text =
            "kind = 'token', header = 'authorization', prefix = 'Bearer ', secret = { env = 'SECRET' }";
        let proof = open(text).unwrap();
        assert!(check(&proof, &[("authorization", format!("Bearer {SECRET}"))]));
        for wrong in [SECRET.to_owned(), format!("Bearer {}", &SECRET[1..]), format!("Bearer {SECRET}0")] {
            assert!(!check(&proof, &[("authorization", wrong)]));
        }
    }

    #[test]
    fn a_standard_webhook_proves_for_five_minutes() {
        let proof = open("kind = 'standard-webhooks', secret = { env = 'WHSEC' }").unwrap();
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signed = |seconds: u64| {
            let signature = secret.sign("msg_1", seconds, std::str::from_utf8(BODY).unwrap());
            [
                ("webhook-id", "msg_1".to_owned()),
                ("webhook-timestamp", seconds.to_string()),
                ("webhook-signature", format!("v1,AAAA {signature}")),
            ]
        };
        let now = NOW.0 / 1000;
        for (seconds, proves) in
            [(now, true), (now - WINDOW, true), (now + WINDOW, true), (now - WINDOW - 1, false)]
        {
            assert_eq!(check(&proof, &signed(seconds)), proves, "{seconds}");
        }
        let mut other = signed(now);
        other[0].1 = "msg_2".to_owned();
        assert!(!check(&proof, &other), "the id is covered");
        assert_eq!(proof.id(&headers(&signed(now))), Some("msg_1"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, wanted) in [
            ("kind = 'hmac-sha256', header = 'x', secret = { env = 'SHORT' }", "16 characters"),
            ("kind = 'hmac-sha256', header = 'x', secret = { env = 'NONE' }", "NONE is not set"),
            ("kind = 'hmac-sha256', header = 'a b', secret = { env = 'SECRET' }", "a b"),
            ("kind = 'standard-webhooks', secret = { env = 'SECRET' }", "whsec_"),
            ("kind = 'md5', secret = { env = 'SECRET' }", "md5"),
            ("kind = 'token', secret = { env = 'SECRET' }", "header"),
            ("kind = 'pagerduty', header = 'x', secret = { env = 'SECRET' }", "header"),
        ] {
            let error = open(text).map(drop).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
