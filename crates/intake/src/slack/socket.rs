//! Socket Mode: a connection that is opened to Slack, by which it tells what happens.
//!
//! What comes is acknowledged when it is kept and not before; what is not acknowledged comes again. A connection lives for some hours: Slack says
//! so before it ends, and the next one is opened while the last one still is read. One that is silent is given up; when none can be opened it is
//! tried again and again, ever more seldom.
//!
//! Source: <https://docs.slack.dev/apis/events-api/using-socket-mode>.

use std::{sync::Arc, time::Duration};

use cofferdam_domain::Secret;
use cofferdam_store::{Arrival, Everything};
use cofferdam_tell::{Slack, SlackError};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use url::Url;

use super::{SlackWay, event::Delivered};
use crate::{Accepted, Way as _, now};

/// How long opening a connection may take.
const OPENING: Duration = Duration::from_secs(20);
/// When a silent connection is asked whether it is there, and when it is given up. Slack says something every few seconds.
const SILENCE: Duration = Duration::from_secs(30);
const GIVE_UP: Duration = Duration::from_secs(75);
/// How long a connection is read on that Slack is about to end.
const LAST: Duration = Duration::from_secs(30);
/// A connection that has lived so long was one.
const WORTH: Duration = Duration::from_secs(10);
/// How long it is waited before one is opened anew, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Bytes of one message.
const LARGEST: usize = 1024 * 1024;

/// Listens to a workspace.
pub struct Listener {
    store: Arc<dyn Everything>,
    way: Arc<SlackWay>,
    slack: Slack,
    token: Secret,
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

type Socket = WebSocketStream<Box<dyn Wire>>;

/// Why a connection is read no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is about to be ended: another one is due.
    Refresh,
    /// It is no more.
    Lost,
    /// Socket Mode was turned off.
    Disabled,
}

/// No connection can be had.
#[derive(Debug, thiserror::Error)]
enum Unopened {
    #[error(transparent)]
    Slack(#[from] SlackError),
    #[error("no connection can be opened ({0})")]
    Connection(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    envelope_id: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    reason: Option<String>,
}

impl Listener {
    pub(super) fn new(store: Arc<dyn Everything>, way: Arc<SlackWay>, slack: Slack, token: Secret) -> Self {
        Self { store, way, slack, token }
    }

    /// Listens until it is asked to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut listening = JoinSet::new();
        listening.spawn(Arc::new(self).listen());
        // Nobody can ask any more where that fails.
        stop.wait_for(|stop| *stop).await.ok();
        listening.shutdown().await;
    }

    /// For ever.
    async fn listen(self: Arc<Self>) {
        // Dropped with this, so that nobody listens on.
        let mut ending = JoinSet::new();
        let mut pause = PAUSE;
        loop {
            while ending.try_join_next().is_some() {}
            let began = Instant::now();
            let (end, heard) = match self.open().await {
                Ok(mut socket) => {
                    let (end, heard) = self.serve(&mut socket).await;
                    if end == End::Refresh {
                        let listener = Arc::clone(&self);
                        ending.spawn(async move {
                            timeout(LAST, listener.serve(&mut socket)).await.map(drop).ok()
                        });
                    }
                    (end, heard)
                }
                Err(error) => {
                    tracing::warn!(source = self.slack.name(), %error, "Slack cannot be listened to");
                    if let Unopened::Slack(SlackError::ForNow { again: Some(again), .. }) = &error {
                        sleep(Duration::from_millis(again.millis_since(now()))).await;
                    }
                    (End::Lost, false)
                }
            };
            match end {
                End::Refresh | End::Lost => {}
                End::Disabled => {
                    tracing::warn!(
                        source = self.slack.name(),
                        "Socket Mode is turned off: turn it on in the app's settings"
                    );
                    pause = LONGEST_PAUSE;
                }
            }
            let worth = heard || began.elapsed() >= WORTH;
            if worth && end != End::Disabled {
                pause = PAUSE;
            }
            if end != End::Refresh || !worth {
                sleep(pause + Duration::from_millis(now().0 % 250)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    async fn open(&self) -> Result<Socket, Unopened> {
        let url = self.slack.socket(&self.token).await?;
        let opened = timeout(OPENING, connect(&url)).await;
        opened.unwrap_or_else(|_| Err("it took too long".to_owned())).map_err(Unopened::Connection)
    }

    /// Reads a connection until it ends. Says whether anything happened by it.
    async fn serve(&self, socket: &mut Socket) -> (End, bool) {
        let (mut heard, mut last) = (false, Instant::now());
        loop {
            let message = match timeout_at(Instant::now() + SILENCE, socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(_)) | None) => return (End::Lost, heard),
                Err(_) if last.elapsed() >= GIVE_UP => return (End::Lost, heard),
                Err(_) => {
                    if socket.send(Message::Ping(Vec::new().into())).await.is_err() {
                        return (End::Lost, heard);
                    }
                    continue;
                }
            };
            last = Instant::now();
            let end = match message {
                Message::Text(text) => {
                    let end = self.take(socket, &text).await;
                    heard = heard || text.contains("envelope_id");
                    end
                }
                Message::Close(_) => Some(End::Lost),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
            };
            if let Some(end) = end {
                return (end, heard);
            }
        }
    }

    /// Takes one message: what is to be kept is, and then it is acknowledged.
    async fn take(&self, socket: &mut Socket, text: &str) -> Option<End> {
        let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else {
            tracing::warn!(source = self.slack.name(), "Slack has said something that cannot be read");
            return None;
        };
        if envelope.kind == "disconnect" {
            let disabled = envelope.reason.as_deref() == Some("link_disabled");
            return Some(if disabled { End::Disabled } else { End::Refresh });
        }
        let id = envelope.envelope_id?;
        if envelope.kind == "events_api"
            && !self.keep(envelope.payload.map(RawValue::get).unwrap_or_default()).await
        {
            return None;
        }
        let acknowledged = json!({ "envelope_id": id }).to_string();
        socket.send(Message::text(acknowledged)).await.is_err().then_some(End::Lost)
    }

    /// Keeps an event. `false` where it must come again.
    async fn keep(&self, payload: &str) -> bool {
        let name = self.slack.name();
        let accepted = match Delivered::of_json(payload.as_bytes()) {
            Ok(delivered) => self.way.keep(delivered),
            Err(error) => {
                // It would be the same the next time.
                tracing::warn!(source = name, reason = %error, "something was refused");
                return true;
            }
        };
        let Accepted::Keep(kept) = accepted else { return true };
        let arrival = Arrival {
            source: name.to_owned(),
            id: kept.id,
            event: kept.event,
            line: kept.line,
            org: self.way.org(),
            at: now(),
            body: payload.as_bytes().to_vec(),
        };
        match self.store.arrive(arrival).await {
            Ok(new) => {
                tracing::debug!(source = name, new, "something arrived");
                true
            }
            Err(error) => {
                tracing::warn!(source = name, %error, "something that arrived could not be kept");
                false
            }
        }
    }
}

/// Opens a connection. Its address has a secret in it, which no message says.
async fn connect(url: &Url) -> Result<Socket, String> {
    let host = url.host_str().ok_or("its address has no host")?;
    let port = url.port_or_known_default().ok_or("its address has no port")?;
    let stream =
        TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let wire: Box<dyn Wire> = if url.scheme() == "wss" {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| "its host is no name".to_owned())?;
        let tls = TlsConnector::from(Arc::new(trust()?)).connect(name, stream).await;
        Box::new(tls.map_err(|error| error.to_string())?)
    } else {
        Box::new(stream)
    };
    let bounds = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
    let opened = client_async_with_config(url.as_str(), wire, Some(bounds)).await;
    opened.map(|(socket, _)| socket).map_err(|_| "it is no WebSocket".to_owned())
}

/// The roots of this machine.
fn trust() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
}
