//! A session's log: in pages, and live.

use std::convert::Infallible;

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use cofferdam_domain::{Event, Seq, SessionId};
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    body::{Asked, Named},
    paging,
    view::SessionView,
};
use crate::{
    access::Signed,
    live::{self, Live},
    problem::{Kind, Problem},
    standing::Standing,
    tail::{Frame, message},
};

/// The most events of one page.
const MAX_PAGE: u32 = 1000;

super::resources! {
    (list_events),
    (follow_events),
    (follow_sessions),
    (list_checkpoints),
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only those after this place
    after: Option<u64>,
    /// At most this many; 200 where it is not said
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
struct EventPage {
    /// In order, as they stand in the log
    #[schema(value_type = Vec<Object>)]
    events: Vec<Event>,
    /// What `after` is for the next page; nothing at the end
    next: Option<u64>,
}

/// List a session's events
#[utoipa::path(
    get,
    path = "/sessions/{id}/events",
    tag = "Log",
    params(("id" = String, Path, description = "The session"), Wanted),
    responses((status = 200, description = "In order", body = EventPage))
)]
async fn list_events(
    signed: Signed,
    Named(session): Named<SessionId>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<EventPage>, Problem> {
    let limit = paging::limit(wanted.limit, 200, MAX_PAGE, "events")?;
    let after = place(wanted.after.unwrap_or(0))?;
    let events = signed.tenant.read(session, after, limit).await?;
    let next = paging::next(&events, limit, |event| event.seq.0);
    Ok(Json(EventPage { events, next }))
}

/// A place in a log. Beyond what any log has there is none.
fn place(seq: u64) -> Result<Seq, Problem> {
    if i64::try_from(seq).is_ok() {
        Ok(Seq(seq))
    } else {
        Err(Problem::new(Kind::Malformed, "no log is that long: `after` is the place of an event"))
    }
}

/// Where a live stream begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct From {
    /// Only events after this place; `Last-Event-ID` goes before it
    after: Option<u64>,
}

/// Follow a session's events
///
/// Server-sent events: those that there are, then each new one. `id` is the place of the event, so that a client which lost the
/// connection goes on where it was. A comment now and then says that the stream is alive. It ends when the right to see the session does.
#[utoipa::path(
    get,
    path = "/sessions/{id}/events/live",
    tag = "Log",
    params(
        ("id" = String, Path, description = "The session"),
        From,
        ("Last-Event-ID" = Option<u64>, Header, description = "The place of the last event that was seen")
    ),
    responses((status = 200, description = "A stream of events", body = String, content_type = "text/event-stream"))
)]
async fn follow_events(
    signed: Signed,
    Named(session): Named<SessionId>,
    Asked(from): Asked<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = match last_seen(&headers)? {
        Some(seen) => seen,
        None => place(from.after.unwrap_or(0))?,
    };
    let events = live::session_events(signed, session, after).await?;
    Ok(frames(events))
}

/// Frames as an answer.
pub(crate) fn frames(items: impl Stream<Item = Live<Frame>> + Send + 'static) -> Response {
    stream(items.map(|item| match item {
        Live::Item(frame) => frame.bytes,
        Live::Here => HERE,
    }))
}

/// A comment.
const HERE: Bytes = Bytes::from_static(b":\n\n");

/// What a browser's `EventSource` says when it comes back.
pub(crate) fn last_seen(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong =
        || Problem::new(Kind::Malformed, "Last-Event-ID is the number that the last event had as its id");
    place(seq.ok_or_else(wrong)?).map(Some)
}

/// A stream as an answer. Nothing between here and the reader may keep pieces back.
fn stream(messages: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(messages.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Follow the list of sessions
///
/// Server-sent events: a session as `/sessions/{id}` shows it, each time that something of it has changed.
#[utoipa::path(
    get,
    path = "/sessions/live",
    tag = "Sessions",
    responses((status = 200, description = "A stream of sessions", body = String, content_type = "text/event-stream"))
)]
async fn follow_sessions(signed: Signed) -> Result<Response, Problem> {
    let changes = live::session_changes(signed).await?;
    Ok(stream(changes.map(|item| match item {
        Live::Item(row) => message(None, &SessionView::from(row)),
        Live::Here => HERE,
    })))
}

/// A place to go back to.
#[derive(Debug, Serialize, ToSchema)]
struct CheckpointView {
    /// The event that a roll back or a fork names
    at: u64,
    /// The last step that may have changed the files
    step: u32,
    /// When it was made, in milliseconds since 1970
    time: u64,
}

/// All places to go back to.
#[derive(Debug, Serialize, ToSchema)]
struct Checkpoints {
    /// In order
    checkpoints: Vec<CheckpointView>,
}

/// List a session's checkpoints
#[utoipa::path(
    get,
    path = "/sessions/{id}/checkpoints",
    tag = "Log",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "Those that count", body = Checkpoints))
)]
async fn list_checkpoints(
    signed: Signed,
    Named(session): Named<SessionId>,
) -> Result<Json<Checkpoints>, Problem> {
    let standing: Standing = crate::actions::standing(&signed, session).await?;
    let view = |checkpoint: &crate::standing::Checkpoint| CheckpointView {
        at: checkpoint.at.0,
        step: checkpoint.step,
        time: checkpoint.time.0,
    };
    Ok(Json(Checkpoints { checkpoints: standing.checkpoints.iter().map(view).collect() }))
}
