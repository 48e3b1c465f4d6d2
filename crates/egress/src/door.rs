//! The door of one session: what all its connections share, and the sandboxes that it serves.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use cofferdam_domain::{
    CallId, SandboxId, Timestamp,
    egress::{EgressLimits, EgressRule, Operation, Refusal},
};
use rustls::{crypto::CryptoProvider, pki_types::CertificateDer};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, mpsc, watch},
};

use crate::{
    authority::{Leaves, Trust},
    connection::{self, Arrival},
    credential::Credentials,
    decide::{Decision, Denied},
    error::EgressError,
    grants::Grants,
    http::{Packages, Wanted},
    ledger::Ledger,
    listeners::{Capture, Listeners},
    meter::Meter,
    names::{self, Placeholders},
    patience::Patience,
    problem::PolicyProblem,
    record::Record,
    refuse::denied,
    rules::Rules,
    tasks::Tasks,
    upstream::{Dialler, Pool, Resolver, Trusted, Upstream},
    watchlist::Watchlist,
};

/// Requests of one door under way at the same time, which is what its files and connections outside are bounded by. A
/// connection may have a hundred streams; the others wait, in order.
const MOST_FLIGHTS: usize = 256;

/// How long to wait when the system has no more descriptors for connections.
const BREATH: Duration = Duration::from_millis(50);

/// What a door is made of.
pub(crate) struct Parts<'a> {
    pub(crate) rules: Rules,
    pub(crate) packages: Packages,
    pub(crate) credentials: Credentials,
    pub(crate) limits: EgressLimits,
    pub(crate) record: Arc<dyn Record>,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) trusted: &'a Trusted,
    pub(crate) resolver: Resolver,
    pub(crate) patience: Patience,
    pub(crate) watchlist: Watchlist,
}

/// What the connections of one door share.
pub(crate) struct Shared {
    pub(crate) leaves: Leaves,
    pub(crate) names: Placeholders,
    pub(crate) ledger: Ledger,
    pub(crate) credentials: Credentials,
    pub(crate) upstream: Upstream,
    pub(crate) patience: Patience,
    pub(crate) grants: Grants,
    pub(crate) packages: Packages,
    pub(crate) watchlist: Watchlist,
    roots: Vec<CertificateDer<'static>>,
    /// Why the door is closed, if it is.
    closed: watch::Sender<Option<Arc<str>>>,
}

impl Shared {
    /// The rules at this moment.
    pub(crate) fn rules(&self) -> Rules {
        self.grants.rules()
    }

    /// Whether a request that was let out once, and is not over, still may: what it could change may be held back by now.
    pub(crate) fn still_permits(&self, wanted: &Wanted) -> Result<(), Denied> {
        let rules = self.rules();
        if rules.why_held().is_none() {
            return Ok(());
        }
        match rules.request(&wanted.as_request()) {
            Decision::Refuse(denied) if denied.code == Refusal::Mixed => Err(denied),
            Decision::Allow(_) | Decision::Refuse(_) => Ok(()),
        }
    }

    /// Whether anything may pass at all.
    pub(crate) fn open(&self) -> Result<(), Denied> {
        match self.closed.borrow().as_deref() {
            None => Ok(()),
            Some(reason) => Err(denied(Refusal::Closed, reason)),
        }
    }

    /// Tells from now on when the door is closed or opened again.
    fn watch(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.closed.subscribe()
    }
}

/// The one way out of a session's sandboxes. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

/// One sandbox is served. When this is dropped, all its connections end.
pub struct Serving {
    door: Arc<Shared>,
    sandbox: SandboxId,
    tasks: Arc<Tasks>,
}

impl Door {
    pub(crate) fn new(parts: Parts<'_>) -> Result<Self, EgressError> {
        let dialler = Dialler::new(&parts.provider, parts.trusted.store.clone(), parts.patience.connect)?;
        let flights = usize::try_from(parts.limits.connections).unwrap_or(MOST_FLIGHTS);
        let meter = Arc::new(Meter::new(parts.limits));
        let mut packages = parts.packages;
        packages.listings.count_with(meter.clone());
        let upstream = Upstream {
            resolver: parts.resolver,
            dialler,
            pool: Pool::default(),
            meter,
            flights: Arc::new(Semaphore::new(flights.clamp(1, MOST_FLIGHTS))),
            tasks: Tasks::default(),
        };
        Ok(Self(Arc::new(Shared {
            leaves: Leaves::new(parts.provider)?,
            names: Placeholders::default(),
            ledger: Ledger::new(parts.record),
            credentials: parts.credentials,
            upstream,
            patience: parts.patience,
            grants: Grants::new(parts.rules),
            packages,
            watchlist: parts.watchlist,
            roots: parts.trusted.certificates.clone(),
            closed: watch::Sender::new(None),
        })))
    }

    /// What a sandbox needs so that its programs trust the door.
    #[must_use]
    pub fn trust(&self) -> Trust {
        crate::authority::trust(self.0.leaves.authority(), &self.0.roots)
    }

    /// The certificate of the authority that its TLS is of, in DER: for a program of the worker's own that goes through it.
    #[must_use]
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.0.leaves.authority().certificate().clone()
    }

    /// Serves what arrives at a sandbox's listeners. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the listeners are not usable.
    pub fn serve(&self, sandbox: SandboxId, listeners: Listeners) -> io::Result<Serving> {
        let serving = Serving { door: self.0.clone(), sandbox, tasks: Arc::default() };
        let Listeners { tcp, dns, streams, capture } = listeners;
        let mut v6 = false;
        for listener in tcp {
            v6 |= listener.local_addr()?.is_ipv6();
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            serving.tasks.spawn(Reception::of(&serving).accept_all(listener, capture));
        }
        if let Some(streams) = streams {
            serving.tasks.spawn(Reception::of(&serving).take_all(streams, capture));
        }
        for socket in dns {
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            serving.tasks.spawn(names::answer_all(self.0.clone(), sandbox, socket, v6));
        }
        Ok(serving)
    }

    /// Permits this too, until then or to the end of the session.
    ///
    /// # Errors
    /// When the rule could not be in a policy.
    pub fn grant(&self, rule: EgressRule, until: Option<Timestamp>) -> Result<(), PolicyProblem> {
        self.0.grants.grant(rule, until)
    }

    /// Holds back for this reason what could change something outside, until a person grants it; or lets the rules alone decide. What is under way
    /// is held to it too.
    pub fn hold_back(&self, why: Option<&str>) {
        self.0.grants.hold_back(why);
    }

    /// Says which tool calls run now in a sandbox, for the log.
    pub fn running(&self, sandbox: SandboxId, calls: Vec<CallId>) {
        self.0.ledger.running(sandbox, calls);
    }

    /// Writes down now what was refused again and again and counted since.
    pub fn flush(&self) {
        self.0.ledger.flush();
    }

    /// Refuses everything from now on, and ends what is under way.
    pub fn close(&self, reason: &str) {
        self.0.closed.send_replace(Some(reason.into()));
        self.0.ledger.flush();
    }

    /// Lets pass again what the rules permit.
    pub fn reopen(&self) {
        self.0.closed.send_replace(None);
    }
}

impl Serving {
    /// Serves a connection that arrived otherwise than at the listeners: where a driver catches connections itself, it says
    /// where they were meant to go. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the connection is not usable.
    pub fn take(&self, connection: std::net::TcpStream, destination: SocketAddr) -> io::Result<()> {
        connection.set_nonblocking(true)?;
        let stream = TcpStream::from_std(connection)?;
        Reception::of(self).receive(stream, Arrival::At(destination));
        Ok(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.tasks.end();
        self.door.ledger.running(self.sandbox, Vec::new());
        self.door.ledger.flush();
    }
}

/// Takes the connections of one sandbox.
struct Reception {
    door: Arc<Shared>,
    sandbox: SandboxId,
    /// The owner ends them, so they cannot own it.
    tasks: Weak<Tasks>,
}

impl Reception {
    fn of(serving: &Serving) -> Self {
        let Serving { door, sandbox, tasks } = serving;
        Self { door: door.clone(), sandbox: *sandbox, tasks: Arc::downgrade(tasks) }
    }

    async fn accept_all(self, listener: TcpListener, capture: Capture) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let arrival = Arrival::of(&stream, capture);
                    self.receive(stream, arrival);
                }
                // Descriptors are out, or the connection had gone: others may fare better.
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    async fn take_all(self, mut streams: mpsc::Receiver<std::net::TcpStream>, capture: Capture) {
        while let Some(stream) = streams.recv().await {
            // One that cannot be used is closed, and its program hears of that.
            let usable = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = usable {
                let arrival = Arrival::of(&stream, capture);
                self.receive(stream, arrival);
            }
        }
    }

    fn receive(&self, stream: TcpStream, arrival: Arrival) {
        let Some(tasks) = self.tasks.upgrade() else { return };
        match self.door.upstream.meter.connection() {
            Ok(counted) => {
                let (door, sandbox, owner) = (self.door.clone(), self.sandbox, tasks.clone());
                let mut turns = self.door.watch();
                tasks.spawn(async move {
                    let served = connection::serve(door, sandbox, owner, stream, arrival);
                    // What was under way when the door was closed is over.
                    tokio::select! {
                        () = served => {}
                        _ = turns.changed() => {}
                    }
                    drop(counted);
                });
            }
            Err(denied) => {
                let operation = Operation::Connection { host: arrival.to_string(), port: 0 };
                self.door.ledger.refuse(self.sandbox, operation, &denied);
            }
        }
    }
}
