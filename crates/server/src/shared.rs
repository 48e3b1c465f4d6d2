//! What all requests share: the parts that the composition root handed down, and what is counted.

use std::sync::Arc;

use cofferdam_domain::Timestamp;
use cofferdam_store::{CheckpointKey, Everything};
use tokio::sync::{Semaphore, watch};

use crate::{
    access::OpenId,
    forges::Forges,
    hooks::Hooks,
    limits::{Limits, Streams},
    metrics::Metrics,
    origin::Origin,
    server::{AuditKey, Choices, Clock, Eraser, Numbers, SecretSeal},
    tail::Tails,
};

/// Waits until a signal to stop turns true, or nobody can give it any more.
pub(crate) async fn stopped(signal: &mut watch::Receiver<bool>) {
    // Whichever it is, it is over.
    signal.wait_for(|stop| *stop).await.map(drop).ok();
}

/// The state of every handler.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inside>);

pub(crate) struct Inside {
    pub(crate) store: Arc<dyn Everything>,
    pub(crate) origin: Origin,
    pub(crate) choices: Choices,
    pub(crate) seal: Box<dyn SecretSeal>,
    pub(crate) openid: Option<OpenId>,
    pub(crate) eraser: Option<Box<dyn Eraser>>,
    pub(crate) hooks: Option<Box<dyn Hooks>>,
    pub(crate) forges: Option<Box<dyn Forges>>,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) numbers: Numbers,
    pub(crate) audit_key: AuditKey,
    pub(crate) streams: Streams,
    /// A permit for each byte that is posted by other programs and held at once.
    pub(crate) posted: Arc<Semaphore>,
    pub(crate) tails: Tails,
    pub(crate) metrics: Metrics,
    /// Rises when somebody's rights may have shrunk: live streams look again whether they may go on.
    pub(crate) rights: watch::Sender<u64>,
    /// Turns true when the server is to end: live streams do.
    pub(crate) stopping: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(inside: Inside) -> Self {
        Self(Arc::new(inside))
    }

    pub(crate) fn store(&self) -> &Arc<dyn Everything> {
        &self.0.store
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    pub(crate) fn choices(&self) -> &Choices {
        &self.0.choices
    }

    pub(crate) fn seal(&self) -> &dyn SecretSeal {
        &*self.0.seal
    }

    pub(crate) fn openid(&self) -> Option<&OpenId> {
        self.0.openid.as_ref()
    }

    pub(crate) fn eraser(&self) -> Option<&dyn Eraser> {
        self.0.eraser.as_deref()
    }

    pub(crate) fn hooks(&self) -> Option<&dyn Hooks> {
        self.0.hooks.as_deref()
    }

    pub(crate) fn forges(&self) -> Option<&dyn Forges> {
        self.0.forges.as_deref()
    }

    pub(crate) fn posted(&self) -> &Arc<Semaphore> {
        &self.0.posted
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// What else this process counts, in the text format of Prometheus.
    pub(crate) fn numbers(&self) -> String {
        (self.0.numbers)()
    }

    /// What signs where audit logs end.
    pub(crate) fn audit_key(&self) -> Result<CheckpointKey, Box<dyn std::error::Error + Send + Sync>> {
        (self.0.audit_key)()
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    pub(crate) fn tails(&self) -> &Tails {
        &self.0.tails
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// Tells live streams to look again whether they may go on.
    pub(crate) fn rights_changed(&self) {
        self.0.rights.send_modify(|version| *version += 1);
    }

    /// Hears of [`Self::rights_changed`].
    pub(crate) fn rights(&self) -> watch::Receiver<u64> {
        self.0.rights.subscribe()
    }

    /// Hears that the server is to end.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    /// Tells everything that lives long to end.
    pub(crate) fn stop(&self) {
        self.0.stopping.send_replace(true);
    }
}
