//! Sandboxes: how long until the first command has run, and what a running one takes for commands and files.

mod crowd;
mod layers;
mod pool;
mod rivals;
mod rounds;

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cofferdam_domain::{SandboxId, policy::Limits};
use cofferdam_sandbox::{
    Command, Driver as _, HostEnvironment, LimitLevel, NativeDriver, NativeOptions, Network, Sandbox,
    SandboxSpec, User, remove_layer,
};

use self::rounds::Timed;
pub(crate) use self::rounds::{ROUNDS, rounds};
use crate::{
    figures::{Samples, head, row, say},
    options::Options,
};

const LONG: Duration = Duration::from_secs(60);
const FILE: usize = 4096;
/// Before each round of each contender, so that none has to share the processors with what others leave behind, or make ready.
const REST: Duration = Duration::from_millis(20);

/// What there is to measure, in this order.
const PARTS: [&str; 6] = ["cold", "warm", "pool", "layers", "idle", "neighbours"];

/// Measures everything in turns.
pub(crate) fn measure(arguments: impl Iterator<Item = String>) -> Result<()> {
    let options = Options::parse(arguments, &["rounds", "warm", "files", "idle", "only", "dir"])?;
    let (cold_rounds, warm_rounds) = (options.count("rounds", 100)?, options.count("warm", 500)?);
    let (files, idle) = (options.counts("files", &[1000, 10_000, 100_000])?, options.count("idle", 200)?);
    let only = options.text("only").map(str::to_owned);
    let known = only.as_deref().is_none_or(|part| PARTS.contains(&part));
    ensure!(known, "--only must be one of {}", PARTS.join(", "));
    let parent = options.path("dir").unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(parent)?;
    // As `cofferdam` has it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // On the runtime's own threads, where the worker carries out what its sessions do.
    let measured = runtime.spawn(async move {
        let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
        let place = Arc::new(Place::new(folder.path(), 0).await?);
        say(place.driver.level());
        if wanted("cold") {
            cold(&place, folder.path(), cold_rounds).await?;
        }
        if wanted("warm") {
            warm(&place, folder.path(), warm_rounds).await?;
        }
        if wanted("pool") {
            pool::claim(&Place::new(folder.path(), 1).await?, cold_rounds).await?;
        }
        if wanted("layers") {
            layers::snapshots(folder.path(), &files)?;
        }
        if wanted("idle") {
            crowd::idle(&place, folder.path(), idle).await?;
        }
        if wanted("neighbours") {
            crowd::neighbours(&place, folder.path()).await?;
        }
        Ok(remove_layer(&place.layer)?)
    });
    runtime.block_on(measured)?
}

/// A driver, and what its sandboxes start from.
struct Place {
    driver: NativeDriver,
    base: std::path::PathBuf,
    layer: std::path::PathBuf,
}

impl Place {
    /// `pool` is how many sandboxes wait for somebody.
    async fn new(folder: &Path, pool: usize) -> Result<Self> {
        let options = NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed);
        let options = NativeOptions { pool, ..options };
        let base = rivals::workspace(&folder.join("native"))?.join("lower");
        Ok(Self { driver: NativeDriver::new(options).await?, base, layer: folder.join("layer") })
    }

    async fn sandbox(&self) -> Result<Box<dyn Sandbox>> {
        self.sandbox_with(Network::Off).await
    }

    async fn sandbox_with(&self, network: Network) -> Result<Box<dyn Sandbox>> {
        let mut spec = SandboxSpec::new(SandboxId::generate(), self.layer.clone(), Limits::default());
        spec.lower.push(self.base.clone());
        spec.network = network;
        Ok(self.driver.create(spec).await?)
    }

    /// One with a layer of its own.
    async fn over(&self, layer: &Path) -> Result<Box<dyn Sandbox>> {
        let mut spec = SandboxSpec::new(SandboxId::generate(), layer.to_owned(), Limits::default());
        spec.lower.push(self.base.clone());
        Ok(self.driver.create(spec).await?)
    }
}

async fn cold(place: &Place, folder: &Path, rounds: usize) -> Result<()> {
    let mut plain = Timed::spawning("/bin/true, spawned", &[], &["/bin/true".to_owned()])?;
    let mut floor = rivals::floor(folder)?;
    let mut rivals = rivals::rivals(folder);
    let (mut created, mut first, mut gone) = (Samples::default(), Samples::default(), Samples::default());
    let mut with_door = Samples::default();
    // The first sandbox of a driver makes the root directory that all others share.
    place.sandbox().await?.destroy().await?;
    for _ in 0..rounds {
        rest().await;
        plain.round()?;
        rest().await;
        floor.round()?;
        rest().await;
        let started = Instant::now();
        let sandbox = place.sandbox().await?;
        created.push(started.elapsed());
        run(&*sandbox, &["/bin/true"]).await?;
        first.push(started.elapsed());
        let started = Instant::now();
        sandbox.destroy().await?;
        gone.push(started.elapsed());
        rest().await;
        let started = Instant::now();
        let sandbox = place.sandbox_with(Network::Door).await?;
        with_door.push(started.elapsed());
        sandbox.destroy().await?;
        for rival in &mut rivals {
            rest().await;
            rival.round()?;
        }
    }
    head("cold start: from nothing until `true` has ended", "floor");
    row(plain.name(), &plain.samples, &floor.samples);
    row(floor.name(), &floor.samples, &floor.samples);
    row("native driver: until commands can run", &created, &floor.samples);
    row("native driver: until commands can run, with an egress door", &with_door, &floor.samples);
    row("native driver: until the first `true` has ended", &first, &floor.samples);
    row("native driver: teardown", &gone, &floor.samples);
    for rival in &rivals {
        row(rival.name(), &rival.samples, &floor.samples);
    }
    Ok(())
}

async fn rest() {
    tokio::time::sleep(REST).await;
}

async fn warm(place: &Place, folder: &Path, rounds: usize) -> Result<()> {
    let sandbox = place.sandbox().await?;
    let content = vec![b'x'; FILE];
    let (host, fresh) = (folder.join("file"), folder.join("file.new"));
    fs::write(&host, &content)?;
    sandbox.write("file", &content, None).await?;
    let mut times: [Samples; 9] = Default::default();
    for _ in 0..rounds {
        let [spawn, inside, bash, bash_inside, ping, read, read_inside, write, write_inside] = &mut times;
        spawn.push(spawned(&["/bin/true"]).await?);
        inside.push(run(&*sandbox, &["/bin/true"]).await?);
        bash.push(spawned(&["bash", "-c", "echo hello"]).await?);
        bash_inside.push(run(&*sandbox, &["bash", "-c", "echo hello"]).await?);
        let started = Instant::now();
        let nothing = sandbox.read("none", 0, 1).await;
        ping.push(started.elapsed());
        ensure!(nothing.is_err(), "a file that is not there was read");
        let started = Instant::now();
        let bytes = fs::read(&host)?;
        read.push(started.elapsed());
        ensure!(bytes == content, "the host's file was not read whole");
        let started = Instant::now();
        let data = sandbox.read("file", 0, FILE as u64).await?;
        read_inside.push(started.elapsed());
        ensure!(data.bytes == content, "the sandbox's file was not read whole");
        let started = Instant::now();
        fs::write(&fresh, &content)?;
        fs::rename(&fresh, &host)?;
        write.push(started.elapsed());
        let started = Instant::now();
        let version = sandbox.write("file", &content, None).await?;
        write_inside.push(started.elapsed());
        ensure!(version.size == content.len() as u64, "the sandbox's file was not written whole");
    }
    sandbox.destroy().await?;
    let [spawn, inside, bash, bash_inside, ping, read, read_inside, write, write_inside] = &times;
    head("in a running sandbox, beside the same on the host", "host");
    row("`true`, spawned on the host", spawn, spawn);
    row("`true`, in the sandbox", inside, spawn);
    row("`bash -c 'echo hello'`, spawned on the host", bash, bash);
    row("`bash -c 'echo hello'`, in the sandbox", bash_inside, bash);
    row("4 KiB read on the host", read, read);
    row("4 KiB read in the sandbox", read_inside, read);
    row("4 KiB written and renamed on the host", write, write);
    row("4 KiB written and renamed in the sandbox", write_inside, write);
    row("smallest request: a file that is not there", ping, ping);
    Ok(())
}

fn command(argv: &[&str]) -> Command {
    Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        cwd: String::new(),
        stdin: Vec::new(),
        terminal: false,
        user: User::Agent,
        timeout: LONG,
        output_limit: 1 << 16,
    }
}

/// Runs a command in the sandbox and waits for its success.
async fn run(sandbox: &dyn Sandbox, argv: &[&str]) -> Result<Duration> {
    let command = command(argv);
    let started = Instant::now();
    let ended = sandbox.start(command).await?.wait(LONG).await?.context("the command did not end")?;
    let elapsed = started.elapsed();
    ensure!(ended.exit.success(), "{argv:?} failed: {}", String::from_utf8_lossy(&ended.output.joined()));
    Ok(elapsed)
}

/// The same on the host, with output collected.
async fn spawned(argv: &[&str]) -> Result<Duration> {
    let started = Instant::now();
    let output = tokio::process::Command::new(argv[0]).args(&argv[1..]).output().await?;
    let elapsed = started.elapsed();
    ensure!(output.status.success(), "{argv:?} failed");
    Ok(elapsed)
}
