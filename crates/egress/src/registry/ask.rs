//! The door's own requests to registries.

use std::sync::Arc;

use cofferdam_domain::egress::{Method as ReadMethod, RequestPath};
use http::{HeaderMap, HeaderValue, Method, header};

use super::Registry;
use crate::{
    credential::{CredentialProblem, Credentials},
    decide::{Body, Request},
    fetch::{Answer, Ask, Fetch, FetchProblem},
};

/// Asks registries, with the credentials that belong to them.
pub(super) struct Asker {
    credentials: Credentials,
    fetch: Fetch,
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
    pub(super) fn new(credentials: Credentials, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { credentials, fetch: Fetch::new(tls) }
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
        let ask = Ask { method, url, headers, body: None, limit };
        Ok(self.fetch.limited_to(&registry.addresses).send_plain(ask).await?)
    }
}
