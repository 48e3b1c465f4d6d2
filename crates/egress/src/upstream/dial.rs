//! A connection to the host itself: to an address that was judged, and to no other.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cofferdam_domain::egress::{HostName, Refusal, Scheme};
use rustls::{
    ClientConfig, RootCertStore, client::Resumption, crypto::CryptoProvider, pki_types::ServerName,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::causes;
use crate::{decide::Denied, error::EgressError, http::Site, refuse::denied};

/// How long one of several addresses may take before the next is tried.
const PER_ADDRESS: Duration = Duration::from_secs(5);
/// Hosts whose TLS sessions one door remembers.
const REMEMBERED: usize = 64;

/// Which protocols the door offers the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// HTTP/2, else HTTP/1.1.
    Both,
    /// HTTP/1.1, the only one that can become a WebSocket here.
    OnlyOne,
}

/// A connection to a host, encrypted or not.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Whether the host chose HTTP/2, and the connection.
pub(crate) struct Reached {
    pub(crate) two: bool,
    pub(crate) wire: Box<dyn Wire>,
}

/// Makes connections for one door.
pub(crate) struct Dialler {
    both: Arc<ClientConfig>,
    only_one: Arc<ClientConfig>,
    wait: Duration,
}

impl Dialler {
    pub(crate) fn new(
        provider: &Arc<CryptoProvider>,
        roots: RootCertStore,
        wait: Duration,
    ) -> Result<Self, EgressError> {
        let mut both = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(EgressError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Of this door alone, so that no host can tell that two sessions have the same worker.
        both.resumption = Resumption::in_memory_sessions(REMEMBERED);
        let mut only_one = both.clone();
        both.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        only_one.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { both: Arc::new(both), only_one: Arc::new(only_one), wait })
    }

    /// Connects to the first of these addresses that answers.
    pub(crate) async fn connect(&self, host: &HostName, judged: &[SocketAddr]) -> Result<TcpStream, Denied> {
        let mut problem = "it has no address".to_owned();
        let attempts = async {
            for address in judged {
                match timeout(PER_ADDRESS, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => {
                        // A delay that nobody asked for; without it, the connection is as good.
                        stream.set_nodelay(true).ok();
                        return Some(stream);
                    }
                    Ok(Err(error)) => problem = format!("{address}: {error}"),
                    Err(_) => problem = format!("{address} does not answer"),
                }
            }
            None
        };
        let stream = timeout(self.wait, attempts).await.ok().flatten();
        stream.ok_or_else(|| denied(Refusal::Unreachable, &format!("{host} cannot be reached: {problem}")))
    }

    /// Connects to a site and, for HTTPS, verifies that it is the one.
    pub(crate) async fn reach(
        &self,
        site: &Site,
        judged: &[SocketAddr],
        offer: Offer,
    ) -> Result<Reached, Denied> {
        let stream = self.connect(&site.host, judged).await?;
        if site.scheme == Scheme::Http {
            return Ok(Reached { two: false, wire: Box::new(stream) });
        }
        let config = match offer {
            Offer::Both => &self.both,
            Offer::OnlyOne => &self.only_one,
        };
        let failed = |what: &str| {
            denied(Refusal::Unreachable, &format!("no TLS connection to {} could be made: {what}", site.host))
        };
        let name = ServerName::try_from(site.host.as_str().to_owned()).map_err(|_| failed("its name"))?;
        let connecting = TlsConnector::from(config.clone()).connect(name, stream);
        let stream = match timeout(self.wait, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed(&causes(&error))),
            Err(_) => return Err(failed("it does not answer")),
        };
        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Reached { two, wire: Box::new(stream) })
    }
}
