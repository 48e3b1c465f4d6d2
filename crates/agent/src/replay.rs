//! Proving that a log is what the agent decided: the same fold, asked before each step whether it would have
//! done the same.

use cofferdam_domain::{Budget, Event, EventBody, Outcome, Seq};

use crate::{Action, Agent};

/// What was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Events folded.
    pub events: u64,
    /// Decisions that came out the same.
    pub decisions: u64,
    /// Effects (stages, model calls, tool calls) that came out the same.
    pub effects: u64,
    /// Model calls among them, each with the same request byte for byte.
    pub requests: u64,
}

/// The log is not what this version of the agent would have decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {} ({event}) does not follow from the log before it: {why}", seq.0)]
pub struct ReplayMismatch {
    /// The first event that does not follow.
    pub seq: Seq,
    /// Its name.
    pub event: &'static str,
    /// What would have followed.
    pub why: String,
}

/// Folds a log and checks that every decision and every effect in it is what the agent would have wanted at
/// that place.
///
/// # Errors
/// At the first event that does not follow from those before it: an effect that was not wanted, a decision
/// that would have been another, a result of nothing that was under way.
pub fn replay(events: &[Event]) -> Result<Replayed, ReplayMismatch> {
    let Some(first) = events.first() else { return Ok(Replayed::default()) };
    let mut agent = Agent::before(first.session, events);
    let mut done = Replayed::default();
    let mut claimed = false;
    for (number, event) in events.iter().enumerate() {
        let mismatch = |why: String| ReplayMismatch { seq: event.seq, event: event.body.name(), why };
        match part(&event.body) {
            Part::News => {}
            kind @ (Part::Decision | Part::Effect) => {
                let wanted = agent.next();
                let given_up = claimed && is_failure(&event.body);
                let copied = agent.is_copied();
                let begins = |action: &Action| {
                    action.is_begun_by(&event.body) || copied && would_hand_out(action, &event.body)
                };
                if !given_up && !wanted.iter().any(begins) {
                    return Err(mismatch(format!("the agent would {}", in_words(&wanted))));
                }
                match kind {
                    Part::Decision => done.decisions += 1,
                    Part::Effect | Part::News => done.effects += 1,
                }
                done.requests += u64::from(matches!(event.body, EventBody::ModelAsked { .. }));
            }
        }
        if let EventBody::RolledBack { .. } = event.body {
            agent = Agent::of(first.session, events.get(..=number).unwrap_or_default());
        } else {
            agent.apply(event.at, &event.body);
        }
        if let Some(oddity) = agent.oddities().first() {
            return Err(mismatch(oddity.clone()));
        }
        claimed = matches!(event.body, EventBody::Claimed { .. });
        done.events += 1;
    }
    Ok(done)
}

/// Whether a copy is of the decision to hand out this work. A fork's copies do not have the times of the other session's log, on which hangs what a
/// subagent is called and how long it may take.
fn would_hand_out(action: &Action, body: &EventBody) -> bool {
    let Action::Append(decided) = action else { return false };
    let EventBody::Delegated { call, kind, share, named, .. } = &**decided else { return false };
    let EventBody::Delegated { call: of, kind: what, share: given, named: called, .. } = body else {
        return false;
    };
    call == of && kind == what && named == called && Budget { wall_ms: given.wall_ms, ..*share } == *given
}

/// Whether a worker may have written it by itself, right after its claim: that it gives up a session which it cannot work on at all.
const fn is_failure(body: &EventBody) -> bool {
    matches!(body, EventBody::SessionEnded { outcome: Outcome::Failed { .. } })
}

/// What an event is to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Its own decision.
    Decision,
    /// The beginning of what it wanted done.
    Effect,
    /// What came of that, or of the world outside.
    News,
}

fn part(body: &EventBody) -> Part {
    match body {
        EventBody::Nudged { .. }
        | EventBody::AlarmRaised { .. }
        | EventBody::ToolLost { .. }
        | EventBody::Compacted { .. }
        | EventBody::LimitReached { .. }
        | EventBody::AccessAsked(_)
        | EventBody::QuestionAsked { .. }
        | EventBody::Delegated { .. }
        | EventBody::PlanProposed { .. }
        | EventBody::AttemptReady { .. }
        | EventBody::WorkFinished { .. }
        | EventBody::SessionEnded { .. } => Part::Decision,
        EventBody::Beside { body, .. } => part(body),
        EventBody::StageStarted { .. } | EventBody::ModelAsked { .. } | EventBody::ToolStarted { .. } => {
            Part::Effect
        }
        // What a session may do is not the agent's to decide: intake fixes it with the task, or a worker when
        // the agent asks.
        EventBody::TaskAccepted { .. }
        | EventBody::PolicyFixed(_)
        | EventBody::Claimed { .. }
        | EventBody::StageFailed { .. }
        | EventBody::EgressAllowed(_)
        | EventBody::EgressRefused(_)
        | EventBody::PackageFetched(_)
        | EventBody::AccessDecided(_)
        | EventBody::FilesDeleted { .. }
        | EventBody::SandboxFrozen { .. }
        | EventBody::SandboxReleased { .. }
        | EventBody::RepositoryReady(_)
        | EventBody::InstructionsFound(_)
        | EventBody::MemoriesRecalled(_)
        | EventBody::SelfReviewed(_)
        | EventBody::AttemptChosen { .. }
        | EventBody::AttemptPassedOver { .. }
        | EventBody::SandboxReady { .. }
        | EventBody::ModelAnswered { .. }
        | EventBody::ModelFailed { .. }
        | EventBody::ToolFinished { .. }
        | EventBody::MessageReceived { .. }
        | EventBody::CancelAsked { .. }
        | EventBody::ObjectsReceived(_)
        | EventBody::NothingChanged
        | EventBody::Examined { .. }
        | EventBody::EvidenceRun(_)
        | EventBody::EvidenceMissing { .. }
        | EventBody::Pushed { .. }
        | EventBody::Overtaken { .. }
        | EventBody::PullRequestOpened(_)
        | EventBody::PauseAsked { .. }
        | EventBody::ContinueAsked { .. }
        | EventBody::QuestionAnswered { .. }
        | EventBody::PlanDecided { .. }
        | EventBody::Checkpointed { .. }
        | EventBody::CheckpointStored { .. }
        | EventBody::RolledBack { .. }
        | EventBody::Forked { .. }
        | EventBody::TerminalOpened { .. }
        | EventBody::TerminalClosed { .. }
        | EventBody::BudgetExceeded { .. }
        | EventBody::MergeAsked { .. }
        | EventBody::CloseAsked { .. }
        | EventBody::MergeFailed { .. }
        | EventBody::PullRequestClosed { .. } => Part::News,
    }
}

fn in_words(actions: &[Action]) -> String {
    if actions.is_empty() {
        return "wait".to_owned();
    }
    let words: Vec<String> = actions
        .iter()
        .map(|action| match action {
            Action::Fix => "fix the policy".to_owned(),
            Action::Stage(stage) => format!("start {stage:?}"),
            Action::Beside(part, stage) => format!("start {stage:?} for repository {part}"),
            Action::AskModel { step, compaction: false, request } => {
                format!("ask for step {step} with {}", request.digest.short())
            }
            Action::AskModel { step, compaction: true, request } => {
                format!("ask for a summary before step {step} with {}", request.digest.short())
            }
            Action::RunTool { call, tool } => {
                format!("run {call} ({:?})", crate::excerpt::first_line(&tool.name, 40))
            }
            Action::Append(body) => format!("append {}", body.name()),
        })
        .collect();
    words.join(", ")
}
