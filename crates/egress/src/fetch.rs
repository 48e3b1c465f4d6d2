//! The worker's own requests: to services that give out secrets, and to registries for what the door must know of a package.
//!
//! One connection for each request, one answer, no redirects. These requests are made by the worker for itself: nothing
//! that a sandbox sent is in them but the name of a package.

use std::{
    io::{self, Read},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use cofferdam_domain::egress::{Addresses, HostName};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, response, uri::Scheme};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{meter::Meter, upstream::Resolver};

/// How long one request may take, from the name's resolution to the answer's last byte.
const PATIENCE: Duration = Duration::from_secs(25);

/// Makes requests for the worker itself.
#[derive(Clone)]
pub(crate) struct Fetch {
    tls: Arc<rustls::ClientConfig>,
    /// Where hosts may be, and who knows it; anywhere for those that an administrator wrote down.
    addresses: Option<(Addresses, Resolver)>,
}

/// One request.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    /// JSON.
    pub(crate) body: Option<String>,
    /// The most bytes of an answer's body.
    pub(crate) limit: usize,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchProblem {
    #[error(
        "its address must be https://host or http://host of this machine itself, without user, query or fragment"
    )]
    Address,
    #[error("its name does not resolve")]
    Name,
    #[error("{0}")]
    Judged(String),
    #[error("no connection ({0})")]
    Connect(std::io::Error),
    #[error("the connection broke ({0})")]
    Broken(hyper::Error),
    #[error("its answer is too long or broke off")]
    Answer,
    #[error("this session's limit of bytes received is reached")]
    Limit,
    #[error("no answer within 25 seconds")]
    Late,
}

impl Fetch {
    /// To hosts that an administrator wrote down.
    pub(crate) const fn new(tls: Arc<rustls::ClientConfig>) -> Self {
        Self { tls, addresses: None }
    }

    /// To hosts that may be only there.
    pub(crate) fn limited_to(&self, addresses: &Addresses, resolver: Resolver) -> Self {
        Self { tls: Arc::clone(&self.tls), addresses: Some((addresses.clone(), resolver)) }
    }

    /// Whether an address can be asked; secrets do not cross networks in the clear.
    pub(crate) fn address(text: &str) -> Result<Uri, FetchProblem> {
        let uri: Uri = text.parse().map_err(|_| FetchProblem::Address)?;
        let local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let bare = uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        let fits = uri.scheme() == Some(&Scheme::HTTPS) || (uri.scheme() == Some(&Scheme::HTTP) && local);
        if fits && bare { Ok(uri) } else { Err(FetchProblem::Address) }
    }

    /// Sends it to an address that [`Fetch::address`] takes.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Answer, FetchProblem> {
        let (uri, limit) = (Self::address(&ask.url)?, ask.limit);
        self.exchange(uri, ask, |head, body| whole(head, body, limit)).await
    }

    /// Sends it, also in the clear to other machines: there is no secret in it.
    pub(crate) async fn send_plain(&self, ask: Ask) -> Result<Answer, FetchProblem> {
        let (uri, limit) = (ask.url.parse().map_err(|_| FetchProblem::Address)?, ask.limit);
        self.exchange(uri, ask, |head, body| whole(head, body, limit)).await
    }

    /// The same for an answer that is read while it comes, on a thread where that may wait. Nothing is read of one whose
    /// status is not 200.
    pub(crate) async fn read_plain<T: Send + 'static>(
        &self,
        ask: Ask,
        meter: Option<Arc<Meter>>,
        read: impl FnOnce(&mut dyn Read) -> T + Send + 'static,
    ) -> Result<(StatusCode, Option<T>), FetchProblem> {
        let (uri, limit) = (ask.url.parse().map_err(|_| FetchProblem::Address)?, ask.limit);
        self.exchange(uri, ask, move |head, body| pieces(head, body, limit, meter, read)).await
    }

    async fn exchange<T, F>(
        &self,
        uri: Uri,
        ask: Ask,
        take: impl FnOnce(response::Parts, Incoming) -> F,
    ) -> Result<T, FetchProblem>
    where
        F: Future<Output = Result<T, FetchProblem>>,
    {
        let done = timeout(PATIENCE, Box::pin(self.connect_and_send(uri, ask, take))).await;
        done.map_err(|_| FetchProblem::Late)?
    }

    async fn connect_and_send<T, F>(
        &self,
        uri: Uri,
        ask: Ask,
        take: impl FnOnce(response::Parts, Incoming) -> F,
    ) -> Result<T, FetchProblem>
    where
        F: Future<Output = Result<T, FetchProblem>>,
    {
        let encrypted = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().ok_or(FetchProblem::Address)?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let stream = self.dial(&host, port).await?;
        let request = request(&uri, ask.method, ask.headers, ask.body)?;
        if !encrypted {
            return speak(stream, request, take).await;
        }
        let name = ServerName::try_from(host).map_err(|_| FetchProblem::Address)?;
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await
            .map_err(FetchProblem::Connect)?;
        speak(stream, request, take).await
    }

    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, FetchProblem> {
        let found: Vec<SocketAddr> = match &self.addresses {
            Some((addresses, resolver)) => {
                let host: HostName = host.parse().map_err(|_| FetchProblem::Address)?;
                let judged = resolver.judged(&host, port, addresses).await;
                judged.map_err(|denied| FetchProblem::Judged(denied.reason))?
            }
            None => tokio::net::lookup_host((host, port)).await.map_err(|_| FetchProblem::Name)?.collect(),
        };
        let mut problem = FetchProblem::Name;
        for address in found {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => problem = FetchProblem::Connect(error),
            }
        }
        Err(problem)
    }
}

fn request(
    uri: &Uri,
    method: Method,
    headers: HeaderMap,
    body: Option<String>,
) -> Result<Request<Full<Bytes>>, FetchProblem> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map(|authority| authority.as_str()).ok_or(FetchProblem::Address)?;
    let has_body = body.is_some();
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority)
        .body(Full::new(body.map(Bytes::from).unwrap_or_default()))
        .map_err(|_| FetchProblem::Address)?;
    let own = request.headers_mut();
    own.extend(headers);
    own.insert(header::USER_AGENT, HeaderValue::from_static("cofferdam"));
    own.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if has_body {
        own.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(request)
}

/// All of an answer.
async fn whole(head: response::Parts, body: Incoming, limit: usize) -> Result<Answer, FetchProblem> {
    let body = Limited::new(body, limit).collect().await.map_err(|_| FetchProblem::Answer)?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// An answer piece by piece: only a few are in memory.
async fn pieces<T: Send + 'static>(
    head: response::Parts,
    body: Incoming,
    limit: usize,
    meter: Option<Arc<Meter>>,
    read: impl FnOnce(&mut dyn Read) -> T + Send + 'static,
) -> Result<(StatusCode, Option<T>), FetchProblem> {
    if head.status != StatusCode::OK {
        return Ok((head.status, None));
    }
    let (sender, receiver) = mpsc::channel(2);
    let reading = tokio::task::spawn_blocking(move || {
        read(&mut Pieces { receiver, piece: Bytes::new(), ended: false })
    });
    let mut body = Limited::new(body, limit);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| FetchProblem::Answer)?.into_data() else { continue };
        if !meter.as_ref().is_none_or(|meter| meter.take_in(piece.len())) {
            return Err(FetchProblem::Limit);
        }
        // Whoever reads may have seen enough.
        if !piece.is_empty() && sender.send(piece).await.is_err() {
            break;
        }
    }
    // Without it, the answer has broken off.
    sender.send(Bytes::new()).await.ok();
    drop(sender);
    Ok((head.status, Some(reading.await.map_err(|_| FetchProblem::Answer)?)))
}

/// The pieces of an answer as one, to the empty piece at its end.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.ended {
            self.piece = self.receiver.blocking_recv().ok_or(io::ErrorKind::UnexpectedEof)?;
            self.ended = self.piece.is_empty();
        }
        let length = self.piece.len().min(into.len());
        let (into, _) = into.split_at_mut(length);
        self.piece.copy_to_slice(into);
        Ok(length)
    }
}

async fn speak<S, T, F>(
    stream: S,
    request: Request<Full<Bytes>>,
    take: impl FnOnce(response::Parts, Incoming) -> F,
) -> Result<T, FetchProblem>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<T, FetchProblem>>,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(FetchProblem::Broken)?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.map_err(FetchProblem::Broken)?.into_parts();
        take(head, body).await
    };
    let mut exchange = std::pin::pin!(exchange);
    // The connection must be driven for the exchange to go on; whichever ends first, the exchange has its outcome.
    tokio::select! {
        outcome = &mut exchange => outcome,
        _ = connection => exchange.await,
    }
}
