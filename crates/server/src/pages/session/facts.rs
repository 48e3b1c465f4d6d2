//! What a session's log says that a person must know at a glance: how it stands, what it spent, what left it.

use cofferdam_domain::{
    Event, EventBody, EvidenceRun, Finding, Holdings, Mixture, PullRequestState, Seq, SessionId, Side, Spent,
    Timestamp, Verdict,
    change::Received,
    effective::effective,
    event::{Fixed, Repository},
    policy::LimitKind,
    tool::{Finish, PlanItem, ToolEffect},
};

use crate::standing::Standing;

/// Refusals that are told apart.
const MOST_REFUSALS: usize = 50;

/// What a session's log says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// What is asked, decided and done.
    pub(crate) standing: Standing,
    pub(crate) fixed: Option<Box<Fixed>>,
    pub(crate) repository: Option<Repository>,
    /// What was used, also by what was taken back. The time is from the first claim to the end.
    pub(crate) spent: Spent,
    /// The agent's own list.
    pub(crate) plan: Vec<PlanItem>,
    pub(crate) received: Option<Received>,
    pub(crate) finish: Option<Finish>,
    pub(crate) limit: Option<LimitKind>,
    /// What has come into the session, by its labels.
    holdings: Holdings,
    /// With which event it had both words that anybody may have written and what not everybody may see.
    mixed_with: Option<Seq>,
    /// How often work was handed to a session of its own.
    pub(crate) delegated: usize,
    /// Why the sandbox is frozen.
    pub(crate) frozen: Option<String>,
    /// Why the forge did not do what was asked last.
    pub(crate) forge_refused: Option<String>,
    /// Requests that were let out.
    pub(crate) requests: u64,
    pub(crate) packages: u64,
    pub(crate) refusals: u64,
    /// What was refused, why, how often: the first ones.
    pub(crate) refused: Vec<(String, String, u64)>,
    pub(crate) forked_from: Option<(SessionId, Seq)>,
    pub(crate) worker: Option<String>,
    /// The last event: its place and its time.
    pub(crate) last: Option<(Seq, Timestamp)>,
    begun: Option<Timestamp>,
    over: bool,
}

impl Facts {
    /// What a log says.
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut facts = Self::default();
        for event in effective(events) {
            facts.apply(event);
        }
        for event in events {
            facts.spend(event);
        }
        facts
    }

    /// Folds one more event in. One that takes the session back needs [`Self::of`].
    pub(crate) fn add(&mut self, event: &Event) {
        self.apply(event);
        self.spend(event);
    }

    /// The place of the last event.
    pub(crate) fn end(&self) -> Seq {
        self.last.map_or(Seq::START, |(seq, _)| seq)
    }

    /// The latest run of the tests on one side.
    pub(crate) fn run(&self, side: Side) -> Option<&EvidenceRun> {
        self.standing.evidence.iter().find(|run| run.side == side)
    }

    /// The tests before and after, as the gate judges them.
    pub(crate) fn evidence(&self) -> cofferdam_gate::EvidenceSummary {
        cofferdam_gate::judge(self.run(Side::Base), self.run(Side::Head))
    }

    /// What has come together in the session, and with which event, where a rule holds for that.
    pub(crate) fn mixture(&self) -> Option<(Mixture, Seq)> {
        Some((self.holdings.mixture()?, self.mixed_with?))
    }

    /// What the gate saw.
    pub(crate) fn findings(&self) -> &[Finding] {
        self.standing.examined.as_ref().map_or(&[], |(_, findings)| findings)
    }

    /// What the gate decided.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.standing.examined.as_ref().map(|(verdict, _)| *verdict)
    }

    /// Whether there is a pull request that a person has yet to decide about.
    pub(crate) fn is_open_for_review(&self) -> bool {
        let state = self.standing.pull_request.as_ref().map(|pull_request| &pull_request.state);
        state == Some(&PullRequestState::Open)
    }

    fn spend(&mut self, event: &Event) {
        self.last = Some((event.seq, event.at));
        if let EventBody::Claimed { .. } = &event.body {
            self.begun.get_or_insert(event.at);
            self.over = false;
        } else if let EventBody::ModelAnswered { answer, .. } = &event.body {
            let prices = self.fixed.as_ref().and_then(|fixed| fixed.model.prices);
            self.spent.steps += 1;
            self.spent.usage += answer.usage;
            self.spent.cost += answer.cost_by(prices.as_ref());
        }
        if let Some(begun) = self.begun.filter(|_| !self.over) {
            self.spent.wall_ms = event.at.millis_since(begun);
        }
        self.over |= matches!(event.body, EventBody::SessionEnded { .. });
    }

    fn apply(&mut self, event: &Event) {
        self.standing.apply(event);
        self.apply_traffic(&event.body);
        self.holdings.apply(event.at, &event.body);
        if self.mixed_with.is_none() && self.holdings.mixture().is_some() {
            self.mixed_with = Some(event.seq);
        }
        let body = &event.body;
        if let EventBody::Claimed { worker, .. } = body {
            self.worker = Some(worker.clone());
        } else if let EventBody::PolicyFixed(fixed) = body {
            self.fixed = Some(fixed.clone());
        } else if let EventBody::RepositoryReady(ready) = body {
            self.repository = Some(ready.clone());
        } else if let EventBody::ToolFinished { outcome, .. } = body {
            if let Some(ToolEffect::Plan { items }) = &outcome.effect {
                self.plan.clone_from(items);
            }
        } else if let EventBody::Forked { from, at, .. } = body {
            self.forked_from = Some((*from, *at));
        } else if let EventBody::LimitReached { limit, .. } = body {
            self.limit = Some(*limit);
        } else if let EventBody::Delegated { .. } = body {
            self.delegated += 1;
        } else if let EventBody::WorkFinished { finish, .. } = body {
            self.finish = Some(finish.clone());
        } else if let EventBody::ObjectsReceived(received) = body {
            self.received = Some(received.clone());
        } else if let EventBody::SandboxFrozen { reason, .. } = body {
            self.frozen = Some(reason.clone());
        } else if let EventBody::MergeFailed { reason } = body {
            self.forge_refused = Some(reason.clone());
        } else if let EventBody::MergeAsked { .. } | EventBody::CloseAsked { .. } = body {
            self.forge_refused = None;
        } else if let EventBody::MessageReceived { .. } | EventBody::ContinueAsked { .. } = body {
            // Another turn.
            self.limit = None;
        }
    }

    fn apply_traffic(&mut self, body: &EventBody) {
        if let EventBody::EgressAllowed(_) = body {
            self.requests += 1;
        } else if let EventBody::PackageFetched(_) = body {
            self.packages += 1;
        } else if let EventBody::EgressRefused(refused) = body {
            let (operation, count) = (refused.operation.to_string(), u64::from(refused.count.max(1)));
            self.refusals += count;
            let same =
                self.refused.iter_mut().find(|(known, why, _)| *known == operation && *why == refused.reason);
            if let Some((_, _, times)) = same {
                *times += count;
            } else if self.refused.len() < MOST_REFUSALS {
                self.refused.push((operation, refused.reason.clone(), count));
            }
        }
    }
}
