//! In which order the changes of a session's repositories are delivered. Nothing leaves before the gate has seen all of them and lets all of them
//! out; then their tests run, one repository after the other; then each is pushed and gets its pull request. With one repository this is its ladder
//! of stages and nothing else.

use cofferdam_domain::{Part, Stage, Verdict};

use crate::{Action, Agent, agent::Closing, delivery::Progress, strand::Strand};

impl Action {
    /// A piece of the worker's own work on one of the session's repositories.
    pub(crate) fn on(part: Part, stage: Stage) -> Self {
        if part == Part::FIRST { Self::Stage(stage) } else { Self::Beside(part, stage) }
    }
}

impl Agent {
    /// What of the worker's own work may start while the agent works.
    pub(crate) fn to_prepare(&self) -> Vec<Action> {
        let repository = |strand: &Strand| strand.stages.repository;
        let to_find =
            self.parts().zip(self.strands()).filter(|(_, strand)| repository(strand) == Progress::Todo);
        let mut actions: Vec<Action> = to_find.map(|(part, _)| Action::on(part, Stage::Repository)).collect();
        let found = self.strands().all(|strand| repository(strand) == Progress::Done);
        if found && self.strand.stages.sandbox == Progress::Todo {
            actions.push(Action::Stage(Stage::Sandbox));
        }
        actions
    }

    /// The stages of delivery that come next. None while a sandbox is still being made over the layer that is to be collected.
    pub(crate) fn next_stages(&self) -> Vec<Action> {
        if self.strand.stages.sandbox == Progress::UnderWay {
            return Vec::new();
        }
        let first = |is_done: fn(&Strand) -> bool| self.strands().position(|strand| !is_done(strand));
        // All are collected from the same layer.
        let collects = first(|strand| strand.stages.collected());
        let leaves = self.strands().all(Strand::may_leave);
        let tests = first(|strand| strand.nothing_changed || strand.stages.tested());
        let ready = leaves && tests.is_none();
        if ready && self.is_to_be_looked_at() {
            // One look at the changes in all repositories, where there are several.
            return vec![Action::Stage(Stage::SelfReview)];
        }
        let publishes = if ready && self.is_looked_at() { self.next_to_publish() } else { None };
        let mut actions = Vec::new();
        for (place, (part, strand)) in self.parts().zip(self.strands()).enumerate() {
            if strand.nothing_changed || strand.behind {
                continue;
            }
            let may = |stage: &Stage| match stage {
                Stage::Collect => collects == Some(place),
                Stage::Evidence { .. } => tests == Some(place),
                Stage::Push | Stage::PullRequest => publishes == Some(place),
                Stage::Repository
                | Stage::Sandbox
                | Stage::Examine
                | Stage::SelfReview
                | Stage::Merge
                | Stage::Close => true,
            };
            let startable = strand.stages.startable(strand.verdict.filter(|_| leaves)).into_iter();
            let startable = startable.filter(|stage| may(stage) && self.has_stage(*stage));
            actions.extend(startable.map(|stage| Action::on(part, stage)));
        }
        actions
    }

    /// Whose change is pushed and offered now: those without a pull request first, so that the others' texts need to be brought up to date only once.
    fn next_to_publish(&self) -> Option<usize> {
        let open = self.strands().enumerate().filter(|(_, strand)| !strand.is_through() && !strand.behind);
        open.min_by_key(|(place, strand)| (strand.relink, *place)).map(|(place, _)| place)
    }

    /// Whether others were quicker with one of the branches, and the changes of all other repositories are where they belong.
    pub(crate) fn is_behind(&self) -> bool {
        self.strands().any(|strand| strand.behind)
            && self.strands().all(|strand| strand.behind || strand.is_through())
    }

    /// Whether the gate wants the agent to work on, having seen all changes.
    pub(crate) fn is_sent_back(&self) -> bool {
        self.strands().all(Strand::is_examined)
            && self.strands().any(|strand| strand.verdict == Some(Verdict::SendBack))
    }

    /// What is to be done about the pull requests now.
    pub(crate) fn to_close(&self) -> Vec<Action> {
        let of = |(part, strand): (Part, &Strand)| {
            let stage = match strand.closing.as_ref()? {
                Closing::Merge(_) => Stage::Merge,
                Closing::Close => Stage::Close,
            };
            strand.stages.may_start(stage).then(|| Action::on(part, stage))
        };
        self.parts().zip(self.strands()).filter_map(of).collect()
    }
}
