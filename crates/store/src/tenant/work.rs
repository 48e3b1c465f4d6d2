//! Sessions.

use cofferdam_domain::{Digest, Event, EventBody, Owner, ProjectId, Rank, Seq, SessionId, Timestamp};
use futures_util::stream::{BoxStream, StreamExt as _};

use super::{Tenant, TenantError};
use crate::{
    Placement, SessionFilter, SessionRow, StoreError, Ticket, Verified, Writer, directory::FIRST_PROJECT,
};

/// A session to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// In this project; `None` for the one that the token is limited to, or the organisation's first.
    pub project: Option<ProjectId>,
    /// Higher goes first; 0 is usual.
    pub priority: i16,
}

impl Tenant {
    /// Makes a session of theirs for the queue.
    ///
    /// # Errors
    /// [`TenantError::NotFound`] when the project is not theirs; as [`crate::Store::enqueue`].
    pub async fn enqueue(
        &self,
        new: NewSession,
        at: Timestamp,
        first: EventBody,
        rest: Vec<EventBody>,
    ) -> Result<Vec<Event>, TenantError> {
        self.may(Rank::Member)?;
        let NewSession { id: session, project, priority } = new;
        let project = self.project(project).await?;
        let owner = Owner { org: self.actor.org, project, user: self.actor.user };
        let ticket = Ticket { owner, placement: Placement::Queued { priority } };
        Ok(self.store.enqueue(ticket, session, at, first, rest).await?)
    }

    async fn project(&self, wanted: Option<ProjectId>) -> Result<ProjectId, TenantError> {
        let projects = self.store.projects(self.actor.org).await?;
        let found = match wanted.or(self.actor.project) {
            Some(wanted) => projects.iter().find(|project| project.id == wanted && self.sees(project.id)),
            None => projects.iter().find(|project| project.name == FIRST_PROJECT).or(projects.first()),
        };
        match (found, wanted) {
            (Some(project), _) => Ok(project.id),
            (None, wanted) => {
                let id = wanted.map(|wanted| wanted.to_string()).unwrap_or_default();
                Err(self.not_found("project", &id).await?)
            }
        }
    }

    /// A session.
    ///
    /// # Errors
    /// [`TenantError::NotFound`], or when the store cannot be read.
    pub async fn session(&self, session: SessionId) -> Result<SessionRow, TenantError> {
        self.may(Rank::Viewer)?;
        self.seen(session).await
    }

    /// Sessions, newest first. The filter's organisation is always theirs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn sessions(&self, filter: SessionFilter) -> Result<Vec<SessionRow>, TenantError> {
        match self.seen_by(filter)? {
            Some(filter) => Ok(self.store.sessions(filter).await?),
            None => Ok(Vec::new()),
        }
    }

    /// A page of sessions, newest first, and where the next one begins, if there is one. A search for a text always answers soon: where many have it
    /// and few of them pass the rest of the filter, its page may have few of what there is, and the next one goes on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn page(
        &self,
        filter: SessionFilter,
    ) -> Result<(Vec<SessionRow>, Option<SessionId>), TenantError> {
        let Some(filter) = self.seen_by(filter)? else { return Ok((Vec::new(), None)) };
        if filter.text.is_some() {
            return Ok(self.store.search(filter).await?);
        }
        let (full, limit) = (filter.limit as usize, filter.limit.saturating_add(1));
        let mut rows = self.store.sessions(SessionFilter { limit, ..filter }).await?;
        if rows.len() <= full {
            return Ok((rows, None));
        }
        rows.truncate(full);
        let next = rows.last().map(|row| row.id);
        Ok((rows, next))
    }

    /// The filter for what they may see; `None` where that is nothing.
    fn seen_by(&self, filter: SessionFilter) -> Result<Option<SessionFilter>, TenantError> {
        self.may(Rank::Viewer)?;
        if filter.project.is_some_and(|project| !self.sees(project)) {
            return Ok(None);
        }
        let project = filter.project.or(self.actor.project);
        Ok(Some(SessionFilter { org: Some(self.actor.org), project, ..filter }))
    }

    /// A session's events after `after`.
    ///
    /// # Errors
    /// [`TenantError::NotFound`]; as [`crate::Store::read`].
    pub async fn read(&self, session: SessionId, after: Seq, limit: u32) -> Result<Vec<Event>, TenantError> {
        self.session(session).await?;
        Ok(self.store.read(session, after, limit).await?)
    }

    /// All of a session's events.
    ///
    /// # Errors
    /// [`TenantError::NotFound`]; as [`crate::Store::log`].
    pub async fn log(&self, session: SessionId) -> Result<Vec<Event>, TenantError> {
        self.session(session).await?;
        Ok(self.store.log(session).await?)
    }

    /// A session's events after `after`, and all that come.
    ///
    /// # Errors
    /// [`TenantError::NotFound`]; as [`crate::Store::follow`].
    pub async fn follow(
        &self,
        session: SessionId,
        after: Seq,
    ) -> Result<BoxStream<'static, Result<Event, StoreError>>, TenantError> {
        self.session(session).await?;
        Ok(self.store.follow(session, after).await?)
    }

    /// Sessions that got new events, as they do.
    ///
    /// # Errors
    /// When the store cannot be listened to.
    pub async fn changes(&self) -> Result<BoxStream<'static, SessionId>, TenantError> {
        self.may(Rank::Viewer)?;
        let changes = self.store.changes(self.actor.org).await?;
        let Some(only) = self.actor.project else { return Ok(changes) };
        let tenant = self.clone();
        let theirs = changes.filter_map(move |session| {
            let tenant = tenant.clone();
            async move {
                let row = tenant.store.session(Some(tenant.actor.org), session).await.ok().flatten()?;
                (row.owner.project == only).then_some(session)
            }
        });
        Ok(theirs.boxed())
    }

    /// Content that a session refers to.
    ///
    /// # Errors
    /// [`TenantError::NotFound`] also where the session does not refer to it; as [`crate::Store::blob`].
    pub async fn blob(&self, session: SessionId, digest: Digest) -> Result<Vec<u8>, TenantError> {
        self.session(session).await?;
        if !self.store.is_blob_of(session, digest).await? {
            return Err(self.not_found("content", &digest.to_string()).await?);
        }
        Ok(self.store.blob(digest).await?)
    }

    /// Appends what this person says to a session.
    ///
    /// # Errors
    /// [`TenantError::NotFound`]; as [`crate::Store::append`].
    pub async fn append(
        &self,
        session: SessionId,
        at: Timestamp,
        bodies: Vec<EventBody>,
    ) -> Result<Vec<Event>, TenantError> {
        self.may(Rank::Member)?;
        self.seen(session).await?;
        Ok(self.store.append(session, Writer::Anybody, at, bodies).await?)
    }

    /// Appends what this person decided on the ground of all events up to `after`.
    ///
    /// # Errors
    /// [`StoreError::Behind`] where anything was appended since; as [`Self::append`].
    pub async fn append_after(
        &self,
        session: SessionId,
        after: Seq,
        at: Timestamp,
        bodies: Vec<EventBody>,
    ) -> Result<Vec<Event>, TenantError> {
        self.may(Rank::Member)?;
        self.seen(session).await?;
        Ok(self.store.append(session, Writer::Reader { after }, at, bodies).await?)
    }

    /// Puts a session out of sight, or back.
    ///
    /// # Errors
    /// [`TenantError::NotFound`], or when the store cannot be written.
    pub async fn set_archived(&self, session: SessionId, archived: bool) -> Result<(), TenantError> {
        self.may(Rank::Member)?;
        self.seen(session).await?;
        Ok(self.store.set_archived(session, archived).await?)
    }

    /// Deletes a session for good, and writes down that this was done.
    ///
    /// # Errors
    /// [`TenantError::NotFound`], or when the store cannot be written.
    pub async fn forget(&self, session: SessionId, at: Timestamp) -> Result<(), TenantError> {
        self.may(Rank::Admin)?;
        self.seen(session).await?;
        // Before it is done: nothing happens unrecorded.
        self.write_down("session.forgotten", &session.to_string(), "{}", at).await?;
        Ok(self.store.forget(session).await?)
    }

    /// Checks all that is stored of a session.
    ///
    /// # Errors
    /// [`TenantError::NotFound`]; as [`crate::Store::verify`].
    pub async fn verify(&self, session: SessionId) -> Result<Verified, TenantError> {
        self.session(session).await?;
        Ok(self.store.verify(session).await?)
    }
}
