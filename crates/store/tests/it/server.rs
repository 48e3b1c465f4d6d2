//! A PostgreSQL server of this suite's own: found on the machine, or installed where this may be done; run as an ordinary user; ended with the
//! process that runs the tests, however that ends.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
};

use cofferdam_domain::SessionId;
use rustix::process::{Pid, Signal, getuid, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;

use crate::child::tell;

/// `nobody`, on every Linux: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// Starts the server (`$1` and on) with its own process id told, waits until standard input is closed, ends the server and removes its folder
/// (`$FOLDER`). It is this that outlives the tests.
const WATCH: &str = r#""$@" & echo "server $!" >&2; exec 2> /dev/null; cat > /dev/null; kill -QUIT $!; wait $!; [ -z "$FOLDER" ] || rm -rf "$FOLDER""#;

/// A server that runs.
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    watch: Child,
    process: i32,
}

/// The one that most tests share; `None` where none can be had.
pub(crate) fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    SHARED.get_or_init(Server::start).as_ref()
}

impl Server {
    /// Starts one of its own.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            tell("SKIPPED: PostgreSQL needs the programs initdb and postgres (Debian: postgresql)");
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
        (0..5).find_map(|_| Self::run(&programs, &folder, free_port()))
    }

    fn run(programs: &Path, folder: &Path, port: u16) -> Option<Self> {
        let server = as_nobody(&programs.join("postgres"));
        let mut watch = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(server.get_program())
            .args(server.get_args())
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(folder)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1"])
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
        Some(Self { programs: programs.to_owned(), folder: folder.to_owned(), port, watch, process })
    }

    /// Kills it at once, with all its processes.
    pub(crate) fn kill(&mut self) {
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
    pub(crate) fn again(&mut self) {
        // Its processes need a moment to notice that they are alone; until then it does not start.
        let next = (0..200).find_map(|_| {
            thread::sleep(std::time::Duration::from_millis(50));
            Self::run(&self.programs, &self.folder, self.port)
        });
        let mut old = std::mem::replace(self, next.unwrap());
        // The folder is the new one's.
        old.folder = PathBuf::new();
        drop((old.watch.kill(), old.watch.wait()));
    }

    /// The address of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a new database and returns its address.
    pub(crate) async fn database(&self) -> String {
        let name = SessionId::generate().to_string();
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let make = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(make).execute(&mut connection).await.unwrap();
        self.url(&name)
    }
}

impl Drop for Server {
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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
    folders.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}
