//! The long version of the fault tests: `cargo run -p xtask -- faults --minutes N [--seed S]`, which builds what this needs.

#![forbid(unsafe_code)]

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_faults::{Options, Report, alone, service};

/// So many parts of the time go to a service of many processes, where more can happen, of so many.
const PARTS: (u32, u32) = (3, 4);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (time, seed) = read(env::args().skip(1))?;
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let program = env::current_exe()?.with_file_name("cofferdam");
    ensure!(program.exists(), "there is no {}: build it first", program.display());
    let many = time * PARTS.0 / PARTS.1;
    let tell = |shape: &str, report: Option<Report>| {
        say(&format!(
            "{shape}: {}",
            report.map_or_else(|| "it cannot be tried here".to_owned(), |report| report.to_string())
        ));
    };
    let options = Options { program, seed, time: many };
    tell("a service of many processes", service(&options)?);
    tell("a service that is one process", alone(&Options { time: time.saturating_sub(many), ..options })?);
    Ok(())
}

/// How long, and with which seed, if one was named.
fn read(mut words: impl Iterator<Item = String>) -> Result<(Duration, Option<u64>)> {
    let (mut minutes, mut seed) = (None, None);
    while let Some(word) = words.next() {
        let number = words.next().with_context(|| format!("{word} needs a number"))?;
        let number: u64 = number.parse().with_context(|| format!("{word} {number}: not a number"))?;
        match word.as_str() {
            "--minutes" => minutes = Some(number),
            "--seed" => seed = Some(number),
            _ => bail!("unknown option {word}: there are --minutes N and --seed S"),
        }
    }
    let minutes = minutes.context("say how long: --minutes N; 0 for everything once")?;
    Ok((Duration::from_secs(minutes.saturating_mul(60)), seed))
}

#[expect(clippy::print_stderr, reason = "a command reports to the terminal")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_named() {
        let read = |line: &str| read(line.split_whitespace().map(str::to_owned));
        assert_eq!(read("--minutes 2 --seed 7").unwrap(), (Duration::from_secs(120), Some(7)));
        for line in ["", "--minutes", "--minutes two", "--hours 1", "--seed 7"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
