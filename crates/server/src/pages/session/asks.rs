//! What waits for a person: each with the exact text that is decided about, and a form that is bound to its digest.

use cofferdam_domain::{
    CallId, Digest, Outcome, PullRequestState, SandboxId, SessionState, WaitingFor, egress::AccessAsk,
};
use maud::{Markup, html};

use super::{Facts, Row};
use crate::pages::{
    text::{Excerpt, inert, line},
    words,
};

/// Bytes of a question, a plan or a reason that are shown: they are decided about, so this is more than they may have.
const WHOLE: usize = 512 * 1024;

/// Requests for access that are shown at once.
const MOST_ACCESSES: usize = 20;

/// For how long access can be granted: in minutes, and in words.
const TIMES: [(&str, &str); 4] =
    [("", "for this session"), ("15", "for 15 minutes"), ("60", "for an hour"), ("1440", "for a day")];

/// All that waits. Empty while nothing does.
pub(super) fn asks(row: &Row, facts: &Facts) -> Markup {
    let open = row.state != SessionState::Ended;
    let standing = &facts.standing;
    let plan = standing.plan.as_ref().filter(|plan| plan.decision.is_none());
    html! {
        div.asks #asks data-parts {
            @if let Some(sandbox) = standing.frozen { (frozen(row, sandbox, facts.frozen.as_deref().unwrap_or_default())) }
            @if open {
                @for question in standing.questions.iter().filter(|question| question.is_open()) {
                    (self::question(row, question.call, &question.text))
                }
                @if let Some(plan) = plan { (self::plan(row, plan.digest, &plan.text)) }
                @for access in standing.accesses.iter().filter(|access| access.decided.is_none()).take(MOST_ACCESSES) {
                    (self::access(row, &access.ask))
                }
                @if row.waiting == Some(WaitingFor::Budget) { (budget(row, standing.spent.as_deref())) }
                @if row.waiting == Some(WaitingFor::Pause) { (paused(row)) }
                @if row.waiting == Some(WaitingFor::Choice) { (choice(row)) }
            }
            @if let Some(Outcome::Stopped { limit }) = &standing.outcome && goes_on(row, facts) { (stopped(row, limit)) }
        }
    }
}

/// A text that is decided about, character by character: rendered, parts of it could be seen as others, or not at all.
fn exact(text: &str) -> Markup {
    // HTML drops a line end right after the tag: this one, instead of one of the text's.
    html! { pre.exact { "\n" (Excerpt::beginning(text, WHOLE).markup()) } }
}

fn question(row: &Row, call: CallId, question: &str) -> Markup {
    let id = format!("answer-{call}");
    html! {
        section.card.ask #(format!("ask-{call}")) aria-labelledby=(format!("title-{call}")) {
            h2 #(format!("title-{call}")) { "The agent asks" }
            (exact(question))
            form.act method="post" action=(format!("/sessions/{}/answers", row.id)) {
                input type="hidden" name="call" value=(call);
                label for=(id) { "Your answer" }
                textarea #(id) name="text" rows="3" required maxlength="65536" {}
                div.row {
                    button.primary type="submit" { "Answer" }
                    button type="submit" formaction=(format!("/sessions/{}/continue", row.id)) formnovalidate { "Let it decide by itself" }
                }
            }
        }
    }
}

fn plan(row: &Row, digest: Digest, text: &str) -> Markup {
    let address = format!("/sessions/{}/plan", row.id);
    html! {
        section.card.ask #(format!("plan-{}", digest.short())) aria-labelledby="plan-title" {
            h2 #plan-title { "A plan to approve" }
            p.quiet { "Until you approve it, the agent can only read. You approve exactly this text, " code { (digest.short()) } "." }
            (exact(text))
            form.act method="post" action=(address) {
                input type="hidden" name="digest" value=(digest);
                details data-key="edit" {
                    summary { "Change it before approving" }
                    label for="plan-text" { "The plan, as the agent will get it" }
                    textarea #plan-text name="text" rows="14" maxlength="524288" { (text) }
                }
                details data-key="reject" {
                    summary { "Ask for another plan" }
                    label for="plan-reason" { "What is wrong with this one" }
                    textarea #plan-reason name="reason" rows="3" maxlength="65536" {}
                    button type="submit" name="decision" value="reject" { "Send back" }
                }
                div.row { button.primary type="submit" name="decision" value="approve" { "Approve" } }
            }
        }
    }
}

fn access(row: &Row, ask: &AccessAsk) -> Markup {
    let digest = ask.digest();
    // The same bytes that the digest is of.
    let exact = serde_json::to_string(&ask.rule).unwrap_or_default();
    html! {
        section.card.ask #(format!("access-{}", digest.short())) aria-labelledby=(format!("access-title-{}", digest.short())) {
            h2 #(format!("access-title-{}", digest.short())) { "The agent asks for access" }
            p.rule { code { (inert(&words::rule(&ask.rule))) } }
            p { span.quiet { "Its reason, unverified: " } q { (Excerpt::beginning(&ask.reason, 4_000).markup()) } }
            details data-key="exact" {
                summary { "The exact rule, " code { (digest.short()) } }
                pre tabindex="0" { (inert(&exact)) }
            }
            form.act method="post" action=(format!("/sessions/{}/access/{digest}", row.id)) {
                input type="hidden" name="call" value=(ask.call);
                div.row {
                    label.unseen for=(format!("minutes-{}", digest.short())) { "For how long" }
                    select #(format!("minutes-{}", digest.short())) name="minutes" {
                        @for (minutes, words) in TIMES { option value=(minutes) { (words) } }
                    }
                    button.primary type="submit" name="decision" value="grant" { "Grant" }
                    button type="submit" name="decision" value="deny" { "Deny" }
                }
            }
        }
    }
}

fn frozen(row: &Row, sandbox: SandboxId, reason: &str) -> Markup {
    html! {
        section.card.ask.danger #(format!("frozen-{sandbox}")) aria-labelledby="frozen-title" {
            h2 #frozen-title { "The sandbox is frozen" }
            p { q { (line(reason, 600)) } }
            p.quiet { "Nothing in it runs. Look at what was refused before you let it go on." }
            form.act method="post" action=(format!("/sessions/{}/release", row.id)) {
                input type="hidden" name="sandbox" value=(sandbox);
                div.row { button.danger type="submit" { "Release it" } }
            }
        }
    }
}

fn budget(row: &Row, what: Option<&str>) -> Markup {
    html! {
        section.card.ask #ask-budget aria-labelledby="budget-title" {
            h2 #budget-title { "A budget is used up" }
            @if let Some(what) = what { p { (line(what, 400)) } }
            p.quiet { "It goes on by itself when the day is over (UTC), or now, if you say so." }
            (go_on(row, "Go on now"))
        }
    }
}

/// Whether a session that a limit has stopped can go on: one that works for another is that one's matter, and what is merged or closed is over.
fn goes_on(row: &Row, facts: &Facts) -> bool {
    let pull_request = facts.standing.pull_request.as_ref().map(|pull_request| &pull_request.state);
    let over = matches!(pull_request, Some(PullRequestState::Merged { .. } | PullRequestState::Closed));
    row.state == SessionState::Ended && row.parent.is_none() && !row.archived && !over
}

fn stopped(row: &Row, limit: &str) -> Markup {
    html! {
        section.card.ask #ask-limit aria-labelledby="limit-title" {
            h2 #limit-title { "A limit was reached" }
            p { (line(limit, 400)) }
            p.quiet { "What there was by then is kept. It can go on with that, with the same limits anew." }
            (go_on(row, "Continue"))
        }
    }
}

fn paused(row: &Row) -> Markup {
    html! {
        section.card.ask #ask-pause aria-labelledby="pause-title" {
            h2 #pause-title { "Paused" }
            p.quiet { "Its files are kept. No worker has it." }
            (go_on(row, "Continue"))
        }
    }
}

fn choice(row: &Row) -> Markup {
    html! {
        section.card.ask #ask-choice aria-labelledby="choice-title" {
            h2 #choice-title { "Ready to be chosen" }
            p.quiet { "It is one of several attempts at the task. Nothing of it is delivered before it is chosen. No worker has it." }
            p { a.button.primary href=(format!("/sessions/{}/attempts", row.id)) { "Compare the attempts" } }
        }
    }
}

fn go_on(row: &Row, words: &str) -> Markup {
    html! {
        form.act method="post" action=(format!("/sessions/{}/continue", row.id)) {
            div.row { button.primary type="submit" { (words) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decided_about_is_shown_as_it_is() {
        let text = "\n{\"to\":\"[a](https://a.example 'b')\",\"sum\":\"\\*1\\*\"}  <b>\u{202e}";
        let shown = exact(text).into_string();
        let whole = "<pre class=\"exact\">\n\n{&quot;to&quot;:&quot;[a](https://a.example 'b')&quot;,&quot;sum&quot;:&quot;\\*1\\*&quot;}  &lt;b&gt;<span";
        assert!(shown.starts_with(whole) && shown.contains("U+202E"), "{shown}");
    }
}
