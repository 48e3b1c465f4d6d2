//! One session being worked on, until it ends, waits for a person, is interrupted, or the machine fails.
//!
//! All that happens is one of [`Happened`]. Effects run side by side; what comes of them is handled one at a time, here, and written to
//! the log before anything follows from it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cofferdam_agent::Agent;
use cofferdam_domain::{
    Answer, CallId, Consequence, Event, EventBody, Label, ModelRequest, Owner, Policy, Seq, SessionId,
    SessionState, Stage, Timestamp, ToolCall, ToolOutcome, ToolStatus, event::Fixed, tool::ToolEffect,
};
use cofferdam_model::{Model, ModelError};
use cofferdam_sandbox::SandboxError;
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
    carry::Carrier,
    checkpoint::Checkpoints,
    door::SessionDoor,
    effects, layers,
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

/// The fewest refusals that a rule of the policy's own hears of before the door tells of them by itself, which it does every few seconds.
const FEWEST_REFUSALS: u32 = 10;

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
    carrier: Carrier,
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
            carrier: Carrier::new(parts.store.clone(), &directory),
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
        self.door.recorder.tell_at(burst(&self.fixed.policy));
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
                    let mut facts = self.checkpoints.settle().await;
                    facts.push(self.answered(step, result, millis));
                    self.advance(facts).await?;
                }
                Happened::Tool { call, outcome, millis } => {
                    if outcome.status == ToolStatus::Error {
                        self.sandbox_must_live().await?;
                    }
                    let facts = self.finished_tools(call, outcome, millis);
                    self.advance(facts).await?;
                    if self.running.is_empty() {
                        self.checkpoints.begin(call.step);
                    }
                }
                Happened::Stage { stage, result } => {
                    let done = result?;
                    // The last step's, before the session can end.
                    let kept = self.checkpoints.settle().await;
                    if !kept.is_empty() {
                        self.advance(kept).await?;
                    }
                    self.stage_done(stage, done).await?;
                }
                Happened::Door => self.advance(Vec::new()).await?,
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
        let mut facts = self.checkpoints.settle().await;
        let agent = self.log.agent();
        if self.sandbox.is_some() && (agent.outcome().is_none() || agent.frozen().is_some()) {
            self.checkpoints.begin_now(self.log.agent().step());
            facts.extend(self.checkpoints.settle().await);
        }
        self.log.note(facts.clone()).await?;
        // Whoever has it next may be on another machine.
        let stored = self.carrier.rest(&facts, self.draining).await;
        self.log.note(stored).await
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
        let facts = self.checkpoints.settle().await;
        self.advance(facts).await
    }

    /// Writes facts, and before them what the door has to write down, and what the agent makes of them; then lets out what waited for that
    /// and starts the effects. Where a rule over what is in the log freezes the sandbox, nothing of that is let out.
    async fn advance(&mut self, facts: Vec<EventBody>) -> Result<(), WorkerError> {
        let burst = self.door.recorder.burst();
        if burst {
            self.door.flush();
        }
        let which = if facts.is_empty() && !burst { Take::Pressing } else { Take::All };
        let mut batch = self.door.recorder.take(which);
        let stored = self.carrier.heard(&facts);
        batch.bodies.extend(facts.into_iter().chain(stored));
        let bodies = std::mem::take(&mut batch.bodies);
        if self.draining.is_some() {
            self.log.note(bodies).await?;
            if !self.freeze_if_alarmed().await {
                batch.written();
            }
            return Ok(());
        }
        let bodies = self.within_budget(bodies).await?;
        let effects = self.log.record(bodies, Some(&self.fixed)).await?;
        if self.freeze_if_alarmed().await {
            return Ok(());
        }
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

    /// Before the model is asked again, or a pull request is opened: what is to be written, and that a budget is used up if one is.
    async fn within_budget(&mut self, mut bodies: Vec<EventBody>) -> Result<Vec<EventBody>, WorkerError> {
        let agent = self.log.agent();
        // Nothing is asked any more.
        let finishes = |body: &EventBody| {
            let EventBody::ToolFinished { outcome, .. } = body else { return false };
            matches!(outcome.effect, Some(ToolEffect::Finish(_)))
        };
        if agent.cancelled() || agent.spends_anyway(now()) {
            return Ok(bodies);
        }
        let spends = matches!(agent.state(), SessionState::Queued | SessionState::Working)
            && !bodies.iter().any(finishes);
        let examined = agent.verdict().is_some() || bodies.iter().any(is_verdict);
        let delivers =
            agent.state() == SessionState::Delivering && examined && agent.pull_request().is_none();
        if delivers && let Some(what) = self.purses.deliveries_exceeded(self.owner).await? {
            bodies.push(EventBody::BudgetExceeded { what });
        }
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

    /// Whether the log says that the sandbox is frozen, or is to be. Then nothing passes any more, and its processes stand where they are: one
    /// that cannot be stopped is destroyed all the same, a moment later.
    async fn freeze_if_alarmed(&mut self) -> bool {
        let agent = self.log.agent();
        if !agent.is_alarmed() {
            return false;
        }
        self.door.close(agent.frozen().unwrap_or("the sandbox is to be frozen"));
        if let Some(sandbox) = &self.sandbox {
            sandbox.freeze().await.ok();
        }
        true
    }

    /// What is said of calls in a sandbox that is gone is not what became of them, and none after them can be carried out: the session is taken
    /// up anew, with another sandbox over the same files.
    async fn sandbox_must_live(&mut self) -> Result<(), WorkerError> {
        let Some(sandbox) = self.sandbox.clone() else { return Ok(()) };
        match sandbox.list(".", 1).await {
            Err(gone @ SandboxError::Gone(_)) => Err(gone.into()),
            Ok(_) | Err(_) => Ok(()),
        }
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
            remarks: self.log.agent().remarks().to_vec(),
            watch: self.watch.clone(),
        };
        Ok(async move {
            let (outcome, millis) = effects::run_tool(scene, call, tool).await;
            Happened::Tool { call, outcome, millis }
        }
        .boxed())
    }

    fn start_stage(&mut self, stage: Stage) -> BoxFuture<'static, Happened> {
        if stage == Stage::Collect {
            // What the last steps did is kept, however quick they were.
            self.checkpoints.begin_now(self.log.agent().step());
        }
        let context = StageContext {
            parts: self.parts.clone(),
            session: self.session,
            org: self.owner.org,
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
                self.checkpoints.over(layers::begun_with(&self.parts.data, self.session, self.log.agent()));
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

/// Whether the gate has decided about the change.
const fn is_verdict(body: &EventBody) -> bool {
    matches!(body, EventBody::Examined { .. })
}

/// After how many refusals the rules that freeze are to hear of all of them, also of those that are counted with their like: the fewest that one
/// of them waits for, but not so few that every single one is an event; 0 where there is no such rule.
fn burst(policy: &Policy) -> u64 {
    let alarms = policy.alarms.iter();
    let own = alarms.clone().flat_map(|alarms| &alarms.rules);
    let own = own.filter(|rule| rule.event == "egress_refused" && rule.then == Consequence::Freeze);
    let counts = own.map(|rule| rule.count.max(FEWEST_REFUSALS));
    let limit = policy.egress.limits.refusals_before_freeze;
    let counts = counts.chain(alarms.map(|alarms| alarms.escapes)).chain([limit]);
    counts.filter(|count| *count > 0).min().unwrap_or_default().into()
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
