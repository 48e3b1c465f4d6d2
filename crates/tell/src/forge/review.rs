//! The review that a session was for: what the platform knows first, then the agent's words, quoted; its remarks at the lines that they are about.

use std::fmt::Write as _;

use cofferdam_domain::{EvidenceRun, Outcome, Severity, evidence::Exit, tool::LineRemark};
use cofferdam_forge::remote::{LineWanted, ReviewWanted};
use cofferdam_gate::without_passages;

use super::{comment::quoted, hunks::Shown};
use crate::{report::found, story::Story};

/// Bytes of the summary, and of one remark.
const LONGEST_SUMMARY: usize = 20_000;
const LONGEST_REMARK: usize = 4_000;
/// Findings that are named.
const MOST_FINDINGS: usize = 20;

/// A review, ready to be said.
pub(super) struct Review<'s> {
    story: &'s Story,
    /// Which of the session's it is.
    pub(super) number: usize,
    /// The pull request's number.
    pub(super) pull: u64,
    commit: &'s str,
}

impl<'s> Review<'s> {
    /// The review that there is of a session now, if that has ended with one.
    pub(super) fn of(story: &'s Story) -> Option<Self> {
        let review = story.agent.review()?;
        let done = story.outcome() == Some(&Outcome::Reviewed);
        done.then(|| Self { story, number: story.reviews, pull: review.number, commit: &review.head })
    }

    /// What is said. `shown` are the lines that the change shows; what is about another one stands in the text.
    pub(super) fn wanted(&self, shown: &Shown, page: Option<&str>) -> ReviewWanted {
        let finish = self.story.agent.finish();
        let remarks: &[LineRemark] = finish.map(|finish| finish.remarks.as_slice()).unwrap_or_default();
        let mut lines = Vec::new();
        let mut beside = Vec::new();
        for remark in remarks {
            match shown.line(&remark.path, remark.line) {
                Some(before) => lines.push(LineWanted {
                    path: remark.path.clone(),
                    line: remark.line,
                    before,
                    text: format!("The agent says:\n\n{}", self.words(&remark.text, LONGEST_REMARK)),
                }),
                None => beside.push(remark),
            }
        }
        let mut body = self.facts(page);
        if let Some(finish) = finish {
            _ = write!(body, "\nThe agent says:\n\n{}\n", self.words(&finish.summary, LONGEST_SUMMARY));
        }
        if !beside.is_empty() {
            body.push_str("\nAbout lines that the change does not show, it says:\n");
        }
        for remark in beside {
            let said = format!("{}:{}: {}", remark.path, remark.line, remark.text);
            _ = write!(body, "\n{}\n", self.words(&said, LONGEST_REMARK));
        }
        ReviewWanted { commit: self.commit.to_owned(), body, lines }
    }

    /// The agent's words without what they quote of its instructions.
    fn words(&self, text: &str, most: usize) -> String {
        let system = self.story.agent.fixed().map(|fixed| fixed.system.as_str()).unwrap_or_default();
        quoted(&without_passages(text, system), most).trim_end().to_owned()
    }

    /// What the platform knows.
    fn facts(&self, page: Option<&str>) -> String {
        let seen = &self.story.seen;
        let mut facts = format!("**{}** {}.\n", seen.evidence().headline.sentence(), found(&seen.findings));
        _ = write!(facts, "\n- Commit {}\n", self.commit);
        for (side, run) in [("Before", seen.base()), ("After", seen.head())] {
            if let Some(run) = run {
                _ = writeln!(facts, "- {side} the change: {}", ran(run));
            }
        }
        let session = self.story.session();
        let named = page.map_or_else(|| format!("`{session}`"), |page| format!("[`{session}`](<{page}>)"));
        _ = writeln!(facts, "- Session {named}. This neither approves nor rejects: a person does.");
        if !seen.findings.is_empty() {
            let named = seen.findings.iter().take(MOST_FINDINGS).map(|finding| {
                let severity = match finding.severity {
                    Severity::Blocking => "blocking",
                    Severity::Warning => "warning",
                    Severity::Note => "note",
                };
                let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
                format!("- {severity}, {} {}{line}: {}", finding.rule, finding.path, finding.why)
            });
            let list: Vec<String> = named.collect();
            _ = write!(
                facts,
                "\nFound in it by rules:\n\n{}\n",
                quoted(&list.join("\n"), LONGEST_SUMMARY).trim_end()
            );
        }
        facts
    }
}

/// A test run, in a few words.
fn ran(run: &EvidenceRun) -> String {
    let end = match run.exit {
        Exit::Code(0) => "passes".to_owned(),
        Exit::Code(code) => format!("fails with {code}"),
        Exit::Signal(signal) => format!("is killed by signal {signal}"),
        Exit::TimedOut => "does not end in time".to_owned(),
    };
    let counts = run
        .tests
        .as_ref()
        .map(|tests| format!(" ({} passed, {} failed)", tests.passed.len(), tests.failed.len()));
    let command = run.command.replace(['`', '\n', '\r'], " ");
    format!("`{command}` {end}{}", counts.unwrap_or_default())
}

/// The same review where the forge does not take what is said of lines: as one text.
pub(super) fn without_lines(wanted: ReviewWanted) -> ReviewWanted {
    let ReviewWanted { commit, mut body, lines } = wanted;
    for line in lines {
        _ = write!(body, "\nAbout `{}:{}`. {}\n", line.path.replace(['`', '\n'], " "), line.line, line.text);
    }
    ReviewWanted { commit, body, lines: Vec::new() }
}
