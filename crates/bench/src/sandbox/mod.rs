//! Sandboxes: how long until the first command has run, and what a running one takes for commands and files.

mod rivals;
mod rounds;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cofferdam_domain::{SandboxId, policy::Limits};
use cofferdam_sandbox::{
    Command, Driver as _, HostEnvironment, LimitLevel, NativeDriver, NativeOptions, Sandbox, SandboxSpec,
    remove_layer,
};

use self::rounds::Timed;
pub(crate) use self::rounds::{ROUNDS, rounds};
use crate::{
    figures::{Samples, head, row, say},
    options::Options,
};

const LONG: Duration = Duration::from_secs(60);
const FILE: usize = 4096;

/// Measures everything in turns.
pub(crate) fn measure(arguments: impl Iterator<Item = String>) -> Result<()> {
    let options = Options::parse(arguments, &["rounds", "warm", "dir"])?;
    let (cold_rounds, warm_rounds) = (options.count("rounds", 100)?, options.count("warm", 500)?);
    let parent = options.path("dir").unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(parent)?;
    // As `cofferdam` has it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let place = Place::new(folder.path()).await?;
        say(place.driver.level());
        cold(&place, folder.path(), cold_rounds).await?;
        warm(&place, folder.path(), warm_rounds).await?;
        Ok(remove_layer(&place.layer)?)
    })
}

/// A driver, and what its sandboxes start from.
struct Place {
    driver: NativeDriver,
    base: std::path::PathBuf,
    layer: std::path::PathBuf,
}

impl Place {
    async fn new(folder: &Path) -> Result<Self> {
        let options =
            NativeOptions { environment: HostEnvironment::of_this_host(), limits: LimitLevel::WeakAllowed };
        let base = rivals::workspace(&folder.join("native"))?.join("lower");
        Ok(Self { driver: NativeDriver::new(options).await?, base, layer: folder.join("layer") })
    }

    async fn sandbox(&self) -> Result<Box<dyn Sandbox>> {
        let spec = SandboxSpec {
            id: SandboxId::generate(),
            lower: vec![self.base.clone()],
            layer: self.layer.clone(),
            read_only: Vec::new(),
            limits: Limits::default(),
        };
        Ok(self.driver.create(spec).await?)
    }
}

async fn cold(place: &Place, folder: &Path, rounds: usize) -> Result<()> {
    let mut plain = Timed::spawning("/bin/true, spawned", &[], &["/bin/true".to_owned()])?;
    let mut floor = rivals::floor(folder)?;
    let mut rivals = rivals::rivals(folder);
    let (mut created, mut first, mut gone) = (Samples::default(), Samples::default(), Samples::default());
    // The first sandbox of a driver makes the root directory that all others share.
    place.sandbox().await?.destroy().await?;
    for _ in 0..rounds {
        plain.round()?;
        floor.round()?;
        let started = Instant::now();
        let sandbox = place.sandbox().await?;
        created.push(started.elapsed());
        run(&*sandbox, &["/bin/true"]).await?;
        first.push(started.elapsed());
        let started = Instant::now();
        sandbox.destroy().await?;
        gone.push(started.elapsed());
        for rival in &mut rivals {
            rival.round()?;
        }
    }
    head("cold start: from nothing until `true` has ended", "floor");
    row(plain.name(), &plain.samples, &floor.samples);
    row(floor.name(), &floor.samples, &floor.samples);
    row("native driver: until commands can run", &created, &floor.samples);
    row("native driver: until the first `true` has ended", &first, &floor.samples);
    row("native driver: teardown", &gone, &floor.samples);
    for rival in &rivals {
        row(rival.name(), &rival.samples, &floor.samples);
    }
    Ok(())
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

/// Runs a command in the sandbox and waits for its success.
async fn run(sandbox: &dyn Sandbox, argv: &[&str]) -> Result<Duration> {
    let command = Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        cwd: String::new(),
        stdin: Vec::new(),
        terminal: false,
        timeout: LONG,
        output_limit: 1 << 16,
    };
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
