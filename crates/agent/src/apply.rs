//! How events change the agent.
//!
//! The log is followed, not judged: an event that a worker of another version wrote where this one would have
//! decided otherwise is folded all the same, as long as it can be. Only what has no meaning at its place is
//! left out, and noted.

mod answers;
mod beside;
mod change;
mod closing;
mod session;
mod steps;

use cofferdam_domain::{EventBody, SessionState, Stage, Timestamp};

use crate::Agent;

impl Agent {
    /// Folds the next event in. Never panics; an event that does not fit is left out and noted in
    /// [`Agent::oddities`].
    pub fn apply(&mut self, at: Timestamp, body: &EventBody) {
        self.clock.tick(at);
        let held = self.held();
        self.people.another_day(at);
        self.watchman.apply(at, body);
        self.holdings.apply(at, body);
        let fits =
            if self.outcome.is_some() { self.apply_after_end(body) } else { self.apply_to_living(body) };
        self.keep_time(held);
        if !fits {
            self.note_oddity(body, "does not fit the log before it");
        }
    }

    fn apply_after_end(&mut self, body: &EventBody) -> bool {
        match body {
            EventBody::Claimed { fence, .. } => self.claimed(*fence),
            EventBody::MessageReceived { from, text, label, about } => {
                self.message_after_end(from, text, *label, about.as_deref());
                true
            }
            EventBody::MergeAsked { commit, .. } => self.merge_asked(commit),
            EventBody::CloseAsked { .. } => self.close_asked(),
            EventBody::Beside { part, body } => self.beside(*part, body),
            EventBody::StageStarted { stage: stage @ (Stage::Merge | Stage::Close) } => {
                self.strand.stages.start(*stage)
            }
            EventBody::StageFailed { stage: Stage::Merge | Stage::Close, .. }
            | EventBody::MergeFailed { .. } => self.not_closed(),
            EventBody::PullRequestClosed { state } => self.closed(state),
            EventBody::ContinueAsked { by } => self.continued_after_end(by),
            EventBody::SandboxReleased { .. } => self.released_after_end(),
            EventBody::CancelAsked { .. } => self.given_up_after_end(),
            EventBody::AttemptPassedOver { chosen, .. } => self.attempt_passed_over(*chosen),
            EventBody::EgressRefused(refused) => self.egress_refused(refused),
            EventBody::RolledBack { by, instruction, .. } => self.rolled_back(by, instruction.as_deref()),
            EventBody::Forked { from, by, model, instruction, .. } => {
                self.forked(*from, model.as_deref(), by, instruction.as_deref())
            }
            // Whoever writes these need not know that the session has ended; a sandbox can outlive it by a moment.
            EventBody::AccessDecided(_)
            | EventBody::AttemptChosen { .. }
            | EventBody::EgressAllowed(_)
            | EventBody::PackageFetched(_)
            | EventBody::SandboxFrozen { .. }
            | EventBody::FilesDeleted { .. }
            | EventBody::PauseAsked { .. }
            | EventBody::QuestionAnswered { .. }
            | EventBody::PlanDecided { .. }
            | EventBody::Checkpointed { .. }
            | EventBody::CheckpointStored { .. }
            | EventBody::TerminalOpened { .. }
            | EventBody::TerminalClosed { .. }
            | EventBody::BudgetExceeded { .. } => true,
            EventBody::TaskAccepted { .. }
            | EventBody::AttemptReady { .. }
            | EventBody::PolicyFixed(_)
            | EventBody::StageStarted { .. }
            | EventBody::StageFailed { .. }
            | EventBody::RepositoryReady(_)
            | EventBody::InstructionsFound(_)
            | EventBody::MemoriesRecalled(_)
            | EventBody::SelfReviewed(_)
            | EventBody::SandboxReady { .. }
            | EventBody::ModelAsked { .. }
            | EventBody::ModelAnswered { .. }
            | EventBody::ModelFailed { .. }
            | EventBody::Nudged { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::ToolFinished { .. }
            | EventBody::ToolLost { .. }
            | EventBody::AccessAsked(_)
            | EventBody::QuestionAsked { .. }
            | EventBody::PlanProposed { .. }
            | EventBody::AlarmRaised { .. }
            | EventBody::Compacted { .. }
            | EventBody::LimitReached { .. }
            | EventBody::WorkFinished { .. }
            | EventBody::SessionEnded { .. }
            | EventBody::ObjectsReceived(_)
            | EventBody::NothingChanged
            | EventBody::Examined { .. }
            | EventBody::EvidenceRun(_)
            | EventBody::EvidenceMissing { .. }
            | EventBody::Pushed { .. }
            | EventBody::Overtaken { .. }
            | EventBody::Delegated { .. }
            | EventBody::PullRequestOpened(_) => false,
        }
    }

    fn apply_to_living(&mut self, body: &EventBody) -> bool {
        match body {
            EventBody::TaskAccepted { task } => self.accepted(task),
            EventBody::Claimed { fence, .. } => self.claimed(*fence),
            EventBody::PolicyFixed(fixed) => self.fixed_with(fixed),
            EventBody::StageStarted { stage } => self.stage_started(*stage),
            EventBody::StageFailed { stage, reason } => self.stage_failed(*stage, reason),
            EventBody::RepositoryReady(repository) => self.repository_ready(repository),
            EventBody::InstructionsFound(found) => self.instructions_found(found),
            EventBody::MemoriesRecalled(found) => self.memories_recalled(found),
            EventBody::SelfReviewed(review) => self.self_reviewed(review),
            EventBody::AttemptReady { commit } => self.attempt_ready(commit),
            EventBody::AttemptChosen { commit, .. } => self.attempt_chosen(commit),
            EventBody::AttemptPassedOver { chosen, .. } => self.attempt_passed_over(*chosen),
            EventBody::SandboxReady { sandbox, moved, .. } => self.sandbox_ready(*sandbox, moved.as_ref()),
            EventBody::ModelAsked { step, request, compaction } => {
                self.model_asked(body, *step, *request, *compaction)
            }
            EventBody::ModelAnswered { step, answer, .. } => self.model_answered(*step, answer),
            EventBody::ModelFailed { step, kind, message } => self.model_failed(*step, *kind, message),
            EventBody::Nudged { reason, text } => self.nudged(*reason, text),
            EventBody::ToolStarted { call, .. } => self.tool_started(*call),
            EventBody::ToolFinished { call, outcome, millis } => self.tool_finished(*call, outcome, *millis),
            EventBody::ToolLost { call } => self.tool_lost(*call),
            // What the model is to know of these stands in the outcome of the call that caused them.
            EventBody::EgressAllowed(_) | EventBody::PackageFetched(_) => true,
            EventBody::EgressRefused(refused) => self.egress_refused(refused),
            EventBody::AccessAsked(ask) => self.access_asked(ask),
            EventBody::AccessDecided(access) => self.access_decided(access),
            EventBody::AlarmRaised { what, then, .. } => self.alarm_raised(what, *then),
            EventBody::FilesDeleted { .. } => true,
            EventBody::SandboxFrozen { reason, .. } => self.frozen_because(reason),
            // It has ended before anybody could release it.
            EventBody::SandboxReleased { .. } => true,
            EventBody::Compacted { summary, replaced, facts, .. } => {
                self.compacted(summary, *replaced, facts.as_deref())
            }
            EventBody::MessageReceived { from, text, label, about } => {
                self.message_received(from, text, *label, about.as_deref())
            }
            EventBody::LimitReached { limit, .. } => self.limit_reached(*limit),
            EventBody::CancelAsked { .. } => {
                self.cancelled = true;
                true
            }
            EventBody::WorkFinished { finish, limit } => self.work_finished(finish, *limit),
            EventBody::SessionEnded { outcome } => self.ended(outcome),
            EventBody::ObjectsReceived(received) => self.objects_received(received),
            EventBody::NothingChanged => self.nothing_changed(),
            EventBody::Examined { findings, verdict } => self.examined(findings, *verdict),
            EventBody::EvidenceRun(run) => self.evidence_run(run),
            EventBody::EvidenceMissing { reason } => self.no_evidence(reason),
            EventBody::Pushed { branch, commit } => self.pushed_to(branch, commit),
            EventBody::Overtaken { .. } => self.overtaken(),
            EventBody::PullRequestOpened(request) => self.pull_request_opened(request),
            EventBody::PullRequestClosed { state } => self.closed(state),
            EventBody::PauseAsked { .. } => self.pause_asked(),
            EventBody::ContinueAsked { .. } => self.continue_asked(),
            EventBody::QuestionAsked { call, question } => self.question_asked(*call, question),
            EventBody::QuestionAnswered { call, by, text } => self.question_answered(*call, by, text),
            EventBody::PlanProposed { call, text, digest } => self.plan_proposed(*call, text, *digest),
            EventBody::PlanDecided { digest, by, decision } => self.plan_decided(*digest, by, decision),
            EventBody::Checkpointed { snapshot, .. } => self.checkpointed(snapshot),
            // Where else the files are is the worker's business.
            EventBody::CheckpointStored { .. } => true,
            EventBody::RolledBack { by, instruction, .. } => self.rolled_back(by, instruction.as_deref()),
            EventBody::Forked { from, by, model, instruction, .. } => {
                self.forked(*from, model.as_deref(), by, instruction.as_deref())
            }
            EventBody::TerminalOpened { by } => self.terminal_opened(by),
            EventBody::TerminalClosed { .. } => self.terminal_closed(),
            EventBody::BudgetExceeded { .. } => self.budget_exceeded(),
            EventBody::Delegated { call, session, kind, share, named: _ } => {
                self.delegated(*call, *session, *kind, *share)
            }
            EventBody::MergeAsked { commit, .. } => self.merge_asked(commit),
            EventBody::CloseAsked { .. } => self.close_asked(),
            EventBody::Beside { part, body } => self.beside(*part, body),
            EventBody::MergeFailed { .. } => self.not_closed(),
        }
    }

    pub(crate) fn working(&self) -> bool {
        self.phase == SessionState::Working
    }

    pub(crate) fn delivering(&self) -> bool {
        self.phase == SessionState::Delivering
    }
}
