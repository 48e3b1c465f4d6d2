//! Work that is handed to other sessions: which one carries out which call, what it may use, and what it has used.
//!
//! The session that hands work out decides about it like about everything else: [`EventBody::Delegated`] is a decision, so the same log gives the
//! same sessions with the same shares. A share is nobody else's until its session is done; from then on what was really used counts like what
//! this session has used itself.

use std::sync::Arc;

use cofferdam_domain::{
    Budget, CallId, Cost, Delegated, EventBody, Outcome, Parent, SessionId, Spent, SubagentKind, Usage,
    delegation::{self, MOST_IN_ALL, subagent_id},
    event::Instruction,
    tool::{Finish, FinishOutcome, ToolEffect},
};

use crate::{Agent, ending::LONGEST_REASON, excerpt::excerpt};

/// Who carries out a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// Which session.
    pub session: SessionId,
    /// What for.
    pub kind: SubagentKind,
    /// What it may use.
    pub share: Budget,
}

/// The sessions that work for one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subagents {
    all: Arc<Vec<Subagent>>,
    /// So many were begun in sessions from which this one was forked.
    before: usize,
    /// What those have used that are done.
    spent: Spent,
}

#[derive(Debug, Clone)]
struct Subagent {
    call: CallId,
    assignment: Assignment,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Working,
    Done,
}

impl Subagents {
    fn count(&self) -> usize {
        self.before + self.all.len()
    }

    fn find(&self, call: CallId) -> Option<&Subagent> {
        self.all.iter().rev().find(|known| known.call == call && known.state == State::Working)
    }

    /// What those that are done have used. Their time is not added to anybody's: it passes while their session waits.
    pub(crate) const fn spent(&self) -> Spent {
        self.spent
    }

    /// What those that work may use.
    fn reserved(&self) -> Budget {
        let none = Budget { steps: 0, tokens: 0, cost: Cost(0), wall_ms: 0 };
        self.all.iter().filter(|known| known.state == State::Working).fold(none, |sum, known| {
            let share = &known.assignment.share;
            Budget {
                steps: sum.steps.saturating_add(share.steps),
                tokens: sum.tokens.saturating_add(share.tokens),
                cost: Cost(sum.cost.0.saturating_add(share.cost.0)),
                wall_ms: 0,
            }
        })
    }

    fn finish(&mut self, call: CallId, spent: impl FnOnce(&Budget) -> Spent) {
        let place = self.all.iter().rposition(|known| known.call == call && known.state == State::Working);
        let Some(known) = place.and_then(|place| Arc::make_mut(&mut self.all).get_mut(place)) else { return };
        known.state = State::Done;
        let used = spent(&known.assignment.share);
        self.spent.steps = self.spent.steps.saturating_add(used.steps);
        self.spent.usage += used.usage;
        self.spent.cost += used.cost;
    }

    /// The call is over. Where nobody said what was used for it, all that might have been counts.
    pub(crate) fn close(&mut self, call: CallId) {
        self.finish(call, |share| Spent {
            steps: share.steps,
            usage: Usage { input: share.tokens, ..Usage::default() },
            cost: share.cost,
            wall_ms: 0,
        });
    }

    /// The session goes on from an earlier place: what is under way is for nothing.
    pub(crate) fn give_up(&mut self) {
        Arc::make_mut(&mut self.all).iter_mut().for_each(|known| known.state = State::Done);
    }

    /// All that there are work for another session.
    pub(crate) fn leave(&mut self) {
        self.before += self.all.len();
        self.all = Arc::default();
    }
}

/// What an event says of work that another session has done.
pub(crate) fn of(body: &EventBody) -> Option<&Delegated> {
    let EventBody::ToolFinished { outcome, .. } = body else { return None };
    let Some(ToolEffect::Delegated(done)) = &outcome.effect else { return None };
    Some(done)
}

impl Agent {
    /// The session that this one works for, where a model wrote its task.
    #[must_use]
    pub fn parent(&self) -> Option<&Parent> {
        self.facts.task.as_ref()?.parent.as_deref()
    }

    /// Who carries out a call that is to be carried out by another session.
    #[must_use]
    pub fn assignment(&self, call: CallId) -> Option<Assignment> {
        self.subagents.find(call).map(|known| known.assignment)
    }

    /// All sessions that this one has ever handed work to, in order, and then those that looked at its change.
    pub fn subagents(&self) -> impl Iterator<Item = SessionId> {
        self.subagents.all.iter().map(|known| known.assignment.session).chain(self.looks.sessions())
    }

    /// Why nobody carries out a call that another session of the kind `wanted` should: for the model.
    #[must_use]
    pub fn why_not_delegated(&self, wanted: &str) -> String {
        if self.kind_named(wanted).is_none() {
            let built_in = SubagentKind::ALL.map(|kind| kind.name().to_owned());
            let custom = self.custom_kinds().filter_map(|kind| kind.name.clone());
            let all: Vec<String> = built_in.into_iter().chain(custom).collect();
            return format!(
                "Not begun: there is no kind of subagent {:?}. There are: {}.",
                excerpt(wanted, 100),
                all.join(", ")
            );
        }
        let why = if self.subagents.count() >= MOST_IN_ALL {
            "Not begun: this session has handed out work as often as it may. Do the rest yourself."
        } else {
            "Not begun: too little of the session's budget is left to share. Do the rest yourself."
        };
        why.to_owned()
    }

    /// The file that describes the kind with this name, if one does.
    #[must_use]
    pub fn custom_kind(&self, name: &str) -> Option<&Instruction> {
        self.custom_kinds().find(|kind| kind.name.as_deref() == Some(name.trim()))
    }

    /// The built-in kind that a name stands for, or what one of a file comes down to.
    fn kind_named(&self, name: &str) -> Option<SubagentKind> {
        let custom = || Some(self.custom_kind(name)?.shape.as_ref()?.base);
        SubagentKind::named(name).or_else(custom)
    }

    /// The next call that another session is to carry out, and which.
    pub(crate) fn decide_on_subagents(&self, budget: &Budget) -> Option<EventBody> {
        let spent = self.spent_in_turn();
        let room = MOST_IN_ALL.saturating_sub(self.subagents.count());
        if room == 0 || self.limit.is_some() || self.finish.is_some() || budget.reached(&spent).is_some() {
            return None;
        }
        let wanted = || {
            self.calls.to_delegate().filter_map(|(call, tool)| {
                let name = delegation::wanted(tool)?;
                Some((call, tool, self.kind_named(&name)?, name))
            })
        };
        let (call, tool, kind, name) = wanted().next()?;
        let several = u32::try_from(wanted().count().min(room)).unwrap_or(u32::MAX);
        let reserved = self.subagents.reserved();
        let left = Budget {
            steps: budget.steps.saturating_sub(spent.steps).saturating_sub(reserved.steps),
            tokens: budget.tokens.saturating_sub(spent.usage.total()).saturating_sub(reserved.tokens),
            cost: Cost(budget.cost.0.saturating_sub(spent.cost.0).saturating_sub(reserved.cost.0)),
            wall_ms: budget.wall_ms.saturating_sub(spent.wall_ms),
        };
        let share = delegation::share(left, several);
        if share.steps == 0 || share.tokens == 0 || share.cost.0 == 0 || share.wall_ms == 0 {
            return None;
        }
        let session = subagent_id(self.session, call, self.clock.now(), &tool.arguments);
        let named = SubagentKind::named(&name).is_none().then(|| name.trim().to_owned());
        Some(EventBody::Delegated { call, session, kind, share, named })
    }

    /// Whether what happens now happened in another session, of which this one is a fork.
    pub(crate) fn is_copied(&self) -> bool {
        !self.origins.is_empty()
    }

    pub(crate) fn delegated(
        &mut self,
        call: CallId,
        session: SessionId,
        kind: SubagentKind,
        share: Budget,
    ) -> bool {
        let fits = self.working() && self.calls.settle(call);
        if fits {
            let assignment = Assignment { session, kind, share };
            Arc::make_mut(&mut self.subagents.all).push(Subagent { call, assignment, state: State::Working });
        }
        fits
    }

    /// Another session has carried out the call.
    pub(crate) fn subagent_done(&mut self, call: CallId, done: &Delegated) {
        self.subagents.finish(call, |_| done.spent);
        if let Some(why) = &done.frozen {
            // Whoever could have others probe for them would never be stopped themselves.
            self.to_freeze.get_or_insert_with(|| {
                format!("the sandbox of {}, which works for this session, was frozen: {why}", done.session)
                    .into()
            });
        }
    }

    /// The end of a session that works for another one.
    pub(crate) fn answered(&self) -> Outcome {
        match (self.facts.limit(), self.finish()) {
            (Some(limit), _) => Outcome::Stopped { limit: self.in_words(limit) },
            (None, Some(Finish { outcome: FinishOutcome::GaveUp, summary, .. })) => {
                Outcome::Failed { reason: excerpt(summary, LONGEST_REASON) }
            }
            (None, _) => Outcome::Answered,
        }
    }
}
