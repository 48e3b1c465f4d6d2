//! Events of the conversation with the model: asked, answered, failed, compacted.

use std::sync::Arc;

use cofferdam_domain::{
    Answer, Block, Digest, EventBody, Message, Role, StopReason,
    event::{ModelFailure, NudgeReason},
    hidden::replace_hidden,
    policy::LimitKind,
};

use crate::{
    Agent,
    agent::{Asked, Manners, WrapUp},
    answer::{Manner, Permitted, settle},
    conversation::Conversation,
    ending::{self, Failure},
    excerpt::excerpt,
    routing, wording,
};

/// A model's notes without characters that a reader does not see.
fn visible(text: &str) -> String {
    replace_hidden(text, |_| String::new())
}

/// The longest summary that is taken from the model, in bytes.
const LONGEST_SUMMARY: usize = 32 * 1024;
/// Silent answers one after another: the work counts as over with the last.
const MOST_SILENT: u32 = 3;
/// Refused answers one after another.
const MOST_REFUSED: u32 = 3;
/// Truncated answers one after another.
const MOST_TRUNCATED: u32 = 4;

impl Agent {
    pub(super) fn model_asked(
        &mut self,
        body: &EventBody,
        step: u32,
        request: Digest,
        compaction: bool,
    ) -> bool {
        let idle = self.calls.is_empty() && self.asked.as_ref().is_none_or(|asked| !asked.running);
        if !self.working() || !idle || step != self.steps.saturating_add(1) {
            return false;
        }
        let Some(plan) = self.plan_request(compaction) else { return false };
        let asked_of = self.asked_of(compaction).map(|(role, _)| role);
        if plan.request.digest != request {
            self.note_oddity(
                body,
                "the request was another one: it was written by another version, or the log was changed",
            );
        }
        let tail = if compaction {
            plan.tail
        } else {
            if let (Some(conversation), Some(message)) = (&mut self.conversation, plan.tail) {
                conversation.push(message);
                self.draft.clear();
                self.unread = false;
            }
            None
        };
        self.asked = Some(Asked { compaction, tail, asked_of, running: true });
        true
    }

    pub(super) fn model_answered(&mut self, step: u32, answer: &Answer) -> bool {
        let Some(asked) = self.take_running(step) else { return false };
        self.usage += answer.usage;
        let fixed = self.facts.fixed.as_deref();
        let prices = fixed.and_then(|fixed| routing::prices(fixed, asked.asked_of, answer));
        self.cost += answer.cost_by(prices);
        if asked.compaction {
            self.summarised(answer);
        } else {
            self.steps = step;
            self.pressure.answered();
            self.settle(answer);
        }
        true
    }

    fn take_running(&mut self, step: u32) -> Option<Asked> {
        if step != self.steps.saturating_add(1) {
            return None;
        }
        self.asked.take_if(|asked| asked.running)
    }

    fn summarised(&mut self, answer: &Answer) {
        let text = answer.text();
        let refused = matches!(answer.stop, StopReason::Refusal { .. });
        if refused || text.trim().is_empty() {
            self.pressure.go_without(wording::NO_SUMMARY);
        } else {
            let text = if self.rules() >= 1 { visible(text.trim()) } else { text.trim().to_owned() };
            self.pressure.give(excerpt(&text, LONGEST_SUMMARY));
        }
    }

    fn settle(&mut self, answer: &Answer) {
        let Some(fixed) = self.facts.fixed.clone() else { return };
        let last = self.limit.is_some();
        let permitted = match (last, self.people.planning()) {
            (true, _) => Permitted::Finish,
            (false, true) => Permitted::Reading,
            (false, false) => Permitted::All,
        };
        let settled = settle(self.steps, answer, &fixed.tools, permitted);
        if let Some(conversation) = &mut self.conversation {
            conversation.push(Arc::new(settled.message));
            conversation.learn(&answer.usage);
        }
        if answer.stop == StopReason::ContextFull {
            self.pressure.want();
        }
        self.calls = settled.calls;
        if last {
            self.wrap = WrapUp::Over;
        } else {
            self.judge(settled.manner);
        }
        self.close_step();
    }

    fn judge(&mut self, manner: Manner) {
        let before = self.manners;
        self.manners = Manners::default();
        match manner {
            Manner::Calls => {}
            Manner::Silent => {
                self.manners.silent = before.silent + 1;
                self.due = Some(NudgeReason::Silent);
                if self.manners.silent >= MOST_SILENT {
                    let said = self.last_answer();
                    self.finish = Some(ending::fell_silent(self.task(), &said));
                    self.due = None;
                    self.take_back_finish();
                }
            }
            Manner::Truncated => {
                self.manners.truncated = before.truncated + 1;
                self.due = Some(NudgeReason::Truncated);
                if self.manners.truncated >= MOST_TRUNCATED {
                    self.stop = Some(LimitKind::Stuck);
                }
            }
            Manner::Refused => {
                self.manners.refused = before.refused + 1;
                self.due = Some(NudgeReason::Refused);
                if self.manners.refused >= MOST_REFUSED {
                    self.stop = Some(LimitKind::Model);
                }
            }
        }
    }

    pub(super) fn model_failed(&mut self, step: u32, kind: ModelFailure, message: &str) -> bool {
        let Some(asked) = self.take_running(step) else { return false };
        if self.limit.is_some() {
            // The last answer is a courtesy: without it the work ends as it is.
            self.wrap = WrapUp::Over;
        } else if kind == ModelFailure::ContextOverflow {
            self.overflowed(message);
        } else {
            self.failure = Some(Failure::of_model(self, kind, message));
            // If the session goes on after all, it goes on with the same request.
            self.asked = Some(Asked { running: false, ..asked });
        }
        true
    }

    fn overflowed(&mut self, message: &str) {
        let window = self.conversation.as_ref().and_then(Conversation::window);
        let limit = self.pressure.overflow();
        let fresh = self.fresh();
        if let (Some(limit), Some(conversation)) = (limit, &mut self.conversation) {
            let (taken_back, shorter) = conversation.squeeze(limit);
            if let Some(message) = taken_back {
                self.draft.reopen(message);
            }
            self.draft.squeeze(limit);
            if conversation.replaceable(self.pressure.kept(window), fresh).is_some() {
                self.pressure.relieve(wording::NO_SUMMARY);
                return;
            }
            if shorter {
                return;
            }
        }
        if self.touched {
            self.stop = Some(LimitKind::Model);
        } else {
            self.failure = Some(Failure::of_model(self, ModelFailure::ContextOverflow, message));
        }
    }

    pub(super) fn compacted(&mut self, summary: &str, replaced: u32, facts: Option<&str>) -> bool {
        let Some(opening) = self.opening() else { return false };
        if !self.working() || self.asked.is_some() || !self.calls.is_empty() {
            return false;
        }
        let text = match facts {
            Some(facts) => wording::cut(&opening, facts, summary, &self.seed()),
            None => wording::summary(&opening, summary, &self.seed()),
        };
        let fresh = self.fresh().filter(|_| facts.is_some());
        let head = Message { role: Role::User, blocks: vec![Block::text(text)] };
        let fits = self
            .conversation
            .as_mut()
            .is_some_and(|conversation| conversation.compact(head, replaced, fresh));
        if fits {
            self.forget_advice();
            self.pressure.compacted(summary);
        }
        fits
    }
}
