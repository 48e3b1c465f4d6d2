//! Sessions that are one of several attempts at the same task: each does all its work up to what would leave the platform, and there it waits
//! until one of them is chosen. Nothing is pushed for any other.

use std::sync::Arc;

use cofferdam_domain::{Attempt, EventBody, Outcome, SessionId, Stage, WaitingFor};

use crate::{Action, Agent, strand::Strand};

/// How far an attempt is beside its work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// What is ready to be chosen, by its head commit.
    ready: Option<Arc<str>>,
    /// It is the one that is delivered, in this turn and in all that follow.
    chosen: bool,
    /// Another one is.
    passed_over: Option<SessionId>,
}

impl Choice {
    /// Somebody wrote, or a new stretch of work begins: what was ready is not what there will be.
    pub(crate) fn withdraw(&mut self) {
        self.ready = None;
    }

    /// What the session waits for.
    pub(crate) fn waiting(&self) -> Option<WaitingFor> {
        let waits = self.ready.is_some() && !self.chosen && self.passed_over.is_none();
        waits.then_some(WaitingFor::Choice)
    }
}

impl Agent {
    /// Which one of several attempts the session is.
    #[must_use]
    pub fn attempt(&self) -> Option<Attempt> {
        self.facts.task.as_ref()?.attempt
    }

    /// Whether what the session makes may leave the platform: it is the only one at its task, or the one that was chosen.
    #[must_use]
    pub fn may_deliver(&self) -> bool {
        self.attempt().is_none() || self.choice.chosen && self.choice.passed_over.is_none()
    }

    /// Whether it is decided which attempt is delivered.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        self.choice.chosen || self.choice.passed_over.is_some()
    }

    /// The attempt that was chosen instead of this one.
    #[must_use]
    pub const fn passed_over(&self) -> Option<SessionId> {
        self.choice.passed_over
    }

    /// The stages of delivery that may start now.
    pub(crate) fn to_deliver(&self) -> Vec<Action> {
        let mut actions = self.next_stages();
        if !self.may_deliver() {
            actions.retain(|action| !publishes(action));
        }
        actions
    }

    /// The end of an attempt that was not chosen.
    pub(crate) fn decide_when_passed_over(&self) -> Option<EventBody> {
        let chosen = self.choice.passed_over?;
        Some(EventBody::SessionEnded { outcome: Outcome::PassedOver { chosen } })
    }

    /// That all is done but for what takes a choice.
    pub(crate) fn decide_on_attempt(&self) -> Option<EventBody> {
        if self.may_deliver() || self.choice.ready.is_some() || self.any_stage_under_way() {
            return None;
        }
        let next = self.next_stages();
        let ready = !next.is_empty() && next.iter().all(publishes);
        ready.then(|| EventBody::AttemptReady { commit: self.heads() })
    }

    /// Whether somebody wrote to an attempt before it was chosen: a turn begins that takes that in.
    pub(crate) fn is_to_be_improved(&self) -> bool {
        let taken_over = self.strands().all(Strand::is_examined);
        !self.may_deliver() && self.follow_up && taken_over && !self.any_stage_under_way()
    }

    /// The head commits of all that has changed.
    fn heads(&self) -> String {
        let changed = self.strands().filter(|strand| !strand.nothing_changed);
        let heads: Vec<&str> =
            changed.filter_map(|strand| strand.received.as_ref()).map(|received| &*received.head).collect();
        heads.join("+")
    }

    pub(crate) fn attempt_ready(&mut self, commit: &str) -> bool {
        let fits = self.delivering() && !self.may_deliver();
        if fits {
            self.choice.ready = Some(commit.into());
        }
        fits
    }

    /// Somebody chose this attempt, as it was when they looked at it. What is not ready any more was not chosen.
    pub(crate) fn attempt_chosen(&mut self, commit: &str) -> bool {
        let is_it = self.choice.ready.as_deref() == Some(commit) && self.choice.passed_over.is_none();
        if is_it && self.attempt().is_some() && self.outcome.is_none() {
            self.choice.chosen = true;
        }
        true
    }

    /// Somebody chose another one. It stays so, whatever is written to this one.
    pub(crate) fn attempt_passed_over(&mut self, chosen: SessionId) -> bool {
        if self.attempt().is_some() && !self.choice.chosen && chosen != self.session {
            self.choice.passed_over.get_or_insert(chosen);
        }
        true
    }
}

/// Whether it is a stage with which something leaves the platform.
fn publishes(action: &Action) -> bool {
    let stage = match action {
        Action::Stage(stage) | Action::Beside(_, stage) => *stage,
        Action::Fix | Action::AskModel { .. } | Action::RunTool { .. } | Action::Append(_) => return false,
    };
    match stage {
        Stage::Push | Stage::PullRequest | Stage::Merge | Stage::Close => true,
        Stage::Repository
        | Stage::Sandbox
        | Stage::Collect
        | Stage::Examine
        | Stage::Evidence { .. }
        | Stage::SelfReview => false,
    }
}
