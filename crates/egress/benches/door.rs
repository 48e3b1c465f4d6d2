//! What the door costs, beside a direct connection and a well-known proxy: `cargo bench -p cofferdam-egress --bench door`.
//!
//! All are measured in turn in one run over loopback, so that the ratios hold whatever else the machine does. The proxy
//! is tinyproxy, where it is installed; it relays plain HTTP and tunnels, and looks into nothing.

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use cofferdam_domain::{
    SandboxId,
    egress::{Addresses, EgressLimits, EgressPolicy, EgressRule, Fetched, Passed, Refused, Scheme},
};
use cofferdam_egress::{
    Capture, Door, Doorway, DoorwayOptions, Listeners, NotRecorded, Record, Roots, Serving,
};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Failure = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 300;
const BULK: usize = 128 << 20;
const BULK_ROUNDS: usize = 5;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure())
}

/// Writes nothing down, at once: what the log costs is measured where the log is.
struct Nothing;

#[async_trait]
impl Record for Nothing {
    async fn passed(&self, _: Passed) -> Result<(), NotRecorded> {
        Ok(())
    }

    fn refused(&self, refused: Refused) {
        say(&format!("REFUSED: {refused:?}"));
    }

    fn fetched(&self, _: Fetched) {}
}

async fn measure() -> Result<(), Failure> {
    let ground = Ground::new().await?;
    let mut ways = vec![("direct", Way::Direct), ("door", Way::Door)];
    let tinyproxy = Proxy::start(ground.plain);
    match &tinyproxy {
        Some(proxy) => ways.push(("tinyproxy", Way::Proxy(proxy.address))),
        None => say("SKIPPED: tinyproxy is not installed"),
    }
    ground.table("new connection and one request, plain HTTP", &ways, Task::Connect(Scheme::Http)).await?;
    ground.table("new connection and one request, HTTPS", &ways, Task::Connect(Scheme::Https)).await?;
    ground.table("request on an open connection, plain HTTP", &ways, Task::Request(Scheme::Http)).await?;
    ground.table("request on an open connection, HTTPS", &ways, Task::Request(Scheme::Https)).await?;
    ground.bulk("128 MiB, plain HTTP", &ways, Scheme::Http).await?;
    ground.bulk("128 MiB, HTTPS", &ways, Scheme::Https).await
}

#[derive(Clone, Copy)]
enum Way {
    Direct,
    Door,
    Proxy(SocketAddr),
}

#[derive(Clone, Copy)]
enum Task {
    Connect(Scheme),
    Request(Scheme),
}

/// Hosts, and a door to them.
struct Ground {
    plain: SocketAddr,
    secure: SocketAddr,
    /// Trusts the hosts themselves.
    outside: TlsConnector,
    /// Trusts the door.
    inside: TlsConnector,
    proxy: SocketAddr,
    _door: (Doorway, Door, Serving),
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Ground {
    async fn new() -> Result<Self, Failure> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec!["a.example".to_owned()])?.signed_by(&leaf_key, &issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(leaf_key.serialize_der()).into(),
            )?;
        let plain = host(None).await?;
        let secure = host(Some(TlsAcceptor::from(Arc::new(config)))).await?;
        let rule = |name: &str, scheme, at| -> Result<EgressRule, Failure> {
            let rule = EgressRule::new(name, "a.example".parse()?);
            Ok(EgressRule { scheme, addresses: Addresses::At(at), ..rule })
        };
        let policy = EgressPolicy {
            rules: vec![rule("plain", Scheme::Http, plain)?, rule("secure", Scheme::Https, secure)?],
            limits: EgressLimits { requests: u64::MAX, bytes_in: u64::MAX, ..EgressLimits::default() },
            ..EgressPolicy::default()
        };
        let extra = pem(authority.der());
        let roots = Roots { host: false, extra: extra.into_bytes() };
        let doorway = Doorway::new(DoorwayOptions { roots, ..DoorwayOptions::default() })?;
        let door = doorway.open(&policy, Arc::new(Nothing))?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let proxy = listener.local_addr()?;
        let capture = Capture::ProxyOnly { address: proxy };
        let listeners = Listeners { tcp: vec![listener], dns: Vec::new(), streams: None, capture };
        let serving = door.serve(SandboxId::generate(), listeners)?;
        let trust = door.trust();
        let bundle = trust.files.first().map(|file| file.content.to_vec()).unwrap_or_default();
        let inside = connector(CertificateDer::pem_slice_iter(&bundle).collect::<Result<_, _>>()?)?;
        let outside = connector(vec![authority.der().clone()])?;
        Ok(Self { plain, secure, outside, inside, proxy, _door: (doorway, door, serving) })
    }

    /// A connection that is ready for requests, and the target that they have on it.
    async fn connect(&self, way: Way, scheme: Scheme) -> Result<(Box<dyn Wire>, &'static str), Failure> {
        let (address, connector) = match (way, scheme) {
            (Way::Direct, Scheme::Http) => (self.plain, &self.outside),
            (Way::Direct, Scheme::Https) => (self.secure, &self.outside),
            (Way::Door, _) => (self.proxy, &self.inside),
            (Way::Proxy(address), _) => (address, &self.outside),
        };
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match (way, scheme) {
            (Way::Direct, Scheme::Http) => return Ok((Box::new(stream), "/")),
            (Way::Door, Scheme::Http) => return Ok((Box::new(stream), "http://a.example/")),
            // Whatever the name, that is where it is.
            (Way::Proxy(_), Scheme::Http) => return Ok((Box::new(stream), "proxied")),
            (Way::Direct, Scheme::Https) => {}
            (Way::Door, Scheme::Https) => tunnel(&mut stream, "a.example:443").await?,
            (Way::Proxy(_), Scheme::Https) => tunnel(&mut stream, &self.secure.to_string()).await?,
        }
        let stream = connector.connect(ServerName::try_from("a.example")?, stream).await?;
        Ok((Box::new(stream), "/"))
    }

    async fn request(&self, wire: &mut dyn Wire, target: &str, bulk: bool) -> Result<usize, Failure> {
        let path = if bulk { "bulk" } else { "" };
        let target = match target {
            "proxied" => format!("http://{}/{path}", self.plain),
            target => format!("{target}{path}"),
        };
        let host = if target.contains("127.0.0.1") { self.plain.to_string() } else { "a.example".to_owned() };
        wire.write_all(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        read_answer(wire).await
    }

    async fn once(
        &self,
        way: Way,
        task: Task,
        open: &mut Option<(Box<dyn Wire>, &'static str)>,
    ) -> Result<Duration, Failure> {
        let started = Instant::now();
        match task {
            Task::Connect(scheme) => {
                let (mut wire, target) = self.connect(way, scheme).await?;
                self.request(wire.as_mut(), target, false).await?;
            }
            Task::Request(scheme) => {
                if open.is_none() {
                    *open = Some(self.connect(way, scheme).await?);
                }
                let started = Instant::now();
                if let Some((wire, target)) = open {
                    self.request(wire.as_mut(), target, false).await?;
                }
                return Ok(started.elapsed());
            }
        }
        Ok(started.elapsed())
    }

    async fn table(&self, what: &str, ways: &[(&str, Way)], task: Task) -> Result<(), Failure> {
        let mut times = vec![Vec::new(); ways.len()];
        let mut open: Vec<_> = ways.iter().map(|_| None).collect();
        for _ in 0..ROUNDS {
            for ((times, (_, way)), open) in times.iter_mut().zip(ways).zip(&mut open) {
                times.push(self.once(*way, task, open).await?);
                if matches!(way, Way::Proxy(_)) && matches!(task, Task::Request(Scheme::Http)) {
                    // It closes the connection after each answer.
                    *open = None;
                }
            }
        }
        let medians: Vec<Duration> = times.iter_mut().map(|times| median(times)).collect();
        let floor = medians.first().copied().unwrap_or_default();
        for ((name, _), time) in ways.iter().zip(&medians) {
            let added = time.saturating_sub(floor);
            say(&format!("{what}: {name} {time:?} (+{added:?}, {:.1} × direct)", ratio(*time, floor)));
        }
        Ok(())
    }

    async fn bulk(&self, what: &str, ways: &[(&str, Way)], scheme: Scheme) -> Result<(), Failure> {
        let mut times = vec![Vec::new(); ways.len()];
        for _ in 0..BULK_ROUNDS {
            for (times, (_, way)) in times.iter_mut().zip(ways) {
                let (mut wire, target) = self.connect(*way, scheme).await?;
                let started = Instant::now();
                let read = self.request(wire.as_mut(), target, true).await?;
                if read != BULK {
                    return Err(format!("{read} bytes came").into());
                }
                times.push(started.elapsed());
            }
        }
        let medians: Vec<Duration> = times.iter_mut().map(|times| median(times)).collect();
        let floor = medians.first().copied().unwrap_or_default();
        for ((name, _), time) in ways.iter().zip(&medians) {
            let rate = BULK as f64 / f64::from(1 << 20) / time.as_secs_f64();
            say(&format!("{what}: {name} {rate:.0} MiB/s ({:.2} of direct)", 1.0 / ratio(*time, floor)));
        }
        Ok(())
    }
}

async fn tunnel(stream: &mut TcpStream, target: &str) -> Result<(), Failure> {
    stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.0 200") {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&head).into_owned().into())
    }
}

/// Reads an answer whose length is announced; gives the bytes of its body.
async fn read_answer(wire: &mut dyn Wire) -> Result<usize, Failure> {
    let mut buffer = vec![0; 128 << 10];
    let mut seen = 0;
    let (head, length) = loop {
        let read = wire.read(buffer.get_mut(seen..).unwrap_or_default()).await?;
        if read == 0 {
            return Err("the connection ended in the head".into());
        }
        seen += read;
        let text = String::from_utf8_lossy(buffer.get(..seen).unwrap_or_default()).to_ascii_lowercase();
        if let Some(end) = text.find("\r\n\r\n") {
            if !text.get(..12).is_some_and(|start| start.ends_with("200")) {
                return Err(text.into());
            }
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            break (end + 4, length.ok_or("no length")?.trim().parse::<usize>()?);
        }
    };
    let mut body = seen - head;
    while body < length {
        let read = wire.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        body += read;
    }
    Ok(body)
}

/// A host that answers with a few bytes, or with many.
async fn host(tls: Option<TlsAcceptor>) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let bulk = Bytes::from(vec![b'x'; BULK]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Slower, but it works.
            stream.set_nodelay(true).ok();
            let (tls, bulk) = (tls.clone(), bulk.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(stream, bulk).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, bulk).await;
                        }
                    }
                }
            });
        }
    });
    Ok(address)
}

async fn serve<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: IO, bulk: Bytes) {
    let service = service_fn(move |request: Request<Incoming>| {
        let body = if request.uri().path() == "/bulk" { bulk.clone() } else { Bytes::from_static(b"ok") };
        async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
    });
    // A client that goes is no failure.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service).await.ok();
}

fn connector(roots: Vec<CertificateDer<'static>>) -> Result<TlsConnector, Failure> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    // Each connection pays for its own handshake.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// A tinyproxy of our own. Ends when dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// `None` where there is none.
    fn start(reachable: SocketAddr) -> Option<Self> {
        let address = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
        let folder = tempfile::tempdir().ok()?;
        let config = folder.path().join("tinyproxy.conf");
        let text = format!(
            "Port {}\nListen 127.0.0.1\nAllow 127.0.0.1\nMaxClients 100\nLogLevel Critical\n",
            address.port()
        );
        std::fs::write(&config, text).ok()?;
        let child = Command::new("tinyproxy")
            .arg("-d")
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let proxy = Self { child, address, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        (reachable.port() != address.port()).then_some(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ratio(time: Duration, floor: Duration) -> f64 {
    time.as_secs_f64() / floor.as_secs_f64().max(1e-9)
}

#[expect(clippy::print_stdout, reason = "its output is what a benchmark is for")]
fn say(line: &str) {
    println!("{line}");
}
