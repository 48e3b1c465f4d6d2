//! The keys that a provider signs with (RFC 7517), and what is signed by them.
//!
//! Which algorithm a key is for is decided by the key, never by what was signed: a public key is never taken for a shared secret, and
//! `none` is no algorithm.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

use super::failure::Failure;

/// The most keys that one provider has.
const MOST: usize = 64;

/// How something may be signed: with a pair of keys, of which the provider alone has the private one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3), and a key of 2048 bits at least.
    Rs256,
    /// ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).
    Es256,
    /// Ed25519 (RFC 8037, section 3.1).
    EdDsa,
}

impl Algorithm {
    /// The algorithm of this name, if it is one of those.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            // RFC 9864 gives it its own name.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A public key.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    material: Material,
}

#[derive(Debug, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Material {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(message, signature),
        };
        verified.is_ok()
    }
}

/// What is known of who signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    /// The provider.
    Known,
    /// The provider has no key of that name and kind.
    Unknown,
    /// Somebody else: it has one, and that is not the one.
    Other,
}

/// All keys of a provider that can be used here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// Reads a set of keys. Those that are for something else, or of a kind that is not used here, are passed over.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let wrong = |reason| Failure::Malformed { what: "keys", reason };
        let set: Set = serde_json::from_slice(text).map_err(|_| wrong("no set of keys"))?;
        if set.keys.len() > MOST {
            return Err(wrong("more keys than anybody has"));
        }
        Ok(Self(set.keys.into_iter().filter_map(Entry::key).collect()))
    }

    /// Who has signed this. Without the name of a key all that are of the kind are tried.
    pub(super) fn signer(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Signer {
        let named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let mut fitting =
            self.0.iter().filter(|key| key.material.algorithm() == algorithm).filter(named).peekable();
        if fitting.peek().is_none() {
            return Signer::Unknown;
        }
        if fitting.any(|key| key.material.has_signed(message, signature)) {
            Signer::Known
        } else {
            Signer::Other
        }
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Entry>,
}

/// One key as it is published (RFC 7518, section 6; RFC 8037, section 2).
#[derive(Deserialize)]
struct Entry {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Entry {
    fn key(self) -> Option<Key> {
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => Material::Rsa { n: number(self.n.as_ref()?)?, e: number(self.e.as_ref()?)? },
            ("EC", Some("P-256")) => {
                let (x, y) = (exactly_32(self.x.as_ref()?)?, exactly_32(self.y.as_ref()?)?);
                Material::P256([&[4][..], &x, &y].concat())
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(exactly_32(self.x.as_ref()?)?),
            _ => return None,
        };
        let signs = self.purpose.is_none_or(|purpose| purpose == "sig")
            && self.key_ops.is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        let fits = self.alg.is_none_or(|name| Algorithm::named(&name) == Some(material.algorithm()));
        (signs && fits).then_some(Key { id: self.kid, material })
    }
}

/// A number without the zeros before it.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}

fn exactly_32(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 8037, appendix A.4: a signature with the key of appendix A.2.
    const ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    const SIGNATURE: &str =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    /// RFC 7515, appendix A.3.
    const P256: &str = r#"{"kty":"EC","crv":"P-256","kid":"b","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const P256_SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const P256_SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    fn keys(entries: &[&str]) -> Result<Keys, Failure> {
        Keys::parse(format!(r#"{{"keys":[{}]}}"#, entries.join(",")).as_bytes())
    }

    #[test]
    fn only_the_right_key_of_the_right_kind_counts() {
        let keys = keys(&[ED25519, P256]).unwrap();
        let ask = |algorithm, id, message: &str, signature: &str| {
            let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
            keys.signer(algorithm, id, message.as_bytes(), &signature)
        };
        assert_eq!(ask(Algorithm::EdDsa, Some("a"), SIGNED, SIGNATURE), Signer::Known);
        assert_eq!(ask(Algorithm::EdDsa, None, SIGNED, SIGNATURE), Signer::Known);
        assert_eq!(ask(Algorithm::Es256, Some("b"), P256_SIGNED, P256_SIGNATURE), Signer::Known);
        assert_eq!(ask(Algorithm::EdDsa, Some("c"), SIGNED, SIGNATURE), Signer::Unknown);
        assert_eq!(ask(Algorithm::EdDsa, Some("b"), SIGNED, SIGNATURE), Signer::Unknown, "another kind");
        assert_eq!(ask(Algorithm::Rs256, None, SIGNED, SIGNATURE), Signer::Unknown);
        assert_eq!(ask(Algorithm::EdDsa, Some("a"), P256_SIGNED, SIGNATURE), Signer::Other);
        assert_eq!(ask(Algorithm::Es256, None, P256_SIGNED, SIGNATURE), Signer::Other);
    }

    #[test]
    fn keys_for_something_else_are_passed_over() {
        let changed = |from: &str, to: &str| keys(&[&P256.replace(from, to)]).unwrap();
        assert_eq!(
            changed("\"kid\"", "\"use\":\"sig\",\"alg\":\"ES256\",\"key_ops\":[\"verify\"],\"kid\"").0.len(),
            1
        );
        for (from, to) in [
            ("\"kid\"", "\"use\":\"enc\",\"kid\""),
            ("\"kid\"", "\"alg\":\"HS256\",\"kid\""),
            ("\"kid\"", "\"alg\":\"RS256\",\"kid\""),
            ("\"kid\"", "\"key_ops\":[\"sign\"],\"kid\""),
            ("P-256", "P-384"),
            ("\"EC\"", "\"oct\""),
            ("f83O", "f83"),
            ("f83O", "f8 3O"),
        ] {
            assert_eq!(changed(from, to).0, [], "{to}");
        }
        let many = vec![P256; MOST + 1];
        assert!(keys(&many).is_err());
        assert!(keys(&["{}"]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(Keys::parse(&bytes));
        }
    }
}
