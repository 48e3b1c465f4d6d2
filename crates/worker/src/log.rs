//! The worker's hand on one session's log: write, then do, then write.
//!
//! [`SessionLog::record`] takes what has become known (facts), lets the agent decide everything that follows from it without doing
//! anything, and makes facts, decisions and intents durable in one append. Only then are the effects returned to be carried out. So a
//! step costs two appends: "the model answered, these tools start" and "the tools finished, the model is asked".
//!
//! Somebody else may append at any time (a message, a cancellation). The append says which event it was decided after; when the log has
//! moved on, the decisions are thrown away, the news is folded in, and the agent decides again on the same facts.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use cofferdam_agent::{Action, Agent};
use cofferdam_domain::{
    CallId, Digest, Event, EventBody, ModelRequest, Part, Seq, SessionId, Stage, Timestamp, ToolCall,
    event::Fixed,
};
use cofferdam_store::{Claim, Store, StoreError, Writer};

use crate::{
    Watch, WorkerError,
    delegate::given_up,
    patience::{Passing as _, Pause, patiently},
};

/// How many events are read from the store at once.
const PAGE: u32 = 512;
/// So many of the latest claims are remembered.
const MOST_CLAIMS: usize = 5;

/// An effect whose intent is in the log: to be carried out now.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A piece of the worker's own work on one of the session's repositories.
    Stage(Part, Stage),
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
pub(crate) struct SessionLog<'c> {
    store: Arc<dyn Store>,
    watch: Arc<dyn Watch>,
    claim: &'c Claim,
    session: SessionId,
    agent: Agent,
    last: Seq,
    last_at: Timestamp,
    head: Digest,
    /// When it was claimed, the last few times.
    claims: VecDeque<Timestamp>,
    /// Somebody took the session back: the agent is not what the log says any more.
    taken_back: bool,
    /// Those that worked for it when it was taken back, earlier.
    given_up: Vec<SessionId>,
}

impl<'c> SessionLog<'c> {
    /// Folds the log of a claimed session.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        watch: Arc<dyn Watch>,
        claim: &'c Claim,
    ) -> Result<Self, WorkerError> {
        let session = claim.session;
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or(Seq::START, |event| event.seq);
            let page = patiently(|| store.read(session, after, PAGE)).await?;
            let whole = page.len() < PAGE as usize;
            events.extend(page);
            if whole {
                break;
            }
        }
        let mut log = Self {
            store,
            watch,
            claim,
            session,
            agent: Agent::of(session, &events),
            last: Seq::START,
            last_at: Timestamp(0),
            head: Digest::ZERO,
            claims: VecDeque::new(),
            taken_back: false,
            given_up: given_up(&events),
        };
        events.iter().for_each(|event| log.advance(event));
        Ok(log)
    }

    /// Whose log it is.
    pub(crate) const fn session(&self) -> SessionId {
        self.session
    }

    /// The sessions that worked for this one before it was last taken back: nobody waits for them, and what counts of the log may not name them.
    pub(crate) fn given_up(&self) -> &[SessionId] {
        &self.given_up
    }

    /// When it was claimed, the last few times.
    pub(crate) fn claims(&self) -> impl Iterator<Item = Timestamp> {
        self.claims.iter().copied()
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
        let effects = self.write(facts, |agent, at, bodies| decide(agent, at, fixed, bodies)).await?;
        effects.ok_or(WorkerError::TakenBack)
    }

    /// Makes `facts` durable from which nothing is to follow now: the worker is about to stop.
    pub(crate) async fn note(&mut self, facts: Vec<EventBody>) -> Result<(), WorkerError> {
        if self.write(facts.clone(), |_, _, _| Vec::new()).await?.is_none() {
            // What happened happened, whatever the session was taken back to.
            let outside = |body: &EventBody| {
                matches!(
                    body,
                    EventBody::EgressAllowed(_) | EventBody::EgressRefused(_) | EventBody::PackageFetched(_)
                )
            };
            let facts: Vec<EventBody> = facts.into_iter().filter(outside).collect();
            if !facts.is_empty() {
                let (store, session) = (&self.store, self.session);
                patiently(|| store.append(session, Writer::Anybody, now(), facts.clone())).await?;
            }
        }
        Ok(())
    }

    /// `None` if somebody has taken the session back: then nothing that is known here means anything.
    async fn write(
        &mut self,
        facts: Vec<EventBody>,
        follow: impl Fn(&mut Agent, Timestamp, &mut Vec<EventBody>) -> Vec<Effect>,
    ) -> Result<Option<Vec<Effect>>, WorkerError> {
        let mut pause = Pause::new();
        loop {
            if self.taken_back {
                return Ok(None);
            }
            let at = now().max(self.last_at);
            let mut agent = self.agent.clone();
            let mut bodies = facts.clone();
            for body in &bodies {
                agent.apply(at, body);
            }
            let effects = follow(&mut agent, at, &mut bodies);
            if bodies.is_empty() {
                return Ok(Some(effects));
            }
            let events = loop {
                let writer = Writer::Worker { claim: self.claim, after: self.last };
                let begun = Instant::now();
                match self.store.append(self.session, writer, at, bodies.clone()).await {
                    Ok(events) => {
                        self.watch.written(begun.elapsed());
                        break events;
                    }
                    Err(StoreError::Behind { .. }) => break Vec::new(),
                    Err(error) if error.passes() => pause.wait().await,
                    Err(error) => return Err(error.into()),
                }
                // It may have been written before the store was out of reach.
                let written = self.written(&bodies).await?;
                if !written.is_empty() {
                    break written;
                }
            };
            if events.is_empty() {
                self.catch_up(true).await?;
                continue;
            }
            self.agent = agent;
            for event in &events {
                self.advance(event);
                self.watch.event(event);
            }
            return Ok(Some(effects));
        }
    }

    /// The events after the last that is known, if they are exactly these.
    async fn written(&self, bodies: &[EventBody]) -> Result<Vec<Event>, WorkerError> {
        let most = u32::try_from(bodies.len()).unwrap_or(u32::MAX);
        let mut events = patiently(|| self.store.read(self.session, self.last, most)).await?;
        if !events.iter().map(|event| &event.body).eq(bodies) {
            events.clear();
        }
        Ok(events)
    }

    /// Folds in what others have appended; tells the watcher if `tell`.
    pub(crate) async fn catch_up(&mut self, tell: bool) -> Result<(), WorkerError> {
        loop {
            let events = patiently(|| self.store.read(self.session, self.last, PAGE)).await?;
            for event in &events {
                self.taken_back |= matches!(event.body, EventBody::RolledBack { .. });
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
        if let EventBody::Claimed { .. } = event.body {
            self.claims.push_back(event.at);
            self.claims.drain(..self.claims.len().saturating_sub(MOST_CLAIMS));
        }
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
            Action::Append(body) => Some((**body).clone()),
            Action::Fix => fixed.map(|fixed| EventBody::PolicyFixed(Box::new(fixed.clone()))),
            Action::Stage(_) | Action::Beside(..) | Action::AskModel { .. } | Action::RunTool { .. } => None,
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
        Action::Stage(stage) => Some(begin(Part::FIRST, stage)),
        Action::Beside(part, stage) => Some(begin(part, stage)),
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

fn begin(part: Part, stage: Stage) -> (EventBody, Effect) {
    (EventBody::StageStarted { stage }.about_part(part), Effect::Stage(part, stage))
}

/// The clock of the log.
#[must_use]
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
