//! The column beside the timeline: facts that were computed, never said, and what can be done with the session.

use cofferdam_domain::{Mixture, Seq, SessionState, Severity, Side, amount::counted, message::Family};
use maud::{Markup, html};

use super::{Facts, Row};
use crate::pages::{
    text::{cut, inert, line, number, plain},
    timeline::Tone,
    words::{self, millis, time},
};

/// Checkpoints that are listed at once.
const LISTED: usize = 8;
/// Refusals that are listed.
const REFUSED: usize = 10;

/// The column.
pub(super) fn rail(row: &Row, facts: &Facts) -> Markup {
    html! {
        aside.rail #rail aria-label="Facts" {
            (trust(facts))
            (spent(facts))
            (change(row, facts))
            (super::subagents::subagents(row))
            (checkpoints(row, facts))
            (about(row, facts))
            (steer(row))
        }
    }
}

fn fact(name: &str, tone: Tone, value: &Markup) -> Markup {
    html! { div.fact { dt { (name) } dd.(tone.class()) { (value) } } }
}

fn trust(facts: &Facts) -> Markup {
    let evidence = facts.evidence();
    let blocking = facts.findings().iter().filter(|finding| finding.severity == Severity::Blocking).count();
    html! {
        section.card aria-labelledby="trust-title" {
            h2 #trust-title { "Can I trust it?" }
            dl {
                @if facts.run(Side::Head).is_some() {
                    (fact("Tests", super::result::headline_tone(evidence.headline), &html! { (evidence.headline.sentence()) }))
                } @else if let Some(reason) = &facts.standing.evidence_missing {
                    (fact("Tests", Tone::Warn, &html! { "No evidence: " (line(reason, 160)) }))
                } @else {
                    (fact("Tests", Tone::Quiet, &html! { "not run yet" }))
                }
                @if let Some(verdict) = facts.verdict() {
                    @let (tone, words) = words::verdict(verdict);
                    (fact("Gate", tone, &html! {
                        (words)
                        @if !facts.findings().is_empty() { ", " (counted(facts.findings().len() as u64, "finding")) }
                        @if blocking > 0 { ", " (blocking) " blocking" }
                    }))
                } @else {
                    (fact("Gate", Tone::Quiet, &html! { "has not looked yet" }))
                }
                (fact("Network", if facts.refusals > 0 { Tone::Warn } else { Tone::Plain }, &network(facts)))
                @if let Some((mixture, with)) = facts.mixture() { (fact("Labels", if mixture.let_be { Tone::Warn } else { Tone::Plain }, &mixed(&mixture, with))) }
                @if let Some(limit) = facts.limit { (fact("Limit", Tone::Warn, &html! { (words::limit(limit)) })) }
            }
        }
    }
}

/// What has come together, since when, by what, and what follows.
fn mixed(mixture: &Mixture, with: Seq) -> Markup {
    html! {
        "untrusted words and private data since event " (with.0) ": " (mixture.consequence())
        details data-key="labels" {
            summary { "Why" }
            ul.refusals {
                li { "anybody may have written " (line(&mixture.untrusted.what, 300)) ", " span.quiet { (time(mixture.untrusted.at)) } }
                li { "not everybody may see " (line(&mixture.private.what, 300)) ", " span.quiet { (time(mixture.private.at)) } }
            }
        }
    }
}

fn network(facts: &Facts) -> Markup {
    html! {
        @if facts.requests == 0 && facts.refusals == 0 && facts.packages == 0 {
            "nothing left, nothing refused"
        } @else {
            (number(facts.requests)) " let out, " (number(facts.refusals)) " refused"
            @if facts.packages > 0 { ", " (counted(facts.packages, "package")) }
        }
        @if !facts.refused.is_empty() {
            details data-key="refused" {
                summary { "What was refused" }
                ul.refusals {
                    @for (operation, reason, count) in facts.refused.iter().take(REFUSED) {
                        li { code { (line(operation, 160)) } @if *count > 1 { " ×" (count) } br; span.quiet { (line(reason, 200)) } }
                    }
                    @if facts.refused.len() > REFUSED { li.quiet { "and " (facts.refused.len() - REFUSED) " more kinds" } }
                }
            }
        }
    }
}

fn spent(facts: &Facts) -> Markup {
    let budget = facts.fixed.as_ref().map(|fixed| fixed.policy.budget).unwrap_or_default();
    let spent = &facts.spent;
    html! {
        section.card aria-labelledby="spent-title" {
            h2 #spent-title { "Spent" }
            p.money { b { (spent.cost) } span.quiet { " of " (budget.cost) } }
            progress max=(budget.cost.0.max(1)) value=(spent.cost.0.min(budget.cost.0)) aria-label="Money spent of the budget" {}
            dl {
                (fact("Steps", Tone::Plain, &html! { (spent.steps) span.quiet { " of " (budget.steps) } }))
                (fact("Tokens", Tone::Plain, &html! { (number(spent.usage.total())) span.quiet { ", " (cached(facts)) " from cache" } }))
                (fact("Time", Tone::Plain, &html! { (millis(spent.wall_ms)) }))
            }
        }
    }
}

fn cached(facts: &Facts) -> String {
    let prompt = facts.spent.usage.prompt().max(1);
    format!("{} %", facts.spent.usage.cache_read * 100 / prompt)
}

fn change(row: &Row, facts: &Facts) -> Markup {
    let Some(received) = &facts.received else { return html! {} };
    html! {
        section.card aria-labelledby="change-title" {
            h2 #change-title { "Change" }
            dl {
                (fact("Size", Tone::Plain, &html! { a href=(format!("/sessions/{}/diff", row.id)) { (words::stat(received.stat)) } }))
                (fact("Commit", Tone::Plain, &html! { code { (cut(&received.head, 12)) } }))
                @if let Some(opened) = &facts.standing.pull_request {
                    (fact("Branch", Tone::Plain, &html! { code { (line(&opened.branch, 80)) } }))
                    (fact("Pull request", Tone::Plain, &html! {
                        a href=(format!("/sessions/{}/pull-request", row.id)) { "#" (opened.number) @if opened.draft { ", draft" } }
                    }))
                }
            }
        }
    }
}

fn checkpoints(row: &Row, facts: &Facts) -> Markup {
    if facts.standing.checkpoints.is_empty() {
        return html! {};
    }
    html! {
        section.card aria-labelledby="checkpoints-title" {
            h2 #checkpoints-title { "Checkpoints" }
            ul.checkpoints {
                @for point in facts.standing.checkpoints.iter().rev().take(LISTED) {
                    li #(format!("checkpoint-{}", point.at.0)) {
                        details data-key=(format!("checkpoint-{}", point.at.0)) {
                            summary { "After step " (point.step) " " span.quiet { (time(point.time)) } }
                            (go_back(row, point.at))
                        }
                    }
                }
            }
            @if facts.standing.checkpoints.len() > LISTED {
                p.quiet { (facts.standing.checkpoints.len() - LISTED) " earlier ones: the command line lists them all." }
            }
        }
    }
}

/// Taking the session back to a checkpoint, or forking it there.
fn go_back(row: &Row, to: Seq) -> Markup {
    let id = row.id;
    let field = format!("instead-{}", to.0);
    html! {
        form.act method="post" action=(format!("/sessions/{id}/rollback")) {
            input type="hidden" name="to" value=(to.0);
            label for=(field) { "What to do instead" }
            textarea #(field) name="instruction" rows="2" maxlength="65536" {}
            @if row.models.len() > 1 {
                @let field = format!("model-{}", to.0);
                label for=(field) { "Model of a fork" }
                select #(field) name="model" {
                    option value="" { "The same" }
                    @for one in row.models.iter() { option value=(plain(one)) { (plain(one)) } }
                }
            }
            div.row {
                button type="submit" { "Roll back" }
                button type="submit" formaction=(format!("/sessions/{id}/fork")) { "Fork" }
            }
        }
    }
}

fn about(row: &Row, facts: &Facts) -> Markup {
    html! {
        section.card aria-labelledby="about-title" {
            h2 #about-title { "Session" }
            dl {
                @if let Some(fixed) = &facts.fixed {
                    (fact("Model", Tone::Plain, &html! {
                        (line(&fixed.model.name, 60))
                        @if fixed.model.family == Family::Scripted { " " span.tag.warn { "a recording" } }
                    }))
                }
                @if let Some(playbook) = facts.standing.task.as_ref().and_then(|task| task.playbook.as_ref()) {
                    (fact("Playbook", Tone::Plain, &html! {
                        a href=(format!("/playbooks/{}?digest={}", plain(&playbook.name), playbook.digest)) { (line(&playbook.name, 80)) }
                        " " code { (playbook.digest.short()) }
                    }))
                }
                @if let Some(policy) = facts.standing.task.as_ref().and_then(|task| task.wishes.policy.as_ref()) {
                    (fact("Policy", Tone::Plain, &html! { (line(policy, 60)) }))
                }
                @if let Some(repository) = &facts.repository {
                    (fact("Base", Tone::Plain, &html! {
                        (line(&repository.base_branch, 60)) " " code { (cut(&repository.base_commit, 10).trim_end_matches('…')) }
                    }))
                }
                @if let Some(worker) = &facts.worker { (fact("Worker", Tone::Plain, &html! { (line(worker, 60)) })) }
                @if let Some(task) = &facts.standing.task {
                    (fact("Task", Tone::Plain, &html! { code title="Digest of exactly what was asked" { (task.content_hash.short()) } }))
                }
                @if let Some((last, at)) = facts.last {
                    (fact("Log", Tone::Plain, &html! { (counted(last.0, "event")) ", last " (time(at)) }))
                }
                (fact("Id", Tone::Plain, &html! { code.id { (inert(&row.id.to_string())) } }))
            }
        }
    }
}

/// Pausing, cancelling, archiving.
fn steer(row: &Row) -> Markup {
    let id = row.id;
    let running =
        matches!(row.state, SessionState::Queued | SessionState::Working | SessionState::Delivering);
    let open = running || row.state == SessionState::Waiting;
    html! {
        section.steer.act aria-label="Steer" {
            @if running { (button(&format!("/sessions/{id}/pause"), "Pause")) }
            @if open {
                (button(&format!("/sessions/{id}/freeze"), "Freeze"))
                (sure(&format!("/sessions/{id}/cancel"), "Cancel", "Cancel the session"))
            } @else {
                @let word = if row.archived { "Bring back" } else { "Archive" };
                form method="post" action=(format!("/sessions/{id}/archive")) {
                    input type="hidden" name="archived" value=(!row.archived);
                    button type="submit" { (word) }
                }
            }
        }
    }
}

fn button(address: &str, words: &str) -> Markup {
    html! { form method="post" action=(address) { button type="submit" { (words) } } }
}

/// A button that must be asked for first.
fn sure(address: &str, words: &str, sure: &str) -> Markup {
    html! {
        details.sure data-key=(words) {
            summary.button { (words) }
            form method="post" action=(address) { button.danger type="submit" { (sure) } }
        }
    }
}
