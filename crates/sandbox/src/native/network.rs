//! The network of sandboxes as the worker sees it: what this host can do, in words, and the sockets of egress doors as they come out.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use cofferdam_hand::protocol::zygote::{DNS_PORT, DOOR_PORT, Network as Inside, PROXY_PORT};
use rustix::net::{
    AddressFamily, SocketType, getsockname,
    sockopt::{socket_acceptconn, socket_domain, socket_type},
};

use super::driver::CaptureLevel;
use crate::{Capture, DoorListeners, Network, SandboxError};

/// Where the proxy is inside, on hosts that cannot capture connections.
pub(super) const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PROXY_PORT);
/// In the order in which their sockets come.
const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// How connections reach an egress door on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of them are redirected to it.
    Captured,
    /// Programs must ask it as their proxy.
    ProxyOnly,
}

impl Reach {
    /// What is asked for, as far as the host can: `tried` is the error number of the attempt to capture connections.
    pub(super) const fn new(level: CaptureLevel, tried: i32) -> Self {
        match level {
            CaptureLevel::Best if tried == 0 => Self::Captured,
            CaptureLevel::Best | CaptureLevel::ProxyOnly => Self::ProxyOnly,
        }
    }

    /// What process 1 is told of a sandbox's network.
    pub(super) const fn inside(self, network: Network) -> Inside {
        match (network, self) {
            (Network::Off, _) => Inside::Off,
            (Network::Door, Self::Captured) => Inside::Captured,
            (Network::Door, Self::ProxyOnly) => Inside::ProxyOnly,
        }
    }

    /// What the driver can give at most.
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Captured => "no network but an egress door that gets every connection",
            Self::ProxyOnly => {
                "no network but an egress door for programs that honour proxy variables, and none at all for others \
                 (nf_tables is missing or not wanted)"
            }
        }
    }
}

/// What one sandbox has.
pub(super) const fn in_words(network: Inside) -> &'static str {
    match network {
        Inside::Off => "no network",
        Inside::Captured => Reach::Captured.in_words(),
        Inside::ProxyOnly => Reach::ProxyOnly.in_words(),
    }
}

/// Takes the sockets of a sandbox's door over, after a look at each of them: exactly those of its network, in their order.
pub(super) fn listeners(
    network: Inside,
    sockets: Vec<OwnedFd>,
) -> Result<Option<DoorListeners>, SandboxError> {
    let count = sockets.len();
    let taken = match (network, count) {
        (Inside::Off, 0) => return Ok(None),
        (Inside::ProxyOnly, 1) => take_proxy(sockets),
        (Inside::Captured, 2 | 4) => take_captured(sockets),
        (Inside::Off | Inside::ProxyOnly | Inside::Captured, _) => Err(io::ErrorKind::InvalidData.into()),
    };
    let taken = taken.map_err(|error| {
        SandboxError::Protocol(format!("the {count} sockets of its door are not what was asked for: {error}"))
    });
    taken.map(Some)
}

fn take_proxy(sockets: Vec<OwnedFd>) -> io::Result<DoorListeners> {
    let mut tcp = Vec::new();
    for socket in sockets {
        tcp.push(checked(socket, SocketType::STREAM, PROXY)?.into());
    }
    Ok(DoorListeners { tcp, dns: Vec::new(), streams: None, capture: Capture::ProxyOnly { address: PROXY } })
}

fn take_captured(sockets: Vec<OwnedFd>) -> io::Result<DoorListeners> {
    let mut door = DoorListeners { tcp: Vec::new(), dns: Vec::new(), streams: None, capture: Capture::All };
    let mut sockets = sockets.into_iter();
    for loopback in LOOPBACKS {
        let (Some(listener), Some(names)) = (sockets.next(), sockets.next()) else { break };
        let (connections, questions) = ((loopback, DOOR_PORT).into(), (loopback, DNS_PORT).into());
        door.tcp.push(checked(listener, SocketType::STREAM, connections)?.into());
        door.dns.push(checked(names, SocketType::DGRAM, questions)?.into());
    }
    Ok(door)
}

/// A socket that is bound where it should be and, if it is for connections, listens. It no longer blocks.
fn checked(socket: OwnedFd, kind: SocketType, address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let as_asked = socket_domain(&socket)? == family
        && socket_type(&socket)? == kind
        && socket_acceptconn(&socket)? == (kind == SocketType::STREAM)
        && SocketAddr::try_from(getsockname(&socket)?)? == address;
    if !as_asked {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("none is at {address} as it should be"),
        ));
    }
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use rustix::net::{SocketFlags, bind, socket_with};

    use super::*;

    #[test]
    fn only_a_socket_as_asked_for_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let accepted = listener.accept().unwrap().0;
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = udp.local_addr().unwrap();
        let silent =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        bind(&silent, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let bound = SocketAddr::try_from(getsockname(&silent).unwrap()).unwrap();
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], address.port() ^ 1));
        let local = std::os::unix::net::UnixStream::pair().unwrap().0;
        let stream = |socket, address| checked(socket, SocketType::STREAM, address).is_ok();
        let copy = |listener: &TcpListener| OwnedFd::from(listener.try_clone().unwrap());

        assert!(stream(copy(&listener), address));
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "it does not block");
        assert!(!stream(copy(&listener), elsewhere), "another port");
        assert!(!stream(copy(&listener), (Ipv6Addr::LOCALHOST, address.port()).into()), "another family");
        assert!(checked(copy(&listener), SocketType::DGRAM, address).is_err(), "another type");
        assert!(!stream(silent, bound), "bound, but not listening");
        assert!(!stream(accepted.into(), address), "a connection");
        assert!(!stream(client.into(), address), "its other end");
        assert!(!stream(udp.try_clone().unwrap().into(), at), "datagrams in the place of connections");
        assert!(checked(udp.into(), SocketType::DGRAM, at).is_ok());
        assert!(!stream(local.into(), address), "a local socket");
        assert!(!stream(std::fs::File::open("/dev/null").unwrap().into(), address), "no socket at all");
    }

    #[test]
    fn there_are_as_many_sockets_as_the_network_has() {
        let any = |count| -> Vec<OwnedFd> {
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap().into()).collect()
        };
        assert!(listeners(Inside::Off, Vec::new()).unwrap().is_none());
        for (network, count) in [
            (Inside::Off, 1),
            (Inside::ProxyOnly, 0),
            (Inside::ProxyOnly, 1),
            (Inside::ProxyOnly, 2),
            (Inside::Captured, 0),
            (Inside::Captured, 1),
            (Inside::Captured, 2),
            (Inside::Captured, 3),
            (Inside::Captured, 4),
            (Inside::Captured, 5),
        ] {
            let taken = listeners(network, any(count));
            assert!(matches!(taken, Err(SandboxError::Protocol(_))), "{network:?} {count}: {taken:?}");
        }
    }

    #[test]
    fn a_host_that_cannot_capture_has_a_proxy() {
        assert_eq!(Reach::new(CaptureLevel::Best, 0), Reach::Captured);
        assert_eq!(Reach::new(CaptureLevel::Best, 95), Reach::ProxyOnly);
        assert_eq!(Reach::new(CaptureLevel::ProxyOnly, 0), Reach::ProxyOnly);
        assert_eq!(Reach::Captured.inside(Network::Off), Inside::Off);
        assert_eq!(Reach::ProxyOnly.inside(Network::Door), Inside::ProxyOnly);
    }
}
