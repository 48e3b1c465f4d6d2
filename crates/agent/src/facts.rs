//! What has become known of a session: for the worker, who acts on it, and for whoever shows it.

use std::sync::Arc;

use cofferdam_domain::{
    Consequence, Cost, EvidenceRun, Finding, Outcome, PullRequest, PullRequestState, SandboxId, SessionId,
    SessionState, Side, Spent, Stage, Task, Timestamp, Verdict,
    change::Received,
    event::{Fixed, Merged, Repository},
    policy::LimitKind,
    tool::{Finish, FinishOutcome, PlanItem},
};

use crate::{Agent, agent::Reopening};

/// What is known of the session as a whole. Large values are shared, so that copying an agent stays cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) task: Option<Arc<Task>>,
    pub(crate) fixed: Option<Arc<Fixed>>,
    pub(crate) sandbox: Option<SandboxId>,
    pub(crate) plan: Arc<Vec<PlanItem>>,
    pub(crate) work: Option<Arc<Work>>,
    /// Tool calls and network requests that policy refused.
    pub(crate) refused: u64,
}

/// Finished work: what the agent says about it, and the limit that ended it.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) finish: Finish,
    pub(crate) limit: Option<LimitKind>,
    pub(crate) at: Timestamp,
}

impl Facts {
    pub(crate) fn limit(&self) -> Option<LimitKind> {
        self.work.as_ref().and_then(|work| work.limit)
    }
}

impl Agent {
    /// Whose log is folded.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Where the session stands.
    #[must_use]
    pub fn state(&self) -> SessionState {
        match (&self.outcome, self.phase) {
            (Some(_), _) => SessionState::Ended,
            (None, phase) if self.waiting().is_none() => phase,
            (None, _) => SessionState::Waiting,
        }
    }

    /// How the session ended, if it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Whether there is something to do when it is claimed: it has not ended, it failed for want of a model, a person has released its frozen
    /// sandbox, written to it, or wants something done with its pull request.
    #[must_use]
    pub fn resumable(&self) -> bool {
        self.outcome.is_none() || self.reopens.is_some() || self.is_closing()
    }

    /// Whether it has ended and goes on all the same as soon as somebody claims it: a person wrote to it, took it back or released its sandbox.
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        match self.reopens {
            Some(Reopening::NewTurn) => self.outcome.is_some(),
            // One that failed for want of a model goes on when somebody has mended that, which nobody has said.
            Some(Reopening::GoOn) => matches!(self.outcome, Some(Outcome::Held { .. })),
            None => false,
        }
    }

    /// Why the sandbox was frozen, while a person has not decided about it.
    #[must_use]
    pub fn frozen(&self) -> Option<&str> {
        self.frozen.as_deref()
    }

    /// Whether its sandbox is frozen, or is to be: nothing may leave it any more.
    #[must_use]
    pub fn is_alarmed(&self) -> bool {
        let due = self.watchman.due().is_some_and(|alarm| alarm.then == Consequence::Freeze);
        self.frozen.is_some() || self.to_freeze.is_some() || due
    }

    /// Whether what is needed to go on, or to be looked at (the sandbox's layer), is worth keeping.
    #[must_use]
    pub const fn keeps_workspace(&self) -> bool {
        self.outcome.is_none() || self.frozen.is_some() || matches!(self.reopens, Some(Reopening::GoOn))
    }

    /// Whether a tool was started in this turn, so that the files may differ from those that it began with.
    #[must_use]
    pub const fn has_worked(&self) -> bool {
        self.touched
    }

    /// Whether somebody asked that the session be cancelled.
    #[must_use]
    pub const fn cancelled(&self) -> bool {
        self.cancelled
    }

    /// What has been used so far, by the time of the last event.
    #[must_use]
    pub fn spent(&self) -> Spent {
        let mut spent =
            Spent { steps: self.steps, usage: self.usage, cost: self.cost, wall_ms: self.clock.worked() };
        spent.steps = spent.steps.saturating_add(self.dropped.steps);
        spent.usage += self.dropped.usage;
        spent.cost += self.dropped.cost;
        for others in [&self.subagents.spent(), self.looks.spent()] {
            spent.steps = spent.steps.saturating_add(others.steps);
            spent.usage += others.usage;
            spent.cost += others.cost;
        }
        spent
    }

    /// The same since the turn began.
    pub(crate) fn spent_in_turn(&self) -> Spent {
        let (mut spent, began) = (self.spent(), &self.turn_began);
        spent.steps = spent.steps.saturating_sub(began.steps);
        spent.usage = spent.usage.since(&began.usage);
        spent.cost = Cost(spent.cost.0.saturating_sub(began.cost.0));
        spent.wall_ms = spent.wall_ms.saturating_sub(began.wall_ms);
        spent
    }

    /// When the time for the agent's work will be used up, while it works. The worker cuts short at that time
    /// what tool calls still run; the model's last answer comes after it.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let wall_ms = self.facts.fixed.as_ref()?.policy.budget.wall_ms;
        self.clock.deadline(wall_ms.saturating_add(self.turn_began.wall_ms))
    }

    /// The step under way, or the last one; 0 before the first.
    #[must_use]
    pub fn step(&self) -> u32 {
        let under_way = self.asked.as_ref().is_some_and(|asked| !asked.compaction);
        self.steps + u32::from(under_way)
    }

    /// The agent's to-do list.
    #[must_use]
    pub fn plan(&self) -> &[PlanItem] {
        &self.facts.plan
    }

    /// What was asked.
    #[must_use]
    pub fn task(&self) -> Option<&Task> {
        self.facts.task.as_deref()
    }

    /// What the session may do and with what.
    #[must_use]
    pub fn fixed(&self) -> Option<&Fixed> {
        self.facts.fixed.as_deref()
    }

    /// The repository as the session works on it.
    #[must_use]
    pub fn repository(&self) -> Option<&Repository> {
        self.strand.repository.as_deref()
    }

    /// The sandbox in which tools run at present.
    #[must_use]
    pub const fn sandbox(&self) -> Option<SandboxId> {
        self.facts.sandbox
    }

    /// What the agent says about its finished work. Prose.
    #[must_use]
    pub fn finish(&self) -> Option<&Finish> {
        self.facts.work.as_ref().map(|work| &work.finish)
    }

    /// When the work was finished: the time of its event.
    #[must_use]
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.facts.work.as_ref().map(|work| work.at)
    }

    /// How many tool calls and network requests policy refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.facts.refused
    }

    /// The limit that was reached, if one was.
    #[must_use]
    pub fn limit(&self) -> Option<LimitKind> {
        self.limit.or(self.facts.limit())
    }

    /// The agent's commits in quarantine.
    #[must_use]
    pub fn received(&self) -> Option<&Received> {
        self.strand.received.as_deref()
    }

    /// What the gate saw when it last looked.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.strand.findings
    }

    /// What the gate decided about the finished change.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict> {
        self.strand.verdict
    }

    /// How often the gate may still send the change back; 0 when the agent cannot work on.
    #[must_use]
    pub fn gate_rounds_left(&self) -> u32 {
        let rounds = self.facts.fixed.as_ref().map_or(0, |fixed| fixed.policy.gate_rounds);
        if self.limit().is_some() { 0 } else { rounds.saturating_sub(self.gate_rounds) }
    }

    /// How often the gate has sent the change back.
    #[must_use]
    pub const fn gate_rounds(&self) -> u32 {
        self.gate_rounds
    }

    /// The test runs of the platform on the finished change.
    #[must_use]
    pub fn evidence(&self) -> &[EvidenceRun] {
        &self.strand.evidence
    }

    /// Why there is no test run, or not on both trees.
    #[must_use]
    pub fn evidence_missing(&self) -> Option<&str> {
        self.strand.evidence_missing.as_deref()
    }

    /// The branch on the forge and its commit.
    #[must_use]
    pub fn pushed(&self) -> Option<(&str, &str)> {
        self.strand.pushed.as_deref().map(|(branch, commit)| (branch.as_str(), commit.as_str()))
    }

    /// The commit that the workspace of this turn begins with, unless that is the base.
    #[must_use]
    pub fn start(&self) -> Option<&str> {
        self.strand.start.as_deref()
    }

    /// The commit that stands on the forge, if one does: what this turn's change comes on top of.
    #[must_use]
    pub fn published(&self) -> Option<&str> {
        self.strand.published.as_deref()
    }

    /// The last commit on the session's branch that others have put there and that was built on: nothing before it is the agent's to answer
    /// for.
    #[must_use]
    pub fn theirs(&self) -> Option<&str> {
        self.strand.theirs.as_deref()
    }

    /// Whether somebody wants the branch that the pull request is meant for taken in when the next turn begins.
    #[must_use]
    pub const fn base_wanted(&self) -> bool {
        self.strand.base_wanted
    }

    /// What was taken in of that branch and is not pushed yet.
    #[must_use]
    pub fn merged(&self) -> Option<&Merged> {
        self.strand.merged.as_deref()
    }

    /// How often in a row others have pushed before the session could.
    #[must_use]
    pub const fn overtaken_times(&self) -> u32 {
        self.strand.overtaken
    }

    /// The worker's own work with which the turn before this one failed: whoever has written since wants it tried again.
    #[must_use]
    pub const fn again_after(&self) -> Option<Stage> {
        self.strand.again_after
    }

    /// How the pull request was closed, if it was.
    #[must_use]
    pub const fn pull_request_closed(&self) -> Option<&PullRequestState> {
        self.strand.closed.as_ref()
    }

    /// The pull request.
    #[must_use]
    pub fn pull_request(&self) -> Option<&PullRequest> {
        self.strand.pull_request.as_deref()
    }

    /// Whether the change is only an offer to go on from: a limit ended the work, the agent does not call it
    /// done, or it breaks tests that passed before.
    #[must_use]
    pub fn is_draft(&self) -> bool {
        let Some(work) = &self.facts.work else { return true };
        let passes = |side| {
            let run = self.strand.evidence.iter().rev().find(|run| run.side == side);
            run.map(|run| run.exit.success())
        };
        let breaks_tests = passes(Side::Base) == Some(true) && passes(Side::Head) == Some(false);
        work.limit.is_some() || work.finish.outcome != FinishOutcome::Done || breaks_tests
    }

    /// The first few events that did not fit the log before them, in words. Empty for every log that a worker
    /// wrote.
    #[must_use]
    pub fn oddities(&self) -> &[String] {
        &self.oddities
    }
}
