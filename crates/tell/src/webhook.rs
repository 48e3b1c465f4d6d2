//! Telling by a signed request.
//!
//! A receiver's answer is its status and how long it wants to be left alone: nothing else of it is read, and nothing of it is shown to anybody. No
//! redirection is followed, no proxy is asked, and the host's addresses are judged before one is dialled.

use std::{
    error::Error,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use cofferdam_domain::egress::Addresses;
use cofferdam_egress::may_dial;
use reqwest::{
    Client, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
};
use url::Url;

use crate::{Channel, Failed, Message, SigningSecret};

/// The longest time that a receiver may ask to be left alone.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// A receiver of signed requests.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    client: Client,
    url: Url,
    secret: SigningSecret,
}

/// There is no client for it.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client could be made")]
pub(crate) struct WebhookError(#[from] reqwest::Error);

impl Webhook {
    pub(crate) fn new(
        url: Url,
        secret: SigningSecret,
        addresses: Addresses,
        limit: Duration,
    ) -> Result<Self, WebhookError> {
        // Fails where it is installed already, which is as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(limit)
            .dns_resolver(Arc::new(Judged(addresses)))
            .pool_max_idle_per_host(1)
            .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, url, secret })
    }
}

#[async_trait]
impl Channel for Webhook {
    async fn tell(&self, message: &Message) -> Result<(), Failed> {
        let (id, now) = (message.id.to_string(), SystemTime::now());
        let timestamp = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = self.secret.sign(&id, timestamp, &message.body);
        let sent = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(message.body.clone())
            .send()
            .await;
        judge(&sent.map_err(|error| Failed::for_now(in_words(&error)))?, now)
    }
}

/// What a receiver's answer means.
fn judge(answer: &Response, now: SystemTime) -> Result<(), Failed> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    if status == StatusCode::GONE {
        let reason = "the receiver is gone (410): take it out of the configuration".to_owned();
        return Err(Failed::ForGood { reason });
    }
    let reason = if status.is_redirection() {
        format!("the receiver is elsewhere ({}): write its address into the configuration", status.as_u16())
    } else {
        format!("the receiver answered {}", status.as_u16())
    };
    let asked = answer.headers().get(RETRY_AFTER).and_then(|text| text.to_str().ok());
    let rest = asked.and_then(|text| rest(text, now)).map(|rest| rest.min(LONGEST_REST));
    Err(Failed::ForNow { reason, rest })
}

/// How long to wait: seconds or a date (RFC 9110, section 10.2.3).
fn rest(text: &str, now: SystemTime) -> Option<Duration> {
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

/// Why there was no answer. The URL may hold what only the receiver is to know.
fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the receiver did not answer in time".to_owned();
    }
    let mut causes: Option<&dyn Error> = error.source();
    let mut last = None;
    while let Some(cause) = causes {
        last = Some(cause);
        causes = cause.source();
    }
    match last {
        Some(cause) => format!("the receiver cannot be reached ({cause})"),
        None => "the receiver cannot be reached".to_owned(),
    }
}

/// Finds addresses, and passes on those where the host may be.
#[derive(Debug)]
struct Judged(Addresses);

/// None of them is one.
#[derive(Debug, thiserror::Error)]
#[error("its name leads to no address where it may be; say where with `addresses`")]
struct Nowhere;

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.0.clone();
        Box::pin(async move {
            if let Addresses::At(at) = addresses {
                return Ok(Box::new(std::iter::once(at)) as Addrs);
            }
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            // All of them or none: whoever mixes them means no good.
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() || found.iter().any(|found| may_dial(found.ip(), &addresses).is_err()) {
                return Err(Nowhere.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_may_ask_for_rest_in_seconds_or_by_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(rest("120", now), Some(Duration::from_secs(120)));
        assert_eq!(rest("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(rest("Sun, 06 Nov 1994 08:48:37 GMT", now), None);
        assert_eq!(rest("soon", now), None);
    }
}
