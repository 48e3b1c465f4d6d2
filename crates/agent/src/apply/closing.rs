//! Events after the end, and how a session goes on from there: what becomes of the pull request, and new turns.

use cofferdam_domain::{About, Label, PullRequestState, SessionState, Stage};

use crate::{
    Agent,
    agent::{Closing, Manners, Reopening, WrapUp},
    history::Restore,
    remarks,
    stuck::Watch,
    wording,
};

impl Agent {
    /// The head at which the pull request is to be merged, if somebody wants that.
    #[must_use]
    pub fn merge_wanted(&self) -> Option<&str> {
        match &self.closing {
            Some(Closing::Merge(commit)) => Some(commit),
            Some(Closing::Close) | None => None,
        }
    }

    /// Whether the session has ended but for what somebody wants done with its pull request.
    #[must_use]
    pub const fn closing(&self) -> bool {
        self.outcome.is_some() && self.closing.is_some()
    }

    /// Where a session begins to work again: nothing of its delivery is done.
    pub(crate) fn begin_work_again(&mut self) {
        self.phase = SessionState::Working;
        self.remarks.catch_up();
        self.clock.start();
        self.facts.forget_delivery();
        self.stages.renew();
        self.watch = Watch::default();
        self.manners = Manners::default();
    }

    /// Somebody wrote: a new turn on the same branch and the same pull request, with the whole budget.
    pub(super) fn begin_turn(&mut self) {
        if let Some(asked) = &mut self.asked {
            asked.running = false;
        }
        self.withdraw();
        self.calls.cut();
        self.calls.drop_waiting(wording::CALL_CANCELLED);
        self.close_step();
        self.remarks.end_turn();
        self.begin_work_again();
        self.turn_began = self.spent();
        self.gate_rounds = 0;
        self.cancelled = false;
        self.failure = None;
        self.finish = None;
        self.limit = None;
        self.stop = None;
        self.due = None;
        self.wrap = WrapUp::Untold;
        self.warned = false;
        self.follow_up = false;
        self.facts.sandbox = None;
        self.facts.start.clone_from(&self.facts.left);
        self.facts.again_after = self.facts.failed.take();
        self.restore = Some(Restore::Fresh);
        // What a gate held back is still to be delivered.
        self.touched = self.facts.start != self.facts.published;
        self.draft.say(wording::NEW_TURN);
    }

    pub(super) fn message_after_end(&mut self, from: &str, text: &str, label: Label, about: Option<&About>) {
        self.draft.say(remarks::message(from, text, label, about, &self.seed()));
        self.ask_about(label, about);
        if remarks::counts(label, about) {
            self.unread = true;
            self.reopens = Some(Reopening::NewTurn);
        }
    }

    /// Only one thing at a time is wanted of a pull request: the latest.
    pub(super) fn closing_asked(&mut self, closing: Closing) -> bool {
        self.stages.forget_closing();
        self.closing = Some(closing);
        true
    }

    pub(super) fn not_closed(&mut self) -> bool {
        self.stages.forget_closing();
        self.closing = None;
        true
    }

    /// Also by somebody who did it without asking a worker.
    pub(super) fn closed(&mut self, state: &PullRequestState) -> bool {
        self.facts.closed = (*state != PullRequestState::Open).then(|| state.clone());
        self.not_closed()
    }

    /// What is to be done about the pull request now.
    pub(crate) fn close_pull_request(&self) -> Option<Stage> {
        let stage = match self.closing.as_ref()? {
            Closing::Merge(_) => Stage::Merge,
            Closing::Close => Stage::Close,
        };
        self.stages.may_start(stage).then_some(stage)
    }
}
