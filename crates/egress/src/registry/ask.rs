//! The door's own requests to registries.

use std::{io::Read, sync::Arc};

use cofferdam_domain::egress::{Method as ReadMethod, RequestPath};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::Registry;
use crate::{
    credential::{CredentialProblem, Credentials},
    decide::{Body, Request},
    fetch::{Answer, Ask, Fetch, FetchProblem},
    meter::Meter,
    upstream::Resolver,
};

/// Asks registries, with the credentials that belong to them.
pub(crate) struct Asker {
    credentials: Credentials,
    fetch: Fetch,
    resolver: Resolver,
}

/// Why a registry gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskProblem {
    #[error(transparent)]
    Fetch(#[from] FetchProblem),
    #[error(transparent)]
    Credential(#[from] CredentialProblem),
}

impl Asker {
    pub(crate) fn new(credentials: Credentials, tls: Arc<rustls::ClientConfig>, resolver: Resolver) -> Self {
        Self { credentials, fetch: Fetch::new(tls), resolver }
    }

    /// Reads a path of a registry, of whose answer so many bytes are taken.
    pub(super) async fn ask(
        &self,
        registry: &Registry,
        method: Method,
        path: &RequestPath,
        accept: &'static str,
        limit: usize,
    ) -> Result<Answer, AskProblem> {
        let ask = self.prepare(registry, method, path, accept, limit).await?;
        Ok(self.fetch.limited_to(&registry.addresses, self.resolver).send_plain(ask).await?)
    }

    /// Reads a path of a registry while it comes, so that its length is not in memory. Its bytes count.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        registry: &Registry,
        ask: (&RequestPath, &'static str, usize),
        meter: Option<Arc<Meter>>,
        read: impl FnOnce(&mut dyn Read) -> T + Send + 'static,
    ) -> Result<(StatusCode, Option<T>), AskProblem> {
        let (path, accept, limit) = ask;
        let ask = self.prepare(registry, Method::GET, path, accept, limit).await?;
        Ok(self.fetch.limited_to(&registry.addresses, self.resolver).read_plain(ask, meter, read).await?)
    }

    async fn prepare(
        &self,
        registry: &Registry,
        method: Method,
        path: &RequestPath,
        accept: &'static str,
        limit: usize,
    ) -> Result<Ask, AskProblem> {
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        if let Some(credential) = &registry.credential {
            let read = if method == Method::HEAD { ReadMethod::HEAD } else { ReadMethod::GET };
            let request = Request {
                scheme: registry.scheme,
                host: &registry.host,
                port: registry.port,
                method: &read,
                path,
                query: None,
                body: Body::None,
                upgrade: false,
            };
            let injection = self.credentials.for_request(credential, &request).await?;
            headers.insert(injection.header, injection.value);
        }
        let url = format!("{}{}", registry.origin(), path.as_str());
        Ok(Ask { method, url, headers, body: None, limit })
    }
}
