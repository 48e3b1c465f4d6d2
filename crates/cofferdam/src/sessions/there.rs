//! Sessions behind a server.

use anyhow::{Result, bail};
use async_trait::async_trait;
use cofferdam_agent::Agent;
use cofferdam_domain::{
    Also, Event, EventBody, Part, PullRequest, PullRequestState, Seq, SessionId, attempt::Choose,
};
use cofferdam_server::{Act, Client, ClientError};
use futures_util::{StreamExt as _, stream::BoxStream};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Cancelled, Line, Sessions};
use crate::args::ForkArguments;

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
    pub(crate) sparse: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<Also>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) attempt_models: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) choose: Option<Choose>,
}

#[derive(Deserialize)]
struct Made {
    id: SessionId,
    #[serde(default)]
    attempts: Vec<SessionId>,
}

#[derive(Deserialize)]
struct Compared {
    attempts: Vec<OneCompared>,
}

#[derive(Deserialize)]
struct OneCompared {
    session: SessionId,
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

    /// Asks the server for anything else.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Has a task accepted.
    pub(crate) async fn begin(&self, task: &NewTask) -> Result<SessionId> {
        let made: Made = self.client.create("/sessions", &serde_json::to_value(task)?).await?;
        Ok(made.id)
    }

    /// Has several attempts at a task accepted.
    pub(crate) async fn begin_several(&self, task: &NewTask) -> Result<Vec<SessionId>> {
        let made: Made = self.client.create("/sessions", &serde_json::to_value(task)?).await?;
        Ok(made.attempts)
    }

    /// Waits for what a worker does about the pull request of a repository after an event.
    async fn closed(&self, session: SessionId, part: Part, after: Seq) -> Result<()> {
        let mut events = self.client.follow(session, after);
        while let Some(event) = events.next().await {
            let event = event?;
            let (of, body) = event.body.in_part();
            if of != part {
                continue;
            }
            if let EventBody::PullRequestClosed { .. } = body {
                return Ok(());
            }
            if let EventBody::MergeFailed { reason } = body {
                bail!("{reason}");
            }
        }
        bail!("the server ended before it was done: `cofferdam pr {session}` says what came of it")
    }

    /// The pull requests of these parts, as the log says.
    async fn requests(&self, session: SessionId) -> Result<Vec<(Part, PullRequest)>> {
        let requests = Agent::of(session, &self.events(session).await?).pull_requests();
        if requests.is_empty() {
            bail!("{session} has no pull request: `cofferdam show {session}` says how far it came")
        }
        Ok(requests)
    }

    /// Those among them that became what was asked.
    async fn among(&self, session: SessionId, asked: &[Part]) -> Result<Vec<PullRequest>> {
        let requests = self.requests(session).await?.into_iter();
        Ok(requests.filter(|(part, _)| asked.contains(part)).map(|(_, request)| request).collect())
    }

    async fn last(&self, session: SessionId) -> Result<Seq> {
        let line: Line = self.client.get(&format!("/sessions/{session}")).await?;
        Ok(line.events)
    }
}

#[async_trait]
impl Sessions for There {
    async fn list(&self, limit: u32, before: Option<SessionId>, all: bool) -> Result<Vec<Line>> {
        /// The most that a server gives at once.
        const PAGE: u32 = 200;
        let mut lines: Vec<Line> = Vec::new();
        let mut before = before;
        while (lines.len() as u64) < u64::from(limit) {
            let wanted = (limit - u32::try_from(lines.len())?).min(PAGE);
            let cursor =
                before.map(|session| format!("&cursor={}", Client::cursor(session))).unwrap_or_default();
            let all = if all { "&subagents=true" } else { "" };
            let page: Page = self.client.get(&format!("/sessions?limit={wanted}{all}{cursor}")).await?;
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

    async fn fork_several(&self, fork: &ForkArguments) -> Result<Vec<SessionId>> {
        let ForkArguments { session, at, model, instruction, several } = fork;
        let body = json!({
            "at": at,
            "model": model,
            "instruction": instruction,
            "attempts": several.attempts,
            "attempt_models": several.attempt_models,
            "choose": several.choose,
        });
        let made: Made = self.client.create(&format!("/sessions/{session}/fork"), &body).await?;
        Ok(made.attempts)
    }

    async fn attempts(&self, session: SessionId) -> Result<Vec<SessionId>> {
        let compared: Compared = self.client.get(&format!("/sessions/{session}/attempts")).await?;
        Ok(compared.attempts.into_iter().map(|attempt| attempt.session).collect())
    }

    async fn cancel(&self, session: SessionId) -> Result<Cancelled> {
        self.client.act(session, &Act::Cancel).await?;
        Ok(Cancelled::Asked)
    }

    async fn merge(&self, session: SessionId) -> Result<Vec<PullRequest>> {
        let requests = open_or_first(self.requests(session).await?);
        for (part, request) in &requests {
            let before = self.last(session).await?;
            self.client.act(session, &Act::Merge { commit: request.head_commit.clone() }).await?;
            self.closed(session, *part, before).await?;
        }
        self.among(session, &parts(&requests)).await
    }

    async fn close(&self, session: SessionId) -> Result<Vec<PullRequest>> {
        let requests = open_or_first(self.requests(session).await?);
        let before = self.last(session).await?;
        self.client.act(session, &Act::Close).await?;
        for (part, _) in &requests {
            self.closed(session, *part, before).await?;
        }
        self.among(session, &parts(&requests)).await
    }
}

/// Those that are open; where none is, the first, about which the server has something to say.
fn open_or_first(requests: Vec<(Part, PullRequest)>) -> Vec<(Part, PullRequest)> {
    let is_open = |(_, request): &(Part, PullRequest)| request.state == PullRequestState::Open;
    match requests.iter().any(is_open) {
        true => requests.into_iter().filter(is_open).collect(),
        false => requests.into_iter().take(1).collect(),
    }
}

fn parts(requests: &[(Part, PullRequest)]) -> Vec<Part> {
    requests.iter().map(|(part, _)| *part).collect()
}

/// What there is, or nothing.
fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
