//! Which attempt is better, by what the platform saw itself.

use std::cmp::Reverse;

use super::{AttemptFacts, Group, Standing};
use crate::Headline;

/// How well the tests speak for an attempt: the less, the better.
const fn by_tests(headline: Headline) -> u8 {
    match headline {
        Headline::RedToGreen => 0,
        Headline::GreenStaysGreen => 1,
        Headline::GreenOnHead => 2,
        Headline::NotRun | Headline::CouldNotRun => 3,
        Headline::StillRed => 4,
        Headline::TimedOut | Headline::RedOnHead => 5,
        Headline::TestsVanished | Headline::Broken => 6,
    }
}

/// Whether tests say that a change is wrong, or do not run any more: no rule delivers such a one.
const fn speaks_against(headline: Headline) -> bool {
    by_tests(headline) > 3
}

/// The worse of two.
pub(super) const fn worse(one: Headline, other: Headline) -> Headline {
    if by_tests(one) >= by_tests(other) { one } else { other }
}

/// The order: what can be delivered at all; tests that were red before and are green now, and none that passed before and fails now; nothing that
/// the gate would hold back; work that came to its own end; fewer warnings; a smaller change; a lower cost. What is the same in all of that keeps
/// the order in which the attempts were made.
fn rank(facts: &AttemptFacts) -> impl Ord + use<> {
    let tests = &facts.tests;
    let lost = tests.pass_to_fail.len() + tests.removed.len() + tests.newly_skipped.len();
    (
        Reverse(facts.offers),
        by_tests(tests.headline),
        lost,
        facts.blocking,
        facts.cut_short,
        facts.warnings,
        facts.stat.added.saturating_add(facts.stat.removed),
        facts.cost,
        facts.attempt.number,
    )
}

/// The attempts, the best first. A pure function of what the platform saw: see [`AttemptFacts`].
#[must_use]
pub fn ranked(group: &Group) -> Vec<&AttemptFacts> {
    let mut attempts: Vec<&AttemptFacts> = group.attempts().iter().collect();
    attempts.sort_by_key(|facts| rank(facts));
    attempts
}

/// The attempt that the rule chooses, once all are through: the first that has something ready, if no test speaks against that. Otherwise a person has
/// to look.
#[must_use]
pub fn chosen_by_rule(group: &Group) -> Option<&AttemptFacts> {
    if !group.is_complete() {
        return None;
    }
    let first = ranked(group).into_iter().find(|facts| matches!(facts.standing, Standing::Ready(_)))?;
    let fits =
        !speaks_against(first.tests.headline) && first.tests.pass_to_fail.is_empty() && first.blocking == 0;
    fits.then_some(first)
}
