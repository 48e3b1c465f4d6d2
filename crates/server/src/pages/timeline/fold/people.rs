//! What people say and ask for.

use cofferdam_domain::{About, Event, EventBody, Seq, event::PlanDecision};

use super::short;
use crate::pages::{
    text::{Excerpt, cut},
    timeline::{Note, Said, Timeline, Tone, What},
};

/// Bytes of what a person said.
const SAID: usize = 12 * 1024;
/// Bytes of what a person decides about: whole, as far as a page can hold it.
const DECIDED: usize = 128 * 1024;

/// What an event of this kind does; nothing for any other.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`super::fold` lists every event; here is one kind of them"
)]
pub(super) fn fold(timeline: &mut Timeline, event: &Event) {
    match &event.body {
        EventBody::TaskAccepted { task } => said(timeline, event, &task.requester, "asked", &task.prompt),
        EventBody::MessageReceived { from, text, about, .. } => {
            wrote(timeline, event, from, text, about.as_deref());
        }
        EventBody::PauseAsked { by } => timeline.note(event, Note::quoting(Tone::Warn, "Paused by", by)),
        EventBody::ContinueAsked { by } => {
            timeline.note(event, Note::quoting(Tone::Plain, "Continued by", by))
        }
        EventBody::QuestionAsked { question, .. } => decided(timeline, event, "asks", question),
        EventBody::QuestionAnswered { by, text, .. } => said(timeline, event, by, "answered", text),
        EventBody::PlanProposed { text, .. } => decided(timeline, event, "proposes a plan", text),
        EventBody::PlanDecided { by, decision, .. } => plan_decided(timeline, event, by, decision),
        EventBody::RolledBack { to, by, instruction } => {
            rolled_back(timeline, event, *to);
            timeline.note(event, Note::quoting(Tone::Warn, format!("Rolled back to event {} by", to.0), by));
            instructed(timeline, event, by, instruction.as_deref());
        }
        EventBody::Forked { from, at, by, instruction, .. } => {
            let words = format!("Forked from {from} at event {} by", at.0);
            timeline.note(event, Note::quoting(Tone::Plain, words, by));
            instructed(timeline, event, by, instruction.as_deref());
        }
        EventBody::TerminalOpened { by } => {
            timeline.note(event, Note::quoting(Tone::Warn, "A person works in the sandbox:", by));
        }
        EventBody::TerminalClosed { by, .. } => {
            timeline.note(event, Note::quoting(Tone::Plain, "Terminal closed; it was recorded, for", by));
        }
        EventBody::BudgetExceeded { what } => {
            timeline.note(event, Note::quoting(Tone::Warn, "A budget is used up:", what));
        }
        EventBody::MergeAsked { by, commit } => {
            timeline
                .note(event, Note::quoting(Tone::Plain, format!("Merge of {} asked by", short(commit)), by));
        }
        EventBody::CloseAsked { by } => {
            timeline.note(event, Note::quoting(Tone::Plain, "Closing the pull request asked by", by));
        }
        EventBody::AttemptReady { commit } => {
            let words = format!("Ready at {}, to be chosen among the attempts", heads(commit));
            timeline.note(event, Note::new(Tone::Plain, words));
        }
        EventBody::AttemptChosen { by, commit } => {
            let words = format!("Chosen among the attempts, at {}, by", heads(commit));
            timeline.note(event, Note::quoting(Tone::Good, words, by));
        }
        EventBody::AttemptPassedOver { by, chosen, .. } => {
            let words = format!("Another attempt, {chosen}, was chosen by");
            timeline.note(event, Note::quoting(Tone::Quiet, words, by));
        }
        EventBody::CancelAsked { by } => {
            timeline.note(event, Note::quoting(Tone::Warn, "Cancellation asked by", by));
        }
        _ => {}
    }
}

/// Head commits, each as short as people write them.
fn heads(commit: &str) -> String {
    let heads: Vec<String> = commit.split('+').map(short).collect();
    heads.join(" and ")
}

/// What the agent puts to people: what somebody has approved is to be read there afterwards too.
fn decided(timeline: &mut Timeline, event: &Event, how: &'static str, text: &str) {
    let text = Excerpt::beginning(text, DECIDED);
    timeline.push(event, What::Said(Said { seq: event.seq, by: "The agent".to_owned(), how, text }));
}

fn said(timeline: &mut Timeline, event: &Event, by: &str, how: &'static str, text: &str) {
    let said = Said { seq: event.seq, by: cut(by, 100), how, text: Excerpt::beginning(text, SAID) };
    timeline.push(event, What::Said(said));
}

/// A message; of a review also what it says about lines.
fn wrote(timeline: &mut Timeline, event: &Event, from: &str, text: &str, about: Option<&About>) {
    let how = match about {
        None => "wrote",
        Some(About::Comment { .. }) => "commented on the forge",
        Some(About::Review { .. }) => "reviewed the pull request",
        Some(About::Check { .. }) => "failed",
        Some(About::Said { .. }) => "said in the chat",
    };
    let mut whole = text.to_owned();
    for remark in about.map(About::remarks).unwrap_or_default() {
        whole.push_str(&format!("\n\n**{}**\n\n{}", remark.place(), remark.text));
    }
    said(timeline, event, from, how, whole.trim_start());
}

fn plan_decided(timeline: &mut Timeline, event: &Event, by: &str, decision: &PlanDecision) {
    match decision {
        PlanDecision::Approved { text: None } => {
            timeline.note(event, Note::quoting(Tone::Good, "Plan approved as it stands by", by));
        }
        PlanDecision::Approved { text: Some(text) } => {
            said(timeline, event, by, "approved the plan with changes", text)
        }
        PlanDecision::Rejected { text } => said(timeline, event, by, "rejected the plan", text),
    }
}

fn rolled_back(timeline: &mut Timeline, event: &Event, to: Seq) {
    for entry in timeline.entries.iter_mut().filter(|entry| entry.first > to && !entry.undone) {
        entry.undone = true;
        entry.changed = event.seq;
    }
}

fn instructed(timeline: &mut Timeline, event: &Event, by: &str, instruction: Option<&str>) {
    if let Some(text) = instruction {
        said(timeline, event, by, "says what to do instead", text);
    }
}
