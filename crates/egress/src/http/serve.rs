//! Serves one connection of a program: HTTP/1.1 behind a guard, or HTTP/2, with everything bounded.

use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use cofferdam_domain::{
    SandboxId,
    egress::{Operation, Refusal, Scheme},
};
use http::{Request, Response};
use http_body::Body as _;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    body::Answer,
    guard::{Guarded, Verdict},
    head::LONGEST_HEAD,
    pace::Paced,
    request::{Site, Wanted, raw_operation},
};
use crate::{decide::Denied, door::Shared, refuse, registry::RegistryKind, tasks::Tasks, watchlist::SHORT};

/// Requests side by side on one HTTP/2 connection.
const STREAMS: u32 = 100;
/// Streams that a program opened and broke off before they were looked at (CVE-2023-44487).
const BROKEN_OFF: usize = 20;
/// Bytes of bodies that a program may send before the host takes them (HTTP/2).
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of answers that wait for a program to take them: of a connection (HTTP/1, where a head must fit in as well),
/// and of a stream (HTTP/2).
const UNWRITTEN: usize = LONGEST_HEAD + (4 << 10);
const STREAM_UNWRITTEN: usize = 16 << 10;
/// Bytes and time for a program that is still sending what has been refused, so that it comes to read the answer.
const UNREAD: u64 = 1 << 20;
const LINGER: Duration = Duration::from_secs(2);

/// One connection of a program.
pub(crate) struct Visit {
    pub(crate) door: Arc<Shared>,
    pub(crate) sandbox: SandboxId,
    /// What it was made to; nothing if the program takes the door for its proxy.
    pub(crate) site: Option<Site>,
    /// Why everything on it is refused. Has been written down.
    pub(crate) refused: Option<Denied>,
    /// What lives as long as the sandbox's listeners.
    pub(crate) tasks: Arc<Tasks>,
}

impl Visit {
    /// The connection, for the log.
    fn connection(&self) -> Operation {
        match &self.site {
            Some(site) => Operation::Connection { host: site.host.as_str().to_owned(), port: site.port },
            None => Operation::Connection { host: "the proxy".to_owned(), port: 0 },
        }
    }

    /// The TLS handshake failed.
    pub(crate) fn distrusted(&self) {
        let denied = refuse::denied(
            Refusal::Protocol,
            "the TLS handshake failed: a program that pins certificates or brings its own roots needs a rule with inspection = \"pass_through\", or to be told the system's certificates",
        );
        if self.refused.is_none() {
            self.door.ledger.refuse(self.sandbox, self.connection(), &denied);
        }
    }

    /// Answers one request, whatever becomes of it.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        verdict: Option<&Verdict>,
    ) -> Response<Answer> {
        let (mut parts, body) = request.into_parts();
        self.undot(&mut parts);
        let expects = parts.headers.contains_key(http::header::EXPECT);
        let response = match (&self.refused, Box::pin(self.read(&parts, &body)).await) {
            (Some(_), Err(denied)) if is_touched(&denied) => self.refuse_touched(&parts, denied, body).await,
            (Some(denied), _) => self.refuse(denied, body, expects).await,
            (None, Err(denied)) => {
                let operation = raw_operation(&parts, self.site.as_ref());
                self.door.ledger.refuse(self.sandbox, operation, &denied);
                self.refuse(&denied, body, expects).await
            }
            (None, Ok(wanted)) => self.clone().pass_or_refuse(wanted, parts, body, verdict).await,
        };
        if let Some(verdict) = verdict {
            verdict.upgrade(response.status() == http::StatusCode::SWITCHING_PROTOCOLS);
        }
        response
    }

    /// Takes the one dot out of the path that apt writes for a repository without suites (`./`, sources.list(5)): at a repository of
    /// Debian packages both are the same place, and what is judged is what is sent.
    fn undot(&self, parts: &mut http::request::Parts) {
        let Some((before, after)) = parts.uri.path().split_once("/./") else { return };
        let whole = if parts.uri.query().is_some() { return } else { format!("{before}/{after}") };
        let Some(site) =
            self.site.clone().or_else(|| Site::read(Scheme::Http, parts.uri.authority()?.as_str()))
        else {
            return;
        };
        let rules = self.door.rules();
        let apt =
            rules.registries_at(&site.host, site.port).any(|registry| registry.kind == RegistryKind::Apt);
        if apt && let Ok(path) = whole.parse() {
            let mut uri = parts.uri.clone().into_parts();
            uri.path_and_query = Some(path);
            if let Ok(uri) = http::Uri::from_parts(uri) {
                parts.uri = uri;
            }
        }
    }

    /// Reads a request, unless it touches what is watched.
    async fn read(&self, parts: &http::request::Parts, body: &Incoming) -> Result<Wanted, Denied> {
        let door = &self.door;
        door.watchlist.head(parts, door.credentials.held().await).await?;
        let wanted = Wanted::read(parts, body, self.site.as_ref())?;
        door.watchlist.place(&wanted.site.host, Some(&wanted.path))?;
        Ok(wanted)
    }

    /// Says no to a request on a connection that was refused before, where it is worth a line of its own.
    async fn refuse_touched(
        &self,
        parts: &http::request::Parts,
        denied: Denied,
        body: Incoming,
    ) -> Response<Answer> {
        self.door.ledger.refuse(self.sandbox, raw_operation(parts, self.site.as_ref()), &denied);
        self.refuse(&denied, body, parts.headers.contains_key(http::header::EXPECT)).await
    }

    /// Says no. A program that is sending a body hears it only once it has sent some more.
    async fn refuse(&self, denied: &Denied, body: Incoming, expects: bool) -> Response<Answer> {
        if !expects
            && !body.is_end_stream()
            && let Err(touched) = Box::pin(self.hear_out(body)).await
            && !is_touched(denied)
        {
            self.door.ledger.refuse(self.sandbox, self.connection(), &touched);
            return refuse::answer(&touched).map(Answer::Own);
        }
        refuse::answer(denied).map(Answer::Own)
    }

    /// Takes some more of a body that goes nowhere; whether it touches what is watched.
    async fn hear_out(&self, body: Incoming) -> Result<(), Denied> {
        let mut said = Vec::new();
        timeout(LINGER, drain(body, &mut said)).await.ok();
        self.door.watchlist.whole(said, self.door.credentials.known()).await
    }

    async fn pass_or_refuse(
        self: Arc<Self>,
        wanted: Wanted,
        parts: http::request::Parts,
        body: Incoming,
        verdict: Option<&Verdict>,
    ) -> Response<Answer> {
        let operation = wanted.operation();
        match super::pass::judge(&self, &wanted) {
            Ok(allowed) => match super::pass::pass(&self, wanted, allowed, parts, body).await {
                Ok(response) => response,
                Err(denied) => {
                    let problem = verdict.and_then(Verdict::tell);
                    let denied = problem.map_or(denied, |problem| {
                        refuse::denied(Refusal::Malformed, &problem.what.to_string())
                    });
                    self.door.ledger.refuse(self.sandbox, operation, &denied);
                    refuse::answer(&denied).map(Answer::Own)
                }
            },
            Err(denied) => {
                self.door.ledger.refuse(self.sandbox, operation, &denied);
                let expects = parts.headers.contains_key(http::header::EXPECT);
                self.refuse(&denied, body, expects).await
            }
        }
    }
}

/// Whether something that is watched was touched.
const fn is_touched(denied: &Denied) -> bool {
    matches!(denied.code, Refusal::Canary | Refusal::Secret)
}

/// Takes what a program has still to say, up to a limit; keeps the beginning.
async fn drain(mut body: Incoming, said: &mut Vec<u8>) {
    let mut read = 0;
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let data: &[u8] = frame.data_ref().map_or(&[], |data: &Bytes| data);
        said.extend(data.iter().take(SHORT - said.len()));
        read += data.len() as u64;
        if read > UNREAD {
            return;
        }
    }
}

/// Serves HTTP/1.1.
pub(crate) async fn serve_one<IO>(visit: Arc<Visit>, io: IO)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let verdict = Arc::<Verdict>::default();
    let service = service_fn(|request| {
        let (visit, verdict) = (visit.clone(), verdict.clone());
        // What it takes to answer is given back with the answer's head; the connection may be there for long.
        Box::pin(async move {
            let answer = visit.answer(request, Some(&verdict)).await;
            Ok::<_, Infallible>(answer.map(|answer| Paced::new(answer, verdict)))
        })
    });
    let io = TokioIo::new(Guarded::new(io, verdict.clone()));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(visit.door.patience.head)
        .max_header_size(LONGEST_HEAD)
        .max_buf_size(UNWRITTEN)
        .auto_date_header(false)
        .serve_connection(io, service)
        .with_upgrades();
    // However it ended: what was malformed ends it like a program that goes.
    (&mut connection).await.ok();
    let Some(problem) = verdict.tell() else { return };
    let denied = refuse::denied(Refusal::Malformed, &problem.what.to_string());
    visit.door.ledger.refuse(visit.sandbox, visit.connection(), &denied);
    if problem.first
        && let Some(parts) = connection.into_parts()
    {
        // Whoever has gone needs no answer.
        farewell(parts.io.into_inner().into_inner(), &denied).await.ok();
    }
}

/// Tells a program why its connection ends, and ends it.
pub(crate) async fn farewell<IO>(mut io: IO, denied: &Denied) -> io::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let words = async {
        io.write_all(&refuse::last_words(denied)).await?;
        io.shutdown().await?;
        // A connection that is closed with something unread in it is reset, and the words are lost.
        tokio::io::copy(&mut (&mut io).take(UNREAD), &mut tokio::io::sink()).await.map(drop)
    };
    timeout(LINGER, words).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Serves HTTP/2.
pub(crate) async fn serve_two<IO>(visit: Arc<Visit>, io: IO)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let visit = visit.clone();
        Box::pin(async move { Ok::<_, Infallible>(visit.answer(request, None).await) })
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(BROKEN_OFF)
        .max_local_error_reset_streams(BROKEN_OFF)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(32 << 10)
        .max_header_list_size(32 << 10)
        .max_send_buf_size(STREAM_UNWRITTEN)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(io), service);
    if let Err(error) = connection.await
        && error.is_parse()
    {
        let denied = refuse::denied(Refusal::Malformed, "the connection breaks the rules of HTTP/2");
        visit.door.ledger.refuse(visit.sandbox, visit.connection(), &denied);
    }
}
