//! Id tokens (OpenID Connect Core 1.0, section 2): signed claims, believed only after everything about them has been looked at (section 3.1.3.7).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::{
    claims::Claims,
    keys::{Algorithm, Keys, Signer},
};

/// The longest id token, in bytes: some have hundreds of groups.
const MAX_TOKEN: usize = 128 << 10;
/// Seconds by which clocks may differ.
const SKEW: u64 = 60;

/// Why an id token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it has not the form of one")]
    Form,
    #[error("it is not signed as RS256, ES256 or EdDSA")]
    Algorithm,
    #[error("it is of another kind")]
    Kind,
    #[error("it needs something to be understood that is not known here")]
    Critical,
    #[error("it is signed by a key that the provider does not have")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is from another issuer")]
    Issuer,
    #[error("it is for somebody else")]
    Audience,
    #[error("it was made for another client")]
    Party,
    #[error("it has expired")]
    Expired,
    #[error("it is from the future")]
    Early,
    #[error("it is older than this sign-in")]
    Old,
    #[error("it belongs to another sign-in")]
    Nonce,
    #[error("it does not say whom it is about")]
    Subject,
}

/// What an id token must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    pub(super) nonce: &'a str,
    /// When the sign-in began, in seconds.
    pub(super) begun: u64,
    /// The time, in seconds.
    pub(super) now: u64,
}

/// An id token of which nothing is believed yet.
pub(super) struct IdToken<'t> {
    algorithm: Algorithm,
    key: Option<String>,
    /// What is signed.
    message: &'t str,
    payload: &'t str,
    signature: Vec<u8>,
}

/// The parts of a header that mean something here (RFC 7515, section 4.1). Keys that a token brings along are not looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

impl<'t> IdToken<'t> {
    /// Takes one apart.
    pub(super) fn parse(text: &'t str) -> Result<Self, Refused> {
        if text.len() > MAX_TOKEN {
            return Err(Refused::Form);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Refused::Form)?;
        let (header, payload) = message.split_once('.').ok_or(Refused::Form)?;
        if payload.contains('.') {
            return Err(Refused::Form);
        }
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Form);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refused::Form)?;
        if header.crit.is_some() {
            return Err(Refused::Critical);
        }
        if !header.typ.is_none_or(|kind| kind.eq_ignore_ascii_case("JWT")) {
            return Err(Refused::Kind);
        }
        let algorithm = Algorithm::named(&header.alg).ok_or(Refused::Algorithm)?;
        Ok(Self { algorithm, key: header.kid, message, payload, signature: decode(signature)? })
    }

    /// Who has signed it.
    pub(super) fn signer(&self, keys: &Keys) -> Signer {
        keys.signer(self.algorithm, self.key.as_deref(), self.message.as_bytes(), &self.signature)
    }

    /// What it says, if one of these keys has signed it and it is for this sign-in.
    pub(super) fn claims(&self, keys: &Keys, expected: Expected<'_>) -> Result<Claims, Refused> {
        match self.signer(keys) {
            Signer::Known => {}
            Signer::Unknown => return Err(Refused::UnknownKey),
            Signer::Other => return Err(Refused::Signature),
        }
        let payload = BASE64_URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| Refused::Form)?;
        let claims = Claims(serde_json::from_slice(&payload).map_err(|_| Refused::Form)?);
        check(&claims, expected)?;
        Ok(claims)
    }
}

fn check(claims: &Claims, expected: Expected<'_>) -> Result<(), Refused> {
    if claims.text("iss") != Some(expected.issuer) {
        return Err(Refused::Issuer);
    }
    let party = claims.0.get("azp");
    let alone = match claims.0.get("aud") {
        Some(Value::String(audience)) if audience == expected.client => true,
        Some(Value::Array(all)) if all.iter().any(|one| one == expected.client) => all.len() == 1,
        Some(_) | None => return Err(Refused::Audience),
    };
    match party {
        Some(party) if party == expected.client => {}
        None if alone => {}
        Some(_) | None => return Err(Refused::Party),
    }
    if claims.seconds("exp").is_none_or(|until| until.saturating_add(SKEW) <= expected.now) {
        return Err(Refused::Expired);
    }
    let made = claims.seconds("iat").ok_or(Refused::Form)?;
    let from = if claims.0.contains_key("nbf") { claims.seconds("nbf").ok_or(Refused::Form)? } else { made };
    if made.max(from) > expected.now.saturating_add(SKEW) {
        return Err(Refused::Early);
    }
    if made.saturating_add(SKEW) < expected.begun {
        return Err(Refused::Old);
    }
    if claims.text("nonce") != Some(expected.nonce) {
        return Err(Refused::Nonce);
    }
    claims.subject().map(drop).ok_or(Refused::Subject)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    const EXPECTED: Expected<'_> =
        Expected { issuer: "https://a.example", client: "us", nonce: "n", begun: 1000, now: 1100 };

    fn good() -> Value {
        json!({ "iss": "https://a.example", "aud": "us", "sub": "1", "exp": 2000, "iat": 1090, "nonce": "n" })
    }

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn keys() -> Keys {
        let x = BASE64_URL_SAFE_NO_PAD.encode(pair().public_key());
        Keys::parse(format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#).as_bytes())
            .unwrap()
    }

    fn signed(header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(pair().sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn judge(header: &Value, claims: &Value) -> Result<Claims, Refused> {
        let token = signed(header, claims);
        IdToken::parse(&token)?.claims(&keys(), EXPECTED)
    }

    fn header() -> Value {
        json!({ "alg": "EdDSA", "kid": "k" })
    }

    #[test]
    fn what_is_as_it_must_be_is_believed() {
        assert_eq!(judge(&header(), &good()).unwrap().subject(), Some("1"));
        for (name, value) in [
            ("aud", json!(["us"])),
            ("azp", json!("us")),
            ("exp", json!(1041)),
            ("iat", json!(1160)),
            ("iat", json!(940)),
            ("nbf", json!(1160)),
        ] {
            let mut claims = good();
            claims[name] = value;
            assert!(judge(&header(), &claims).is_ok(), "{claims}");
        }
        let mut several = good();
        (several["aud"], several["azp"]) = (json!(["them", "us"]), json!("us"));
        assert!(judge(&header(), &several).is_ok());
    }

    #[test]
    fn what_is_not_is_refused() {
        for (name, value, why) in [
            ("iss", json!("https://a.example/"), Refused::Issuer),
            ("iss", Value::Null, Refused::Issuer),
            ("aud", json!("them"), Refused::Audience),
            ("aud", json!([]), Refused::Audience),
            ("aud", Value::Null, Refused::Audience),
            ("aud", json!(["us", "them"]), Refused::Party),
            ("azp", json!("them"), Refused::Party),
            ("azp", Value::Null, Refused::Party),
            ("exp", json!(1040), Refused::Expired),
            ("exp", json!("2000"), Refused::Expired),
            ("iat", json!("1090"), Refused::Form),
            ("iat", json!(1161), Refused::Early),
            ("iat", json!(939), Refused::Old),
            ("nbf", json!(1161), Refused::Early),
            ("nbf", json!("x"), Refused::Form),
            ("nonce", json!("m"), Refused::Nonce),
            ("nonce", Value::Null, Refused::Nonce),
            ("sub", json!(""), Refused::Subject),
        ] {
            let mut claims = good();
            claims[name] = value;
            assert_eq!(judge(&header(), &claims), Err(why), "{claims}");
        }
        for missing in ["iss", "aud", "exp", "iat", "nonce", "sub"] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(missing);
            assert!(judge(&header(), &claims).is_err(), "without {missing}");
        }
    }

    #[test]
    fn headers_decide_nothing() {
        for (header, why) in [
            (json!({ "alg": "none" }), Refused::Algorithm),
            (json!({ "alg": "HS256", "kid": "k" }), Refused::Algorithm),
            (json!({ "alg": "eddsa", "kid": "k" }), Refused::Algorithm),
            (json!({ "alg": "RS256", "kid": "k" }), Refused::UnknownKey),
            (json!({ "alg": "EdDSA", "kid": "other" }), Refused::UnknownKey),
            (json!({ "alg": "EdDSA", "kid": "k", "crit": ["exp"] }), Refused::Critical),
            (json!({ "alg": "EdDSA", "kid": "k", "typ": "logout+jwt" }), Refused::Kind),
            (json!({ "kid": "k" }), Refused::Form),
        ] {
            assert_eq!(judge(&header, &good()), Err(why), "{header}");
        }
        // A key that the token brings along is nobody's.
        let x = BASE64_URL_SAFE_NO_PAD.encode([0; 32]);
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        assert!(judge(&json!({ "alg": "EdDSA", "jwk": jwk, "typ": "JWT" }), &good()).is_ok());
    }

    #[test]
    fn every_byte_counts() {
        let token = signed(&header(), &good());
        for at in 0..token.len() {
            let mut other = token.clone();
            other.replace_range(at..=at, if token.as_bytes()[at] == b'A' { "B" } else { "A" });
            let judged = IdToken::parse(&other).and_then(|token| token.claims(&keys(), EXPECTED));
            assert!(judged.is_err(), "changed at {at}");
        }
        for form in
            ["", ".", "..", "a.b", "e30.e30.e30", "e30.e30.", &format!("{token}."), &format!(".{token}")]
        {
            assert!(IdToken::parse(form).is_err(), "{form}");
        }
        assert!(IdToken::parse(&format!("{token}{}", "A".repeat(MAX_TOKEN))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_a_surprise(text in "[A-Za-z0-9_.=-]{0,200}") {
            if let Ok(token) = IdToken::parse(&text) {
                prop_assert!(token.claims(&keys(), EXPECTED).is_err());
            }
        }
    }
}
