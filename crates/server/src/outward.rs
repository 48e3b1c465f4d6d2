//! HTTP clients for the servers that this crate asks: another Cofferdam, an OpenID provider.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder, Url, redirect::Policy};

/// A client for servers like this one; `None` when there is no TLS to be had. It follows no redirect: what is sent is meant for one server.
/// Proxies from the environment are honoured, except for this machine, which no proxy can reach.
pub(crate) fn client_for(base: &Url) -> Option<ClientBuilder> {
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .tcp_nodelay(true)
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")));
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    let provider = rustls::crypto::ring::default_provider();
    if base.scheme() == "http" {
        // Without TLS there is no need for the machine's certificates.
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        return Some(builder.tls_backend_preconfigured(config));
    }
    // Fails where it is installed already, which is as well.
    provider.install_default().ok();
    Some(builder)
}

/// Whether the address is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    cofferdam_domain::loopback::is_loopback(url.host_str().unwrap_or_default())
}
