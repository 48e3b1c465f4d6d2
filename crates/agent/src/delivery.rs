//! The worker's own work: which stages are done, and in which order a finished change is taken to its pull
//! request.

use cofferdam_domain::{Side, Stage, Verdict};

/// How far a stage is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    #[default]
    Todo,
    UnderWay,
    Done,
}

/// All stages of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stages {
    pub(crate) repository: Progress,
    pub(crate) sandbox: Progress,
    collect: Progress,
    examine: Progress,
    base: Progress,
    head: Progress,
    self_review: Progress,
    push: Progress,
    pull_request: Progress,
    merge: Progress,
    close: Progress,
    /// Sides that turned out to have no test command. The event does not say which.
    missing: u8,
}

impl Stages {
    fn slot(&mut self, stage: Stage) -> &mut Progress {
        match stage {
            Stage::Repository => &mut self.repository,
            Stage::Sandbox => &mut self.sandbox,
            Stage::Collect => &mut self.collect,
            Stage::Examine => &mut self.examine,
            Stage::Evidence { side: Side::Base } => &mut self.base,
            Stage::Evidence { side: Side::Head } => &mut self.head,
            Stage::SelfReview => &mut self.self_review,
            Stage::Push => &mut self.push,
            Stage::PullRequest => &mut self.pull_request,
            Stage::Merge => &mut self.merge,
            Stage::Close => &mut self.close,
        }
    }

    /// The stage was started. Whether it was waiting for that.
    pub(crate) fn start(&mut self, stage: Stage) -> bool {
        self.step(stage, Progress::Todo, Progress::UnderWay)
    }

    /// The stage has its result. Whether it was under way.
    pub(crate) fn finish(&mut self, stage: Stage) -> bool {
        self.step(stage, Progress::UnderWay, Progress::Done)
    }

    fn step(&mut self, stage: Stage, from: Progress, to: Progress) -> bool {
        let slot = self.slot(stage);
        let fits = *slot == from;
        if fits {
            *slot = to;
        }
        fits
    }

    /// Evidence on a side is there. Whether it was waited for.
    pub(crate) fn evidence(&mut self, side: Side) -> bool {
        let other = match side {
            Side::Base => Side::Head,
            Side::Head => Side::Base,
        };
        // What was missing belonged to the other side, if this one was taken for it.
        self.finish(Stage::Evidence { side })
            || (self.missing > 0 && self.finish(Stage::Evidence { side: other }))
    }

    /// A side has no test command. Whether one was waited for.
    pub(crate) fn evidence_missing(&mut self) -> bool {
        let fits = [Side::Base, Side::Head].into_iter().any(|side| self.finish(Stage::Evidence { side }));
        self.missing += u8::from(fits);
        fits
    }

    /// The worker was lost: what was under way is to be done again, and there is no sandbox.
    pub(crate) fn cut(&mut self) {
        if self.missing > 0 && (self.base != Progress::Done || self.head != Progress::Done) {
            self.missing = 0;
            self.base = Progress::Todo;
            self.head = Progress::Todo;
        }
        self.sandbox = Progress::Todo;
        for stage in [
            Stage::Repository,
            Stage::Collect,
            Stage::Examine,
            Stage::Evidence { side: Side::Base },
            Stage::Evidence { side: Side::Head },
            Stage::SelfReview,
            Stage::Push,
            Stage::PullRequest,
            Stage::Merge,
            Stage::Close,
        ] {
            self.step(stage, Progress::UnderWay, Progress::Todo);
        }
    }

    /// A stretch of work ended or begins again: nothing of its delivery is done, and its sandbox is gone,
    /// unless it is still being made.
    pub(crate) fn renew(&mut self) {
        let sandbox = if self.sandbox == Progress::UnderWay { Progress::UnderWay } else { Progress::Todo };
        *self = Self { repository: self.repository, sandbox, ..Self::default() };
    }

    /// Whether a stage waits to be started.
    pub(crate) fn may_start(&self, stage: Stage) -> bool {
        self.progress(stage) == Progress::Todo
    }

    /// Whether a stage is under way.
    pub(crate) fn is_under_way(&self, stage: Stage) -> bool {
        self.progress(stage) == Progress::UnderWay
    }

    /// How far a stage is.
    pub(crate) fn progress(&self, stage: Stage) -> Progress {
        *self.clone().slot(stage)
    }

    /// Whether a stage is under way that has to come to its end before the session waits. A fresh look stops and goes on, as those do that work for
    /// the session.
    pub(crate) fn any_to_wait_for(&self) -> bool {
        Self { self_review: Progress::Done, ..self.clone() }.any_under_way()
    }

    /// Whether a stage is under way.
    pub(crate) fn any_under_way(&self) -> bool {
        let Self {
            repository,
            sandbox,
            collect,
            examine,
            base,
            head,
            self_review,
            push,
            pull_request,
            merge,
            close,
            missing: _,
        } = self;
        [repository, sandbox, collect, examine, base, head, self_review, push, pull_request, merge, close]
            .into_iter()
            .any(|progress| *progress == Progress::UnderWay)
    }

    /// Whether the tests were run on both sides, or it is known why not.
    pub(crate) fn tested(&self) -> bool {
        self.base == Progress::Done && self.head == Progress::Done
    }

    /// Whether this turn's change is in its pull request.
    pub(crate) const fn published(&self) -> bool {
        matches!(self.pull_request, Progress::Done)
    }

    /// Whether this turn's change was taken out of the sandbox.
    pub(crate) const fn collected(&self) -> bool {
        matches!(self.collect, Progress::Done)
    }

    /// The pull request is there, and is to be brought up to date.
    pub(crate) fn offer_again(&mut self) {
        self.pull_request = Progress::Todo;
    }

    /// Nothing is being done with the pull request.
    pub(crate) fn forget_closing(&mut self) {
        self.merge = Progress::Todo;
        self.close = Progress::Todo;
    }

    /// The stages of delivery that may start now. None while a sandbox is still being made over the layer
    /// that is to be collected.
    pub(crate) fn startable(&self, verdict: Option<Verdict>) -> Vec<Stage> {
        if self.sandbox == Progress::UnderWay {
            return Vec::new();
        }
        let ladder = [
            (true, vec![(self.collect, Stage::Collect)]),
            (true, vec![(self.examine, Stage::Examine)]),
            (
                verdict == Some(Verdict::Publish),
                vec![
                    (self.base, Stage::Evidence { side: Side::Base }),
                    (self.head, Stage::Evidence { side: Side::Head }),
                ],
            ),
            (true, vec![(self.push, Stage::Push)]),
            (true, vec![(self.pull_request, Stage::PullRequest)]),
        ];
        for (open, rung) in ladder {
            if !open {
                return Vec::new();
            }
            if rung.iter().any(|(progress, _)| *progress != Progress::Done) {
                let waiting = rung.into_iter().filter(|(progress, _)| *progress == Progress::Todo);
                return waiting.map(|(_, stage)| stage).collect();
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Stage = Stage::Evidence { side: Side::Base };
    const HEAD: Stage = Stage::Evidence { side: Side::Head };

    fn up_to_evidence() -> Stages {
        let mut stages = Stages::default();
        for stage in [Stage::Collect, Stage::Examine] {
            assert_eq!(stages.startable(None), [stage]);
            assert!(stages.start(stage) && stages.startable(None).is_empty() && stages.finish(stage));
        }
        assert_eq!(stages.startable(Some(Verdict::Publish)), [BASE, HEAD]);
        assert!(stages.start(BASE) && stages.start(HEAD));
        stages
    }

    #[test]
    fn one_stage_after_the_other_and_evidence_side_by_side() {
        let mut stages = up_to_evidence();
        assert!(stages.evidence(Side::Head) && stages.startable(Some(Verdict::Publish)).is_empty());
        assert!(stages.evidence(Side::Base));
        assert_eq!(stages.startable(Some(Verdict::Publish)), [Stage::Push]);
        assert!(!stages.evidence(Side::Base), "it has been");
    }

    #[test]
    fn evidence_missing_on_either_side_first() {
        let mut stages = up_to_evidence();
        assert!(stages.evidence_missing() && stages.evidence(Side::Base));
        assert_eq!(stages.startable(Some(Verdict::Publish)), [Stage::Push]);
    }

    #[test]
    fn a_crash_beside_missing_evidence_does_both_sides_again() {
        let mut stages = up_to_evidence();
        assert!(stages.evidence_missing());
        stages.cut();
        assert_eq!(stages.startable(Some(Verdict::Publish)), [BASE, HEAD]);
    }

    #[test]
    fn nothing_is_published_against_the_verdict() {
        let mut stages = up_to_evidence();
        stages.cut();
        for verdict in [None, Some(Verdict::Hold), Some(Verdict::SendBack)] {
            assert!(stages.startable(verdict).is_empty());
        }
    }
}
