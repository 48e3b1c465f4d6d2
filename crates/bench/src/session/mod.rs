//! The loop's own time, memory and processor time: the real program with the real sandbox and the durable log, asked by a recorded model.
//!
//! What is measured is seen from the model server: from the last byte of an answer to the first byte of the next request lies one step, its tool
//! included. The tool's own floor, measured in the same run, is taken off.

mod floors;
mod prefix;
mod program;
mod server;
mod world;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use self::{
    floors::{APPENDS, Floors},
    program::{Memory, Run},
};
pub(crate) use self::{
    program::Watched,
    server::{SERVE, now, serve},
    world::{Kind, World, file, replacement},
};

use crate::{
    figures::{Samples, head, row, say},
    options::Options,
};

/// Rounds of the floors after each run.
const FLOOR_ROUNDS: usize = 20;

/// Measures sessions of several lengths in turns.
pub(crate) fn measure(arguments: impl Iterator<Item = String>) -> Result<()> {
    let options = Options::parse(arguments, &["runs", "steps", "wire", "program", "dir"])?;
    let runs = options.count("runs", 5)?;
    let lengths = options.counts("steps", &[10, 50, 200])?;
    let wire = options.text("wire").unwrap_or("anthropic");
    server::family(wire)?;
    let program = program(options.path("program"))?;
    let parent = options.path("dir").unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(parent)?;
    let world = World::new(folder.path(), lengths.iter().copied().max().unwrap_or(1))?;

    let mut floors = Floors::default();
    let mut versions = Samples::default();
    let shortest = lengths.iter().copied().min().unwrap_or(1);
    let first = program::run(&program, &world, wire, shortest)?;
    let mut measured: Vec<Length> = lengths.into_iter().map(Length::new).collect();
    for _ in 0..runs {
        for length in &mut measured {
            length.add(program::run(&program, &world, wire, length.steps)?);
            versions.push(program::version(&program)?);
            for _ in 0..FLOOR_ROUNDS {
                floors.round(folder.path())?;
            }
        }
    }
    report(&first, &measured, &floors, &versions);
    Ok(())
}

/// The program to measure: the one named, or this workspace's, built now.
pub(crate) fn program(named: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(program) = named {
        return program.canonicalize().with_context(|| format!("there is no {}", program.display()));
    }
    let Some(cargo) = std::env::var_os("CARGO") else {
        bail!("which program is to be measured? name it with --program, or run this with cargo");
    };
    let built = Command::new(cargo).args(["build", "--release", "--package", "cofferdam"]).status()?;
    ensure!(built.success(), "the program could not be built");
    let ourselves = std::env::current_exe()?;
    let release =
        ourselves.parent().and_then(Path::parent).context("this program is in no target directory")?;
    Ok(release.join("release").join("cofferdam"))
}

/// All runs of one length.
struct Length {
    steps: usize,
    start: Samples,
    /// From the first answer to the second request: the only step that may have to wait for the repository and the sandbox.
    first_step: Samples,
    /// All other steps.
    gaps: Samples,
    by_kind: [Samples; Kind::ALL.len()],
    first_fifth: Samples,
    last_fifth: Samples,
    /// From the last answer to the end: collection, examination, evidence, publication.
    delivery: Samples,
    wall: Samples,
    cpu: Samples,
    memory: Memory,
    last: Option<Run>,
}

impl Length {
    fn new(steps: usize) -> Self {
        Self {
            steps,
            start: Samples::default(),
            first_step: Samples::default(),
            gaps: Samples::default(),
            by_kind: Default::default(),
            first_fifth: Samples::default(),
            last_fifth: Samples::default(),
            delivery: Samples::default(),
            wall: Samples::default(),
            cpu: Samples::default(),
            memory: Memory::default(),
            last: None,
        }
    }

    fn add(&mut self, run: Run) {
        let seen = &run.seen;
        let micros = |from: u64, to: u64| (to as f64 - from as f64) / 1000.0;
        let mut gaps = Samples::default();
        for (index, (answered, asked)) in seen.answered.iter().zip(seen.asked.iter().skip(1)).enumerate() {
            let gap = micros(*answered, *asked);
            if index == 0 {
                self.first_step.push_micros(gap);
                continue;
            }
            gaps.push_micros(gap);
            for (kind, samples) in Kind::ALL.into_iter().zip(&mut self.by_kind) {
                if kind == Kind::of(index) {
                    samples.push_micros(gap);
                }
            }
        }
        self.gaps.extend(&gaps);
        self.first_fifth.push_micros(gaps.fifth(false).median());
        self.last_fifth.push_micros(gaps.fifth(true).median());
        if let (Some(first), Some(last)) = (seen.asked.first(), seen.answered.last()) {
            self.start.push_micros(micros(run.started, *first));
            self.delivery.push_micros(micros(*last, run.ended));
        }
        self.wall.push_micros(micros(run.started, run.ended));
        self.cpu.push_micros(run.cpu * 1e6);
        self.memory.steps = self.memory.steps.max(run.memory.steps);
        self.memory.worker = self.memory.worker.max(run.memory.worker);
        self.memory.hand = self.memory.hand.max(run.memory.hand);
        self.memory.tree = self.memory.tree.max(run.memory.tree);
        self.last = Some(run);
    }
}

fn report(first: &Run, measured: &[Length], floors: &Floors, versions: &Samples) {
    head("floors of a step", "fsync");
    row("write + fdatasync", &floors.durable, &floors.durable);
    row("bash -c 'echo …', spawned and read", &floors.shell, &floors.durable);
    row("read of a file", &floors.read, &floors.durable);
    row("edit of a file: read, replace, write, rename", &floors.edit, &floors.durable);
    head("start: from exec to the first byte of the first request", "--version");
    row("cofferdam --version, from start to end", versions, versions);
    let first_start: Samples =
        first.seen.asked.first().map(|asked| (asked - first.started) as f64 / 1000.0).into_iter().collect();
    row("first session ever in a data directory", &first_start, versions);
    for length in measured {
        row(&format!("session of {} steps", length.steps), &length.start, versions);
    }
    for length in measured {
        steps(length, floors);
    }
    whole(measured);
}

/// A length's steps, each kind beside its own floor and the log's.
fn steps(length: &Length, floors: &Floors) {
    head(&format!("{} steps: from an answer to the next request", length.steps), "floor");
    let log = floors.durable.median() * APPENDS;
    for (kind, samples) in Kind::ALL.into_iter().zip(&length.by_kind) {
        let floor: Samples = [floors.of(kind).median() + log].into_iter().collect();
        row(&format!("{kind:?} (floor {:.0} µs, {:.0} of it the log)", floor.median(), log), samples, &floor);
    }
    let own: Samples = Kind::ALL
        .into_iter()
        .zip(&length.by_kind)
        .map(|(kind, samples)| samples.median() - floors.of(kind).median())
        .collect();
    row("all", &length.gaps, &length.gaps);
    row("first fifth of the steps", &length.first_fifth, &length.gaps);
    row("last fifth of the steps", &length.last_fifth, &length.gaps);
    row("own: without the tool's floor, with the log", &own, &length.gaps);
    row("first step: waits for repository and sandbox", &length.first_step, &length.gaps);
    row("from the last answer to the program's end", &length.delivery, &length.gaps);
}

/// What whole sessions took.
fn whole(measured: &[Length]) {
    say("");
    say(
        "steps  wall s  CPU s  CPU ms/step  steps kB  worker kB  hand kB  tree kB (PSS)  sent kB  first→last request kB  extending  connections",
    );
    let least = measured.iter().min_by_key(|length| length.steps);
    for length in measured {
        let Some(run) = &length.last else { continue };
        let bodies = &run.seen.bodies;
        let kb = |bytes: usize| bytes as f64 / 1000.0;
        // What a step more costs: start-up and delivery are the same for all lengths.
        let slope = least.filter(|least| least.steps < length.steps).map_or_else(
            || "—".to_owned(),
            |least| {
                let micros = length.cpu.median() - least.cpu.median();
                format!("{:.2}", micros / 1000.0 / (length.steps - least.steps) as f64)
            },
        );
        say(&format!(
            "{:>5} {:>7.2} {:>6.2} {slope:>12} {:>9} {:>10} {:>8} {:>14} {:>8.0} {:>22} {:>10} {:>12}",
            length.steps,
            length.wall.median() / 1e6,
            length.cpu.median() / 1e6,
            length.memory.steps,
            length.memory.worker,
            length.memory.hand,
            length.memory.tree,
            kb(bodies.iter().sum()),
            format!(
                "{:.1}→{:.1}",
                bodies.first().copied().map_or(0.0, kb),
                bodies.last().copied().map_or(0.0, kb)
            ),
            format!("{}/{}", run.seen.extending, bodies.len().saturating_sub(1)),
            run.seen.connections,
        ));
    }
}
