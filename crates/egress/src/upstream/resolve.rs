//! Where a host is: the door asks, not the sandbox, and every address of the answer is judged before one is dialled.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use cofferdam_domain::egress::{Addresses, HostName, Refusal};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, lookup_host},
    time::timeout,
};

use crate::{
    address::may_dial,
    decide::Denied,
    names::{A, AAAA, Answered, ask, read_answer},
    refuse::denied,
};

/// How long a resolver may take for one question, and how often it is asked.
const WAIT: Duration = Duration::from_secs(2);
const TRIES: usize = 3;
/// Addresses of one name at most.
const MOST: usize = 64;

/// Who is asked for addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resolver {
    /// Whoever the host asks: its files and resolvers, as the system is configured.
    #[default]
    System,
    /// This DNS server.
    Server(SocketAddr),
}

impl Resolver {
    /// The addresses where a host may be dialled. All of the answer are judged: one that is not permitted means that
    /// somebody is playing with the name, and none of them is dialled.
    pub(crate) async fn judged(
        self,
        host: &HostName,
        port: u16,
        addresses: &Addresses,
    ) -> Result<Vec<SocketAddr>, Denied> {
        if let Addresses::At(address) = addresses {
            may_dial(address.ip(), addresses).map_err(|problem| refused(host, address.ip(), &problem))?;
            return Ok(vec![*address]);
        }
        let found = match self {
            Self::System => timeout(WAIT * 5, system(host, port)).await.unwrap_or_else(|_| Err(slow())),
            Self::Server(server) => from_server(server, host).await,
        };
        let found = found.map_err(|problem| unreachable(host, &problem.to_string()))?;
        if found.is_empty() {
            return Err(unreachable(host, "the name does not resolve"));
        }
        if found.len() > MOST {
            return Err(unreachable(host, "the name has more addresses than any host needs"));
        }
        for address in &found {
            may_dial(*address, addresses).map_err(|problem| refused(host, *address, &problem))?;
        }
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }
}

fn refused(host: &HostName, address: IpAddr, problem: &dyn std::error::Error) -> Denied {
    denied(Refusal::Address, &format!("{host} is at {address}, where it may not be: {problem}"))
}

fn unreachable(host: &HostName, what: &str) -> Denied {
    denied(Refusal::Unreachable, &format!("{host} cannot be reached: {what}"))
}

fn slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the resolver does not answer")
}

async fn system(host: &HostName, port: u16) -> io::Result<Vec<IpAddr>> {
    Ok(lookup_host((host.as_str(), port)).await?.map(|address| address.ip()).collect())
}

async fn from_server(server: SocketAddr, host: &HostName) -> io::Result<Vec<IpAddr>> {
    let (v4, v6) = tokio::join!(question(server, host, A), question(server, host, AAAA));
    // Either will do; both must be known, or an answer that nobody has judged could be missing.
    let mut addresses = v4?;
    addresses.extend(v6?);
    Ok(addresses)
}

async fn question(server: SocketAddr, host: &HostName, kind: u16) -> io::Result<Vec<IpAddr>> {
    let mut id = [0; 2];
    SystemRandom::new().fill(&mut id).map_err(|_| io::Error::other("no random numbers"))?;
    let message = ask(u16::from_be_bytes(id), host.as_str(), kind);
    for _ in 0..TRIES {
        match timeout(WAIT, over_udp(server, &message)).await {
            Ok(Ok(Answered::Addresses(addresses))) => return Ok(addresses),
            Ok(Ok(Answered::Truncated)) => {
                return timeout(WAIT, over_tcp(server, &message)).await.unwrap_or_else(|_| Err(slow()));
            }
            Ok(Ok(Answered::Failed)) => return Err(io::Error::other("the resolver failed")),
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Err(slow())
}

async fn over_udp(server: SocketAddr, message: &[u8]) -> io::Result<Answered> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    // A socket of its own, with a port of the system's choice, that hears nobody else.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What is no answer to the question may be somebody's guess; the answer may still come.
        if let Ok(answered) = read_answer(message, buffer.get(..length).unwrap_or_default()) {
            return Ok(answered);
        }
    }
}

async fn over_tcp(server: SocketAddr, message: &[u8]) -> io::Result<Vec<IpAddr>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    match read_answer(message, &answer) {
        Ok(Answered::Addresses(addresses)) => Ok(addresses),
        Ok(Answered::Truncated | Answered::Failed) | Err(_) => Err(io::Error::other("the resolver failed")),
    }
}
