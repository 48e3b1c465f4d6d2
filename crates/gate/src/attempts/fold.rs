//! The facts of one attempt, folded from its log.

use std::collections::BTreeMap;

use cofferdam_domain::{
    Event, EventBody, EvidenceRun, Finding, Outcome, Part, SessionId, Severity, Side, Timestamp,
    change::DiffStat, effective::effective, event::NudgeReason, tool::FinishOutcome,
};

use super::{AttemptFacts, Decided, Standing, ranking::worse};
use crate::{EvidenceSummary, judge};

/// What is known of one of the session's repositories.
#[derive(Debug, Default)]
struct PartFacts {
    stat: DiffStat,
    findings: Vec<Finding>,
    base: Option<EvidenceRun>,
    head: Option<EvidenceRun>,
    changed: bool,
}

/// What a log says so far.
#[derive(Debug, Default)]
struct Fold {
    parts: BTreeMap<usize, PartFacts>,
    ready: Option<String>,
    outcome: Option<Outcome>,
    decided: Option<Decided>,
    taken: bool,
    cut_short: bool,
    began: Option<Timestamp>,
    until: Option<Timestamp>,
    model: Option<String>,
    steps: u32,
    tokens: u64,
    cost: u64,
}

impl AttemptFacts {
    /// The facts of the attempt with this log. `None` where it is none.
    #[must_use]
    pub fn of(events: &[Event]) -> Option<Self> {
        let (first, last) = (events.first()?, events.last()?);
        let EventBody::TaskAccepted { task } = &first.body else { return None };
        let attempt = task.attempt?;
        let mut fold = Fold { began: Some(first.at), until: Some(last.at), ..Fold::default() };
        for event in effective(events) {
            fold.apply(event);
        }
        // What was spent in vain was spent; what was decided stays decided.
        for event in events {
            fold.count(first.session, event);
        }
        let (tests, stat, [notes, warnings, blocking]) = fold.change();
        let Fold {
            ready, outcome, decided, taken, cut_short, began, until, model, steps, tokens, cost, ..
        } = fold;
        let offers = ready.is_some() && !matches!(outcome, Some(Outcome::Cancelled));
        let standing = match (outcome, ready) {
            (Some(outcome), _) => Standing::Ended(outcome),
            (None, Some(commit)) => Standing::Ready(commit),
            (None, None) => Standing::AtWork,
        };
        Some(Self {
            session: first.session,
            attempt,
            standing,
            offers,
            decided,
            taken,
            tests,
            blocking,
            warnings,
            notes,
            stat,
            cut_short,
            steps,
            tokens,
            cost,
            millis: began.zip(until).map_or(0, |(began, until)| until.millis_since(began)),
            model,
            last: last.seq,
        })
    }
}

impl Fold {
    /// Folds in an event that counts.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other events say nothing of how an attempt compares"
    )]
    fn apply(&mut self, event: &Event) {
        match &event.body {
            EventBody::PolicyFixed(fixed) => {
                self.model = Some(format!("{}/{}", fixed.model.provider, fixed.model.name));
            }
            EventBody::WorkFinished { finish, limit } => {
                self.cut_short = limit.is_some() || finish.outcome == FinishOutcome::GaveUp;
            }
            EventBody::AttemptReady { commit } => {
                self.ready = Some(commit.clone());
                self.until = Some(event.at);
            }
            EventBody::AttemptChosen { commit, .. } => {
                self.taken |= self.outcome.is_none() && self.ready.as_deref() == Some(commit);
            }
            EventBody::MessageReceived { .. } | EventBody::ContinueAsked { .. } => self.go_on(event),
            EventBody::SandboxReleased { .. } | EventBody::Forked { .. } => self.outcome = None,
            EventBody::Nudged { reason: NudgeReason::FollowUp, .. } => self.ready = None,
            EventBody::SessionEnded { outcome } => self.ended(outcome, event.at),
            body => {
                let (part, body) = body.in_part();
                self.part(part, body);
            }
        }
    }

    /// Folds in what counts whether or not it was taken back.
    fn count(&mut self, session: SessionId, event: &Event) {
        if let EventBody::ModelAnswered { step, answer, .. } = &event.body {
            self.steps = self.steps.max(*step);
            self.tokens = self.tokens.saturating_add(answer.usage.total());
            self.cost = self.cost.saturating_add(answer.cost.unwrap_or_default().0);
        } else if let EventBody::Forked { .. } = &event.body {
            // What was copied was spent by another session.
            (self.tokens, self.cost) = (0, 0);
        } else if let EventBody::AttemptChosen { by, commit } = &event.body {
            self.decided = Some(Decided { by: by.clone(), chosen: session, commit: commit.clone() });
        } else if let EventBody::AttemptPassedOver { by, chosen, commit } = &event.body {
            self.decided.get_or_insert(Decided { by: by.clone(), chosen: *chosen, commit: commit.clone() });
        }
    }

    /// Somebody wrote, or lets it go on.
    fn go_on(&mut self, event: &Event) {
        if matches!(event.body, EventBody::MessageReceived { .. }) {
            self.ready = None;
            self.outcome = None;
        } else if matches!(self.outcome, Some(Outcome::Stopped { .. })) {
            self.outcome = None;
        }
    }

    fn ended(&mut self, outcome: &Outcome, at: Timestamp) {
        // How long it waited to be chosen says nothing of it.
        if self.ready.is_none() {
            self.until = Some(at);
        }
        self.outcome = Some(outcome.clone());
    }

    /// Folds in what concerns one of the repositories.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other events say nothing of a change")]
    fn part(&mut self, part: Part, body: &EventBody) {
        let place = part.beside().map_or(0, |place| place + 1);
        let facts = self.parts.entry(place).or_default();
        match body {
            EventBody::ObjectsReceived(received) => {
                *facts = PartFacts { stat: received.stat, changed: true, ..PartFacts::default() };
            }
            EventBody::NothingChanged => *facts = PartFacts::default(),
            EventBody::Examined { findings, .. } => facts.findings.clone_from(findings),
            EventBody::EvidenceRun(run) => match run.side {
                Side::Base => facts.base = Some(run.clone()),
                Side::Head => facts.head = Some(run.clone()),
            },
            _ => {}
        }
    }

    /// Tests, size and findings (notes, warnings, blocking ones) of all that has changed.
    fn change(&self) -> (EvidenceSummary, DiffStat, [u64; 3]) {
        let mut tests: Option<EvidenceSummary> = None;
        let (mut stat, mut found) = (DiffStat::default(), [0; 3]);
        for facts in self.parts.values().filter(|facts| facts.changed) {
            let one = judge(facts.base.as_ref(), facts.head.as_ref());
            tests = Some(match tests {
                None => one,
                Some(sum) => together(sum, one),
            });
            stat.files = stat.files.saturating_add(facts.stat.files);
            stat.added = stat.added.saturating_add(facts.stat.added);
            stat.removed = stat.removed.saturating_add(facts.stat.removed);
            for finding in &facts.findings {
                let place = match finding.severity {
                    Severity::Note => &mut found[0],
                    Severity::Warning => &mut found[1],
                    Severity::Blocking => &mut found[2],
                };
                *place += 1;
            }
        }
        (tests.unwrap_or_else(|| judge(None, None)), stat, found)
    }
}

/// What the tests of two repositories show together.
fn together(mut sum: EvidenceSummary, one: EvidenceSummary) -> EvidenceSummary {
    sum.headline = worse(sum.headline, one.headline);
    sum.pass_to_pass = sum.pass_to_pass.saturating_add(one.pass_to_pass);
    sum.fail_to_pass.extend(one.fail_to_pass);
    sum.pass_to_fail.extend(one.pass_to_fail);
    sum.still_failing.extend(one.still_failing);
    sum.new_passing.extend(one.new_passing);
    sum.new_failing.extend(one.new_failing);
    sum.newly_skipped.extend(one.newly_skipped);
    sum.removed.extend(one.removed);
    sum.compared &= one.compared;
    sum
}
