//! The model server: the testkit's, in a process of its own so that its work is not counted, with a relay before it that keeps the time.
//!
//! The relay writes down when the last byte of an answer was handed to the kernel and when the first byte of the next request arrived; whatever lies
//! between is the program's. Clocks are `CLOCK_MONOTONIC`, which is the same in all processes.

use std::{
    ffi::OsStr,
    fs,
    io::Read as _,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use cofferdam_domain::message::Family;
use cofferdam_model::Transcript;
use cofferdam_testkit::FakeProvider;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::prefix;
use crate::{figures::say, model_server::ModelServer, options::Options};

/// The name of the hidden benchmark that is the server.
pub(crate) const SERVE: &str = "serve-model";
const PIECE: usize = 64 << 10;

/// What the server saw, in nanoseconds of the monotonic clock.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// When the first byte of each request arrived.
    pub(crate) asked: Vec<u64>,
    /// When the last byte of each answer left.
    pub(crate) answered: Vec<u64>,
    /// The size of each request's body in bytes.
    pub(crate) bodies: Vec<usize>,
    /// TCP connections that the program made.
    pub(crate) connections: usize,
    /// Requests that contain the one before them whole, in the same order.
    pub(crate) extending: usize,
    /// Rules of the wire format that were broken, one sentence each.
    pub(crate) broken: Vec<String>,
}

/// Now, in nanoseconds of the clock that all processes share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Starts one that plays the transcript.
pub(crate) fn start(wire: &str, transcript: &Path) -> Result<ModelServer> {
    let told = [SERVE, "--wire", wire, "--transcript"].map(OsStr::new);
    ModelServer::start(told.into_iter().chain([transcript.as_os_str()]))
}

/// Is the server: serves until standard input ends, then tells what it saw.
pub(crate) fn serve(arguments: impl Iterator<Item = String>) -> Result<()> {
    let options = Options::parse(arguments, &["wire", "transcript"])?;
    let family = family(options.text("wire").context("--wire is missing")?)?;
    let path = options.path("transcript").context("--transcript is missing")?;
    let transcript = Transcript::parse(&fs::read_to_string(path)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let provider = FakeProvider::start(family, transcript).await?;
        let (host, path) = provider
            .base_url()
            .split_once("//")
            .and_then(|(_, rest)| rest.split_once('/').map(|(host, path)| (host.to_owned(), path.to_owned())))
            .context("the server's address is not one")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        say(&format!("http://{}/{path}", listener.local_addr()?));
        let book = Arc::new(Mutex::new(Book::default()));
        tokio::spawn(relay(listener, host.parse()?, Arc::clone(&book)));
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        let bodies: Vec<_> = provider.requests().into_iter().map(|request| request.body).collect();
        let book = book.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Seen {
            asked: book.asked.clone(),
            answered: book.answered.clone(),
            bodies: bodies.iter().map(|body| body.len()).collect(),
            connections: book.connections,
            extending: prefix::extending(&bodies)?,
            broken: provider.broken_rules(),
        };
        say(&serde_json::to_string(&seen)?);
        Ok(())
    })
}

/// The wire format of a name as the configuration writes it.
pub(crate) fn family(name: &str) -> Result<Family> {
    serde_json::from_value(name.into()).with_context(|| {
        format!("--wire {name}: known are anthropic, openai_responses, openai_chat and gemini")
    })
}

/// When what passed. Requests come one at a time, so one book serves all connections.
#[derive(Debug, Default)]
struct Book {
    asked: Vec<u64>,
    answered: Vec<u64>,
    connections: usize,
}

impl Book {
    fn request_bytes(&mut self) {
        // The first bytes after an answer, or ever.
        if self.asked.len() == self.answered.len() {
            self.asked.push(now());
        }
    }

    fn answer_bytes(&mut self) {
        if self.answered.len() < self.asked.len() {
            self.answered.push(0);
        }
        if let Some(last) = self.answered.last_mut() {
            *last = now();
        }
    }
}

async fn relay(listener: TcpListener, to: SocketAddr, book: Arc<Mutex<Book>>) {
    let locked = |book: &Mutex<Book>, note: fn(&mut Book)| {
        note(&mut book.lock().unwrap_or_else(PoisonError::into_inner))
    };
    while let Ok((client, _)) = listener.accept().await {
        locked(&book, |book| book.connections += 1);
        let Ok(server) = TcpStream::connect(to).await else { return };
        if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
            return;
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let [up, down] = [Arc::clone(&book), Arc::clone(&book)];
        tokio::spawn(pass(from_client, to_server, move || locked(&up, Book::request_bytes)));
        tokio::spawn(pass(from_server, to_client, move || locked(&down, Book::answer_bytes)));
    }
}

/// Passes bytes on until one side ends; notes each piece before it is passed on.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, note: impl Fn()) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        note();
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
