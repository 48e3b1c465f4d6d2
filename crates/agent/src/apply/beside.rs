//! Events about another one of the session's repositories: each is what it would be about the task's own.

use cofferdam_domain::{EventBody, Part, Stage, event::Moved};

use crate::{Agent, agent::Closing};

impl Agent {
    pub(super) fn beside(&mut self, part: Part, body: &EventBody) -> bool {
        if part == Part::FIRST || !is_of_one(body) {
            return false;
        }
        let applied = self.within(part, |agent| match (&agent.outcome, body) {
            // There is one sandbox, whose event this follows.
            (None, EventBody::SandboxReady { moved, .. }) => agent.begins_with(moved.as_ref()),
            (None, body) => agent.apply_to_living(body),
            (Some(_), body) => agent.apply_after_end(body),
        });
        applied.unwrap_or(false)
    }

    fn begins_with(&mut self, moved: Option<&Moved>) -> bool {
        let fits = self.working() && self.facts.sandbox.is_some();
        if let Some(moved) = moved.filter(|_| fits) {
            self.goes_on_from(moved);
        }
        fits
    }

    /// The one of the pull requests whose head that is, is to be merged.
    pub(super) fn merge_asked(&mut self, commit: &str) -> bool {
        let merge = Some(Closing::Merge(commit.into()));
        let heads = |request: &cofferdam_domain::PullRequest| request.head_commit == commit;
        let meant = self.strands_mut().find(|strand| strand.pull_request.as_deref().is_some_and(heads));
        match meant {
            Some(strand) => strand.wish(merge),
            None => self.strand.wish(merge),
        }
        true
    }

    /// All pull requests are to be closed.
    pub(super) fn close_asked(&mut self) -> bool {
        self.strand.wish(Some(Closing::Close));
        for strand in self.beside.iter_mut().filter(|strand| strand.pull_request.is_some()) {
            strand.wish(strand.closed.is_none().then_some(Closing::Close));
        }
        true
    }
}

/// Whether an event can be about one of several repositories.
const fn is_of_one(body: &EventBody) -> bool {
    let works = matches!(
        body,
        EventBody::StageStarted { stage } | EventBody::StageFailed { stage, .. } if !matches!(stage, Stage::Sandbox | Stage::SelfReview)
    );
    works
        || matches!(
            body,
            EventBody::RepositoryReady(_)
                | EventBody::SandboxReady { .. }
                | EventBody::ObjectsReceived(_)
                | EventBody::NothingChanged
                | EventBody::Examined { .. }
                | EventBody::EvidenceRun(_)
                | EventBody::EvidenceMissing { .. }
                | EventBody::Pushed { .. }
                | EventBody::Overtaken { .. }
                | EventBody::PullRequestOpened(_)
                | EventBody::PullRequestClosed { .. }
                | EventBody::MergeFailed { .. }
        )
}
