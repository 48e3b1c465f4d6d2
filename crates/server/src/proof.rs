//! What proves who somebody is: 256 random bits with a form that says what it is for. Given out once; the store keeps the hash.

use cofferdam_domain::{Digest, Secret};
use cofferdam_store::Proof;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::problem::{Kind, Problem};

/// What a proof is for. One kind is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An API token.
    Token,
    /// A browser's cookie.
    Cookie,
    /// A link to sign in.
    Link,
    /// A sign-in by OpenID Connect that a browser has begun.
    Attempt,
    /// An app of a forge that a browser has begun to make.
    App,
}

impl Purpose {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Token => "cfd_",
            Self::Cookie => "cfc_",
            Self::Link => "cfl_",
            Self::Attempt => "cfo_",
            Self::App => "cfg_",
        }
    }
}

const RANDOM: usize = 32;
const CHECK: usize = 4;

/// A new one.
pub(crate) fn generate(purpose: Purpose) -> Result<(Secret, Proof), Problem> {
    let mut bits = [0; RANDOM];
    SystemRandom::new().fill(&mut bits).map_err(|_| {
        Problem::new(Kind::Internal, "this machine has no random numbers: look at its /dev/urandom")
    })?;
    let body = format!("{}{}", purpose.prefix(), hex::encode(bits));
    let text = format!("{body}{}", check(&body));
    let proof = Proof(Digest::of(text.as_bytes()));
    Ok((Secret::new(text), proof))
}

/// The proof that a text is, if it has the form of one for this purpose. A mistyped or cut one is told from an unknown one without the store.
pub(crate) fn read(purpose: Purpose, text: &str) -> Option<Proof> {
    let digits = text.strip_prefix(purpose.prefix())?;
    let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !lower || digits.len() != 2 * (RANDOM + CHECK) {
        return None;
    }
    let (body, sum) = text.split_at(text.len() - 2 * CHECK);
    (check(body) == sum).then(|| Proof(Digest::of(text.as_bytes())))
}

/// The beginning of a hash: for typing errors, not against forgery.
fn check(body: &str) -> String {
    hex::encode(&Digest::of(body.as_bytes()).as_bytes()[..CHECK])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_ones_of_the_right_kind_are_read() {
        let (secret, proof) = generate(Purpose::Token).unwrap();
        let text = secret.expose();
        assert_eq!(read(Purpose::Token, text), Some(proof));
        assert_eq!(read(Purpose::Cookie, text), None, "a token is no cookie");
        assert_eq!(read(Purpose::Cookie, &text.replace("cfd_", "cfc_")), None, "nor is it made into one");
        for at in 0..text.len() {
            let mut other = text.to_owned();
            other.replace_range(at..=at, if text.as_bytes()[at] == b'0' { "1" } else { "0" });
            assert_eq!(read(Purpose::Token, &other), None, "changed at {at}");
            assert_eq!(read(Purpose::Token, &text[..at]), None, "cut at {at}");
        }
        assert_eq!(read(Purpose::Token, &text.to_uppercase()), None);
        assert_ne!(generate(Purpose::Token).unwrap().1, proof);
    }
}
