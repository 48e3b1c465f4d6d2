//! Sessions in the store of this machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Result, bail};
use async_trait::async_trait;
use cofferdam_domain::{
    Event, EventBody, OrgId, Owner, Part, PullRequest, PullRequestState, Seq, SessionId, SessionState,
};
use cofferdam_forge::{Authorship, Forges, Git, Identity, LocalForge, RepositoryAddress, SigningKey};
use cofferdam_server::{Act, Desk};
use cofferdam_store::{Everything, SessionFilter, Writer};
use futures_util::{StreamExt as _, stream::BoxStream};

use super::{Cancelled, Line, Sessions};
use crate::args::ForkArguments;

/// Asks the store.
pub(crate) struct Here {
    pub(crate) store: Arc<dyn Everything>,
    pub(crate) desk: Desk,
    pub(crate) data: PathBuf,
    pub(crate) git: Git,
    /// The built-in forge among `forges`.
    pub(crate) local: LocalForge,
    pub(crate) forges: Forges,
    pub(crate) identity: Identity,
    /// The key that signs commits.
    pub(crate) signing_key: Option<PathBuf>,
    /// Who asks, as text for people.
    pub(crate) user: String,
    /// This process as a worker, as text for people.
    pub(crate) worker: String,
}

/// A pull request of a session and where it is.
struct Found {
    part: Part,
    org: OrgId,
    repository: RepositoryAddress,
    pull_request: PullRequest,
}

impl Here {
    async fn append(&self, session: SessionId, body: EventBody) -> Result<()> {
        self.store.append(session, Writer::Anybody, cofferdam_worker::now(), vec![body]).await?;
        Ok(())
    }

    /// The pull requests as their forges have them.
    async fn found(&self, session: SessionId) -> Result<Vec<Found>> {
        // Whatever is asked about a session that does not exist, that is what there is to say.
        let events = self.store.read(session, Seq::START, 1).await?;
        let Some(EventBody::TaskAccepted { task }) = events.into_iter().next().map(|event| event.body) else {
            bail!("{session} has no task: its log is damaged")
        };
        let org = self.store.session(None, session).await?.map_or(Owner::LOCAL.org, |row| row.owner.org);
        let mut found = Vec::new();
        for part in task.parts() {
            let Some((repository, _)) = task.at(part) else { continue };
            let repository = RepositoryAddress::parse(&self.git, repository, Path::new("/")).await?;
            let pull_request = self.forges.of(org, &repository).find(&repository, session).await?;
            found.extend(pull_request.map(|pull_request| Found { part, org, repository, pull_request }));
        }
        Ok(found)
    }

    /// Those about which something can be done; where there is none, the first, whose forge has something to say.
    async fn open(&self, session: SessionId) -> Result<Vec<Found>> {
        let mut found = self.found(session).await?;
        if found.is_empty() {
            bail!("{session} has no pull request: `cofferdam show {session}` says how far it came")
        }
        let is_open = |found: &Found| found.pull_request.state == PullRequestState::Open;
        match found.iter().any(is_open) {
            true => found.retain(is_open),
            false => found.truncate(1),
        }
        Ok(found)
    }

    /// Writes down what became of a pull request.
    async fn closed(&self, session: SessionId, part: Part, state: PullRequestState) -> Result<()> {
        self.append(session, EventBody::PullRequestClosed { state }.about_part(part)).await
    }
}

#[async_trait]
impl Sessions for Here {
    async fn list(&self, limit: u32, before: Option<SessionId>, all: bool) -> Result<Vec<Line>> {
        let filter = SessionFilter { before, limit, subagents: all, ..SessionFilter::default() };
        Ok(self.store.sessions(filter).await?.into_iter().map(Into::into).collect())
    }

    async fn events(&self, session: SessionId) -> Result<Vec<Event>> {
        Ok(self.store.log(session).await?)
    }

    async fn follow(&self, session: SessionId, after: Seq) -> Result<BoxStream<'static, Result<Event>>> {
        Ok(self.store.follow(session, after).await?.map(|event| Ok(event?)).boxed())
    }

    async fn patch(&self, session: SessionId, events: &[Event]) -> Result<Option<Vec<u8>>> {
        Ok(cofferdam_worker::patch(&self.git, &self.data, session, events).await?)
    }

    async fn pull_request(&self, session: SessionId) -> Result<Option<PullRequest>> {
        // Also where its repository is not there any more.
        if let Some(record) = self.local.record(session)? {
            return Ok(Some(record));
        }
        Ok(self.found(session).await?.into_iter().next().map(|found| found.pull_request))
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

    async fn fork_several(&self, fork: &ForkArguments) -> Result<Vec<SessionId>> {
        let ForkArguments { session, at, model, instruction, several } = fork;
        let own = several.attempt_models.clone();
        let models = if own.is_empty() { model.iter().cloned().collect() } else { own };
        let (number, choose) = (several.several().unwrap_or(1), several.choose.unwrap_or_default());
        let from = (*session, Seq(*at));
        Ok(self.desk.fork_several(from, instruction.clone(), number, models, choose).await?)
    }

    async fn attempts(&self, session: SessionId) -> Result<Vec<SessionId>> {
        let Some(row) = self.store.session(None, session).await? else {
            bail!("there is no session {session}: `cofferdam sessions` lists them")
        };
        let Some(first) = row.attempt_of else { return Ok(Vec::new()) };
        let (org, attempt_of) = (Some(row.owner.org), Some(first));
        let all = SessionFilter { org, attempt_of, ..SessionFilter::default() };
        Ok(self.store.sessions(all).await?.into_iter().map(|row| row.id).collect())
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

    async fn merge(&self, session: SessionId) -> Result<Vec<PullRequest>> {
        let signing = match &self.signing_key {
            Some(file) => Some(SigningKey::open(&self.git, file).await?),
            None => None,
        };
        let mut all = Vec::new();
        for Found { part, org, repository, pull_request } in self.open(session).await? {
            let head = pull_request.head_commit.parse()?;
            let authorship = Authorship {
                identity: self.identity.clone(),
                at: cofferdam_worker::now(),
                session,
                co_author: None,
                signing: signing.clone(),
                title: pull_request.title,
            };
            let merged = self.forges.of(org, &repository).merge(&repository, &head, &authorship).await?;
            self.closed(session, part, merged.state.clone()).await?;
            all.push(merged);
        }
        Ok(all)
    }

    async fn close(&self, session: SessionId) -> Result<Vec<PullRequest>> {
        let mut all = Vec::new();
        for Found { part, org, repository, .. } in self.open(session).await? {
            let closed = self.forges.of(org, &repository).close(&repository, session).await?;
            self.closed(session, part, closed.state.clone()).await?;
            all.push(closed);
        }
        Ok(all)
    }
}
