//! The network of a sandbox: its loopback interface and, if it has an egress door, everything else by way of
//! sockets that are held outside.
//!
//! A local route for all addresses makes every destination one of the sandbox's own, so that packets come
//! into being at all; one table of rules ([`rules`]) then leads every TCP connection to one port of the
//! loopback interface and every question for a name to another, and drops what is left. The sockets on those
//! two ports are made here, in the sandbox's network namespace, and handed out: whoever holds them accepts
//! the sandbox's connections without being in it, reads where they were meant to go (`SO_ORIGINAL_DST`), and
//! knows which sandbox they come from, because the sockets exist in no other. No interface leads anywhere, so
//! where a rule failed to match there would be nothing, not a leak.
//!
//! All of this happens before there is a process 1 ([`super::surroundings`]). Nothing in the sandbox may change routes
//! or rules: that takes `CAP_NET_ADMIN` where the network namespace was made, and the system call filter knows no
//! netlink but the one that routes are read with.

mod netlink;
mod rules;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
};

use cofferdam_hand::protocol::zygote::{DNS_PORT, DOOR_PORT, Failure, Network, PROXY_PORT};
use rustix::{
    io::Errno,
    net::{AddressFamily, Protocol, listen},
};

use self::netlink::{ACKNOWLEDGE, Batch, CREATE, attribute};
use super::step::Step as _;

/// Connections that may wait to be accepted; the kernel takes `net.core.somaxconn` if that is less.
const WAITING: i32 = 4096;
/// From which port on a server needs no privileges, in this network namespace.
const FIRST_UNPRIVILEGED_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// The interface that every network namespace is born with.
const LOOPBACK: u32 = 1;
/// `NETLINK_ROUTE`, whose number is 0.
const ROUTE: Option<Protocol> = None;
/// `IFF_UP` (netdevice(7)).
const UP: u32 = 1;
/// `RTM_NEWLINK` (rtnetlink(7)).
const NEW_LINK: u16 = 16;
/// `RTM_NEWADDR`.
const NEW_ADDRESS: u16 = 20;
/// `RTM_NEWROUTE`.
const NEW_ROUTE: u16 = 24;
/// `RTA_OIF`.
const ROUTE_INTERFACE: u16 = 4;
/// `RTA_PREFSRC`.
const ROUTE_SOURCE: u16 = 7;
/// `RT_SCOPE_HOST`, for IPv4.
const SCOPE_HOST: u8 = 254;

/// The sandbox's own address beside that of the loopback interface: the one that stands for no address (RFC 7600,
/// section 4.8).
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// Sets the network of the current namespace up. The sockets for the door: for each family a listener and,
/// where connections are captured, the socket for names after it.
pub(super) fn open(network: Network) -> Result<Vec<OwnedFd>, Failure> {
    loopback_up().step("bring loopback up")?;
    fs::write(FIRST_UNPRIVILEGED_PORT, "0").step("permit servers on low ports")?;
    match network {
        Network::Off => Ok(Vec::new()),
        Network::ProxyOnly => {
            let proxy = listener(SocketAddr::from((Ipv4Addr::LOCALHOST, PROXY_PORT)));
            Ok(vec![proxy.step("listen for connections to the proxy")?])
        }
        Network::Captured => captured(),
    }
}

/// Brings the loopback interface up.
pub(super) fn loopback_up() -> rustix::io::Result<()> {
    // `struct ifinfomsg`: family and type, index, flags, and which flags to change.
    let mut body = vec![0; 4];
    for field in [LOOPBACK, UP, UP] {
        body.extend_from_slice(&field.to_ne_bytes());
    }
    let mut batch = Batch::default();
    batch.add(NEW_LINK, ACKNOWLEDGE, &body);
    batch.carry_out(ROUTE)
}

fn captured() -> Result<Vec<OwnedFd>, Failure> {
    let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    let listening = "listen for the sandbox's connections";
    let mut sockets = sockets(v4.into()).step(listening)?;
    add_own_address().step("add an address")?;
    add_route(AddressFamily::INET, &v4.octets()).step("add a local route for IPv4")?;
    match self::sockets(v6.into()) {
        Ok(more) => {
            add_route(AddressFamily::INET6, &v6.octets()).step("add a local route for IPv6")?;
            sockets.extend(more);
        }
        // There is no IPv6 here, and so nothing to capture.
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(error).step(listening),
    }
    rules::install().step("capture connections with nf_tables")?;
    Ok(sockets)
}

fn sockets(loopback: IpAddr) -> io::Result<Vec<OwnedFd>> {
    let names = UdpSocket::bind((loopback, DNS_PORT))?;
    Ok(vec![listener(SocketAddr::from((loopback, DOOR_PORT)))?, names.into()])
}

fn listener(address: SocketAddr) -> io::Result<OwnedFd> {
    let listener = TcpListener::bind(address)?;
    listen(&listener, WAITING)?;
    Ok(listener.into())
}

/// Whether a family of addresses is not there: not in the kernel, or switched off.
fn is_absent(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// Makes every address of a family local, with `source` as the address that connections come from.
fn add_route(family: AddressFamily, source: &[u8]) -> rustix::io::Result<()> {
    /// `RT_TABLE_LOCAL`, `RTPROT_BOOT`, `RTN_LOCAL`.
    const LOCAL: [u8; 3] = [255, 3, 2];
    let [table, protocol, kind] = LOCAL;
    let scope = if family == AddressFamily::INET { SCOPE_HOST } else { 0 };
    // `struct rtmsg`: family, lengths of destination and source (all addresses, both), service, table, protocol,
    // scope, type, flags.
    let mut body = vec![number(family), 0, 0, 0, table, protocol, scope, kind, 0, 0, 0, 0];
    body.extend(attribute(ROUTE_INTERFACE, &LOOPBACK.to_ne_bytes()));
    body.extend(attribute(ROUTE_SOURCE, source));
    let mut batch = Batch::default();
    batch.add(NEW_ROUTE, CREATE | ACKNOWLEDGE, &body);
    batch.carry_out(ROUTE)
}

/// Gives the loopback interface an address that is not called loopback. The C library finds no IPv4 address for
/// a name when it is asked for one that this machine could use (`AI_ADDRCONFIG`, getaddrinfo(3)) and there is none
/// but 127.0.0.1.
fn add_own_address() -> rustix::io::Result<()> {
    /// `IFA_LOCAL`.
    const LOCAL: u16 = 2;
    let address = OWN_ADDRESS.octets();
    // `struct ifaddrmsg`: family, length of the prefix, flags, scope, interface.
    let mut body = vec![number(AddressFamily::INET), 32, 0, SCOPE_HOST];
    body.extend_from_slice(&LOOPBACK.to_ne_bytes());
    body.extend(attribute(LOCAL, &address));
    let mut batch = Batch::default();
    batch.add(NEW_ADDRESS, CREATE | ACKNOWLEDGE, &body);
    batch.carry_out(ROUTE)
}

fn number(family: AddressFamily) -> u8 {
    u8::try_from(family.as_raw()).unwrap_or_default()
}
