//! `cofferdam sandbox bench`: what sandboxes cost on this machine.

use std::{
    path::Path,
    process::{Command as HostCommand, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cofferdam_domain::{SandboxId, evidence::Exit as Ended};
use cofferdam_sandbox::{
    Command, Driver as _, LayerStack, NativeDriver, Sandbox, SandboxSpec, User, WORKSPACE,
};
use tokio::time::{Instant as Deadline, sleep};

use crate::{
    args::SandboxBenchArguments,
    compose::App,
    exit::Exit,
    terminal::{Style, complain},
};

/// How long a command or a pool may take.
const LONG: Duration = Duration::from_secs(60);

/// The times that one thing took.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn since(&mut self, started: Instant) {
        self.0.push(started.elapsed());
    }

    fn middle(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn least(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }
}

/// Everything that is measured, in turns, so that whatever else the machine does disturbs all of it alike.
#[derive(Default)]
struct Figures {
    plain: Times,
    cold: Times,
    claimed: Times,
    exec: Times,
    snapshot: Times,
    fork: Times,
    gone: Times,
}

/// Measures, and prints one table.
pub(super) async fn bench(app: &App, arguments: &SandboxBenchArguments) -> Result<Exit> {
    let (cold, pooled) = (app.native_driver(0).await?, app.native_driver(1).await?);
    let places = [(); 2].map(|()| app.config.data.join("sandboxes").join(SandboxId::generate().to_string()));
    app.data()?;
    let mut figures = Figures::default();
    let mut measured = Ok(());
    // The first of a driver also tries its walls and fills the pool.
    for round in 0..=arguments.rounds {
        if round == 1 {
            figures = Figures::default();
        }
        measured = turn(app, [&cold, &pooled], [&places[0], &places[1]], &mut figures).await;
        if measured.is_err() {
            break;
        }
    }
    for place in &places {
        cofferdam_sandbox::remove_layer(place)?;
    }
    measured?;
    complain(&app.terminal.paint(Style::Dim, &format!("sandbox: {}", cold.level())));
    show(app, &figures);
    Ok(Exit::Success)
}

async fn turn(
    app: &App,
    drivers: [&NativeDriver; 2],
    places: [&Path; 2],
    figures: &mut Figures,
) -> Result<()> {
    let started = Instant::now();
    let spawned = HostCommand::new("true").stdin(Stdio::null()).stdout(Stdio::null()).status();
    ensure!(spawned.context("failed to run true")?.success(), "true has failed");
    figures.plain.since(started);

    let [cold, pooled] = drivers;
    let [own, forked] = places;
    let started = Instant::now();
    let sandbox = make(app, cold, own).await?;
    run(&*sandbox).await?;
    figures.cold.since(started);
    let started = Instant::now();
    run(&*sandbox).await?;
    figures.exec.since(started);
    let started = Instant::now();
    sandbox.destroy().await?;
    figures.gone.since(started);

    let layer = LayerStack::at(own);
    let started = Instant::now();
    let snapshot = layer.snapshot()?;
    figures.snapshot.since(started);
    let started = Instant::now();
    layer.fork(snapshot, forked)?;
    figures.fork.since(started);
    for place in places {
        cofferdam_sandbox::remove_layer(place)?;
    }

    let deadline = Deadline::now() + LONG;
    // Nobody waits the first time: what kind is wanted is not known yet.
    while pooled.ready() == 0 && !figures.claimed.0.is_empty() {
        ensure!(Deadline::now() < deadline, "the pool stays empty");
        sleep(Duration::from_millis(1)).await;
    }
    let started = Instant::now();
    let sandbox = make(app, pooled, own).await?;
    run(&*sandbox).await?;
    figures.claimed.since(started);
    sandbox.destroy().await?;
    Ok(cofferdam_sandbox::remove_layer(own)?)
}

async fn make(app: &App, driver: &NativeDriver, layer: &Path) -> Result<Box<dyn Sandbox>> {
    let spec = SandboxSpec::new(SandboxId::generate(), layer.to_owned(), app.config.policy.limits);
    Ok(driver.create(spec).await?)
}

async fn run(sandbox: &dyn Sandbox) -> Result<()> {
    let command = Command {
        argv: vec!["true".to_owned()],
        env: Vec::new(),
        cwd: WORKSPACE.to_owned(),
        stdin: Vec::new(),
        terminal: false,
        user: User::Agent,
        timeout: LONG,
        output_limit: 4096,
    };
    let mut process = sandbox.start(command).await?;
    let finished = process.wait(LONG).await?.context("true does not end")?;
    ensure!(finished.exit == Ended::Code(0), "true has failed in the sandbox");
    Ok(())
}

fn show(app: &App, figures: &Figures) {
    let floor = figures.plain.middle();
    let rounds = figures.plain.0.len();
    let title = format!("{:<58} {:>10} {:>10} {:>8}", format!("{rounds} rounds"), "median", "least", "ratio");
    app.terminal.line(&app.terminal.paint(Style::Bold, &title));
    for (name, times) in [
        ("`true`, spawned on the host", &figures.plain),
        ("from nothing until `true` has ended in a new sandbox", &figures.cold),
        ("the same with a sandbox from the warm pool", &figures.claimed),
        ("`true` in a sandbox that runs", &figures.exec),
        ("a snapshot of its layer", &figures.snapshot),
        ("a fork of that", &figures.fork),
        ("until nothing is left of the sandbox", &figures.gone),
    ] {
        let ratio = times.middle().as_secs_f64() / floor.as_secs_f64().max(f64::EPSILON);
        app.terminal.line(&format!(
            "{name:<58} {:>10} {:>10} {ratio:>8.2}",
            millis(times.middle()),
            millis(times.least())
        ));
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
