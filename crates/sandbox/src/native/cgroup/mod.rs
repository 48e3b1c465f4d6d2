//! Control groups: hard limits on memory, processes and processor time of a whole sandbox.
//!
//! Where they are is found from what the kernel says of this process (`/proc/self/cgroup`, `/proc/self/mountinfo`), never guessed from names, and for
//! each controller by itself, so that version 2, version 1 and any mixture work alike. The worker makes a group of its own below the one it
//! is in, and in that one for each sandbox. Groups are needed for limits only: that every process of a sandbox ends is the pid namespace's
//! doing.
//!
//! A sandbox whose memory runs out loses the process that the kernel picks, not everything (`memory.oom.group` stays off): the
//! command fails and says why, while process 1, which uses next to nothing, goes on.

mod find;
mod group;

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cofferdam_domain::policy::Limits;

pub(crate) use self::{
    find::{Controller, Place, Version, places},
    group::SandboxGroup,
};
use crate::SandboxError;

/// How strictly limits must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LimitLevel {
    /// Memory and processes are limited by the kernel, for each sandbox as a whole; where that is not possible, there is no sandbox.
    #[default]
    Enforced,
    /// Where there are no control groups to write to, limits of single processes and a watchdog may stand in.
    WeakAllowed,
}

/// More than the kernel's file with counts of kills has: some ten short lines.
const COUNTERS: usize = 1024;

/// Distinguishes drivers in one process.
static DRIVERS: AtomicU64 = AtomicU64::new(0);

/// The groups of one worker. Those that are still there when this is dropped are removed if they are empty.
#[derive(Debug)]
pub(super) struct Groups {
    places: Vec<WorkerGroup>,
}

/// The worker's group in one hierarchy, and the controllers that it has there.
#[derive(Debug)]
struct WorkerGroup {
    version: Version,
    controllers: Vec<Controller>,
    path: PathBuf,
    parent: PathBuf,
    name: String,
}

impl Groups {
    /// Makes the worker's groups wherever this process may, after removing what workers that are gone have left there.
    pub(super) fn make(level: LimitLevel) -> Result<Self, SandboxError> {
        let number = DRIVERS.fetch_add(1, Ordering::Relaxed);
        let name = format!(
            "{}{}-{}-{number}",
            find::PREFIX,
            std::process::id(),
            find::start_time("self").unwrap_or(0)
        );
        let mut places = Vec::new();
        for Place { version, controllers, directory } in find::places() {
            find::sweep(&directory);
            if let Ok(controllers) = find::prepare(version, &directory, &controllers, &name) {
                let path = directory.join(&name);
                places.push(WorkerGroup {
                    version,
                    controllers,
                    path,
                    parent: directory,
                    name: name.clone(),
                });
            }
        }
        let groups = Self { places };
        if groups.are_strong() || level == LimitLevel::WeakAllowed { Ok(groups) } else { Err(weak()) }
    }

    /// Whether memory and processes of a whole sandbox can be limited.
    pub(super) fn are_strong(&self) -> bool {
        self.has(Controller::Memory) && self.has(Controller::Pids)
    }

    /// Whether there is a group for a controller.
    pub(super) fn has(&self, controller: Controller) -> bool {
        self.places.iter().any(|place| place.controllers.contains(&controller))
    }

    /// What holds the limits, in words.
    pub(super) fn level(&self) -> String {
        let held: Vec<String> = Controller::ALL
            .into_iter()
            .filter_map(|controller| {
                let place = self.places.iter().find(|place| place.controllers.contains(&controller))?;
                Some(format!("{} (cgroup {})", controller.name(), place.version.name()))
            })
            .collect();
        match (self.are_strong(), held.is_empty()) {
            (true, _) => format!("limits: {}", held.join(", ")),
            (false, true) => "limits: weak (per process, and a watchdog)".to_owned(),
            (false, false) => {
                format!("limits: weak ({}; otherwise per process, and a watchdog)", held.join(", "))
            }
        }
    }

    /// Makes the groups of a sandbox in one version, and adds them to `group`. Those of version 2 must be there before its process 1 is;
    /// the others can be made while that is being made.
    pub(super) fn add(
        &self,
        version: Version,
        name: &str,
        group: &mut SandboxGroup,
    ) -> Result<(), SandboxError> {
        for place in self.places.iter().filter(|place| place.version == version) {
            let made = group.add(place.version, &place.controllers, place.path.join(name));
            made.map_err(failed("make a control group"))?;
        }
        Ok(())
    }

    /// Sets the limits of a sandbox, all of whose groups have been made.
    pub(super) fn limit(group: &mut SandboxGroup, limits: &Limits) -> Result<(), SandboxError> {
        group.limit(limits).map_err(failed("set the limits of a control group"))
    }

    /// The files by which its process 1 joins those of version 1.
    pub(super) fn tasks(group: &SandboxGroup) -> Result<Vec<OwnedFd>, SandboxError> {
        group.tasks().map_err(failed("open control groups"))
    }

    /// What the zygote needs to remove all this when the worker no longer can: names, and descriptors of parents and groups in turn.
    pub(super) fn for_zygote(&self) -> io::Result<(Vec<Vec<u8>>, Vec<OwnedFd>)> {
        let mut descriptors = Vec::new();
        for place in &self.places {
            descriptors.push(File::open(&place.parent)?.into());
            descriptors.push(File::open(&place.path)?.into());
        }
        Ok((self.places.iter().map(|place| place.name.clone().into_bytes()).collect(), descriptors))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for place in &self.places {
            // Gone already, or in use: then the zygote removes it.
            std::fs::remove_dir(&place.path).ok();
        }
    }
}

fn failed(step: &str) -> impl FnOnce(io::Error) -> SandboxError {
    let step = step.to_owned();
    move |source| SandboxError::Setup { step, source }
}

fn weak() -> SandboxError {
    SandboxError::Host {
        missing: "memory and processes of a sandbox cannot be limited: no control group here may be written to".to_owned(),
        remedy: "Start it in a delegated group (`systemd-run --user --scope -p Delegate=yes cofferdam …`), or accept weak limits by name \
                 (`--limits weak`, or `limits = \"weak\"` in the section `sandbox` of cofferdam.toml)"
            .to_owned(),
    }
}

/// Notices whether the memory limit has killed something since it was made.
#[derive(Debug, Clone)]
pub(super) struct OutOfMemory {
    counters: Vec<KillCounter>,
    before: u64,
}

/// Where kills are counted.
#[derive(Debug, Clone)]
pub(super) enum KillCounter {
    /// By the kernel, in this file of the group.
    Kernel(Arc<File>),
    /// By the watchdog.
    Watchdog(Arc<AtomicU64>),
}

impl OutOfMemory {
    pub(super) fn since_now(counters: Vec<KillCounter>) -> Self {
        let before = counters.iter().map(KillCounter::read).sum();
        Self { counters, before }
    }

    pub(super) fn happened(&self) -> bool {
        self.counters.iter().map(KillCounter::read).sum::<u64>() > self.before
    }
}

impl KillCounter {
    /// A file of a group that somebody else has made, if it is there.
    pub(super) fn kernel(file: PathBuf) -> Option<Self> {
        File::open(file).ok().map(|file| Self::Kernel(Arc::new(file)))
    }

    fn read(&self) -> u64 {
        match self {
            Self::Kernel(file) => oom_kills(file),
            Self::Watchdog(count) => count.load(Ordering::Relaxed),
        }
    }
}

/// The line `oom_kill N`, which both versions have.
fn oom_kills(file: &File) -> u64 {
    let mut text = [0; COUNTERS];
    let length = file.read_at(&mut text, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}
