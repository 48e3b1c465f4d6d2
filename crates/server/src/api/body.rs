//! What comes in with a request, parsed strictly: nothing that is not known, nothing twice, nothing without bounds.

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use cofferdam_domain::Digest;
use serde::de::DeserializeOwned;

use crate::{
    limits::MAX_BODY,
    problem::{Kind, Problem},
    shared::Shared,
};

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T> {
    /// What it says.
    pub(crate) value: T,
    /// Of the method, the path and the body's bytes: what exactly was asked.
    pub(crate) request: Digest,
}

impl<T: DeserializeOwned> FromRequest<Shared> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                Kind::MediaType,
                "send JSON with `Content-Type: application/json`, not compressed",
            ));
        }
        let too_large =
            || Problem::new(Kind::TooLarge, format!("a request may have at most {MAX_BODY} bytes"));
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > MAX_BODY as u64) {
            return Err(too_large());
        }
        let mut what = format!("{} {}\0", request.method(), request.uri()).into_bytes();
        let bytes = tokio::time::timeout(shared.limits().body_time, to_bytes(request.into_body(), MAX_BODY));
        let bytes = bytes
            .await
            .map_err(|_| Problem::new(Kind::Slow, "the request's body did not arrive in time"))?
            .map_err(|error| match std::error::Error::source(&error) {
                Some(cause) if cause.is::<http_body_util::LengthLimitError>() => too_large(),
                Some(_) | None => Problem::new(Kind::Malformed, "the request's body did not arrive whole"),
            })?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Problem::new(Kind::Malformed, excerpt(&format!("the body is not what is expected here: {error}")))
        })?;
        what.extend_from_slice(&bytes);
        Ok(Self { value, request: Digest::of(&what) })
    }
}

/// Whether the content is JSON as it is, by its header fields.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let essence = match (types.next().map(|value| value.to_str()), types.next()) {
        (Some(Ok(value)), None) => value.split(';').next().unwrap_or_default().trim(),
        (_, _) => return false,
    };
    essence.eq_ignore_ascii_case("application/json") && !headers.contains_key(header::CONTENT_ENCODING)
}

/// What the path names. What does not parse does not exist.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, shared).await;
        path.map(|Path(value)| Self(value)).map_err(|_| Problem::not_found("thing"))
    }
}

/// What the query asks for.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, shared).await;
        query.map(|Query(value)| Self(value)).map_err(|error| {
            let text = format!("the query is not what is expected here: {}", error.body_text());
            Problem::new(Kind::Malformed, excerpt(&text))
        })
    }
}

/// Refuses a query where none has a meaning.
#[derive(Debug)]
pub(crate) struct NoQuery;

impl FromRequestParts<Shared> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => Err(Problem::new(Kind::Malformed, "nothing can be asked for in the query here")),
        }
    }
}

/// An explanation of bearable length: it may quote what was sent.
fn excerpt(text: &str) -> String {
    text.chars().take(400).collect()
}
