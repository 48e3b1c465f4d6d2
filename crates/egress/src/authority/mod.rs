//! The session's own certificate authority: ends the TLS of programs inside, so that the door can read what they say.
//!
//! Its key exists in memory only and signs for nobody but this session's sandboxes, which are the only ones to
//! trust it. All leaves have one key of their own; a host's leaf is made when first needed and kept.

mod java;
mod leaves;
mod trust;

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use cofferdam_domain::egress::HostName;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub(crate) use self::leaves::Leaves;
pub(crate) use self::trust::trust;
pub use self::trust::{Place, Trust, TrustFile};
use crate::error::EgressError;

/// Clocks inside are the host's; this much is for a suspended machine and for rounding.
const BEFORE: Duration = Duration::from_hours(1);
/// A session ends long before.
const LIFETIME: Duration = Duration::from_hours(48);

/// A certificate authority that lives as long as its session.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// The key of every leaf.
    key: KeyPair,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Result<Self, EgressError> {
        let key = KeyPair::generate().map_err(EgressError::Authority)?;
        let mut params = params()?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::OrganizationName, "Cofferdam");
        // Two sessions' authorities have different names, so that no program takes one for the other.
        let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        let name = format!("Cofferdam session {}", hex::encode(serial.get(..6).unwrap_or_default()));
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).map_err(EgressError::Authority)?.der().clone();
        let leaf_key = KeyPair::generate().map_err(EgressError::Authority)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key), key: leaf_key })
    }

    /// The authority's certificate.
    pub(crate) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for this host, to be used with [`Self::leaf_key`].
    pub(crate) fn leaf(&self, host: &HostName) -> Result<CertificateDer<'static>, EgressError> {
        let mut params = params()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Browsers and RFC 9525 look at nothing else; a common name has 64 characters at most.
        params.subject_alt_names =
            vec![SanType::DnsName(host.as_str().try_into().map_err(EgressError::Authority)?)];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&self.key, &self.issuer).map_err(EgressError::Authority)?;
        Ok(certificate.der().clone())
    }

    /// The digest of the key of every leaf, as browsers are told which one they may trust: SHA-256 of its SubjectPublicKeyInfo, in base64.
    pub(crate) fn leaf_digest(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.key.subject_public_key_info());
        base64::engine::general_purpose::STANDARD.encode(digest)
    }

    /// The key of every leaf.
    pub(crate) fn leaf_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// What all certificates have in common: a random serial number and a short life (RFC 5280, sections 4.1.2.2 and 4.1.2.5).
fn params() -> Result<CertificateParams, EgressError> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| EgressError::Random)?;
    // Positive, and as long as it looks.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + LIFETIME).into();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}
