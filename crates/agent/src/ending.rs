//! How work and session end: what is said for an agent that did not say it, and which outcome follows from
//! what is known.

use cofferdam_domain::{
    Finding, Outcome, PullRequestState, SessionId, Severity, Task, Verdict,
    event::ModelFailure,
    policy::LimitKind,
    tool::{Finish, FinishOutcome},
};

use crate::{
    Agent,
    excerpt::{excerpt, first_line},
    strand::Strand,
    wording,
};

/// The longest reason that is kept of an agent's prose.
pub(crate) const LONGEST_REASON: usize = 600;

/// Why a session cannot go on.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    /// Whether the model was at fault, which can be mended from outside.
    pub(crate) model: bool,
}

impl Failure {
    /// The model could not be asked.
    pub(crate) fn of_model(agent: &Agent, kind: ModelFailure, message: &str) -> Self {
        let message = excerpt(message, 2000);
        let remedy = match kind {
            ModelFailure::Unauthorised | ModelFailure::Unavailable => {
                format!("Nothing is lost: when that is mended, `cofferdam resume {}` goes on.", agent.session)
            }
            ModelFailure::Rejected => {
                format!(
                    "`cofferdam resume {}` tries again; `cofferdam run --model` starts anew with another model.",
                    agent.session
                )
            }
            ModelFailure::ContextOverflow => {
                "Use a model with a larger context window (`cofferdam run --model`), or shorten the task."
                    .to_owned()
            }
        };
        Self { reason: format!("{message} {remedy}"), model: kind != ModelFailure::ContextOverflow }
    }

    /// The worker's own work cannot be done.
    pub(crate) fn of_stage(reason: &str) -> Self {
        Self { reason: excerpt(reason, 2000), model: false }
    }
}

/// What is said for an agent whose work a limit ended before it could say anything itself.
pub(crate) fn cut_off(task: Option<&Task>, last_answer: &str, limit: &str) -> Finish {
    let said = last_answer.trim();
    let summary = if said.is_empty() || said.starts_with('(') {
        format!("The work was cut off: {limit}. The agent left no summary.")
    } else {
        format!("The work was cut off: {limit}. The agent's last words:\n\n{}", excerpt(said, 4000))
    };
    Finish {
        outcome: FinishOutcome::GaveUp,
        title: task.map(wording::title_for).unwrap_or_default(),
        summary,
        replies: Vec::new(),
        remarks: Vec::new(),
    }
}

/// What is said for an agent that stopped calling tools without ending its work.
pub(crate) fn fell_silent(task: Option<&Task>, last_answer: &str) -> Finish {
    let said = excerpt(last_answer.trim(), 4000);
    let summary =
        format!("The agent stopped working without saying that it was done. Its last words:\n\n{said}");
    Finish {
        outcome: FinishOutcome::GaveUp,
        title: task.map(wording::title_for).unwrap_or_default(),
        summary,
        replies: Vec::new(),
        remarks: Vec::new(),
    }
}

/// What is said for an agent that asked where policy says that the session stops then.
pub(crate) fn asked(task: Option<&Task>, question: &str) -> Finish {
    let summary = format!("The agent needs an answer before it can go on:\n\n{}", excerpt(question, 4000));
    Finish {
        outcome: FinishOutcome::GaveUp,
        title: task.map(wording::title_for).unwrap_or_default(),
        summary,
        replies: Vec::new(),
        remarks: Vec::new(),
    }
}

/// The end of a session whose sandbox was frozen, until a person has decided.
pub(crate) fn frozen(session: SessionId, reason: &str) -> Outcome {
    let reason = excerpt(reason, LONGEST_REASON);
    Outcome::Held {
        reason: format!(
            "the sandbox was frozen: {reason}. Its files are kept: `cofferdam sandbox run --session {session} -- sh` looks, `cofferdam \
             sandbox release {session}` lets the session go on, `cofferdam sandbox destroy {session}` gives it up"
        ),
    }
}

impl Agent {
    /// The outcome of a session with nothing more to do; `None` while there is.
    pub(crate) fn delivered(&self) -> Option<Outcome> {
        if self.review().is_some() {
            return self.reviewed();
        }
        if self.parent().is_some() {
            return Some(self.answered());
        }
        let number =
            self.strands().find_map(|strand| strand.pull_request.as_ref()).map(|request| request.number);
        // Where no tool ever ran nothing can have changed, and there may be no sandbox to look into. In a later turn there is a pull request all
        // the same.
        if !self.touched || self.strands().all(Strand::is_through) {
            return Some(number.map_or_else(|| self.unchanged(), |number| self.as_published(number)));
        }
        if !self.strands().all(Strand::is_examined) {
            return None;
        }
        let stays = |strand: &Strand| match strand.verdict {
            None | Some(Verdict::Publish) => false,
            Some(Verdict::SendBack) => self.gate_rounds_left() == 0,
            Some(Verdict::Hold) => true,
        };
        self.strands().any(stays).then(|| Outcome::Held { reason: held_because(&self.all_findings()) })
    }

    /// How the pull requests were closed, where nothing can be added to them any more.
    pub(crate) fn closed_before(&self) -> Option<&PullRequestState> {
        let open = self.strands().any(|strand| strand.pull_request.is_some() && strand.closed.is_none());
        let closed =
            self.strands().filter(|strand| !strand.is_published() && (!open || strand.verdict.is_some()));
        closed.filter_map(|strand| strand.closed.as_ref()).next()
    }

    fn as_published(&self, number: u64) -> Outcome {
        match (self.facts.limit(), self.finish()) {
            (Some(limit), _) => Outcome::Stopped { limit: self.in_words(limit) },
            (None, Some(Finish { outcome: FinishOutcome::GaveUp, summary, .. })) => Outcome::Failed {
                reason: format!(
                    "the agent did not finish; what it did is in draft pull request {number}. {}",
                    first_line(summary, LONGEST_REASON)
                ),
            },
            (None, _) => Outcome::Succeeded,
        }
    }

    fn unchanged(&self) -> Outcome {
        match (self.facts.limit(), self.finish()) {
            (Some(limit), _) => Outcome::Stopped { limit: self.in_words(limit) },
            (None, Some(Finish { outcome: FinishOutcome::GaveUp, summary, .. })) => {
                Outcome::Failed { reason: excerpt(summary, LONGEST_REASON) }
            }
            (None, _) => Outcome::NothingToDo,
        }
    }

    pub(crate) fn in_words(&self, limit: LimitKind) -> String {
        let budget = self.facts.fixed.as_ref().map(|fixed| fixed.policy.budget).unwrap_or_default();
        wording::limit_in_words(limit, &budget)
    }
}

/// The end of a session to which somebody wrote when its pull request was merged or closed already.
pub(crate) fn too_late(state: &PullRequestState) -> Outcome {
    let how = match state {
        PullRequestState::Merged { .. } => "merged",
        PullRequestState::Closed | PullRequestState::Open => "closed",
    };
    Outcome::Failed {
        reason: format!(
            "the pull request is {how} already: what is wanted beyond it needs a task of its own"
        ),
    }
}

fn held_because(findings: &[Finding]) -> String {
    let mut blocking = findings.iter().filter(|finding| finding.severity == Severity::Blocking);
    let Some(first) = blocking.next() else { return "the gate wants a person to look first".to_owned() };
    let place =
        if first.path.is_empty() { String::new() } else { format!(" in {}", excerpt(&first.path, 200)) };
    let more = match blocking.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    format!("{}{place}: {}{more}", first.rule, excerpt(&first.why, 300))
}
