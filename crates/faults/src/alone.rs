//! A service that is one process with its store in a directory, on a disk that can be filled up.

use std::{path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use fastrand::Rng;

use crate::{
    Options, Report,
    client::Client,
    disk::Disk,
    fault::Fault,
    program::Program,
    service::{NOTICES_WITHIN, PRESENT, kill_inside},
    site::{Site, say},
    wave::waves,
    world::{World, succeeded},
};

const DATA: &str = "data";
const ENDS_WITHIN: Duration = Duration::from_secs(100);

/// Puts a service that is one process to the test; `None`, loudly, where this host cannot.
///
/// # Errors
/// When something does not hold that must; says with which seed.
pub fn alone(options: &Options) -> Result<Option<Report>> {
    let Some(world) = World::make(&options.program)? else { return Ok(None) };
    let mut one = Alone::make(world)?;
    waves(&mut one, options).map(Some)
}

struct Alone {
    up: Option<Program>,
    processes: Vec<i32>,
    client: Client,
    configuration: PathBuf,
    disk: Option<Disk>,
    // Last: what is in it is removed when nothing uses it any more.
    world: World,
}

impl Alone {
    fn make(world: World) -> Result<Self> {
        let configuration = world.configuration("one", "")?;
        let disk = Disk::make(world.path(DATA))?;
        // Commands see the same store.
        std::os::unix::fs::symlink(world.path(DATA), world.path("commands"))?;
        let token = world
            .command(&configuration, DATA)
            .args(["admin", "token", "local", "--rank", "member"])
            .output()?;
        let client = Client::new(succeeded("admin token", token)?.trim().to_owned());
        Ok(Self { up: None, processes: Vec::new(), client, configuration, disk, world })
    }
}

impl Site for Alone {
    fn world(&self) -> &World {
        &self.world
    }

    fn client(&self) -> &Client {
        &self.client
    }

    fn faults(&self) -> &'static [Fault] {
        if self.disk.is_some() { &Fault::OF_ONE } else { Fault::without_disk(&Fault::OF_ONE) }
    }

    fn data(&self) -> Vec<&'static str> {
        vec![DATA]
    }

    fn configuration(&self) -> PathBuf {
        self.configuration.clone()
    }

    fn inflict(&mut self, fault: Fault, dice: &mut Rng) -> Result<()> {
        let time = fault.lasts(dice);
        match fault {
            Fault::KillServer => {
                self.up.take().context("it does not run")?.kill()?;
                thread::sleep(time);
                self.start()
            }
            Fault::FreezeServer => {
                // Nobody else takes its sessions: it has to go on with them though it was silent for too long.
                self.up.as_ref().context("it does not run")?.freeze(time)
            }
            Fault::KillHand | Fault::KillZygote => {
                let up = self.up.as_ref().context("it does not run")?.id();
                kill_inside(&[up], fault, dice)
            }
            Fault::FillDisk => {
                let disk = self.disk.as_ref().context("there is no such disk")?;
                drop(self.client.refusals());
                disk.fill()?;
                thread::sleep(time);
                disk.empty()?;
                let said = self.client.refusals();
                ensure!(
                    said.iter().all(|said| said.contains("space")),
                    "a full disk is not said to be one: {said:?}"
                );
                let up = self.up.as_ref().context("it does not run")?;
                ensure!(!up.ends_within(Duration::ZERO)?, "it has ended because the disk was full");
                Ok(())
            }
            Fault::Drain => {
                let status = self.up.take().context("it does not run")?.end(ENDS_WITHIN)?;
                ensure!(status.success(), "a service that was asked to end: {status}");
                self.start()
            }
            Fault::KillWorker
            | Fault::KillDatabase
            | Fault::FreezeDatabase
            | Fault::StopDatabase
            | Fault::CutNetwork
            | Fault::SlowNetwork
            | Fault::FreezeWorker => bail!("there is but one process"),
        }
    }

    fn start(&mut self) -> Result<()> {
        if self.up.is_some() {
            return Ok(());
        }
        let mut command = self.world.command(&self.configuration, DATA);
        command.args(["up", "--listen", "127.0.0.1:0"]);
        let up = Program::start("up", &mut command, &self.world.path("up.log"))?;
        let line = up.until("listening on ")?;
        self.client.moves(line.trim().rsplit(' ').next().unwrap_or_default());
        self.processes.push(up.id());
        self.up = Some(up);
        Ok(())
    }

    fn rest(&mut self) -> Result<Vec<i32>> {
        for again in [true, false] {
            if let Some(up) = self.up.take() {
                let status = up.end(ENDS_WITHIN)?;
                ensure!(status.success(), "a service that was asked to end: {status}");
            }
            if again {
                // What those have left that were killed is removed by the next.
                self.start()?;
                self.up.as_ref().context("it does not run")?.has_logged(PRESENT, NOTICES_WITHIN)?;
            }
        }
        Ok(self.processes.clone())
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if self.up.take().is_some() {
            say(&crate::program::last_words(&self.world.path("up.log")));
        }
    }
}
