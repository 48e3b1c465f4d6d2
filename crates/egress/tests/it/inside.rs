//! Programs inside: an HTTP client that trusts the door, and one that writes what it likes.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::scene::{SOON, Scene};

/// TLS in a program that trusts what it is told to.
pub(crate) fn connector(scene: &Scene, protocols: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&scene.bundle()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

pub(crate) async fn start_tls(
    scene: &Scene,
    stream: TcpStream,
    host: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    timeout(SOON, connector(scene, protocols).connect(name, stream)).await.expect("the handshake ends")
}

/// Sends one request over a connection that is there, and reads the whole answer.
pub(crate) async fn fetch<IO>(
    io: IO,
    two: bool,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, hyper::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(io);
    let answer = async {
        let response = if two {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        };
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    };
    timeout(SOON, answer).await.expect("an answer or an end")
}

/// GET over HTTPS, as a program does it that knows nothing of a door.
pub(crate) async fn get(scene: &Scene, host: &str, path: &str, two: bool) -> Response<Bytes> {
    let stream = scene.connect(host, 443).await;
    let protocols: &[&str] = if two { &["h2"] } else { &["http/1.1"] };
    let stream = start_tls(scene, stream, host, protocols).await.unwrap();
    fetch(stream, two, request("GET", host, path, two, "")).await.unwrap()
}

pub(crate) fn request(method: &str, host: &str, path: &str, two: bool, body: &str) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method);
    let builder = if two {
        builder.uri(format!("https://{host}{path}"))
    } else {
        builder.uri(path).header("host", host)
    };
    builder.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

/// Writes these bytes and reads until the other side ends the connection.
pub(crate) async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    let talk = async {
        // Who has been refused already need not listen to the end.
        stream.write_all(bytes).await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(SOON, talk).await.expect("the connection ends")
}
