//! The leaves that a session's authority has signed, each with the TLS that is spoken in its name.

use std::sync::{Arc, Mutex, PoisonError};

use cofferdam_domain::egress::HostName;
use rustls::{ServerConfig, crypto::CryptoProvider, server::ServerSessionMemoryCache};

use super::Authority;
use crate::error::EgressError;

/// Hosts whose leaves are kept. A new one costs a signature.
const MOST: usize = 128;

/// What a door shows to the programs inside, by host.
pub(crate) struct Leaves {
    authority: Authority,
    provider: Arc<CryptoProvider>,
    /// The one used last is at the end.
    kept: Mutex<Vec<(HostName, Arc<ServerConfig>)>>,
}

impl Leaves {
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Result<Self, EgressError> {
        Ok(Self { authority: Authority::new()?, provider, kept: Mutex::default() })
    }

    pub(crate) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// TLS in the name of this host.
    pub(crate) fn for_host(&self, host: &HostName) -> Result<Arc<ServerConfig>, EgressError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = kept.iter().rposition(|(name, _)| name == host) {
            let entry = kept.remove(place);
            let config = entry.1.clone();
            kept.push(entry);
            return Ok(config);
        }
        let config = Arc::new(self.speak_as(host)?);
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push((host.clone(), config.clone()));
        Ok(config)
    }

    fn speak_as(&self, host: &HostName) -> Result<ServerConfig, EgressError> {
        let leaf = self.authority.leaf(host)?;
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(EgressError::Tls)?
            .with_no_client_auth()
            .with_single_cert(vec![leaf], self.authority.leaf_key())
            .map_err(EgressError::Tls)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sessions are resumed within one host only, since each has a store of its own; nothing is said early (0-RTT),
        // because what is said early can be said twice.
        config.session_storage = ServerSessionMemoryCache::new(64);
        config.send_tls13_tickets = 1;
        config.max_early_data_size = 0;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_kept_and_the_oldest_goes() {
        let leaves = Leaves::new(Arc::new(rustls::crypto::ring::default_provider())).unwrap();
        let host = |number: usize| format!("h{number}.example").parse::<HostName>().unwrap();
        let first = leaves.for_host(&host(0)).unwrap();
        let second = leaves.for_host(&host(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &leaves.for_host(&host(0)).unwrap()));
        for number in 2..=MOST {
            leaves.for_host(&host(number)).unwrap();
        }
        assert!(Arc::ptr_eq(&first, &leaves.for_host(&host(0)).unwrap()), "it was used after the second");
        assert!(!Arc::ptr_eq(&second, &leaves.for_host(&host(1)).unwrap()));
        assert_eq!(leaves.kept.lock().unwrap().len(), MOST);
    }
}
