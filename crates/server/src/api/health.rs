//! For whoever watches over the server: is it alive, can it work, how much is there to do.

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use cofferdam_domain::Owner;
use tokio::time::Instant;

use crate::{
    access::Signed,
    metrics::Sight,
    problem::{Kind, Problem},
    shared::Shared,
};

pub(super) fn router() -> Router<Shared> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// The process answers.
async fn alive() -> &'static str {
    "alive\n"
}

/// The store answers too, and the server is not about to end.
async fn ready(State(shared): State<Shared>) -> Result<&'static str, Problem> {
    if *shared.stopping().borrow() {
        return Err(Problem::new(Kind::Unavailable, "the server is about to end"));
    }
    shared.store().depth().await.map_err(|error| Problem::unavailable(&error))?;
    Ok("ready\n")
}

/// Numbers in the text format of Prometheus (version 0.0.4). They are about the whole server, so they are for those who run it: the members
/// of the organisation that every store has from the start.
async fn metrics(signed: Signed) -> Result<Response, Problem> {
    if signed.actor().org != Owner::LOCAL.org {
        return Err(Problem::new(Kind::Forbidden, "the server's numbers are for those who run it"));
    }
    let (shared, begun) = (&signed.shared, Instant::now());
    let depth = shared.store().depth().await.map_err(|error| Problem::unavailable(&error))?;
    let answer = begun.elapsed();
    let standing = shared.store().standing().await.map_err(|error| Problem::unavailable(&error))?;
    let (streams, now) = (shared.streams().count(), shared.now());
    let mut text = shared.metrics().text(&Sight { depth, standing, streams, answer, now });
    text.push_str(&shared.numbers());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, kind)], text).into_response())
}
