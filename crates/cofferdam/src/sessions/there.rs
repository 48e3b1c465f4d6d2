//! Sessions behind a server.

use anyhow::{Result, bail};
use async_trait::async_trait;
use cofferdam_domain::{Event, EventBody, PullRequest, Seq, SessionId};
use cofferdam_server::{Act, Client, ClientError};
use futures_util::{StreamExt as _, stream::BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Cancelled, Line, Sessions};

/// Asks a server.
pub(crate) struct There {
    client: Client,
}

/// A task for a server.
#[derive(Debug, Serialize)]
pub(crate) struct NewTask {
    pub(crate) prompt: String,
    pub(crate) repository: String,
    pub(crate) base: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) plan_first: bool,
}

#[derive(Deserialize)]
struct Made {
    id: SessionId,
}

#[derive(Deserialize)]
struct Page {
    sessions: Vec<Line>,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
    next: Option<u64>,
}

impl There {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Has a task accepted.
    pub(crate) async fn begin(&self, task: &NewTask) -> Result<SessionId> {
        let made: Made = self.client.create("/sessions", &serde_json::to_value(task)?).await?;
        Ok(made.id)
    }

    /// Waits for what a worker does about the pull request after an event.
    async fn closed(&self, session: SessionId, after: Seq) -> Result<PullRequest> {
        let mut events = self.client.follow(session, after);
        while let Some(event) = events.next().await {
            let body = event?.body;
            if let EventBody::PullRequestClosed { .. } = body {
                return Ok(self.client.get(&format!("/sessions/{session}/pull-request")).await?);
            }
            if let EventBody::MergeFailed { reason } = body {
                bail!("{reason}");
            }
        }
        bail!("the server ended before it was done: `cofferdam pr {session}` says what came of it")
    }

    async fn last(&self, session: SessionId) -> Result<Seq> {
        let line: Line = self.client.get(&format!("/sessions/{session}")).await?;
        Ok(line.events)
    }
}

#[async_trait]
impl Sessions for There {
    async fn list(&self, limit: u32, before: Option<SessionId>) -> Result<Vec<Line>> {
        /// The most that a server gives at once.
        const PAGE: u32 = 200;
        let mut lines: Vec<Line> = Vec::new();
        let mut before = before;
        while (lines.len() as u64) < u64::from(limit) {
            let wanted = (limit - u32::try_from(lines.len())?).min(PAGE);
            let cursor =
                before.map(|session| format!("&cursor={}", Client::cursor(session))).unwrap_or_default();
            let page: Page = self.client.get(&format!("/sessions?limit={wanted}{cursor}")).await?;
            let whole = page.sessions.len() < wanted as usize;
            before = page.sessions.last().map(|line| line.id);
            lines.extend(page.sessions);
            if whole {
                break;
            }
        }
        Ok(lines)
    }

    async fn events(&self, session: SessionId) -> Result<Vec<Event>> {
        let mut events: Vec<Event> = Vec::new();
        let mut after = 0;
        loop {
            let page: Events =
                self.client.get(&format!("/sessions/{session}/events?limit=1000&after={after}")).await?;
            events.extend(page.events);
            match page.next {
                Some(next) => after = next,
                None => return Ok(events),
            }
        }
    }

    async fn follow(&self, session: SessionId, after: Seq) -> Result<BoxStream<'static, Result<Event>>> {
        Ok(self.client.follow(session, after).map(|event| Ok(event?)).boxed())
    }

    async fn patch(&self, session: SessionId, _: &[Event]) -> Result<Option<Vec<u8>>> {
        found(self.client.get_bytes(&format!("/sessions/{session}/diff")).await)
    }

    async fn pull_request(&self, session: SessionId) -> Result<Option<PullRequest>> {
        found(self.client.get(&format!("/sessions/{session}/pull-request")).await)
    }

    async fn act(&self, session: SessionId, act: Act) -> Result<()> {
        Ok(self.client.act(session, &act).await?)
    }

    async fn fork(
        &self,
        session: SessionId,
        at: Seq,
        model: Option<String>,
        instruction: Option<String>,
    ) -> Result<SessionId> {
        let body = json!({ "at": at, "model": model, "instruction": instruction });
        let made: Made = self.client.create(&format!("/sessions/{session}/fork"), &body).await?;
        Ok(made.id)
    }

    async fn cancel(&self, session: SessionId) -> Result<Cancelled> {
        self.client.act(session, &Act::Cancel).await?;
        Ok(Cancelled::Asked)
    }

    async fn merge(&self, session: SessionId) -> Result<PullRequest> {
        let Some(pull_request) = self.pull_request(session).await? else {
            bail!("{session} has no pull request: `cofferdam show {session}` says how far it came")
        };
        let before = self.last(session).await?;
        self.client.act(session, &Act::Merge { commit: pull_request.head_commit }).await?;
        self.closed(session, before).await
    }

    async fn close(&self, session: SessionId) -> Result<PullRequest> {
        let before = self.last(session).await?;
        self.client.act(session, &Act::Close).await?;
        self.closed(session, before).await
    }
}

/// What there is, or nothing.
fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
