//! What the tests share: a driver with a place on disk, and short ways to run things.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use cofferdam_domain::{SandboxId, policy::Limits};
use cofferdam_sandbox::{Command, Driver, Finished, Sandbox, SandboxSpec, User, agent_on_disk, remove_layer};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(120);

/// A driver and a place for layers, which is emptied at the end.
pub struct Scene {
    /// The driver.
    pub driver: Arc<dyn Driver>,
    directory: TempDir,
}

impl Scene {
    /// One for this driver.
    #[must_use]
    pub fn new(driver: Arc<dyn Driver>) -> Self {
        Self { driver, directory: tempfile::tempdir().unwrap() }
    }

    /// A path in its place.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A directory with one file, `README`, and one in another directory.
    #[must_use]
    pub fn base(&self) -> PathBuf {
        let base = self.path("base");
        std::fs::create_dir_all(base.join("src")).unwrap();
        std::fs::write(base.join("README"), "original\n").unwrap();
        std::fs::write(base.join("src/one.rs"), "fn one() {}\n").unwrap();
        for name in ["", "README", "src", "src/one.rs"] {
            own(&base.join(name));
        }
        base
    }

    /// What a plain sandbox on [`Self::base`] starts from, with a layer of this name.
    #[must_use]
    pub fn spec(&self, layer: &str) -> SandboxSpec {
        let spec = SandboxSpec::new(SandboxId::generate(), self.path(layer), Limits::default());
        SandboxSpec { lower: vec![self.base()], ..spec }
    }

    /// Such a sandbox.
    pub async fn sandbox(&self, layer: &str) -> Box<dyn Sandbox> {
        self.create(self.spec(layer)).await
    }

    /// A sandbox, which must come up.
    pub async fn create(&self, spec: SandboxSpec) -> Box<dyn Sandbox> {
        self.driver
            .create(spec)
            .await
            .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.directory.path()).into_iter().flatten().flatten() {
            if entry.path().is_dir() && !std::thread::panicking() {
                remove_layer(&entry.path()).unwrap();
            }
        }
    }
}

/// Makes something a part of a layer as sandboxes have written it, whoever runs the tests.
pub fn own(path: &Path) {
    let (uid, gid) = agent_on_disk().unwrap();
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
}

/// A command with nothing special about it.
#[must_use]
pub fn command(argv: &[&str]) -> Command {
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

/// A script as a command.
#[must_use]
pub fn shell(script: &str) -> Command {
    command(&["sh", "-c", script])
}

/// Runs a command to its end.
pub async fn run(sandbox: &dyn Sandbox, command: Command) -> Finished {
    let mut process = sandbox.start(command).await.unwrap();
    process.wait(LONG).await.unwrap().expect("it ended in time")
}

/// Runs a script; gives what it printed.
pub async fn sh(sandbox: &dyn Sandbox, script: &str) -> String {
    text(&run(sandbox, shell(script)).await)
}

/// What a command printed.
#[must_use]
pub fn text(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.output.joined()).into_owned()
}

/// Host processes whose arguments contain `marker`.
#[must_use]
pub fn host_processes(marker: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && String::from_utf8_lossy(&line).contains(marker)
    })
    .collect()
}

/// Waits until something holds; panics if it does not in a long time.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A number that no other test, and no other run of this one, has in its arguments.
#[must_use]
pub fn marker() -> String {
    // Also a time to sleep, of at least a day.
    format!("9{}", u32::try_from(SandboxId::generate().as_u128() & 0x0fff_ffff).unwrap() + 100_000)
}
