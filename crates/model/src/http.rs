//! Connections to providers: one client that is kept for the session, and streams that are bounded in time
//! and size.

use std::{error::Error, sync::Arc, time::SystemTime};

use cofferdam_domain::{Answer, Secret};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
    redirect::Policy,
};
use tokio::time::timeout;

use crate::{
    body::Payload,
    config::RetryConfig,
    failure::{Failure, Remedy, excerpt},
    retry,
    sse::SseParser,
    wire::{Decoder, Hear},
};

/// The most bytes of an answer that are read, envelopes and all.
const MAX_ANSWER: usize = 64 << 20;
/// The most bytes of an error body that are read.
const MAX_ERROR: usize = 64 << 10;

/// One provider's address.
pub(crate) struct Endpoint {
    base: String,
    key: Option<Secret>,
    client: Option<Client>,
}

/// Why an address or a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The address is not one that can be asked.
    #[error("base_url must be an http:// or https:// address without user, query or fragment")]
    Address,
    /// The key would cross a network in the clear.
    #[error(
        "base_url is http:// on another host, and a key must not travel unencrypted: use https://, or remove key_env and key_file"
    )]
    PlainKey,
    /// The key has bytes that no HTTP header can carry.
    #[error("the key has characters that no key has (line breaks? quotes?): put in the key and nothing else")]
    Key,
}

impl Endpoint {
    /// An address to post below, with the key to send there.
    pub(crate) fn new(base: &str, key: Option<Secret>) -> Result<Self, EndpointError> {
        let url = Url::parse(base).map_err(|_| EndpointError::Address)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !bare || !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(EndpointError::Address);
        }
        if key.is_some() && url.scheme() == "http" && !is_loopback(&url) {
            return Err(EndpointError::PlainKey);
        }
        if key.is_some() && key_header("x-key", "", key.as_ref()).is_none() {
            return Err(EndpointError::Key);
        }
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key, client: None })
    }

    pub(crate) fn key(&self) -> Option<&Secret> {
        self.key.as_ref()
    }

    /// The text without the key, should a provider have sent it back.
    pub(crate) fn redacted(&self, text: String) -> String {
        match &self.key {
            Some(key) if !key.expose().is_empty() => text.replace(key.expose(), "****"),
            _ => text,
        }
    }

    /// Posts `body` and reads the answer with `decoder`.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Payload,
        reader: Reader<'_, '_>,
    ) -> Result<Answer, Failure> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(client(&self.base, reader.limits)?).clone(),
        };
        let mut request =
            client.post(format!("{}{path}", self.base)).header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let sent =
            timeout(reader.limits.first_byte_timeout(), request.body(reqwest::Body::wrap(body)).send()).await;
        let response = match sent {
            Err(_) => return Err(Failure::again("no answer within the time limit")),
            Ok(Err(error)) => return Err(broken(&self.base, error)),
            Ok(Ok(response)) => response,
        };
        if response.status().is_success() {
            reader.read(response).await
        } else {
            Err(refused(response, reader.limits).await)
        }
    }
}

/// What an answer is read with.
pub(crate) struct Reader<'a, 'h> {
    pub(crate) decoder: Box<dyn Decoder>,
    pub(crate) hear: &'a mut Hear<'h>,
    pub(crate) limits: &'a RetryConfig,
}

impl Reader<'_, '_> {
    async fn read(mut self, mut response: Response) -> Result<Answer, Failure> {
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") || kind.starts_with("text/html") {
            return Err(not_a_stream(response, self.limits).await);
        }
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        let mut size = 0;
        let mut patience = self.limits.first_byte_timeout();
        loop {
            let chunk = match timeout(patience, response.chunk()).await {
                Err(_) => return Err(Failure::again("the answer stalled")),
                Ok(Err(error)) => {
                    return Err(Failure::again(format!("the answer was cut: {}", causes(&error))));
                }
                Ok(Ok(chunk)) => chunk,
            };
            patience = self.limits.idle_timeout();
            let Some(chunk) = chunk else { break };
            size += chunk.len();
            if size > MAX_ANSWER {
                return Err(Failure::new(Remedy::Nothing, "the answer is larger than 64 MiB"));
            }
            parser.push(&chunk, &mut events).map_err(|error| Failure::again(error.to_string()))?;
            for event in events.drain(..) {
                if self.decoder.event(&event, self.hear)? {
                    drain(response).await;
                    return self.decoder.finish();
                }
            }
        }
        if let Some(event) = parser.finish().map_err(|error| Failure::again(error.to_string()))? {
            self.decoder.event(&event, self.hear)?;
        }
        self.decoder.finish()
    }
}

/// Waits a moment for the end of a stream whose answer is whole, so that the connection can serve the next
/// request.
async fn drain(mut response: Response) {
    let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
    // A connection that does not end in time is closed; nothing else depends on it.
    timeout(std::time::Duration::from_millis(100), rest).await.ok();
}

/// A header with the key, marked so that no debug output shows it. `None` without a key, or where the key
/// does not fit into a header.
pub(crate) fn key_header(
    name: &'static str,
    prefix: &str,
    key: Option<&Secret>,
) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", key?.expose())).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_static(name), value))
}

/// Whether the address is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    cofferdam_domain::loopback::is_loopback(url.host_str().unwrap_or_default())
}

/// A client for `base`. Proxies from the environment are honoured, except for this machine, which no proxy
/// can reach.
pub(crate) fn client(base: &str, limits: &RetryConfig) -> Result<Client, Failure> {
    let unusable =
        |what: &str| Failure::new(Remedy::Nothing, format!("no HTTP client could be made: {what}"));
    let url = Url::parse(base).map_err(|_| unusable("bad base_url"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(limits.connect_timeout())
        .tcp_nodelay(true)
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")));
    if is_loopback(&url) {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // Without TLS there is no need to load and keep the machine's certificates.
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| unusable("TLS versions"))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder = builder.tls_backend_preconfigured(config);
    } else {
        // Fails where it is installed already, which is as well.
        rustls::crypto::ring::default_provider().install_default().ok();
    }
    builder.build().map_err(|error| unusable(&causes(&error)))
}

/// A client for an address, made like those for providers, for whoever else talks to one.
///
/// # Errors
/// When the address cannot be asked.
pub fn http_client(address: &str) -> Result<Client, EndpointError> {
    client(address, &RetryConfig::default()).map_err(|_| EndpointError::Address)
}

async fn refused(mut response: Response, limits: &RetryConfig) -> Failure {
    let status = response.status();
    let asked = retry::asked(response.headers(), SystemTime::now());
    if status.is_redirection() {
        let place =
            response.headers().get("location").and_then(|place| place.to_str().ok()).unwrap_or("elsewhere");
        let what = format!(
            "HTTP {}: redirects to {}: set base_url to the right address",
            status.as_u16(),
            excerpt(place)
        );
        return Failure::new(Remedy::Nothing, what);
    }
    let body = bounded(&mut response, limits).await;
    let mut failure = Failure::from_response(status.as_u16(), &body);
    failure.retry_after = asked.or(failure.retry_after);
    failure
}

/// Success without an event stream: an error in disguise, or a server of another kind.
async fn not_a_stream(mut response: Response, limits: &RetryConfig) -> Failure {
    let body = bounded(&mut response, limits).await;
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(value) if value.get("error").is_some_and(|error| !error.is_null()) => Failure::from_stream(&value),
        _ => Failure::new(
            Remedy::Nothing,
            format!("HTTP {} without an event stream: is base_url right?", StatusCode::OK.as_u16()),
        ),
    }
}

async fn bounded(response: &mut Response, limits: &RetryConfig) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < MAX_ERROR {
        match timeout(limits.idle_timeout(), response.chunk()).await {
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    body.truncate(MAX_ERROR);
    body
}

fn broken(base: &str, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let what = if error.is_connect() { "cannot connect to" } else { "no answer from" };
    Failure::again(format!("{what} {base}: {}", causes(&error)))
}

/// The innermost cause, which is the one that says something.
fn causes(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    excerpt(&inner.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_keys_are_checked() {
        let key = || Some(Secret::new("sk-1"));
        let new = |base: &str, key| Endpoint::new(base, key).err();
        assert_eq!(new("https://api.example.com/v1/", key()), None);
        for local in ["http://127.0.0.1:1/v1", "http://[::1]:1", "http://localhost:1"] {
            assert_eq!(new(local, key()), None, "{local}");
        }
        assert_eq!(new("http://10.0.0.1/v1", None), None);
        assert_eq!(new("http://10.0.0.1/v1", key()), Some(EndpointError::PlainKey));
        for bad in ["ftp://x", "https://u:p@x/", "https://x/?a=b", "x", "https://x/#f", "file:///etc/passwd"]
        {
            assert_eq!(new(bad, None), Some(EndpointError::Address), "{bad}");
        }
        assert_eq!(new("https://x", Some(Secret::new("a\nb"))), Some(EndpointError::Key));
    }

    #[test]
    fn an_echoed_key_is_not_repeated() {
        let endpoint = Endpoint::new("https://x", Some(Secret::new("sk-1"))).unwrap();
        assert_eq!(endpoint.redacted("bad key sk-1".into()), "bad key ****");
    }
}
