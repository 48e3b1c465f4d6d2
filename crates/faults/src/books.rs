//! What was accepted, and what has become of it so far.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cofferdam_domain::SessionId;
use serde_json::Value;

/// A task that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) key: String,
    pub(crate) task: Value,
    pub(crate) session: SessionId,
    pub(crate) ended: bool,
    /// Workers that it may have been lost with since.
    pub(crate) lost_with: u32,
}

/// What was accepted. Several threads write.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<Vec<Accepted>>);

impl Books {
    fn entries(&self) -> MutexGuard<'_, Vec<Accepted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task was accepted.
    pub(crate) fn enter(&self, key: String, task: Value, session: SessionId) {
        self.entries().push(Accepted { key, task, session, ended: false, lost_with: 0 });
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Accepted> {
        self.entries().clone()
    }

    /// Those that have not ended.
    pub(crate) fn open(&self) -> Vec<SessionId> {
        self.entries().iter().filter(|accepted| !accepted.ended).map(|accepted| accepted.session).collect()
    }

    /// A session has ended.
    pub(crate) fn ended(&self, session: SessionId) {
        for accepted in self.entries().iter_mut().filter(|accepted| accepted.session == session) {
            accepted.ended = true;
        }
    }

    /// Workers may be lost now.
    pub(crate) fn workers_are_lost(&self) {
        for accepted in self.entries().iter_mut().filter(|accepted| !accepted.ended) {
            accepted.lost_with += 1;
        }
    }

    /// The most workers that one that has not ended may have been lost with.
    pub(crate) fn most_lost(&self) -> u32 {
        self.entries()
            .iter()
            .filter(|accepted| !accepted.ended)
            .map(|accepted| accepted.lost_with)
            .max()
            .unwrap_or(0)
    }
}
