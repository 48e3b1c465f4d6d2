//! Sessions in the store of this machine.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Result, bail};
use async_trait::async_trait;
use cofferdam_domain::{Event, EventBody, PullRequest, Seq, SessionId, SessionState};
use cofferdam_forge::{Authorship, Forge as _, Git, Identity, LocalForge};
use cofferdam_server::{Act, Desk};
use cofferdam_store::{Everything, SessionFilter, Writer};
use futures_util::{StreamExt as _, stream::BoxStream};

use super::{Cancelled, Line, Sessions};

/// Asks the store.
pub(crate) struct Here {
    pub(crate) store: Arc<dyn Everything>,
    pub(crate) desk: Desk,
    pub(crate) data: PathBuf,
    pub(crate) identity: Identity,
    /// Who asks, as text for people.
    pub(crate) user: String,
    /// This process as a worker, as text for people.
    pub(crate) worker: String,
}

impl Here {
    fn forge(&self) -> Result<LocalForge> {
        Ok(LocalForge::new(Git::find()?, self.data.join("forge")))
    }

    async fn append(&self, session: SessionId, body: EventBody) -> Result<()> {
        self.store.append(session, Writer::Anybody, cofferdam_worker::now(), vec![body]).await?;
        Ok(())
    }

    /// The pull request as the forge has it.
    async fn found(&self, session: SessionId) -> Result<(LocalForge, PullRequest)> {
        // Whatever is asked about a session that does not exist, that is what there is to say.
        self.store.read(session, Seq::START, 1).await?;
        let forge = self.forge()?;
        match forge.find(session).await? {
            Some(pull_request) => Ok((forge, pull_request)),
            None => bail!("{session} has no pull request: `cofferdam show {session}` says how far it came"),
        }
    }
}

#[async_trait]
impl Sessions for Here {
    async fn list(&self, limit: u32, before: Option<SessionId>) -> Result<Vec<Line>> {
        let filter = SessionFilter { before, limit, ..SessionFilter::default() };
        Ok(self.store.sessions(filter).await?.into_iter().map(Into::into).collect())
    }

    async fn events(&self, session: SessionId) -> Result<Vec<Event>> {
        Ok(self.store.log(session).await?)
    }

    async fn follow(&self, session: SessionId, after: Seq) -> Result<BoxStream<'static, Result<Event>>> {
        Ok(self.store.follow(session, after).await?.map(|event| Ok(event?)).boxed())
    }

    async fn patch(&self, session: SessionId, events: &[Event]) -> Result<Option<Vec<u8>>> {
        Ok(cofferdam_worker::patch(&Git::find()?, &self.data, session, events).await?)
    }

    async fn pull_request(&self, session: SessionId) -> Result<Option<PullRequest>> {
        self.store.read(session, Seq::START, 1).await?;
        Ok(self.forge()?.find(session).await?)
    }

    async fn act(&self, session: SessionId, act: Act) -> Result<()> {
        self.desk.act(session, act).await?;
        Ok(())
    }

    async fn fork(
        &self,
        session: SessionId,
        at: Seq,
        model: Option<String>,
        instruction: Option<String>,
    ) -> Result<SessionId> {
        Ok(self.desk.fork(session, at, model, instruction).await?)
    }

    async fn cancel(&self, session: SessionId) -> Result<Cancelled> {
        let Some(row) = self.store.session(None, session).await? else {
            bail!("there is no session {session}: `cofferdam sessions` lists them")
        };
        if row.state == SessionState::Ended {
            bail!("{session} has ended already: `cofferdam show {session}`");
        }
        self.append(session, EventBody::CancelAsked { by: self.user.clone() }).await?;
        if row.claimed || Line::from(row).queued {
            return Ok(Cancelled::Asked);
        }
        cofferdam_worker::settle(self.store.clone(), session, &self.worker).await?;
        Ok(Cancelled::Now)
    }

    async fn merge(&self, session: SessionId) -> Result<PullRequest> {
        let (forge, pull_request) = self.found(session).await?;
        let authorship = Authorship {
            identity: self.identity.clone(),
            at: cofferdam_worker::now(),
            session,
            title: pull_request.title,
        };
        let merged = forge.merge(&authorship).await?;
        self.append(session, EventBody::PullRequestClosed { state: merged.state.clone() }).await?;
        Ok(merged)
    }

    async fn close(&self, session: SessionId) -> Result<PullRequest> {
        let (forge, _) = self.found(session).await?;
        let closed = forge.close(session).await?;
        self.append(session, EventBody::PullRequestClosed { state: closed.state.clone() }).await?;
        Ok(closed)
    }
}
