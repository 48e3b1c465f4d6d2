//! Working on one session until it ends, is interrupted, or the machine fails.
//!
//! All that happens is one of [`Happened`]. Effects run side by side; what comes of them is handled one at a time, here, and written to
//! the log before anything follows from it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cofferdam_agent::{Agent, Network, PromptInput};
use cofferdam_domain::{
    Answer, CallId, Event, EventBody, Label, ModelRequest, Outcome, Policy, Seq, SessionId, Stage, Timestamp,
    ToolCall, ToolOutcome, ToolStatus, amount::counted, event::Fixed,
};
use cofferdam_model::{Model, ModelError};
use cofferdam_sandbox::{System, WORKSPACE};
use cofferdam_store::{Store, StoreError};
use cofferdam_tools::Toolbox;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use tokio::sync::watch;

use crate::{
    Nobody, Parts, Watch, WorkerError,
    door::SessionDoor,
    effects, layers,
    log::{Effect, SessionLog, now},
    recorder::Take,
    stage::{Done, SharedSandbox, StageContext},
    stages,
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

/// All that can happen while a session is worked on.
enum Happened {
    /// The model answered, or could not be asked. The model comes back to be asked again.
    Model { model: Box<dyn Model>, step: u32, result: Result<Answer, ModelError>, millis: u64 },
    /// A tool call ended.
    Tool { call: CallId, outcome: ToolOutcome, millis: u64 },
    /// A piece of the worker's own work ended.
    Stage { stage: Stage, result: Result<Done, WorkerError> },
    /// The egress door has something to write down.
    Door,
    /// The log has grown by somebody else's hand.
    News(Result<Seq, StoreError>),
    /// The session's time is used up.
    Deadline,
    /// Somebody wants the worker to stop.
    Stop,
}

type News = BoxStream<'static, Result<Event, StoreError>>;
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
    door: Arc<SessionDoor>,
    /// Tool calls, kept apart because the session's time limit cuts them short.
    tools: InFlight,
    running: BTreeSet<CallId>,
    /// Everything else.
    in_flight: InFlight,
}

/// Works on a session that exists in the store until it ends. `model` is the session's model if the caller has it open already; otherwise it is
/// opened by the name in the log.
///
/// # Errors
/// When the store, the sandbox, git or the model's configuration fail in a way that is no fault of the task. The session is then as its log
/// says, and can be resumed.
pub async fn work(
    parts: Arc<Parts>,
    session: SessionId,
    model: Option<Box<dyn Model>>,
    watch: Arc<dyn Watch>,
    mut stop: StopSignal,
) -> Result<Ended, WorkerError> {
    let log = SessionLog::open(parts.store.clone(), watch.clone(), session, &parts.name).await?;
    if let Some(outcome) = over(log.agent())
        && !log.agent().resumable()
    {
        // Whoever saw it end may have been killed before it could clean up.
        if !log.agent().keeps_workspace() {
            layers::forget(&parts.data, session).await?;
        }
        return Ok(Ended::Over(outcome));
    }
    let model = match (model, log.agent().fixed()) {
        (Some(model), _) => model,
        (None, Some(fixed)) => parts.models.open(Some(&fixed.model.reference())).await?,
        (None, None) => parts.models.open(None).await?,
    };
    let fixed =
        log.agent().fixed().cloned().unwrap_or_else(|| fix(parts.policy.clone(), &*model, parts.system));
    let toolbox = Toolbox::standard(fixed.model.edits)
        .with_access(fixed.policy.egress.access)
        .with_system(parts.system);
    let mut news = parts.store.follow(session, log.last()).await?;
    let mut run = Run {
        parts,
        watch,
        log,
        session,
        fixed: Arc::new(fixed),
        toolbox: Arc::new(toolbox),
        model: Some(model),
        sandbox: None,
        door: SessionDoor::new(),
        tools: FuturesUnordered::new(),
        running: BTreeSet::new(),
        in_flight: FuturesUnordered::new(),
    };
    let result = run.finish_session(&mut news, &mut stop).await;
    // Whatever still runs is cut short: dropping a future drops its process, and the log says that it was started.
    run.drop_effects();
    run.door.close("the worker has stopped");
    let destroyed = run.destroy_sandbox().await;
    let ended = result?;
    run.log.note(run.door.recorder.take(Take::All).bodies).await?;
    destroyed?;
    if matches!(ended, Ended::Over(_)) && !run.log.agent().keeps_workspace() {
        layers::forget(&run.parts.data, session).await?;
    }
    Ok(ended)
}

/// What a new session is given: the policy, the model, and the prompt and tools that fit it and the system of its sandboxes.
#[must_use]
pub fn fix(policy: Policy, model: &dyn Model, system: System) -> Fixed {
    let info = model.info().clone();
    let toolbox = Toolbox::standard(info.edits).with_access(policy.egress.access).with_system(system);
    let tools = toolbox.specs();
    let network = if policy.egress.is_closed() { Network::Off } else { Network::Door };
    let input = PromptInput {
        workspace: WORKSPACE,
        tools: &tools,
        test_command: policy.test_command.as_deref(),
        questions: policy.questions,
        network,
    };
    let prompt = cofferdam_agent::system_prompt(&input);
    Fixed { policy, model: info, system: prompt, tools, version: env!("CARGO_PKG_VERSION").to_owned() }
}

fn over(agent: &Agent) -> Option<Outcome> {
    agent.outcome().cloned()
}

/// Lets a session that nobody works on come to the end that its log already asks for (a cancellation), without any effect.
///
/// # Errors
/// When another process has the session, or the store fails.
pub async fn settle(store: Arc<dyn Store>, session: SessionId, worker: &str) -> Result<(), WorkerError> {
    let mut log = SessionLog::open(store, Arc::new(Nobody), session, worker).await?;
    if over(log.agent()).is_none() && log.agent().cancelled() {
        log.record(Vec::new(), None).await?;
    }
    Ok(())
}

impl Run {
    async fn finish_session(&mut self, news: &mut News, stop: &mut StopSignal) -> Result<Ended, WorkerError> {
        let claimed = EventBody::Claimed { worker: self.parts.name.clone(), fence: self.log.fence() };
        self.advance(vec![claimed]).await?;
        loop {
            if let Some(outcome) = over(self.log.agent()) {
                return Ok(Ended::Over(outcome));
            }
            match self.next(news, stop).await {
                Happened::Stop => return Ok(Ended::Interrupted),
                Happened::News(news) => {
                    // Its own events come back to it too.
                    if news? > self.log.last() {
                        self.hear().await?;
                    }
                }
                Happened::Model { model, step, result, millis } => {
                    self.model = Some(model);
                    self.advance(vec![answered(step, result, millis)]).await?;
                }
                Happened::Tool { call, outcome, millis } => {
                    let facts = self.finished_tools(call, outcome, millis);
                    self.advance(facts).await?;
                }
                Happened::Stage { stage, result } => self.stage_done(stage, result?).await?,
                Happened::Door => {
                    let facts = self.freeze_if_due().await;
                    self.advance(facts).await?;
                }
                Happened::Deadline => self.cut_tools_short().await?,
            }
        }
    }

    async fn next(&mut self, news: &mut News, stop: &mut StopSignal) -> Happened {
        // Only tool calls are cut short; without any there is nothing to wait for.
        let deadline = self.log.agent().deadline().filter(|_| !self.running.is_empty());
        tokio::select! {
            biased;
            () = stopped(stop) => Happened::Stop,
            Some(done) = self.tools.next(), if !self.tools.is_empty() => done,
            Some(done) = self.in_flight.next(), if !self.in_flight.is_empty() => done,
            () = until(deadline) => Happened::Deadline,
            Some(event) = news.next() => Happened::News(event.map(|event| event.seq)),
            // Last: a hostile program decides how often.
            () = self.door.recorder.pending() => Happened::Door,
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
            self.drop_effects();
        }
        self.advance(Vec::new()).await
    }

    /// Writes facts, and before them what the door has to write down, and what the agent makes of them; then lets out what waited for that
    /// and starts the effects.
    async fn advance(&mut self, facts: Vec<EventBody>) -> Result<(), WorkerError> {
        let mut batch = self.door.recorder.take(if facts.is_empty() { Take::Pressing } else { Take::All });
        batch.bodies.extend(facts);
        let effects = self.log.record(std::mem::take(&mut batch.bodies), Some(&self.fixed)).await?;
        batch.written();
        self.door.grant(self.log.agent());
        for effect in effects {
            match effect {
                Effect::RunTool { call, tool } => {
                    let future = self.start_tool(call, tool)?;
                    self.running.insert(call);
                    self.tools.push(future);
                }
                Effect::AskModel { step, request } => {
                    let future = self.start_model(step, request)?;
                    self.in_flight.push(future);
                }
                Effect::Stage(stage) => {
                    let future = self.start_stage(stage);
                    self.in_flight.push(future);
                }
            }
        }
        self.tell_door();
        Ok(())
    }

    /// What the log is to say when the policy's rules want the sandbox frozen: then the session ends, held for a person, and nothing passes any
    /// more.
    async fn freeze_if_due(&self) -> Vec<EventBody> {
        let most = self.fixed.policy.egress.limits.refusals_before_freeze;
        let tally = self.door.recorder.tally();
        let Some(sandbox) = tally.sandbox.filter(|_| most > 0) else { return Vec::new() };
        let reason = if tally.reflected {
            "an answer contained a credential".to_owned()
        } else if tally.refusals >= u64::from(most) {
            format!("{} refused by the egress door", counted(tally.refusals, "request"))
        } else {
            return Vec::new();
        };
        self.door.close(&reason);
        if let Some(shared) = self.sandbox.as_ref().filter(|shared| shared.id() == sandbox) {
            // One that cannot be stopped where it stands is destroyed all the same, a moment later.
            shared.freeze().await.ok();
        }
        vec![EventBody::SandboxFrozen { sandbox, reason }]
    }

    /// Tells the door which calls run.
    fn tell_door(&self) {
        if let Some(sandbox) = &self.sandbox {
            self.door.running(sandbox.id(), self.running.iter().copied().collect());
        }
    }

    /// The tool call that has finished, and all others that have by now too: one append serves them all.
    fn finished_tools(&mut self, call: CallId, outcome: ToolOutcome, millis: u64) -> Vec<EventBody> {
        let mut facts = vec![self.finished(call, outcome, millis)];
        while let Some(Some(Happened::Tool { call, outcome, millis })) = self.tools.next().now_or_never() {
            facts.push(self.finished(call, outcome, millis));
        }
        facts
    }

    /// The end of a tool call, with what the egress door refused while it ran: the tool's own output may hide that.
    fn finished(&mut self, call: CallId, mut outcome: ToolOutcome, millis: u64) -> EventBody {
        self.running.remove(&call);
        self.tell_door();
        if let Some(told) = self.door.recorder.told(call) {
            if !outcome.text.is_empty() {
                outcome.text.push_str("\n\n");
            }
            outcome.text.push_str(&told);
            // Names and paths in it are chosen by programs inside.
            outcome.label = Label::SANDBOX;
        }
        EventBody::ToolFinished { call, outcome, millis }
    }

    /// Ends every running tool call: the session's time is used up.
    async fn cut_tools_short(&mut self) -> Result<(), WorkerError> {
        self.tools.clear();
        let outcome = ToolOutcome {
            status: ToolStatus::TimedOut,
            text: "Cut short: the session's time is used up.".to_owned(),
            images: Vec::new(),
            whole: None,
            label: Label::PLATFORM,
            effect: None,
        };
        let facts = std::mem::take(&mut self.running)
            .into_iter()
            .map(|call| self.finished(call, outcome.clone(), 0))
            .collect();
        self.advance(facts).await
    }

    /// Drops everything that is under way: a dropped tool call takes its processes with it.
    fn drop_effects(&mut self) {
        self.tools.clear();
        self.running.clear();
        self.in_flight.clear();
    }

    fn start_model(
        &mut self,
        step: u32,
        request: ModelRequest,
    ) -> Result<BoxFuture<'static, Happened>, WorkerError> {
        let model = self.model.take().ok_or(WorkerError::Log("two model calls at once"))?;
        let watch = self.watch.clone();
        Ok(async move {
            let (model, result, millis) = effects::ask(model, &request, &*watch).await;
            Happened::Model { model, step, result, millis }
        }
        .boxed())
    }

    fn start_tool(&self, call: CallId, tool: ToolCall) -> Result<BoxFuture<'static, Happened>, WorkerError> {
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

    fn start_stage(&mut self, stage: Stage) -> BoxFuture<'static, Happened> {
        let context = StageContext {
            parts: self.parts.clone(),
            session: self.session,
            door: self.door.clone(),
            agent: self.log.agent().clone(),
            log_head: self.log.head(),
            log_length: self.log.last(),
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
                self.advance(vec![*fact]).await
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
        Err(ModelError { kind, message }) => EventBody::ModelFailed { step, kind, message },
    }
}

/// Returns at a time of the log's clock; never if there is none.
async fn until(deadline: Option<Timestamp>) {
    match deadline {
        Some(deadline) => {
            tokio::time::sleep(Duration::from_millis(deadline.millis_since(now()))).await;
        }
        None => std::future::pending().await,
    }
}

/// Returns when the worker is asked to stop; never if nobody can ask any more.
async fn stopped(stop: &mut StopSignal) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}
