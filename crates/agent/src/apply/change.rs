//! Events of a finished change on its way to the pull request.

use std::sync::Arc;

use cofferdam_domain::{EvidenceRun, Finding, PullRequest, Stage, Verdict, change::Received, event::Moved};

use crate::{Agent, wording};

impl Agent {
    pub(super) fn objects_received(&mut self, received: &Received) -> bool {
        let fits = self.stages.finish(Stage::Collect);
        if fits {
            self.facts.left = Some(received.head.as_str().into());
            self.facts.received = Some(Arc::new(received.clone()));
        }
        fits
    }

    pub(super) fn nothing_changed(&mut self) -> bool {
        let fits = self.stages.finish(Stage::Collect);
        self.facts.nothing_changed |= fits;
        fits
    }

    pub(super) fn examined(&mut self, findings: &[Finding], verdict: Verdict) -> bool {
        let fits = self.stages.finish(Stage::Examine);
        if fits {
            self.facts.findings = Arc::new(findings.to_vec());
            self.facts.verdict = Some(verdict);
        }
        fits
    }

    pub(super) fn evidence_run(&mut self, run: &EvidenceRun) -> bool {
        let fits = self.stages.evidence(run.side);
        if fits {
            Arc::make_mut(&mut self.facts.evidence).push(run.clone());
        }
        fits
    }

    pub(super) fn no_evidence(&mut self, reason: &str) -> bool {
        let fits = self.stages.evidence_missing();
        if fits {
            self.facts.evidence_missing = Some(reason.into());
        }
        fits
    }

    pub(super) fn pushed_to(&mut self, branch: &str, commit: &str) -> bool {
        let fits = self.stages.finish(Stage::Push);
        if fits {
            self.facts.pushed = Some(Arc::new((branch.to_owned(), commit.to_owned())));
            self.facts.left = Some(commit.into());
            self.facts.published = Some(commit.into());
        }
        fits
    }

    /// Others have pushed to the branch, and the turn begins with that.
    pub(super) fn goes_on_from(&mut self, moved: &Moved) {
        let (branch, start): (Arc<str>, Arc<str>) =
            (moved.branch.as_str().into(), moved.start.as_str().into());
        // What was not published yet is still to be delivered.
        self.touched = start != branch;
        self.facts.left = Some(start.clone());
        self.facts.start = Some(start);
        self.facts.theirs = Some(branch.clone());
        self.facts.published = Some(branch);
    }

    pub(super) fn pull_request_opened(&mut self, request: &PullRequest) -> bool {
        let fits = self.stages.finish(Stage::PullRequest);
        if fits {
            self.facts.pull_request = Some(Arc::new(request.clone()));
        }
        fits
    }

    /// The gate sent the change back: a new stretch of work begins.
    pub(super) fn sent_back(&mut self, text: &str) -> bool {
        if !self.delivering() || self.facts.verdict != Some(Verdict::SendBack) {
            return false;
        }
        self.gate_rounds = self.gate_rounds.saturating_add(1);
        self.begin_work_again();
        self.draft.say(text);
        self.draft.say(wording::SANDBOX_ANEW);
        true
    }
}
