//! The page about what forges, chats and other programs sent.

use cofferdam_store::Arrived;
use maud::{Markup, html};

use super::{text::line, words::time};
use crate::api::delivery_state;

/// What was dealt with, what waits, and what was given up.
pub(crate) fn deliveries(deliveries: &[Arrived], next: Option<&str>) -> Markup {
    html! {
        header.section {
            h1 { "Arrived" }
            p.quiet { "What forges, chats and other programs sent, proved to come from them, and what became of it." }
        }
        @if deliveries.is_empty() { p.empty { "Nothing has arrived yet." } }
        @else {
            div.card.table tabindex="0" {
                table {
                    thead { tr { th { "When" } th { "From" } th { "What" } th { "About" } th { "Where it stands" } } }
                    tbody { @for arrived in deliveries { (row(arrived)) } }
                }
            }
        }
        @if let Some(next) = next { p.row { a.button href=(format!("/deliveries?before={next}")) { "Earlier" } } }
    }
}

fn row(arrived: &Arrived) -> Markup {
    let Arrived { arrival, tries, done, session, what, .. } = arrived;
    let state = delivery_state(arrived);
    html! {
        tr.alarm[state == "given_up"] {
            td.nowrap { (time(arrival.at)) }
            td { (line(&arrival.source, 80)) }
            td { code { (line(&arrival.event, 80)) } }
            td { (line(&arrival.line, 120)) }
            td {
                (words(state))
                @if let Some(done) = done { " " (time(*done)) }
                @if *tries > 1 { span.quiet { " after " (tries) " tries" } }
                @if let Some(what) = what { ": " (line(what, 200)) }
                @if let Some(session) = session { " " a href=(format!("/sessions/{session}")) { "Session" } }
            }
        }
    }
}

fn words(state: &str) -> &'static str {
    match state {
        "done" => "dealt with",
        "given_up" => "given up",
        _ => "waiting",
    }
}
