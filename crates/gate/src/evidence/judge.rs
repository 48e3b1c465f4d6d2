//! What the runs on base and head show together.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_domain::{
    EvidenceRun,
    evidence::{Exit, TestReport},
};
use serde::{Deserialize, Serialize};

/// What the two runs show, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Headline {
    /// Failed on base, passes on head.
    RedToGreen,
    /// Passes on both.
    GreenStaysGreen,
    /// Fails on both.
    StillRed,
    /// Passed on base, fails on head.
    Broken,
    /// Passes on head; base was not run or could not be.
    GreenOnHead,
    /// Fails on head; base was not run or could not be.
    RedOnHead,
    /// The command succeeds on head, but where base ran tests, head runs none.
    TestsVanished,
    /// Head was stopped by the time limit.
    TimedOut,
    /// The command could not be started on head: it or its program is missing.
    CouldNotRun,
    /// Head was not run.
    NotRun,
}

impl Headline {
    /// The headline as a sentence for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::RedToGreen => "The tests failed before the change and pass with it.",
            Self::GreenStaysGreen => "The tests passed before the change and still pass.",
            Self::StillRed => "The tests failed before the change and still fail.",
            Self::Broken => "The tests passed before the change and FAIL with it.",
            Self::GreenOnHead => "The tests pass with the change; there is no comparable run before it.",
            Self::RedOnHead => "The tests FAIL with the change; there is no comparable run before it.",
            Self::TestsVanished => "The test command succeeds, but NO TESTS RUN any more.",
            Self::TimedOut => "The tests did not end within the time limit.",
            Self::CouldNotRun => "The test command could not be started.",
            Self::NotRun => "No tests were run.",
        }
    }
}

/// What the runs on base and head show together. Lists of names are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSummary {
    /// In one word.
    pub headline: Headline,
    /// Failed on base, pass on head.
    pub fail_to_pass: Vec<String>,
    /// How many pass on both.
    pub pass_to_pass: u64,
    /// Passed on base, fail on head.
    pub pass_to_fail: Vec<String>,
    /// Fail on both.
    pub still_failing: Vec<String>,
    /// Only on head, and pass there.
    pub new_passing: Vec<String>,
    /// Only on head, and fail there.
    pub new_failing: Vec<String>,
    /// Ran on base, skipped on head.
    pub newly_skipped: Vec<String>,
    /// Ran on base, not seen on head.
    pub removed: Vec<String>,
    /// Whether names could be compared: both runs had a report.
    pub compared: bool,
}

/// What the runs on base and head show together: test by test where both have a report, else by how they
/// ended.
///
/// A run counts as green only if it exited with zero *and* its report names no failure.
#[must_use]
pub fn judge(base: Option<&EvidenceRun>, head: Option<&EvidenceRun>) -> EvidenceSummary {
    let reports = (base.and_then(|run| run.tests.as_ref()), head.and_then(|run| run.tests.as_ref()));
    let mut summary = match reports {
        (Some(base), Some(head)) => compare(base, head),
        (Some(_) | None, Some(_) | None) => empty(),
    };
    summary.headline = headline(base, head);
    summary
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Light {
    Green,
    Red,
    TimedOut,
    NotStarted,
}

fn light(run: &EvidenceRun) -> Light {
    let failures = run.tests.as_ref().is_some_and(|tests| !tests.failed.is_empty());
    match run.exit {
        Exit::Code(0) if !failures => Light::Green,
        // What a shell says of a program that is not there or may not be run (POSIX, exit status for
        // commands).
        Exit::Code(126 | 127) => Light::NotStarted,
        Exit::Code(_) | Exit::Signal(_) => Light::Red,
        Exit::TimedOut => Light::TimedOut,
    }
}

fn headline(base: Option<&EvidenceRun>, head: Option<&EvidenceRun>) -> Headline {
    let Some(head) = head else { return Headline::NotRun };
    let before = base.map(light);
    match (before, light(head)) {
        (_, Light::TimedOut) => Headline::TimedOut,
        (_, Light::NotStarted) => Headline::CouldNotRun,
        (_, Light::Green) if base.is_some_and(|base| vanished(base, head)) => Headline::TestsVanished,
        (Some(Light::Red), Light::Green) => Headline::RedToGreen,
        (Some(Light::Green), Light::Green) => Headline::GreenStaysGreen,
        (Some(Light::Red), Light::Red) => Headline::StillRed,
        (Some(Light::Green), Light::Red) => Headline::Broken,
        (Some(Light::TimedOut | Light::NotStarted) | None, Light::Green) => Headline::GreenOnHead,
        (Some(Light::TimedOut | Light::NotStarted) | None, Light::Red) => Headline::RedOnHead,
    }
}

/// Whether base ran tests and head ran none. A report is what says so: without one on base nothing is known.
fn vanished(base: &EvidenceRun, head: &EvidenceRun) -> bool {
    let ran = |run: &EvidenceRun| {
        run.tests.as_ref().is_some_and(|tests| tests.passed.len() + tests.failed.len() > 0)
    };
    ran(base) && !ran(head)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Skipped,
    Passed,
    Failed,
}

/// What became of each test; if a name stands in several lists, the worst counts.
fn fates(report: &TestReport) -> BTreeMap<&str, Fate> {
    let lists =
        [(&report.skipped, Fate::Skipped), (&report.passed, Fate::Passed), (&report.failed, Fate::Failed)];
    lists.into_iter().flat_map(|(names, fate)| names.iter().map(move |name| (name.as_str(), fate))).collect()
}

fn compare(base: &TestReport, head: &TestReport) -> EvidenceSummary {
    let (before, after) = (fates(base), fates(head));
    let mut summary = EvidenceSummary { compared: true, ..empty() };
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    for name in names {
        let list = match (before.get(name), after.get(name)) {
            (Some(Fate::Passed), Some(Fate::Passed)) => {
                summary.pass_to_pass += 1;
                continue;
            }
            (Some(Fate::Failed), Some(Fate::Passed)) => &mut summary.fail_to_pass,
            (Some(Fate::Passed), Some(Fate::Failed)) => &mut summary.pass_to_fail,
            (Some(Fate::Failed), Some(Fate::Failed)) => &mut summary.still_failing,
            (Some(Fate::Skipped) | None, Some(Fate::Passed)) => &mut summary.new_passing,
            (Some(Fate::Skipped) | None, Some(Fate::Failed)) => &mut summary.new_failing,
            (Some(Fate::Passed | Fate::Failed), Some(Fate::Skipped)) => &mut summary.newly_skipped,
            (Some(Fate::Passed | Fate::Failed), None) => &mut summary.removed,
            (Some(Fate::Skipped) | None, Some(Fate::Skipped)) | (Some(Fate::Skipped) | None, None) => {
                continue;
            }
        };
        list.push(name.to_owned());
    }
    summary
}

const fn empty() -> EvidenceSummary {
    EvidenceSummary {
        headline: Headline::NotRun,
        fail_to_pass: Vec::new(),
        pass_to_pass: 0,
        pass_to_fail: Vec::new(),
        still_failing: Vec::new(),
        new_passing: Vec::new(),
        new_failing: Vec::new(),
        newly_skipped: Vec::new(),
        removed: Vec::new(),
        compared: false,
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{BlobRef, Digest, Side};

    use super::*;

    fn run(exit: Exit, tests: Option<(&[&str], &[&str], &[&str])>) -> EvidenceRun {
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        EvidenceRun {
            side: Side::Head,
            tree: "0".repeat(40),
            command: "test".into(),
            exit,
            output: BlobRef { digest: Digest::of(b""), size: 0 },
            millis: 1,
            tests: tests.map(|(passed, failed, skipped)| TestReport {
                passed: names(passed),
                failed: names(failed),
                skipped: names(skipped),
            }),
        }
    }

    #[test]
    fn headlines_from_exit_codes_alone() {
        use Headline::*;
        let ended = |exit| Some(run(exit, None));
        let (green, red) = (ended(Exit::Code(0)), ended(Exit::Code(1)));
        let (missing, late, killed) = (ended(Exit::Code(127)), ended(Exit::TimedOut), ended(Exit::Signal(9)));
        let cases = [
            (&red, &green, RedToGreen),
            (&killed, &green, RedToGreen),
            (&green, &green, GreenStaysGreen),
            (&red, &red, StillRed),
            (&green, &red, Broken),
            (&None, &green, GreenOnHead),
            (&missing, &green, GreenOnHead),
            (&late, &red, RedOnHead),
            (&green, &late, TimedOut),
            (&green, &missing, CouldNotRun),
            (&green, &None, NotRun),
        ];
        for (base, head, expected) in cases {
            assert_eq!(judge(base.as_ref(), head.as_ref()).headline, expected);
        }
    }

    #[test]
    fn names_are_compared_where_both_sides_have_a_report() {
        let base = run(Exit::Code(1), Some((&["a", "b", "c", "d"], &["f", "g"], &["s"])));
        let head = run(Exit::Code(1), Some((&["a", "f", "new", "s"], &["b", "g", "worse"], &["c"])));
        let summary = judge(Some(&base), Some(&head));
        assert_eq!(
            summary,
            EvidenceSummary {
                headline: Headline::StillRed,
                fail_to_pass: vec!["f".into()],
                pass_to_pass: 1,
                pass_to_fail: vec!["b".into()],
                still_failing: vec!["g".into()],
                new_passing: vec!["new".into(), "s".into()],
                new_failing: vec!["worse".into()],
                newly_skipped: vec!["c".into()],
                removed: vec!["d".into()],
                compared: true,
            }
        );
    }

    #[test]
    fn an_exit_code_cannot_hide_a_failure_or_an_empty_suite() {
        let base = run(Exit::Code(0), Some((&["a"], &[], &[])));
        let liar = run(Exit::Code(0), Some((&[], &["a"], &[])));
        assert_eq!(judge(Some(&base), Some(&liar)).headline, Headline::Broken);
        let nothing = run(Exit::Code(0), Some((&[], &[], &["a"])));
        assert_eq!(judge(Some(&base), Some(&nothing)).headline, Headline::TestsVanished);
        let silent = run(Exit::Code(0), None);
        assert_eq!(judge(Some(&base), Some(&silent)).headline, Headline::TestsVanished);
    }
}
