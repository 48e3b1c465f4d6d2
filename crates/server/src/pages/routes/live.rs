//! Pages that stay up to date: server-sent events whose data is markup (HTML Living Standard, "Server-sent events").
//!
//! Each message says up to which event it goes, so that a browser which comes back gets what it missed and nothing twice.

use std::convert::Infallible;

use async_trait::async_trait;
use axum::{
    Extension,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event as Message, Sse},
    },
};
use bytes::Bytes;
use cofferdam_domain::{Seq, SessionId};
use futures_util::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use serde::Deserialize;

use super::{
    show::changes,
    views::{Looked, Views},
};
use crate::{
    access::Signed,
    api::{Asked, Named, events::frames},
    live::{Live, session_changes, session_frames},
    pages::{list, session::ResultPage},
    problem::Problem,
    tail::{CatchUp, Frame},
};

/// Events that are shown by one message at most: a page that was away for long gets few large ones.
const TOGETHER: usize = 512;

/// From where on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    #[serde(default)]
    after: u64,
    /// The page of results that is looked at, if it is not the timeline.
    page: Option<ResultPage>,
    /// What that shows.
    #[serde(default)]
    showing: String,
}

pub(super) async fn session(
    signed: Signed,
    Named(id): Named<SessionId>,
    Asked(from): Asked<From>,
    headers: HeaderMap,
    Extension(views): Extension<Views>,
) -> Result<Response, Problem> {
    let known = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let after = Seq(known.unwrap_or(from.after));
    let looked = from.page.map_or(Looked::Timeline, |page| Looked::Results(page, from.showing));
    // The same for all who look at it, so it is written out once.
    let renderer = Renderer { signed: signed.clone(), id, views: views.clone(), looked: looked.clone() };
    let joined = async move {
        let last = renderer.signed.tenant.session(id).await?.last;
        let follow = renderer.clone().follow(last);
        views.tails().join((id, looked), (last, after), follow, renderer).await
    };
    Ok(frames(session_frames(signed, id, joined).await?))
}

/// Writes out what has changed on a page.
#[derive(Clone)]
struct Renderer {
    signed: Signed,
    id: SessionId,
    views: Views,
    looked: Looked,
}

impl Renderer {
    /// What has changed after a place, up to now.
    async fn since(&self, place: Seq) -> Option<Frame> {
        let current = self.views.current(&self.signed, self.id).await.ok()?;
        let facts = &current.view().ok()?.facts;
        let seq = facts.end();
        let markup = match &self.looked {
            Looked::Timeline => changes(&current, place).ok()?,
            Looked::Results(page, showing) => {
                let is_other = page.showing(facts) != *showing;
                // What somebody may be reading stays.
                if is_other && showing.is_empty() {
                    return Some(Frame { seq, bytes: format!("id: {}\n{RELOAD}", seq.0).into() });
                }
                page.news(&current.row, facts, is_other)
            }
        };
        Some(Frame { seq, bytes: written(seq, &markup.into_string()) })
    }

    /// What changes from here on: what comes together, or while something is written out, is one frame.
    async fn follow(self, last: Seq) -> Result<BoxStream<'static, Frame>, Problem> {
        let tenant = self.signed.tenant.clone();
        let events = self.signed.shared.tails().watch(tenant, self.id, last).await?;
        let chunks = Box::pin(events.ready_chunks(TOGETHER));
        let rendered = stream::unfold((self, chunks, last), |(renderer, mut chunks, shown)| async move {
            loop {
                let chunk = chunks.next().await?;
                // What was folded in already is shown already.
                if chunk.last().is_some_and(|event| event.seq > shown) {
                    let frame = renderer.since(shown).await?;
                    let shown = frame.seq;
                    return Some((frame, (renderer, chunks, shown)));
                }
            }
        });
        Ok(rendered.boxed())
    }
}

#[async_trait]
impl CatchUp for Renderer {
    async fn after(&mut self, place: Seq) -> Option<Vec<Frame>> {
        Some(vec![self.since(place).await?])
    }
}

/// Markup as one message, under the place up to which it tells. Each line of it is a line of the message; a carriage return would end one, so it
/// travels as what it means in markup.
fn written(seq: Seq, markup: &str) -> Bytes {
    let mut text = format!("id: {}\n", seq.0);
    for line in markup.replace('\r', "&#13;").split('\n') {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text.into()
}

/// Where a page of results showed nothing, it is loaded again.
const RELOAD: &str = "event: reload\ndata: now\n\n";

pub(super) async fn list(signed: Signed) -> Result<Response, Problem> {
    let changes = session_changes(signed.clone()).await?;
    let messages = changes.map(move |change| match change {
        Live::Item(row) => markup(&list::item(&super::sessions::listed(row), signed.now()).into_string()),
        Live::Here => Message::default().comment(""),
    });
    Ok(answer(messages))
}

/// A message. A carriage return would end its line, so it travels as what it means in markup.
fn markup(text: &str) -> Message {
    if text.contains('\r') {
        Message::default().data(text.replace('\r', "&#13;"))
    } else {
        Message::default().data(text)
    }
}

fn answer(messages: impl Stream<Item = Message> + Send + 'static) -> Response {
    Sse::new(messages.map(Ok::<_, Infallible>)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_every_line_of_its_markup() {
        let sent = written(Seq(7), "<p>a\r\nb</p>\n\n<p>c</p>");
        assert_eq!(&sent[..], b"id: 7\ndata: <p>a&#13;\ndata: b</p>\ndata: \ndata: <p>c</p>\n\n");
    }
}
