//! Events of a finished change on its way to the pull request.

use std::sync::Arc;

use cofferdam_domain::{
    EvidenceRun, Finding, PullRequest, Stage, Verdict,
    change::Received,
    event::{Merged, Moved},
};

use crate::{Agent, strand::Strand};

impl Agent {
    pub(super) fn objects_received(&mut self, received: &Received) -> bool {
        let fits = self.strand.stages.finish(Stage::Collect);
        if fits {
            self.strand.left = Some(received.head.as_str().into());
            self.strand.received = Some(Arc::new(received.clone()));
        }
        fits
    }

    pub(super) fn nothing_changed(&mut self) -> bool {
        let fits = self.strand.stages.finish(Stage::Collect);
        self.strand.nothing_changed |= fits;
        fits
    }

    pub(super) fn examined(&mut self, findings: &[Finding], verdict: Verdict) -> bool {
        let fits = self.strand.stages.finish(Stage::Examine);
        if fits {
            self.strand.findings = Arc::new(findings.to_vec());
            self.strand.verdict = Some(verdict);
        }
        fits
    }

    pub(super) fn evidence_run(&mut self, run: &EvidenceRun) -> bool {
        let fits = self.strand.stages.evidence(run.side);
        if fits {
            Arc::make_mut(&mut self.strand.evidence).push(run.clone());
        }
        fits
    }

    pub(super) fn no_evidence(&mut self, reason: &str) -> bool {
        let fits = self.strand.stages.evidence_missing();
        if fits {
            self.strand.evidence_missing = Some(reason.into());
        }
        fits
    }

    pub(super) fn pushed_to(&mut self, branch: &str, commit: &str) -> bool {
        let fits = self.strand.stages.finish(Stage::Push);
        if fits {
            self.strand.pushed = Some(Arc::new((branch.to_owned(), commit.to_owned())));
            self.strand.left = Some(commit.into());
            self.strand.published = Some(commit.into());
            self.strand.merged = None;
            self.strand.overtaken = 0;
        }
        fits
    }

    /// Others were quicker: what there is goes on top of theirs in a turn of its own.
    pub(super) fn overtaken(&mut self) -> bool {
        let fits = self.strand.stages.finish(Stage::Push);
        if fits {
            self.strand.overtaken = self.strand.overtaken.saturating_add(1);
            self.strand.behind = true;
            self.follow_up = true;
        }
        fits
    }

    /// Others have pushed to the branch, and the turn begins with that.
    pub(super) fn goes_on_from(&mut self, moved: &Moved) {
        let (branch, start): (Arc<str>, Arc<str>) =
            (moved.branch.as_str().into(), moved.start.as_str().into());
        // What was not published yet is still to be delivered.
        self.strand.left = Some(start.clone());
        self.strand.start = Some(start);
        self.strand.theirs = Some(branch.clone());
        self.strand.published = Some(branch);
        let holds_back = self.strands().any(Strand::holds_back);
        self.touched = holds_back;
        if let Some(merged) = &moved.merged {
            self.goes_on_with_base(merged);
        }
    }

    /// What the branch is meant for has been taken in: from now on that is the base, and nothing of what is on it is the agent's.
    fn goes_on_with_base(&mut self, merged: &Merged) {
        self.strand.theirs = Some(merged.commit.as_str().into());
        if let Some(repository) = &mut self.strand.repository {
            let repository = Arc::make_mut(repository);
            repository.base_commit.clone_from(&merged.base);
            repository.base_tree.clone_from(&merged.tree);
        }
        self.strand.merged = Some(Arc::new(merged.clone()));
    }

    pub(super) fn pull_request_opened(&mut self, request: &PullRequest) -> bool {
        let fits = self.strand.stages.finish(Stage::PullRequest);
        if !fits {
            return false;
        }
        self.strand.relink = false;
        if self.strand.pull_request.replace(Arc::new(request.clone())).is_none() {
            // Each is to name all others.
            let published = self.beside.iter_mut().filter(|strand| strand.is_published());
            for strand in published.filter(|strand| strand.closed.is_none()) {
                strand.relink = true;
                strand.stages.offer_again();
            }
        }
        true
    }

    /// The gate sent the change back: a new stretch of work begins.
    pub(super) fn sent_back(&mut self, text: &str) -> bool {
        let wanted = self.strands().any(|strand| strand.verdict == Some(Verdict::SendBack));
        if !self.delivering() || !wanted {
            return false;
        }
        self.gate_rounds = self.gate_rounds.saturating_add(1);
        self.begin_work_again();
        self.draft.say(text);
        self.draft.say(self.sandbox_anew());
        true
    }
}
