//! What a sandbox's driver hands to the door.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use tokio::sync::mpsc;

/// The sockets at which everything ends that one sandbox sends. They were made inside its network namespace and are
/// reached from nowhere else: the listener is the identity.
#[derive(Debug)]
pub struct Listeners {
    /// For connections.
    pub tcp: Vec<TcpListener>,
    /// For questions for names.
    pub dns: Vec<UdpSocket>,
    /// Connections that its driver hands over one by one instead.
    pub streams: Option<mpsc::Receiver<TcpStream>>,
    /// What arrives at them.
    pub capture: Capture,
}

/// Which connections arrive at a sandbox's listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// All of them, wherever they were meant to go; the socket option `SO_ORIGINAL_DST` tells. One that was meant for
    /// the listener itself is one of a program that was told a proxy.
    All,
    /// Only those of programs that heed the proxy variables.
    ProxyOnly {
        /// The proxy's address inside.
        address: SocketAddr,
    },
}
