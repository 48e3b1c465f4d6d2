//! Other agent loops beside ours, in one run: each does the same steps, asked by the same recorded model.
//!
//! All see one server ([`model`]), which keeps the time and the requests. They are taken from their registries by the ordinary clients, once, and
//! kept in the user's cache. Ours runs as it is released, with its sandbox, its durable log, the gate and evidence; the others without a sandbox,
//! with their approvals off.

mod model;
mod peer;
mod prompt;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

pub(crate) use self::model::{SERVE, serve};
use self::{model::Served, peer::Peer};
use crate::{
    complain,
    figures::{Samples, say},
    options::Options,
    session::{Kind, Watched, World, program},
};

/// Measures peers of several lengths in turns.
pub(crate) fn measure(arguments: impl Iterator<Item = String>) -> Result<()> {
    let options = Options::parse(arguments, &["runs", "steps", "only", "program", "python", "dir"])?;
    let runs = options.count("runs", 3)?;
    let lengths = options.counts("steps", &[10, 50, 200])?;
    let wanted = peers(options.text("only"))?;
    let program = program(options.path("program"))?;
    let parent = options.path("dir").unwrap_or_else(std::env::temp_dir);
    let mut measured = Vec::new();
    for peer in wanted {
        match peer.install(&program, options.text("python")) {
            Ok(installed) => {
                let each = lengths.iter().map(|steps| Measured::new(peer, *steps));
                measured.push((installed, each.collect::<Vec<_>>()));
            }
            Err(error) => complain(&format!("SKIPPED: {}: {error:#}", peer.name())),
        }
    }
    // What adopts orphans can count them: some peers leave helpers behind.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    for _ in 0..runs {
        for length in 0..lengths.len() {
            for (installed, each) in &mut measured {
                let Some(each) = each.get_mut(length) else { continue };
                let folder = tempfile::tempdir_in(&parent)?;
                each.add(run(installed, folder.path().to_owned(), each.steps)?);
            }
        }
    }
    report(measured.into_iter().flat_map(|(_, each)| each).collect());
    Ok(())
}

fn peers(only: Option<&str>) -> Result<Vec<Peer>> {
    let Some(only) = only else { return Ok(Peer::ALL.to_vec()) };
    let named = |name: &str| Peer::ALL.into_iter().find(|peer| peer.name() == name);
    only.split(',')
        .map(|name| {
            let known: Vec<&str> = Peer::ALL.iter().map(|peer| peer.name()).collect();
            named(name).with_context(|| format!("--only {name}: known are {}", known.join(", ")))
        })
        .collect()
}

/// One session of one peer, in a repository of its own.
fn run(installed: &peer::Installed, folder: PathBuf, steps: usize) -> Result<(Watched, Served)> {
    let world = World::new(&folder, steps)?;
    let home = folder.join("home");
    fs::create_dir_all(&home)?;
    let server = model::start(installed.peer, steps, &world.repository())?;
    let command = installed.command(&world, &home, &server.base_url)?;
    let name = installed.peer.name();
    let watched = Watched::run(command, &world.output()).with_context(|| format!("{name}, {steps} steps"))?;
    let served: Served = server.finish()?;
    if served.asked.len() != steps + 1 {
        bail!("{name} asked {} times for {steps} steps:\n{}", served.asked.len(), watched.last_lines()?);
    }
    let marked = (0..steps).filter(|step| Kind::of(*step) == Kind::Edit).count();
    installed.check(&world, marked)?;
    Ok((watched, served))
}

/// All runs of one peer and length.
struct Measured {
    peer: Peer,
    steps: usize,
    wall: Samples,
    cpu: Samples,
    start: Samples,
    gaps: Samples,
    by_kind: [Samples; Kind::ALL.len()],
    first_fifth: Samples,
    last_fifth: Samples,
    /// Resident in the peer's own process, and the whole tree's share, in kB.
    resident: u64,
    tree: u64,
    last: Option<Served>,
}

impl Measured {
    fn new(peer: Peer, steps: usize) -> Self {
        Self {
            peer,
            steps,
            wall: Samples::default(),
            cpu: Samples::default(),
            start: Samples::default(),
            gaps: Samples::default(),
            by_kind: Default::default(),
            first_fifth: Samples::default(),
            last_fifth: Samples::default(),
            resident: 0,
            tree: 0,
            last: None,
        }
    }

    fn add(&mut self, (watched, served): (Watched, Served)) {
        let micros = |from: u64, to: u64| (to as f64 - from as f64) / 1000.0;
        let mut gaps = Samples::default();
        for (step, (answered, asked)) in served.answered.iter().zip(served.asked.iter().skip(1)).enumerate() {
            let gap = micros(*answered, *asked);
            gaps.push_micros(gap);
            for (kind, samples) in Kind::ALL.into_iter().zip(&mut self.by_kind) {
                if kind == Kind::of(step) {
                    samples.push_micros(gap);
                }
            }
        }
        self.first_fifth.push_micros(gaps.fifth(false).median());
        self.last_fifth.push_micros(gaps.fifth(true).median());
        self.gaps.extend(&gaps);
        if let Some(first) = served.asked.first() {
            self.start.push_micros(micros(watched.started, *first));
        }
        self.wall.push_micros(micros(watched.started, watched.ended));
        self.cpu.push_micros(watched.cpu * 1e6);
        self.resident = self.resident.max(watched.memory.worker);
        self.tree = self.tree.max(watched.memory.tree);
        self.last = Some(served);
    }

    fn line(&self) -> Option<String> {
        let served = self.last.as_ref()?;
        let ms = |samples: &Samples| samples.median() / 1000.0;
        let kb = |bytes: usize| bytes as f64 / 1000.0;
        let [shell, read, edit] = &self.by_kind;
        Some(format!(
            "{:<14} {:>5} {:>8.2} {:>7.2} {:>8.0} {:>8.1} {:>22} {:>16} {:>8.0} {:>8.0} {:>9.0} {:>14} {:>9} {:>7.3} {:>6.0}",
            self.peer.name(),
            self.steps,
            self.wall.median() / 1e6,
            self.cpu.median() / 1e6,
            ms(&self.start),
            ms(&self.gaps),
            format!("{:.1} / {:.1} / {:.1}", ms(shell), ms(read), ms(edit)),
            format!("{:.1}→{:.1}", ms(&self.first_fifth), ms(&self.last_fifth)),
            self.resident as f64 / 1000.0,
            self.tree as f64 / 1000.0,
            kb(served.bodies.iter().sum()),
            format!(
                "{:.1}→{:.1}",
                served.bodies.first().copied().map_or(0.0, kb),
                served.bodies.last().copied().map_or(0.0, kb)
            ),
            format!("{}/{}", served.extending, served.bodies.len().saturating_sub(1)),
            served.kept,
            kb(served.beside),
        ))
    }
}

fn report(measured: Vec<Measured>) {
    say("");
    say(&format!(
        "{:<14} {:>5} {:>8} {:>7} {:>8} {:>8} {:>22} {:>16} {:>8} {:>8} {:>9} {:>14} {:>9} {:>7} {:>6}",
        "peer",
        "steps",
        "wall s",
        "CPU s",
        "start ms",
        "step ms",
        "shell / read / edit ms",
        "fifth first→last",
        "RSS MB",
        "PSS MB",
        "sent kB",
        "first→last kB",
        "extending",
        "prefix",
        "+kB"
    ));
    let lengths: std::collections::BTreeSet<usize> = measured.iter().map(|one| one.steps).collect();
    for steps in lengths {
        for one in measured.iter().filter(|one| one.steps == steps) {
            one.line().iter().for_each(|line| say(line));
        }
    }
    say("");
    say("each further step: CPU ms, wall ms, and as multiples of cofferdam's");
    let slopes: Vec<_> = Peer::ALL.into_iter().filter_map(|peer| slope(peer, &measured)).collect();
    let ours = slopes.iter().find(|(peer, ..)| *peer == Peer::Cofferdam).map(|(_, cpu, wall)| (*cpu, *wall));
    for (peer, cpu, wall) in &slopes {
        let times = |value: f64, ours: Option<f64>| {
            ours.map_or_else(|| "—".to_owned(), |ours| format!("× {:.1}", value / ours))
        };
        let (by_cpu, by_wall) = (times(*cpu, ours.map(|ours| ours.0)), times(*wall, ours.map(|ours| ours.1)));
        say(&format!("{:<14} {cpu:>8.1} {by_cpu:>8} {wall:>8.1} {by_wall:>8}", peer.name()));
    }
}

/// What a step more costs in milliseconds, between a peer's shortest and its longest session: start and end are the same in both.
fn slope(peer: Peer, measured: &[Measured]) -> Option<(Peer, f64, f64)> {
    let own = || measured.iter().filter(|one| one.peer == peer && one.last.is_some());
    let (short, long) = (own().min_by_key(|one| one.steps)?, own().max_by_key(|one| one.steps)?);
    let steps = long.steps.checked_sub(short.steps).filter(|steps| *steps > 0)? as f64;
    let each = |long: &Samples, short: &Samples| (long.median() - short.median()) / 1000.0 / steps;
    Some((peer, each(&long.cpu, &short.cpu), each(&long.wall, &short.wall)))
}
