//! States, reasons, times and amounts in the words of pages.

use std::time::Duration;

use cofferdam_domain::{
    Outcome, Severity, Stage, Timestamp, Verdict,
    amount::{counted, duration},
    change::DiffStat,
    egress::EgressRule,
    event::NudgeReason,
    evidence::Exit,
    policy::LimitKind,
};
use maud::{Markup, html};

use super::timeline::Tone;

pub(crate) const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Repository => "Preparing the repository",
        Stage::Sandbox => "Making the sandbox",
        Stage::Collect => "Taking the change out of the sandbox",
        Stage::Examine => "The gate examines the change",
        Stage::Evidence { side: cofferdam_domain::Side::Base } => "Running the tests without the change",
        Stage::Evidence { side: cofferdam_domain::Side::Head } => "Running the tests with the change",
        Stage::SelfReview => "A fresh look at the change",
        Stage::Push => "Pushing the branch",
        Stage::PullRequest => "Opening the pull request",
        Stage::Merge => "Merging the pull request",
        Stage::Close => "Closing the pull request",
    }
}

pub(crate) const fn nudge(reason: NudgeReason) -> &'static str {
    match reason {
        NudgeReason::RepeatedCall => "the same call again and again",
        NudgeReason::RepeatedError => "one error after another",
        NudgeReason::PingPong => "back and forth",
        NudgeReason::NoProgress => "no progress",
        NudgeReason::Silent => "no tool call",
        NudgeReason::Truncated => "answer cut at its limit",
        NudgeReason::Refused => "answer refused",
        NudgeReason::WrapUp => "time to wrap up",
        NudgeReason::GateFindings => "findings of the gate",
        NudgeReason::SelfReview => "findings of a fresh look",
        NudgeReason::FollowUp => "a follow-up",
    }
}

pub(crate) const fn limit(limit: LimitKind) -> &'static str {
    match limit {
        LimitKind::Steps => "steps",
        LimitKind::Tokens => "tokens",
        LimitKind::Cost => "cost",
        LimitKind::Wall => "time",
        LimitKind::Stuck => "the agent went in circles",
        LimitKind::Model => "the model failed or refused again and again",
    }
}

/// An outcome: how it should look, the platform's words, and a reason that may quote others.
pub(crate) fn outcome(outcome: &Outcome) -> (Tone, &'static str, &str) {
    match outcome {
        Outcome::Succeeded => (Tone::Good, "Ready to review", ""),
        Outcome::Reviewed => (Tone::Good, "Reviewed", ""),
        Outcome::Answered => (Tone::Good, "Answered", ""),
        Outcome::NothingToDo => (Tone::Good, "Nothing to do", ""),
        Outcome::Failed { reason } => (Tone::Bad, "Failed:", reason),
        Outcome::Stopped { limit } => (Tone::Warn, "Stopped by a limit:", limit),
        Outcome::Held { reason } => (Tone::Warn, "Held for a person:", reason),
        Outcome::PassedOver { .. } => (Tone::Quiet, "Another attempt was chosen", ""),
        Outcome::Cancelled => (Tone::Quiet, "Cancelled", ""),
    }
}

pub(crate) const fn verdict(verdict: Verdict) -> (Tone, &'static str) {
    match verdict {
        Verdict::Publish => (Tone::Good, "May be published"),
        Verdict::SendBack => (Tone::Warn, "Sent back to the agent"),
        Verdict::Hold => (Tone::Bad, "Held for a person"),
    }
}

pub(crate) const fn severity(severity: Severity) -> (Tone, &'static str) {
    match severity {
        Severity::Note => (Tone::Quiet, "note"),
        Severity::Warning => (Tone::Warn, "look here first"),
        Severity::Blocking => (Tone::Bad, "blocking"),
    }
}

/// How a command ended, and how that should look.
pub(crate) fn exit(exit: Exit) -> (Tone, String) {
    match exit {
        Exit::Code(0) => (Tone::Good, "passed".to_owned()),
        Exit::Code(status) => (Tone::Bad, format!("failed, exit {status}")),
        Exit::Signal(signal) => (Tone::Bad, format!("killed by signal {signal}")),
        Exit::TimedOut => (Tone::Bad, "stopped by the time limit".to_owned()),
    }
}

pub(crate) fn stat(stat: DiffStat) -> String {
    format!("{}, +{} −{}", counted(stat.files, "file"), stat.added, stat.removed)
}

/// A rule in one line: what it would let out.
pub(crate) fn rule(rule: &EgressRule) -> String {
    let list = |items: Vec<String>| items.join(" ");
    format!(
        "{} {}://{} {}",
        list(rule.methods.iter().map(ToString::to_string).collect()),
        rule.scheme,
        rule.host,
        list(rule.paths.iter().map(ToString::to_string).collect())
    )
}

pub(crate) fn millis(millis: u64) -> String {
    duration(Duration::from_millis(millis))
}

/// A point in time as machines read it: to the second, in universal time. `None` for what no calendar has.
fn exact(at: Timestamp) -> Option<String> {
    let second = i64::try_from(at.0 / 1_000).ok()?;
    jiff::Timestamp::from_second(second).ok().map(|exact| exact.to_string())
}

/// A point in time: to the minute in universal time, which the script puts into the reader's.
pub(crate) fn time(at: Timestamp) -> Markup {
    let Some(exact) = exact(at) else { return html! { span { "—" } } };
    let shown = exact.get(..16).unwrap_or(&exact).replace('T', " ");
    html! { time datetime=(exact) { (shown) " UTC" } }
}

/// The time of the day alone, where the day is known.
pub(crate) fn clock(at: Timestamp) -> Markup {
    let Some(exact) = exact(at) else { return html! { span { "—" } } };
    html! { time.clock datetime=(exact) { (exact.get(11..19).unwrap_or(&exact)) } }
}

/// The same, as how long ago it was.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let Some(exact) = exact(at) else { return html! { span { "—" } } };
    html! { time.ago datetime=(exact) { (since(now.millis_since(at))) } }
}

fn since(millis: u64) -> String {
    match millis / 1_000 {
        0..60 => "just now".to_owned(),
        seconds @ 60..3_600 => format!("{} min ago", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        assert_eq!(
            time(Timestamp(1_780_000_000_000)).into_string(),
            "<time datetime=\"2026-05-28T20:26:40Z\">2026-05-28 20:26 UTC</time>"
        );
        assert_eq!(time(Timestamp(u64::MAX)).into_string(), "<span>—</span>");
        assert_eq!(
            [5_000, 125_000, 7_300_000, 200_000_000].map(since),
            ["just now", "2 min ago", "2 h ago", "2 d ago"]
        );
    }
}
