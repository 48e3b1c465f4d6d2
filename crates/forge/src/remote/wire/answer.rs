//! Answers of a forge: bounded, and judged by what its status means for whoever asked.

use std::error::Error;

use cofferdam_domain::hidden::visible;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Ask, Wire, moved, rest};
use crate::remote::TalkError;

/// Bytes of a document that are taken.
pub(super) const LARGEST_JSON: usize = 8 << 20;
/// Bytes of a refusal that are read.
const LARGEST_REFUSAL: usize = 64 << 10;
/// Bytes of a log that are looked at to find its end.
const LARGEST_LOG: usize = 256 << 20;
/// Characters of a forge's words that are repeated.
const LONGEST_WORDS: usize = 300;

impl Wire {
    /// Why there was no answer. The URL says nothing that is not in the configuration.
    pub(super) fn unreachable(&self, error: &reqwest::Error) -> TalkError {
        if error.is_timeout() {
            return self.for_now("it did not answer in time");
        }
        let mut inner: &dyn Error = error;
        while let Some(source) = inner.source() {
            inner = source;
        }
        let what = if error.is_connect() { "it cannot be reached" } else { "its answer was cut off" };
        self.for_now(format!("{what} ({})", excerpt(&inner.to_string())))
    }

    /// All of an answer.
    pub(super) async fn whole(
        &self,
        mut response: Response,
        most: usize,
        what: &str,
    ) -> Result<Vec<u8>, TalkError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > most {
                return Err(self.malformed(what, format!("it is larger than {} MiB", most >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The end of an answer.
    pub(super) async fn last(
        &self,
        mut response: Response,
        most: usize,
        what: &str,
    ) -> Result<String, TalkError> {
        let (mut end, mut read) = (Vec::new(), 0);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            read += chunk.len();
            if read > LARGEST_LOG {
                return Err(self.malformed(what, format!("it is larger than {} MiB", LARGEST_LOG >> 20)));
            }
            end.extend_from_slice(&chunk);
            // Not at every chunk, so that not all is moved for each.
            if end.len() > 2 * most + (64 << 10) {
                end.drain(..end.len() - most);
            }
        }
        end.drain(..end.len().saturating_sub(most));
        // It may begin within a character.
        let start = end.iter().take(3).take_while(|byte| (**byte & 0xc0) == 0x80).count();
        Ok(String::from_utf8_lossy(&end[start..]).into_owned())
    }
}

impl Ask<'_> {
    pub(super) fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, TalkError> {
        serde_json::from_slice(body)
            .map_err(|error| self.wire.malformed(&self.what, excerpt(&error.to_string())))
    }

    /// What it means that it was not done.
    pub(super) async fn refused(&self, mut response: Response) -> TalkError {
        let (status, headers) = (response.status(), response.headers().clone());
        let forge = self.wire.forge().to_owned();
        if let Some(place) = moved(&response) {
            let place = excerpt(place);
            let why = format!("it leads elsewhere, to {place}: is `api` of this forge right?");
            return self.wire.malformed(&self.what, why);
        }
        let mut body = Vec::new();
        while body.len() < LARGEST_REFUSAL {
            // What is lost of it is only its words.
            let Ok(Some(chunk)) = response.chunk().await else { break };
            body.extend_from_slice(&chunk);
        }
        let reason = self.redacted(words(&body));
        let code = status.as_u16();
        if matches!(code, 403 | 429) {
            let now = rest::now();
            if let Some(again) = rest::refused(&headers, code == 429, &reason, now) {
                self.locked_rests().note(self.counted(), again, now);
                let reason = format!("it was asked too often ({code})");
                return TalkError::ForNow { forge, reason, again: Some(again) };
            }
        }
        if let Some(token) = self.token.as_ref().filter(|_| code == 401) {
            self.wire.note_unaccepted(token);
        }
        match code {
            401 => TalkError::Forbidden {
                forge,
                reason: told(
                    "it does not accept the credential (401), which may have expired or been revoked: make a new one there and configure it",
                    &reason,
                ),
            },
            403 | 451 => TalkError::Forbidden {
                forge,
                reason: told(
                    &format!(
                        "{} ({code}): give the account or app of the credential that permission there",
                        self.what
                    ),
                    &reason,
                ),
            },
            404 | 410 => TalkError::Missing { forge, what: self.what.clone() },
            408 | 425 | 500.. => {
                let again = rest::asked(&headers, rest::now());
                TalkError::ForNow { forge, reason: format!("it answered {}", name(status)), again }
            }
            300..=399 => self.wire.malformed(&self.what, format!("it answered {}", name(status))),
            _ => TalkError::Refused { forge, what: self.what.clone(), reason: told(&name(status), &reason) },
        }
    }

    /// The text without the credential, should the forge have sent it back.
    fn redacted(&self, text: String) -> String {
        match &self.token {
            Some(token) if !token.expose().is_empty() => text.replace(token.expose(), "****"),
            Some(_) | None => text,
        }
    }
}

fn name(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(name) => format!("{} {name}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

fn told(ours: &str, theirs: &str) -> String {
    if theirs.is_empty() { ours.to_owned() } else { format!("{ours}; it says: {theirs}") }
}

/// A text as one line for people, cut.
fn excerpt(text: &str) -> String {
    let mut line = visible(text.split_whitespace().collect::<Vec<_>>().join(" ").as_bytes());
    if let Some((end, _)) = line.char_indices().nth(LONGEST_WORDS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// What a forge says about its refusal: `message` and `errors` (GitHub, Gitea), `message` as text or by field and `error` (GitLab).
fn words(body: &[u8]) -> String {
    let Ok(Value::Object(said)) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let mut parts = Vec::new();
    for key in ["message", "error", "error_description", "errors"] {
        match said.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => parts.push(text.clone()),
            Some(other) => parts.push(other.to_string()),
        }
    }
    excerpt(&parts.join("; "))
}

/// The target of the link with a relation (RFC 8288), as pages of a list have them.
pub(super) fn linked<'l>(links: &'l str, relation: &str) -> Option<&'l str> {
    links.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_it = |parameter: &str| {
            let value = parameter.trim().strip_prefix("rel=");
            value.is_some_and(|value| value.trim_matches('"') == relation)
        };
        parameters.split(';').any(is_it).then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_where_the_link_says() {
        let links = r#"<https://x/a?page=1>; rel="prev", <https://x/a?page=3&b=%2C>; rel="next""#;
        assert_eq!(linked(links, "next"), Some("https://x/a?page=3&b=%2C"));
        assert_eq!(linked(links, "prev"), Some("https://x/a?page=1"));
        assert_eq!(linked(r#"<https://x/a?page=9>; rel="last""#, "next"), None);
        assert_eq!(linked("<https://x/a?page=9>; rel=last", "last"), Some("https://x/a?page=9"));
        assert_eq!(linked("next", "next"), None);
    }

    #[test]
    fn a_refusal_is_repeated_in_few_visible_words() {
        let said = words(br#"{"message":"Validation Failed","errors":[{"field":"title","code":"missing"}]}"#);
        assert_eq!(said, r#"Validation Failed; [{"code":"missing","field":"title"}]"#);
        assert_eq!(words(br#"{"message":{"base":["is taken"]}}"#), r#"{"base":["is taken"]}"#);
        assert_eq!(words(r#"{"error":"a\n\u202eb"}"#.as_bytes()), "a \\u{202e}b");
        assert_eq!(words(b"<html>"), "");
        assert_eq!(
            words(format!(r#"{{"error":"{}"}}"#, "x".repeat(9999)).as_bytes()).chars().count(),
            LONGEST_WORDS + 1
        );
    }
}
