//! What each kind of event does to a timeline.

use cofferdam_domain::{
    About, Answer, Block, Event, EventBody, Outcome, PullRequestState, Seq, Stage, StopReason,
    amount::counted,
    egress::{Access, AccessAsk, Refused},
    event::{Fixed, PlanDecision, Repository},
    message::Family,
    tool::{Finish, FinishOutcome},
};

use super::{
    CallState, Note, Reply, Said, StageEntry, StageResult, Step, Timeline, Tone, Traffic, What,
    call::{asked, ended},
};
use crate::pages::{
    text::{Excerpt, cut, number},
    words,
};

/// Bytes of prose, and of reasoning, that are held of one answer.
const PROSE: usize = 12 * 1024;
const REASONING: usize = 6 * 1024;
/// Bytes of what a person said.
const SAID: usize = 12 * 1024;
/// Calls of one step.
const MOST_CALLS: usize = 48;
/// Refusals that one step lists.
const MOST_REFUSALS: usize = 8;
/// Findings that one examination lists.
const MOST_FINDINGS: usize = 50;

#[expect(
    clippy::too_many_lines,
    reason = "one arm for each kind of event, in the order of their declaration"
)]
pub(super) fn fold(timeline: &mut Timeline, event: &Event) {
    match &event.body {
        EventBody::TaskAccepted { task } => said(timeline, event, &task.requester, "asked", &task.prompt),
        EventBody::Claimed { worker, fence } => {
            let (tone, words) = if *fence > 1 {
                (Tone::Warn, format!("Taken up again, claim {fence}, by"))
            } else {
                (Tone::Quiet, "Taken up by".to_owned())
            };
            timeline.note(event, Note::quoting(tone, words, worker));
        }
        EventBody::PolicyFixed(fixed) => timeline.note(event, policy(fixed)),
        EventBody::StageStarted { stage } => started(timeline, event, *stage),
        EventBody::StageFailed { stage, reason } => {
            done(timeline, event, *stage, StageResult::Failed(cut(reason, 2_000)));
        }
        EventBody::RepositoryReady(ready) => repository(timeline, event, ready),
        EventBody::SandboxReady { level, .. } => {
            done(timeline, event, Stage::Sandbox, told(Tone::Quiet, "Sandbox ready:", level));
        }
        EventBody::ModelAsked { step, compaction, .. } => model_asked(timeline, event, *step, *compaction),
        EventBody::ModelAnswered { step, answer, millis } => {
            answered(timeline, event, *step, answer, *millis)
        }
        EventBody::ModelFailed { step, message, .. } => {
            if let Some(entry) = timeline.step(event, |entry| entry.number == *step) {
                entry.failure = Some(cut(message, 2_000));
            }
        }
        EventBody::Nudged { reason, text } => {
            timeline
                .note(event, Note::quoting(Tone::Warn, format!("Nudged, {}:", words::nudge(*reason)), text));
        }
        EventBody::ToolStarted { call, .. } => {
            if let Some(call) = timeline.call(event, *call) {
                call.state = CallState::Running(event.at);
            }
        }
        EventBody::ToolFinished { call, outcome, millis } => {
            if let Some(call) = timeline.call(event, *call) {
                call.state = CallState::Ended(Box::new(ended(event.seq, outcome, *millis)));
            }
            timeline.weigh(event);
        }
        EventBody::ToolLost { call } => {
            if let Some(call) = timeline.call(event, *call) {
                call.state = CallState::Lost;
            }
        }
        EventBody::EgressAllowed(_) => traffic(timeline, event, |traffic| traffic.passed += 1),
        EventBody::EgressRefused(refused) => traffic(timeline, event, |traffic| refuse(traffic, refused)),
        EventBody::PackageFetched(_) => traffic(timeline, event, |traffic| traffic.packages += 1),
        EventBody::AccessAsked(ask) => timeline.note(event, access_asked(ask)),
        EventBody::AccessDecided(access) => timeline.note(event, access_decided(access)),
        EventBody::AlarmRaised { what, .. } => timeline.note(event, Note::quoting(Tone::Bad, "Alarm:", what)),
        EventBody::FilesDeleted { files, of, .. } => {
            let words = format!("{files} of {} of the repository deleted", counted(*of, "file"));
            timeline.note(event, Note::new(Tone::Warn, words));
        }
        EventBody::SandboxFrozen { reason, .. } => {
            timeline.note(event, Note::quoting(Tone::Bad, "Sandbox frozen:", reason));
        }
        EventBody::SandboxReleased { by, .. } => {
            timeline.note(event, Note::quoting(Tone::Warn, "Sandbox released by", by));
        }
        EventBody::Compacted { replaced, .. } => {
            let words = format!("{} replaced by a summary", counted((*replaced).into(), "earlier message"));
            timeline.note(event, Note::new(Tone::Quiet, words));
        }
        EventBody::MessageReceived { from, text, about, .. } => {
            wrote(timeline, event, from, text, about.as_deref());
        }
        EventBody::PauseAsked { by } => timeline.note(event, Note::quoting(Tone::Warn, "Paused by", by)),
        EventBody::ContinueAsked { by } => {
            timeline.note(event, Note::quoting(Tone::Plain, "Continued by", by))
        }
        EventBody::QuestionAsked { question, .. } => said(timeline, event, "The agent", "asks", question),
        EventBody::QuestionAnswered { by, text, .. } => said(timeline, event, by, "answered", text),
        EventBody::PlanProposed { text, .. } => said(timeline, event, "The agent", "proposes a plan", text),
        EventBody::PlanDecided { by, decision, .. } => plan_decided(timeline, event, by, decision),
        EventBody::Checkpointed { step, .. } => checkpointed(timeline, event, *step),
        // Which machines have a checkpoint is nothing that its readers do anything about.
        EventBody::CheckpointStored { .. } => {}
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
        EventBody::MergeFailed { reason } => {
            let note = Note::quoting(Tone::Bad, "The forge did not do it:", reason);
            let stage =
                [Stage::Merge, Stage::Close].into_iter().find(|stage| open_stage(timeline, *stage).is_some());
            done(timeline, event, stage.unwrap_or(Stage::Merge), StageResult::Told(note));
        }
        EventBody::LimitReached { limit, .. } => {
            timeline.note(event, Note::new(Tone::Warn, format!("Limit reached: {}", words::limit(*limit))));
        }
        EventBody::CancelAsked { by } => {
            timeline.note(event, Note::quoting(Tone::Warn, "Cancellation asked by", by));
        }
        EventBody::WorkFinished { finish, .. } => timeline.note(event, finished(finish)),
        EventBody::ObjectsReceived(received) => {
            let words = format!("Change received: {}", words::stat(received.stat));
            done(timeline, event, Stage::Collect, StageResult::Told(Note::new(Tone::Plain, words)));
        }
        EventBody::NothingChanged => {
            let note = Note::new(Tone::Plain, "The workspace is as it was");
            done(timeline, event, Stage::Collect, StageResult::Told(note));
        }
        EventBody::Examined { findings, verdict } => {
            let findings = findings.iter().take(MOST_FINDINGS).cloned().collect();
            done(timeline, event, Stage::Examine, StageResult::Examined(findings, *verdict));
            timeline.weigh(event);
        }
        EventBody::EvidenceRun(run) => {
            let stage = Stage::Evidence { side: run.side };
            done(timeline, event, stage, StageResult::Evidence(Box::new(run.clone())));
        }
        EventBody::EvidenceMissing { reason } => no_evidence(timeline, event, reason),
        EventBody::Pushed { branch, commit } => {
            let words = format!("Pushed {} to", short(commit));
            done(timeline, event, Stage::Push, told(Tone::Plain, words, branch));
        }
        EventBody::PullRequestOpened(opened) => {
            let kind = if opened.draft { "Draft pull request" } else { "Pull request" };
            let words = format!("{kind} #{}:", opened.number);
            done(timeline, event, Stage::PullRequest, told(Tone::Good, words, &opened.title));
        }
        EventBody::SessionEnded { outcome } => timeline.note(event, over(outcome)),
        EventBody::PullRequestClosed { state } => {
            let stage =
                [Stage::Merge, Stage::Close].into_iter().find(|stage| open_stage(timeline, *stage).is_some());
            match stage {
                Some(stage) => done(timeline, event, stage, StageResult::Told(closed(state))),
                None => timeline.note(event, closed(state)),
            }
        }
    }
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
    };
    let mut whole = text.to_owned();
    for remark in about.map(About::remarks).unwrap_or_default() {
        whole.push_str(&format!("\n\n**{}**\n\n{}", remark.place(), remark.text));
    }
    said(timeline, event, from, how, whole.trim_start());
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
    let open = open_stage(timeline, stage);
    match open {
        Some(place) => timeline.entries[place].changed = event.seq,
        None => timeline.push(event, What::Stage(StageEntry { stage, result: None })),
    }
}

/// Where a stage stands that goes on.
fn open_stage(timeline: &Timeline, stage: Stage) -> Option<usize> {
    timeline.entries.iter().rposition(|entry| {
        !entry.undone
            && matches!(&entry.what, What::Stage(open) if open.stage == stage && open.result.is_none())
    })
}

fn done(timeline: &mut Timeline, event: &Event, stage: Stage, result: StageResult) {
    let Some(place) = open_stage(timeline, stage) else {
        timeline.push(event, What::Stage(StageEntry { stage, result: Some(result) }));
        return;
    };
    let entry = &mut timeline.entries[place];
    entry.changed = event.seq;
    entry.what = What::Stage(StageEntry { stage, result: Some(result) });
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

/// Counts with the step under way, or by itself where there is none.
fn traffic(timeline: &mut Timeline, event: &Event, count: impl FnOnce(&mut Traffic)) {
    if timeline.closed {
        return;
    }
    if !matches!(timeline.entries.back().map(|entry| &entry.what), Some(What::Step(_) | What::Traffic(_))) {
        // A note since the step (a question, a freeze) does not make it another step's traffic.
        let step_under_way = timeline.entries.iter().rev().find_map(|entry| match &entry.what {
            What::Step(_) => Some(true),
            What::Stage(_) | What::Traffic(_) => Some(false),
            What::Said(_) | What::Note(_) => None,
        });
        if step_under_way != Some(true) {
            timeline.push(event, What::Traffic(Traffic::default()));
        }
    }
    let place = timeline.entries.iter_mut().rev().find_map(|entry| {
        entry.changed =
            if matches!(entry.what, What::Step(_) | What::Traffic(_)) { event.seq } else { entry.changed };
        match &mut entry.what {
            What::Step(step) => Some(&mut step.traffic),
            What::Traffic(traffic) => Some(traffic),
            What::Stage(_) | What::Said(_) | What::Note(_) => None,
        }
    });
    if let Some(traffic) = place {
        count(traffic);
    }
}

fn refuse(traffic: &mut Traffic, refused: &Refused) {
    traffic.refused += u64::from(refused.count.max(1));
    if traffic.refusals.len() < MOST_REFUSALS {
        traffic.refusals.push((cut(&refused.operation.to_string(), 200), cut(&refused.reason, 300)));
    }
}

fn access_asked(ask: &AccessAsk) -> Note {
    Note::quoting(Tone::Warn, "The agent asks for access:", &words::rule(&ask.rule))
}

fn access_decided(access: &Access) -> Note {
    let (tone, word) = if access.granted { (Tone::Good, "granted") } else { (Tone::Bad, "denied") };
    Note::quoting(tone, format!("Access {word} by"), &access.by)
}

fn finished(finish: &Finish) -> Note {
    let (tone, words) = match finish.outcome {
        FinishOutcome::Done => (Tone::Plain, "The agent says it is done:"),
        FinishOutcome::NothingToDo => (Tone::Plain, "The agent found nothing to do:"),
        FinishOutcome::GaveUp => (Tone::Warn, "The agent gave up:"),
    };
    Note::quoting(tone, words, &finish.title)
}

fn no_evidence(timeline: &mut Timeline, event: &Event, reason: &str) {
    let stage = timeline.entries.iter().rev().find_map(|entry| match &entry.what {
        What::Stage(StageEntry { stage: stage @ Stage::Evidence { .. }, result: None }) => Some(*stage),
        What::Stage(_) | What::Step(_) | What::Said(_) | What::Traffic(_) | What::Note(_) => None,
    });
    let result = told(Tone::Warn, "No evidence:", reason);
    done(timeline, event, stage.unwrap_or(Stage::Evidence { side: cofferdam_domain::Side::Head }), result);
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

/// A checkpoint stands with the step that it was made after.
fn checkpointed(timeline: &mut Timeline, event: &Event, number: u32) {
    if let Some(step) = timeline.step(event, |step| step.number == number && !step.compaction) {
        step.checkpoint = Some(event.seq);
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

fn over(outcome: &Outcome) -> Note {
    let (tone, words, quote) = words::outcome(outcome);
    Note::quoting(tone, words, quote)
}

fn closed(state: &PullRequestState) -> Note {
    match state {
        PullRequestState::Open => Note::new(Tone::Plain, "Pull request opened again"),
        PullRequestState::Merged { commit } => Note::new(Tone::Good, format!("Merged as {}", short(commit))),
        PullRequestState::Closed => Note::new(Tone::Plain, "Pull request closed without merging"),
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
