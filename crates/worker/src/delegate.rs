//! Subagents: sessions that are worked on inside a tool call of the session that they work for.
//!
//! A subagent is a session like any other, with a log, a claim and a sandbox of its own, and is worked on by the same code. What is different: a
//! model wrote its task; its policy is its parent's with a share of the budget; its files are a copy of its parent's; it delivers nothing. Nobody
//! takes it from the queue. Whoever has the parent has it too, and when that worker is gone, the next one goes on with both where their logs end.
//!
//! What it changes reaches the parent only as a patch ([`patch`]), and what it says only as a quoted result.

mod attend;
mod begin;
mod patch;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use cofferdam_agent::{Agent, Assignment};
use cofferdam_domain::{
    CallId, Delegated, Event, EventBody, Label, Outcome, Owner, SessionId, Spent, Stage, Timestamp,
    ToolOutcome,
    delegation::{Patched, label_of},
    event::{Applies, Instruction, Instructions, Repository},
    self_review::reviewer_id,
    tool::ToolEffect,
};
use cofferdam_store::{Store, StoreError, Writer};
use cofferdam_tools::{Delegates, Order, Report};
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;

use self::begin::Copy;
pub(crate) use self::begin::{begun, is_over, mark_begun};
use crate::{
    Parts, Watch, WorkerError, layers,
    log::now,
    patience::patiently,
    purses::Purses,
    stage::{Done, SharedSandbox, StageContext},
    work::settle,
};

/// So often a subagent is taken up again at once after its machine failed.
const MOST_TRIES: u32 = 3;

/// What a subagent has of its parent: where its files come from.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    repository: Repository,
    lower: Vec<std::path::PathBuf>,
    /// How the kind works that was asked for, where a file describes it.
    kind: Option<Box<Instruction>>,
}

impl Family {
    /// For one whose files are over these layers.
    pub(crate) const fn new(repository: Repository, lower: Vec<std::path::PathBuf>) -> Self {
        Self { repository, lower, kind: None }
    }
}

/// What all calls of a session share that hand work out.
pub(crate) struct Delegation {
    pub(crate) parts: Arc<Parts>,
    pub(crate) watch: Arc<dyn Watch>,
    pub(crate) owner: Owner,
    pub(crate) purses: Arc<Purses>,
    pub(crate) grace: std::time::Duration,
    /// Whether subagents are to stop for now.
    stop: watch::Sender<bool>,
    /// Whether they are to end for good.
    ending: AtomicBool,
    /// One patch after the other.
    applying: tokio::sync::Mutex<()>,
}

/// Why a call is not over although nothing is done about it any more.
pub(crate) enum Halt {
    /// The subagent was asked to stop.
    Stopped,
    /// A budget for a day is used up, for its parent as well.
    Budget(String),
    /// The machine failed.
    Failed(WorkerError),
}

impl Delegation {
    pub(crate) fn new(
        parts: Arc<Parts>,
        watch: Arc<dyn Watch>,
        owner: Owner,
        purses: Arc<Purses>,
        grace: std::time::Duration,
    ) -> Arc<Self> {
        let (stop, applying) = (watch::Sender::new(false), tokio::sync::Mutex::new(()));
        Arc::new(Self { parts, watch, owner, purses, grace, stop, ending: AtomicBool::new(false), applying })
    }

    /// Has these subagents end, and no other begin.
    pub(crate) async fn end(&self, at_work: &[SessionId]) -> Result<(), WorkerError> {
        // Whoever makes a session looks at this afterwards: so one that is not there yet is never worked on.
        self.ending.store(true, Ordering::SeqCst);
        for session in at_work {
            match cancel(&*self.parts.store, *session).await {
                Ok(()) | Err(StoreError::UnknownSession(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether nothing new is to begin.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Lets others begin again.
    pub(crate) fn begin(&self) {
        self.ending.store(false, Ordering::SeqCst);
    }

    /// Has subagents stop, or lets them go on.
    pub(crate) fn halt(&self, halted: bool) {
        self.stop.send_if_modified(|stop| std::mem::replace(stop, halted) != halted);
    }

    /// What is known of work that was cut short.
    pub(crate) async fn so_far(&self, assignment: Assignment) -> Option<ToolEffect> {
        let Assignment { session, kind, .. } = assignment;
        let (spent, outcome) = match self.parts.store.log(session).await {
            Ok(log) => {
                let agent = Agent::of(session, &log);
                (agent.spent(), agent.outcome().map_or("cancelled", Outcome::name))
            }
            Err(StoreError::UnknownSession(_)) => (Spent::default(), "cancelled"),
            // What it may have used counts then.
            Err(_) => return None,
        };
        let outcome = outcome.to_owned();
        Some(ToolEffect::Delegated(Box::new(Delegated {
            session,
            kind,
            spent,
            outcome,
            patch: None,
            frozen: None,
        })))
    }
}

/// One call that hands work out.
pub(crate) struct Errand {
    pub(crate) call: CallId,
    pub(crate) shared: Arc<Delegation>,
    pub(crate) assignment: Option<Assignment>,
    /// The session that hands it out, as it is now.
    pub(crate) agent: Agent,
    pub(crate) sandbox: SharedSandbox,
    halted: Mutex<Option<Halt>>,
}

impl Errand {
    pub(crate) const fn new(
        call: CallId,
        shared: Arc<Delegation>,
        assignment: Option<Assignment>,
        agent: Agent,
        sandbox: SharedSandbox,
    ) -> Self {
        Self { call, shared, assignment, agent, sandbox, halted: Mutex::new(None) }
    }

    /// Why the call is not over, if it is not.
    pub(crate) fn halted(&self) -> Option<Halt> {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The outcome with what the subagent has used, also where nothing came of it.
    pub(crate) async fn accounted(&self, mut outcome: ToolOutcome) -> ToolOutcome {
        if let (None, Some(assignment)) = (&outcome.effect, self.assignment) {
            outcome.effect = self.shared.so_far(assignment).await;
        }
        outcome
    }

    async fn carry_out(&self, assignment: Assignment, order: &Order) -> Result<Result<Report, String>, Halt> {
        let family = match self.family(order) {
            Some(family) => Arc::new(family),
            None => return Err(Halt::Failed(WorkerError::Log("a call without a workspace"))),
        };
        let copied = match self.copy(assignment).await.map_err(Halt::Failed)? {
            Copy::Refused(why) => return Ok(Err(why)),
            Copy::Anew => true,
            Copy::There => false,
        };
        if let Err(why) = self.begin(assignment, order, copied).await.map_err(Halt::Failed)? {
            return Ok(Err(why));
        }
        if self.shared.is_ending() {
            return Err(Halt::Stopped);
        }
        let ended = self.shared.attend(assignment.session, &family, &self.agent).await?;
        self.report(assignment, &family, ended).await.map(Ok).map_err(Halt::Failed)
    }

    /// What a subagent has of this session.
    fn family(&self, order: &Order) -> Option<Family> {
        let begun = layers::begun_with(&self.shared.parts.data, self.agent.session(), &self.agent)?;
        let lower = begun.into_iter().map(|begun| begun.tree).collect();
        let kind = self.agent.custom_kind(&order.kind).cloned();
        let kind = kind.map(|kind| Box::new(Instruction { applies: Applies::Always, ..kind }));
        Some(Family { repository: self.agent.repository()?.clone(), lower, kind })
    }

    async fn report(
        &self,
        assignment: Assignment,
        family: &Family,
        ended: Result<Outcome, String>,
    ) -> Result<Report, WorkerError> {
        let Assignment { session, kind, .. } = assignment;
        let log = match patiently(|| self.shared.parts.store.log(session)).await {
            Err(StoreError::UnknownSession(_)) => Vec::new(),
            log => log?,
        };
        let agent = Agent::of(session, &log);
        let frozen = agent.frozen().map(str::to_owned);
        let (change, why_not) = match kind.changes_files() && frozen.is_none() && ended.is_ok() {
            false => (None, None),
            true => match self.change(session, family).await? {
                Ok(change) => (change, None),
                Err(why) => (None, Some(format!("Its change could not be taken over and is lost: {why}."))),
            },
        };
        let lost = why_not.is_some();
        let (mut blob, mut conflicts, mut patched) = (None, why_not, None);
        if let Some(change) = change {
            blob = Some(patiently(|| self.shared.parts.store.put_blob(&change.patch)).await?);
            let applied = {
                let _one = self.shared.applying.lock().await;
                patch::apply(&**self.sandbox, session, &change.patch).await?
            };
            patched = Some(Patched { files: change.files, applied: applied.is_ok() });
            conflicts = applied.err();
        }
        let outcome = agent.outcome().map_or("failed", Outcome::name).to_owned();
        let done = Delegated { session, kind, spent: agent.spent(), outcome, patch: patched, frozen };
        Ok(Report {
            done,
            succeeded: matches!(ended, Ok(Outcome::Answered)) && !lost,
            ended: in_words(kind.name(), &ended),
            said: agent.finish().map(|finish| finish.summary.clone()).unwrap_or_default(),
            label: label_of(log.iter().filter_map(label)).join(agent.label()),
            patch: blob,
            conflicts,
        })
    }
}

#[async_trait]
impl Delegates for Errand {
    async fn delegate(&self, order: Order) -> Result<Report, String> {
        let Some(assignment) = self.assignment else { return Err(self.agent.why_not_delegated(&order.kind)) };
        match self.carry_out(assignment, &order).await {
            Ok(report) => report,
            Err(halt) => {
                *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = Some(halt);
                // Nobody is told: the call is not over.
                Err(String::new())
            }
        }
    }
}

impl Delegation {
    /// Lets a subagent go on in spite of a day's budget: its parent does.
    async fn let_go_on(&self, session: SessionId) -> Result<(), WorkerError> {
        let by = "the session that it works for".to_owned();
        let body = vec![EventBody::ContinueAsked { by }];
        patiently(|| self.parts.store.append(session, Writer::Anybody, now(), body.clone())).await?;
        Ok(())
    }
}

/// The worker's own work for a subagent that is different from that for other sessions: its files are there already.
pub(crate) async fn prepare(context: &StageContext, family: &Family) -> Result<Done, WorkerError> {
    let layer = context.parts.session_directory(context.session).join(layers::LAYER);
    let sandbox = context.sandbox(family.lower.clone(), layer, Vec::new()).await?;
    let (id, level) = (sandbox.id(), sandbox.level().to_owned());
    Ok(Done::Sandbox(sandbox, vec![EventBody::SandboxReady { sandbox: id, level, moved: None }]))
}

/// The repository of a subagent: its parent's. With it, how its kind works, as its parent's session has it.
pub(crate) fn repository(family: &Family) -> Done {
    let mut facts = vec![EventBody::RepositoryReady(family.repository.clone())];
    facts.extend(family.kind.as_ref().map(|kind| {
        let files = vec![Instruction::clone(kind)];
        EventBody::InstructionsFound(Box::new(Instructions { files, ..Instructions::default() }))
    }));
    Done::Facts(facts)
}

/// Ends these, whose session is over or goes on without them, and all below them, and removes what they have left on disk.
pub(crate) async fn end(parts: &Parts, subagents: Vec<SessionId>) -> Result<(), WorkerError> {
    for session in subagents {
        conclude(&parts.store, session, &parts.name).await?;
        match patiently(|| parts.store.log(session)).await {
            Ok(log) => {
                let below = Agent::of(session, &log).subagents().collect();
                Box::pin(end(parts, below)).await?;
            }
            Err(StoreError::UnknownSession(_)) => {}
            Err(error) => return Err(error.into()),
        }
        erase(parts, session).await?;
    }
    Ok(())
}

/// Has a subagent that has not ended do so, and those that work for it: in their logs.
pub(crate) fn conclude<'s>(
    store: &'s Arc<dyn Store>,
    session: SessionId,
    worker: &'s str,
) -> BoxFuture<'s, Result<(), WorkerError>> {
    // Boxed: it calls for itself what calls it.
    async move {
        match patiently(|| store.session(None, session)).await? {
            Some(row) if row.outcome.is_none() => {}
            Some(_) | None => return Ok(()),
        }
        cancel(&**store, session).await?;
        match settle(store.clone(), session, worker).await {
            // Somebody works on it: they see that it is cancelled.
            Ok(()) | Err(WorkerError::Store(StoreError::Claimed { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }
    .boxed()
}

/// Those that worked for a session before it was last taken back. What a fork has copied worked for another one.
#[expect(clippy::wildcard_enum_match_arm, reason = "two kinds of events name one, and one says when")]
pub(crate) fn given_up(events: &[Event]) -> Vec<SessionId> {
    let last = |fits: fn(&EventBody) -> bool| events.iter().rposition(|event| fits(&event.body));
    let end = last(|body| matches!(body, EventBody::RolledBack { .. })).unwrap_or_default();
    let begin = last(|body| matches!(body, EventBody::Forked { .. })).unwrap_or_default();
    let (mut now, mut finished, mut begun) = (Timestamp(0), Timestamp(0), Vec::new());
    for (place, event) in events.iter().enumerate().take(end) {
        now = now.max(event.at);
        match &event.body {
            EventBody::WorkFinished { .. } => finished = now,
            EventBody::Delegated { session, .. } if place >= begin => begun.push(*session),
            EventBody::StageStarted { stage: Stage::SelfReview } if place >= begin => {
                begun.push(reviewer_id(event.session, finished));
            }
            _ => {}
        }
    }
    begun
}

/// Removes all that a subagent has left on disk.
pub(crate) async fn erase(parts: &Parts, session: SessionId) -> Result<(), WorkerError> {
    // The files that it wrote first: as long as they are there, the copy that they stand on stays.
    layers::forget(&parts.data, session).await?;
    layers::erase(&parts.data, session).await
}

async fn cancel(store: &dyn Store, session: SessionId) -> Result<(), StoreError> {
    let body = vec![EventBody::CancelAsked { by: "the session that it works for".to_owned() }];
    patiently(|| store.append(session, Writer::Anybody, now(), body.clone())).await.map(drop)
}

/// How it ended, in the platform's words.
fn in_words(kind: &str, ended: &Result<Outcome, String>) -> String {
    match ended {
        Ok(Outcome::Answered) => format!("The subagent ({kind}) is done."),
        Ok(Outcome::Stopped { limit }) => {
            format!("The subagent ({kind}) was stopped: {limit}. This is what there is.")
        }
        Ok(Outcome::Held { .. }) => format!("The subagent ({kind}) was stopped for a person to look at."),
        Ok(Outcome::Cancelled | Outcome::PassedOver { .. }) => {
            format!("The subagent ({kind}) was cancelled.")
        }
        Ok(Outcome::Failed { .. } | Outcome::Succeeded | Outcome::Reviewed | Outcome::NothingToDo) => {
            format!("The subagent ({kind}) could not do it.")
        }
        Err(why) => format!("The subagent ({kind}) did not finish. {why}"),
    }
}

/// Where something that the subagent has read came from.
fn label(event: &Event) -> Option<Label> {
    if let EventBody::MessageReceived { label, .. } = &event.body {
        return Some(*label);
    }
    let EventBody::ToolFinished { outcome, .. } = &event.body else { return None };
    Some(outcome.label)
}
