//! The pages of one session.

use axum::Extension;
use cofferdam_domain::{Digest, EventBody, Seq, SessionId, Side};
use maud::html;
use serde::Deserialize;

use super::{
    answer::{Html, page},
    views::{Current, Views},
};
use crate::{
    access::Signed,
    actions::events,
    api::{Asked, Named},
    pages::{
        diff::{self, Shown},
        evidence::{self, Outputs},
        pull_request,
        session::{self, live_parts},
        shell::Place,
        timeline::{self, Timeline, WINDOW},
    },
    problem::Problem,
};

/// Bytes of a patch that are taken apart.
const PATCH: usize = 4 << 20;

/// Which part of the timeline.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The entries before the one that began with this event.
    before: Option<u64>,
    /// What has changed since this event.
    after: Option<u64>,
}

fn titled(signed: &Signed, current: &Current, what: &str, content: &maud::Markup) -> Html {
    let title =
        if what.is_empty() { current.row.title.clone() } else { format!("{what} · {}", current.row.title) };
    page(signed, Place::Sessions, &title, content)
}

pub(super) async fn session(
    signed: Signed,
    Named(id): Named<SessionId>,
    Asked(part): Asked<Part>,
    Extension(views): Extension<Views>,
) -> Result<Html, Problem> {
    let current = views.current(&signed, id).await?;
    let earlier = match part.before {
        Some(before) => Some(earlier(&signed, id, before).await?),
        None => None,
    };
    let content = session::page(&current.row, current.view()?, earlier.as_ref());
    Ok(titled(&signed, &current, "", &content))
}

/// The entries before the one that began with this event, folded anew.
async fn earlier(signed: &Signed, id: SessionId, before: u64) -> Result<Timeline, Problem> {
    let mut timeline = Timeline::new(WINDOW);
    for event in events(signed, id).await? {
        // What comes later still belongs to what began before; what begins later is left out.
        if event.seq.0 < before {
            timeline.apply(&event);
        } else {
            timeline.finish(&event);
        }
    }
    Ok(timeline)
}

/// Entries as they stand on the page, to be put into it.
pub(super) async fn fragments(
    signed: Signed,
    Named(id): Named<SessionId>,
    Asked(part): Asked<Part>,
    Extension(views): Extension<Views>,
) -> Result<Html, Problem> {
    let current = views.current(&signed, id).await?;
    if let Some(before) = part.before {
        return Ok(Html(timeline::entries(id, &earlier(&signed, id, before).await?)));
    }
    Ok(Html(changes(&current, Seq(part.after.unwrap_or(0)))?))
}

/// Everything that has changed since an event.
pub(super) fn changes(current: &Current, after: Seq) -> Result<maud::Markup, Problem> {
    let view = current.view()?;
    Ok(html! {
        (live_parts(&current.row, &view.facts))
        @for entry in view.timeline.changed_after(after) { (timeline::entry(current.row.id, entry)) }
    })
}

/// Which file of a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfChange {
    file: Option<usize>,
}

pub(super) async fn diff(
    signed: Signed,
    Named(id): Named<SessionId>,
    Asked(wanted): Asked<OfChange>,
    Extension(views): Extension<Views>,
) -> Result<Html, Problem> {
    let current = views.current(&signed, id).await?;
    let facts = &current.view()?.facts;
    let content = match (facts.standing.patch, &facts.received) {
        (Some(patch), _) => {
            let mut bytes = signed.tenant.blob(id, patch.digest).await?;
            bytes.truncate(PATCH);
            let text = String::from_utf8_lossy(&bytes);
            diff::page(
                &current.row,
                facts,
                &Shown::Patch { text: &text, cut: patch.size > bytes.len() as u64, alone: wanted.file },
            )
        }
        (None, Some(_)) => diff::page(&current.row, facts, &Shown::Unknown),
        (None, None) => diff::page(&current.row, facts, &Shown::None),
    };
    Ok(titled(&signed, &current, "Diff", &content))
}

pub(super) async fn evidence(
    signed: Signed,
    Named(id): Named<SessionId>,
    Extension(views): Extension<Views>,
) -> Result<Html, Problem> {
    let current = views.current(&signed, id).await?;
    let facts = &current.view()?.facts;
    let mut outputs = Outputs::default();
    for (side, output) in [(Side::Base, &mut outputs.base), (Side::Head, &mut outputs.head)] {
        if let Some(run) = facts.run(side) {
            // One that is gone is no reason to show nothing of the other.
            *output = signed.tenant.blob(id, run.output.digest).await.ok();
        }
    }
    let content = evidence::page(&current.row, facts, &outputs);
    Ok(titled(&signed, &current, "Evidence", &content))
}

pub(super) async fn pull_request(
    signed: Signed,
    Named(id): Named<SessionId>,
    Extension(views): Extension<Views>,
) -> Result<Html, Problem> {
    let current = views.current(&signed, id).await?;
    let content = pull_request::page(&current.row, &current.view()?.facts);
    Ok(titled(&signed, &current, "Pull request", &content))
}

/// Which piece of a long text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Piece {
    #[serde(default)]
    from: usize,
}

pub(super) async fn output(
    signed: Signed,
    Named((id, digest)): Named<(SessionId, Digest)>,
    Asked(piece): Asked<Piece>,
    Extension(views): Extension<Views>,
) -> Result<Html, Problem> {
    let current = views.current(&signed, id).await?;
    let bytes = signed.tenant.blob(id, digest).await?;
    let address = format!("/sessions/{id}/output/{digest}");
    let facts = &current.view()?.facts;
    let content = evidence::raw(&current.row, facts, "Output", &bytes, piece.from, &address);
    Ok(titled(&signed, &current, "Output", &content))
}

pub(super) async fn event(
    signed: Signed,
    Named((id, seq)): Named<(SessionId, u64)>,
    Asked(piece): Asked<Piece>,
    Extension(views): Extension<Views>,
) -> Result<Html, Problem> {
    let current = views.current(&signed, id).await?;
    let found = signed.tenant.read(id, Seq(seq.saturating_sub(1)), 1).await?;
    let event =
        found.first().filter(|event| event.seq == Seq(seq)).ok_or_else(|| Problem::not_found("event"))?;
    let title = format!("Event {seq}, {}", event.body.name().replace('_', " "));
    let address = format!("/sessions/{id}/events/{seq}");
    let text = readable(&event.body)?;
    let facts = &current.view()?.facts;
    let content = evidence::raw(&current.row, facts, &title, text.as_bytes(), piece.from, &address);
    Ok(titled(&signed, &current, &title, &content))
}

/// An event for people: its JSON, with the line ends of its texts as line ends.
fn readable(body: &EventBody) -> Result<String, Problem> {
    let text = serde_json::to_string_pretty(body).map_err(|error| Problem::internal(&error))?;
    Ok(text.replace("\\n", "\n"))
}
