//! What people do to a running session, and what it wants of them, as lines for people.

use cofferdam_domain::{EventBody, event::PlanDecision};

use crate::terminal::{Style, Terminal, inert};

/// Characters of what people write.
const WRITTEN: usize = 400;

/// The lines for an event of this kind; none for any other. `cut` shortens long texts, but for those that people decide about: they are shown as
/// they are.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the timeline lists every event; here is one kind of them"
)]
pub(super) fn texts(
    terminal: Terminal,
    body: &EventBody,
    cut: &dyn Fn(&str, usize) -> String,
) -> Vec<String> {
    let by = |style, what: &str, by: &str| vec![terminal.paint(style, &format!("{what} by {}", inert(by)))];
    let told = |text: &Option<String>| text.iter().map(|text| format!("  {}", cut(text, WRITTEN))).collect();
    let with = |mut lines: Vec<String>, more: Vec<String>| {
        lines.extend(more);
        lines
    };
    match body {
        EventBody::PauseAsked { by: who } => by(Style::Warn, "paused", who),
        EventBody::ContinueAsked { by: who } => by(Style::Good, "continued", who),
        EventBody::QuestionAsked { call, question } => {
            let head = terminal.paint(Style::Warn, &format!("asks ({call}):"));
            vec![format!("{head} {}", inert(question))]
        }
        EventBody::QuestionAnswered { by: who, text, .. } => {
            with(by(Style::Good, "answered", who), told(&Some(text.clone())))
        }
        EventBody::PlanProposed { text, digest, .. } => {
            let head = format!("proposes a plan ({}):", digest.short());
            vec![terminal.paint(Style::Warn, &head), inert(text)]
        }
        EventBody::PlanDecided { by: who, decision: PlanDecision::Approved { text }, .. } => {
            let changed = if text.is_some() { "plan approved with changes" } else { "plan approved" };
            with(by(Style::Good, changed, who), told(text))
        }
        EventBody::PlanDecided { by: who, decision: PlanDecision::Rejected { text }, .. } => {
            with(by(Style::Bad, "plan rejected", who), told(&Some(text.clone())))
        }
        EventBody::Checkpointed { step, .. } => {
            vec![terminal.paint(Style::Dim, &format!("checkpoint after step {step}"))]
        }
        EventBody::CheckpointStored { .. } => {
            vec![terminal.paint(Style::Dim, "checkpoint stored for other machines")]
        }
        EventBody::RolledBack { to, by: who, instruction } => {
            with(by(Style::Warn, &format!("taken back to event {}", to.0), who), told(instruction))
        }
        EventBody::Forked { from, at, by: who, instruction, .. } => {
            with(by(Style::Warn, &format!("forked from event {} of {from}", at.0), who), told(instruction))
        }
        EventBody::TerminalOpened { by: who } => by(Style::Warn, "sandbox taken over", who),
        EventBody::TerminalClosed { by: who, .. } => by(Style::Good, "sandbox given back", who),
        EventBody::BudgetExceeded { what } => {
            vec![terminal.paint(Style::Warn, &format!("waits: {}", inert(what)))]
        }
        EventBody::MergeAsked { by: who, commit } => {
            by(Style::Good, &format!("merge of {} asked", inert(commit.get(..12).unwrap_or(commit))), who)
        }
        EventBody::CloseAsked { by: who } => by(Style::Warn, "closing asked", who),
        EventBody::Delegated { call, session, kind, named, .. } => {
            let named = named.as_deref().map(|named| format!("{} as ", inert(named))).unwrap_or_default();
            let words = format!("{call}: {named}{} by {session}, a session of its own", kind.name());
            vec![terminal.paint(Style::Dim, &words)]
        }
        EventBody::Overtaken { found } => {
            let words = format!("others have pushed meanwhile: {}", inert(found.get(..12).unwrap_or(found)));
            vec![terminal.paint(Style::Warn, &words)]
        }
        EventBody::MergeFailed { reason } => {
            vec![terminal.paint(Style::Bad, &format!("not done: {}", inert(reason)))]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{CallId, Digest};

    use super::*;
    use crate::terminal::excerpt;

    #[test]
    fn what_people_decide_about_is_never_cut() {
        let text = format!("May this be called? {{\"a\":\"{}  b\\n\"}}\u{202e}\n  end", "x".repeat(2_000));
        let call = CallId { step: 1, index: 0 };
        let digest = Digest::of(text.as_bytes());
        for body in [
            EventBody::QuestionAsked { call, question: text.clone() },
            EventBody::PlanProposed { call, text: text.clone(), digest },
        ] {
            let lines = texts(Terminal::standard(true), &body, &excerpt).join("\n");
            assert!(lines.ends_with(&text.replace('\u{202e}', "\\u{202e}")), "{lines}");
        }
    }
}
