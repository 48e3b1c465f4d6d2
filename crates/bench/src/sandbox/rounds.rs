//! Programs that time themselves, one round for each byte on their standard input, so that several can be measured in turns.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::figures::{Samples, say};

/// The name of the hidden benchmark that starts a command again and again.
pub(crate) const ROUNDS: &str = "spawn-rounds";

/// A program that does one round for each byte and prints how many microseconds it took.
pub(super) struct Timed {
    name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(super) samples: Samples,
}

impl Timed {
    /// Starts it; fails when its first round does.
    pub(super) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut timed = Self { name: name.to_owned(), child, input, output, samples: Samples::default() };
        timed.round()?;
        timed.samples = Samples::default();
        Ok(timed)
    }

    /// One that starts `argv` in each round and waits for its success, by way of `wrapper` if there is one.
    pub(super) fn spawning(name: &str, wrapper: &[&str], argv: &[String]) -> Result<Self> {
        let ourselves = std::env::current_exe().context("failed to find this program")?;
        let ourselves = ourselves.to_str().context("this program's path is not text")?;
        let line: Vec<&str> = wrapper.iter().copied().chain([ourselves, ROUNDS]).collect();
        Self::start(name, Command::new(line[0]).args(&line[1..]).args(argv))
    }

    /// What it is called in the table.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Has it do one round.
    pub(super) fn round(&mut self) -> Result<()> {
        let mut line = String::new();
        let asked = self.input.write_all(b"\n").and_then(|()| self.input.flush());
        if asked.is_err() || self.output.read_line(&mut line)? == 0 {
            let mut said = String::new();
            if let Some(stderr) = &mut self.child.stderr {
                stderr.read_to_string(&mut said)?;
            }
            anyhow::bail!("{}: {}", self.name, said.trim());
        }
        self.samples.push_micros(line.trim().parse().context("not a number of microseconds")?);
        Ok(())
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        // It may have ended already; then there is only its status to collect.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Is such a program: starts a command for each byte.
pub(crate) fn rounds(argv: impl Iterator<Item = String>) -> Result<()> {
    let argv: Vec<String> = argv.collect();
    let (program, arguments) = argv.split_first().context("no command")?;
    for byte in std::io::stdin().lock().bytes() {
        byte?;
        say(&format!("{:.1}", once(program, arguments)?.as_secs_f64() * 1e6));
    }
    Ok(())
}

/// From before a command is started until it has been waited for.
fn once(program: &str, arguments: &[String]) -> Result<Duration> {
    let started = Instant::now();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {program}"))?;
    let output = child.wait_with_output()?;
    let elapsed = started.elapsed();
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(elapsed)
}
