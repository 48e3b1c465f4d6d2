//! Sessions that review: the change is there already and nothing is added to it. It goes through the same examination and the same test runs
//! as a change of the agent's, and there the session ends: nothing is pushed.

use cofferdam_domain::{Outcome, Stage, UnderReview, tool::FinishOutcome};

use crate::{Agent, ending::LONGEST_REASON, excerpt::excerpt};

impl Agent {
    /// The pull request that is to be reviewed, where that is the task.
    #[must_use]
    pub fn review(&self) -> Option<&UnderReview> {
        self.facts.task.as_ref()?.review.as_deref()
    }

    /// Whether a stage is one that this session has.
    pub(crate) fn has_stage(&self, stage: Stage) -> bool {
        match stage {
            Stage::SelfReview | Stage::Push | Stage::PullRequest | Stage::Merge | Stage::Close => {
                self.review().is_none() && self.parent().is_none()
            }
            Stage::Collect | Stage::Examine | Stage::Evidence { .. } => self.parent().is_none(),
            Stage::Repository | Stage::Sandbox => true,
        }
    }

    /// The workspace begins with what is to be reviewed, in every turn.
    pub(crate) fn begin_with_review(&mut self) {
        let Some(head) = self.review().map(|review| review.head.as_str().into()) else { return };
        self.strand.start = Some(head);
        self.strand.left.clone_from(&self.strand.start);
        self.strand.published.clone_from(&self.strand.start);
    }

    /// The end of a session that reviews, once the platform's own runs are known.
    pub(crate) fn reviewed(&self) -> Option<Outcome> {
        if !self.strand.stages.tested() {
            return None;
        }
        let gave_up = |summary: &str| Outcome::Failed { reason: excerpt(summary, LONGEST_REASON) };
        Some(match (self.facts.limit(), self.finish()) {
            (Some(limit), _) => Outcome::Stopped { limit: self.in_words(limit) },
            (None, Some(finish)) if finish.outcome == FinishOutcome::GaveUp => gave_up(&finish.summary),
            (None, _) => Outcome::Reviewed,
        })
    }
}
