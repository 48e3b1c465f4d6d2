//! How a session stands: what its log says is asked, decided and done. No I/O.

use cofferdam_domain::{
    BlobRef, CallId, Digest, Event, EventBody, EvidenceRun, Finding, Outcome, Part, PullRequest,
    PullRequestState, SandboxId, Seq, Task, Timestamp, Verdict, WaitingFor,
    effective::effective,
    egress::{Access, AccessAsk},
    event::PlanDecision,
};

/// A question that the agent has put to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) call: CallId,
    pub(crate) text: String,
    /// By whom, and what; `None` while it is open.
    pub(crate) answer: Option<(String, String)>,
    /// Somebody let the session go on without an answer.
    pub(crate) passed_over: bool,
}

impl Question {
    /// Whether an answer is waited for.
    pub(crate) const fn is_open(&self) -> bool {
        self.answer.is_none() && !self.passed_over
    }
}

/// A plan that the agent has proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) call: CallId,
    pub(crate) text: String,
    pub(crate) digest: Digest,
    /// By whom, and what; `None` while it is open.
    pub(crate) decision: Option<(String, PlanDecision)>,
}

/// Something that the agent has asked to be let out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessStanding {
    pub(crate) ask: AccessAsk,
    pub(crate) at: Timestamp,
    pub(crate) decided: Option<Access>,
}

/// A place to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) at: Seq,
    pub(crate) step: u32,
    pub(crate) time: Timestamp,
}

/// How a session stands after some of its events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    pub(crate) task: Option<Task>,
    /// How it ended, until something sets it going again.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) questions: Vec<Question>,
    /// The latest.
    pub(crate) plan: Option<Plan>,
    pub(crate) accesses: Vec<AccessStanding>,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) pull_request: Option<PullRequest>,
    /// Those in other repositories of the session.
    pub(crate) beside: Vec<(Part, PullRequest)>,
    /// What was asked about the pull request and is not done yet.
    pub(crate) asked_of_forge: bool,
    /// The latest change as text.
    pub(crate) patch: Option<BlobRef>,
    pub(crate) examined: Option<(Verdict, Vec<Finding>)>,
    /// The latest runs of the tests.
    pub(crate) evidence: Vec<EvidenceRun>,
    /// Why there is none.
    pub(crate) evidence_missing: Option<String>,
    /// The sandbox that was made last.
    pub(crate) sandbox: Option<SandboxId>,
    /// The one that was frozen, until it is released.
    pub(crate) frozen: Option<SandboxId>,
    /// Somebody has asked it to pause.
    pub(crate) paused: bool,
    /// A budget is used up.
    pub(crate) spent: Option<String>,
    pub(crate) cancelled: bool,
    /// The head that waits to be chosen, where it is one of several attempts.
    pub(crate) ready: Option<String>,
    /// It is the attempt that is delivered.
    pub(crate) chosen: bool,
    /// Another one is.
    pub(crate) passed_over: bool,
    pub(crate) last: Seq,
}

impl Standing {
    /// The standing after a whole log: of its events, those that count.
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut standing = Self::default();
        for event in effective(events) {
            standing.apply(event);
        }
        standing
    }

    /// What it waits for.
    pub(crate) fn waiting(&self) -> Option<WaitingFor> {
        if self.outcome.is_some() {
            None
        } else if self.paused {
            Some(WaitingFor::Pause)
        } else if self.questions.iter().any(Question::is_open) {
            Some(WaitingFor::Answer)
        } else if self.plan.as_ref().is_some_and(|plan| plan.decision.is_none()) {
            Some(WaitingFor::Plan)
        } else {
            let choice = self.ready.as_ref().filter(|_| !self.chosen && !self.passed_over);
            let spent = self.spent.as_ref().map(|_| WaitingFor::Budget);
            spent.or_else(|| choice.map(|_| WaitingFor::Choice))
        }
    }

    /// Folds one more event in. What was before a [`EventBody::RolledBack`] is not taken back by this: fold the log anew then.
    pub(crate) fn apply(&mut self, event: &Event) {
        self.last = event.seq;
        match &event.body {
            EventBody::TaskAccepted { task } => self.task = Some(task.clone()),
            EventBody::SandboxReady { sandbox, .. } => self.sandbox = Some(*sandbox),
            EventBody::SandboxFrozen { sandbox, .. } => self.frozen = Some(*sandbox),
            EventBody::SandboxReleased { .. } => {
                self.frozen = None;
                self.outcome = None;
            }
            EventBody::PauseAsked { .. } => self.paused = true,
            EventBody::ContinueAsked { .. } => self.go_on(),
            EventBody::MessageReceived { .. } => {
                self.outcome = None;
                self.ready = None;
            }
            EventBody::AttemptReady { commit } => self.ready = Some(commit.clone()),
            EventBody::AttemptChosen { commit, .. } => {
                self.chosen |= self.ready.as_ref() == Some(commit);
            }
            EventBody::AttemptPassedOver { .. } => self.passed_over = true,
            EventBody::CancelAsked { .. } => self.cancelled = true,
            EventBody::BudgetExceeded { what } => self.spent = Some(what.clone()),
            EventBody::SessionEnded { outcome } => self.outcome = Some(outcome.clone()),
            EventBody::QuestionAsked { call, question } => self.question(*call, question),
            EventBody::QuestionAnswered { call, by, text } => self.answered(*call, by, text),
            EventBody::PlanProposed { call, text, digest } => {
                self.plan = Some(Plan { call: *call, text: text.clone(), digest: *digest, decision: None });
            }
            EventBody::PlanDecided { digest, by, decision } => self.plan_decided(*digest, by, decision),
            EventBody::AccessAsked(ask) => {
                self.accesses.push(AccessStanding { ask: (**ask).clone(), at: event.at, decided: None });
            }
            EventBody::AccessDecided(access) => self.access_decided(access),
            EventBody::Checkpointed { step, .. } => {
                self.checkpoints.push(Checkpoint { at: event.seq, step: *step, time: event.at });
            }
            EventBody::ObjectsReceived(received) => self.received(received.patch),
            EventBody::Examined { findings, verdict } => self.examined = Some((*verdict, findings.clone())),
            EventBody::EvidenceRun(run) => self.ran(run),
            EventBody::EvidenceMissing { reason } => self.evidence_missing = Some(reason.clone()),
            EventBody::PullRequestOpened(pull_request) => self.pull_request = Some((**pull_request).clone()),
            EventBody::PullRequestClosed { state } => self.closed(state),
            EventBody::MergeAsked { .. } | EventBody::CloseAsked { .. } => self.asked_of_forge = true,
            EventBody::MergeFailed { .. } => self.asked_of_forge = false,
            EventBody::Beside { part, body } => self.beside(*part, body),
            EventBody::Claimed { .. }
            | EventBody::PolicyFixed(_)
            | EventBody::StageStarted { .. }
            | EventBody::StageFailed { .. }
            | EventBody::RepositoryReady(_)
            | EventBody::InstructionsFound(_)
            | EventBody::MemoriesRecalled(_)
            | EventBody::SelfReviewed(_)
            | EventBody::ModelAsked { .. }
            | EventBody::ModelAnswered { .. }
            | EventBody::ModelFailed { .. }
            | EventBody::Nudged { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::ToolFinished { .. }
            | EventBody::ToolLost { .. }
            | EventBody::EgressAllowed(_)
            | EventBody::EgressRefused(_)
            | EventBody::PackageFetched(_)
            | EventBody::AlarmRaised { .. }
            | EventBody::FilesDeleted { .. }
            | EventBody::Compacted { .. }
            | EventBody::LimitReached { .. }
            | EventBody::WorkFinished { .. }
            | EventBody::NothingChanged
            | EventBody::Pushed { .. }
            | EventBody::Overtaken { .. }
            | EventBody::Delegated { .. }
            | EventBody::RolledBack { .. }
            | EventBody::Forked { .. }
            | EventBody::CheckpointStored { .. }
            | EventBody::TerminalOpened { .. }
            | EventBody::TerminalClosed { .. } => {}
        }
    }

    fn go_on(&mut self) {
        self.paused = false;
        self.spent = None;
        self.outcome = None;
        for question in &mut self.questions {
            question.passed_over |= question.answer.is_none();
        }
    }

    fn question(&mut self, call: CallId, question: &str) {
        self.questions.push(Question { call, text: question.to_owned(), answer: None, passed_over: false });
    }

    /// Only the first answer to a question counts.
    fn answered(&mut self, call: CallId, by: &str, text: &str) {
        let open = self.questions.iter_mut().find(|question| question.call == call && question.is_open());
        if let Some(question) = open {
            question.answer = Some((by.to_owned(), text.to_owned()));
        }
    }

    /// Only the first decision about exactly this plan counts.
    fn plan_decided(&mut self, digest: Digest, by: &str, decision: &PlanDecision) {
        let open = self.plan.as_mut().filter(|plan| plan.digest == digest && plan.decision.is_none());
        if let Some(plan) = open {
            plan.decision = Some((by.to_owned(), decision.clone()));
        }
    }

    /// Only the first decision about exactly this rule counts.
    fn access_decided(&mut self, access: &Access) {
        let open = self.accesses.iter_mut().find(|standing| {
            standing.ask.call == access.call
                && standing.ask.digest() == access.rule
                && standing.decided.is_none()
        });
        if let Some(standing) = open {
            standing.decided = Some(access.clone());
        }
    }

    /// There is a new change: nothing has been seen of it yet.
    fn received(&mut self, patch: Option<BlobRef>) {
        self.patch = patch;
        self.examined = None;
        self.evidence.clear();
        self.evidence_missing = None;
    }

    fn ran(&mut self, run: &EvidenceRun) {
        self.evidence.retain(|known| known.side != run.side);
        self.evidence.push(run.clone());
    }

    fn closed(&mut self, state: &PullRequestState) {
        self.asked_of_forge = false;
        if let Some(pull_request) = &mut self.pull_request {
            pull_request.state = state.clone();
        }
    }

    /// What concerns another one of the session's repositories: its pull request.
    fn beside(&mut self, part: Part, body: &EventBody) {
        if let EventBody::PullRequestOpened(opened) = body {
            self.beside.retain(|(known, _)| *known != part);
            self.beside.push((part, (**opened).clone()));
        } else if let EventBody::PullRequestClosed { state } = body {
            self.asked_of_forge = false;
            for (_, opened) in self.beside.iter_mut().filter(|(known, _)| *known == part) {
                opened.state = state.clone();
            }
        } else if let EventBody::MergeFailed { .. } = body {
            self.asked_of_forge = false;
        }
    }

    /// The pull requests in all its repositories.
    pub(crate) fn pull_requests(&self) -> impl Iterator<Item = &PullRequest> {
        self.pull_request.iter().chain(self.beside.iter().map(|(_, opened)| opened))
    }

    /// The request for access to exactly this: one that is open before one that is decided.
    pub(crate) fn asked(&self, rule: Digest) -> Option<&AccessStanding> {
        let mut found = None;
        for access in &self.accesses {
            if access.ask.digest() == rule {
                if access.decided.is_none() {
                    return Some(access);
                }
                found = Some(access);
            }
        }
        found
    }

    /// The pull request, while it waits for a reviewer.
    pub(crate) fn open_pull_request(&self) -> Option<&PullRequest> {
        self.pull_requests().find(|pull_request| pull_request.state == PullRequestState::Open)
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{EventId, SessionId};

    use super::*;

    fn standing(bodies: Vec<EventBody>) -> Standing {
        let event = |(seq, body)| Event {
            seq: Seq(seq),
            id: EventId::from_u128(u128::from(seq)),
            session: SessionId::from_u128(1),
            at: Timestamp(seq),
            body,
            previous: Digest::ZERO,
            hash: Digest::ZERO,
        };
        Standing::of(&(1..).zip(bodies).map(event).collect::<Vec<_>>())
    }

    fn call() -> CallId {
        CallId { step: 1, index: 0 }
    }

    fn asked() -> EventBody {
        EventBody::QuestionAsked { call: call(), question: "which?".to_owned() }
    }

    fn answered(text: &str) -> EventBody {
        EventBody::QuestionAnswered { call: call(), by: "ann".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn the_first_answer_counts() {
        assert_eq!(standing(vec![asked()]).waiting(), Some(WaitingFor::Answer));
        let after = standing(vec![asked(), answered("this"), answered("that")]);
        assert_eq!(after.waiting(), None);
        assert_eq!(after.questions[0].answer, Some(("ann".to_owned(), "this".to_owned())));
        let passed =
            standing(vec![asked(), EventBody::ContinueAsked { by: "ann".to_owned() }, answered("this")]);
        assert_eq!((passed.waiting(), passed.questions[0].answer.clone()), (None, None));
    }

    #[test]
    fn a_decision_about_another_plan_is_none() {
        let plan = |text: &str| EventBody::PlanProposed {
            call: call(),
            text: text.to_owned(),
            digest: Digest::of(text.as_bytes()),
        };
        let decided = |text: &str| EventBody::PlanDecided {
            digest: Digest::of(text.as_bytes()),
            by: "ann".to_owned(),
            decision: PlanDecision::Approved { text: None },
        };
        assert_eq!(standing(vec![plan("a"), decided("b")]).waiting(), Some(WaitingFor::Plan));
        assert_eq!(standing(vec![plan("a"), plan("b"), decided("a")]).waiting(), Some(WaitingFor::Plan));
        assert_eq!(standing(vec![plan("a"), decided("a")]).waiting(), None);
    }

    #[test]
    fn what_was_taken_back_is_not_waited_for() {
        let back = EventBody::RolledBack { to: Seq(1), by: "ann".to_owned(), instruction: None };
        assert_eq!(standing(vec![EventBody::NothingChanged, asked(), back]).waiting(), None);
    }
}
