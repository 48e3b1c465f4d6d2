//! The store as one person of one organisation may use it.
//!
//! Once a server knows who asks, it answers with nothing else of the store. Every method looks first whether what it is asked about belongs to the organisation (and to the
//! project, where a token is limited to one) and whether the person's rank suffices. What belongs to others is answered like what does not
//! exist, and either is written down.

mod apps;
mod memories;
mod people;
mod playbooks;
mod registry;
mod rules;
mod told;
mod work;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cofferdam_domain::{Actor, AuditId, ProjectId, Rank, SessionId, Timestamp};

pub use self::work::NewSession;
use crate::{AuditEntry, Everything, SessionRow, StoreError};

/// The store as one person of one organisation may use it. Clones are the same person.
#[derive(Clone)]
pub struct Tenant {
    store: Arc<dyn Everything>,
    actor: Arc<Actor>,
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenant").field("actor", &self.actor).finish_non_exhaustive()
    }
}

/// Why something is not done for somebody.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// There is no such thing, or it is somebody else's: which of them is not said.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Their rank does not suffice.
    #[error("this takes the rank {}: ask an admin of the organisation", needs.name())]
    Forbidden {
        /// What would.
        needs: Rank,
    },
    /// The store failed, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Tenant {
    /// What `actor` sees of the store.
    #[must_use]
    pub fn new(store: Arc<dyn Everything>, actor: Actor) -> Self {
        Self { store, actor: Arc::new(actor) }
    }

    /// Who it is.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Refuses unless the rank suffices.
    fn may(&self, needs: Rank) -> Result<(), TenantError> {
        if self.actor.may(needs) { Ok(()) } else { Err(TenantError::Forbidden { needs }) }
    }

    /// Refuses a token that is limited to a project, for what concerns the whole organisation.
    fn may_for_all(&self, needs: Rank) -> Result<(), TenantError> {
        self.may(needs)?;
        if self.actor.project.is_some() { Err(TenantError::Forbidden { needs }) } else { Ok(()) }
    }

    /// The session's row, if they may see it.
    async fn seen(&self, session: SessionId) -> Result<SessionRow, TenantError> {
        let row = self.store.session(Some(self.actor.org), session).await?;
        match row {
            Some(row) if self.sees(row.owner.project) => Ok(row),
            Some(_) | None => Err(self.not_found("session", &session.to_string()).await?),
        }
    }

    fn sees(&self, project: ProjectId) -> bool {
        self.actor.project.is_none_or(|only| only == project)
    }

    /// Writes down that somebody asked for what is not theirs, or is not there.
    async fn not_found(&self, what: &'static str, id: &str) -> Result<TenantError, TenantError> {
        self.write_down("tenancy.foreign_id", id, "{}", now()).await?;
        Ok(TenantError::NotFound(what))
    }

    async fn write_down(
        &self,
        action: &str,
        subject: &str,
        detail: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let entry = AuditEntry {
            id: AuditId::generate(),
            at,
            by: self.actor.name.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
        };
        self.store.audit(self.actor.org, entry).await
    }
}

/// The time of what is written down without being asked for.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
