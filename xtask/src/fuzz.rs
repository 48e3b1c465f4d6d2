//! Fuzzing of the parsers that hostile bytes reach, with the ordinary toolchain: `cargo run -p xtask -- fuzz`.
//!
//! Coverage comes from an LLVM pass that a stable flag of rustc turns on, libFuzzer from the crate `libfuzzer-sys`. All targets are built
//! once, into a directory of their own, and then run for a bounded time each, from the seeds in `fuzz/corpus`. What is found on
//! the way stays in `fuzz/target/corpus`, so that the next run goes on from there.

mod arguments;
mod outcome;

use std::{
    collections::VecDeque,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use self::{arguments::Arguments, outcome::Outcome};
use crate::{complain, say};

/// What gives libFuzzer its coverage: counters for each edge, tables to tell edges from functions, and the operands of
/// comparisons (<https://clang.llvm.org/docs/SanitizerCoverage.html>).
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "--cfg=fuzzing",
];
/// The target with a seeded fault, which shows that coverage guides.
const GUIDANCE: &str = "guidance";
/// Seconds within which that fault must be found.
const GUIDED_WITHIN: u64 = 30;
/// Bounds of every run: bytes of an input, memory in mebibytes, seconds for one input.
const BOUNDS: &[&str] = &["-max_len=16384", "-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"];

/// The part of `fuzz/Cargo.toml` that names the targets.
#[derive(Deserialize)]
struct Manifest {
    bin: Vec<Binary>,
}

#[derive(Deserialize)]
struct Binary {
    name: String,
}

/// Where things are.
struct Places {
    fuzz: PathBuf,
    binaries: PathBuf,
}

/// Builds the targets and runs them.
pub(crate) fn fuzz(root: &Path, arguments: &[String]) -> Result<()> {
    let arguments = Arguments::parse(arguments)?;
    let places = Places::new(root)?;
    let known = places.targets()?;
    if let Some(wrong) = arguments.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target {wrong:?}; there are: {}", known.join(", "));
    }
    let targets = if arguments.targets.is_empty() { known } else { arguments.targets.clone() };
    places.build(&targets, arguments.locked)?;
    if let Some(input) = &arguments.input {
        let [target] = targets.as_slice() else { bail!("an input is for one target: name it") };
        return places.play(target, input);
    }
    let targets: VecDeque<String> = targets.into_iter().filter(|target| target != GUIDANCE).collect();
    places.guidance()?;
    let (queue, failed) = (Mutex::new(targets), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                while let Some(target) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) {
                    let outcome = places.run(&target, arguments.seconds);
                    if !report(&target, outcome)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push(target);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    ensure!(failed.is_empty(), "fuzzing found faults in: {}", failed.join(", "));
    Ok(())
}

/// Prints a target's line; whether all is well.
fn report(target: &str, outcome: Result<Outcome>) -> bool {
    match outcome {
        Ok(Outcome::Passed(figures)) => {
            say(&format!("{target:<20} {figures}"));
            true
        }
        Ok(Outcome::Found { input, log }) => {
            let input =
                input.map_or_else(|| "no input was kept".to_owned(), |input| input.display().to_string());
            complain(&format!(
                "{target}: a fault\n{log}\ninput: {input}\nagain: cargo run -p xtask -- fuzz --input {input} {target}"
            ));
            false
        }
        Err(error) => {
            complain(&format!("{target}: {error:#}"));
            false
        }
    }
}

impl Places {
    fn new(root: &Path) -> Result<Self> {
        let fuzz = root.join("fuzz");
        let binaries = fuzz.join("target").join(host()?).join("release");
        Ok(Self { fuzz, binaries })
    }

    fn targets(&self) -> Result<Vec<String>> {
        let path = self.fuzz.join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let manifest: Manifest =
            toml::from_str(&text).with_context(|| format!("{} names no targets", path.display()))?;
        Ok(manifest.bin.into_iter().map(|binary| binary.name).collect())
    }

    /// Builds what is named, and always the target with the seeded fault. With a target triple, so that build scripts and
    /// macros are left as they are.
    fn build(&self, targets: &[String], locked: bool) -> Result<()> {
        let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
        let there =
            Command::new(&compiler).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        ensure!(
            there.is_ok_and(|status| status.success()),
            "libFuzzer is written in C++, and {} does not run: install a C++ compiler (on Debian: apt-get install g++)",
            compiler.display()
        );
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--release", "--target", &host()?]);
        cargo.arg("--manifest-path").arg(self.fuzz.join("Cargo.toml"));
        cargo.arg("--target-dir").arg(self.fuzz.join("target"));
        if locked {
            cargo.arg("--locked");
        }
        for target in targets.iter().map(String::as_str).chain([GUIDANCE]) {
            cargo.args(["--bin", target]);
        }
        // Of the outer cargo's variables some name this crate.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f")).env_remove("CARGO_TARGET_DIR");
        let status = cargo.status().context("failed to run cargo")?;
        ensure!(status.success(), "the fuzz targets do not build");
        Ok(())
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(self.binaries.join(target));
        command.args(BOUNDS).stdin(Stdio::null()).env("RUST_BACKTRACE", "1");
        command
    }

    /// Runs a target from its seeds and from what earlier runs have found.
    fn run(&self, target: &str, seconds: u64) -> Result<Outcome> {
        let kept = self.fuzz.join("target/corpus").join(target);
        let found = self.fuzz.join("target/found").join(target);
        let logs = self.fuzz.join("target/logs");
        let seeds = self.fuzz.join("corpus").join(target);
        ensure!(
            seeds.is_dir() || target == GUIDANCE,
            "it has no seeds: put some inputs into {}",
            seeds.display()
        );
        for folder in [&kept, &found, &logs] {
            fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        }
        let path = logs.join(format!("{target}.log"));
        let log = File::create(&path).with_context(|| format!("failed to write {}", path.display()))?;
        let mut command = self.command(target);
        command.arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-artifact_prefix={}/", found.display()));
        // What is new goes into the first.
        command.arg(&kept).args(seeds.is_dir().then_some(&seeds));
        command.stdout(log.try_clone()?).stderr(log);
        let status = command.status().context("failed to run it")?;
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        Outcome::of(status.success(), &text)
    }

    /// Plays one input again, with everything that it prints.
    fn play(&self, target: &str, input: &Path) -> Result<()> {
        ensure!(input.is_file(), "there is no input {}", input.display());
        let status = self.command(target).arg(input).status().context("failed to run it")?;
        ensure!(status.success(), "{target} still fails on {}", input.display());
        say(&format!("{target} does not fail on {}", input.display()));
        Ok(())
    }

    /// Whether coverage guides: the fault behind four bytes is found.
    fn guidance(&self) -> Result<()> {
        for folder in ["corpus", "found"] {
            // What an earlier run has found would prove nothing.
            fs::remove_dir_all(self.fuzz.join("target").join(folder).join(GUIDANCE)).ok();
        }
        match self.run(GUIDANCE, GUIDED_WITHIN)? {
            Outcome::Found { input: Some(input), .. }
                if fs::read(&input)?.starts_with(&[0x7f, 0xc0, 0xff, 0xda]) =>
            {
                Ok(())
            }
            Outcome::Found { log, .. } => bail!("{GUIDANCE} failed otherwise than expected:\n{log}"),
            Outcome::Passed(figures) => {
                bail!("coverage does not guide: {GUIDANCE} did not find its fault ({figures})")
            }
        }
    }
}

/// The machine's own target triple.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("failed to run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say for which machine it builds")
}
