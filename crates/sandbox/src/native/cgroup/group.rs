//! The control groups of one sandbox.

use std::{
    fs::{self, OpenOptions},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cofferdam_domain::policy::Limits;
use cofferdam_hand::protocol::zygote::Join;

use super::{
    KillCounter,
    find::{Controller, Version},
};

/// How long removal is tried again, at first after this pause and then ever more rarely: the kernel empties groups a moment after the
/// processes are gone.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_micros(200);
/// Microseconds over which processor time is counted.
const PERIOD_US: u64 = 100_000;

/// Groups in one or more hierarchies. Dropping removes them too, but without a word if that fails.
#[derive(Debug)]
pub(crate) struct SandboxGroup {
    directories: Vec<(Version, PathBuf)>,
    kills: Option<PathBuf>,
}

impl SandboxGroup {
    pub(super) const fn new() -> Self {
        Self { directories: Vec::new(), kills: None }
    }

    /// Makes a group with limits.
    pub(super) fn add(
        &mut self,
        version: Version,
        controllers: &[Controller],
        path: PathBuf,
        limits: &Limits,
    ) -> io::Result<()> {
        fs::create_dir(&path)?;
        self.directories.push((version, path.clone()));
        for controller in controllers {
            match (controller, version) {
                (Controller::Memory, _) => self.limit_memory(version, &path, limits.memory)?,
                (Controller::Pids, _) => fs::write(path.join("pids.max"), limits.processes.to_string())?,
                (Controller::Cpu, Version::One) => {
                    fs::write(path.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                    fs::write(path.join("cpu.cfs_quota_us"), quota(limits.cpu_milli).to_string())?;
                }
                (Controller::Cpu, Version::Two) => {
                    fs::write(path.join("cpu.max"), format!("{} {PERIOD_US}", quota(limits.cpu_milli)))?;
                }
            }
        }
        Ok(())
    }

    /// Memory without swap: what is swapped out is not limited by anything, and slow for everybody.
    fn limit_memory(&mut self, version: Version, path: &Path, bytes: u64) -> io::Result<()> {
        match version {
            Version::One => {
                fs::write(path.join("memory.limit_in_bytes"), bytes.to_string())?;
                write_if_there(&path.join("memory.memsw.limit_in_bytes"), &bytes.to_string())?;
                write_if_there(&path.join("memory.swappiness"), "0")?;
                self.kills = Some(path.join("memory.oom_control"));
            }
            Version::Two => {
                fs::write(path.join("memory.max"), bytes.to_string())?;
                write_if_there(&path.join("memory.swap.max"), "0")?;
                self.kills = Some(path.join("memory.events"));
            }
        }
        Ok(())
    }

    /// What process 1 joins the groups by.
    pub(crate) fn to_join(&self) -> io::Result<Vec<(Join, OwnedFd)>> {
        let open = |(version, directory): &(Version, PathBuf)| match version {
            Version::One => {
                let tasks = OpenOptions::new().write(true).open(directory.join("tasks"))?;
                Ok((Join::Tasks, tasks.into()))
            }
            Version::Two => Ok((Join::Directory, fs::File::open(directory)?.into())),
        };
        self.directories.iter().map(open).collect()
    }

    /// Where the kernel counts processes that the memory limit has killed.
    pub(crate) fn kill_counter(&self) -> Option<KillCounter> {
        self.kills.clone().map(KillCounter::Kernel)
    }

    /// Removes the groups, once no process is left in them.
    ///
    /// # Errors
    /// The system's answer, when something is still in them after five seconds.
    pub(crate) async fn remove(mut self) -> io::Result<()> {
        let mut result = Ok(());
        for (_, directory) in std::mem::take(&mut self.directories) {
            if let Err(error) = remove(&directory).await {
                result = Err(error);
            }
        }
        result
    }
}

impl Drop for SandboxGroup {
    fn drop(&mut self) {
        // What is in use for longer is removed by the zygote when the worker ends.
        self.directories.retain(|(_, directory)| fs::remove_dir(directory).is_err());
        if let (false, Ok(runtime)) = (self.directories.is_empty(), tokio::runtime::Handle::try_current()) {
            let rest = std::mem::take(&mut self.directories);
            runtime.spawn(async move {
                for (_, directory) in rest {
                    remove(&directory).await.ok();
                }
            });
        }
    }
}

async fn remove(directory: &Path) -> io::Result<()> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && started.elapsed() < PATIENCE => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            done => return done,
        }
    }
}

fn quota(cpu_milli: u32) -> u64 {
    // The kernel takes no less than a millisecond.
    (u64::from(cpu_milli) * PERIOD_US / 1000).max(1000)
}

/// For files that a kernel may be built without.
fn write_if_there(path: &Path, content: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Ok(mut file) => io::Write::write_all(&mut file, content.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
