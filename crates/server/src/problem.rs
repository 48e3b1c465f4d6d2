//! What is answered when something cannot be done: problem details for HTTP APIs (RFC 9457).
//!
//! A problem says what is wrong and what to do about it, in words for whoever asked. What went wrong inside is for the log of the server and
//! never part of an answer.

use std::error::Error;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cofferdam_domain::causes::with_causes;
use serde::Serialize;
use utoipa::ToSchema;

/// The kinds of problem. Each has one status and one stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request does not parse, or its parts do not go together.
    Malformed,
    /// Nobody is known to have asked.
    Unauthenticated,
    /// Whoever asked may not do this.
    Forbidden,
    /// There is no such thing, or none that whoever asked may see.
    NotFound,
    /// The resource has no such method.
    Method,
    /// What was asked for does not fit what is.
    Conflict,
    /// The same request is being answered at this moment.
    UnderWay,
    /// More bytes than are accepted.
    TooLarge,
    /// Content of another type than is accepted.
    MediaType,
    /// The request is meant for another host.
    Misdirected,
    /// Every part of the request parses, but it means nothing.
    Meaningless,
    /// More at once than is permitted.
    TooMany,
    /// It took too long to arrive.
    Slow,
    /// The server's own fault.
    Internal,
    /// Not now: the store or another part is not there.
    Unavailable,
}

impl Kind {
    /// The status.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::UnderWay => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Meaningless => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The stable name, the last part of the problem's type.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Conflict => "conflict",
            Self::UnderWay => "under_way",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Misdirected => "misdirected",
            Self::Meaningless => "meaningless",
            Self::TooMany => "too_many",
            Self::Slow => "slow",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    /// The kind in words.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Malformed => "The request cannot be understood",
            Self::Unauthenticated => "Nobody is signed in",
            Self::Forbidden => "This is not permitted",
            Self::NotFound => "There is no such thing",
            Self::Method => "This cannot be done here",
            Self::Conflict => "This does not fit how things stand",
            Self::UnderWay => "The same request is being answered",
            Self::TooLarge => "The request is too large",
            Self::MediaType => "The request has content of another type",
            Self::Misdirected => "The request is meant for another host",
            Self::Meaningless => "The request makes no sense",
            Self::TooMany => "Too many at once",
            Self::Slow => "The request took too long",
            Self::Internal => "Something went wrong here",
            Self::Unavailable => "This cannot be answered at present",
        }
    }
}

/// Why something was not done.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    /// What is wrong and what to do, for whoever asked.
    pub(crate) detail: String,
    /// Seconds after which it is worth another try.
    retry_after: Option<u32>,
}

impl Problem {
    /// A problem with its explanation.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let retry_after = match kind {
            Kind::UnderWay => Some(1),
            Kind::TooMany | Kind::Unavailable => Some(5),
            Kind::Malformed
            | Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::Method
            | Kind::Conflict
            | Kind::TooLarge
            | Kind::MediaType
            | Kind::Misdirected
            | Kind::Meaningless
            | Kind::Slow
            | Kind::Internal => None,
        };
        Self { kind, detail: detail.into(), retry_after }
    }

    /// The same answer for what does not exist and for what is somebody else's.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}, or not for you"))
    }

    /// A fault of the server. Its causes go to the server's log, not to whoever asked.
    pub(crate) fn internal(error: &dyn Error) -> Self {
        tracing::error!(error = %with_causes(error), "a request failed");
        Self::new(Kind::Internal, "the request failed through no fault of yours; the server's log says why")
    }

    /// A part that the answer takes is not there.
    pub(crate) fn unavailable(error: &dyn Error) -> Self {
        tracing::warn!(error = %with_causes(error), "a request could not be answered");
        Self::new(Kind::Unavailable, "the server cannot answer this at present; try again in a moment")
    }

    /// Nothing more can be kept.
    pub(crate) fn full(error: &dyn Error) -> Self {
        tracing::error!(error = %with_causes(error), "a request could not be answered");
        Self::new(
            Kind::Unavailable,
            "the server's store has no space left: whoever runs it must free some; nothing of this request was kept, so send it again then",
        )
    }
}

/// A problem as it is sent (RFC 9457, section 3.1).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemView {
    /// Which kind of problem: `urn:cofferdam:problem:` and its stable name
    #[serde(rename = "type")]
    #[schema(example = "urn:cofferdam:problem:not_found")]
    kind: String,
    /// The kind in words
    title: &'static str,
    /// The status of the answer
    status: u16,
    /// What is wrong this time, and what to do
    detail: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let view = ProblemView {
            kind: format!("urn:cofferdam:problem:{}", self.kind.name()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: self.detail.clone(),
        };
        let mut response = (self.kind.status(), Json(view)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"cofferdam\""));
        }
        // For pages, which show it in their own way.
        response.extensions_mut().insert(self);
        response
    }
}
