//! A ClientHello with an encrypted part (RFC 9849), real or made up, of which nobody has the key.

use rustls::{
    Error,
    client::{EchConfig, EchGreaseConfig, EchMode},
    crypto::hpke::{
        EncapsulatedSecret, Hpke, HpkeOpener, HpkePrivateKey, HpkePublicKey, HpkeSealer, HpkeSuite,
    },
    internal::msgs::{
        enums::{HpkeAead, HpkeKdf, HpkeKem},
        handshake::HpkeSymmetricCipherSuite,
    },
    pki_types::EchConfigListBytes,
};

/// For `--ech`: nothing is hidden, and it looks as if something were.
pub(super) const MADE_UP: &str = "made-up";
/// A key on X25519.
const KEY: [u8; 32] = [7; 32];

/// How to hide another name behind `public`, or to look like it.
pub(super) fn mode(hidden: &str, public: &str) -> Result<EchMode, Error> {
    if hidden == MADE_UP {
        return Ok(EchMode::Grease(EchGreaseConfig::new(&Keyless, HpkePublicKey(KEY.to_vec()))));
    }
    EchConfig::new(configuration(public), &[&Keyless]).map(EchMode::Enable)
}

/// What a record of the name system would say: one configuration, for hellos that show `public`.
fn configuration(public: &str) -> EchConfigListBytes<'static> {
    // An id, the key, one suite, the length that names are made to look like.
    let mut content = vec![9, 0, 0x20, 0, 32];
    content.extend(KEY);
    content.extend([0, 4, 0, 1, 0, 1, 64, u8::try_from(public.len()).unwrap_or(u8::MAX)]);
    content.extend(public.as_bytes());
    content.extend([0, 0]);
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    let one = [&[0xfe, 0x0d][..], &length(&content), &content].concat();
    EchConfigListBytes::from([&length(&one)[..], &one].concat())
}

/// Garbles instead of encrypting: on the wire it is the same to whoever has no key.
#[derive(Debug)]
struct Keyless;

impl Hpke for Keyless {
    fn seal(
        &self,
        _info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        _key: &HpkePublicKey,
    ) -> Result<(EncapsulatedSecret, Vec<u8>), Error> {
        Ok((EncapsulatedSecret(KEY.to_vec()), HpkeSealer::seal(&mut Self, aad, plaintext)?))
    }

    fn setup_sealer(
        &self,
        _info: &[u8],
        _key: &HpkePublicKey,
    ) -> Result<(EncapsulatedSecret, Box<dyn HpkeSealer + 'static>), Error> {
        Ok((EncapsulatedSecret(KEY.to_vec()), Box::new(Self)))
    }

    fn open(
        &self,
        _secret: &EncapsulatedSecret,
        _info: &[u8],
        _aad: &[u8],
        _ciphertext: &[u8],
        _key: &HpkePrivateKey,
    ) -> Result<Vec<u8>, Error> {
        Err(Error::DecryptError)
    }

    fn setup_opener(
        &self,
        _secret: &EncapsulatedSecret,
        _info: &[u8],
        _key: &HpkePrivateKey,
    ) -> Result<Box<dyn HpkeOpener + 'static>, Error> {
        Err(Error::DecryptError)
    }

    fn generate_key_pair(&self) -> Result<(HpkePublicKey, HpkePrivateKey), Error> {
        Ok((HpkePublicKey(KEY.to_vec()), KEY.to_vec().into()))
    }

    fn suite(&self) -> HpkeSuite {
        HpkeSuite {
            kem: HpkeKem::DHKEM_X25519_HKDF_SHA256,
            sym: HpkeSymmetricCipherSuite { kdf_id: HpkeKdf::HKDF_SHA256, aead_id: HpkeAead::AES_128_GCM },
        }
    }
}

impl HpkeSealer for Keyless {
    fn seal(&mut self, _aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(plaintext.iter().map(|byte| byte ^ 0x55).chain([0; 16]).collect())
    }
}
