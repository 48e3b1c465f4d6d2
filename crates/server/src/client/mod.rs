//! The API from the other side: what the command line asks a server with.

mod error;
mod follow;
mod pieces;

use std::time::Duration;

use cofferdam_domain::{Secret, SessionId};
use reqwest::{Method, RequestBuilder, Response, Url, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use error::ClientError;

use crate::{Act, api::BASE, cursor, outward};

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 256 << 20;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may be silent while it answers. Live streams say more often that they are there.
const SILENCE: Duration = Duration::from_secs(90);

/// Asks a server for what a token may do.
#[derive(Debug, Clone)]
pub struct Client {
    base: Url,
    token: Secret,
    http: reqwest::Client,
}

impl Client {
    /// A client of the server at `address`: `https://…`, or `http://…` on this machine.
    ///
    /// # Errors
    /// When the address is none, or the token would travel unencrypted.
    pub fn new(address: &str, token: Secret) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address { address: address.chars().take(200).collect() };
        let base = Url::parse(address).map_err(|_| wrong())?;
        let bare = base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none()
            && base.path() == "/";
        if !bare || !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(wrong());
        }
        if base.scheme() == "http" && !outward::is_loopback(&base) {
            return Err(ClientError::Plain { address: base.to_string() });
        }
        let http = outward::client_for(&base)
            .ok_or_else(wrong)?
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|source| ClientError::Unreachable { address: base.to_string(), source })?;
        Ok(Self { base, token, http })
    }

    /// The server's address, for people.
    #[must_use]
    pub fn address(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Asks for something. `path` begins after the API's own, with a slash.
    ///
    /// # Errors
    /// When it cannot be had, with the server's own words.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let bytes = self.get_bytes(path).await?;
        serde_json::from_slice(&bytes)
            .map_err(|source| ClientError::Strange { address: self.address(), source })
    }

    /// Asks for bytes.
    ///
    /// # Errors
    /// When they cannot be had, with the server's own words.
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        self.read(response).await
    }

    /// Has something done.
    ///
    /// # Errors
    /// When it is not done, with the server's own words.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ClientError> {
        let mut request = self.request(Method::POST, path)?;
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let bytes = self.read(self.send(request).await?).await?;
        serde_json::from_slice(&bytes)
            .map_err(|source| ClientError::Strange { address: self.address(), source })
    }

    /// Has something put in its place, as often as it is asked for.
    ///
    /// # Errors
    /// When it is not put there, with the server's own words.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ClientError> {
        let request = self.request(Method::PUT, path)?.header(header::CONTENT_TYPE, "application/json");
        let bytes = self.read(self.send(request.body(body.to_string())).await?).await?;
        serde_json::from_slice(&bytes)
            .map_err(|source| ClientError::Strange { address: self.address(), source })
    }

    /// Has something removed.
    ///
    /// # Errors
    /// When it is not removed, with the server's own words.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(self.request(Method::DELETE, path)?).await.map(drop)
    }

    /// Has something made, once, however often it has to be asked for.
    ///
    /// # Errors
    /// When it is not made, with the server's own words.
    pub async fn create<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, ClientError> {
        const TRIES: u32 = 4;
        let key = SessionId::generate().to_string();
        let mut tried = 0;
        loop {
            let request = self.request(Method::POST, path)?.header(header::CONTENT_TYPE, "application/json");
            let request = request.header("idempotency-key", &key).body(body.to_string());
            let answer = match self.send(request).await {
                Ok(response) => self.read(response).await,
                Err(error) => Err(error),
            };
            tried += 1;
            match answer {
                Ok(bytes) => {
                    return serde_json::from_slice(&bytes)
                        .map_err(|source| ClientError::Strange { address: self.address(), source });
                }
                Err(error) if error.is_passing() && tried < TRIES => {
                    tokio::time::sleep(Duration::from_millis(250) * 4_u32.pow(tried - 1)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Has one thing done with a session.
    ///
    /// # Errors
    /// When it is not done, with the server's own words.
    pub async fn act(&self, session: SessionId, act: &Act) -> Result<(), ClientError> {
        let (path, body) = act.route();
        self.post::<Value>(&format!("/sessions/{session}/{path}"), body.as_ref()).await.map(drop)
    }

    /// What stands for "after this session" in a list.
    #[must_use]
    pub fn cursor(session: SessionId) -> String {
        cursor::after(session)
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, ClientError> {
        let url = self
            .base
            .join(&format!("{BASE}{path}"))
            .map_err(|_| ClientError::Address { address: path.chars().take(200).collect() })?;
        Ok(self.http.request(method, url).bearer_auth(self.token.expose()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let unreachable = |source: reqwest::Error| ClientError::Unreachable {
            address: self.address(),
            source: source.without_url(),
        };
        let response = request.send().await.map_err(unreachable)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = self.read(response).await.unwrap_or_default();
        let problem = serde_json::from_slice::<Value>(&body).ok();
        let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
        let detail = detail
            .map_or_else(|| "it gives no reason".to_owned(), |detail| detail.chars().take(1000).collect());
        Err(ClientError::Refused { address: self.address(), status, detail })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|source| ClientError::Unreachable {
                address: self.address(),
                source: source.without_url(),
            })?;
            let Some(chunk) = chunk else { return Ok(bytes) };
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(ClientError::TooMuch { address: self.address(), limit: MAX_ANSWER });
            }
            bytes.extend_from_slice(&chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_do_not_travel_unencrypted() {
        let new = |address: &str| Client::new(address, Secret::new("cfd_1"));
        for good in
            ["https://cofferdam.example", "http://127.0.0.1:1", "http://localhost:1/", "http://[::1]:1"]
        {
            assert!(new(good).is_ok(), "{good}");
        }
        assert!(matches!(new("http://cofferdam.example"), Err(ClientError::Plain { .. })));
        for bad in ["", "x", "ftp://x", "https://u:p@x/", "https://x/?a", "https://x/y", "https://x/#f"] {
            assert!(matches!(new(bad), Err(ClientError::Address { .. })), "{bad}");
        }
        let client = new("https://cofferdam.example").unwrap();
        assert!(!format!("{client:?}").contains("cfd_1"));
    }
}
