//! The provider: what it says of itself, its keys, and the few questions that it is asked. Every answer is bounded in size and time, comes from
//! where only the provider can be, and from nowhere that an answer leads to (no redirects).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cofferdam_domain::Secret;
use reqwest::{Client, RequestBuilder, Response, Url, header};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    claims::Claims,
    failure::{Failure, code},
    kept::Kept,
    keys::{Keys, Signer},
    settings::{OpenIdSettings, is_private},
    token::{Expected, IdToken, Refused},
};

/// The most bytes of one answer.
pub(super) const MAX_ANSWER: usize = 256 << 10;
/// Sign-ins that ask the provider something at the same time.
const AT_ONCE: usize = 16;

/// A provider.
#[derive(Debug)]
pub(super) struct Provider {
    http: Client,
    issuer: String,
    metadata: Kept<Metadata>,
    keys: Kept<Keys>,
    slots: Semaphore,
}

/// What a provider says of itself, as far as it matters here.
#[derive(Debug)]
pub(super) struct Metadata {
    /// Where browsers are sent.
    pub(super) authorize: Url,
    /// Whether it says in each answer who it is (RFC 9207).
    pub(super) names_itself: bool,
    token: Url,
    keys: Url,
    userinfo: Option<Url>,
    /// Whether it takes the client's secret in the body alone.
    secret_in_body: bool,
}

/// The same as it is sent (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What a code is given for.
pub(super) struct Code<'a> {
    pub(super) code: &'a str,
    /// What ties it to the sign-in.
    pub(super) verifier: &'a Secret,
    /// Where the browser was sent back to.
    pub(super) back: &'a str,
}

/// What there is for a code.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: String,
    access_token: Option<String>,
}

impl Provider {
    pub(super) fn new(http: Client, issuer: String) -> Self {
        let slots = Semaphore::new(AT_ONCE);
        Self { http, issuer, metadata: Kept::default(), keys: Kept::default(), slots }
    }

    /// Takes one of the few places of those who may have it asked.
    pub(super) fn slot(&self) -> Result<SemaphorePermit<'_>, Failure> {
        self.slots.try_acquire().map_err(|_| Failure::Busy)
    }

    /// What it says of itself.
    pub(super) async fn metadata(&self, time: Duration) -> Result<Arc<Metadata>, Failure> {
        let read = async {
            let what = "description";
            let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
            let answer = answered(what, self.http.get(address).timeout(time)).await?;
            let document: Document = serde_json::from_slice(&answer)
                .map_err(|_| Failure::Malformed { what, reason: "something is missing in it" })?;
            Metadata::of(document, &self.issuer)
        };
        self.metadata.get(Instant::now(), read).await
    }

    /// Gives a code back for what it stands for.
    pub(super) async fn exchange(
        &self,
        metadata: &Metadata,
        settings: &OpenIdSettings,
        code: Code<'_>,
        time: Duration,
    ) -> Result<Tokens, Failure> {
        let what = "answer to the code";
        let request = self.exchanging(metadata, settings, &code).timeout(time);
        let answer = answered(what, request).await?;
        serde_json::from_slice(&answer)
            .map_err(|_| Failure::Malformed { what, reason: "there is no id token in it" })
    }

    fn exchanging(&self, metadata: &Metadata, settings: &OpenIdSettings, code: &Code<'_>) -> RequestBuilder {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code.code)
            .append_pair("redirect_uri", code.back)
            .append_pair("code_verifier", code.verifier.expose());
        let mut request = self.http.post(metadata.token.clone());
        match &settings.secret {
            Some(secret) if !metadata.secret_in_body => {
                // RFC 6749, section 2.3.1: both are encoded like a form before they go into the header field.
                request = request.basic_auth(encoded(&settings.client), Some(encoded(secret.expose())));
            }
            Some(secret) => {
                form.append_pair("client_id", &settings.client).append_pair("client_secret", secret.expose());
            }
            None => {
                form.append_pair("client_id", &settings.client);
            }
        }
        request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form.finish())
    }

    /// What an id token says.
    pub(super) async fn claims(
        &self,
        metadata: &Metadata,
        token: &str,
        expected: Expected<'_>,
        time: Duration,
    ) -> Result<Claims, Failure> {
        let token = IdToken::parse(token)?;
        let mut keys = self.keys.get(Instant::now(), self.read_keys(metadata, time)).await?;
        if token.signer(&keys) != Signer::Known {
            // It may have a new key.
            if let Some(newer) =
                self.keys.newer(Instant::now(), &keys, self.read_keys(metadata, time)).await?
            {
                keys = newer;
            }
        }
        Ok(token.claims(&keys, expected)?)
    }

    async fn read_keys(&self, metadata: &Metadata, time: Duration) -> Result<Keys, Failure> {
        let answer = answered("keys", self.http.get(metadata.keys.clone()).timeout(time)).await?;
        Keys::parse(&answer)
    }

    /// What else it says of this person, where the id token leaves something out (OpenID Connect Core 1.0, section 5.3).
    pub(super) async fn userinfo(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        subject: &str,
        time: Duration,
    ) -> Result<Claims, Failure> {
        let (Some(address), Some(access)) = (&metadata.userinfo, &tokens.access_token) else {
            return Ok(Claims::default());
        };
        let what = "answer about you";
        let request = self.http.get(address.clone()).timeout(time).bearer_auth(access);
        let answer = answered(what, request.header(header::ACCEPT, "application/json")).await?;
        let claims: Result<_, _> = serde_json::from_slice(&answer);
        let claims = Claims(claims.map_err(|_| Failure::Malformed { what, reason: "it is no JSON object" })?);
        // Section 5.3.2: or it may be somebody else's.
        if claims.subject() != Some(subject) {
            return Err(Refused::Subject.into());
        }
        Ok(claims)
    }
}

impl Metadata {
    fn of(document: Document, issuer: &str) -> Result<Self, Failure> {
        let what = "description";
        if document.issuer != issuer {
            return Err(Failure::Malformed {
                what,
                reason: "it names another issuer than [server.openid] does",
            });
        }
        let place = |text: &str| {
            let url = Url::parse(text).ok().filter(is_private);
            url.ok_or(Failure::Malformed { what, reason: "an address in it is not encrypted, or none" })
        };
        let methods = document.token_endpoint_auth_methods_supported;
        let takes = |method: &str| methods.as_ref().is_some_and(|all| all.iter().any(|one| one == method));
        Ok(Self {
            authorize: place(&document.authorization_endpoint)?,
            names_itself: document.authorization_response_iss_parameter_supported,
            token: place(&document.token_endpoint)?,
            keys: place(&document.jwks_uri)?,
            userinfo: document.userinfo_endpoint.as_deref().map(place).transpose()?,
            secret_in_body: takes("client_secret_post") && !takes("client_secret_basic"),
        })
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The body of a good answer.
async fn answered(what: &'static str, request: RequestBuilder) -> Result<Vec<u8>, Failure> {
    let response = request.send().await.map_err(|error| unreachable(what, &error))?;
    let status = response.status();
    let body = read(what, response).await?;
    if status.is_success() {
        return Ok(body);
    }
    let said: Option<Value> = serde_json::from_slice(&body).ok();
    let said = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or_default();
    Err(Failure::Status { what, status: status.as_u16(), code: code(said) })
}

async fn read(what: &'static str, mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(what, &error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Failure::TooLong { what });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn unreachable(what: &'static str, error: &reqwest::Error) -> Failure {
    let reason = if error.is_timeout() {
        "it takes too long"
    } else if error.is_connect() {
        "there is no connection, or no trusted one"
    } else {
        "the connection broke"
    };
    Failure::Unreachable { what, reason }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "issuer": "https://a.example",
            "authorization_endpoint": "https://a.example/authorize",
            "token_endpoint": "https://tokens.example/token",
            "jwks_uri": "https://a.example/keys",
        })
    }

    fn read(document: Value) -> Result<Metadata, Failure> {
        Metadata::of(serde_json::from_value(document).unwrap(), "https://a.example")
    }

    #[test]
    fn a_description_is_of_the_issuer_and_leads_to_private_places() {
        let metadata = read(document()).unwrap();
        assert!(!metadata.secret_in_body && !metadata.names_itself && metadata.userinfo.is_none());
        for (name, value) in [
            ("issuer", "https://a.example/"),
            ("authorization_endpoint", "http://a.example/authorize"),
            ("token_endpoint", "token"),
            ("token_endpoint", "https://u:p@a.example/"),
            ("jwks_uri", "file:///etc/passwd"),
            ("userinfo_endpoint", "http://10.0.0.1/"),
        ] {
            let mut document = document();
            document[name] = json!(value);
            assert!(matches!(read(document), Err(Failure::Malformed { .. })), "{name} {value}");
        }
        for (methods, in_body) in [
            (json!(["client_secret_post"]), true),
            (json!(["client_secret_post", "client_secret_basic"]), false),
            (json!(["private_key_jwt"]), false),
        ] {
            let mut document = document();
            document["token_endpoint_auth_methods_supported"] = methods;
            assert_eq!(read(document).unwrap().secret_in_body, in_body);
        }
    }
}
