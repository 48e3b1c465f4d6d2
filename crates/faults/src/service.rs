//! A service of many processes: a server, two workers, a database, and a network between one of the workers and the database.

use std::{
    io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use cofferdam_testkit::Postgres;
use fastrand::Rng;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{
    Options, Report,
    client::Client,
    disk::Disk,
    fault::Fault,
    passage::{Passage, State},
    program::{Program, command, descendants, ends, is_first, is_hand, kill_descendant},
    site::{Site, say},
    wave::waves,
    world::{World, below, succeeded},
};

/// How long a worker may take to hand over what it has.
const HANDS_OVER_WITHIN: Duration = Duration::from_secs(100);
/// How long a worker may take to notice that others have what it had.
pub(crate) const NOTICES_WITHIN: Duration = Duration::from_secs(30);
/// What a worker logs before it takes its first session.
pub(crate) const PRESENT: &str = "the worker is present";
/// How long the next sandbox may take to come.
const SANDBOX_WITHIN: Duration = Duration::from_secs(20);
/// How long the database may take to end: it writes down all that it has in memory, on a disk that others use too.
const DATABASE_ENDS_WITHIN: Duration = Duration::from_secs(120);
/// The workers' data directory: they are on one machine.
const DATA: &str = "machine";
/// How many workers there are.
const WORKERS: usize = 2;

/// Puts a service of many processes to the test; `None`, loudly, where this host cannot.
///
/// # Errors
/// When something does not hold that must; says with which seed.
pub fn service(options: &Options) -> Result<Option<Report>> {
    let Some(world) = World::make(&options.program)? else { return Ok(None) };
    let Some(database) = Postgres::start() else { return Ok(None) };
    let mut service = Service::make(world, database)?;
    waves(&mut service, options).map(Some)
}

struct Service {
    database: Postgres,
    passage: Passage,
    client: Client,
    server: Option<Program>,
    workers: [Option<Program>; WORKERS],
    processes: Vec<i32>,
    /// With which everybody sees the database who is not at the other end of the passage.
    near: PathBuf,
    /// With which the first worker does.
    far: PathBuf,
    /// The workers' machine's.
    disk: Option<Disk>,
    // Last: what is in it is removed when nothing uses it any more.
    world: World,
}

impl Service {
    fn make(world: World, database: Postgres) -> Result<Self> {
        let disk = Disk::make(world.path(DATA))?;
        let url = database.database();
        let store = |url: &str| format!("[store]\nurl = {url:?}\n");
        let near = world.configuration("near", &store(&url))?;
        let (head, rest) = url.split_once('@').context("an address without a user")?;
        let (place, name) = rest.split_once('/').context("an address without a database")?;
        let port = place.rsplit(':').next().context("an address without a port")?.parse()?;
        let passage = Passage::to(port)?;
        let far = world.configuration("far", &store(&format!("{head}@{}/{name}", passage.address)))?;
        let token = world
            .command(&near, "commands")
            .args(["admin", "token", "local", "--rank", "member"])
            .output()?;
        let client = Client::new(succeeded("admin token", token)?.trim().to_owned());
        let (server, workers, processes) = (None, [None, None], Vec::new());
        Ok(Self { database, passage, client, server, workers, processes, near, far, disk, world })
    }

    fn start_server(&mut self) -> Result<()> {
        let mut command = self.world.command(&self.near, "server");
        command.args(["server", "--listen", "127.0.0.1:0"]);
        let server = Program::start("server", &mut command, &self.world.path("server.log"))?;
        let line = server.until("listening on ")?;
        self.client.moves(line.trim().rsplit(' ').next().unwrap_or_default());
        self.server = Some(server);
        Ok(())
    }

    fn start_worker(&mut self, number: usize) -> Result<()> {
        let mut command = if number == 0 {
            self.world.command_by(&self.passage.starter(), &self.far, DATA)
        } else {
            self.world.command(&self.near, DATA)
        };
        let log = self.world.path(&format!("worker-{number}.log"));
        let worker = Program::start(&format!("worker {number}"), command.arg("worker"), &log)?;
        worker.until("works on what is queued")?;
        self.processes.push(worker.id());
        self.workers[number] = Some(worker);
        Ok(())
    }

    fn worker(&mut self, number: usize) -> Result<&mut Option<Program>> {
        self.workers.get_mut(number).context("no such worker")
    }

    fn running(&mut self, number: usize) -> Result<&Program> {
        self.worker(number)?.as_ref().context("the worker does not run")
    }

    fn end_workers(&mut self) -> Result<()> {
        for worker in self.workers.iter_mut().filter_map(Option::take) {
            let status = worker.end(HANDS_OVER_WITHIN)?;
            ensure!(status.success(), "a worker that was asked to end: {status}");
        }
        Ok(())
    }

    /// Kills the database with all its processes.
    fn kill_database(&mut self) -> Result<()> {
        let server = self.database.process();
        for process in descendants(server) {
            kill_descendant(process, server);
        }
        self.database.kill();
        Ok(())
    }

    /// Shuts the database down; whoever uses it is thrown out.
    fn stop_database(&mut self) -> Result<()> {
        let server = Pid::from_raw(self.database.process()).context("no database")?;
        let handle = pidfd_open(server, PidfdFlags::empty())?;
        pidfd_send_signal(&handle, Signal::INT)?;
        let left =
            || descendants(self.database.process()).into_iter().map(command).collect::<Vec<_>>().join("; ");
        ensure!(ends(&handle, DATABASE_ENDS_WITHIN)?, "the database does not end: {}", left());
        Ok(())
    }

    /// Freezes the database with all its processes for a time: whoever asks it something has no answer, and no error either.
    fn freeze_database(&self, time: Duration) -> Result<()> {
        let server = self.database.process();
        // First the one that makes the others.
        let mut handles = Vec::new();
        for process in std::iter::once(server).chain(descendants(server)) {
            // Some end at any time.
            let Some(Ok(handle)) = Pid::from_raw(process).map(|pid| pidfd_open(pid, PidfdFlags::empty()))
            else {
                continue;
            };
            if pidfd_send_signal(&handle, Signal::STOP).is_ok() {
                handles.push(handle);
            }
        }
        thread::sleep(time);
        for handle in handles {
            pidfd_send_signal(&handle, Signal::CONT).context("wake the database")?;
        }
        Ok(())
    }
}

impl Site for Service {
    fn world(&self) -> &World {
        &self.world
    }

    fn client(&self) -> &Client {
        &self.client
    }

    fn faults(&self) -> &'static [Fault] {
        if self.disk.is_some() { &Fault::OF_SERVICE } else { Fault::without_disk(&Fault::OF_SERVICE) }
    }

    fn data(&self) -> Vec<&'static str> {
        vec![DATA]
    }

    fn configuration(&self) -> PathBuf {
        self.near.clone()
    }

    fn inflict(&mut self, fault: Fault, dice: &mut Rng) -> Result<()> {
        let (number, time) = (dice.usize(0..WORKERS), fault.lasts(dice));
        match fault {
            Fault::KillServer => {
                self.server.take().context("no server")?.kill()?;
                thread::sleep(time);
                self.start_server()
            }
            Fault::FreezeServer => self.server.as_ref().context("no server")?.freeze(time),
            Fault::KillWorker => {
                self.worker(number)?.take().context("no worker")?.kill()?;
                thread::sleep(time);
                self.start_worker(number)
            }
            Fault::KillHand | Fault::KillZygote => {
                let workers: Vec<i32> = self.workers.iter().flatten().map(Program::id).collect();
                kill_inside(&workers, fault, dice)
            }
            Fault::KillDatabase => {
                self.kill_database()?;
                thread::sleep(time);
                self.database.again();
                Ok(())
            }
            Fault::FreezeDatabase => self.freeze_database(time),
            Fault::StopDatabase => {
                self.stop_database()?;
                thread::sleep(time);
                self.database.again();
                Ok(())
            }
            Fault::CutNetwork | Fault::SlowNetwork => {
                self.passage.set(if fault == Fault::CutNetwork { State::Cut } else { State::Slow })?;
                thread::sleep(time);
                self.passage.set(State::Open)
            }
            // If others have taken its place meanwhile, whatever it still does is refused: the log tells.
            Fault::FreezeWorker => self.running(number)?.freeze(time),
            Fault::Drain => {
                let worker = self.worker(number)?.take().context("no worker")?;
                let status = worker.end(HANDS_OVER_WITHIN)?;
                ensure!(status.success(), "a worker that was asked to end: {status}");
                self.start_worker(number)
            }
            Fault::FillDisk => {
                let disk = self.disk.as_ref().context("there is no such disk")?;
                disk.fill()?;
                thread::sleep(time);
                disk.empty()?;
                for worker in self.workers.iter().flatten() {
                    ensure!(
                        !worker.ends_within(Duration::ZERO)?,
                        "a worker has ended because the disk was full"
                    );
                }
                Ok(())
            }
        }
    }

    fn start(&mut self) -> Result<()> {
        if self.server.is_none() {
            self.start_server()?;
        }
        for number in 0..WORKERS {
            if self.worker(number)?.is_none() {
                self.start_worker(number)?;
            }
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<Vec<i32>> {
        self.end_workers()?;
        // What those have left that were killed is removed by the next.
        self.start()?;
        for worker in self.workers.iter().flatten() {
            worker.has_logged(PRESENT, NOTICES_WITHIN)?;
        }
        self.end_workers()?;
        Ok(self.processes.clone())
    }
}

/// Kills process 1 of one of the sandboxes of these workers, or the process that makes one's sandboxes.
pub(crate) fn kill_inside(workers: &[i32], fault: Fault, dice: &mut Rng) -> Result<()> {
    let deadline = Instant::now() + SANDBOX_WITHIN;
    loop {
        let mut found: Vec<(i32, i32)> = workers
            .iter()
            .flat_map(|worker| descendants(*worker).into_iter().map(|process| (process, *worker)))
            .filter(|(process, _)| is_hand(*process) && is_first(*process) == (fault == Fault::KillHand))
            .collect();
        dice.shuffle(&mut found);
        if found.into_iter().any(|(process, worker)| kill_descendant(process, worker)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            say("    there was none to kill");
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // What went wrong is in the logs.
        if thread::panicking() || self.workers.iter().any(Option::is_some) {
            let logs = below(self.world.folder())
                .into_iter()
                .filter(|path| path.extension().is_some_and(|end| end == "log"));
            logs.for_each(|log| say(&format!("--- {}\n{}", log.display(), crate::program::last_words(&log))));
        }
        drop(io::Write::flush(&mut io::stderr()));
    }
}
