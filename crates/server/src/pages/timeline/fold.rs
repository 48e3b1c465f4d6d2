//! What each kind of event does to a timeline.

mod delivery;
mod door;
mod people;

use cofferdam_domain::{
    Answer, Block, CallId, Digest, Event, EventBody, Memories, MemoryProposal, Part, Stage, StopReason,
    amount::counted,
    event::{Fixed, Instructions, Repository},
    message::Family,
    tool::ToolEffect,
};

use super::{
    CallState, Note, Reply, StageEntry, StageResult, Step, Timeline, Tone, What,
    call::{asked, ended},
};
use crate::pages::{
    text::{Excerpt, cut, number},
    words,
};

/// Bytes of prose, and of reasoning, that are held of one answer.
const PROSE: usize = 12 * 1024;
const REASONING: usize = 6 * 1024;
/// Calls of one step.
const MOST_CALLS: usize = 48;

#[expect(clippy::too_many_lines, reason = "a line for each kind of event")]
pub(super) fn fold(timeline: &mut Timeline, event: &Event) {
    match event.body.in_part().1 {
        EventBody::Claimed { worker, fence } => timeline.note(event, claimed(worker, *fence)),
        EventBody::PolicyFixed(fixed) => timeline.note(event, policy(fixed)),
        EventBody::StageStarted { stage } => started(timeline, event, *stage),
        EventBody::StageFailed { stage, reason } => {
            done(timeline, event, *stage, StageResult::Failed(cut(reason, 2_000)));
        }
        EventBody::RepositoryReady(ready) => repository(timeline, event, ready),
        EventBody::InstructionsFound(found) => instructions(timeline, event, found),
        EventBody::MemoriesRecalled(found) => recalled(timeline, event, found),
        EventBody::SandboxReady { level, .. } => {
            done(timeline, event, Stage::Sandbox, told(Tone::Quiet, "Sandbox ready:", level));
        }
        EventBody::ModelAsked { step, compaction, .. } => model_asked(timeline, event, *step, *compaction),
        EventBody::ModelAnswered { step, answer, millis } => {
            answered(timeline, event, *step, answer, *millis)
        }
        EventBody::ModelFailed { step, message, .. } => model_failed(timeline, event, *step, message),
        EventBody::Nudged { reason, text } => {
            timeline
                .note(event, Note::quoting(Tone::Warn, format!("Nudged, {}:", words::nudge(*reason)), text));
        }
        EventBody::ToolStarted { call, .. } => {
            set_call(timeline, event, *call, CallState::Running(event.at));
        }
        EventBody::ToolFinished { call, outcome, millis } => {
            let ended = CallState::Ended(Box::new(ended(event.seq, outcome, *millis)));
            set_call(timeline, event, *call, ended);
            if let Some(ToolEffect::Remember(proposal)) = &outcome.effect {
                proposed(timeline, event, proposal);
            }
        }
        EventBody::ToolLost { call } => set_call(timeline, event, *call, CallState::Lost),
        EventBody::Compacted { replaced, .. } => {
            let words = format!("{} replaced by a summary", counted((*replaced).into(), "earlier message"));
            timeline.note(event, Note::new(Tone::Quiet, words));
        }
        EventBody::Checkpointed { step, .. } => checkpointed(timeline, event, *step),
        // Which machines have a checkpoint is nothing that its readers do anything about.
        EventBody::CheckpointStored { .. } | EventBody::Beside { .. } => {}
        EventBody::LimitReached { limit, .. } => {
            timeline.note(event, Note::new(Tone::Warn, format!("Limit reached: {}", words::limit(*limit))));
        }
        EventBody::Delegated { session, kind, named, .. } => {
            let named = named.as_deref().map(|named| format!(", as {named}")).unwrap_or_default();
            let words = format!("Handed to {session}, a session of its own, to {}{named}", kind.name());
            timeline.note(event, Note::new(Tone::Quiet, words));
        }
        EventBody::TaskAccepted { .. }
        | EventBody::MessageReceived { .. }
        | EventBody::PauseAsked { .. }
        | EventBody::ContinueAsked { .. }
        | EventBody::QuestionAsked { .. }
        | EventBody::QuestionAnswered { .. }
        | EventBody::PlanProposed { .. }
        | EventBody::PlanDecided { .. }
        | EventBody::RolledBack { .. }
        | EventBody::Forked { .. }
        | EventBody::TerminalOpened { .. }
        | EventBody::TerminalClosed { .. }
        | EventBody::BudgetExceeded { .. }
        | EventBody::MergeAsked { .. }
        | EventBody::CloseAsked { .. }
        | EventBody::AttemptReady { .. }
        | EventBody::AttemptChosen { .. }
        | EventBody::AttemptPassedOver { .. }
        | EventBody::CancelAsked { .. } => people::fold(timeline, event),
        EventBody::EgressAllowed(_)
        | EventBody::EgressRefused(_)
        | EventBody::PackageFetched(_)
        | EventBody::AccessAsked(_)
        | EventBody::AccessDecided(_)
        | EventBody::AlarmRaised { .. }
        | EventBody::FilesDeleted { .. }
        | EventBody::SandboxFrozen { .. }
        | EventBody::SandboxReleased { .. } => door::fold(timeline, event),
        EventBody::SelfReviewed(_)
        | EventBody::Overtaken { .. }
        | EventBody::MergeFailed { .. }
        | EventBody::WorkFinished { .. }
        | EventBody::ObjectsReceived(_)
        | EventBody::NothingChanged
        | EventBody::Examined { .. }
        | EventBody::EvidenceRun(_)
        | EventBody::EvidenceMissing { .. }
        | EventBody::Pushed { .. }
        | EventBody::PullRequestOpened(_)
        | EventBody::SessionEnded { .. }
        | EventBody::PullRequestClosed { .. } => delivery::fold(timeline, event),
    }
}

fn claimed(worker: &str, fence: u64) -> Note {
    if fence > 1 {
        Note::quoting(Tone::Warn, format!("Taken up again, claim {fence}, by"), worker)
    } else {
        Note::quoting(Tone::Quiet, "Taken up by", worker)
    }
}

fn policy(fixed: &Fixed) -> Note {
    if fixed.model.family == Family::Scripted {
        Note::quoting(Tone::Warn, "The model is a recording, not a live model:", &fixed.model.name)
    } else {
        Note::quoting(Tone::Quiet, "Policy fixed; model", &fixed.model.reference())
    }
}

fn started(timeline: &mut Timeline, event: &Event, stage: Stage) {
    // Done again after a crash: the one that was cut short goes on.
    let part = event.body.in_part().0;
    let open = open_stage(timeline, part, stage);
    match open {
        Some(place) => timeline.entries[place].changed = event.seq,
        None => timeline.push(event, What::Stage(StageEntry { part, stage, result: None })),
    }
}

/// Where a stage stands that goes on.
fn open_stage(timeline: &Timeline, part: Part, stage: Stage) -> Option<usize> {
    timeline.entries.iter().rposition(|entry| {
        !entry.undone
            && matches!(&entry.what, What::Stage(open) if (open.part, open.stage) == (part, stage) && open.result.is_none())
    })
}

fn done(timeline: &mut Timeline, event: &Event, stage: Stage, result: StageResult) {
    let part = event.body.in_part().0;
    let Some(place) = open_stage(timeline, part, stage) else {
        timeline.push(event, What::Stage(StageEntry { part, stage, result: Some(result) }));
        return;
    };
    let entry = &mut timeline.entries[place];
    entry.changed = event.seq;
    entry.what = What::Stage(StageEntry { part, stage, result: Some(result) });
}

fn told(tone: Tone, words: impl Into<String>, quote: &str) -> StageResult {
    StageResult::Told(Note::quoting(tone, words, quote))
}

fn repository(timeline: &mut Timeline, event: &Event, ready: &Repository) {
    let words = format!("Base is {} of", short(&ready.base_commit));
    done(timeline, event, Stage::Repository, told(Tone::Quiet, words, &ready.base_branch));
    for note in ready.notes.iter().take(10) {
        timeline.note(event, Note::quoting(Tone::Warn, "Of the repository:", note));
    }
}

/// Files that advise agents, which are listed; more are in the event.
const MOST_ADVICE: usize = 80;

fn instructions(timeline: &mut Timeline, event: &Event, found: &Instructions) {
    for file in found.files.iter().take(MOST_ADVICE) {
        let tone = if file.hidden > 0 { Tone::Warn } else { Tone::Quiet };
        timeline.note(event, Note::quoting(tone, "Advice:", &file.told()));
    }
    for notice in found.notices.iter().take(MOST_ADVICE) {
        timeline.note(event, Note::quoting(Tone::Warn, "Advice left out:", notice));
    }
}

/// What was noted before, and what of it the model is told.
fn recalled(timeline: &mut Timeline, event: &Event, found: &Memories) {
    for memory in &found.memories {
        let about = if memory.repository.is_some() { "" } else { " for all repositories" };
        let words = format!("Remembered{about}, of {}:", memory.at.utc());
        let quote = format!("({}) {}", cut(&memory.source.words(), 150), memory.text);
        timeline.note(event, Note::quoting(Tone::Quiet, words, &quote));
    }
    if found.left_out > 0 {
        let words = format!("{} more memories found no room", found.left_out);
        timeline.note(event, Note::new(Tone::Quiet, words));
    }
}

/// What a session wants remembered: a person decides on another page.
fn proposed(timeline: &mut Timeline, event: &Event, proposal: &MemoryProposal) {
    let about = if proposal.everywhere { "all repositories" } else { "this repository" };
    let digest = Digest::of(proposal.text.as_bytes());
    let words =
        format!("Proposed to remember about {about} ({}); an admin decides under Memory:", digest.short());
    timeline.note(event, Note::quoting(Tone::Warn, words, &proposal.text));
}

fn model_asked(timeline: &mut Timeline, event: &Event, number: u32, compaction: bool) {
    // Asked again after a failure or a crash: the same step.
    let again = timeline
        .step(event, |step| step.number == number && step.compaction == compaction && step.reply.is_none());
    if let Some(step) = again {
        step.failure = None;
        return;
    }
    timeline.push(event, What::Step(Box::new(Step { number, compaction, ..Step::default() })));
}

fn model_failed(timeline: &mut Timeline, event: &Event, number: u32, message: &str) {
    if let Some(entry) = timeline.step(event, |entry| entry.number == number) {
        entry.failure = Some(cut(message, 2_000));
    }
}

fn set_call(timeline: &mut Timeline, event: &Event, id: CallId, state: CallState) {
    if let Some(call) = timeline.call(event, id) {
        call.state = state;
    }
    timeline.weigh(event);
}

fn answered(timeline: &mut Timeline, event: &Event, number: u32, answer: &Answer, millis: u64) {
    let calls = answer.tool_calls().take(MOST_CALLS).enumerate().map(|(index, call)| {
        let index = u16::try_from(index).unwrap_or(u16::MAX);
        asked(cofferdam_domain::CallId { step: number, index }, call)
    });
    let calls: Vec<_> = calls.collect();
    let reply = Reply {
        seq: event.seq,
        text: Excerpt::beginning(&answer.text(), PROSE),
        reasoning: Excerpt::beginning(&reasoning(answer), REASONING),
        usage: answer.usage,
        cost: answer.cost,
        millis,
        cut: cut_short(&answer.stop),
    };
    if timeline.step(event, |step| step.number == number && step.reply.is_none()).is_none() {
        timeline.push(event, What::Step(Box::new(Step { number, ..Step::default() })));
    }
    if let Some(step) = timeline.step(event, |step| step.number == number && step.reply.is_none()) {
        step.failure = None;
        step.reply = Some(reply);
        step.calls = if step.compaction { Vec::new() } else { calls };
    }
    timeline.weigh(event);
}

fn reasoning(answer: &Answer) -> String {
    let texts: Vec<&str> = answer
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::Reasoning(reasoning) => Some(reasoning.text.as_str()),
            Block::Text { .. } | Block::ToolCall(_) | Block::ToolResult(_) | Block::Image(_) => None,
        })
        .collect();
    texts.join("\n\n")
}

/// Why an answer ended, where it did not end as it should.
fn cut_short(stop: &StopReason) -> Option<String> {
    match stop {
        StopReason::EndTurn | StopReason::ToolUse => None,
        StopReason::MaxTokens => Some("cut at the limit of its length".to_owned()),
        StopReason::Refusal { explanation } => Some(format!("refused: {}", cut(explanation, 300))),
        StopReason::ContextFull => Some("cut: the context is full".to_owned()),
        StopReason::Other { name } => Some(format!("ended: {}", cut(name, 100))),
    }
}

/// A checkpoint stands with the step that it was made after.
fn checkpointed(timeline: &mut Timeline, event: &Event, number: u32) {
    if let Some(step) = timeline.step(event, |step| step.number == number && !step.compaction) {
        step.checkpoint = Some(event.seq);
    }
}

/// The beginning of an object id.
fn short(id: &str) -> String {
    cut(id, 10).trim_end_matches('…').to_owned()
}

/// Tokens of an answer, for its line.
pub(super) fn tokens(reply: &Reply) -> String {
    format!("{} in, {} out", number(reply.usage.prompt()), number(reply.usage.output))
}
