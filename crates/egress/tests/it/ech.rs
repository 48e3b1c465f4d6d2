//! TLS with an encrypted ClientHello (RFC 9849): made up, as browsers do, and real.

use std::sync::Arc;

use cofferdam_domain::egress::{EgressRule, Inspection, Method, Refusal, Scheme};
use http::StatusCode;
use rustls::{
    ClientConfig, Error, RootCertStore,
    client::{EchConfig, EchGreaseConfig, EchMode},
    crypto::hpke::{
        EncapsulatedSecret, Hpke, HpkeOpener, HpkePrivateKey, HpkePublicKey, HpkeSealer, HpkeSuite,
    },
    internal::msgs::{
        enums::{HpkeAead, HpkeKdf, HpkeKem},
        handshake::HpkeSymmetricCipherSuite,
    },
    pki_types::{CertificateDer, EchConfigListBytes, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    host::{Authority, Host},
    inside::{fetch, request},
    scene::{SOON, Scene, rule},
};

const KEY: [u8; 32] = [7; 32];

/// Encrypts nothing: what matters is what is on the wire, and nobody here has a key to read that with.
#[derive(Debug)]
struct Nobodys;

impl Hpke for Nobodys {
    fn seal(
        &self,
        _: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        _: &HpkePublicKey,
    ) -> Result<(EncapsulatedSecret, Vec<u8>), Error> {
        Ok((EncapsulatedSecret(KEY.to_vec()), HpkeSealer::seal(&mut Self, aad, plaintext)?))
    }

    fn setup_sealer(
        &self,
        _: &[u8],
        _: &HpkePublicKey,
    ) -> Result<(EncapsulatedSecret, Box<dyn HpkeSealer + 'static>), Error> {
        Ok((EncapsulatedSecret(KEY.to_vec()), Box::new(Self)))
    }

    fn open(
        &self,
        _: &EncapsulatedSecret,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &HpkePrivateKey,
    ) -> Result<Vec<u8>, Error> {
        Err(Error::DecryptError)
    }

    fn setup_opener(
        &self,
        _: &EncapsulatedSecret,
        _: &[u8],
        _: &HpkePrivateKey,
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

impl HpkeSealer for Nobodys {
    fn seal(&mut self, _: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        // Garbled, and with a tag behind it.
        Ok(plaintext.iter().map(|byte| byte ^ 0x55).chain([0; 16]).collect())
    }
}

/// What a host's HTTPS record would say: that hellos for `public` may hide others.
fn list(public: &str) -> EchConfigListBytes<'static> {
    let mut config = vec![9, 0, 0x20, 0, 32];
    config.extend(KEY);
    config.extend([0, 4, 0, 1, 0, 1, 64, u8::try_from(public.len()).unwrap()]);
    config.extend(public.as_bytes());
    config.extend([0, 0]);
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let config = [&[0xfe, 0x0d][..], &length(&config), &config].concat();
    EchConfigListBytes::from([&length(&config)[..], &config].concat())
}

fn made_up() -> EchMode {
    EchMode::Grease(EchGreaseConfig::new(&Nobodys, HpkePublicKey(KEY.to_vec())))
}

fn real(public: &str) -> EchMode {
    EchMode::Enable(EchConfig::new(list(public), &[&Nobodys]).unwrap())
}

async fn start_tls(
    scene: &Scene,
    stream: TcpStream,
    host: &str,
    mode: EchMode,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&scene.bundle()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_ech(mode)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    timeout(SOON, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("it ends")
}

#[tokio::test]
async fn what_browsers_make_up_does_no_harm() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["http/1.1"]))).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Https, host.address)], &authority);
    let stream = scene.connect("a.example", 443).await;
    let stream = start_tls(&scene, stream, "a.example", made_up()).await.unwrap();
    let answer = fetch(stream, false, request("GET", "a.example", "/", false, "")).await.unwrap();
    assert_eq!((answer.status(), host.accepted()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn a_hidden_name_reaches_nobody() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["http/1.1"]))).await;
    let scene = Scene::new(vec![rule("a.example", Scheme::Https, host.address)], &authority);
    // The name that is meant is in the part that nobody can read, and the other one may pass.
    let stream = scene.connect("a.example", 443).await;
    let ended = start_tls(&scene, stream, "evil.example", real("a.example")).await;
    assert!(ended.is_err(), "the door is not whom the program wants to speak to, and says so");
    assert_eq!(host.accepted(), 0);
}

#[tokio::test]
async fn nothing_hidden_is_passed_on() {
    let authority = Authority::new();
    let host = Host::echoing(Some(authority.vouch("a.example", &["http/1.1"]))).await;
    let methods = vec![Method::GET, Method::HEAD];
    let rule = EgressRule {
        inspection: Inspection::PassThrough,
        query: false,
        body_limit: Default::default(),
        methods,
        ..rule("a.example", Scheme::Https, host.address)
    };
    let scene = Scene::new(vec![rule], &authority);
    for (name, mode) in [("evil.example", real("a.example")), ("a.example", made_up())] {
        let stream = scene.connect("a.example", 443).await;
        assert!(start_tls(&scene, stream, name, mode).await.is_err(), "{name}");
    }
    let refused = scene.log.wait_for(Refusal::Protocol).await;
    assert!(refused.reason.contains("ECH"), "{}", refused.reason);
    assert_eq!(host.accepted(), 0);
}
