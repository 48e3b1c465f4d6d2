//! One connection from accept to end: where it was meant to go, what is spoken on it, and who reads it.
//!
//! There may be hundreds at the same time, most of them waiting. What only one way of serving them needs is allocated when that way is taken.

use std::{fmt, io, net::SocketAddr, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use cofferdam_domain::{
    SandboxId,
    egress::{HostName, Operation, Refusal, Scheme},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    decide::{Connection, Denied},
    door::Shared,
    hello::{BadHello, Hello, read_hello},
    http::{self, MalformedHead, Site, Visit, read_head},
    listeners::Capture,
    meter::Metered,
    refuse::denied,
    stream::Begun,
    tasks::Tasks,
    unread::Unread,
};

/// Bytes that are made room for at the beginning of a connection. What programs say first fits in.
const BEGINNING: usize = 4 << 10;
/// Encrypted bytes that wait for a program to take them.
const UNWRITTEN: usize = 16 << 10;
/// Characters of a method at most.
const LONGEST_METHOD: usize = 16;
/// TLS: the type of a handshake record.
const HANDSHAKE: u8 = 22;
/// TLS: a fatal alert, "unrecognized_name" (RFC 6066, section 3).
const UNRECOGNISED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Where a connection was meant to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// To this address.
    At(SocketAddr),
    /// To the door itself, by a program that was told a proxy.
    Proxy,
}

impl Arrival {
    /// What the kernel says of a connection that arrived at a listener.
    pub(crate) fn of(stream: &TcpStream, capture: Capture) -> Self {
        let Ok(own) = stream.local_addr() else { return Self::Proxy };
        match capture {
            Capture::ProxyOnly { .. } => Self::Proxy,
            Capture::All => {
                let original = if own.ip().to_canonical().is_ipv6() {
                    rustix::net::sockopt::ipv6_original_dst(stream).map(SocketAddr::V6)
                } else {
                    rustix::net::sockopt::ip_original_dst(stream).map(SocketAddr::V4)
                };
                // One that was not redirected was made to the listener.
                match original {
                    Ok(original) if original != own => Self::At(original),
                    Ok(_) | Err(_) => Self::Proxy,
                }
            }
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => write!(f, "{}", address.ip()),
            Self::Proxy => f.write_str("the proxy"),
        }
    }
}

/// A connection whose first bytes are being read.
struct Newcomer {
    door: Arc<Shared>,
    sandbox: SandboxId,
    tasks: Arc<Tasks>,
    stream: TcpStream,
    seen: BytesMut,
}

/// One way of serving a connection.
type Way = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is spoken on a connection.
enum Spoken {
    /// TLS, with what could be read of its beginning.
    Tls(Result<Named, BadHello>),
    /// A request for a tunnel.
    Connect,
    /// Plain HTTP/1.
    Http,
    /// Something else, or nothing in time.
    Other,
}

/// What the beginning of TLS names.
struct Named {
    /// In the clear.
    host: HostName,
    /// Whether there is another part, which nobody here can read.
    hides: bool,
}

/// Serves one connection.
pub(crate) async fn serve(
    door: Arc<Shared>,
    sandbox: SandboxId,
    tasks: Arc<Tasks>,
    stream: TcpStream,
    arrival: Arrival,
) {
    // A delay that nobody asked for; without it, the connection is as good.
    stream.set_nodelay(true).ok();
    let mut newcomer = Newcomer { door, sandbox, tasks, stream, seen: BytesMut::with_capacity(BEGINNING) };
    let patience = newcomer.door.patience.beginning;
    let spoken = timeout(patience, newcomer.listen()).await.unwrap_or(Ok(Spoken::Other));
    // Who goes without a word has asked for nothing.
    let Ok(spoken) = spoken else { return };
    match arrival {
        Arrival::Proxy => newcomer.serve_as_proxy(spoken).await,
        Arrival::At(address) => {
            let port = address.port();
            match newcomer.door.names.name(address.ip().to_canonical()) {
                Some(host) => newcomer.serve_host(host, port, spoken).await,
                None => newcomer.serve_nobody(address, spoken).await,
            }
        }
    }
}

impl Newcomer {
    /// Reads until it is clear what is spoken.
    async fn listen(&mut self) -> io::Result<Spoken> {
        loop {
            match self.seen.first() {
                None => {}
                Some(&HANDSHAKE) => match read_hello(&self.seen) {
                    Ok(Hello::Incomplete) => {}
                    Ok(Hello::For(host)) => return Ok(Spoken::Tls(Ok(Named { host, hides: false }))),
                    Ok(Hello::Hiding(host)) => return Ok(Spoken::Tls(Ok(Named { host, hides: true }))),
                    Err(problem) => return Ok(Spoken::Tls(Err(problem))),
                },
                Some(b'A'..=b'Z') => {
                    let method = self.seen.iter().position(|byte| !byte.is_ascii_uppercase());
                    match method.and_then(|end| self.seen.split_at_checked(end)) {
                        Some((b"CONNECT", [b' ', ..])) => return Ok(Spoken::Connect),
                        Some((_, [b' ', ..])) => return Ok(Spoken::Http),
                        None if self.seen.len() <= LONGEST_METHOD => {}
                        Some(_) | None => return Ok(Spoken::Other),
                    }
                }
                // Some servers skip empty lines; here they are told to be malformed.
                Some(b'\r' | b'\n') => return Ok(Spoken::Http),
                Some(_) => return Ok(Spoken::Other),
            }
            if self.stream.read_buf(&mut self.seen).await? == 0 {
                return if self.seen.is_empty() {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(Spoken::Other)
                };
            }
        }
    }

    fn refuse(&self, host: String, port: u16, denied: &Denied) {
        // A canary that is touched says more than that no rule is about it.
        let touched = self.door.watchlist.name(&host, &self.door.credentials.known());
        let denied = touched.as_ref().err().unwrap_or(denied);
        self.door.ledger.refuse(self.sandbox, Operation::Connection { host, port }, denied);
    }

    /// A connection to a name that was answered with a placeholder, or named in a request for a tunnel.
    async fn serve_host(self, host: HostName, port: u16, spoken: Spoken) {
        let named = match spoken {
            Spoken::Tls(Ok(named)) => named,
            Spoken::Tls(Err(problem)) => {
                let denied = denied(code_of(problem), &problem.to_string());
                self.refuse(host.as_str().to_owned(), port, &denied);
                return self.alert().await;
            }
            Spoken::Http => {
                let site = Site { scheme: Scheme::Http, host, port };
                return self.plain(Some(site), None).await;
            }
            Spoken::Connect | Spoken::Other => {
                let denied = denied(Refusal::Protocol, "neither TLS nor HTTP is spoken on this connection");
                return self.refuse(host.as_str().to_owned(), port, &denied);
            }
        };
        let Named { host: named, hides } = named;
        if named != host {
            let reason = format!("the TLS connection names {named}, but was made to {host}");
            let denied = denied(Refusal::Mismatch, &reason);
            self.refuse(host.as_str().to_owned(), port, &denied);
            return self.terminate(named, port, Some(denied)).await;
        }
        match self.door.rules().connection(&host, port) {
            Connection::PassThrough { .. } if hides => {
                let denied = denied(code_of(BadHello::Encrypted), &BadHello::Encrypted.to_string());
                self.refuse(host.as_str().to_owned(), port, &denied);
                self.alert().await;
            }
            Connection::PassThrough { rule } => Box::pin(self.pass_through(host, port, &rule)).await,
            // What cannot be permitted is refused request by request, which tells what was wanted.
            Connection::Inspect | Connection::Refuse(..) => self.terminate(host, port, None).await,
        }
    }

    /// A connection to an address that stands for no name.
    async fn serve_nobody(self, address: SocketAddr, spoken: Spoken) {
        let denied = denied(
            Refusal::Address,
            "connections to addresses are not permitted, only to names: use the host's name, and let this system resolve it",
        );
        self.refuse(address.ip().to_string(), address.port(), &denied);
        match spoken {
            Spoken::Tls(Ok(named)) => self.terminate(named.host, address.port(), Some(denied)).await,
            Spoken::Tls(Err(_)) => self.alert().await,
            Spoken::Http => self.plain(None, Some(denied)).await,
            Spoken::Connect | Spoken::Other => {}
        }
    }

    /// A connection to the door itself.
    async fn serve_as_proxy(mut self, spoken: Spoken) {
        match spoken {
            Spoken::Http => self.plain(None, None).await,
            Spoken::Connect => match self.tunnel_request().await {
                Ok(Some((host, port))) => self.tunnel(host, port).await,
                Ok(None) => {}
                Err(denied) => {
                    self.refuse("the proxy".to_owned(), 0, &denied);
                    self.farewell(&denied).await;
                }
            },
            Spoken::Tls(_) | Spoken::Other => {
                let denied = denied(
                    Refusal::Protocol,
                    "the proxy speaks HTTP: requests with the whole URL, and CONNECT for TLS",
                );
                self.refuse("the proxy".to_owned(), 0, &denied);
            }
        }
    }

    /// Reads a request for a tunnel (RFC 9110, section 9.3.6). `None` when the program has gone.
    async fn tunnel_request(&mut self) -> Result<Option<(HostName, u16)>, Denied> {
        let malformed = |what: &str| denied(Refusal::Malformed, what);
        let length = loop {
            match read_head(&self.seen) {
                Ok(Some(head)) => break head.length,
                Ok(None) => {}
                Err(problem) => return Err(malformed(&problem.to_string())),
            }
            let read = timeout(self.door.patience.head, self.stream.read_buf(&mut self.seen)).await;
            if !matches!(read, Ok(Ok(1..))) {
                return Ok(None);
            }
        };
        let bytes = self.seen.split_to(length);
        let Ok(Some(head)) = read_head(&bytes) else { return Ok(None) };
        if !self.seen.is_empty() || head.framing != http::Framing::Length(0) {
            return Err(malformed(&MalformedHead::Early.to_string()));
        }
        let site = head
            .target
            .rsplit_once(':')
            .filter(|(host, _)| !host.contains(':'))
            .and_then(|_| Site::read(Scheme::Https, head.target))
            .ok_or_else(|| {
                malformed("CONNECT needs a host name and a port, and no address: CONNECT host.example:443")
            })?;
        // Programs name the host again in one of these ways, or not at all.
        let same = |host: &str| host == head.target || host == site.host.as_str();
        if !head.host.is_none_or(same) {
            return Err(denied(Refusal::Mismatch, "CONNECT and its Host field name different hosts"));
        }
        Ok(Some((site.host, site.port)))
    }

    /// Opens a tunnel that ends here: what is said in it must be for the host that it was opened to.
    async fn tunnel(mut self, host: HostName, port: u16) {
        let verdict = self.door.open().map(|()| self.door.rules().connection(&host, port));
        let refused = match verdict {
            Ok(Connection::Inspect | Connection::PassThrough { .. }) => None,
            Ok(Connection::Refuse(code, reason)) => Some(denied(code, &reason)),
            Err(denied) => Some(denied),
        };
        if let Some(denied) = refused {
            self.refuse(host.as_str().to_owned(), port, &denied);
            return self.farewell(&denied).await;
        }
        if self.stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_err() {
            return;
        }
        let patience = self.door.patience.beginning;
        let spoken = timeout(patience, self.listen()).await.unwrap_or(Ok(Spoken::Other));
        if let Ok(spoken) = spoken {
            self.serve_host(host, port, spoken).await;
        }
    }

    /// Passes a connection on as it is, to the host that its TLS names.
    async fn pass_through(self, host: HostName, port: u16, rule: &cofferdam_domain::egress::EgressRule) {
        let ready = async {
            self.door.open()?;
            // It leaves as a question for its address.
            self.door.watchlist.name(host.as_str(), &self.door.credentials.known())?;
            self.door.upstream.meter.request()?;
            let judged = self.door.upstream.resolver.judged(&host, port, &rule.addresses).await?;
            let operation = Operation::Connection { host: host.as_str().to_owned(), port };
            let recorded = self.door.ledger.pass(self.sandbox, operation, &rule.name, None).await;
            recorded.map_err(|problem| denied(Refusal::Closed, &problem.to_string()))?;
            self.door.upstream.dialler.connect(&host, &judged).await
        };
        let outside = match ready.await {
            Ok(outside) => outside,
            Err(denied) => {
                self.refuse(host.as_str().to_owned(), port, &denied);
                return self.terminate(host, port, Some(denied)).await;
            }
        };
        let Self { door, sandbox, stream, seen, .. } = self;
        let mut inside = Begun::new(seen.freeze(), Unread::new(stream, door.patience.stall));
        let mut outside = Metered::new(outside, door.upstream.meter.clone());
        let still = async {
            loop {
                let changed = door.grants.changed();
                if !matches!(door.rules().connection(&host, port), Connection::PassThrough { .. }) {
                    return;
                }
                changed.await;
            }
        };
        tokio::select! {
            _ = http::tunnel(&mut inside, &mut outside) => {}
            () = still => {}
        }
        if let Err(denied) = door.upstream.meter.exhausted() {
            let operation = Operation::Connection { host: host.as_str().to_owned(), port };
            door.ledger.refuse(sandbox, operation, &denied);
        }
    }

    /// Ends the TLS of a connection in the host's name, and serves what is said in it.
    fn terminate(self, host: HostName, port: u16, refused: Option<Denied>) -> Way {
        Box::pin(async move {
            let Ok(config) = self.door.leaves.for_host(&host) else { return self.alert().await };
            let patience = self.door.patience.beginning;
            let (visit, io) = self.into_visit(Some(Site { scheme: Scheme::Https, host, port }), refused);
            let accept = TlsAcceptor::from(config).accept(io).into_fallible();
            let mut stream = match Box::pin(timeout(patience, accept)).await {
                Ok(Ok(stream)) => stream,
                // A program that does not trust the door says so with an alert. It is in the log before the program sees the connection's end.
                failed => {
                    visit.distrusted();
                    return drop(failed);
                }
            };
            stream.get_mut().1.set_buffer_limit(Some(UNWRITTEN));
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                Box::pin(http::serve_two(visit, stream)).await;
            } else {
                Box::pin(http::serve_one(visit, stream)).await;
            }
        })
    }

    /// Serves plain HTTP.
    fn plain(self, site: Option<Site>, refused: Option<Denied>) -> Way {
        let (visit, io) = self.into_visit(site, refused);
        Box::pin(http::serve_one(visit, io))
    }

    fn into_visit(
        self,
        site: Option<Site>,
        refused: Option<Denied>,
    ) -> (Arc<Visit>, Begun<Unread<TcpStream>>) {
        let Self { door, sandbox, tasks, stream, seen } = self;
        let beginning: Bytes = seen.freeze();
        let stream = Unread::new(stream, door.patience.stall);
        (Arc::new(Visit { door, sandbox, site, refused, tasks }), Begun::new(beginning, stream))
    }

    /// Ends a TLS connection that cannot be answered otherwise.
    async fn alert(mut self) {
        // Whoever has gone needs no answer.
        self.stream.write_all(&UNRECOGNISED_NAME).await.ok();
        self.stream.shutdown().await.ok();
    }

    async fn farewell(self, denied: &Denied) {
        // Whoever has gone needs no answer.
        http::farewell(self.stream, denied).await.ok();
    }
}

const fn code_of(problem: BadHello) -> Refusal {
    match problem {
        BadHello::Malformed | BadHello::Name => Refusal::Malformed,
        BadHello::Nameless | BadHello::Encrypted => Refusal::Protocol,
    }
}
