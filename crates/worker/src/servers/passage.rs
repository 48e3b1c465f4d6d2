//! The way from the worker to a server at a URL: each request goes in at a socket that only this user reaches, and through the session's
//! egress door as if a sandbox had sent it. So the same rules hold, the door adds the credential, and the log has what passed.

use std::{
    fs::{self, DirBuilder},
    io,
    net::{Ipv4Addr, TcpListener, TcpStream as StdTcpStream},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cofferdam_domain::{
    SandboxId,
    egress::{EgressPolicy, EgressRule, Scheme},
};
use cofferdam_egress::Serving;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpStream, UnixListener, UnixStream},
    sync::mpsc,
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use crate::{WorkerError, door::OpenDoor};

/// Connections that wait for the door.
const WAITING: usize = 16;
/// Bytes of the door's answer to CONNECT.
const MAX_ANSWER: usize = 4 << 10;
/// How long the door may take with it: it has connected to the host by then.
const CONNECTING: Duration = Duration::from_secs(60);

/// A way through a door. It is closed when this is dropped.
pub(crate) struct Passage {
    id: SandboxId,
    /// The door's attention to it.
    _serving: Serving,
    listening: AbortHandle,
    /// Where the socket is, held open: its path may be longer than a socket's address.
    _held: OwnedFd,
    directory: PathBuf,
    socket: String,
}

impl Passage {
    /// Opens a way to the one place that `policy` is about.
    pub(crate) async fn open(
        door: &OpenDoor,
        policy: &EgressPolicy,
        directory: &Path,
    ) -> Result<Self, WorkerError> {
        let rule = policy.rules.first().ok_or(WorkerError::Log("a server at a URL has no rule"))?;
        let failed = |operation| {
            let path = directory.display().to_string();
            move |source| WorkerError::File { operation, path, source }
        };
        let id = SandboxId::generate();
        let directory = directory.join(id.to_string());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(failed("make the directory of a socket in"))?;
        let held: OwnedFd = fs::File::open(&directory).map_err(failed("open"))?.into();
        let socket = format!("/proc/self/fd/{}/s", held.as_raw_fd());
        let listener = UnixListener::bind(&socket).map_err(failed("listen at a socket in"))?;
        let (streams, served) = mpsc::channel(WAITING);
        let serving = door.serve_own(id, served)?;
        let way =
            Arc::new(Way { streams, host: rule.host.to_string(), port: rule.port(), tls: tls(rule, door)? });
        let listening = tokio::spawn(lead_all(listener, way)).abort_handle();
        Ok(Self { id, _serving: serving, listening, _held: held, directory, socket })
    }

    /// As what the log knows it.
    pub(crate) const fn id(&self) -> SandboxId {
        self.id
    }

    /// Where requests go in.
    pub(crate) fn socket(&self) -> &str {
        &self.socket
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.listening.abort();
        // What is left of it is in the session's own directory.
        fs::remove_dir_all(&self.directory).ok();
    }
}

/// What every connection needs.
struct Way {
    streams: mpsc::Sender<StdTcpStream>,
    host: String,
    port: u16,
    /// With what TLS is spoken to the door, for hosts with TLS.
    tls: Option<TlsConnector>,
}

/// TLS that trusts the door and nobody else.
fn tls(rule: &EgressRule, door: &OpenDoor) -> Result<Option<TlsConnector>, WorkerError> {
    if rule.scheme == Scheme::Http {
        return Ok(None);
    }
    let failed = |error: tokio_rustls::rustls::Error| WorkerError::Serve(io::Error::other(error));
    let mut roots = RootCertStore::empty();
    roots.add(door.certificate().into()).map_err(failed)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

async fn lead_all(listener: UnixListener, way: Arc<Way>) {
    while let Ok((stream, _)) = listener.accept().await {
        let way = way.clone();
        // Whoever asked finds its connection closed.
        tokio::spawn(async move { lead(stream, &way).await.ok() });
    }
}

/// Leads one connection to the door, and there as far as its host.
async fn lead(mut stream: UnixStream, way: &Way) -> io::Result<()> {
    let (ours, theirs) = pair()?;
    way.streams.send(theirs).await.map_err(|_| io::ErrorKind::ConnectionAborted)?;
    ours.set_nonblocking(true)?;
    let mut door = TcpStream::from_std(ours)?;
    let Some(tls) = &way.tls else {
        return copy_bidirectional(&mut stream, &mut door).await.map(drop);
    };
    timeout(CONNECTING, connect(&mut door, way)).await??;
    let name = ServerName::try_from(way.host.clone()).map_err(io::Error::other)?;
    let mut door = tls.connect(name, door).await?;
    copy_bidirectional(&mut stream, &mut door).await.map(drop)
}

/// Asks the door for the host, as a proxy is asked (RFC 9110, section 9.3.6).
async fn connect(door: &mut (impl AsyncRead + AsyncWrite + Unpin), way: &Way) -> io::Result<()> {
    let Way { host, port, .. } = way;
    let asked = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
    door.write_all(asked.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_ANSWER {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // A byte at a time: what comes after the answer is not ours to read.
        answer.push(door.read_u8().await?);
    }
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
}

/// Two ends of one connection within this process.
fn pair() -> io::Result<(StdTcpStream, StdTcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = StdTcpStream::connect(listener.local_addr()?)?;
    let own = ours.local_addr()?;
    loop {
        // Any program of this machine may have connected before.
        let (theirs, peer) = listener.accept()?;
        if peer == own {
            return Ok((ours, theirs));
        }
    }
}
