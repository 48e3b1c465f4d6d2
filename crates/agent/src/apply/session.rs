//! Events of the session as a whole: task, claims, policy, the worker's own stages, messages, the end.

use std::sync::Arc;

use cofferdam_domain::{
    Label, Outcome, SandboxId, SessionState, Stage, Task,
    egress::Refused,
    event::{Fixed, Repository},
};

use crate::{Agent, conversation::Conversation, ending::Failure, wording};

impl Agent {
    pub(super) fn accepted(&mut self, task: &Task) -> bool {
        let first = self.facts.task.is_none();
        if first {
            self.facts.task = Some(Arc::new(task.clone()));
        }
        first
    }

    /// A claim after the first tells that whatever was under way was cut short.
    pub(super) fn claimed(&mut self, fence: u64) -> bool {
        if fence <= self.fence || self.facts.task.is_none() {
            return false;
        }
        let again = self.fence > 0;
        self.fence = fence;
        if self.outcome.is_some() {
            if !self.reopens {
                return true;
            }
            self.outcome = None;
            self.failure = None;
        }
        if again {
            self.cut_short();
        }
        if self.phase == SessionState::Queued {
            self.phase = SessionState::Working;
        }
        if self.working() {
            self.clock.restart();
        }
        true
    }

    fn cut_short(&mut self) {
        if let Some(asked) = &mut self.asked {
            asked.running = false;
        }
        self.calls.cut();
        if self.working() && self.facts.sandbox.is_some() && self.touched {
            self.draft.say(wording::SANDBOX_ANEW);
        }
        self.facts.sandbox = None;
        self.stages.cut();
    }

    pub(super) fn fixed_with(&mut self, fixed: &Fixed) -> bool {
        let Some(task) = &self.facts.task else { return false };
        // Whoever accepts the task may fix it with the task; else the first worker does.
        let in_time = matches!(self.phase, SessionState::Queued | SessionState::Working);
        if !in_time || self.facts.fixed.is_some() {
            return false;
        }
        self.draft.say_first(wording::task(task, &self.seed()));
        self.conversation = Some(Conversation::new(fixed));
        self.facts.fixed = Some(Arc::new(fixed.clone()));
        true
    }

    pub(super) fn stage_started(&mut self, stage: Stage) -> bool {
        let in_time = match stage {
            Stage::Repository | Stage::Sandbox => self.working() && self.facts.fixed.is_some(),
            Stage::Collect | Stage::Examine | Stage::Evidence { .. } | Stage::Push | Stage::PullRequest => {
                self.delivering()
            }
        };
        in_time && self.stages.start(stage)
    }

    pub(super) fn stage_failed(&mut self, stage: Stage, reason: &str) -> bool {
        let fits = self.stages.finish(stage);
        if fits {
            self.failure = Some(Failure::of_stage(reason));
        }
        fits
    }

    pub(super) fn repository_ready(&mut self, repository: &Repository) -> bool {
        if !self.stages.finish(Stage::Repository) {
            return false;
        }
        if let Some(notes) = wording::repository(repository) {
            self.draft.say(notes);
        }
        self.facts.repository = Some(Arc::new(repository.clone()));
        true
    }

    pub(super) fn sandbox_ready(&mut self, sandbox: SandboxId) -> bool {
        let fits = self.stages.finish(Stage::Sandbox);
        if fits && self.working() {
            self.facts.sandbox = Some(sandbox);
        }
        fits
    }

    /// The door refused something.
    pub(super) fn egress_refused(&mut self, refused: &Refused) -> bool {
        self.facts.refused = self.facts.refused.saturating_add(refused.count.into());
        true
    }

    /// Nothing goes on before a person has looked.
    pub(super) fn frozen_because(&mut self, reason: &str) -> bool {
        self.frozen = Some(reason.into());
        true
    }

    /// Whoever gives up a session gives up what was kept of it.
    pub(super) fn given_up_after_end(&mut self) -> bool {
        self.frozen = None;
        true
    }

    /// The session goes on when it is claimed, from where it was.
    pub(super) fn released_after_end(&mut self) -> bool {
        self.reopens |= self.frozen.take().is_some();
        true
    }

    pub(super) fn message_received(&mut self, from: &str, text: &str, label: Label) -> bool {
        let said = wording::message(from, text, label, &self.seed());
        self.unread = true;
        self.take_back_finish();
        self.draft.say(said);
        true
    }

    pub(super) fn ended(&mut self, outcome: &Outcome) -> bool {
        self.clock.stop();
        self.reopens = matches!(outcome, Outcome::Failed { .. })
            && !self.cancelled
            && self.failure.as_ref().is_some_and(|failure| failure.model);
        self.outcome = Some(outcome.clone());
        true
    }
}
