//! Sessions that this process takes by their id. They are held under a presence of its own, which begins with the first and ends with the last.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use cofferdam_domain::{SessionId, WorkerId};
use tokio::{runtime::Handle, sync::Mutex};

use super::PostgresBase;
use crate::{
    Claim, Presence, StoreError,
    records::{
        presence,
        queue::{self, Ground},
    },
    sql::{self, Database as _},
};

/// How long a process may be silent before others may take what it has.
const PATIENCE: Duration = Duration::from_secs(15);

/// Machines that share a database know nothing of each other beside it.
pub(super) struct Elsewhere;

impl Ground for Elsewhere {
    fn is_held(&self, _: SessionId) -> bool {
        false
    }

    fn is_dead(&self, _: WorkerId) -> bool {
        false
    }
}

/// What this process takes by its id.
#[derive(Debug)]
pub(super) struct Direct {
    base: PostgresBase,
    presence: Mutex<Weak<Presence>>,
}

impl Direct {
    pub(super) fn new(base: PostgresBase) -> Self {
        Self { base, presence: Mutex::new(Weak::new()) }
    }

    /// Takes a session until the claim is dropped.
    pub(super) async fn claim(&self, session: SessionId, name: &str) -> Result<Claim, StoreError> {
        let presence = self.presence().await?;
        let shown: String = name.chars().filter(|character| !character.is_control()).take(200).collect();
        let worker = presence.worker;
        let claim = sql::work(move |sql| {
            Box::pin(
                async move { queue::claim(sql, &Elsewhere, session, Some((worker, shown.as_str()))).await },
            )
        });
        let fence = self.base.transact(claim).await?;
        let hold = Hold { base: self.base.clone(), session, fence, _presence: presence };
        Ok(Claim::new(session, fence, name.to_owned(), hold))
    }

    async fn presence(&self) -> Result<Arc<Presence>, StoreError> {
        let mut shared = self.presence.lock().await;
        if let Some(presence) = shared.upgrade().filter(|presence| !*presence.lost.borrow()) {
            return Ok(presence);
        }
        let worker = WorkerId::generate();
        let presence = presence::enter(self.base.clone(), worker, "a command", PATIENCE, ()).await?;
        let presence = Arc::new(presence);
        *shared = Arc::downgrade(&presence);
        Ok(presence)
    }
}

/// Gives the session back when it is dropped.
struct Hold {
    base: PostgresBase,
    session: SessionId,
    fence: u64,
    _presence: Arc<Presence>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let (base, session, fence) = (self.base.clone(), self.session, self.fence);
        let give_back = async move {
            let work =
                sql::work(move |sql| Box::pin(async move { queue::unclaim(sql, session, fence).await }));
            // Where it fails, the presence ends with this process, and the claim with it.
            drop(base.transact(work).await);
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(give_back);
        }
    }
}
