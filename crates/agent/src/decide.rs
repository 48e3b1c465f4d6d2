//! What follows from the state: decisions first, then everything that may start now.

use std::sync::Arc;

use cofferdam_domain::{
    Budget, EventBody, Message, ModelRequest, Outcome, SessionState, event::NudgeReason, policy::LimitKind,
};

use crate::{
    Action, Agent, agent::WrapUp, alarms::Alarm, compaction::room_for_results, delivery::Progress, ending,
    strand::Strand, wording,
};

/// The part of a budget, in hundredths, at which the agent is told that the limit is near.
const NEAR: u64 = 80;

/// A model call to be made.
pub(crate) struct Plan {
    pub(crate) request: ModelRequest,
    /// The message that the request adds to the conversation, or ends with if it is for a summary; `None` if
    /// it adds nothing.
    pub(crate) tail: Option<Arc<Message>>,
    /// An estimate of its prompt's tokens.
    pub(crate) tokens: u64,
}

impl Agent {
    /// What is to be done now, given the log so far. The same log gives the same actions. Empty while
    /// everything waits for something that is under way, and when the session has ended.
    #[must_use]
    pub fn next(&self) -> Vec<Action> {
        if self.outcome.is_some() {
            return self.to_close();
        }
        let alarm = self.alarm().map(Box::new).map(Action::Append);
        if let Some(alarm) = alarm.clone().filter(|_| self.watchman.is_strict()) {
            return vec![alarm];
        }
        // In an older log a worker froze the sandbox, and other decisions may stand before that.
        alarm.into_iter().chain(self.usual()).collect()
    }

    /// What follows where no alarm is to be raised.
    fn usual(&self) -> Vec<Action> {
        if let Some(body) = self.decision() {
            return vec![Action::Append(Box::new(body))];
        }
        if self.held() {
            return Vec::new();
        }
        match self.phase {
            SessionState::Working => self.work(),
            SessionState::Delivering => self.to_deliver(),
            SessionState::Queued | SessionState::Waiting | SessionState::Ended => Vec::new(),
        }
    }

    /// The alarm that is to be raised before anything else, or what follows from one that was.
    fn alarm(&self) -> Option<EventBody> {
        if self.cancelled || self.failure.is_some() || self.frozen.is_some() {
            return None;
        }
        if let (Some(reason), Some(sandbox)) = (&self.to_freeze, self.watchman.sandbox()) {
            return Some(EventBody::SandboxFrozen { sandbox, reason: reason.to_string() });
        }
        self.watchman.due().map(Alarm::body)
    }

    fn decision(&self) -> Option<EventBody> {
        if self.cancelled {
            let outcome = self.strands().any(Strand::is_published).then(|| self.delivered()).flatten();
            return Some(EventBody::SessionEnded { outcome: outcome.unwrap_or(Outcome::Cancelled) });
        }
        if let Some(passed_over) = self.decide_when_passed_over() {
            return Some(passed_over);
        }
        if let Some(failure) = &self.failure {
            return Some(EventBody::SessionEnded {
                outcome: Outcome::Failed { reason: failure.reason.clone() },
            });
        }
        if let Some(reason) = &self.frozen {
            return Some(EventBody::SessionEnded { outcome: ending::frozen(self.session, reason) });
        }
        if let Some(state) = self.closed_before() {
            return Some(EventBody::SessionEnded { outcome: ending::too_late(state) });
        }
        match self.phase {
            SessionState::Working => self.decide_at_work(),
            SessionState::Delivering if self.held() => None,
            SessionState::Delivering => self.decide_at_delivery(),
            SessionState::Queued | SessionState::Waiting | SessionState::Ended => None,
        }
    }

    fn decide_at_delivery(&self) -> Option<EventBody> {
        if self.is_behind() {
            let (reason, text) = (NudgeReason::FollowUp, wording::OVERTAKEN.to_owned());
            return Some(EventBody::Nudged { reason, text });
        }
        if let Some(outcome) = self.delivered() {
            if self.follow_up && !self.any_stage_under_way() {
                let (reason, text) = (NudgeReason::FollowUp, wording::FOLLOW_UP.to_owned());
                return Some(EventBody::Nudged { reason, text });
            }
            return Some(EventBody::SessionEnded { outcome });
        }
        if self.is_to_be_improved() {
            let (reason, text) = (NudgeReason::FollowUp, wording::FOLLOW_UP.to_owned());
            return Some(EventBody::Nudged { reason, text });
        }
        if self.is_sent_back() {
            let (reason, text) = (NudgeReason::GateFindings, wording::gate_findings(&self.all_findings()));
            return Some(EventBody::Nudged { reason, text });
        }
        self.decide_on_look().or_else(|| self.decide_on_attempt())
    }

    fn decide_at_work(&self) -> Option<EventBody> {
        if let Some(call) = self.calls.cut_short() {
            return Some(EventBody::ToolLost { call });
        }
        if let Some(asked) = self.decide_on_access().or_else(|| self.decide_on_people()) {
            return Some(asked);
        }
        if self.held() {
            return None;
        }
        let fixed = self.facts.fixed.as_ref()?;
        if let Some(delegated) = self.decide_on_subagents(&fixed.policy.budget) {
            return Some(delegated);
        }
        if self.asked.is_some() || self.calls.any_running() {
            return None;
        }
        let spent = self.spent_in_turn();
        let budget = &fixed.policy.budget;
        if !self.calls.is_empty() {
            // What the model has asked for is done, unless there is no time left for it.
            let late = self.limit.is_none() && spent.wall_ms >= budget.wall_ms;
            return late.then_some(EventBody::LimitReached { limit: LimitKind::Wall, spent });
        }
        // First of all: the request for the summary was the last of its epoch.
        if let Some(compacted) = self.decide_on_summary() {
            return Some(compacted);
        }
        if let Some(finish) = &self.finish {
            return Some(EventBody::WorkFinished { finish: finish.clone(), limit: self.limit });
        }
        if let Some(limit) = self.limit {
            return self.decide_after_limit(limit);
        }
        if let Some(limit) = budget.reached(&spent).or(self.stop) {
            return Some(EventBody::LimitReached { limit, spent });
        }
        if let Some(reason) = self.due {
            return Some(EventBody::Nudged { reason, text: wording::nudge(reason).to_owned() });
        }
        let warn = !self.warned && self.steps > 0 && self.is_nearly_used(budget);
        warn.then(|| EventBody::Nudged {
            reason: NudgeReason::WrapUp,
            text: wording::limit_near(&spent, budget),
        })
    }

    /// Whether most of a budget is used in this turn.
    pub(crate) fn is_nearly_used(&self, budget: &Budget) -> bool {
        let near = |used: u64, most: u64| used.saturating_mul(100) >= most.saturating_mul(NEAR);
        let spent = self.spent_in_turn();
        near(spent.steps.into(), budget.steps.into())
            || near(spent.usage.total(), budget.tokens)
            || near(spent.cost.0, budget.cost.0)
            || near(spent.wall_ms, budget.wall_ms)
    }

    fn decide_after_limit(&self, limit: LimitKind) -> Option<EventBody> {
        // A model that has said nothing has nothing to wrap up, and one that fails or refuses would do so
        // again.
        if self.wrap == WrapUp::Over || limit == LimitKind::Model || self.steps == 0 {
            let finish = ending::cut_off(self.task(), &self.last_answer(), &self.in_words(limit));
            return Some(EventBody::WorkFinished { finish, limit: Some(limit) });
        }
        let budget = self.facts.fixed.as_ref()?.policy.budget;
        (self.wrap == WrapUp::Untold).then(|| EventBody::Nudged {
            reason: NudgeReason::WrapUp,
            text: wording::limit_reached(limit, &budget),
        })
    }

    fn decide_on_summary(&self) -> Option<EventBody> {
        let summary = self.pressure.summary()?;
        let replaced = self.replaceable()?;
        let facts = (self.rules() >= 1).then(|| self.recalled());
        let (summary, size) = (summary.to_string(), summary.len() as u64);
        Some(EventBody::Compacted { summary, replaced, size, facts })
    }

    fn replaceable(&self) -> Option<u32> {
        let conversation = self.conversation.as_ref()?;
        conversation.replaceable(self.pressure.kept(conversation.window()), self.fresh())
    }

    /// Tokens of the latest tool results that a new epoch has whole; `None` in sessions that began before there was such a bound.
    pub(crate) fn fresh(&self) -> Option<u64> {
        let window = self.conversation.as_ref()?.window();
        (self.rules() >= 1).then(|| self.pressure.kept(window) / 2)
    }

    /// What may start while the agent works. Sandbox and model are independent until a call wants to run.
    fn work(&self) -> Vec<Action> {
        if self.facts.fixed.is_none() || self.other_model.is_some() {
            return vec![Action::Fix];
        }
        let mut actions = self.to_prepare();
        if !self.calls.is_empty() {
            if self.strand.stages.sandbox == Progress::Done {
                actions.extend(self.calls.startable().map(|(call, tool)| Action::RunTool { call, tool }));
            }
        } else if self.asked.as_ref().is_none_or(|asked| !asked.running) {
            actions.extend(self.ask());
        }
        actions
    }

    fn ask(&self) -> Option<Action> {
        let step = self.steps.saturating_add(1);
        if let Some(asked) = &self.asked {
            let request = self.plan_request(asked.compaction)?.request;
            return Some(Action::AskModel { step, compaction: asked.compaction, request });
        }
        let plan = self.plan_request(false)?;
        let window = self.conversation.as_ref()?.window();
        let compaction = self.limit.is_none()
            && self.pressure.is_high(plan.tokens, window)
            && self.replaceable().is_some();
        let plan = if compaction { self.plan_request(true)? } else { plan };
        Some(Action::AskModel { step, compaction, request: plan.request })
    }

    /// The request as it is to be made now; the same as before if it was cut short.
    pub(crate) fn plan_request(&self, compaction: bool) -> Option<Plan> {
        let conversation = self.conversation.as_ref()?;
        let before = self
            .asked
            .as_ref()
            .filter(|asked| asked.compaction == compaction)
            .and_then(|asked| asked.tail.clone());
        let tail = if before.is_some() {
            before
        } else if conversation.awaits_answer() {
            None
        } else {
            let room = room_for_results(conversation.window());
            let summarise = if self.rules() >= 1 { wording::WRITE_NOTES } else { wording::SUMMARISE };
            Some(match compaction {
                true => Arc::new(self.draft.message(room, Some(summarise))),
                false => self.draft.shared(room),
            })
        };
        let (request, tokens) = conversation.request(tail.as_ref(), self.session.to_string());
        Some(Plan { request, tail, tokens })
    }
}
