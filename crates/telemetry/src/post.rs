//! One delivery to the collector: OTLP/HTTP (OTLP specification 1.x, sections "OTLP/HTTP Request", "… Response", "Failures").

use std::{error::Error, time::Duration, time::SystemTime};

use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use tokio::time::timeout;

use crate::{Settings, answer};

/// The most bytes of an answer that are read.
const MOST_ANSWER: usize = 64 * 1024;
/// The longest that a collector may ask to be left alone.
const LONGEST_REST: Duration = Duration::from_secs(5 * 60);

/// What became of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The collector has it, all but so many spans.
    Taken(u64),
    /// It will never take it: the status of its answer.
    Refused(u16),
    /// It may take it later.
    Later {
        /// Why not now.
        why: String,
        /// When to try again, if it said so.
        after: Option<Duration>,
    },
}

/// Delivers a request, whatever the collector does, within the time that is set.
pub(crate) async fn deliver(client: &Client, settings: &Settings, body: Vec<u8>) -> Delivery {
    let request = client
        .post(settings.url.clone())
        .headers(settings.headers.clone())
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(body);
    let asked = async {
        match request.send().await {
            Ok(response) => heard(response).await,
            Err(error) => later(innermost(&error.without_url())),
        }
    };
    timeout(settings.timeout, asked).await.unwrap_or_else(|_| later("no answer in time".to_owned()))
}

async fn heard(mut response: Response) -> Delivery {
    let status = response.status();
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = rest(response.headers(), SystemTime::now());
            Delivery::Later { why: format!("HTTP {}", status.as_u16()), after }
        }
        status if status.is_success() => {
            let mut answer = Vec::new();
            while answer.len() < MOST_ANSWER {
                match response.chunk().await {
                    Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
                    // It was taken: what else there is to read changes nothing.
                    Ok(None) | Err(_) => break,
                }
            }
            answer.truncate(MOST_ANSWER);
            Delivery::Taken(answer::rejected(&answer))
        }
        status => Delivery::Refused(status.as_u16()),
    }
}

fn later(why: String) -> Delivery {
    Delivery::Later { why, after: None }
}

/// How long the collector wants to be left alone: `Retry-After` (RFC 9110, section 10.2.3), seconds or a date.
fn rest(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let asked = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(asked.min(LONGEST_REST))
}

/// The innermost cause, which is the one that says something.
fn innermost(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string().chars().filter(|character| !character.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_are_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let date = httpdate::fmt_http_date(now + Duration::from_secs(20));
        for (text, expected) in [
            ("3", Some(3)),
            (date.as_str(), Some(20)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("99999999", Some(300)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(rest(&headers, now), expected.map(Duration::from_secs), "{text}");
        }
    }
}
