//! Sessions as the commands see them: in the store of this machine, or behind a server. One set of commands, two places.

mod here;
mod line;
mod there;

use anyhow::{Result, bail};
use async_trait::async_trait;
use cofferdam_domain::{Event, PullRequest, Seq, SessionId};
use cofferdam_server::Act;
use futures_util::stream::BoxStream;

use crate::args::ForkArguments;

pub(crate) use here::Here;
pub(crate) use line::Line;
pub(crate) use there::{NewTask, There};

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It took effect at once.
    Now,
    /// A worker ends it.
    Asked,
}

/// Where sessions are.
#[async_trait]
pub(crate) trait Sessions: Send + Sync {
    /// Sessions, newest first: at most `limit`, only those made before `before`, those that work for others only where `all` are wanted.
    async fn list(&self, limit: u32, before: Option<SessionId>, all: bool) -> Result<Vec<Line>>;

    /// A session's whole log.
    async fn events(&self, session: SessionId) -> Result<Vec<Event>>;

    /// The events of a session after a place: those that there are, then each new one.
    async fn follow(&self, session: SessionId, after: Seq) -> Result<BoxStream<'static, Result<Event>>>;

    /// What a session with these events changed, as a patch; nothing when it has not come that far.
    async fn patch(&self, session: SessionId, events: &[Event]) -> Result<Option<Vec<u8>>>;

    /// Its pull request, if it has one.
    async fn pull_request(&self, session: SessionId) -> Result<Option<PullRequest>>;

    /// Does one thing with a session.
    async fn act(&self, session: SessionId, act: Act) -> Result<()>;

    /// Makes a session that goes on from an event of another one.
    async fn fork(
        &self,
        session: SessionId,
        at: Seq,
        model: Option<String>,
        instruction: Option<String>,
    ) -> Result<SessionId>;

    /// Makes several such sessions, as attempts of which one is delivered.
    async fn fork_several(&self, fork: &ForkArguments) -> Result<Vec<SessionId>>;

    /// All attempts of which a session is one; nothing where it is the only one.
    async fn attempts(&self, session: SessionId) -> Result<Vec<SessionId>>;

    /// Asks that it end.
    async fn cancel(&self, session: SessionId) -> Result<Cancelled>;

    /// Merges its pull request, or with several repositories all that are open. What came of it; never nothing.
    async fn merge(&self, session: SessionId) -> Result<Vec<PullRequest>>;

    /// Closes them without merging.
    async fn close(&self, session: SessionId) -> Result<Vec<PullRequest>>;
}

impl dyn Sessions {
    /// The session that was named, or the latest.
    pub(crate) async fn named_or_latest(&self, named: Option<SessionId>) -> Result<SessionId> {
        if let Some(session) = named {
            return Ok(session);
        }
        match self.list(1, None, false).await?.first() {
            Some(line) => Ok(line.id),
            None => bail!("there are no sessions yet: `cofferdam demo` makes one"),
        }
    }
}
