//! The server as a whole: its parts, its routes, and the loop that takes connections.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, body::Body, extract::Request, middleware};
use cofferdam_domain::{OrgId, Secret, SessionId, Thread, Timestamp};
use cofferdam_store::{CheckpointKey, Everything};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

use crate::{
    Forges, Hooks, Limits, OpenId, Origin, api, headers, hooks,
    limits::{MAX_FIELDS, MAX_HEAD, POSTED_AT_ONCE, Streams},
    metrics::Metrics,
    pages, patience,
    shared::{Inside, Shared, stopped},
    tail::Tails,
};

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// More numbers of this process, in the text format of Prometheus.
pub type Numbers = Arc<dyn Fn() -> String + Send + Sync>;

/// Gives the key that signs where audit logs end.
pub type AuditKey =
    Arc<dyn Fn() -> Result<CheckpointKey, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// Encrypts what is kept for an organisation. Whoever puts secrets in cannot get them out again.
#[async_trait]
pub trait SecretSeal: Send + Sync {
    /// Encrypts a secret, bound to the organisation and the name that it is kept under.
    ///
    /// # Errors
    /// When there is no key, with what to do about it.
    async fn seal(&self, org: OrgId, name: &str, secret: &Secret) -> Result<Vec<u8>, SealError>;
}

/// Removes what sessions have left on this machine, outside the store.
#[async_trait]
pub trait Eraser: Send + Sync {
    /// Removes all of a session's. It is no error when there is nothing.
    ///
    /// # Errors
    /// When something cannot be removed; says what.
    async fn erase(&self, session: SessionId) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Why a secret cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct SealError {
    /// Why, and what to do about it.
    pub reason: String,
    /// What failed.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What can be chosen for a session.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Models, as `provider/name`; the first is taken where none is named.
    pub models: Vec<String>,
    /// Where repositories may be.
    pub repositories: Repositories,
    /// Where the issues and pull requests are that tasks come from.
    pub threads: Threads,
    /// Names of the MCP servers that are configured.
    pub servers: Vec<String>,
}

/// Finds the page of an issue or a pull request, on a forge that is configured.
#[derive(Clone, Default)]
pub struct Threads(Option<Arc<FindsThread>>);

type FindsThread = dyn Fn(&Thread) -> Option<String> + Send + Sync;

impl Threads {
    /// Found by this.
    #[must_use]
    pub fn new(find: impl Fn(&Thread) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(find)))
    }

    /// The address of its page, where it is known.
    pub(crate) fn page(&self, thread: &Thread) -> Option<String> {
        self.0.as_ref()?(thread)
    }
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Threads")
    }
}

/// Which repositories may be worked on.
#[derive(Debug, Clone, Default)]
pub enum Repositories {
    /// All that the workers can read; what lies on their machine for the organisation `local` alone.
    #[default]
    Any,
    /// All that lies elsewhere: no paths and no file URLs.
    Remote,
    /// Those whose address begins with one of these.
    Below(Vec<String>),
}

/// What a server is made of.
pub struct ServerParts {
    /// The store.
    pub store: Arc<dyn Everything>,
    /// Under which address browsers know it.
    pub origin: Origin,
    /// What can be chosen for a session.
    pub choices: Choices,
    /// Encrypts secrets.
    pub seal: Box<dyn SecretSeal>,
    /// Who else may say who somebody is.
    pub openid: Option<OpenId>,
    /// Removes what deleted sessions have left here; nobody where no worker works here.
    pub eraser: Option<Box<dyn Eraser>>,
    /// Takes what other programs post; nobody does where nothing is configured to be posted.
    pub hooks: Option<Box<dyn Hooks>>,
    /// Knows the forges; there are no pages about them where nobody does.
    pub forges: Option<Box<dyn Forges>>,
    /// Says what time it is.
    pub clock: Clock,
    /// What clients may take.
    pub limits: Limits,
    /// What else `/metrics` shows.
    pub numbers: Numbers,
    /// Signs where audit logs end.
    pub audit_key: AuditKey,
}

/// The server.
#[derive(Clone)]
pub struct Server {
    shared: Shared,
}

impl Server {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: ServerParts) -> Self {
        let ServerParts {
            store,
            origin,
            choices,
            seal,
            openid,
            eraser,
            hooks,
            forges,
            clock,
            limits,
            numbers,
            audit_key,
        } = parts;
        let inside = Inside {
            store,
            origin,
            choices,
            seal,
            openid,
            eraser,
            hooks,
            forges,
            clock,
            limits,
            numbers,
            audit_key,
            streams: Streams::default(),
            posted: Arc::new(Semaphore::new(POSTED_AT_ONCE)),
            tails: Tails::default(),
            metrics: Metrics::default(),
            rights: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
        };
        Self { shared: Shared::new(inside) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// All routes, with what holds for each of them.
    pub fn router(&self) -> Router {
        let shared = &self.shared;
        api::router()
            .merge(pages::router())
            .merge(hooks::router())
            .fallback(api::unknown)
            .method_not_allowed_fallback(api::wrong_method)
            .layer(middleware::from_fn_with_state(shared.clone(), patience::answer_in_time))
            .layer(middleware::from_fn_with_state(shared.clone(), headers::directed))
            .layer(middleware::from_fn_with_state(shared.clone(), headers::secure))
            .layer(middleware::from_fn_with_state(shared.clone(), crate::metrics::count))
            .with_state(shared.clone())
    }

    /// Takes connections until `stop` turns true; then answers what was asked, and returns.
    ///
    /// # Errors
    /// When nothing can be taken from the listener any more.
    pub async fn serve(&self, listener: TcpListener, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let router = self.router();
        let slots = Arc::new(Semaphore::new(self.shared.limits().connections));
        let mut open = JoinSet::new();
        let taken = loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot.map_err(io::Error::other)?,
                () = stopped(&mut stop) => break Ok(()),
            };
            while open.try_join_next().is_some() {}
            let connection = tokio::select! {
                connection = listener.accept() => connection,
                () = stopped(&mut stop) => break Ok(()),
            };
            match connection {
                Ok((stream, _)) => {
                    open.spawn(connected(self.shared.clone(), router.clone(), stream, slot));
                }
                // The client went away, or descriptors are short: neither is helped by ending.
                Err(error) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => break Err(error),
            }
        };
        self.shared.stop();
        let grace = tokio::time::timeout(GRACE, async { while open.join_next().await.is_some() {} });
        if grace.await.is_err() {
            tracing::warn!(left = open.len(), "connections were cut: they did not end in time");
        }
        taken
    }
}

/// How long requests may go on after the server is told to end.
const GRACE: Duration = Duration::from_secs(10);

/// Whether the next connection may be fine although this one is not.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
        || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Answers on one connection.
async fn connected(shared: Shared, router: Router, stream: TcpStream, slot: OwnedSemaphorePermit) {
    // Live streams are many small pieces.
    stream.set_nodelay(true).ok();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        async move {
            let request: Request = request.map(Body::new);
            // A router is always ready.
            tower_service::Service::call(&mut router, request).await.map_err(|never: Infallible| never)
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits().head_time)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stopping = shared.stopping();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(slot);
}
