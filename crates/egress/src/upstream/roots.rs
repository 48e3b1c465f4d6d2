//! Whom the door believes outside: the roots that the host trusts, and those that a company adds.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::error::EgressError;

/// Which root certificates verify the hosts outside.
#[derive(Debug, Clone)]
pub struct Roots {
    /// Those that this host trusts.
    pub host: bool,
    /// More of them, in PEM form.
    pub extra: Vec<u8>,
}

impl Default for Roots {
    fn default() -> Self {
        Self { host: true, extra: Vec::new() }
    }
}

/// The certificates themselves, and the store that verifies by them.
pub(crate) struct Trusted {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) store: RootCertStore,
}

impl Roots {
    /// Reads them. None at all is a mistake only where HTTPS is wanted, so the store may be empty.
    pub(crate) fn load(&self) -> Result<Trusted, EgressError> {
        let mut certificates = Vec::new();
        if self.host {
            // Files that cannot be read are as good as absent: what they would have verified fails, and says so.
            certificates = rustls_native_certs::load_native_certs().certs;
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.iter().cloned());
        if self.host && store.is_empty() && self.extra.is_empty() {
            return Err(EgressError::NoRoots);
        }
        let extra: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.extra).collect();
        for certificate in extra.map_err(|_| EgressError::ExtraRoots)? {
            store.add(certificate.clone()).map_err(|_| EgressError::ExtraRoots)?;
            certificates.push(certificate);
        }
        Ok(Trusted { certificates, store })
    }
}
