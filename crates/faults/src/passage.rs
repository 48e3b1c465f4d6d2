//! The way between a worker and the database, which can be cut and made slow.
//!
//! Where this is permitted it is a real network: two network namespaces of our own, a pair of interfaces between them, the worker in one of them.
//! Elsewhere it is a relay on the loopback interface, which then keeps bytes back instead.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    process::getuid,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// The addresses of the two ends, in namespaces where there is nothing else.
const WORKER_END: &str = "10.91.0.2/30";
const DATABASE_END: &str = "10.91.0.1";
/// The names of the two interfaces.
const WORKER_INTERFACE: &str = "worker";
const DATABASE_INTERFACE: &str = "database";
/// What a slow network lets through (tc-tbf(8)).
const SLOW: [&str; 6] = ["rate", "256kbit", "burst", "8kb", "latency", "2s"];
/// What a slow relay waits before each piece, and how long a piece may be.
const SLOW_PIECE: Duration = Duration::from_millis(120);
const PIECE: usize = 4096;
/// How often a relay that keeps bytes back looks whether it still should.
const LOOK: Duration = Duration::from_millis(20);

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Slow,
    Cut,
}

/// The way between a worker and the database.
#[derive(Debug)]
pub(crate) struct Passage {
    road: Road,
    /// Where the worker finds the database.
    pub(crate) address: String,
}

#[derive(Debug)]
enum Road {
    Network { worker: Namespace, database: Namespace },
    Relay(Arc<AtomicU8>),
}

impl Passage {
    /// One to a database that listens at this port of the loopback interface.
    pub(crate) fn to(port: u16) -> Result<Self> {
        match Self::network(port) {
            Ok(passage) => Ok(passage),
            Err(error) => {
                crate::site::say(&format!(
                    "no network namespaces here, a relay keeps bytes back instead: {error:#}"
                ));
                let (state, listener) = (Arc::new(AtomicU8::new(0)), TcpListener::bind("127.0.0.1:0")?);
                let address = listener.local_addr()?.to_string();
                relay(listener, port, state.clone());
                Ok(Self { road: Road::Relay(state), address })
            }
        }
    }

    fn network(port: u16) -> Result<Self> {
        ensure!(getuid().is_root(), "it takes root to make them");
        let (worker, database) = (Namespace::make()?, Namespace::make()?);
        let there = database.holder.id().to_string();
        worker.run(
            "ip",
            &[
                "link",
                "add",
                "name",
                WORKER_INTERFACE,
                "type",
                "veth",
                "peer",
                "name",
                DATABASE_INTERFACE,
                "netns",
                &there,
            ],
        )?;
        worker.run("ip", &["address", "add", WORKER_END, "dev", WORKER_INTERFACE])?;
        database.run("ip", &["address", "add", &format!("{DATABASE_END}/30"), "dev", DATABASE_INTERFACE])?;
        for (namespace, interface) in [(&worker, WORKER_INTERFACE), (&database, DATABASE_INTERFACE)] {
            namespace.run("ip", &["link", "set", "dev", interface, "up"])?;
        }
        let listener = database.listener()?;
        let address = listener.local_addr()?.to_string();
        // The database itself stays where it is: at the end of the road its bytes change over to the loopback interface, unhindered.
        relay(listener, port, Arc::default());
        let passage = Self { road: Road::Network { worker, database }, address };
        // A kernel may lack what slows down.
        passage.set(State::Slow)?;
        passage.set(State::Open)?;
        Ok(passage)
    }

    /// What a program of the worker's is to be started by, so that it is at this end of the way.
    pub(crate) fn starter(&self) -> Vec<String> {
        match &self.road {
            Road::Network { worker, .. } => vec!["nsenter".to_owned(), format!("--net={}", worker.file())],
            Road::Relay(_) => Vec::new(),
        }
    }

    /// From now on so much passes.
    pub(crate) fn set(&self, state: State) -> Result<()> {
        match &self.road {
            Road::Relay(now) => now.store(state as u8, Ordering::Relaxed),
            Road::Network { worker, database } => {
                let link = if state == State::Cut { "down" } else { "up" };
                // The far end: nobody tells the worker.
                database.run("ip", &["link", "set", "dev", DATABASE_INTERFACE, link])?;
                for (namespace, interface) in [(worker, WORKER_INTERFACE), (database, DATABASE_INTERFACE)] {
                    if state == State::Slow {
                        let slow = ["qdisc", "replace", "dev", interface, "root", "tbf"];
                        namespace.run("tc", &[&slow[..], &SLOW[..]].concat())?;
                    } else {
                        // There may be none.
                        namespace.run("tc", &["qdisc", "del", "dev", interface, "root"]).ok();
                    }
                }
            }
        }
        Ok(())
    }
}

/// A network namespace, which is there for as long as a process of ours that does nothing.
#[derive(Debug)]
struct Namespace {
    holder: Child,
}

impl Namespace {
    fn make() -> Result<Self> {
        // It ends when its standard input does: with this process, however that ends.
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "ip link set lo up && echo made && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start unshare")?;
        let stdout = holder.stdout.take().context("a pipe")?;
        let namespace = Self { holder };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim() != "made" {
            bail!("no network namespace can be made");
        }
        Ok(namespace)
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// Runs a program in it.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let output = Command::new("nsenter")
            .arg(format!("--net={}", self.file()))
            .arg(program)
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
        Ok(())
    }

    /// A socket in it that listens.
    fn listener(&self) -> Result<TcpListener> {
        let file = File::open(self.file())?;
        // A thread of its own goes there, and ends there; the socket stays where it was made.
        let made = thread::spawn(move || -> io::Result<TcpListener> {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpListener::bind((DATABASE_END, 0))
        });
        match made.join() {
            Ok(listener) => Ok(listener?),
            Err(_) => bail!("the thread that was to listen has ended"),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        self.holder.wait().ok();
    }
}

/// Passes on what arrives at `listener` to a port of the loopback interface, and back, as `state` says. Ends with this process.
fn relay(listener: TcpListener, port: u16, state: Arc<AtomicU8>) {
    thread::spawn(move || {
        for here in listener.incoming().map_while(Result::ok) {
            // Whoever comes while the database is away is sent away too.
            let Ok(there) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let (Ok(back), Ok(from)) = (here.try_clone(), there.try_clone()) else { continue };
            for (from, to) in [(here, there), (from, back)] {
                let state = state.clone();
                thread::spawn(move || pass(from, to, &state));
            }
        }
    });
}

/// One direction of one connection.
fn pass(mut from: TcpStream, mut to: TcpStream, state: &AtomicU8) {
    let mut piece = [0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if state.load(Ordering::Relaxed) == State::Slow as u8 {
            thread::sleep(SLOW_PIECE);
        }
        while state.load(Ordering::Relaxed) == State::Cut as u8 {
            thread::sleep(LOOK);
        }
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    // Either end may be gone.
    to.shutdown(Shutdown::Write).ok();
    from.shutdown(Shutdown::Read).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port at which everything is sent back.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        port
    }

    #[test]
    fn what_is_cut_is_kept_back_and_arrives_later() {
        let (state, listener) = (Arc::new(AtomicU8::new(0)), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        relay(listener, echo(), state.clone());
        let mut stream = TcpStream::connect(address).unwrap();
        let mut answer = [0; 4];
        stream.write_all(b"open").unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"open");
        state.store(State::Cut as u8, Ordering::Relaxed);
        stream.write_all(b"late").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(stream.read_exact(&mut answer).is_err(), "nothing passes");
        state.store(State::Slow as u8, Ordering::Relaxed);
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"late");
    }
}
