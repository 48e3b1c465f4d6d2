//! Servers that mostly listen.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
};
use tokio_rustls::LazyConfigAcceptor;

use super::{Server, Visits, authority::Authority, web};

/// What is kept of one visitor.
const MOST: u64 = 1 << 20;

/// Sends a greeting and keeps what comes.
pub(super) async fn greet(
    mut stream: TcpStream,
    at: Server,
    greeting: &str,
    visits: &Visits,
) -> io::Result<()> {
    stream.write_all(greeting.as_bytes()).await?;
    let mut bytes = Vec::new();
    // The visitor sees the end of the connection only after its visit has been noted.
    let read = (&mut stream).take(MOST).read_to_end(&mut bytes).await;
    visits.note(at, "", &bytes);
    read.map(drop)
}

/// Ends TLS for whatever name is wanted, and serves what is inside. The name counts as a visit by itself: it may say something.
pub(super) async fn encrypted(stream: TcpStream, authority: &Authority, visits: &Visits) -> io::Result<()> {
    let start = match LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await {
        Ok(start) => start,
        Err(error) => {
            visits.note(Server::Https, "", b"no TLS");
            return Err(error);
        }
    };
    let name = start.client_hello().server_name().unwrap_or_default().to_owned();
    visits.note(Server::Https, &name, name.as_bytes());
    let config = authority.server(&name).map_err(io::Error::other)?;
    let stream = start.into_stream(config).await?;
    web::serve(stream, Server::Https, &name, visits).await
}

/// Keeps every datagram.
pub(super) async fn datagrams(socket: UdpSocket, visits: Visits) {
    let mut buffer = [0; 65_535];
    while let Ok((length, _)) = socket.recv_from(&mut buffer).await {
        visits.note(Server::Udp, "", &buffer[..length]);
    }
}
