//! Events of the session as a whole: task, claims, policy, the worker's own stages, messages, the end.

use std::sync::Arc;

use cofferdam_domain::{
    About, Consequence, Label, Outcome, SandboxId, SessionState, Stage, Task,
    egress::Refused,
    event::{Fixed, Moved, Repository},
    part::MOST_ALSO,
};

use crate::{
    Agent, agent::Reopening, conversation::Conversation, delivery::Progress, ending::Failure,
    history::Restore, remarks, strand::Strand, wording,
};

impl Agent {
    pub(super) fn accepted(&mut self, task: &Task) -> bool {
        let first = self.facts.task.is_none();
        if first {
            self.facts.task = Some(Arc::new(task.clone()));
            self.beside = vec![Strand::default(); task.also.len().min(MOST_ALSO)];
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
            let Some(reopening) = self.reopens.take() else {
                self.strands_mut().for_each(|strand| strand.stages.cut());
                return true;
            };
            self.outcome = None;
            self.failure = None;
            match reopening {
                Reopening::GoOn => {}
                Reopening::NewTurn => self.begin_turn(),
            }
        }
        if again {
            self.cut_short(true);
        }
        if self.rules() >= 2 {
            self.people.look_into_purse();
        }
        if self.failure.is_none() {
            for strand in self.strands_mut().filter(|strand| strand.repository.is_none()) {
                strand.stages.repository = Progress::Todo;
            }
        }
        if self.phase == SessionState::Queued {
            self.phase = SessionState::Working;
            self.remarks.catch_up();
        }
        if self.working() {
            self.clock.restart();
        }
        true
    }

    /// Whatever was under way was cut short. The agent is told that its sandbox is gone, if `tell`.
    pub(crate) fn cut_short(&mut self, tell: bool) {
        if let Some(asked) = &mut self.asked {
            asked.running = false;
        }
        self.calls.cut();
        if let Some(by) = self.people.cut() {
            self.draft.say(wording::terminal_closed(&by));
        }
        if tell && self.working() && self.facts.sandbox.is_some() && self.touched {
            self.draft.say(self.sandbox_anew());
        }
        self.facts.sandbox = None;
        self.strands_mut().for_each(|strand| strand.stages.cut());
    }

    pub(super) fn fixed_with(&mut self, fixed: &Fixed) -> bool {
        let Some(task) = &self.facts.task else { return false };
        let plan_first = task.wishes.plan_first;
        // Whoever accepts the task may fix it with the task; else the first worker does.
        let in_time = matches!(self.phase, SessionState::Queued | SessionState::Working);
        if in_time && self.facts.fixed.is_some() && self.other_model.take().is_some() {
            self.facts.fixed = Some(Arc::new(fixed.clone()));
            self.refit();
            return true;
        }
        if !in_time || self.facts.fixed.is_some() {
            return false;
        }
        if plan_first {
            self.people.want_plan();
        }
        self.facts.fixed = Some(Arc::new(fixed.clone()));
        self.conversation = Some(Conversation::new(fixed, self.model_at_work(fixed), self.offered(fixed)));
        if let Some(opening) = self.opening() {
            self.draft.say_first(opening);
        }
        true
    }

    pub(super) fn stage_started(&mut self, stage: Stage) -> bool {
        let in_time = match stage {
            Stage::Repository | Stage::Sandbox => self.working() && self.facts.fixed.is_some(),
            Stage::Collect
            | Stage::Examine
            | Stage::Evidence { .. }
            | Stage::SelfReview
            | Stage::Push
            | Stage::PullRequest => self.delivering(),
            Stage::Merge | Stage::Close => self.outcome.is_some(),
        };
        let fits = in_time && self.strand.stages.start(stage);
        if fits && stage == Stage::SelfReview {
            self.look_begins();
        }
        fits
    }

    pub(super) fn stage_failed(&mut self, stage: Stage, reason: &str) -> bool {
        let fits = self.strand.stages.finish(stage);
        if fits {
            self.failure = Some(Failure::of_stage(reason));
            self.strand.failed = Some(stage);
        }
        fits
    }

    pub(super) fn repository_ready(&mut self, repository: &Repository) -> bool {
        if !self.strand.stages.finish(Stage::Repository) {
            return false;
        }
        if let Some(notes) = wording::repository(repository, &self.prefix(self.here)) {
            self.draft.say(notes);
        }
        self.strand.repository = Some(Arc::new(repository.clone()));
        self.begin_with_review();
        true
    }

    pub(super) fn sandbox_ready(&mut self, sandbox: SandboxId, moved: Option<&Moved>) -> bool {
        let fits = self.strand.stages.finish(Stage::Sandbox);
        if fits && self.working() {
            self.facts.sandbox = Some(sandbox);
            if matches!(self.restore, Some(Restore::Fresh)) {
                self.strands_mut().for_each(|strand| strand.base_wanted = false);
            }
            self.restore = None;
            if let Some(moved) = moved {
                self.goes_on_from(moved);
            }
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
        self.to_freeze = None;
        true
    }

    /// A rule was met.
    pub(super) fn alarm_raised(&mut self, what: &str, then: Consequence) -> bool {
        if then == Consequence::Freeze {
            self.to_freeze.get_or_insert_with(|| what.into());
        }
        true
    }

    /// Whoever gives up a session gives up what was kept of it.
    pub(super) fn given_up_after_end(&mut self) -> bool {
        self.frozen = None;
        true
    }

    /// The session goes on when it is claimed, from where it was.
    pub(super) fn released_after_end(&mut self) -> bool {
        if self.frozen.take().is_some() {
            self.reopens = self.reopens.or(Some(Reopening::GoOn));
        }
        true
    }

    pub(super) fn message_received(
        &mut self,
        from: &str,
        text: &str,
        label: Label,
        about: Option<&About>,
    ) -> bool {
        let said = remarks::message(from, text, label, about, &self.seed());
        self.ask_about(label, about);
        // What is taken in is taken in when a turn begins.
        let wants_base = self.wish_for_base(label, about);
        self.choice.withdraw();
        self.follow_up |= wants_base || self.delivering() && remarks::counts(label, about);
        self.hear(said);
        true
    }

    pub(super) fn ended(&mut self, outcome: &Outcome) -> bool {
        self.clock.stop();
        let mendable = matches!(outcome, Outcome::Failed { .. })
            && !self.cancelled
            && self.failure.as_ref().is_some_and(|failure| failure.model);
        self.reopens = mendable.then_some(Reopening::GoOn);
        self.outcome = Some(outcome.clone());
        true
    }
}
