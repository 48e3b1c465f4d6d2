//! What can be said after `xtask fuzz`.

use std::{num::NonZero, path::PathBuf, thread};

use anyhow::{Context, Result, bail, ensure};

const USAGE: &str = "fuzz [--seconds N] [--jobs N] [--locked] [--input PATH] [TARGET…]";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// How long each target runs.
    pub(super) seconds: u64,
    /// How many run at the same time.
    pub(super) jobs: usize,
    /// Whether the lock file must be as it would be written.
    pub(super) locked: bool,
    /// The one input to play again.
    pub(super) input: Option<PathBuf>,
    /// Which; all, if there are none.
    pub(super) targets: Vec<String>,
}

impl Arguments {
    pub(super) fn parse(given: &[String]) -> Result<Self> {
        let jobs = thread::available_parallelism().map_or(1, NonZero::get);
        let mut arguments = Self { seconds: 10, jobs, locked: false, input: None, targets: Vec::new() };
        let mut given = given.iter();
        while let Some(word) = given.next() {
            let mut value = || given.next().with_context(|| format!("{word} needs a value: {USAGE}"));
            match word.as_str() {
                "--seconds" => arguments.seconds = value()?.parse().context("--seconds is a number")?,
                "--jobs" => arguments.jobs = value()?.parse().context("--jobs is a number")?,
                "--input" => arguments.input = Some(value()?.into()),
                "--locked" => arguments.locked = true,
                other if other.starts_with('-') => bail!("unknown option {other}: {USAGE}"),
                target => arguments.targets.push(target.to_owned()),
            }
        }
        // libFuzzer takes no time for no limit.
        ensure!(arguments.seconds > 0 && arguments.jobs > 0, "--seconds and --jobs are at least 1");
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Arguments> {
        Arguments::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_taken_strictly() {
        let arguments = parse("--seconds 5 --jobs 3 a --locked b").unwrap();
        assert_eq!((arguments.seconds, arguments.jobs, arguments.locked), (5, 3, true));
        assert_eq!(arguments.targets, ["a", "b"]);
        assert_eq!(parse("--input x a").unwrap().input, Some("x".into()));
        for wrong in ["--seconds", "--seconds soon", "--seconds 0", "--jobs 0", "--fast", "-a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
