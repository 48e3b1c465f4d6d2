//! The sessions that work for a session, beside its timeline.

use maud::{Markup, html};

use super::Row;
use crate::pages::text::line;

/// The card. What they cost is part of what the session spent, once they are done.
pub(super) fn subagents(row: &Row) -> Markup {
    if row.subagents.is_empty() {
        return html! {};
    }
    html! {
        section.card aria-labelledby="subagents-title" {
            h2 #subagents-title { "Subagents" }
            ul.checkpoints {
                @for one in row.subagents.iter() {
                    @let (tone, word) = one.pill();
                    li {
                        a href=(format!("/sessions/{}", one.row.id)) { (line(&one.row.title, 80)) } br;
                        span.(tone.class()) { (word) } span.quiet { ", " (one.cost) }
                    }
                }
            }
        }
    }
}
