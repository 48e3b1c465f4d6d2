//! Hosts outside: real servers on loopback that count who comes, and a certificate authority that vouches for them.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Vouches for the hosts of a test.
pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(self.certificate.der());
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    /// TLS in the name of this host, speaking these protocols.
    pub(crate) fn vouch(&self, host: &str, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A request as a host got it.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) line: String,
    pub(crate) version: http::Version,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

type Answering = Arc<dyn Fn(&Got) -> Response<Full<Bytes>> + Send + Sync>;
type Talking = Arc<dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A host. Ends when dropped.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    got: Arc<Mutex<Vec<Got>>>,
    _tasks: JoinSet<()>,
}

impl Host {
    /// A host that does as it likes with its connections.
    pub(crate) async fn talking<F>(talk: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::listen(Arc::new(move |stream| Box::pin(talk(stream))), Arc::default()).await
    }

    async fn listen(talk: Talking, got: Arc<Mutex<Vec<Got>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::<AtomicUsize>::default();
        let count = accepted.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(talk(stream));
            }
        });
        Self { address, accepted, got, _tasks: tasks }
    }

    /// A host that answers requests, over TLS if it is given some.
    pub(crate) async fn answering(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Got) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let (answer, got): (Answering, _) = (Arc::new(answer), Arc::<Mutex<Vec<Got>>>::default());
        let log = got.clone();
        let talk: Talking = Arc::new(move |stream| {
            let (tls, answer, log) = (tls.clone(), answer.clone(), log.clone());
            Box::pin(async move {
                match tls {
                    None => serve(stream, false, answer, log).await,
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        serve(stream, two, answer, log).await;
                    }
                }
            })
        });
        Self::listen(talk, got).await
    }

    /// A host that says what it got.
    pub(crate) async fn echoing(tls: Option<TlsAcceptor>) -> Self {
        Self::answering(tls, |got| Response::new(Full::new(Bytes::from(got.line.clone())))).await
    }

    /// Connections that reached it.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Requests that reached it.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

async fn serve<IO>(io: IO, two: bool, answer: Answering, log: Arc<Mutex<Vec<Got>>>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, log) = (answer.clone(), log.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let got = Got {
                line: format!("{} {}", parts.method, parts.uri),
                version: parts.version,
                headers: parts.headers,
                body,
            };
            log.lock().unwrap().push(got.clone());
            Ok::<_, Infallible>(answer(&got))
        }
    });
    let io = TokioIo::new(io);
    // However the connection ends, the test looks at what came of it.
    if two {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await
            .ok();
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
    }
}
