//! Events of the work itself: tool calls, what the agent is told, limits, the end of the work.

use std::sync::Arc;

use cofferdam_domain::{
    CallId, SessionState, ToolOutcome, ToolStatus,
    event::NudgeReason,
    policy::{LimitKind, Questions},
    tool::{Finish, ToolEffect},
};

use crate::{
    Agent,
    agent::{Manners, WrapUp},
    delivery::Progress,
    ending,
    facts::Work,
    stuck::Trouble,
    wording,
};

impl Agent {
    pub(super) fn nudged(&mut self, reason: NudgeReason, text: &str) -> bool {
        if reason == NudgeReason::GateFindings {
            return self.sent_back(text);
        }
        if reason == NudgeReason::SelfReview {
            return self.sent_back_by_look(text);
        }
        if reason == NudgeReason::FollowUp {
            let fits = self.delivering() && self.follow_up;
            if fits {
                self.begin_turn();
            }
            return fits;
        }
        if !self.working() || self.asked.is_some() || !self.calls.is_empty() {
            return false;
        }
        if self.due == Some(reason) {
            self.due = None;
        }
        if reason == NudgeReason::WrapUp {
            self.warned = true;
            if self.limit.is_some() {
                self.wrap = WrapUp::Told;
            }
        }
        self.draft.say(text);
        true
    }

    pub(super) fn tool_started(&mut self, call: CallId) -> bool {
        let fits = self.working() && self.calls.start(call);
        self.touched |= fits;
        fits
    }

    pub(super) fn tool_finished(&mut self, call: CallId, outcome: &ToolOutcome, millis: u64) -> bool {
        let Some(fixed) = self.facts.fixed.clone() else { return false };
        let called = self.calls.called(call);
        let sees = self.model_at_work(&fixed).images;
        if !self.calls.finish(call, outcome, millis, sees) {
            return false;
        }
        if let Some(called) = &called {
            self.recall.see(called, outcome, fixed.policy.test_command.as_deref());
            self.advise_on(called, outcome);
        }
        self.facts.refused += u64::from(outcome.status == ToolStatus::Refused);
        match &outcome.effect {
            Some(ToolEffect::Finish(finish)) => {
                self.finish = Some(finish.clone());
                self.calls.drop_waiting(wording::CALL_AFTER_FINISH);
            }
            Some(ToolEffect::Question { text }) if fixed.policy.questions == Questions::Stop => {
                self.finish = Some(ending::asked(self.task(), text));
                self.calls.drop_waiting(wording::CALL_AFTER_QUESTION);
            }
            Some(ToolEffect::Access { rule, reason }) => self.access_wanted(call, rule, reason),
            Some(ToolEffect::Plan { items }) => self.facts.plan = Arc::new(items.clone()),
            Some(ToolEffect::Question { text }) if self.asks_people() => {
                self.question_wanted(call, text, None)
            }
            Some(ToolEffect::Approval { call: wanted, question }) => {
                self.question_wanted(call, question, Some(wanted.digest));
            }
            Some(ToolEffect::Foreign(made)) => self.use_approval(Some(made.digest)),
            Some(ToolEffect::Proposal { text }) => self.plan_wanted(call, text),
            Some(ToolEffect::Delegated(done)) => self.subagent_done(call, done),
            Some(ToolEffect::Remember(_)) => self.memory.proposed += 1,
            Some(ToolEffect::Question { .. } | ToolEffect::Edited { .. } | ToolEffect::Screenshot { .. }) => {
            }
            None => called.iter().for_each(|called| self.ended_untold(called, outcome.status)),
        }
        self.subagents.close(call);
        self.close_step();
        true
    }

    /// Nobody knows what became of a call, so no approval is left that it may have used up.
    pub(super) fn tool_lost(&mut self, call: CallId) -> bool {
        self.use_approval(None);
        self.calls.lose(call) && self.close_step()
    }

    /// Ends the step if all its calls are done. Always true, for callers that fit.
    pub(super) fn close_step(&mut self) -> bool {
        if self.calls.is_empty() || !self.calls.all_done() {
            return true;
        }
        let (results, records) = self.calls.close();
        self.draft.answer_calls(results);
        self.take_back_finish();
        if self.limit.is_some() || self.finish.is_some() {
            return true;
        }
        match self.watch.step(records) {
            Some(Trouble::Tell(reason)) => self.due = self.due.or(Some(reason)),
            Some(Trouble::Stop) => self.stop = self.stop.or(Some(LimitKind::Stuck)),
            None => {}
        }
        true
    }

    /// The work does not end over the head of somebody who has just written, unless it must.
    pub(crate) fn take_back_finish(&mut self) {
        if self.unread && self.limit.is_none() && self.finish.take().is_some() {
            self.manners = Manners::default();
            self.draft.say_first(wording::FINISH_TAKEN_BACK);
        }
    }

    pub(super) fn limit_reached(&mut self, limit: LimitKind) -> bool {
        if !self.working() || self.limit.is_some() || self.asked.is_some() {
            return false;
        }
        self.limit = Some(limit);
        self.stop = None;
        self.due = None;
        self.wrap = WrapUp::Untold;
        self.calls.drop_waiting(wording::CALL_TOO_LATE);
        self.close_step()
    }

    pub(super) fn work_finished(&mut self, finish: &Finish, limit: Option<LimitKind>) -> bool {
        if !self.working() || self.calls.any_running() {
            return false;
        }
        self.phase = SessionState::Delivering;
        self.clock.stop();
        self.facts.work = Some(Arc::new(Work { finish: finish.clone(), limit, at: self.clock.now() }));
        self.finish = None;
        self.due = None;
        self.stop = None;
        self.asked = None;
        if self.strand.stages.sandbox == Progress::Done {
            self.facts.sandbox = None;
        }
        self.strands_mut().for_each(|strand| strand.stages.renew());
        true
    }
}
