//! The few methods of Slack's Web API that are asked for.
//!
//! Sources: [Using the Web API], [Rate limits], and the page of each method under [Methods]. Arguments are sent as a form, which every method
//! takes; the token goes into the header and nowhere else, and nothing is followed that leads away.
//!
//! [Using the Web API]: https://docs.slack.dev/apis/web-api/
//! [Rate limits]: https://docs.slack.dev/apis/web-api/rate-limits
//! [Methods]: https://docs.slack.dev/reference/methods

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cofferdam_domain::{Secret, Timestamp};
use futures_util::StreamExt as _;
use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url, form_urlencoded::Serializer};

use super::SlackError;
use crate::teller::now;

/// Where Slack is.
pub const SLACK: &str = "https://slack.com/api/";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of an answer.
const LARGEST: usize = 4 << 20;
/// The longest time that Slack may ask to be left alone.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);
/// How long it is left alone where it asks for that and does not say how long.
const USUAL_REST: Duration = Duration::from_secs(30);

/// A workspace of Slack, as an app of it.
#[derive(Clone)]
pub struct Slack {
    name: String,
    api: Url,
    client: Client,
    token: Secret,
    /// Until when it is not to be asked, which every clone knows.
    rest: Arc<Mutex<Timestamp>>,
}

impl std::fmt::Debug for Slack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slack")
            .field("name", &self.name)
            .field("api", &self.api.as_str())
            .finish_non_exhaustive()
    }
}

impl Slack {
    /// The workspace that a token is for. `plain_http` permits an address without encryption on this machine.
    ///
    /// # Errors
    /// When the address is none that a token may be sent to, in words.
    pub fn new(name: &str, api: &str, token: Secret, plain_http: bool) -> Result<Self, String> {
        let mut api = Url::parse(api).map_err(|error| format!("`api` is no address: {error}"))?;
        let here = match api.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(_)) | None => false,
        };
        match api.scheme() {
            "https" => {}
            "http" if plain_http && here => {}
            "http" if plain_http => {
                return Err("`plain_http` is for an address of this machine alone".to_owned());
            }
            _ => return Err("`api` begins with https://".to_owned()),
        }
        let bare = api.username().is_empty() && api.password().is_none();
        if !bare || api.query().is_some() || api.fragment().is_some() {
            return Err("`api` has no user, query or fragment".to_owned());
        }
        if !api.path().ends_with('/') {
            api.set_path(&format!("{}/", api.path()));
        }
        // Fails where it is installed already, which is as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = Client::builder()
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .pool_max_idle_per_host(2)
            .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client could be made: {error}"))?;
        Ok(Self { name: name.to_owned(), api, client, token, rest: Arc::new(Mutex::new(Timestamp(0))) })
    }

    /// What it is called in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its API is.
    #[must_use]
    pub const fn api(&self) -> &Url {
        &self.api
    }

    /// Asks for something with the app's own token.
    pub(super) async fn call(
        &self,
        method: &'static str,
        arguments: &[(&str, &str)],
    ) -> Result<Said, SlackError> {
        self.call_with(&self.token, method, arguments).await
    }

    /// Asks for something with a token.
    pub(super) async fn call_with(
        &self,
        token: &Secret,
        method: &'static str,
        arguments: &[(&str, &str)],
    ) -> Result<Said, SlackError> {
        let until = *self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if until > now() {
            return Err(self.for_now(method, "it asks to be left alone", Some(until)));
        }
        let url = self.api.join(method).map_err(|_| self.malformed(method))?;
        let form = Serializer::new(String::new()).extend_pairs(arguments).finish();
        let sent = self
            .client
            .post(url)
            .bearer_auth(token.expose())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await;
        let answer = sent.map_err(|error| {
            let why = if error.is_timeout() { "it does not answer in time" } else { "it cannot be reached" };
            self.for_now(method, why, None)
        })?;
        self.read(method, answer).await
    }

    async fn read(&self, method: &'static str, answer: Response) -> Result<Said, SlackError> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.rested(method, &headers));
        }
        if status.is_server_error() {
            return Err(self.for_now(method, &format!("it answers {}", status.as_u16()), None));
        }
        let mut body = Vec::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| self.for_now(method, "its answer did not arrive whole", None))?;
            if body.len() + piece.len() > LARGEST {
                return Err(self.malformed(method));
            }
            body.extend_from_slice(&piece);
        }
        let value: Value = serde_json::from_slice(&body).map_err(|_| self.malformed(method))?;
        match value.get("ok").and_then(Value::as_bool) {
            Some(true) => Ok(Said { slack: self.name.clone(), method, value, headers }),
            Some(false) if value.get("error").is_some_and(|error| error == "ratelimited") => {
                Err(self.rested(method, &headers))
            }
            Some(false) => Err(SlackError::said(&self.name, method, &value)),
            None => Err(self.malformed(method)),
        }
    }

    /// Nothing is asked of it until it may be again.
    fn rested(&self, method: &'static str, headers: &HeaderMap) -> SlackError {
        let asked =
            headers.get(RETRY_AFTER).and_then(|text| text.to_str().ok()).and_then(|text| text.parse().ok());
        let rest = asked.map_or(USUAL_REST, Duration::from_secs).min(LONGEST_REST);
        let until = Timestamp(now().0.saturating_add(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX)));
        let mut known = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        *known = until.max(*known);
        self.for_now(method, "it was asked too often", Some(until))
    }

    pub(super) fn for_now(&self, method: &'static str, why: &str, again: Option<Timestamp>) -> SlackError {
        SlackError::ForNow { slack: self.name.clone(), method, reason: why.to_owned(), again }
    }

    pub(super) fn malformed(&self, method: &'static str) -> SlackError {
        SlackError::Malformed { slack: self.name.clone(), method }
    }
}

/// An answer that is well.
pub(super) struct Said {
    slack: String,
    method: &'static str,
    value: Value,
    pub(super) headers: HeaderMap,
}

impl Said {
    /// The answer as what it is documented to be.
    pub(super) fn documented<T: DeserializeOwned>(self) -> Result<T, SlackError> {
        let Self { slack, method, value, headers: _ } = self;
        serde_json::from_value(value).map_err(|_| SlackError::Malformed { slack, method })
    }
}
