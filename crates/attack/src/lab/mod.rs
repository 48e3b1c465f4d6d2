//! The sinkhole lab: everything that an attacker would like to reach, on free loopback ports, in this process.
//!
//! Each case has a lab of its own, so what arrives is that case's doing. A door finds the hosts that its rules name by the address in the
//! rule; all other names by the lab's resolver, where a name can be anything. Everything that arrives anywhere is kept, whole and decrypted.

mod authority;
mod dns;
mod sink;
mod web;

pub(crate) use web::REACHED;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Handle,
    task::JoinHandle,
};

use authority::Authority;
use dns::Zone;

/// Something that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    /// At which server.
    pub(crate) at: Server,
    /// Which host was meant: the name asked for, in the greeting of TLS, or in the request.
    pub(crate) host: String,
    /// All that was sent, decrypted.
    pub(crate) bytes: Vec<u8>,
}

/// What kind of server the lab has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// Answers questions for names.
    Dns,
    /// HTTP without TLS.
    Http,
    /// HTTP with TLS.
    Https,
    /// Sends a greeting, as mail servers do.
    Smtp,
    /// Sends a greeting, as SSH servers do.
    Ssh,
    /// Says nothing and listens.
    Silent,
    /// Takes datagrams.
    Udp,
}

/// What has arrived, in order.
#[derive(Debug, Clone, Default)]
struct Visits(Arc<Mutex<Vec<Visit>>>);

impl Visits {
    fn note(&self, at: Server, host: &str, bytes: &[u8]) {
        let visit = Visit { at, host: host.to_ascii_lowercase(), bytes: bytes.to_vec() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
    }
}

/// The lab. Dropping it closes everything.
#[derive(Debug)]
pub(crate) struct Lab {
    visits: Visits,
    zone: Zone,
    authority: Arc<Authority>,
    servers: Vec<(Server, SocketAddr)>,
    tasks: Vec<JoinHandle<()>>,
}

impl Lab {
    /// Opens all servers.
    pub(crate) fn open(runtime: &Handle) -> io::Result<Self> {
        let authority = Arc::new(Authority::new().map_err(io::Error::other)?);
        let mut lab = Self {
            visits: Visits::default(),
            zone: Zone::default(),
            authority,
            servers: Vec::new(),
            tasks: Vec::new(),
        };
        runtime.block_on(lab.listen())?;
        Ok(lab)
    }

    async fn listen(&mut self) -> io::Result<()> {
        for server in [Server::Http, Server::Https, Server::Smtp, Server::Ssh, Server::Silent] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            self.servers.push((server, listener.local_addr()?));
            let (visits, authority) = (self.visits.clone(), Arc::clone(&self.authority));
            self.tasks.push(accept(listener, move |stream| {
                let (visits, authority) = (visits.clone(), Arc::clone(&authority));
                async move {
                    // A visitor that goes away, or speaks another protocol, has been noted all the same.
                    match server {
                        Server::Http => web::serve(stream, server, "", &visits).await.ok(),
                        Server::Https => sink::encrypted(stream, &authority, &visits).await.ok(),
                        Server::Smtp => {
                            sink::greet(stream, server, "220 lab.test ESMTP\r\n", &visits).await.ok()
                        }
                        Server::Ssh => {
                            sink::greet(stream, server, "SSH-2.0-OpenSSH_9.6\r\n", &visits).await.ok()
                        }
                        Server::Silent | Server::Dns | Server::Udp => {
                            sink::greet(stream, server, "", &visits).await.ok()
                        }
                    };
                }
            }));
        }
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        self.servers.push((Server::Udp, udp.local_addr()?));
        self.tasks.push(tokio::spawn(sink::datagrams(udp, self.visits.clone())));
        let (tcp, udp) = one_port().await?;
        self.servers.push((Server::Dns, tcp.local_addr()?));
        self.tasks.push(tokio::spawn(dns::over_udp(udp, self.zone.clone(), self.visits.clone())));
        let (zone, visits) = (self.zone.clone(), self.visits.clone());
        self.tasks.push(accept(tcp, move |stream| {
            let (zone, visits) = (zone.clone(), visits.clone());
            async move {
                dns::over_tcp(stream, &zone, &visits).await.ok();
            }
        }));
        Ok(())
    }

    /// Where a server listens.
    pub(crate) fn address(&self, server: Server) -> SocketAddr {
        let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.servers.iter().find(|(of, _)| *of == server).map_or(unspecified, |(_, address)| *address)
    }

    /// Has a name resolve to these addresses; the first time to the first list, then to the next, at the end to the last again and again.
    pub(crate) fn resolve(&self, name: &str, answers: &[&[IpAddr]]) {
        self.zone.set(name, answers);
    }

    /// The certificate that the lab's servers are signed with, as PEM.
    pub(crate) fn certificate(&self) -> &str {
        self.authority.certificate()
    }

    /// All that has arrived so far.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.visits.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A port for TCP and UDP, as a resolver has it. A port that is free for one may be taken for the other, so several are tried.
async fn one_port() -> io::Result<(TcpListener, UdpSocket)> {
    let mut last = io::Error::other("no port was tried");
    for _ in 0..50 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Serves each connection in a task of its own, which end with the one that accepts.
fn accept<F, S>(listener: TcpListener, serve: F) -> JoinHandle<()>
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream as Client,
    };

    use super::*;

    fn lab() -> (tokio::runtime::Runtime, Lab) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let lab = Lab::open(runtime.handle()).unwrap();
        (runtime, lab)
    }

    fn said(address: SocketAddr, text: &[u8]) -> String {
        let mut stream = Client::connect(address).unwrap();
        stream.write_all(text).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn what_arrives_is_kept() {
        let (_runtime, lab) = lab();
        let answer = said(
            lab.address(Server::Http),
            b"POST /echo HTTP/1.1\r\nhost: Echo.test\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello",
        );
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-a: b"), "{answer}");
        assert!(said(lab.address(Server::Smtp), b"HELO x\r\n").starts_with("220 "));
        assert!(said(lab.address(Server::Ssh), b"SSH-2.0-x\r\n").starts_with("SSH-2.0"));
        let visits = lab.visits();
        assert_eq!(visits.len(), 3, "{visits:?}");
        assert_eq!((visits[0].at, visits[0].host.as_str()), (Server::Http, "echo.test"));
        assert!(visits[0].bytes.ends_with(b"hello"));
    }

    #[test]
    fn a_redirect_and_a_web_socket() {
        let (_runtime, lab) = lab();
        let http = lab.address(Server::Http);
        let answer = said(http, b"GET /to/http/evil.test/x HTTP/1.1\r\nhost: a.test\r\n\r\n");
        assert!(answer.contains("location: http://evil.test/x\r\n"), "{answer}");
        let upgrade = b"GET /ws HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x81\x02hi";
        assert!(said(http, upgrade).contains("101 Switching"));
        assert!(lab.visits().iter().any(|visit| visit.bytes.ends_with(b"\x81\x02hi")));
    }

    #[test]
    fn names_answer_as_told() {
        let (_runtime, lab) = lab();
        let [first, second]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), Ipv4Addr::LOCALHOST.into()];
        lab.resolve("rebind.test", &[&[first], &[second]]);
        for _ in 0..2 {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x06rebind\x04test\0\0\x01\0\x01";
            socket.send_to(question, lab.address(Server::Dns)).unwrap();
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer).unwrap();
            assert_eq!(answer[..2], question[..2]);
            let expected = if lab.visits().len() == 1 { [192, 0, 2, 1] } else { [127, 0, 0, 1] };
            assert_eq!(answer[length - 4..length], expected);
        }
        assert_eq!(lab.visits()[0].host, "rebind.test");
    }
}
