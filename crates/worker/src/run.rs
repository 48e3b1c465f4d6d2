//! One session being worked on, until it ends, waits for a person, is interrupted, or the machine fails.
//!
//! All that happens is one of [`Happened`]. Effects run side by side; what comes of them is handled one at a time, here, and written to
//! the log before anything follows from it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cofferdam_agent::Agent;
use cofferdam_domain::{
    Answer, CallId, Event, EventBody, Label, ModelRequest, Owner, Seq, SessionId, SessionState, Stage,
    Timestamp, ToolCall, ToolOutcome, ToolStatus, amount::counted, event::Fixed, tool::ToolEffect,
};
use cofferdam_model::{Model, ModelError};
use cofferdam_store::StoreError;
use cofferdam_tools::Toolbox;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use tokio::time::{Instant, sleep_until};

use crate::{
    Entrance, Parts, Visitor, Watch, WorkerError,
    checkpoint::Checkpoints,
    door::SessionDoor,
    effects,
    log::{Effect, SessionLog, now},
    patience::{Passing as _, Pause, patiently},
    purses::Purses,
    recorder::Take,
    stage::{Done, SharedSandbox, StageContext},
    stages,
    visit::somebody,
    work::{Ended, StopSignal},
};

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
    /// The log has grown by somebody else's hand; `None` when nothing can be heard any more.
    News(Option<Result<Seq, StoreError>>),
    /// Somebody wants to work in the sandbox.
    Visitor(Box<dyn Visitor>),
    /// Somebody has left it; what was seen.
    Gone { by: String, recording: Vec<u8> },
    /// The session's time is used up.
    Deadline,
    /// Somebody wants the worker to stop.
    Stop,
    /// What is under way has had its time to end since then.
    Late,
}

/// Why nothing more is done.
pub(crate) enum Left {
    /// As its log says.
    Ended(Ended),
    /// Somebody took the session back: it is to be claimed and folded anew.
    TakenBack,
}

/// What a session is worked on with.
pub(crate) struct Scene {
    pub(crate) parts: Arc<Parts>,
    pub(crate) watch: Arc<dyn Watch>,
    /// Whose session it is.
    pub(crate) owner: Owner,
    pub(crate) purses: Arc<Purses>,
    /// How long what is under way may take to end once the worker is asked to stop.
    pub(crate) grace: Duration,
}

type News = BoxStream<'static, Result<Event, StoreError>>;
type InFlight = FuturesUnordered<BoxFuture<'static, Happened>>;

/// One session being worked on.
pub(crate) struct Run<'c> {
    parts: Arc<Parts>,
    watch: Arc<dyn Watch>,
    owner: Owner,
    purses: Arc<Purses>,
    grace: Duration,
    log: SessionLog<'c>,
    session: SessionId,
    fixed: Arc<Fixed>,
    toolbox: Arc<Toolbox>,
    model: Option<Box<dyn Model>>,
    sandbox: Option<SharedSandbox>,
    door: Arc<SessionDoor>,
    checkpoints: Checkpoints,
    entrance: Entrance,
    /// Who waits until no call runs any more.
    visitor: Option<Box<dyn Visitor>>,
    /// Tool calls, kept apart because the session's time limit cuts them short.
    tools: InFlight,
    running: BTreeSet<CallId>,
    /// Everything else.
    in_flight: InFlight,
    /// The worker is stopping: nothing more is begun, and what is under way has until then.
    draining: Option<Instant>,
}

impl<'c> Run<'c> {
    pub(crate) fn new(
        scene: Scene,
        log: SessionLog<'c>,
        model: Option<Box<dyn Model>>,
        fixed: Fixed,
    ) -> Self {
        let Scene { parts, watch, owner, purses, grace } = scene;
        let toolbox = Toolbox::standard(fixed.model.edits)
            .with_access(fixed.policy.egress.access)
            .with_system(parts.system)
            .with_plan_first(log.agent().task().is_some_and(|task| task.wishes.plan_first));
        let session = log.session();
        let directory = parts.session_directory(session);
        let worked = log.agent().has_worked() && log.agent().restore().is_none();
        Self {
            checkpoints: Checkpoints::new(&directory, worked),
            entrance: parts.entrances.open(session, &directory),
            visitor: None,
            door: SessionDoor::new(owner.org),
            parts,
            watch,
            owner,
            purses,
            grace,
            log,
            session,
            fixed: Arc::new(fixed),
            toolbox: Arc::new(toolbox),
            model,
            sandbox: None,
            tools: FuturesUnordered::new(),
            running: BTreeSet::new(),
            in_flight: FuturesUnordered::new(),
            draining: None,
        }
    }

    /// The session as its log says now.
    pub(crate) const fn agent(&self) -> &Agent {
        self.log.agent()
    }

    /// The last event that was looked at.
    pub(crate) const fn seen(&self) -> Seq {
        self.log.last()
    }

    /// Works on the session, and leaves nothing running.
    pub(crate) async fn finish(&mut self, news: News, stop: StopSignal) -> Result<Left, WorkerError> {
        self.door.recorder.tell_at(self.fixed.policy.egress.limits.refusals_before_freeze.into());
        let result = self.finish_session(news, stop).await;
        // Whatever still runs is cut short: dropping a future drops its process, and the log says that it was started.
        self.drop_effects();
        self.door.close("the worker has stopped");
        self.checkpoints.settle().await;
        let destroyed = self.destroy_sandbox().await;
        let left = match result {
            Ok(ended) => Left::Ended(ended),
            Err(WorkerError::TakenBack) => Left::TakenBack,
            Err(error) => return Err(error),
        };
        self.log.note(self.door.recorder.take(Take::All).bodies).await?;
        destroyed?;
        Ok(left)
    }

    async fn finish_session(&mut self, mut news: News, mut stop: StopSignal) -> Result<Ended, WorkerError> {
        let claimed = EventBody::Claimed { worker: self.parts.name.clone(), fence: self.log.fence() };
        self.advance(vec![claimed]).await?;
        loop {
            if let Some(ended) = self.at_rest() {
                self.keep_files().await?;
                return Ok(ended);
            }
            self.let_in();
            match self.next(&mut news, &mut stop).await {
                Happened::Stop if self.grace.is_zero() => return Ok(Ended::Interrupted),
                Happened::Stop => self.draining = Some(Instant::now() + self.grace),
                Happened::Late => return Ok(Ended::Interrupted),
                // Its own events come back to it too.
                Happened::News(Some(Ok(seq))) if seq <= self.log.last() => {}
                Happened::News(Some(Ok(_))) => self.hear().await?,
                Happened::News(Some(Err(error))) if !error.passes() => return Err(error.into()),
                Happened::News(Some(Err(_)) | None) => news = self.listen_again().await?,
                Happened::Model { model, step, result, millis } => {
                    self.model = Some(model);
                    let mut facts: Vec<EventBody> = self.checkpoints.settle().await.into_iter().collect();
                    facts.push(self.answered(step, result, millis));
                    self.advance(facts).await?;
                }
                Happened::Tool { call, outcome, millis } => {
                    let facts = self.finished_tools(call, outcome, millis);
                    self.advance(facts).await?;
                    if self.running.is_empty() {
                        self.checkpoints.begin(call.step);
                    }
                }
                Happened::Stage { stage, result } => {
                    let done = result?;
                    // The last step's, before the session can end.
                    if let Some(kept) = self.checkpoints.settle().await {
                        self.advance(vec![kept]).await?;
                    }
                    self.stage_done(stage, done).await?;
                }
                Happened::Door => {
                    let facts = self.freeze_if_due().await;
                    self.advance(facts).await?;
                }
                Happened::Visitor(visitor) => self.announce(visitor).await?,
                Happened::Gone { by, recording } => self.gone(by, recording).await?,
                Happened::Deadline => self.cut_tools_short().await?,
            }
        }
    }

    /// Somebody wants to work in the sandbox: nothing more starts until they have gone.
    async fn announce(&mut self, visitor: Box<dyn Visitor>) -> Result<(), WorkerError> {
        let agent = self.log.agent();
        if self.sandbox.is_none() || agent.taken_over() || self.draining.is_some() {
            let reason = match agent.taken_over() {
                true => "somebody works in its sandbox already",
                false => "the session has no sandbox at present",
            };
            visitor.refuse(reason.to_owned()).await;
            return Ok(());
        }
        let by = visitor.name();
        self.visitor = Some(visitor);
        self.advance(vec![EventBody::TerminalOpened { by }]).await
    }

    /// Lets somebody into the sandbox when no call runs there any more.
    fn let_in(&mut self) {
        let Some(sandbox) = self.sandbox.clone().filter(|_| self.tools.is_empty()) else { return };
        let Some(visitor) = self.visitor.take() else { return };
        let by = visitor.name();
        let visit = async move { Happened::Gone { by, recording: visitor.visit(&**sandbox).await } };
        self.in_flight.push(visit.boxed());
    }

    /// Somebody has left the sandbox.
    async fn gone(&mut self, by: String, recording: Vec<u8>) -> Result<(), WorkerError> {
        let store = self.parts.store.clone();
        let recording = patiently(|| store.put_blob(&recording)).await?;
        self.checkpoints.touched_by_hand();
        self.checkpoints.begin_now(self.log.agent().step());
        let closed = EventBody::TerminalClosed { by, recording };
        let facts = [closed].into_iter().chain(self.checkpoints.settle().await).collect();
        self.advance(facts).await
    }

    /// How the work has come to its end, if it has.
    fn at_rest(&self) -> Option<Ended> {
        let agent = self.log.agent();
        if let Some(outcome) = agent.outcome()
            && !agent.closing()
        {
            return Some(Ended::Over(outcome.clone()));
        }
        let nothing_runs = self.tools.is_empty() && self.in_flight.is_empty();
        if self.draining.is_some() {
            return nothing_runs.then_some(Ended::Interrupted);
        }
        agent.waiting().filter(|_| nothing_runs && agent.idle()).map(Ended::Waiting)
    }

    /// Keeps the files as they are now.
    async fn keep_files(&mut self) -> Result<(), WorkerError> {
        let mut facts: Vec<EventBody> = self.checkpoints.settle().await.into_iter().collect();
        if self.sandbox.is_some() && self.log.agent().outcome().is_none() {
            self.checkpoints.begin_now(self.log.agent().step());
            facts.extend(self.checkpoints.settle().await);
        }
        self.log.note(facts).await
    }

    /// Follows the log again where nothing is heard of it any more.
    async fn listen_again(&mut self) -> Result<News, WorkerError> {
        Pause::new().wait().await;
        let (store, session, last) = (self.parts.store.clone(), self.session, self.log.last());
        Ok(patiently(|| store.follow(session, last)).await?)
    }

    async fn next(&mut self, news: &mut News, stop: &mut StopSignal) -> Happened {
        // Only tool calls are cut short; without any there is nothing to wait for.
        let deadline = self.log.agent().deadline().filter(|_| !self.running.is_empty());
        tokio::select! {
            biased;
            () = stopped(stop), if self.draining.is_none() => Happened::Stop,
            () = late(self.draining) => Happened::Late,
            Some(done) = self.tools.next(), if !self.tools.is_empty() => done,
            Some(done) = self.in_flight.next(), if !self.in_flight.is_empty() => done,
            () = until(deadline) => Happened::Deadline,
            visitor = somebody(&mut self.entrance) => Happened::Visitor(visitor),
            event = news.next() => Happened::News(event.map(|event| event.map(|event| event.seq))),
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
        // Before a call may start that was held.
        let facts = self.checkpoints.settle().await.into_iter().collect();
        self.advance(facts).await
    }

    /// Writes facts, and before them what the door has to write down, and what the agent makes of them; then lets out what waited for that
    /// and starts the effects.
    async fn advance(&mut self, facts: Vec<EventBody>) -> Result<(), WorkerError> {
        let mut batch = self.door.recorder.take(if facts.is_empty() { Take::Pressing } else { Take::All });
        batch.bodies.extend(facts);
        let bodies = std::mem::take(&mut batch.bodies);
        if self.draining.is_some() {
            self.log.note(bodies).await?;
            batch.written();
            return Ok(());
        }
        let bodies = self.within_budget(bodies).await?;
        let effects = self.log.record(bodies, Some(&self.fixed)).await?;
        batch.written();
        self.door.grant(self.log.agent());
        for effect in effects {
            match effect {
                Effect::RunTool { call, tool } => {
                    self.checkpoints.touched(&self.fixed.tools, &tool.name);
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

    /// Before the model is asked again: what is to be written, and that a budget is used up if one is.
    async fn within_budget(&mut self, mut bodies: Vec<EventBody>) -> Result<Vec<EventBody>, WorkerError> {
        let agent = self.log.agent();
        // Nothing is asked any more.
        let finishes = |body: &EventBody| {
            let EventBody::ToolFinished { outcome, .. } = body else { return false };
            matches!(outcome.effect, Some(ToolEffect::Finish(_)))
        };
        let spends = matches!(agent.state(), SessionState::Queued | SessionState::Working)
            && !agent.cancelled()
            && !agent.spends_anyway(now())
            && !bodies.iter().any(finishes);
        if spends && let Some(what) = self.purses.exceeded(self.owner).await? {
            bodies.push(EventBody::BudgetExceeded { what });
        }
        Ok(bodies)
    }

    fn answered(&self, step: u32, result: Result<Answer, ModelError>, millis: u64) -> EventBody {
        match result {
            Ok(answer) => {
                let cost = answer.cost_by(self.fixed.model.prices.as_ref());
                self.purses.spend(self.owner, &answer, cost);
                EventBody::ModelAnswered { step, answer, millis }
            }
            Err(ModelError { kind, message }) => EventBody::ModelFailed { step, kind, message },
        }
    }

    /// What the log is to say when the policy's rules want the sandbox frozen: then the session ends, held for a person, and nothing passes any
    /// more.
    async fn freeze_if_due(&mut self) -> Vec<EventBody> {
        let most = self.fixed.policy.egress.limits.refusals_before_freeze;
        let tally = self.door.recorder.tally();
        let Some(sandbox) = tally.sandbox else { return Vec::new() };
        let reason = if tally.canary {
            "a canary was touched".to_owned()
        } else if tally.secret {
            "a request contained a secret".to_owned()
        } else if tally.reflected && most > 0 {
            "an answer contained a credential".to_owned()
        } else if most > 0 && tally.refusals >= u64::from(most) {
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
            Done::Sandbox(sandbox, facts) => {
                self.sandbox = Some(Arc::new(sandbox));
                self.advance(facts).await?;
                if self.running.is_empty() {
                    self.checkpoints.begin(self.log.agent().step().saturating_sub(1));
                }
                Ok(())
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

/// Returns when what is under way has had its time to end; never if it has no limit.
async fn late(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
