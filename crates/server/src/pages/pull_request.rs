//! The page of a session's pull request: its text as it stands on the forge, and the decision about exactly this commit.

use cofferdam_domain::{Digest, PullRequest, PullRequestState, SessionState, amount::counted};
use maud::{Markup, html};

use super::{
    markdown::prose_of,
    session::{Facts, ResultPage, Row, headline_tone},
    text::{cut, inert, line},
    timeline::Tone,
    words::{self, time},
};

/// Bytes of the text that are shown: more than any forge takes.
const BODY: usize = 128 * 1024;

/// The page.
pub(crate) fn page(row: &Row, facts: &Facts) -> Markup {
    let content = html! {
            @match &facts.standing.pull_request {
                None if !facts.standing.beside.is_empty() => {}
                None => p.empty { "There is no pull request yet. It is opened when the gate has looked at the change and the tests have run." },
                Some(opened) => (opened_page(row, facts, opened)),
            }
            @for (_, opened) in &facts.standing.beside { (beside(row, facts, opened)) }
    };
    ResultPage::PullRequest.around(row, facts, &content)
}

fn opened_page(row: &Row, facts: &Facts, opened: &PullRequest) -> Markup {
    let (tone, state) = state(&opened.state, opened.draft);
    html! {
        div.columns {
            div.main {
                article.card.pull-request {
                    h2 { (line(&opened.title, 200)) " " span.quiet { "#" (opened.number) } }
                    p.sub {
                        span.pill.(tone.class()) { (state) }
                        " " code { (line(&opened.branch, 120)) } " into " code { (line(&opened.base_branch, 120)) }
                    }
                    (prose_of(&opened.body, BODY))
                }
            }
            aside.rail aria-label="Decision" { (decision(row, facts, opened)) (what(facts, opened)) }
        }
    }
}

/// One in another repository of the session.
fn beside(row: &Row, facts: &Facts, opened: &PullRequest) -> Markup {
    let (tone, state) = state(&opened.state, opened.draft);
    let may = opened.state == PullRequestState::Open
        && row.state == SessionState::Ended
        && !facts.standing.asked_of_forge;
    html! {
        article.card.pull-request {
            h2 { (line(&opened.title, 200)) " " span.quiet { "#" (opened.number) } }
            p.sub {
                span.pill.(tone.class()) { (state) }
                " of " code { (line(&opened.repository, 200)) }
                ": " code { (line(&opened.branch, 120)) } " into " code { (line(&opened.base_branch, 120)) }
            }
            @if may {
                form.act method="post" action=(format!("/sessions/{}/merge", row.id)) {
                    input type="hidden" name="commit" value=(cut(&opened.head_commit, 64));
                    div.row { button type="submit" { "Merge " (cut(&opened.head_commit, 12).trim_end_matches('…')) } }
                }
            }
            details data-key=(format!("beside-{}", opened.number)) {
                summary { "Its text" }
                (prose_of(&opened.body, BODY))
            }
        }
    }
}

const fn state(state: &PullRequestState, draft: bool) -> (Tone, &'static str) {
    match state {
        PullRequestState::Open if draft => (Tone::Warn, "Draft"),
        PullRequestState::Open => (Tone::Live, "Open"),
        PullRequestState::Merged { .. } => (Tone::Good, "Merged"),
        PullRequestState::Closed => (Tone::Quiet, "Closed"),
    }
}

fn decision(row: &Row, facts: &Facts, opened: &PullRequest) -> Markup {
    let id = row.id;
    if let PullRequestState::Merged { commit } = &opened.state {
        return html! { section.card { h2 { "Merged" } p { "As " code { (cut(commit, 12)) } "." } } };
    }
    if opened.state == PullRequestState::Closed {
        return html! { section.card { h2 { "Closed" } p { "Without merging." } } };
    }
    let evidence = facts.evidence();
    html! {
        section.card aria-labelledby="decide-title" {
            h2 #decide-title { "Decide" }
            @if let Some(reason) = &facts.forge_refused { p.banner.bad role="alert" { "The forge did not do it: " (line(reason, 300)) } }
            p.(headline_tone(evidence.headline).class()) { (evidence.headline.sentence()) }
            @if !facts.findings().is_empty() {
                p { a href=(format!("/sessions/{id}/diff")) { (counted(facts.findings().len() as u64, "finding")) " to look at" } }
            }
            @if facts.standing.asked_of_forge {
                p.working { "The forge is at it" }
            } @else if row.state != SessionState::Ended {
                p.quiet { "The session is still at work on it." }
            } @else {
                form.act method="post" action=(format!("/sessions/{id}/merge")) {
                    input type="hidden" name="commit" value=(cut(&opened.head_commit, 64));
                    p.quiet { "You merge exactly " code { (cut(&opened.head_commit, 12).trim_end_matches('…')) } ", with the text on this page." }
                    div.row { button.primary type="submit" { "Merge" } }
                }
                details.sure.act data-key="close" {
                    summary.button { "Close" }
                    form method="post" action=(format!("/sessions/{id}/close")) { button.danger type="submit" { "Close without merging" } }
                }
            }
        }
    }
}

fn what(facts: &Facts, opened: &PullRequest) -> Markup {
    html! {
        section.card aria-labelledby="what-title" {
            h2 #what-title { "Exactly" }
            dl {
                div.fact { dt { "Head" } dd { code.id { (inert(&cut(&opened.head_commit, 64))) } } }
                div.fact { dt { "Base" } dd { code.id { (inert(&cut(&opened.base_commit, 64))) } } }
                div.fact { dt { "Text" } dd { code title="Digest of the text on this page" { (Digest::of(opened.body.as_bytes()).short()) } } }
                @if let Some(received) = &facts.received { div.fact { dt { "Size" } dd { (words::stat(received.stat)) } } }
                div.fact { dt { "Opened" } dd { (time(opened.opened)) } }
            }
        }
    }
}
