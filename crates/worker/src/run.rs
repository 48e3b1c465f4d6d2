//! Working on one session until it ends, is interrupted, or the machine fails.
//!
//! All that happens is one of [`Happened`]. Effects run side by side; what comes of them is handled one at a time, here, and written to
//! the log before anything follows from it.

use std::sync::Arc;

use cofferdam_agent::Agent;
use cofferdam_domain::{
    Answer, CallId, EventBody, Outcome, SessionId, Stage, ToolOutcome,
    event::{Fixed, ModelFailure},
};
use cofferdam_model::{Model, ModelError};
use cofferdam_sandbox::Sandbox;
use cofferdam_store::StoreError;
use cofferdam_tools::Toolbox;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use tokio::sync::watch;

use crate::{
    Parts, Watch, WorkerError, effects, log::{Effect, SessionLog}, stages::{self, Done},
};

/// How work on a session came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The session is over.
    Over(Outcome),
    /// The worker was asked to stop; the session can be resumed.
    Interrupted,
}

/// Asks a running worker to stop, by any clone of the receiver turning true.
pub type StopSignal = watch::Receiver<bool>;

/// A sandbox that several tool calls share. The box inside can be taken out again when nobody else holds it.
pub(crate) type SharedSandbox = Arc<Box<dyn Sandbox>>;

/// All that can happen while a session is worked on.
enum Happened {
    /// The model answered, or could not be asked. The model comes back to be asked again.
    Model { model: Box<dyn Model>, step: u32, result: Result<Answer, ModelError>, millis: u64 },
    /// A tool call ended.
    Tool { call: CallId, outcome: ToolOutcome, millis: u64 },
    /// A piece of the worker's own work ended.
    Stage { stage: Stage, result: Result<Done, WorkerError> },
    /// The log has grown by somebody else's hand.
    News(Result<(), StoreError>),
    /// Somebody wants the worker to stop.
    Stop,
}

type InFlight = FuturesUnordered<BoxFuture<'static, Happened>>;

/// One session being worked on.
struct Run {
    parts: Arc<Parts>,
    watch: Arc<dyn Watch>,
    log: SessionLog,
    session: SessionId,
    fixed: Arc<Fixed>,
    toolbox: Arc<Toolbox>,
    model: Option<Box<dyn Model>>,
    sandbox: Option<SharedSandbox>,
    in_flight: InFlight,
}

/// Works on a session that exists in the store until it ends. `model_name` chooses the model of a session that has none yet.
///
/// # Errors
/// When the store, the sandbox, git or the model's configuration fail in a way that is no fault of the task. The session is then as its log
/// says, and can be resumed.
pub async fn work(
    parts: Arc<Parts>,
    session: SessionId,
    model_name: Option<&str>,
    watch: Arc<dyn Watch>,
    mut stop: StopSignal,
) -> Result<Ended, WorkerError> {
    let log = SessionLog::open(parts.store.clone(), watch.clone(), session, &parts.name).await?;
    if let Some(outcome) = over(log.agent()) {
        return Ok(Ended::Over(outcome));
    }
    let (fixed, model) = fix(&parts, log.agent(), model_name).await?;
    let toolbox = Arc::new(Toolbox::standard(fixed.model.edits));
    let mut news = parts.store.follow(session, log.last()).await?;
    let mut run = Run {
        parts,
        watch,
        log,
        session,
        fixed: Arc::new(fixed),
        toolbox,
        model: Some(model),
        sandbox: None,
        in_flight: FuturesUnordered::new(),
    };
    let result = run.to_the_end(&mut news, &mut stop).await;
    // Whatever still runs is cut short: dropping a future drops its process, and the log says that it was started.
    run.in_flight.clear();
    let destroyed = run.destroy_sandbox().await;
    let ended = result?;
    destroyed?;
    if matches!(ended, Ended::Over(_)) {
        stages::forget(&run.parts, session).await?;
    }
    Ok(ended)
}

/// What a session is given at its start; for one that has it already, the model it was given.
async fn fix(
    parts: &Parts,
    agent: &Agent,
    model_name: Option<&str>,
) -> Result<(Fixed, Box<dyn Model>), WorkerError> {
    if let Some(fixed) = agent.fixed() {
        let name = format!("{}/{}", fixed.model.provider, fixed.model.name);
        let model = parts.models.open(Some(&name)).await?;
        return Ok((fixed.clone(), model));
    }
    let model = parts.models.open(model_name).await?;
    let info = model.info().clone();
    let tools = Toolbox::standard(info.edits).specs();
    let fixed = Fixed {
        policy: parts.policy.clone(),
        model: info,
        system: cofferdam_agent::system_prompt(),
        tools,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Ok((fixed, model))
}

fn over(agent: &Agent) -> Option<Outcome> {
    agent.outcome().cloned()
}

impl Run {
    async fn to_the_end(
        &mut self,
        news: &mut BoxStream<'static, Result<cofferdam_domain::Event, StoreError>>,
        stop: &mut StopSignal,
    ) -> Result<Ended, WorkerError> {
        let claimed = EventBody::Claimed { worker: self.parts.name.clone(), fence: self.log.fence() };
        self.advance(vec![claimed]).await?;
        loop {
            if let Some(outcome) = over(self.log.agent()) {
                return Ok(Ended::Over(outcome));
            }
            let happened = tokio::select! {
                biased;
                () = stopped(stop) => Happened::Stop,
                Some(done) = self.in_flight.next(), if !self.in_flight.is_empty() => done,
                Some(event) = news.next() => Happened::News(event.map(|_| ())),
            };
            match happened {
                Happened::Stop => return Ok(Ended::Interrupted),
                Happened::News(news) => {
                    news?;
                    self.hear().await?;
                }
                Happened::Model { model, step, result, millis } => {
                    self.model = Some(model);
                    self.advance(vec![answered(step, result, millis)]).await?;
                }
                Happened::Tool { call, outcome, millis } => {
                    let mut facts = vec![EventBody::ToolFinished { call, outcome, millis }];
                    self.take_finished_tools(&mut facts);
                    self.advance(facts).await?;
                }
                Happened::Stage { stage, result } => self.stage_done(stage, result?).await?,
            }
        }
    }

    /// Folds in what others have appended since; acts on it if there was anything.
    async fn hear(&mut self) -> Result<(), WorkerError> {
        let before = self.log.last();
        self.log.catch_up(true).await?;
        if self.log.last() == before {
            return Ok(());
        }
        if self.log.agent().cancelled() {
            self.in_flight.clear();
        }
        self.advance(Vec::new()).await
    }

    /// Writes facts and what the agent makes of them, then starts the effects.
    async fn advance(&mut self, facts: Vec<EventBody>) -> Result<(), WorkerError> {
        let effects = self.log.record(facts, &self.fixed).await?;
        for effect in effects {
            let future = self.start(effect)?;
            self.in_flight.push(future);
        }
        Ok(())
    }

    /// Tool calls that have finished by now too: one append serves them all.
    fn take_finished_tools(&mut self, facts: &mut Vec<EventBody>) {
        let mut others = Vec::new();
        while let Some(Some(happened)) = self.in_flight.next().now_or_never() {
            match happened {
                Happened::Tool { call, outcome, millis } => {
                    facts.push(EventBody::ToolFinished { call, outcome, millis });
                }
                other => others.push(other),
            }
        }
        for other in others {
            self.in_flight.push(futures_util::future::ready(other).boxed());
        }
    }

    fn start(&mut self, effect: Effect) -> Result<BoxFuture<'static, Happened>, WorkerError> {
        match effect {
            Effect::AskModel { step, request } => {
                let model = self.model.take().ok_or(WorkerError::Log("two model calls at once"))?;
                let watch = self.watch.clone();
                Ok(async move {
                    let (model, result, millis) = effects::ask(model, &request, &*watch).await;
                    Happened::Model { model, step, result, millis }
                }
                .boxed())
            }
            Effect::RunTool { call, tool } => {
                let sandbox = self.sandbox.clone().ok_or(WorkerError::Log("a tool call without a sandbox"))?;
                let scene = effects::Scene {
                    sandbox,
                    toolbox: self.toolbox.clone(),
                    store: self.parts.store.clone(),
                    fixed: self.fixed.clone(),
                    watch: self.watch.clone(),
                };
                Ok(async move {
                    let (outcome, millis) = effects::run_tool(scene, call, tool).await;
                    Happened::Tool { call, outcome, millis }
                }
                .boxed())
            }
            Effect::Stage(stage) => Ok(self.start_stage(stage)),
        }
    }

    fn start_stage(&mut self, stage: Stage) -> BoxFuture<'static, Happened> {
        let context = stages::StageContext {
            parts: self.parts.clone(),
            session: self.session,
            agent: self.log.agent().clone(),
            log_head: self.log.head(),
            at: self.log.last_at(),
            sandbox: if stage == Stage::Collect { self.sandbox.take() } else { None },
        };
        async move { Happened::Stage { stage, result: stages::perform(context, stage).await } }.boxed()
    }

    async fn stage_done(&mut self, stage: Stage, done: Done) -> Result<(), WorkerError> {
        match done {
            Done::Facts(facts) => self.advance(facts).await,
            Done::Sandbox(sandbox, fact) => {
                self.sandbox = Some(Arc::new(sandbox));
                self.advance(vec![fact]).await
            }
            Done::Impossible(reason) => self.advance(vec![EventBody::StageFailed { stage, reason }]).await,
        }
    }

    async fn destroy_sandbox(&mut self) -> Result<(), WorkerError> {
        match self.sandbox.take().and_then(Arc::into_inner) {
            Some(sandbox) => Ok(sandbox.destroy().await?),
            None => Ok(()),
        }
    }
}

fn answered(step: u32, result: Result<Answer, ModelError>, millis: u64) -> EventBody {
    match result {
        Ok(answer) => EventBody::ModelAnswered { step, answer, millis },
        Err(ModelError { kind, message }) => EventBody::ModelFailed { step, kind: failure(kind), message },
    }
}

const fn failure(kind: ModelFailure) -> ModelFailure {
    kind
}

/// Returns when the worker is asked to stop; never if nobody can ask any more.
async fn stopped(stop: &mut StopSignal) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
