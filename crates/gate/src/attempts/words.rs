//! What is known of an attempt in words, the same on the terminal, on pages and in the pull request.

use cofferdam_domain::amount::counted;

use super::AttemptFacts;
use crate::Headline;

impl AttemptFacts {
    /// What the tests show, in a few words.
    #[must_use]
    pub fn tests_in_words(&self) -> String {
        let tests = &self.tests;
        let headline = match tests.headline {
            Headline::RedToGreen => "red before, green now",
            Headline::GreenStaysGreen => "green before and now",
            Headline::StillRed => "red before and now",
            Headline::Broken => "green before, RED now",
            Headline::GreenOnHead => "green, no run before",
            Headline::RedOnHead => "RED, no run before",
            Headline::TestsVanished => "NO TESTS RUN any more",
            Headline::TimedOut => "not over in time",
            Headline::CouldNotRun => "could not be started",
            Headline::NotRun => "not run",
        };
        if !tests.compared {
            return headline.to_owned();
        }
        let (fixed, broken) = (tests.fail_to_pass.len(), tests.pass_to_fail.len());
        format!("{headline}: {fixed} mended, {} still pass, {broken} broken", tests.pass_to_pass)
    }

    /// What the gate saw, in a few words.
    #[must_use]
    pub fn findings_in_words(&self) -> String {
        let all = [(self.blocking, "blocking one"), (self.warnings, "warning"), (self.notes, "note")];
        let found: Vec<String> = all
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, noun)| counted(*number, noun))
            .collect();
        if found.is_empty() { "none".to_owned() } else { found.join(", ") }
    }

    /// How much it changes, in a few words.
    #[must_use]
    pub fn size_in_words(&self) -> String {
        let stat = self.stat;
        format!("+{} −{} in {}", stat.added, stat.removed, counted(stat.files, "file"))
    }
}
