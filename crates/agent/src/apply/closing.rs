//! Events after the end, and how a session goes on from there: what becomes of the pull request, and new turns.

use std::sync::Arc;

use cofferdam_domain::{About, Label, Outcome, PullRequestState, SessionState};

use crate::{
    Agent,
    agent::{Closing, Manners, Reopening, WrapUp},
    history::Restore,
    remarks,
    strand::Strand,
    stuck::Watch,
    wording,
};

impl Agent {
    /// The head at which the pull request is to be merged, if somebody wants that.
    #[must_use]
    pub fn merge_wanted(&self) -> Option<&str> {
        match &self.strand.closing {
            Some(Closing::Merge(commit)) => Some(commit),
            Some(Closing::Close) | None => None,
        }
    }

    /// Whether the session has ended but for what somebody wants done with its pull request.
    #[must_use]
    pub fn closing(&self) -> bool {
        self.outcome.is_some() && self.is_closing()
    }

    /// Whether somebody wants something done with a pull request.
    pub(crate) fn is_closing(&self) -> bool {
        self.strands().any(|strand| strand.closing.is_some())
    }

    /// Where a session begins to work again: nothing of its delivery is done.
    pub(crate) fn begin_work_again(&mut self) {
        self.phase = SessionState::Working;
        self.choice.withdraw();
        self.remarks.catch_up();
        self.clock.start();
        self.facts.work = None;
        self.strands_mut().for_each(Strand::forget_delivery);
        self.looks.renew();
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
        // Whoever was only overtaken has the same to answer as before.
        if !self.strands().any(|strand| strand.behind) {
            self.remarks.end_turn();
        }
        self.begin_work_again();
        self.turn_began = self.spent();
        self.gate_rounds = 0;
        self.looks.begin_turn();
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
        self.strands_mut().for_each(Strand::begin_turn);
        self.restore = Some(Restore::Fresh);
        // What a gate held back is still to be delivered.
        let holds_back = self.strands().any(Strand::holds_back);
        self.touched = holds_back;
        self.draft.say(wording::NEW_TURN);
    }

    pub(super) fn message_after_end(&mut self, from: &str, text: &str, label: Label, about: Option<&About>) {
        let said: Arc<str> = remarks::message(from, text, label, about, &self.seed()).into();
        self.recall.hear(&said);
        self.draft.say(said);
        self.ask_about(label, about);
        self.wish_for_base(label, about);
        if remarks::counts(label, about) {
            self.unread = true;
            self.reopens = Some(Reopening::NewTurn);
        }
    }

    /// Somebody lets a session go on that a limit has stopped: another turn, with the whole budget.
    pub(super) fn continued_after_end(&mut self, by: &str) -> bool {
        if !matches!(self.outcome, Some(Outcome::Stopped { .. })) || self.reopens.is_some() {
            return true;
        }
        let said: Arc<str> = wording::continued(by, self.unfinished().as_deref()).into();
        self.draft.say(said);
        self.unread = true;
        self.reopens = Some(Reopening::NewTurn);
        true
    }

    pub(super) fn not_closed(&mut self) -> bool {
        self.strand.wish(None);
        true
    }

    /// Also by somebody who did it without asking a worker.
    pub(super) fn closed(&mut self, state: &PullRequestState) -> bool {
        self.strand.closed = (*state != PullRequestState::Open).then(|| state.clone());
        self.not_closed()
    }
}
