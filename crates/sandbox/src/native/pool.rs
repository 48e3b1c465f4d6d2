//! The warm pool: sandboxes that have been begun ahead of time, for whoever comes next.
//!
//! What waits here has namespaces, a root directory and control groups, and its process 1 waits to be told what it is for. It has no layer,
//! no id and nothing of any session, and it is used once. It is made after somebody has taken one, a moment later, so that the two do not
//! share the processor. What is wanted next is taken to be of the kind that was wanted last.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cofferdam_domain::{SandboxId, policy::Limits};
use tokio::{runtime::Handle, time::sleep};

use super::{
    cgroup::{Groups, SandboxGroup, Version},
    nursery::Nursery,
    zygote::{Begun, Kind},
};
use crate::SandboxError;

/// How long after one has been taken the next is begun.
const PAUSE: Duration = Duration::from_millis(20);

/// Sandboxes that wait.
#[derive(Debug)]
pub(super) struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    size: usize,
    nursery: Arc<Nursery>,
    groups: Arc<Groups>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest first.
    waiting: Vec<Waiting>,
    /// How many are being begun.
    filling: usize,
    closed: bool,
}

/// A sandbox that has been begun, with its control groups.
#[derive(Debug)]
pub(super) struct Waiting {
    kind: Kind,
    pub(super) begun: Begun,
    pub(super) group: SandboxGroup,
}

impl Pool {
    /// A pool of so many, which are begun when it is told of what kind.
    pub(super) fn new(size: usize, nursery: Arc<Nursery>, groups: Arc<Groups>) -> Self {
        Self { inner: Arc::new(Inner { size, nursery, groups, state: Mutex::default() }) }
    }

    /// Takes one of this kind, if there is one.
    pub(super) fn take(&self, kind: &Kind) -> Option<Waiting> {
        let mut state = self.inner.lock();
        // One that has died is of no use to anybody.
        state.waiting.retain(|waiting| waiting.begun.lives());
        match state.waiting.iter().position(|waiting| waiting.kind == *kind) {
            Some(position) => Some(state.waiting.remove(position)),
            None => {
                // Makes room for one of the kind that is wanted now.
                if state.waiting.len() == self.inner.size && !state.waiting.is_empty() {
                    drop(state.waiting.remove(0));
                }
                None
            }
        }
    }

    /// Begins as many as are missing, in the background, with these limits for now.
    pub(super) fn refill(&self, kind: &Kind, limits: Limits) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut state = self.inner.lock();
        while state.waiting.len() + state.filling < self.inner.size {
            state.filling += 1;
            let (inner, kind) = (Arc::clone(&self.inner), kind.clone());
            runtime.spawn(async move {
                sleep(PAUSE).await;
                let made = inner.begin(kind, &limits).await;
                let mut state = inner.lock();
                state.filling -= 1;
                // What failed fails again for whoever needs it, and then the reason is told.
                if let (Ok(waiting), false) = (made, state.closed) {
                    state.waiting.push(waiting);
                }
            });
        }
    }

    /// How many could be taken now.
    pub(super) fn ready(&self) -> usize {
        self.inner.lock().waiting.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.closed = true;
        state.waiting.clear();
    }
}

impl Inner {
    async fn begin(&self, kind: Kind, limits: &Limits) -> Result<Waiting, SandboxError> {
        if self.lock().closed {
            return Err(SandboxError::Gone("its driver has ended".to_owned()));
        }
        let mut group = SandboxGroup::new();
        let name = SandboxId::generate().to_string();
        self.groups.add(Version::Two, &name, &mut group)?;
        self.groups.add(Version::One, &name, &mut group)?;
        Groups::limit(&mut group, limits)?;
        let zygote = self.nursery.zygote().await?;
        let mut begun = zygote.begin(kind.clone(), &group, Groups::tasks(&group)?).await?;
        begun.ready().await?;
        Ok(Waiting { kind, begun, group })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
