//! Connections to hosts that can be used again. A pool belongs to one door, and a connection in it to one site and
//! credential: what was sent with one key never shares a connection with what is sent with another or with none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use cofferdam_domain::egress::Addresses;
use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use crate::http::{Site, Upload};

/// How long a connection is kept that nobody uses.
const KEEP: Duration = Duration::from_secs(30);
/// Idle connections of one lane at most.
const MOST_IDLE: usize = 16;

/// What may share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) site: Site,
    pub(crate) addresses: Addresses,
    pub(crate) credential: Option<String>,
}

/// A connection that takes requests. It has room for many of them in its queue, so that their bodies are kept outside.
pub(crate) enum Sender {
    /// One after the other.
    One(http1::SendRequest<Box<Upload>>),
    /// Side by side.
    Two(http2::SendRequest<Box<Upload>>),
}

impl Sender {
    fn is_open(&self) -> bool {
        match self {
            Self::One(sender) => !sender.is_closed(),
            Self::Two(sender) => !sender.is_closed(),
        }
    }
}

struct Idle {
    sender: Sender,
    since: Instant,
}

#[derive(Default)]
struct Lanes {
    idle: HashMap<Lane, Vec<Idle>>,
    /// Whether somebody waits to close what nobody uses.
    watched: bool,
}

/// The connections of one door.
#[derive(Default)]
pub(crate) struct Pool {
    lanes: Arc<Mutex<Lanes>>,
}

impl Pool {
    /// A connection that is there already. One that takes requests side by side stays.
    pub(crate) fn take(&self, lane: &Lane) -> Option<Sender> {
        let mut lanes = lock(&self.lanes);
        let idle = lanes.idle.get_mut(lane)?;
        idle.retain(|idle| idle.sender.is_open());
        let last = idle.pop()?;
        if let Sender::Two(sender) = &last.sender {
            let sender = sender.clone();
            idle.push(Idle { since: Instant::now(), ..last });
            return Some(Sender::Two(sender));
        }
        Some(last.sender)
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, lane: &Lane, sender: Sender) {
        if !sender.is_open() {
            return;
        }
        let mut lanes = lock(&self.lanes);
        let idle = lanes.idle.entry(lane.clone()).or_default();
        if idle.len() >= MOST_IDLE {
            idle.remove(0);
        }
        idle.push(Idle { sender, since: Instant::now() });
        if !lanes.watched {
            lanes.watched = true;
            tokio::spawn(watch(Arc::downgrade(&self.lanes)));
        }
    }
}

/// Closes what nobody has used for a while, until nothing is left: an idle door has no timer.
async fn watch(lanes: Weak<Mutex<Lanes>>) {
    loop {
        tokio::time::sleep(KEEP).await;
        let Some(lanes) = lanes.upgrade() else { return };
        let mut lanes = lock(&lanes);
        lanes.idle.retain(|_, idle| {
            idle.retain(|idle| idle.sender.is_open() && idle.since.elapsed() < KEEP);
            !idle.is_empty()
        });
        if lanes.idle.is_empty() {
            lanes.watched = false;
            return;
        }
    }
}

fn lock(lanes: &Mutex<Lanes>) -> MutexGuard<'_, Lanes> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}
