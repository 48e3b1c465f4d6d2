//! A fresh look at the change before it is delivered: when one is taken, by whom, with what share of the budget, and what follows from it.
//!
//! It is advice of a model's. It may send the agent back to work so often as policy says, and after that, or where it cannot be taken at all, the
//! change is delivered as it would be without it. Whoever looks is a session of its own, like those that work for this one, whose name
//! follows from when the work ended: so one that a crash cut short goes on, and none is begun twice.

use std::sync::Arc;

use cofferdam_domain::{
    Budget, Cost, EventBody, SelfReview, SessionId, Spent, Stage,
    event::NudgeReason,
    self_review::{MOST_ROUNDS, reviewer_id},
    tool::FinishOutcome,
};

use crate::{Agent, delivery::Progress, excerpt::excerpt, wording};

/// What is left of a session's budget is this many times what one who looks may use.
const SHARES: u64 = 4;
/// So often it is begun for the same change before it is left out: each time before that it was cut short.
const MOST_BEGUN: u32 = 4;
/// Bytes of what people said that whoever looks is told.
const HEARD: usize = 16 * 1024;

/// Who looks at the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reviewer {
    /// Which session.
    pub session: SessionId,
    /// What it may use.
    pub share: Budget,
    /// Which round of this turn, from 1.
    pub round: u32,
    /// Whether it was begun and cut short so often that it is left out.
    pub hopeless: bool,
}

/// What is known of fresh looks.
#[derive(Debug, Clone, Default)]
pub(crate) struct FreshLooks {
    /// So many were taken in this turn.
    rounds: u32,
    /// What came of that at this change.
    last: Option<Arc<SelfReview>>,
    /// So often that was begun.
    begun: u32,
    /// All sessions that ever looked, in order.
    sessions: Arc<Vec<SessionId>>,
    /// What those have used that are done.
    spent: Spent,
}

impl FreshLooks {
    pub(crate) const fn spent(&self) -> &Spent {
        &self.spent
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.iter().copied()
    }

    /// The change is to be another one.
    pub(crate) fn renew(&mut self) {
        self.last = None;
        self.begun = 0;
    }

    /// A new turn begins.
    pub(crate) const fn begin_turn(&mut self) {
        self.rounds = 0;
    }

    /// All that looked did so for another session.
    pub(crate) fn leave(&mut self) {
        self.sessions = Arc::default();
    }
}

impl Agent {
    /// What a fresh look at this change has found, if one was taken.
    #[must_use]
    pub fn self_review(&self) -> Option<&SelfReview> {
        self.looks.last.as_deref()
    }

    /// Who looks at the change now, while somebody does.
    #[must_use]
    pub fn reviewer(&self) -> Option<Reviewer> {
        if !self.delivering() || !self.strand.stages.is_under_way(Stage::SelfReview) {
            return None;
        }
        Some(Reviewer {
            session: self.reviewer_of_this()?,
            share: self.share_to_look()?,
            round: self.looks.rounds.saturating_add(1),
            hopeless: self.looks.begun > MOST_BEGUN,
        })
    }

    /// What people have said to the agent since they asked, in the words in which it was told: they are part of what was asked.
    #[must_use]
    pub fn said_since(&self) -> String {
        let (mut said, mut size) = (Vec::new(), 0);
        for words in self.recall.words().rev() {
            if size >= HEARD {
                break;
            }
            let words = excerpt(words, HEARD / 2);
            size += words.len();
            said.push(words);
        }
        said.reverse();
        said.join("\n\n")
    }

    /// Whether a look is to be taken, and none is under way.
    pub(crate) fn is_to_be_looked_at(&self) -> bool {
        self.wants_a_look() && self.strand.stages.may_start(Stage::SelfReview)
    }

    /// Whether nothing is left to be looked at before the change is delivered.
    pub(crate) fn is_looked_at(&self) -> bool {
        self.strand.stages.progress(Stage::SelfReview) == Progress::Done || !self.wants_a_look()
    }

    /// Whether policy wants it, and it makes sense: what is only a draft says itself what is wrong with it.
    fn wants_a_look(&self) -> bool {
        let gave_up = self.finish().is_none_or(|finish| finish.outcome == FinishOutcome::GaveUp);
        self.has_stage(Stage::SelfReview)
            && self.looks.rounds < self.rounds_of_looks()
            && self.facts.limit().is_none()
            && !gave_up
            && self.strands().any(|strand| !strand.nothing_changed)
            && !self.strands().any(|strand| strand.is_published())
    }

    fn rounds_of_looks(&self) -> u32 {
        self.facts.fixed.as_ref().map_or(0, |fixed| fixed.policy.self_review.min(MOST_ROUNDS).into())
    }

    /// What was found sends the agent back to work, while that is worth it.
    pub(crate) fn decide_on_look(&self) -> Option<EventBody> {
        let text = wording::fresh_look(self.refutation()?, &self.seed());
        Some(EventBody::Nudged { reason: NudgeReason::SelfReview, text })
    }

    /// What speaks against the change, as long as another look is left and the agent has something left to work with.
    fn refutation(&self) -> Option<&SelfReview> {
        let last = self.looks.last.as_deref()?;
        let budget = &self.facts.fixed.as_ref()?.policy.budget;
        let back = last.refuted
            && last.failed.is_none()
            && self.looks.rounds < self.rounds_of_looks()
            && !self.strands().any(|strand| strand.is_published())
            && !self.is_nearly_used(budget);
        back.then_some(last)
    }

    /// A look at the change begins, or is begun again.
    pub(crate) fn look_begins(&mut self) {
        let Some(session) = self.reviewer_of_this() else { return };
        self.looks.begun = self.looks.begun.saturating_add(1);
        if !self.looks.sessions.contains(&session) {
            Arc::make_mut(&mut self.looks.sessions).push(session);
        }
    }

    pub(crate) fn self_reviewed(&mut self, review: &SelfReview) -> bool {
        if !self.strand.stages.finish(Stage::SelfReview) {
            return false;
        }
        self.looks.rounds = self.looks.rounds.saturating_add(1);
        self.looks.spent.steps = self.looks.spent.steps.saturating_add(review.spent.steps);
        self.looks.spent.usage += review.spent.usage;
        self.looks.spent.cost += review.spent.cost;
        if let Some(why) = &review.frozen {
            // As with those that work for a session: whoever could have others probe would never be stopped themselves.
            self.to_freeze.get_or_insert_with(|| {
                format!(
                    "the sandbox of {}, which looked at this session's change, was frozen: {why}",
                    review.session
                )
                .into()
            });
        }
        self.looks.last = Some(Arc::new(review.clone()));
        true
    }

    /// A fresh look sent the agent back: a new stretch of work begins.
    pub(crate) fn sent_back_by_look(&mut self, text: &str) -> bool {
        let refuted = self.looks.last.as_ref().is_some_and(|last| last.refuted);
        if !self.delivering() || !refuted {
            return false;
        }
        self.begin_work_again();
        self.draft.say(text);
        self.draft.say(self.sandbox_anew());
        true
    }

    fn reviewer_of_this(&self) -> Option<SessionId> {
        Some(reviewer_id(self.session, self.finished_at()?))
    }

    /// A part of what is left. Some of it may be 0: then it is too little to look.
    fn share_to_look(&self) -> Option<Budget> {
        let budget = self.facts.fixed.as_ref()?.policy.budget;
        let spent = self.spent_in_turn();
        let part = |all: u64, used: u64| all.saturating_sub(used) / SHARES;
        let steps = part(budget.steps.into(), spent.steps.into());
        Some(Budget {
            steps: u32::try_from(steps).unwrap_or(u32::MAX),
            tokens: part(budget.tokens, spent.usage.total()),
            cost: Cost(part(budget.cost.0, spent.cost.0)),
            wall_ms: part(budget.wall_ms, spent.wall_ms),
        })
    }
}
