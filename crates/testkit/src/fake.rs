//! A model provider on this machine.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cofferdam_domain::message::Family;
use cofferdam_model::{FaultKind, Played, Transcript};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    fault::{self, Fault},
    wire::{self, Received},
};

/// A server that speaks one wire format, plays a transcript, and holds requests against the format's rules.
///
/// A request that breaks a rule is answered with HTTP 400 and remembered; [`FakeProvider::assert_clean`]
/// tells. Dropping it ends the server.
#[derive(Debug)]
pub struct FakeProvider {
    address: SocketAddr,
    family: Family,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When its last byte was there.
    pub at: Instant,
    /// The other end of the connection: requests that came over one connection have it in common.
    pub peer: SocketAddr,
    /// The path with its query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

#[derive(Debug)]
struct Shared {
    family: Family,
    transcript: Transcript,
    state: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    faults: VecDeque<Fault>,
    /// How often each step has been played, for the faults in the transcript.
    played: HashMap<usize, u32>,
    requests: Vec<Recorded>,
    broken: Vec<String>,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeProvider {
    /// Starts a server on a free port of this machine.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(family: Family, transcript: Transcript) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { family, transcript, state: Mutex::default() });
        let router =
            Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move {
            // Ends only by being aborted.
            axum::serve(listener, service).await.ok();
        });
        Ok(Self { address, family, shared, server })
    }

    /// What to configure as `base_url`.
    #[must_use]
    pub fn base_url(&self) -> String {
        let version = if self.family == Family::Gemini { "v1beta" } else { "v1" };
        format!("http://{}/{version}", self.address)
    }

    /// Plays these faults in place of the next answers, one each.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.log().faults.extend(faults);
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.log().requests.clone()
    }

    /// The rules that requests broke, one sentence each.
    #[must_use]
    pub fn broken_rules(&self) -> Vec<String> {
        self.shared.log().broken.clone()
    }

    /// Sees to it that no request broke a rule.
    ///
    /// # Panics
    /// When one did; the message has the rules.
    pub fn assert_clean(&self) {
        let broken = self.broken_rules();
        assert!(broken.is_empty(), "requests broke the rules of {:?}:\n{}", self.family, broken.join("\n"));
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let family = shared.family;
    match decide(&shared, peer, &uri, &headers, body) {
        Decision::Plain(response) => response,
        Decision::Stream { received, played, fault } => {
            tokio::time::sleep(played.delay).await;
            streamed(family, &received, &played, fault)
        }
    }
}

/// What is to be answered.
enum Decision {
    Plain(Response),
    Stream { received: Received, played: Played, fault: Option<Fault> },
}

fn decide(shared: &Shared, peer: SocketAddr, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Decision {
    let family = shared.family;
    let received = wire::read(family, uri, headers, &body);
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut log = shared.log();
    log.requests.push(Recorded { at: Instant::now(), peer, path, headers: headers.clone(), body });
    let refuse = |message: &str| {
        let status = StatusCode::BAD_REQUEST;
        let body = fault::error(family, status, "invalid_request_error", message);
        Decision::Plain((status, Json(body)).into_response())
    };
    let received = match received {
        Ok(received) => received,
        Err(rules) => {
            let request = log.requests.len();
            let message = rules.join("; ");
            log.broken.extend(rules.into_iter().map(|rule| format!("request {request}: {rule}")));
            return refuse(&message);
        }
    };
    let fault = log.faults.pop_front();
    if let Some(response) = fault.as_ref().and_then(|fault| plain(fault, family, headers)) {
        return Decision::Plain(response);
    }
    let played = match shared.transcript.play(&received.request) {
        Ok(played) => played,
        Err(mismatch) => {
            log.broken.push(mismatch.to_string());
            return refuse(&mismatch.to_string());
        }
    };
    let tries = log.played.entry(played.step).or_default();
    *tries += 1;
    let fault = fault.or_else(|| scripted_fault(&played, *tries));
    match fault.as_ref().and_then(|fault| plain(fault, family, headers)) {
        Some(response) => Decision::Plain(response),
        None => Decision::Stream { received, played, fault },
    }
}

fn scripted_fault(played: &Played, tries: u32) -> Option<Fault> {
    let fault = played.fault.filter(|fault| tries <= fault.times)?;
    Some(match fault.kind {
        FaultKind::Disconnect => Fault::Cut,
        FaultKind::Overload => Fault::Overloaded,
    })
}

/// A fault that is a whole HTTP answer.
fn plain(fault: &Fault, family: Family, headers: &HeaderMap) -> Option<Response> {
    if *fault == Fault::Redirect {
        let elsewhere = [(header::LOCATION, "http://elsewhere.invalid/v1")];
        return Some((StatusCode::TEMPORARY_REDIRECT, elsewhere).into_response());
    }
    if *fault == Fault::WebPage {
        return Some(([(header::CONTENT_TYPE, "text/html")], "<html>hello</html>").into_response());
    }
    let key = ["x-api-key", "x-goog-api-key", "authorization"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok());
    let key = key.unwrap_or_default().trim_start_matches("Bearer ");
    let (status, body): (StatusCode, Value) = fault.response(family, key)?;
    let mut response = (status, Json(body)).into_response();
    if let Fault::RateLimited(after) = fault
        && let Ok(after) = HeaderValue::from_str(after)
    {
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    Some(response)
}

fn streamed(family: Family, received: &Received, played: &Played, fault: Option<Fault>) -> Response {
    let events = wire::stream(family, &received.request, played);
    let half = events.len() / 2;
    let begun = || events[..half.max(1)].concat();
    let body = match fault {
        Some(Fault::Cut) => {
            let cut = io::Error::other("cut");
            Body::from_stream(stream::iter([Ok(begun()), Err(cut)]))
        }
        Some(Fault::Stall) => {
            Body::from_stream(stream::iter([Ok::<_, io::Error>(begun())]).chain(stream::pending()))
        }
        Some(Fault::ErrorInStream) => Body::from(begun() + &Fault::event(family)),
        Some(Fault::Garbage) => Body::from(b"data: {\xff\xfe not json\n\ndata: <html>\r\n\r\n".to_vec()),
        Some(Fault::SlowDrip) => {
            let bytes = events.concat().into_bytes();
            Body::from_stream(stream::iter(bytes.into_iter().map(|byte| Ok::<_, io::Error>(vec![byte]))))
        }
        // The other faults are whole answers by themselves, and were given as such.
        Some(
            Fault::RateLimited(_)
            | Fault::ServerError
            | Fault::Overloaded
            | Fault::Unauthorised
            | Fault::NoSuchModel
            | Fault::ContextOverflow
            | Fault::OutOfCredit
            | Fault::BadReasoning
            | Fault::Redirect
            | Fault::WebPage,
        )
        | None => Body::from(events.concat()),
    };
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
}
