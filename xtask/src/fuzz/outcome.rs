//! What came of a run, read from what libFuzzer printed.

use std::{fmt, path::PathBuf};

use anyhow::{Context, Result};

/// Lines of a log that are shown when a target fails.
const SHOWN: usize = 60;

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing was found.
    Passed(Figures),
    /// A fault was.
    Found {
        /// What brings it about.
        input: Option<PathBuf>,
        /// The end of what was printed.
        log: String,
    },
}

/// How far a run came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// Inputs that were tried.
    runs: u64,
    /// Edges that the seeds reach.
    seeded: u64,
    /// Edges that were reached in the end.
    covered: u64,
    /// Inputs that each reach something of their own.
    corpus: u64,
}

impl Outcome {
    pub(super) fn of(success: bool, log: &str) -> Result<Self> {
        if !success {
            let input = log.lines().find_map(|line| line.split_once("Test unit written to "));
            let lines: Vec<&str> = log.lines().collect();
            let end = lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default().join("\n");
            return Ok(Self::Found { input: input.map(|(_, path)| path.trim().into()), log: end });
        }
        Figures::of(log)
            .map(Self::Passed)
            .context("libFuzzer printed something unexpected: nothing is covered")
    }
}

impl Figures {
    /// `None` where there is no coverage.
    fn of(log: &str) -> Option<Self> {
        let seeded = log.lines().find(|line| line.contains("\tINITED "))?;
        let done = log.lines().rfind(|line| line.contains(" cov: "))?;
        let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
        Some(Self {
            runs: runs.trim().parse().ok()?,
            seeded: number(seeded, "cov: ").unwrap_or(0),
            covered: number(done, "cov: ").filter(|edges| *edges > 0)?,
            corpus: number(done, "corp: ")?,
        })
    }
}

/// The number that stands behind a word.
fn number(line: &str, word: &str) -> Option<u64> {
    let (_, rest) = line.split_once(word)?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, seeded, covered, corpus } = self;
        write!(f, "{runs:>9} runs   {seeded:>5} → {covered:>5} edges   {corpus:>5} inputs kept")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO: seed corpus: files: 3\n#4\tINITED cov: 120 ft: 200 corp: 3/100b exec/s: 0 rss: 40Mb\n#9\tNEW    cov: 130 ft: 210 corp: 4/110b lim: 4096 exec/s: 0 rss: 40Mb L: 10/40 MS: 1 CopyPart-\n#4711\tDONE   cov: 130 ft: 211 corp: 5/111b lim: 4096 exec/s: 900 rss: 41Mb\nDone 4711 runs in 5 second(s)\nstat::number_of_executed_units: 4711\n";

    #[test]
    fn figures_are_read_from_what_is_printed() {
        let figures = Figures { runs: 4711, seeded: 120, covered: 130, corpus: 5 };
        assert_eq!(Outcome::of(true, LOG).unwrap(), Outcome::Passed(figures));
        assert!(Outcome::of(true, "").is_err());
        assert!(Outcome::of(true, &LOG.replace("cov: 130", "cov: 0")).is_err(), "nothing guides");
    }

    #[test]
    fn the_input_of_a_fault_is_named() {
        let log = "thread panicked\nartifact_prefix='x/'; Test unit written to x/crash-00\nBase64: AA==\n";
        let Outcome::Found { input, log } = Outcome::of(false, log).unwrap() else { panic!("it failed") };
        assert_eq!((input, log.lines().count()), (Some("x/crash-00".into()), 3));
        assert!(matches!(Outcome::of(false, "killed").unwrap(), Outcome::Found { input: None, .. }));
    }
}
