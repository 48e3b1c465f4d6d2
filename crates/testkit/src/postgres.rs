//! A PostgreSQL server of a suite's own: found on the machine, or installed where this may be done; run as an ordinary user; ended with the
//! process that runs the tests, however that ends.

#![expect(clippy::unwrap_used, reason = "only tests use it, and they fail by panicking")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use crate::port::Port;

/// `nobody`, on every Linux: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// Starts the server (`$1` and on) with its own process id told, waits until standard input is closed, ends the server and removes its folder
/// (`$FOLDER`). It is this that outlives the tests.
const WATCH: &str = r#""$@" & echo "server $!" >&2; exec 2> /dev/null; cat > /dev/null; kill -QUIT $!; wait $!; [ -z "$FOLDER" ] || rm -rf "$FOLDER""#;

/// A PostgreSQL server that runs on this machine, with data of its own.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    port: Arc<Port>,
    watch: Child,
    process: i32,
    databases: AtomicU32,
}

impl Postgres {
    /// The one that most tests of a process share; `None` where none can be had, which is said loudly.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Starts one; `None` where none can be had, which is said loudly.
    ///
    /// # Panics
    /// When the programs are there and do not work.
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!(
                "SKIPPED: PostgreSQL needs the programs initdb, createdb and postgres (Debian: postgresql)"
            );
            return None;
        };
        let folder = tempfile::tempdir().map(TempDir::keep).unwrap();
        if getuid().is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = as_nobody(&programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"])
            .arg("-D")
            .arg(folder.join("data"))
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::run(&programs, &folder, &Arc::new(Port::take()))
    }

    fn run(programs: &Path, folder: &Path, port: &Arc<Port>) -> Option<Self> {
        let server = as_nobody(&programs.join("postgres"));
        let mut watch = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(server.get_program())
            .args(server.get_args())
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            .args(["-p", &port.number().to_string(), "-h", "127.0.0.1"])
            .args(["-c", "shared_buffers=32MB", "-c", "max_connections=300", "-c", "fsync=on"])
            .env("FOLDER", folder)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines().map_while(Result::ok);
        let process = lines.find_map(|line| line.strip_prefix("server ")?.parse().ok()).unwrap();
        if !lines.any(|line| line.contains("ready to accept connections")) {
            // It has ended by itself. The folder stays, for the next try.
            drop((watch.kill(), watch.wait()));
            return None;
        }
        // What it says from now on is read, so that it can go on saying it.
        thread::spawn(move || lines.for_each(drop));
        let (programs, folder, port) = (programs.to_owned(), folder.to_owned(), Arc::clone(port));
        Some(Self { programs, folder, port, watch, process, databases: AtomicU32::new(0) })
    }

    /// Kills it at once, with all its processes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        kill_process(Pid::from_raw(self.process).unwrap(), Signal::KILL).unwrap();
        // Until the watch has seen its end, it may still hold the port.
        let data = self.folder.join("data");
        let lock = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        assert!(lock.starts_with(&self.process.to_string()), "{lock}");
        while Path::new(&format!("/proc/{}", self.process)).exists() {
            thread::yield_now();
        }
    }

    /// Starts it again on the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn again(&mut self) {
        // Its processes need a moment to notice that they are alone; until then it does not start.
        let next = (0..200).find_map(|_| {
            thread::sleep(Duration::from_millis(50));
            Self::run(&self.programs, &self.folder, &self.port)
        });
        let mut old = std::mem::replace(self, next.unwrap());
        self.databases = AtomicU32::new(*old.databases.get_mut());
        // The folder is the new one's.
        old.folder = PathBuf::new();
        drop((old.watch.kill(), old.watch.wait()));
    }

    /// The address of one of its databases.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port.number())
    }

    /// The process id of the server itself, the parent of all its others.
    #[must_use]
    pub const fn process(&self) -> i32 {
        self.process
    }

    /// Makes a new database and gives its address.
    ///
    /// # Panics
    /// When the server does not make one.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let made = Command::new(self.programs.join("createdb"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.number().to_string(), &name])
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.url(&name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The watch ends the server and removes the folder when its input is closed.
        drop(self.watch.stdin.take());
        drop(self.watch.wait());
    }
}

/// A command for a user that is not root.
fn as_nobody(program: &Path) -> Command {
    if !getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    command
}

/// The folder with the server's programs, which are installed if need be and if this may be done.
fn programs() -> Option<PathBuf> {
    find().or_else(|| {
        if getuid().is_root() && Path::new("/usr/bin/apt-get").exists() {
            for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends", "postgresql"]] {
                let mut apt = Command::new("apt-get");
                apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
                drop(apt.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status());
            }
        }
        find()
    })
}

fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    let folders = versions.into_iter().rev().chain(env::split_paths(&path)).chain(["/usr/local/bin".into()]);
    let has_all =
        |folder: &PathBuf| ["initdb", "createdb", "postgres"].iter().all(|name| folder.join(name).exists());
    folders.into_iter().find(has_all)
}
