//! The page about what people outside are told.

use cofferdam_domain::Timestamp;
use cofferdam_store::Posted;
use maud::{Markup, html};

use super::{text::line, words::time};
use crate::api::letter_state;

/// What was told, what waits, and what was given up.
pub(crate) fn told(letters: &[Posted], next: Option<&str>) -> Markup {
    html! {
        header.section {
            h1 { "Told" }
            p.quiet {
                "What people are told of sessions by the channels of the configuration. "
                code { "cofferdam admin tell-test NAME" } " tries one."
            }
        }
        @if letters.is_empty() { p.empty { "Nobody has been told anything yet." } }
        @else {
            div.card.table tabindex="0" {
                table {
                    thead { tr { th { "When" } th { "What" } th { "Session" } th { "By" } th { "Where it stands" } } }
                    tbody { @for posted in letters { (row(posted)) } }
                }
            }
        }
        @if let Some(next) = next { p.row { a.button href=(format!("/told?before={next}")) { "Earlier" } } }
    }
}

fn row(posted: &Posted) -> Markup {
    let Posted { letter, channel, tries, done, reason, .. } = posted;
    let state = letter_state(posted);
    html! {
        tr.alarm[state == "given_up"] {
            td.nowrap { (time(letter.at)) }
            td { code { (letter.kind.name()) } }
            td { @if let Some(id) = letter.session { a href=(format!("/sessions/{id}")) { (line(&letter.title, 80)) } } }
            td { @if let Some(channel) = channel { (line(channel, 80)) } }
            td {
                (words(state)) (when(*done))
                @if *tries > 1 { span.quiet { " after " (tries) " tries" } }
                @if let Some(reason) = reason { ": " (line(reason, 200)) }
            }
        }
    }
}

fn words(state: &str) -> &'static str {
    match state {
        "told" => "told",
        "given_up" => "given up",
        _ => "waiting",
    }
}

fn when(done: Option<Timestamp>) -> Markup {
    html! { @if let Some(done) = done { " " (time(done)) } }
}
