//! A delivery as it arrives: who sent it, which one it is, and what it is about.

use cofferdam_domain::Secret;
use http::HeaderMap;
use ring::hmac;

use super::{ForgeKind, Occasion, gitea, github, gitlab};

/// Bytes of a delivery that are taken. GitHub sends none above 25 MB
/// (<https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap>).
pub const LARGEST_DELIVERY: usize = 25 * 1024 * 1024;
/// Characters of a delivery's id and of the name of its event.
const LONGEST_NAME: usize = 128;

/// What a forge calls a delivery: the same when it sends it again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(String);

impl DeliveryId {
    /// The id as the forge wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The secrets that a forge and this platform share: the present one, and those before it while they are being replaced.
#[derive(Debug, Clone)]
pub struct HookSecrets {
    present: Secret,
    earlier: Vec<Secret>,
}

impl HookSecrets {
    /// The present secret, and earlier ones that are still taken. `None` when one of them is empty: everybody knows that one.
    #[must_use]
    pub fn new(present: Secret, earlier: Vec<Secret>) -> Option<Self> {
        let all_are_some = [&present].into_iter().chain(&earlier).all(|secret| !secret.expose().is_empty());
        all_are_some.then_some(Self { present, earlier })
    }

    /// Whether one of them has made this HMAC-SHA256 of a message. Takes the same time whichever it was.
    #[must_use]
    pub fn sign(&self, message: &[u8], signature: &[u8]) -> bool {
        self.any(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
            hmac::verify(&key, message, signature).is_ok()
        })
    }

    /// Whether one of them is this. What is compared are digests, so that the time taken says nothing about the secret.
    #[must_use]
    pub fn are(&self, token: &[u8]) -> bool {
        self.any(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
            hmac::verify(&key, token, hmac::sign(&key, secret.expose().as_bytes()).as_ref()).is_ok()
        })
    }

    fn any(&self, proves: impl Fn(&Secret) -> bool) -> bool {
        // All are looked at, so that the time taken does not tell which one it was.
        [&self.present].into_iter().chain(&self.earlier).fold(false, |found, secret| proves(secret) | found)
    }
}

/// Why a delivery is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not proved at all.
    #[error("the delivery has no `{0}` header: give the webhook at the forge a secret, the same as here")]
    Unproved(&'static str),
    /// Its proof is wrong.
    #[error(
        "the delivery's `{0}` is not made with the secret that is configured here: set the same secret at the forge and here"
    )]
    Forged(&'static str),
    /// A header is missing or is none.
    #[error("the delivery has no usable `{0}` header: is it sent by {forge}?", forge = .1.name())]
    Header(&'static str, ForgeKind),
    /// Its body is too large.
    #[error("the delivery has more than {LARGEST_DELIVERY} bytes")]
    TooLarge,
    /// It is a form.
    #[error("the delivery is not JSON: set the webhook's content type to `application/json`")]
    NotJson,
    /// Its body is not what the forge sends.
    #[error("the delivery is not what {forge} sends for `{event}`: {why}", forge = .forge.name())]
    Malformed {
        /// The forge.
        forge: ForgeKind,
        /// The event that it is of.
        event: String,
        /// Where and why.
        why: String,
    },
}

/// A delivery whose sender is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    forge: ForgeKind,
    id: DeliveryId,
    event: String,
}

impl Delivery {
    /// Looks at the proof of a delivery. Nothing of the body is read before it is proved.
    ///
    /// # Errors
    /// When it is not proved, too large, not JSON, or does not say which delivery it is and of what.
    pub fn accept(
        forge: ForgeKind,
        secrets: &HookSecrets,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Refused> {
        if body.len() > LARGEST_DELIVERY {
            return Err(Refused::TooLarge);
        }
        match forge {
            ForgeKind::GitHub => signed(headers, "x-hub-signature-256", "sha256=", secrets, body)?,
            ForgeKind::Gitea => signed(headers, "x-gitea-signature", "", secrets, body)?,
            ForgeKind::GitLab => known(headers, "x-gitlab-token", secrets)?,
        }
        let json = |kind: &str| {
            kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        };
        if !text(headers, "content-type").is_some_and(json) {
            return Err(Refused::NotJson);
        }
        let (event, ids): (_, &[&'static str]) = match forge {
            ForgeKind::GitHub => ("x-github-event", &["x-github-delivery"]),
            ForgeKind::Gitea => ("x-gitea-event", &["x-gitea-delivery"]),
            ForgeKind::GitLab => ("x-gitlab-event", &["idempotency-key", "x-gitlab-event-uuid"]),
        };
        let id = ids.iter().find_map(|name| named(headers, name)).ok_or(Refused::Header(ids[0], forge))?;
        let event = named(headers, event).ok_or(Refused::Header(event, forge))?;
        Ok(Self { forge, id: DeliveryId(id.to_owned()), event: event.to_owned() })
    }

    /// A delivery that was accepted before and kept.
    #[must_use]
    pub const fn kept(forge: ForgeKind, id: String, event: String) -> Self {
        Self { forge, id: DeliveryId(id), event }
    }

    /// What the forge calls it.
    #[must_use]
    pub const fn id(&self) -> &DeliveryId {
        &self.id
    }

    /// The forge's name for what it is about.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Reads the body.
    ///
    /// # Errors
    /// When it is not what the forge sends for such an event. What is of no interest here is not an error.
    pub fn read(&self, body: &[u8]) -> Result<Occasion, Refused> {
        let read = match self.forge {
            ForgeKind::GitHub => github::read(&self.event, body),
            ForgeKind::GitLab => gitlab::read(body),
            ForgeKind::Gitea => gitea::read(&self.event, body),
        };
        read.map_err(|fault| Refused::Malformed {
            forge: self.forge,
            event: self.event.clone(),
            why: fault.to_string(),
        })
    }
}

/// Checks an HMAC-SHA256 of the body, in hexadecimal digits, in constant time.
fn signed(
    headers: &HeaderMap,
    name: &'static str,
    prefix: &str,
    secrets: &HookSecrets,
    body: &[u8],
) -> Result<(), Refused> {
    let written = text(headers, name).filter(|written| !written.is_empty()).ok_or(Refused::Unproved(name))?;
    let digits = written.strip_prefix(prefix).ok_or(Refused::Forged(name))?;
    let signature = hex::decode(digits).map_err(|_| Refused::Forged(name))?;
    if secrets.sign(body, &signature) { Ok(()) } else { Err(Refused::Forged(name)) }
}

/// Checks a token that is sent as it is.
fn known(headers: &HeaderMap, name: &'static str, secrets: &HookSecrets) -> Result<(), Refused> {
    let token = headers.get(name).map(http::HeaderValue::as_bytes).ok_or(Refused::Unproved(name))?;
    if secrets.are(token) { Ok(()) } else { Err(Refused::Forged(name)) }
}

/// A header that is there once.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}

fn named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let plain = |text: &&str| {
        !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    };
    text(headers, name).filter(plain)
}
