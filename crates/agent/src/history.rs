//! A log with more than one past: folding it whole, going back in it, and going on from another session's.

use std::sync::Arc;

use cofferdam_domain::{Event, EventBody, SessionId, SessionState, effective::effective, event::ModelRole};

use crate::{
    Agent, agent::Reopening, attempts::Choice, conversation::Conversation, routing, subagents, wording,
};

/// The rules since which a change that was taken back is not overtaken any more.
const SINCE_QUICKER: u16 = 4;

/// What the next sandbox begins with, where that is not what the one before has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restore {
    /// The files of the commit that the turn begins with.
    Fresh,
    /// A snapshot.
    Snapshot {
        /// The session under which it is kept.
        kept_by: SessionId,
        /// Its name.
        name: Arc<str>,
    },
}

impl Agent {
    /// The agent of a session with this log, from its first event on. What was taken back is left out; what it cost is not, and at the
    /// prices of its time.
    #[must_use]
    pub fn of(session: SessionId, events: &[Event]) -> Self {
        let mut agent = Self::before(session, events);
        let mut counting = effective(events).into_iter().peekable();
        let (mut fixed, mut asked_of) = (None, (false, None));
        // In the order of the log: a turn begins with what had been spent by then, in vain or not.
        for event in events {
            let counts = counting.next_if(|next| next.seq == event.seq).is_some();
            if counts {
                agent.apply(event.at, &event.body);
            }
            if let EventBody::PolicyFixed(known) = &event.body {
                fixed = Some(known);
            } else if let EventBody::ModelAsked { compaction, .. } = &event.body {
                asked_of = (*compaction, compaction.then_some(ModelRole::Compact));
            } else if !counts && let EventBody::ModelAnswered { answer, .. } = &event.body {
                // A summary is paid for, but no step.
                agent.dropped.steps = agent.dropped.steps.saturating_add(u32::from(!asked_of.0));
                agent.dropped.usage += answer.usage;
                let prices = fixed.and_then(|fixed| routing::prices(fixed, asked_of.1, answer));
                agent.dropped.cost += answer.cost_by(prices);
            } else if !counts && let Some(done) = subagents::of(&event.body) {
                agent.dropped.steps = agent.dropped.steps.saturating_add(done.spent.steps);
                agent.dropped.usage += done.spent.usage;
                agent.dropped.cost += done.spent.cost;
            } else if !counts && let EventBody::SelfReviewed(review) = &event.body {
                agent.dropped.steps = agent.dropped.steps.saturating_add(review.spent.steps);
                agent.dropped.usage += review.spent.usage;
                agent.dropped.cost += review.spent.cost;
            }
        }
        agent
    }

    /// The agent before the first event of this log. Copies of another session's events are folded as they were there.
    pub(crate) fn before(session: SessionId, events: &[Event]) -> Self {
        let forks = events.iter().filter_map(|event| {
            let EventBody::Forked { from, .. } = &event.body else { return None };
            Some(*from)
        });
        Self { origins: forks.collect(), ..Self::new(session) }
    }

    /// What the next sandbox is to begin with, if not with what the one before has left.
    #[must_use]
    pub const fn restore(&self) -> Option<&Restore> {
        self.restore.as_ref()
    }

    /// The model that a fork is to go on with, until it is fixed.
    #[must_use]
    pub fn other_model(&self) -> Option<&str> {
        self.other_model.as_deref()
    }

    /// The last checkpoint, if there is one.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_ref().map(|(_, name)| &**name)
    }

    pub(crate) fn checkpointed(&mut self, snapshot: &str) -> bool {
        self.checkpoint = Some((None, snapshot.into()));
        true
    }

    /// The session was taken back: this is the first event after the last that counts. See [`cofferdam_domain::effective`].
    pub(crate) fn rolled_back(&mut self, by: &str, instruction: Option<&str>) -> bool {
        self.go_on_from_here(by, instruction);
        true
    }

    /// All before this happened in another session.
    pub(crate) fn forked(
        &mut self,
        from: SessionId,
        model: Option<&str>,
        by: &str,
        instruction: Option<&str>,
    ) -> bool {
        self.origins.pop_front();
        self.choice = Choice::default();
        self.subagents.leave();
        self.looks.leave();
        self.accesses.leave();
        if let Some((kept_by, _)) = &mut self.checkpoint {
            kept_by.get_or_insert(from);
        }
        self.fence = 0;
        self.outcome = None;
        self.frozen = None;
        self.to_freeze = None;
        self.other_model = model.map(Arc::from);
        self.go_on_from_here(by, instruction);
        true
    }

    fn go_on_from_here(&mut self, by: &str, instruction: Option<&str>) {
        self.cut_short(false);
        self.calls.unsettle();
        self.subagents.give_up();
        self.withdraw();
        self.people.let_go(instruction.is_some());
        // One that was approved may have been made since, in what counts no more or in the other session.
        self.use_approval(None);
        self.failure = None;
        self.cancelled = false;
        self.restore = Some(match &self.checkpoint {
            Some((kept_by, name)) => {
                Restore::Snapshot { kept_by: kept_by.unwrap_or(self.session), name: Arc::clone(name) }
            }
            None => Restore::Fresh,
        });
        self.touched |= self.checkpoint.is_some();
        let said: Arc<str> = wording::taken_back(by, instruction, &self.seed()).into();
        if instruction.is_some() && (self.outcome.is_some() || self.phase == SessionState::Delivering) {
            self.recall.hear(&said);
        }
        if self.outcome.is_some() {
            self.reopens = Some(Reopening::NewTurn);
            self.draft.say(said);
        } else if self.phase == SessionState::Delivering {
            self.begin_work_again();
            self.forget_who_was_quicker();
            self.draft.say(said);
        } else if instruction.is_some() {
            self.hear(said);
        } else {
            self.draft.say(said);
        }
    }

    /// Others were quicker than a change that counts no more. Whether they are than the next one shows when that is pushed; a turn that
    /// began before it is would begin without it. Sessions of one repository that began with earlier rules go on with such a turn.
    fn forget_who_was_quicker(&mut self) {
        if self.rules() >= SINCE_QUICKER || !self.beside.is_empty() {
            self.strands_mut().for_each(|strand| strand.behind = false);
        }
    }

    /// Takes back a request without its answer: the next one is to say more.
    pub(crate) fn withdraw(&mut self) {
        let Some(asked) = self.asked.take() else { return };
        if asked.compaction {
            return;
        }
        if let Some(message) = self.conversation.as_mut().and_then(Conversation::take_back) {
            self.draft.reopen(message);
        }
    }
}
