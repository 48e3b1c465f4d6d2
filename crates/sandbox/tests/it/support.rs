//! What the tests share: a driver with a place on disk, and short ways to run things.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cofferdam_domain::{SandboxId, policy::Limits};
use cofferdam_sandbox::{
    Command, Driver as _, Finished, HostEnvironment, LimitLevel, NativeDriver, NativeOptions, Sandbox,
    SandboxError, SandboxSpec, User, remove_layer,
};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// A driver and a place for layers, which is emptied at the end.
pub(crate) struct Place {
    pub(crate) driver: NativeDriver,
    directory: TempDir,
}

impl Place {
    /// `None`, loudly, where the host cannot run sandboxes at all.
    pub(crate) async fn new() -> Option<Self> {
        Self::with(NativeOptions::new(HostEnvironment::of_this_host(), LimitLevel::WeakAllowed)).await
    }

    /// The same with other options.
    pub(crate) async fn with(options: NativeOptions) -> Option<Self> {
        match NativeDriver::new(options).await {
            Ok(driver) => Some(Self { driver, directory: tempfile::tempdir().unwrap() }),
            Err(error @ SandboxError::Host { .. }) => {
                eprintln!("SKIPPED: {error}");
                None
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A directory with one file, `README`.
    pub(crate) fn base(&self) -> PathBuf {
        let base = self.path("base");
        std::fs::create_dir_all(base.join("src")).unwrap();
        std::fs::write(base.join("README"), "original\n").unwrap();
        std::fs::write(base.join("src/one.rs"), "fn one() {}\n").unwrap();
        base
    }

    /// What a plain sandbox on [`Self::base`] starts from, with a layer of this name.
    pub(crate) fn spec(&self, layer: &str) -> SandboxSpec {
        let spec = SandboxSpec::new(SandboxId::generate(), self.path(layer), Limits::default());
        SandboxSpec { lower: vec![self.base()], ..spec }
    }

    pub(crate) async fn sandbox(&self, layer: &str) -> Box<dyn Sandbox> {
        self.create(self.spec(layer)).await
    }

    pub(crate) async fn create(&self, spec: SandboxSpec) -> Box<dyn Sandbox> {
        self.driver
            .create(spec)
            .await
            .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)))
    }

    /// Whether the kernel limits sandboxes as a whole.
    pub(crate) fn limits_are_strong(&self) -> bool {
        !self.driver.level().contains("limits: weak")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.directory.path()).into_iter().flatten().flatten() {
            if entry.path().is_dir() && !std::thread::panicking() {
                remove_layer(&entry.path()).unwrap();
            }
        }
    }
}

pub(crate) fn command(argv: &[&str]) -> Command {
    Command {
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        env: Vec::new(),
        cwd: String::new(),
        stdin: Vec::new(),
        terminal: false,
        user: User::Agent,
        timeout: LONG,
        output_limit: 1 << 20,
    }
}

pub(crate) fn shell(script: &str) -> Command {
    command(&["sh", "-c", script])
}

pub(crate) async fn run(sandbox: &dyn Sandbox, command: Command) -> Finished {
    let mut process = sandbox.start(command).await.unwrap();
    process.wait(LONG).await.unwrap().expect("it ended in time")
}

/// Runs a script; gives what it printed.
pub(crate) async fn sh(sandbox: &dyn Sandbox, script: &str) -> String {
    text(&run(sandbox, shell(script)).await)
}

pub(crate) fn text(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.output.joined()).into_owned()
}

/// Host processes whose arguments contain `marker`.
pub(crate) fn host_processes(marker: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && String::from_utf8_lossy(&line).contains(marker)
    })
    .collect()
}

/// Waits until something holds; panics if it does not in a long time.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A number that no other test, and no other run of this one, has in its arguments.
pub(crate) fn marker() -> String {
    // Also a time to sleep, of at least a day.
    format!("9{}", u32::try_from(SandboxId::generate().as_u128() & 0x0fff_ffff).unwrap() + 100_000)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
