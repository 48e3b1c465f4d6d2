//! The worker's hand on one session's log: write, then do, then write.
//!
//! [`SessionLog::record`] takes what has become known (facts), lets the agent decide everything that follows from it without doing
//! anything, and makes facts, decisions and intents durable in one append. Only then are the effects returned to be carried out. So a
//! step costs two appends: "the model answered, these tools start" and "the tools finished, the model is asked".
//!
//! Somebody else may append at any time (a message, a cancellation). The append says which event it was decided after; when the log has
//! moved on, the decisions are thrown away, the news is folded in, and the agent decides again on the same facts.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cofferdam_agent::{Action, Agent};
use cofferdam_domain::{
    CallId, Digest, Event, EventBody, ModelRequest, Seq, SessionId, Stage, Timestamp, ToolCall, event::Fixed,
};
use cofferdam_store::{Claim, Store, StoreError, Writer};

use crate::{Watch, WorkerError};

/// How many events are read from the store at once.
const PAGE: u32 = 512;

/// An effect whose intent is in the log: to be carried out now.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A piece of the worker's own work.
    Stage(Stage),
    /// A model call.
    AskModel {
        /// For which step.
        step: u32,
        /// What to send.
        request: ModelRequest,
    },
    /// A tool call.
    RunTool {
        /// Which.
        call: CallId,
        /// As the model wrote it.
        tool: ToolCall,
    },
}

/// One claimed session: its log and the agent folded from it.
pub(crate) struct SessionLog {
    store: Arc<dyn Store>,
    watch: Arc<dyn Watch>,
    claim: Claim,
    session: SessionId,
    agent: Agent,
    last: Seq,
    last_at: Timestamp,
    head: Digest,
}

impl SessionLog {
    /// Claims the session and folds its log.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        watch: Arc<dyn Watch>,
        session: SessionId,
        worker: &str,
    ) -> Result<Self, WorkerError> {
        let claim = store.claim(session, worker).await?;
        let mut log = Self {
            store,
            watch,
            claim,
            session,
            agent: Agent::new(session),
            last: Seq::START,
            last_at: Timestamp(0),
            head: Digest::ZERO,
        };
        log.catch_up(false).await?;
        Ok(log)
    }

    /// The agent as folded from the durable log.
    pub(crate) const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The place of the last durable event.
    pub(crate) const fn last(&self) -> Seq {
        self.last
    }

    /// When the last durable event was written.
    pub(crate) const fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// The hash of the last durable event.
    pub(crate) const fn head(&self) -> Digest {
        self.head
    }

    /// Whether the session has been claimed before: then whatever was in flight was cut short.
    pub(crate) const fn fence(&self) -> u64 {
        self.claim.fence
    }

    /// Makes `facts`, the agent's decisions on them and the intents of its next effects durable, and returns those effects. `fixed` is
    /// what the session is given when the agent asks for its policy; without it the agent waits at that point.
    pub(crate) async fn record(
        &mut self,
        facts: Vec<EventBody>,
        fixed: Option<&Fixed>,
    ) -> Result<Vec<Effect>, WorkerError> {
        self.write(facts, |agent, at, bodies| decide(agent, at, fixed, bodies)).await
    }

    /// Makes `facts` durable from which nothing is to follow now: the worker is about to stop.
    pub(crate) async fn note(&mut self, facts: Vec<EventBody>) -> Result<(), WorkerError> {
        self.write(facts, |_, _, _| Vec::new()).await.map(drop)
    }

    async fn write(
        &mut self,
        facts: Vec<EventBody>,
        follow: impl Fn(&mut Agent, Timestamp, &mut Vec<EventBody>) -> Vec<Effect>,
    ) -> Result<Vec<Effect>, WorkerError> {
        loop {
            let at = now().max(self.last_at);
            let mut agent = self.agent.clone();
            let mut bodies = facts.clone();
            for body in &bodies {
                agent.apply(at, body);
            }
            let effects = follow(&mut agent, at, &mut bodies);
            if bodies.is_empty() {
                return Ok(effects);
            }
            let writer = Writer::Worker { claim: &self.claim, after: self.last };
            match self.store.append(self.session, writer, at, bodies).await {
                Ok(events) => {
                    self.agent = agent;
                    for event in &events {
                        self.advance(event);
                        self.watch.event(event);
                    }
                    return Ok(effects);
                }
                Err(StoreError::Behind { .. }) => self.catch_up(true).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Folds in what others have appended; tells the watcher if `tell`.
    pub(crate) async fn catch_up(&mut self, tell: bool) -> Result<(), WorkerError> {
        loop {
            let events = self.store.read(self.session, self.last, PAGE).await?;
            for event in &events {
                self.agent.apply(event.at, &event.body);
                self.advance(event);
                if tell {
                    self.watch.event(event);
                }
            }
            if events.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    fn advance(&mut self, event: &Event) {
        self.last = event.seq;
        self.last_at = event.at;
        self.head = event.hash;
    }
}

/// Lets the agent decide until only effects are left to wait for; appends its decisions and the effects' intents to `bodies`.
fn decide(
    agent: &mut Agent,
    at: Timestamp,
    fixed: Option<&Fixed>,
    bodies: &mut Vec<EventBody>,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    loop {
        let actions = agent.next();
        // A decision can change everything that follows: fold it before looking at the rest.
        let decision = actions.iter().find_map(|action| match action {
            Action::Append(body) => Some(body.clone()),
            Action::Fix => fixed.map(|fixed| EventBody::PolicyFixed(Box::new(fixed.clone()))),
            Action::Stage(_) | Action::AskModel { .. } | Action::RunTool { .. } => None,
        });
        if let Some(body) = decision {
            agent.apply(at, &body);
            bodies.push(body);
            continue;
        }
        let intents: Vec<_> = actions.into_iter().filter_map(intend).collect();
        if intents.is_empty() {
            return effects;
        }
        for (intent, effect) in intents {
            agent.apply(at, &intent);
            bodies.push(intent);
            effects.push(effect);
        }
    }
}

fn intend(action: Action) -> Option<(EventBody, Effect)> {
    match action {
        Action::Stage(stage) => Some((EventBody::StageStarted { stage }, Effect::Stage(stage))),
        Action::AskModel { step, compaction, request } => {
            let intent = EventBody::ModelAsked { step, request: request.digest, compaction };
            Some((intent, Effect::AskModel { step, request }))
        }
        Action::RunTool { call, tool } => {
            let intent = EventBody::ToolStarted { call, tool: tool.name.clone() };
            Some((intent, Effect::RunTool { call, tool }))
        }
        Action::Append(_) | Action::Fix => None,
    }
}

/// The clock of the log.
#[must_use]
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
