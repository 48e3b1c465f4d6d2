//! The trace of whoever asks.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use cofferdam_domain::TraceParent;

use crate::shared::Shared;

/// The header `traceparent`. As W3C Trace Context has it, one that is none, or is sent twice, is as if it were not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traced(pub(crate) Option<TraceParent>);

impl FromRequestParts<Shared> for Traced {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Infallible> {
        let mut values = parts.headers.get_all("traceparent").iter();
        let value = values.next().and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self(value.filter(|_| values.next().is_none())))
    }
}
