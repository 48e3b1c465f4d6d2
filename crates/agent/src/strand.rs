//! What is known of one of the session's repositories, and how far its change has come. A session on one repository has one strand; with several,
//! each is delivered in the same way as the only one is.

use std::sync::Arc;

use cofferdam_domain::{
    EvidenceRun, Finding, Part, PullRequest, PullRequestState, Stage, Verdict,
    change::Received,
    event::{Merged, Repository},
};

use crate::{Agent, agent::Closing, delivery::Stages};

/// One repository. Large values are shared, so that copying an agent stays cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strand {
    pub(crate) stages: Stages,
    pub(crate) repository: Option<Arc<Repository>>,
    pub(crate) received: Option<Arc<Received>>,
    pub(crate) nothing_changed: bool,
    pub(crate) findings: Arc<Vec<Finding>>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) evidence: Arc<Vec<EvidenceRun>>,
    pub(crate) evidence_missing: Option<Arc<str>>,
    pub(crate) pushed: Option<Arc<(String, String)>>,
    pub(crate) pull_request: Option<Arc<PullRequest>>,
    /// Its text is to name a pull request that another repository has got since.
    pub(crate) relink: bool,
    /// How the pull request was closed, if it was.
    pub(crate) closed: Option<PullRequestState>,
    /// What is to become of the pull request once the session has ended.
    pub(crate) closing: Option<Closing>,
    /// The commit with the latest that was delivered, whatever became of it: what the next turn's workspace begins with.
    pub(crate) left: Option<Arc<str>>,
    /// The same for this turn. None in the first one: that begins with the base.
    pub(crate) start: Option<Arc<str>>,
    /// The commit on the forge, if there is one.
    pub(crate) published: Option<Arc<str>>,
    /// The last commit that others have put there and that was built on.
    pub(crate) theirs: Option<Arc<str>>,
    /// Somebody wants the branch that the pull request is meant for taken in.
    pub(crate) base_wanted: bool,
    /// It was taken in, and is not pushed yet.
    pub(crate) merged: Option<Arc<Merged>>,
    /// How often in a row others were quicker.
    pub(crate) overtaken: u32,
    /// Others have pushed before this turn's change could be: another turn is to build on that.
    pub(crate) behind: bool,
    /// The worker's own work that failed in this turn.
    pub(crate) failed: Option<Stage>,
    /// The same in the turn before.
    pub(crate) again_after: Option<Stage>,
}

impl Strand {
    /// Forgets what was known of an earlier delivery, of which nothing is done.
    pub(crate) fn forget_delivery(&mut self) {
        self.received = None;
        self.nothing_changed = false;
        self.verdict = None;
        self.evidence = Arc::default();
        self.evidence_missing = None;
        self.relink = false;
        self.stages.renew();
    }

    /// A turn begins with what the one before has left.
    pub(crate) fn begin_turn(&mut self) {
        self.behind = false;
        self.start.clone_from(&self.left);
        self.again_after = self.failed.take();
    }

    /// Whether the workspace begins with something that is not published.
    pub(crate) fn holds_back(&self) -> bool {
        self.start != self.published
    }

    /// Whether this turn's change is in its pull request.
    pub(crate) const fn is_published(&self) -> bool {
        self.stages.published() || self.relink
    }

    /// Whether it is known what is to become of this turn's change, as far as there is one.
    pub(crate) const fn is_examined(&self) -> bool {
        self.nothing_changed || self.verdict.is_some()
    }

    /// Whether nothing more is to be done about this turn's change.
    pub(crate) const fn is_through(&self) -> bool {
        let named = !self.relink || self.closed.is_some();
        self.nothing_changed || self.is_published() && named
    }

    /// Whether the gate lets this turn's change out, as far as there is one.
    pub(crate) fn may_leave(&self) -> bool {
        self.nothing_changed || self.verdict == Some(Verdict::Publish)
    }

    /// Something else is wanted of the pull request from now on; only the latest wish counts.
    pub(crate) fn wish(&mut self, closing: Option<Closing>) {
        self.stages.forget_closing();
        self.closing = closing;
    }
}

impl Agent {
    /// The session's repositories, the task's own first.
    pub fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        (0..=self.beside.len()).map(|place| place.checked_sub(1).map_or(Part::FIRST, Part::at))
    }

    /// The same session as it is seen from one of its repositories: what is said of base, change, evidence, branch and pull request is said of that
    /// one. `None` if it has no such part.
    #[must_use]
    pub fn seen_from(&self, part: Part) -> Option<Self> {
        let mut agent = self.clone();
        agent.turn_to(part).then_some(agent)
    }

    /// The pull requests of the session's repositories as far as there are any, each as it stands now.
    #[must_use]
    pub fn pull_requests(&self) -> Vec<(Part, PullRequest)> {
        let of = |(part, strand): (Part, &Strand)| {
            let mut request = strand.pull_request.as_deref()?.clone();
            request.state = strand.closed.clone().unwrap_or(PullRequestState::Open);
            Some((part, request))
        };
        self.parts().zip(self.strands()).filter_map(of).collect()
    }

    /// Whether there is a pull request.
    #[must_use]
    pub fn has_pull_request(&self) -> bool {
        self.strands().any(|strand| strand.pull_request.is_some())
    }

    /// Whether the gate has looked at a change of this turn.
    #[must_use]
    pub fn is_examined(&self) -> bool {
        self.strands().any(|strand| strand.verdict.is_some())
    }

    /// All strands, the one of the repository from which the session is seen first.
    pub(crate) fn strands(&self) -> impl Iterator<Item = &Strand> {
        std::iter::once(&self.strand).chain(&self.beside)
    }

    pub(crate) fn strands_mut(&mut self) -> impl Iterator<Item = &mut Strand> {
        std::iter::once(&mut self.strand).chain(&mut self.beside)
    }

    /// Does something that concerns one repository. `None` if there is no such part.
    pub(crate) fn within<T>(&mut self, part: Part, act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if !self.turn_to(part) {
            return None;
        }
        let done = act(self);
        self.turn_to(part);
        self.here = Part::FIRST;
        Some(done)
    }

    /// Puts one part's strand in the place of the first, or back where it was.
    fn turn_to(&mut self, part: Part) -> bool {
        let there = match part.beside() {
            None => return true,
            Some(place) => self.beside.get_mut(place),
        };
        let Some(there) = there else { return false };
        std::mem::swap(&mut self.strand, there);
        self.here = part;
        true
    }

    /// Where a repository's paths begin for the agent: nowhere else than in the workspace where it is the only one.
    pub(crate) fn prefix(&self, part: Part) -> String {
        let directory = self.facts.task.as_ref().and_then(|task| task.directory(part));
        directory.map_or_else(String::new, |directory| format!("{directory}/"))
    }

    /// What the gate saw of all changes when it last looked, with the paths as the agent has them.
    pub(crate) fn all_findings(&self) -> Vec<Finding> {
        let of = |(part, strand): (Part, &Strand)| {
            let prefix = self.prefix(part);
            let examined = strand.verdict.is_some();
            let findings = strand.findings.iter().filter(move |_| examined).cloned();
            findings
                .map(move |finding| {
                    let named = !finding.path.is_empty();
                    Finding {
                        path: if named { format!("{prefix}{}", finding.path) } else { finding.path },
                        ..finding
                    }
                })
                .collect::<Vec<_>>()
        };
        self.parts().zip(self.strands()).flat_map(of).collect()
    }
}
