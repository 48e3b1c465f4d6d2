//! Pages that stay up to date: server-sent events whose data is markup (HTML Living Standard, "Server-sent events").
//!
//! Each message says up to which event it goes, so that a browser which comes back gets what it missed and nothing twice.

use std::convert::Infallible;

use axum::{
    Extension,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event as Message, Sse},
    },
};
use cofferdam_domain::{Seq, SessionId};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;

use super::{
    show::changes,
    views::{Current, Views},
};
use crate::{
    access::Signed,
    api::{Asked, Named},
    live::{Live, session_changes, session_events},
    pages::{list, session::ResultPage},
    problem::Problem,
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
    let news = session_events(signed.clone(), id, after).await?;
    let messages =
        stream::unfold((Box::pin(news.ready_chunks(TOGETHER)), after), move |(mut news, shown)| {
            let (signed, views, from) = (signed.clone(), views.clone(), from.clone());
            async move {
                let chunk = news.next().await?;
                let last = chunk.iter().rev().find_map(|one| match one {
                    Live::Item(frame) => Some(frame.seq),
                    Live::Here => None,
                });
                // What was folded in for somebody else already is shown already.
                let Some(_) = last.filter(|last| *last > shown) else {
                    return Some((Message::default().comment(""), (news, shown)));
                };
                let current = views.current(&signed, id).await.ok()?;
                let seq = current.view().ok()?.facts.end();
                let message = match from.page {
                    None => markup(&changes(&current, shown).ok()?.into_string()),
                    Some(page) => result(page, &from.showing, &current)?,
                };
                Some((message.id(seq.0.to_string()), (news, seq)))
            }
        });
    Ok(answer(messages))
}

/// What has changed on a page of results. Where nothing was shown, the page is loaded again; what somebody may be reading is not.
fn result(page: ResultPage, showing: &str, current: &Current) -> Option<Message> {
    let facts = &current.view().ok()?.facts;
    let is_other = page.showing(facts) != showing;
    if is_other && showing.is_empty() {
        return Some(Message::default().event("reload").data("now"));
    }
    Some(markup(&page.news(&current.row, facts, is_other).into_string()))
}

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
