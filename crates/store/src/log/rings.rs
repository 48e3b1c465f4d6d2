//! Who is told that something has happened. A ring only says "look again": whoever hears it reads what there is from where it was, so that
//! rings may come late, twice, or for nothing.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cofferdam_domain::SessionId;
use tokio::sync::{broadcast, watch};

use crate::StoreError;

/// Changes that a slow listener may be behind before it is told to look at everything.
const BACKLOG: usize = 1024;

/// Everybody who listens; shared by all who ring. `None` once nobody can ring any more.
#[derive(Debug, Clone)]
pub(crate) struct Rings {
    heard: Arc<Mutex<Option<Heard>>>,
}

/// What is heard of beside sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matter {
    /// The queue may have something to give, or its next time to look is another.
    Queue,
    /// There may be a letter to take, or the next time to look is another.
    Letters,
    /// There may be an arrival to take, or the next time to look is another.
    Arrivals,
    /// There may be another app of a forge, or one fewer.
    Apps,
}

impl Matter {
    const ALL: [Self; 4] = [Self::Queue, Self::Letters, Self::Arrivals, Self::Apps];

    /// What it is called where it is heard of. No session is called so.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Letters => "letters",
            Self::Arrivals => "arrivals",
            Self::Apps => "apps",
        }
    }
}

#[derive(Debug)]
struct Heard {
    sessions: HashMap<SessionId, watch::Sender<()>>,
    changes: broadcast::Sender<SessionId>,
    matters: [watch::Sender<()>; Matter::ALL.len()],
}

impl Rings {
    pub(crate) fn new() -> Self {
        let heard = Heard {
            sessions: HashMap::new(),
            changes: broadcast::channel(BACKLOG).0,
            matters: Matter::ALL.map(|_| watch::channel(()).0),
        };
        Self { heard: Arc::new(Mutex::new(Some(heard))) }
    }

    /// A session has new events.
    pub(crate) fn ring(&self, session: SessionId) {
        if let Some(heard) = self.lock().as_ref() {
            if let Some(rings) = heard.sessions.get(&session) {
                rings.send_replace(());
            }
            // Nobody may be listening.
            drop(heard.changes.send(session));
        }
    }

    /// There is something of this matter.
    pub(crate) fn ring_of(&self, matter: Matter) {
        if let Some(heard) = self.lock().as_ref() {
            heard.matters[matter as usize].send_replace(());
        }
    }

    /// Passes on what is called so: a matter or a session.
    pub(crate) fn pass_on(&self, name: &str) {
        if let Some(matter) = Matter::ALL.into_iter().find(|matter| matter.name() == name) {
            self.ring_of(matter);
        } else if let Ok(session) = name.parse::<SessionId>() {
            self.ring(session);
        }
    }

    /// Something may have been missed: everybody is to look again.
    pub(crate) fn ring_all(&self) {
        if let Some(heard) = self.lock().as_mut() {
            heard.sessions.values().for_each(|rings| {
                rings.send_replace(());
            });
            heard.matters.iter().for_each(|rings| {
                rings.send_replace(());
            });
            // Those who listen to it find their channel closed, and take that as having been too slow.
            heard.changes = broadcast::channel(BACKLOG).0;
        }
    }

    /// Nobody rings any more: whoever listens learns that it would wait in vain.
    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    /// Hears of a session's new events from now on, for as long as `hold` is held. `None` when nobody rings any more.
    pub(crate) fn session(&self, session: SessionId, hold: impl Any + Send + Sync) -> Option<Listener> {
        let mut heard = self.lock();
        let sessions = &mut heard.as_mut()?.sessions;
        sessions.retain(|_, rings| rings.receiver_count() > 0);
        let rings = sessions.entry(session).or_insert_with(|| watch::channel(()).0).subscribe();
        Some(Listener { rings, _hold: Box::new(hold) })
    }

    /// Hears of a matter.
    pub(crate) fn matter(&self, matter: Matter, hold: impl Any + Send + Sync) -> Option<Listener> {
        let rings = self.lock().as_ref()?.matters[matter as usize].subscribe();
        Some(Listener { rings, _hold: Box::new(hold) })
    }

    /// Hears which sessions have new events.
    pub(crate) fn changes(&self) -> Option<broadcast::Receiver<SessionId>> {
        Some(self.lock().as_ref()?.changes.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears rings.
pub(crate) struct Listener {
    rings: watch::Receiver<()>,
    _hold: Box<dyn Any + Send + Sync>,
}

impl Listener {
    /// Takes note of all rings so far: whether there were any since the last mark. What is read after this needs no further ring.
    pub(crate) fn mark(&mut self) -> bool {
        let rung = self.rings.has_changed().unwrap_or_default();
        self.rings.mark_unchanged();
        rung
    }

    /// Waits for a ring since the last mark, of which the next mark takes note.
    pub(crate) async fn rung(&mut self) -> Result<(), StoreError> {
        self.rings.changed().await.map_err(|_| StoreError::Deaf)?;
        self.rings.mark_changed();
        Ok(())
    }
}
