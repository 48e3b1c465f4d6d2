//! What came out, in one card: the verdict, the tests before and after, and what to do now.

use cofferdam_domain::{
    EvidenceRun, Outcome, PullRequestState, SessionState, Severity, Side, amount::counted,
};
use cofferdam_gate::{EvidenceSummary, Headline};
use maud::{Markup, html};

use super::{Facts, Row};
use crate::pages::{
    markdown::prose,
    text::line,
    timeline::{Tone, plan},
    words,
};

/// The card. While the agent is at work it shows the agent's plan instead.
pub(super) fn result(row: &Row, facts: &Facts) -> Markup {
    html! {
        div #result {
            @match row.state {
                SessionState::Ended => (over(row, facts)),
                SessionState::Queued => section.card { p { "In the queue. A worker takes it as soon as one is free." } },
                SessionState::Working | SessionState::Waiting | SessionState::Delivering => (under_way(facts)),
            }
        }
    }
}

fn under_way(facts: &Facts) -> Markup {
    let done = facts.plan.iter().filter(|item| item.state == cofferdam_domain::tool::PlanState::Done).count();
    html! {
        @if !facts.plan.is_empty() {
            section.card.progress aria-labelledby="progress-title" {
                header.section {
                    h2 #progress-title { "Plan" }
                    span.quiet { (done) " of " (facts.plan.len()) " done" }
                }
                progress max=(facts.plan.len()) value=(done) aria-label="Progress of the plan" {}
                (plan(&facts.plan))
            }
        }
    }
}

fn over(row: &Row, facts: &Facts) -> Markup {
    let evidence = facts.evidence();
    let (tone, title) = super::pill(row, facts);
    html! {
        section.card.result.(tone.class()) aria-labelledby="result-title" {
            h2 #result-title { (title) }
            @if let Some(outcome) = &facts.standing.outcome { (reason(outcome)) }
            @if facts.received.is_some() {
                p.headline { (evidence.headline.sentence()) }
                (lights(facts, &evidence))
            }
            (next(row, facts))
            @if let Some(finish) = &facts.finish {
                details.says data-key="says" {
                    summary { "What the agent says, unverified: " q { (line(&finish.title, 120)) } }
                    (prose(&finish.summary))
                    @for reply in &finish.replies {
                        p.quiet { "To remark " (reply.to) @if reply.fixed { ", which it says is mended" } ":" }
                        (prose(&reply.text))
                    }
                    @for remark in &finish.remarks {
                        p.quiet { "On " code { (line(&remark.path, 200)) ":" (remark.line) } ":" }
                        (prose(&remark.text))
                    }
                }
            }
        }
    }
}

fn reason(outcome: &Outcome) -> Markup {
    match outcome {
        Outcome::Failed { reason } | Outcome::Held { reason } => html! { p { (line(reason, 800)) } },
        Outcome::Stopped { limit } => {
            html! { p { "The limit: " (line(limit, 200)) ". What there was by then is kept: a message here goes on with it, and so do Continue and " code { "cofferdam continue" } "." } }
        }
        Outcome::Succeeded
        | Outcome::Reviewed
        | Outcome::Answered
        | Outcome::NothingToDo
        | Outcome::PassedOver { .. }
        | Outcome::Cancelled => html! {},
    }
}

/// The tests before and after, side by side.
pub(crate) fn lights(facts: &Facts, evidence: &EvidenceSummary) -> Markup {
    html! {
        div.lights.(headline_tone(evidence.headline).class()) {
            (light("Before", facts.run(Side::Base)))
            span.arrow aria-hidden="true" { "→" }
            (light("After", facts.run(Side::Head)))
        }
    }
}

fn light(side: &str, run: Option<&EvidenceRun>) -> Markup {
    let Some(run) = run else {
        return html! { div.light-box.quiet { span.side { (side) } b { "not run" } } };
    };
    let (tone, words) = words::exit(run.exit);
    html! {
        div.light-box.(tone.class()) {
            span.side { (side) }
            b { (words) }
            @if let Some(tests) = &run.tests {
                span.quiet { (tests.passed.len()) " passed, " (tests.failed.len()) " failed" }
            }
        }
    }
}

/// How a headline should look.
pub(crate) const fn headline_tone(headline: Headline) -> Tone {
    match headline {
        Headline::RedToGreen | Headline::GreenStaysGreen | Headline::GreenOnHead => Tone::Good,
        Headline::StillRed
        | Headline::Broken
        | Headline::RedOnHead
        | Headline::TestsVanished
        | Headline::TimedOut => Tone::Bad,
        Headline::CouldNotRun | Headline::NotRun => Tone::Warn,
    }
}

/// What a person does now.
fn next(row: &Row, facts: &Facts) -> Markup {
    let id = row.id;
    let pull_request = facts.standing.pull_request.as_ref().map(|pull_request| &pull_request.state);
    let warnings = facts.findings().iter().filter(|finding| finding.severity > Severity::Note).count();
    html! {
        div.row.next {
            @if facts.received.is_some() {
                a.button.primary[facts.is_open_for_review()] href=(format!("/sessions/{id}/diff")) {
                    "Review the change"
                    @if warnings > 0 { ", " (counted(warnings as u64, "finding")) " first" }
                }
                a.button href=(format!("/sessions/{id}/evidence")) { "Evidence" }
            }
            @if let Some(PullRequestState::Open) = pull_request {
                a.button href=(format!("/sessions/{id}/pull-request")) { "Merge or close" }
            }
        }
    }
}
