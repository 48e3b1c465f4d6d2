//! The top of every page of a session: its title, where it stands, and the tabs.

use cofferdam_domain::{Origin, Side, amount::counted};
use maud::{Markup, html};

use super::{Facts, Row, pill};
use crate::pages::{
    text::{cut, line, plain},
    words::{millis, time},
};

/// The pages of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Timeline,
    Diff,
    Evidence,
    PullRequest,
    Attempts,
    /// None of them: a page that shows one output or one event.
    None,
}

/// The top.
pub(crate) fn head(row: &Row, facts: &Facts, tab: Tab) -> Markup {
    let (tone, word) = pill(row, facts);
    let requester = facts.standing.task.as_ref().map(|task| task.requester.as_str()).unwrap_or_default();
    html! {
        header.head #head {
            p.crumb {
                a href="/" { "Sessions" } " / "
                @if let Some(parent) = row.parent { a href=(format!("/sessions/{parent}")) { "the session that it works for" } " / " }
                span.quiet { (line(&row.repository, 120)) }
            }
            h1 { (line(&row.title, 200)) }
            p.sub {
                span.pill.(tone.class()) { (word) }
                @if row.archived { " " span.pill.quiet { "Archived" } }
                " "
                span.quiet {
                    @if !requester.is_empty() { "asked by " span.name { (line(requester, 60)) } }
                    (origin(row, facts))
                    @if !requester.is_empty() { ", " }
                    (time(row.created))
                    @if let Some((from, at)) = facts.forked_from {
                        ", forked from " a href=(format!("/sessions/{from}")) { (from) } " at event " (at.0)
                    }
                }
            }
            @if facts.spent.steps > 0 {
                p.sub.quiet.spent { "Spent so far: " (facts.spent.cost) ", " (counted(facts.spent.steps.into(), "step")) ", " (millis(facts.spent.wall_ms)) }
            }
            (tabs(row, facts, tab))
        }
    }
}

/// Where it was asked for, if that was elsewhere, and whether all that was written there can be seen.
fn origin(row: &Row, facts: &Facts) -> Markup {
    let origin = facts.standing.task.as_ref().and_then(|task| task.origin.as_ref());
    match origin {
        None => html! {},
        Some(Origin::Forge(asked)) => {
            let named = asked.thread.to_string();
            html! {
                " in "
                @if let Some(page) = &row.thread { a href=(plain(page)) rel="noreferrer" { (line(&named, 160)) } }
                @else { (line(&named, 160)) }
                (concealed(&asked.concealed))
            }
        }
        Some(Origin::Chat(spoken)) => html! {
            " in the chat " (line(&spoken.conversation.chat, 60)) (concealed(&spoken.concealed))
        },
        Some(Origin::Hook { hook, .. }) => html! { " through the webhook " (line(hook, 60)) },
        Some(Origin::Schedule { schedule, due }) => {
            html! { " by the schedule " (line(schedule, 60)) " for " (time(*due)) }
        }
    }
}

/// How much of what was asked is not as it was written.
fn concealed(concealed: &[(String, u64)]) -> Markup {
    let characters: u64 = concealed.iter().map(|(_, characters)| *characters).sum();
    let ways: Vec<String> = concealed.iter().map(|(way, characters)| format!("{characters} {way}")).collect();
    html! {
        @if characters > 0 {
            " " span.tag.warn title=(plain(&cut(&ways.join("; "), 600))) { (counted(characters, "character")) " not as written" }
        }
    }
}

fn tabs(row: &Row, facts: &Facts, tab: Tab) -> Markup {
    let id = row.id;
    let diff = facts.received.as_ref().map(|received| html! {
        " " span.count { span.plus { "+" (received.stat.added) } " " span.minus { "−" (received.stat.removed) } }
    });
    let evidence = facts.run(Side::Head).map(|run| {
        let (tone, _) = crate::pages::words::exit(run.exit);
        html! { " " span.light.(tone.class()) aria-hidden="true" {} }
    });
    let number =
        facts.standing.pull_request.as_ref().map(|opened| html! { " " span.count { "#" (opened.number) } });
    let attempt = facts.standing.task.as_ref().and_then(|task| task.attempt);
    let which = attempt.map(|attempt| html! { " " span.count { (attempt.number) " of " (attempt.of) } });
    let tabs = [
        (Tab::Timeline, format!("/sessions/{id}"), "Timeline", None),
        (Tab::Diff, format!("/sessions/{id}/diff"), "Diff", diff),
        (Tab::Evidence, format!("/sessions/{id}/evidence"), "Evidence", evidence),
        (Tab::PullRequest, format!("/sessions/{id}/pull-request"), "Pull request", number),
    ];
    html! {
        nav.tabs aria-label="Session" {
            @for (target, address, name, more) in tabs {
                a href=(address) aria-current=[(target == tab).then_some("page")] { (name) @if let Some(more) = more { (more) } }
            }
            @if let Some(which) = which {
                a href=(format!("/sessions/{id}/attempts")) aria-current=[(tab == Tab::Attempts).then_some("page")] { "Attempts" (which) }
            }
        }
    }
}
