//! A session's log as spans. A pure fold: the same log gives the same spans, whoever folds it and however often.
//!
//! The session is the root; turns after the first are below it. Below a turn are the worker's own work and the steps, below a step its model call and
//! tool calls, below a tool call what it wanted from the network. A span is made when it is over. What a worker's death cut short is over at the last
//! thing that was heard of that worker.

mod pieces;

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_domain::{
    CallId, Cost, Event, EventBody, EventId, Part, SessionId, Side, Stage, Timestamp, ToolCall, Usage,
    WaitingFor, event::ModelInfo,
};

use crate::{Content, Span, describe};

/// What the model calls of a turn have used.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    usage: Usage,
    cost: Cost,
    steps: u32,
}

/// The spans of one session, from the first event of its log on.
#[derive(Debug)]
pub struct Fold {
    session: SessionId,
    content: Content,
    /// When the event was written that is folded in, and its id.
    now: (Timestamp, EventId),
    /// When the last event was written.
    last: Timestamp,
    model: Option<ModelInfo>,
    tools: BTreeSet<String>,
    spent: Spent,
    turn: Option<Span>,
    queue: Option<Span>,
    wait: Option<Span>,
    terminal: Option<Span>,
    step: Option<(u32, Span)>,
    chat: Option<Span>,
    calls: BTreeMap<CallId, Span>,
    /// The calls of the last answer, for their arguments, where those are told.
    asked: Vec<ToolCall>,
    /// Those of the worker's own work, each on one of the session's repositories.
    stages: Vec<(Part, Stage, Span)>,
    /// What the event at hand is about.
    part: Part,
    done: Vec<Span>,
}

impl Fold {
    /// Before the first event.
    #[must_use]
    pub fn new(session: SessionId, content: Content) -> Self {
        Self {
            session,
            content,
            now: (Timestamp(0), EventId::from_u128(0)),
            last: Timestamp(0),
            model: None,
            tools: BTreeSet::new(),
            spent: Spent::default(),
            turn: None,
            queue: None,
            wait: None,
            terminal: None,
            step: None,
            chat: None,
            calls: BTreeMap::new(),
            asked: Vec::new(),
            stages: Vec::new(),
            part: Part::FIRST,
            done: Vec::new(),
        }
    }

    /// Whether something is under way that only the worker which began it can bring to its end.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.chat.is_some() || !self.calls.is_empty() || !self.stages.is_empty()
    }

    /// Folds the next event in; the spans that are over with it, those within others first.
    pub fn fold(&mut self, event: &Event) -> Vec<Span> {
        self.now = (event.at, event.id);
        self.apply(&event.body);
        self.last = event.at;
        std::mem::take(&mut self.done)
    }

    #[expect(clippy::too_many_lines, reason = "a line for each kind of event")]
    fn apply(&mut self, body: &EventBody) {
        match body {
            EventBody::TaskAccepted { task } => self.accepted(task),
            EventBody::Forked { from, .. } => self.forked(*from),
            EventBody::Claimed { .. } => self.claimed(),
            EventBody::PolicyFixed(fixed) => self.fixed(fixed),
            EventBody::StageStarted { stage } => self.stage_started(*stage),
            EventBody::StageFailed { stage, reason } => self.stage_failed(&[*stage], reason),
            EventBody::RepositoryReady(_) => self.close_stage(Stage::Repository, |_, _| ()),
            EventBody::SandboxReady { sandbox, .. } => self.sandbox_ready(*sandbox),
            EventBody::ModelAsked { step, compaction, .. } => self.model_asked(*step, *compaction),
            EventBody::ModelAnswered { answer, .. } => self.model_answered(answer),
            EventBody::ModelFailed { kind, message, .. } => self.model_failed(*kind, message),
            EventBody::ToolStarted { call, tool } => self.tool_started(*call, tool),
            EventBody::ToolFinished { call, outcome, .. } => self.tool_finished(*call, outcome),
            EventBody::ToolLost { call } => self.tool_lost(*call),
            EventBody::EgressAllowed(passed) => self.passed(passed),
            EventBody::EgressRefused(refused) => self.refused(refused),
            EventBody::AlarmRaised { rule, .. } => self.alarm_raised(rule),
            EventBody::SandboxFrozen { sandbox, reason } => self.frozen(*sandbox, reason),
            EventBody::SandboxReleased { .. } | EventBody::MessageReceived { .. } => self.turn_begins(),
            EventBody::PauseAsked { .. } => self.wait(WaitingFor::Pause),
            EventBody::QuestionAsked { .. } => self.wait(WaitingFor::Answer),
            EventBody::PlanProposed { .. } => self.wait(WaitingFor::Plan),
            EventBody::BudgetExceeded { .. } => self.wait(WaitingFor::Budget),
            EventBody::AttemptReady { .. } => self.wait(WaitingFor::Choice),
            EventBody::QuestionAnswered { .. }
            | EventBody::PlanDecided { .. }
            | EventBody::AttemptChosen { .. } => self.goes_on(),
            EventBody::ContinueAsked { .. } => self.continued(),
            EventBody::RolledBack { .. } => self.rolled_back(),
            EventBody::TerminalOpened { .. } => self.terminal = Some(self.open("terminal", "terminal")),
            EventBody::TerminalClosed { .. } => self.terminal_closed(),
            EventBody::WorkFinished { .. } => self.close_step(),
            EventBody::ObjectsReceived(_) | EventBody::NothingChanged => {
                self.close_stage(Stage::Collect, |_, _| ());
            }
            EventBody::SelfReviewed(review) => {
                self.close_stage(Stage::SelfReview, |span, _| describe::self_reviewed(span, review));
            }
            EventBody::Examined { findings, verdict } => {
                self.close_stage(Stage::Examine, |span, _| describe::examined(span, findings, *verdict));
            }
            EventBody::EvidenceRun(run) => {
                let stage = Stage::Evidence { side: run.side };
                self.close_stage(stage, |span, content| describe::evidence(span, run, content));
            }
            EventBody::EvidenceMissing { .. } => {
                self.close_stage(Stage::Evidence { side: Side::Base }, |_, _| ());
                self.close_stage(Stage::Evidence { side: Side::Head }, |_, _| ());
            }
            EventBody::Pushed { .. } | EventBody::Overtaken { .. } => {
                self.close_stage(Stage::Push, |_, _| ());
            }
            EventBody::PullRequestOpened(opened) => {
                self.close_stage(Stage::PullRequest, |span, _| describe::pull_request(span, opened));
            }
            EventBody::Beside { part, body } => {
                self.part = *part;
                self.apply(body);
                self.part = Part::FIRST;
            }
            EventBody::SessionEnded { outcome } => self.ended(outcome),
            EventBody::MergeFailed { reason } => self.stage_failed(&[Stage::Merge, Stage::Close], reason),
            EventBody::PullRequestClosed { .. } => {
                self.close_stage(Stage::Merge, |_, _| ());
                self.close_stage(Stage::Close, |_, _| ());
            }
            EventBody::PackageFetched(_)
            | EventBody::AccessAsked(_)
            | EventBody::AccessDecided(_)
            | EventBody::Compacted { .. }
            | EventBody::Nudged { .. }
            | EventBody::Delegated { .. }
            | EventBody::LimitReached { .. }
            | EventBody::Checkpointed { .. }
            | EventBody::CheckpointStored { .. }
            | EventBody::FilesDeleted { .. }
            | EventBody::InstructionsFound(_)
            | EventBody::MemoriesRecalled(_)
            | EventBody::AttemptPassedOver { .. }
            | EventBody::CancelAsked { .. }
            | EventBody::MergeAsked { .. }
            | EventBody::CloseAsked { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
