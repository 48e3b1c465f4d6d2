//! The control groups of one sandbox.

use std::{
    fs::{self, OpenOptions},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use cofferdam_domain::policy::Limits;

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
    directories: Vec<Directory>,
    /// Where the kernel counts what the memory limit has killed: each command looks there before and after.
    kills: Option<Arc<fs::File>>,
    /// The limits that are set.
    limits: Option<Limits>,
}

/// A group in one hierarchy, and what it limits there.
#[derive(Debug)]
struct Directory {
    version: Version,
    controllers: Vec<Controller>,
    path: PathBuf,
}

impl SandboxGroup {
    pub(crate) const fn new() -> Self {
        Self { directories: Vec::new(), kills: None, limits: None }
    }

    /// Makes a group, without limits yet.
    pub(super) fn add(
        &mut self,
        version: Version,
        controllers: &[Controller],
        path: PathBuf,
    ) -> io::Result<()> {
        fs::create_dir(&path)?;
        self.directories.push(Directory { version, controllers: controllers.to_vec(), path });
        Ok(())
    }

    /// Sets the limits, unless they are set.
    pub(super) fn limit(&mut self, limits: &Limits) -> io::Result<()> {
        if self.limits.as_ref() == Some(limits) {
            return Ok(());
        }
        self.limits = None;
        for Directory { version, controllers, path } in &self.directories {
            for controller in controllers {
                match (controller, version) {
                    (Controller::Memory, _) => {
                        let counter = limit_memory(*version, path, limits.memory)?;
                        self.kills = Some(Arc::new(fs::File::open(counter)?));
                    }
                    (Controller::Pids, _) => set(path, "pids.max", &limits.processes.to_string())?,
                    (Controller::Cpu, Version::One) => {
                        set(path, "cpu.cfs_period_us", &PERIOD_US.to_string())?;
                        set(path, "cpu.cfs_quota_us", &quota(limits.cpu_milli).to_string())?;
                    }
                    (Controller::Cpu, Version::Two) => {
                        set(path, "cpu.max", &format!("{} {PERIOD_US}", quota(limits.cpu_milli)))?;
                    }
                }
            }
        }
        self.limits = Some(*limits);
        Ok(())
    }

    /// The directory of version 2, in which process 1 is made.
    pub(crate) fn directory(&self) -> io::Result<Option<OwnedFd>> {
        let path = self.directories.iter().find(|directory| directory.version == Version::Two);
        path.map(|directory| Ok(fs::File::open(&directory.path)?.into())).transpose()
    }

    /// The file of version 2 by which all of its processes are stopped, where the kernel has it.
    pub(crate) fn freezer(&self) -> Option<PathBuf> {
        let directory = self.directories.iter().find(|directory| directory.version == Version::Two)?;
        Some(directory.path.join("cgroup.freeze")).filter(|file| file.exists())
    }

    /// The files of version 1 by which process 1 joins.
    pub(crate) fn tasks(&self) -> io::Result<Vec<OwnedFd>> {
        let directories = self.directories.iter().filter(|directory| directory.version == Version::One);
        let open = |directory: &Directory| {
            Ok(OpenOptions::new().write(true).open(directory.path.join("tasks"))?.into())
        };
        directories.map(open).collect()
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
        for directory in std::mem::take(&mut self.directories) {
            if let Err(error) = remove(&directory.path).await {
                result = Err(error);
            }
        }
        result
    }
}

impl Drop for SandboxGroup {
    fn drop(&mut self) {
        // What is in use for longer is removed by the zygote when the worker ends.
        self.directories.retain(|directory| fs::remove_dir(&directory.path).is_err());
        if let (false, Ok(runtime)) = (self.directories.is_empty(), tokio::runtime::Handle::try_current()) {
            let rest = std::mem::take(&mut self.directories);
            runtime.spawn(async move {
                for directory in rest {
                    remove(&directory.path).await.ok();
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

/// Memory without swap: what is swapped out is not limited by anything, and slow for everybody. Gives the file in which the kernel
/// counts kills.
fn limit_memory(version: Version, path: &Path, bytes: u64) -> io::Result<PathBuf> {
    match version {
        Version::One => {
            set(path, "memory.limit_in_bytes", &bytes.to_string())?;
            write_if_there(&path.join("memory.memsw.limit_in_bytes"), &bytes.to_string())?;
            write_if_there(&path.join("memory.swappiness"), "0")?;
            Ok(path.join("memory.oom_control"))
        }
        Version::Two => {
            set(path, "memory.max", &bytes.to_string())?;
            write_if_there(&path.join("memory.swap.max"), "0")?;
            Ok(path.join("memory.events"))
        }
    }
}

fn set(group: &Path, file: &str, value: &str) -> io::Result<()> {
    io::Write::write_all(&mut OpenOptions::new().write(true).open(group.join(file))?, value.as_bytes())
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
