//! One session being worked on, until it ends, waits for a person, is interrupted, or the machine fails.
//!
//! All that happens is one of [`Happened`]. Effects run side by side; what comes of them is handled one at a time, here, and written to
//! the log before anything follows from it.

mod alarms;
mod based;
mod delegates;
mod starts;
mod visitors;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cofferdam_agent::Agent;
use cofferdam_domain::{
    Answer, CallId, Event, EventBody, Label, Owner, Part, Seq, SessionId, SessionState, Stage, Timestamp,
    ToolCall, ToolOutcome, ToolStatus,
    event::{Fixed, ModelRole},
    tool::ToolEffect,
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
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use self::{
    alarms::burst,
    based::Based,
    delegates::{next_errand, subagent_of},
};
use crate::{
    Entrance, Parts, Visitor, Watch, WorkerError,
    carry::Carrier,
    checkpoint::Checkpoints,
    delegate::{Delegation, Family, Halt},
    door::SessionDoor,
    layers,
    log::{Effect, SessionLog, now},
    patience::{Passing as _, Pause, patiently},
    purses::Purses,
    recorder::Take,
    self_review::is_one,
    servers::{House, Servers},
    stage::{Done, SharedSandbox},
    visit::somebody,
    work::{Ended, StopSignal},
};

/// All that can happen while a session is worked on.
enum Happened {
    /// The model answered, or could not be asked. The model comes back to be asked again.
    Model {
        model: Box<dyn Model>,
        aside: Option<(ModelRole, Box<dyn Model>)>,
        step: u32,
        result: Result<Answer, ModelError>,
        millis: u64,
    },
    /// A tool call ended.
    Tool { call: CallId, outcome: ToolOutcome, millis: u64 },
    /// Nothing is done any more about a call that hands work out, and it is not over.
    Halted { call: CallId, tool: ToolCall, halt: Halt },
    /// The same of a fresh look at the change.
    LookHalted { halt: Halt },
    /// A piece of the worker's own work ended.
    Stage { part: Part, stage: Stage, result: Result<Done, WorkerError> },
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
    /// What it has of the session that it works for, if it does.
    pub(crate) family: Option<Arc<Family>>,
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
    based: Based,
    /// Those that do a part of its work, once they are open.
    aside: BTreeMap<ModelRole, Box<dyn Model>>,
    sandbox: Option<SharedSandbox>,
    door: Arc<SessionDoor>,
    servers: Arc<Servers>,
    checkpoints: Checkpoints,
    carrier: Carrier,
    entrance: Entrance,
    /// Who waits until no call runs any more.
    visitor: Option<Box<dyn Visitor>>,
    /// Tool calls, kept apart because the session's time limit cuts them short.
    tools: InFlight,
    running: BTreeSet<CallId>,
    /// Hands work out.
    delegation: Arc<Delegation>,
    /// The calls that do, each in a task of its own: whoever works in one goes on while this session waits for the store, and gives back what it
    /// has of that itself.
    errands: JoinSet<Happened>,
    /// Calls that do, and that wait to go on.
    halted: Vec<(CallId, ToolCall)>,
    /// A fresh look at the change does.
    look_halted: bool,
    family: Option<Arc<Family>>,
    /// Everything else.
    in_flight: InFlight,
    /// What has come of that already.
    ahead: Option<Happened>,
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
        let Scene { parts, watch, owner, purses, grace, family } = scene;
        let toolbox = Toolbox::standard(fixed.model.edits)
            .with_access(fixed.policy.egress.access)
            .with_system(parts.system)
            .with_plan_first(log.agent().task().is_some_and(|task| task.wishes.plan_first))
            .with_skills(Toolbox::has_skills(&fixed.tools))
            .with_memory(Toolbox::has_memory(&fixed.tools))
            .with_browser(Toolbox::has_browser(&fixed.tools), parts.browser.as_deref())
            .with_display(Toolbox::has_display(&fixed.tools), parts.display.as_ref())
            .with_foreign(&fixed.foreign)
            .reviewing(log.agent().review().is_some())
            .with_subagents(Toolbox::has_subagents(&fixed.tools))
            .working_for(log.agent().parent());
        let delegation = Delegation::new(parts.clone(), watch.clone(), owner, purses.clone(), grace);
        let session = log.session();
        let directory = parts.session_directory(session);
        let door = SessionDoor::new(owner.org);
        let house = House {
            parts: parts.clone(),
            org: owner.org,
            directory: directory.join(layers::SERVERS),
            limits: fixed.policy.limits,
            record: door.recorder.clone(),
        };
        let worked = log.agent().has_worked() && log.agent().restore().is_none();
        Self {
            based: Based::of(log.agent()),
            checkpoints: Checkpoints::new(&directory, worked),
            carrier: Carrier::new(parts.store.clone(), &directory),
            entrance: parts.entrances.open(session, &directory),
            visitor: None,
            door,
            servers: Servers::new(house, &fixed.foreign),
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
            aside: BTreeMap::new(),
            sandbox: None,
            tools: FuturesUnordered::new(),
            running: BTreeSet::new(),
            delegation,
            errands: JoinSet::new(),
            halted: Vec::new(),
            look_halted: false,
            family,
            in_flight: FuturesUnordered::new(),
            ahead: None,
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
        if self.log.agent().outcome().is_some() {
            self.end_subagents().await?;
        }
        // Whatever still runs is cut short: dropping a future drops its process, and the log says that it was started.
        self.drop_effects().await;
        self.door.close("the worker has stopped");
        self.servers.end().await;
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
            self.mind_subagents()?;
            match self.next(&mut news, &mut stop).await {
                Happened::Stop if self.grace.is_zero() => return Ok(Ended::Interrupted),
                Happened::Stop => self.draining = Some(Instant::now() + self.grace),
                Happened::Late => return Ok(Ended::Interrupted),
                // Its own events come back to it too.
                Happened::News(Some(Ok(seq))) if seq <= self.log.last() => {}
                Happened::News(Some(Ok(_))) => self.hear().await?,
                Happened::News(Some(Err(error))) if !error.passes() => return Err(error.into()),
                Happened::News(Some(Err(_)) | None) => news = self.listen_again().await?,
                Happened::Model { model, aside, step, result, millis } => {
                    self.model = Some(model);
                    self.aside.extend(aside);
                    let mut facts = self.checkpoints.settle().await;
                    facts.push(self.answered(step, result, millis));
                    self.advance(facts).await?;
                }
                Happened::Tool { call, outcome, millis } => {
                    if outcome.status == ToolStatus::Error {
                        self.sandbox_must_live().await?;
                    }
                    let facts = self.finished_tools(call, outcome, millis);
                    let done = facts.iter().filter_map(subagent_of).collect();
                    self.advance(facts).await?;
                    self.forget_subagents(done).await?;
                    if self.running.is_empty() {
                        // The request goes out first: the copy is made while the model thinks.
                        self.ahead = self.in_flight.next().now_or_never().flatten();
                        self.checkpoints.begin(call.step);
                    }
                }
                Happened::Halted { call, tool, halt } => self.subagent_halted(call, tool, halt).await?,
                Happened::LookHalted { halt } => self.look_halted(halt).await?,
                Happened::Stage { part, stage, result } => {
                    let done = result?;
                    // The last step's, before the session can end.
                    let kept = self.checkpoints.settle().await;
                    if !kept.is_empty() {
                        self.advance(kept).await?;
                    }
                    self.stage_done(part, stage, done).await?;
                }
                Happened::Door => self.advance(Vec::new()).await?,
                Happened::Visitor(visitor) => self.announce(visitor).await?,
                Happened::Gone { by, recording } => self.gone(by, recording).await?,
                Happened::Deadline => self.cut_tools_short().await?,
            }
        }
    }

    /// How the work has come to its end, if it has.
    fn at_rest(&self) -> Option<Ended> {
        let agent = self.log.agent();
        if let Some(outcome) = agent.outcome()
            && !agent.closing()
        {
            return Some(Ended::Over(outcome.clone()));
        }
        let nothing_runs = self.tools.is_empty()
            && self.errands.is_empty()
            && self.in_flight.is_empty()
            && self.ahead.is_none();
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
        if let Some(done) = self.ahead.take() {
            return done;
        }
        // Only tool calls are cut short; without any there is nothing to wait for.
        let deadline = self.log.agent().deadline().filter(|_| !self.running.is_empty());
        tokio::select! {
            biased;
            () = stopped(stop), if self.draining.is_none() => Happened::Stop,
            () = late(self.draining) => Happened::Late,
            Some(done) = self.tools.next(), if !self.tools.is_empty() => done,
            Some(done) = next_errand(&mut self.errands), if !self.errands.is_empty() => done,
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
        if self.log.agent().cancelled() || self.log.agent().passed_over().is_some() {
            self.end_subagents().await?;
            self.drop_effects().await;
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
            self.door.follow(self.log.agent());
            if !self.freeze_if_alarmed().await {
                batch.written();
            }
            return Ok(());
        }
        let bodies = self.within_budget(bodies).await?;
        let effects = self.log.record(bodies, Some(&self.fixed)).await?;
        self.door.follow(self.log.agent());
        if self.freeze_if_alarmed().await {
            return Ok(());
        }
        batch.written();
        for effect in effects {
            match effect {
                Effect::RunTool { call, tool } => {
                    self.checkpoints.touched(&self.fixed.tools, &tool.name);
                    self.call(call, tool)?;
                }
                Effect::AskModel { step, request } => {
                    let future = self.start_model(step, request)?;
                    self.in_flight.push(future);
                }
                Effect::Stage(_, stage) if is_one(stage) => self.begin_look()?,
                Effect::Stage(part, stage) => {
                    let future = self.start_stage(part, stage)?;
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
        let examined = agent.is_examined() || bodies.iter().any(is_verdict);
        let delivers = agent.state() == SessionState::Delivering
            && examined
            && agent.may_deliver()
            && !agent.has_pull_request();
        if delivers && let Some(what) = self.purses.reserve_delivery(self.owner, self.session).await? {
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
                let cost = self.log.agent().cost_of(&answer);
                self.purses.spend(self.owner, &answer, cost);
                EventBody::ModelAnswered { step, answer, millis }
            }
            Err(ModelError { kind, message }) => EventBody::ModelFailed { step, kind, message },
        }
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
            outcome.label = outcome.label.join(Label::SANDBOX);
        }
        EventBody::ToolFinished { call, outcome, millis }
    }

    /// Ends every running tool call: the session's time is used up.
    async fn cut_tools_short(&mut self) -> Result<(), WorkerError> {
        self.tools.clear();
        self.end_subagents().await?;
        let outcome = ToolOutcome {
            status: ToolStatus::TimedOut,
            text: "Cut short: the session's time is used up.".to_owned(),
            images: Vec::new(),
            whole: None,
            label: Label::PLATFORM,
            effect: None,
        };
        let mut facts = Vec::new();
        for call in std::mem::take(&mut self.running) {
            let mut outcome = outcome.clone();
            if let Some(assignment) = self.log.agent().assignment(call) {
                outcome.effect = self.delegation.so_far(assignment).await;
            }
            facts.push(self.finished(call, outcome, 0));
        }
        self.advance(facts).await
    }

    /// Drops everything that is under way: a dropped tool call takes its processes with it.
    async fn drop_effects(&mut self) {
        self.tools.clear();
        // They have the sandbox too, until they are gone.
        self.errands.shutdown().await;
        self.halted.clear();
        self.look_halted = false;
        self.running.clear();
        self.in_flight.clear();
        self.ahead = None;
    }
}

/// Whether the gate has decided about the change.
fn is_verdict(body: &EventBody) -> bool {
    matches!(body.in_part().1, EventBody::Examined { .. })
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
